"""One file, taken and given in turn by the evidence store, nginx, SeaweedFS; and the floor under all of them."""

import hashlib
import mmap
import os
import random
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.bench.stores import EvidenceStore, Nginx, SeaweedFs, Server, grant_of, new_path, put_headers, token_of
from tests.bench.transfer import Connection
from tests.evidence_tokens import lay_tokens_at
from tests.product import Product, is_ready, until

MIB = 1 << 20
PATCH_BYTES = 64 * MIB
FLOOR_PIECE_BYTES = 1 << 18
READY_SECONDS = 120
SETTLE_SECONDS = 3.0
WARM_BYTES = 4 << 30
Measured = dict[str, list[float]]
S = TypeVar("S", bound=Server)


@dataclass(frozen=True)
class Shape:
    """How much is measured: sizes in bytes, the others counts."""

    rounds: int
    size: int
    large: int
    photos: int
    lines: int
    asked: int

    def describe(self) -> str:
        """Say it in a line."""
        return (
            f"{self.rounds} rounds of {self.size / 1e6:,.0f} MB; large object {self.large / 1e6:,.0f} MB; "
            f"{self.photos:,} photos; {self.lines:,} ledger lines"
        )


FULL = Shape(rounds=5, size=1 << 30, large=10 << 30, photos=10_000, lines=1_000_000, asked=1000)
QUICK = Shape(rounds=1, size=64 * MIB, large=192 * MIB, photos=200, lines=5_000, asked=100)


@dataclass(frozen=True)
class Source:
    """A file to send, with the digest of so many bytes of it (it begins again where it ends)."""

    path: Path
    size: int

    def sha256(self, size: int) -> str:
        """Return the digest of `size` bytes."""
        digest = hashlib.sha256()
        while size > 0:
            with self.path.open("rb") as file:
                while size > 0 and (piece := file.read(min(size, MIB))):
                    digest.update(piece)
                    size -= len(piece)
        return digest.hexdigest()


def make_source(folder: Path, size: int) -> Source:
    """Write a file that begins like a photo and goes on at random."""
    path = folder / "source.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        for at in range(4, size, MIB):
            file.write(os.urandom(min(MIB, size - at)))
        os.fsync(file.fileno())
    return Source(path, size)


def timed(work: Callable[[], object]) -> float:
    """Return how long it took, in seconds."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def floor(source: Source) -> tuple[float, float]:
    """Return seconds and CPU seconds of hashing and sealing the file's bytes in memory, in pieces."""
    data, cipher, digest = source.path.read_bytes(), AESGCM(bytes(32)), hashlib.sha256()
    out, view = bytearray(FLOOR_PIECE_BYTES + 16), memoryview(data)
    cpu, began = time.process_time(), time.monotonic()
    for at in range(0, len(view), FLOOR_PIECE_BYTES):
        piece = view[at : at + FLOOR_PIECE_BYTES]
        digest.update(piece)
        cipher.encrypt_into((at + 1).to_bytes(12, "big"), piece, None, memoryview(out)[: len(piece) + 16])
    return time.monotonic() - began, time.process_time() - cpu


# --- one program taking the file once: seconds


def put_nginx(server: Nginx, source: Source) -> float:
    """PUT, then fsync of file and folder, which nginx leaves out."""
    name = f"{random.getrandbits(64):x}"

    def work() -> None:
        with Connection(server.port) as connection:
            connection.ask("PUT", f"/{name}", file=source.path, size=source.size)
        for path in (server.files / name, server.files):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    seconds = timed(work)
    (server.files / name).unlink()
    return seconds


def put_seaweedfs(server: SeaweedFs, source: Source) -> float:
    """PUT by S3, to an address that boto3 signed: the client hashes nothing. SeaweedFS does not flush to the disk."""
    path = server.sign("put_object", "file")
    with Connection(server.port) as connection:
        seconds = timed(lambda: connection.ask("PUT", path, file=source.path, size=source.size))
    server.delete("file")
    return seconds


def put_store(port: int, keys: Path, source: Source, sha256: str, *, size: int) -> tuple[str, float]:
    """PUT an object; return its address too."""
    path, headers = new_path(), put_headers(keys, sha256)
    with Connection(port) as connection:
        return path, timed(lambda: connection.ask("PUT", path, headers, file=source.path, size=size))


def create(connection: Connection, store: EvidenceStore, size: int) -> tuple[str, dict[str, str]]:
    """Open an upload; return its address and what its requests need."""
    metadata = f"filename {b64encode(b'a.jpg').decode()},filetype {b64encode(b'image/jpeg').decode()}"
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Upload-Metadata": metadata}
    connection.ask("POST", "/evidence/files/", headers | {"Authorization": f"Grant {grant_of(store)}"})
    bearer = {"Authorization": f"Bearer {connection.headers['upload-bearer']}", "Tus-Resumable": "1.0.0"}
    return connection.headers["location"], bearer


def put_patches(store: EvidenceStore, source: Source, sha256: str) -> float:
    """Send as tus PATCHes of 64 MiB and the digest."""
    with Connection(store.port) as connection:

        def work() -> None:
            path, headers = create(connection, store, source.size)
            pieces = headers | {"Content-Type": "application/offset+octet-stream"}
            for at in range(0, source.size, PATCH_BYTES):
                size = min(PATCH_BYTES, source.size - at)
                more = pieces | {"Upload-Offset": str(at)}
                connection.ask("PATCH", path, more, file=source.path, start=at, size=size)
            body = f'{{"sha256": "{sha256}"}}'.encode()
            connection.ask("POST", f"{path}/digest", headers | {"Content-Type": "application/json"}, body=body)

        return timed(work)


