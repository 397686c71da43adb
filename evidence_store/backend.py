"""Objects on the local disk: every name appears whole or not at all, and stays after a power cut.

    objects/ab/<id>/data.floe, key.json     sealed; `ab` is the id's first two digits
    incoming/<name>/object/                 what becomes the object's folder, by one rename
    incoming/<name>/tail.<offset>           acknowledged bytes behind the last whole segment of an open upload
    incoming/<name>/ingest.json             the open upload's key, wrapped to its ingest key
    locks/<name>                            who writes: flock, and a nonce that tells whether somebody else wrote since

Folders and files are flushed before anything that rests on them is acknowledged.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evidence_store.sealing.files import destroy_secret

DATA = "data.floe"
KEY = "key.json"


class Busy(Exception):
    """Another connection, here or in another process, holds the lock."""


@dataclass
class Lock:
    """A held lock. `nonce` is what the last writer left; `sign` leaves ours."""

    descriptor: int
    path: Path

    @property
    def nonce(self) -> str:
        """Return what the last writer signed with; empty when nobody has."""
        return os.pread(self.descriptor, 64, 0).decode("ascii", "replace")

    def sign(self, nonce: str) -> None:
        """Leave our nonce, so that whoever held the file open before knows that it changed."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, nonce.encode(), 0)

    def release(self) -> None:
        """Let go."""
        os.close(self.descriptor)


class LocalBackend:
    """The folder of one store. Every method is short and blocking: call it in a worker thread."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folders and prove that create-if-absent holds here. Raises OSError."""
        for name in ("objects", "incoming", "locks"):
            (self.root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._prove_create_if_absent()
        flush_folder(self.root)

    def _prove_create_if_absent(self) -> None:
        probe, other = (self.root / "incoming" / f".probe-{os.getpid()}-{part}" for part in "ab")
        try:
            for place in (probe, other):
                place.mkdir(exist_ok=True)
                (place / DATA).write_bytes(b"probe")
            with contextlib.suppress(OSError):
                probe.rename(other)
                raise OSError(None, "this file system replaces folders that hold files; it cannot hold evidence")
            if not probe.exists():
                raise OSError(None, "this file system replaces folders that hold files; it cannot hold evidence")
        finally:
            for place in (probe, other):
                shutil.rmtree(place, ignore_errors=True)

    # --- what is arriving

    def incoming(self, name: str) -> Path:
        """Where something on its way in lies."""
        return self.root / "incoming" / name

    def create_incoming(self, name: str) -> Path:
        """Make the folder of something new, clearing what a crash left under this name; hold its lock."""
        folder = self.incoming(name)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "object").mkdir(parents=True)
        flush_folder(folder)
        flush_folder(folder.parent)
        return folder

    def drop_incoming(self, name: str) -> None:
        """Remove a folder and its lock; an absent one is fine."""
        shutil.rmtree(self.incoming(name), ignore_errors=True)
        self.clear_wanted(name)
        with contextlib.suppress(FileNotFoundError):
            (self.root / "locks" / name).unlink()

    def list_incoming(self) -> list[str]:
        """Return the names of everything on its way in."""
        return sorted(entry.name for entry in (self.root / "incoming").iterdir() if not entry.name.startswith("."))

    # --- one writer

    def lock(self, name: str) -> Lock:
        """Take the lock. Raises Busy. It is let go by `release()` and when the process dies, however it dies."""
        path = self.root / "locks" / name
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return Lock(descriptor, path)
            except BlockingIOError:
                os.close(descriptor)
                raise Busy(name) from None
            except FileNotFoundError:
                pass  # removed between opening and locking: take the new one
            os.close(descriptor)

    def ask_to_let_go(self, name: str) -> None:
        """Ask whoever holds the lock, here or in another process, to let go."""
        (self.root / "locks" / f"{name}.wanted").touch()

    def is_wanted(self, name: str) -> bool:
        """Say whether somebody waits for this lock."""
        return (self.root / "locks" / f"{name}.wanted").exists()

    def clear_wanted(self, name: str) -> None:
        """Forget the asking: done by whoever got the lock."""
        with contextlib.suppress(FileNotFoundError):
            (self.root / "locks" / f"{name}.wanted").unlink()

    # --- what is sealed

    def object_folder(self, object_id: str) -> Path:
        """Where a sealed object lies."""
        return self.root / "objects" / object_id[:2] / object_id

    def read_key(self, object_id: str) -> bytes:
        """Return a sealed object's wrapped key. Raises OSError."""
        return (self.object_folder(object_id) / KEY).read_bytes()

    def replace_key(self, object_id: str, wrapped: bytes) -> None:
        """Put another wrapping of an object's key in place of the old one, whole or not at all; hold the object's lock.

        Raises OSError.
        """
        write_whole(self.object_folder(object_id) / KEY, wrapped)

    def publish(self, name: str, object_id: str) -> None:
        """Move an arrived object to its place in one step; done before is fine. Raises FileExistsError.

        The folder's files are flushed already. A rename never replaces a folder that holds something.
        """
        source, target = self.incoming(name) / "object", self.object_folder(object_id)
        if not target.parent.exists():
            target.parent.mkdir(exist_ok=True, mode=0o700)
            flush_folder(target.parent.parent)
        try:
            source.rename(target)
        except FileNotFoundError:
            if not target.exists():
                raise
        except OSError:
            if target.exists():
                raise FileExistsError(object_id) from None
            raise
        flush_folder(target.parent)
        if source.parent.exists():
            flush_folder(source.parent)

    def destroy(self, object_id: str) -> None:
        """Destroy an object's key, then its bytes; hold its lock. What is gone is fine. Raises OSError."""
        folder = self.object_folder(object_id)
        destroy_secret(folder / KEY)
        if folder.exists():
            shutil.rmtree(folder)
            flush_folder(folder.parent)

    def list_objects(self) -> Iterator[str]:
        """Yield the ids of all sealed objects, in order."""
        for shelf in sorted((self.root / "objects").iterdir()):
            yield from sorted(entry.name for entry in shelf.iterdir())


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole and flushed, or not there."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, memoryview(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.rename(path)
    flush_folder(path.parent)


def write_all(descriptor: int, data: memoryview, *, piece: int = 1 << 18) -> None:
    """Write everything, in pieces that the page cache takes fastest."""
    done = 0
    while done < len(data):
        done += os.write(descriptor, data[done : done + piece])


def flush_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
