"""Processes that all publish under one id at once. Run as a program: what it prints is, for each, how it came out.

    argv[1]   JSON: {"object": id, "writers": n, "roots": [node folder of each], "address": [fields] or null}

A folder backend has one root, which they share; each writer of a bucket may have its own. Nobody takes the object's
lock: this is what the place itself must hold.
"""

import json
import os
import sys
from pathlib import Path

from evidence_store.backend import DATA, KEY, Backend, write_whole
from evidence_store.backend.bucket import Address
from evidence_store.backend.folder import FolderBackend
from evidence_store.backend.s3 import S3Backend


def data_of(writer: int) -> bytes:
    """What each writer would have under the id; no two are alike."""
    return bytes([writer]) * 300_000


def key_of(writer: int) -> bytes:
    return b"key %d" % writer


def open_backend(root: Path, address: list[str] | None) -> Backend:
    return FolderBackend(root) if address is None else S3Backend(root, Address(*address))


def _write(backend: Backend, writer: int, object_id: str, go: int) -> int:
    backend.prepare()
    folder = backend.create_incoming(f"put-{writer}")
    write_whole(folder / "object" / DATA, data_of(writer))
    write_whole(folder / "object" / KEY, key_of(writer))
    os.write(1, b"ready\n")  # in one piece, whoever else writes
    os.read(go, 1)  # ends when the parent lets go of the other side
    try:
        backend.publish(f"put-{writer}", object_id)
    except FileExistsError:
        return 3
    return 0


def main() -> None:
    said = json.loads(sys.argv[1])
    go, parent = os.pipe()
    children = []
    for writer in range(said["writers"]):
        roots = [Path(root) for root in said["roots"]]
        child = os.fork()  # before obstore was used: its threads do not survive a fork
        if child == 0:
            os.close(parent)
            os._exit(_write(open_backend(roots[writer % len(roots)], said["address"]), writer, said["object"], go))
        children.append(child)
    sys.stdin.readline()
    os.close(parent)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))


if __name__ == "__main__":
    main()