def get(port: int, path: str, headers: dict[str, str]) -> float:
    """Read it all."""
    with Connection(port) as connection:
        return timed(lambda: connection.ask("GET", path, headers))


# --- the rounds


def measure_ingest(shape: Shape, folder: Path, source: Source) -> Measured:
    """Measure the rounds in which all take the same file."""
    measured: Measured = defaultdict(list)
    sha256 = source.sha256(source.size)
    with ExitStack() as stack:
        product = stack.enter_context(running(Product(folder / "product")))
        store = stack.enter_context(ending(EvidenceStore(folder / "store")))
        plain = stack.enter_context(ending(Nginx(folder / "nginx", tuned=False)))
        tuned = stack.enter_context(ending(Nginx(folder / "tuned", tuned=True)))
        weed = stack.enter_context(ending(SeaweedFs(folder / "weed")))
        keys, product_keys = store.folder / "keys", next(product.data.rglob("token.key")).parent
        lay_tokens_at(f"sqlite+aiosqlite:///{next(product.data.rglob('evidence.sqlite'))}")
        takers: dict[str, Callable[[], float]] = {
            "nginx": lambda: put_nginx(plain, source),
            "nginx_tuned": lambda: put_nginx(tuned, source),
            "seaweedfs": lambda: put_seaweedfs(weed, source),
            "ingest": lambda: put_store(store.port, keys, source, sha256, size=source.size)[1],
            "forwarded": lambda: put_store(product.port, product_keys, source, sha256, size=source.size)[1],
            "patches": lambda: put_patches(store, source, sha256),
        }
        for number in range(shape.rounds):
            floor_seconds, floor_cpu = floor(source)
            seconds, cpu = {}, {}
            for name in take_turns(list(takers), number):
                settle()
                before = store.cpu_seconds()
                seconds[name] = takers[name]()
                cpu[name] = store.cpu_seconds() - before
            store.clear()
            clear(product.data)
            ours = seconds["ingest"]
            figures = {
                "ingest_vs_nginx": seconds["nginx"] / ours, "ingest_vs_nginx_tuned": seconds["nginx_tuned"] / ours,
                "ingest_vs_seaweedfs": seconds["seaweedfs"] / ours, "ingest_floor_ratio": cpu["ingest"] / floor_cpu,
                "forwarder_vs_straight": ours / seconds["forwarded"],
                "patches_vs_one_request": ours / seconds["patches"],
            }  # fmt: skip
            told = {name: seconds[name] for name in ("ingest", "nginx", "seaweedfs")} | {"floor": floor_seconds}
            keep(measured, figures | rates(source, told), number, shape)
    return measured


def measure_reading(shape: Shape, folder: Path, source: Source) -> Measured:
    """Measure the rounds in which store and nginx give the same file."""
    measured: Measured = defaultdict(list)
    with ExitStack() as stack:
        store = stack.enter_context(ending(EvidenceStore(folder / "store")))
        plain = stack.enter_context(ending(Nginx(folder / "nginx", tuned=False)))
        (plain.files / "read").write_bytes(source.path.read_bytes())
        keys = store.folder / "keys"
        path, _ = put_store(store.port, keys, source, source.sha256(source.size), size=source.size)
        os.sync()  # what is still being written back must not slow either
        for number in range(shape.rounds):
            settle()
            ours = get(store.port, f"{path}/content", token_of(keys))
            nginx = get(plain.port, "/read", {})
            keep(measured, {"read_vs_nginx": nginx / ours} | rates(source, {"read": ours}), number, shape)
    return measured


def take_turns(names: list[str], number: int) -> list[str]:
    """Return who comes first, second … in a round: each round begins one further on, and every other goes backwards."""
    first = number % len(names)
    turned = names[first:] + names[:first]
    return turned[::-1] if number % 2 else turned


def settle() -> None:
    """Leave the disk nothing to write, and time to recover from what it wrote: nobody pays for the one before.

    On a virtual machine whose host takes back memory that is free for two seconds, whoever fills the page cache next
    would also pay for getting it back (four times the CPU of touching it): it is got here.
    """
    os.sync()
    time.sleep(SETTLE_SECONDS)
    free = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, min(WARM_BYTES, free // 2), flags=kind).close()


def rates(source: Source, seconds: dict[str, float]) -> dict[str, float]:
    """Return MB/s of the file that took so long."""
    return {f"{name}_mb_per_s": source.size / taken / 1e6 for name, taken in seconds.items()}


def keep(measured: Measured, figures: dict[str, float], number: int, shape: Shape) -> None:
    """Note a round, and tell it."""
    for name, value in figures.items():
        measured[name].append(value)
    say(f"  round {number + 1} of {shape.rounds}: " + ", ".join(f"{n} {v:.2f}" for n, v in figures.items()))


def clear(folder: Path) -> None:
    """Take away the bytes of all sealed objects, to have the space: what was measured is never read again."""
    for file in folder.rglob("objects/*/*/data.floe"):
        file.unlink()


@contextmanager
def ending(server: S) -> Iterator[S]:
    """End a server whatever happens."""
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running(product: Product) -> Iterator[Product]:
    """Run the demo, ready, and end it whatever happens."""
    try:
        product.start()
        until(lambda: is_ready(product.url), "the demo to be ready", READY_SECONDS)
        yield product
    finally:
        product.stop()


def say(text: str) -> None:
    """Tell how far it is; what counts comes last."""
    print(text, flush=True)
