"""`make bench-evidence`: what the evidence store costs and how fast it is, beside nginx, SeaweedFS and the floor.

One interleaved run: in each round every program takes the same file, in turn. Files lie in TMPDIR, whose disk is what
is measured; the source is in the page cache. QUICK=1 for a short look. The last line is one JSON object.
"""

import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.bench.figures import MissingTool, Target, render_json, render_table
from tests.bench.stores import EvidenceStore, Nginx, SeaweedFs, Server, grant_of, new_path, put_headers, token_of
from tests.bench.transfer import Connection
from tests.product import Product, is_ready, until

MIB = 1 << 20
PATCH_BYTES = 64 * MIB
FLOOR_PIECE_BYTES = 1 << 18
PHOTO_BYTES = 20_000
PHOTO_SENDERS = 4
SMALL_BYTES = 10_000_000
PHONES = 200
PHONE_BYTES, PHONE_PIECE_BYTES = 256 << 10, 64 << 10

TARGETS = (
    Target("ingest_vs_nginx", "sealed ingest over HTTP to nginx' PUT + fsync, rate", 0.8, 1.2, more=True),
    Target("ingest_vs_nginx_tuned", "the same, nginx with 256 kB body buffers", 0, 0, more=True),
    Target("ingest_vs_seaweedfs", "sealed ingest to SeaweedFS' S3 PUT, rate", 2.5, 4, more=True),
    Target("ingest_floor_ratio", "CPU of sealed ingest to SHA-256 + AES-256-GCM in memory", 3, 1.9),
    Target("forwarder_vs_straight", "ingest through the web server's forwarder, rate", 0.5, 0.5, more=True),
    Target("patches_vs_one_request", "ingest as 64 MiB tus PATCHes to one request, rate", 0.8, 0.8, more=True),
    Target("read_vs_nginx", "reading it to nginx sending it plain, rate", 0.5, 0.8, more=True),
    Target("ingest_mb_per_s", "sealed ingest, MB/s", 0, 0, more=True),
    Target("nginx_mb_per_s", "nginx, default buffers, MB/s", 0, 0, more=True),
    Target("seaweedfs_mb_per_s", "SeaweedFS, MB/s", 0, 0, more=True),
    Target("floor_mb_per_s", "SHA-256 + AES-256-GCM in memory, one core, MB/s", 0, 0, more=True),
    Target("read_mb_per_s", "reading, MB/s", 0, 0, more=True),
    Target("range_first_byte_ms", "first byte of a random range of the large object, median, ms", 5, 5),
    Target("small_objects_per_s", f"objects of 20 kB a second, {PHOTO_SENDERS} senders", 0, 0, more=True),
    Target("small_objects_p99_ms", "the same, p99 of one, ms", 0, 0),
    Target("ledger_appends_per_s", "ledger lines a second, each durable by itself", 0, 0, more=True),
    Target("ledger_batched_per_s", "ledger lines a second, many in a transaction", 0, 0, more=True),
    Target("proof_p99_ms", "proofs in the large ledger, p99, ms", 5, 5),
    Target("verify_lines_per_s", "ledger lines verified a second", 0, 0, more=True),
    Target("memory_growth_mb", "peak memory of taking the large object beyond taking 10 MB", 20, 20),
    Target("slow_phones_memory_mb", f"peak memory of {PHONES} uploads at once beyond none", 20, 20),
)


@dataclass(frozen=True)
class Shape:
    """How much is measured."""

    rounds: int
    size: int
    large: int
    photos: int
    lines: int
    asked: int


FULL = Shape(rounds=5, size=1 << 30, large=10 << 30, photos=10_000, lines=1_000_000, asked=1000)
QUICK = Shape(rounds=1, size=64 * MIB, large=192 * MIB, photos=200, lines=5_000, asked=100)
Measured = dict[str, list[float]]
S = TypeVar("S", bound=Server)


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
    """PUT by S3."""
    with Connection(server.port) as connection:
        seconds = timed(lambda: connection.ask("PUT", "/bench/file", file=source.path, size=source.size))
        connection.ask("DELETE", "/bench/file")
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


# --- the parts


def measure_files(shape: Shape, folder: Path, source: Source, product: Product) -> Measured:
    """Measure the rounds in which all take the same file."""
    measured: Measured = defaultdict(list)
    sha256 = source.sha256(source.size)
    with ExitStack() as stack:
        store = stack.enter_context(ending(EvidenceStore(folder / "store")))
        plain = stack.enter_context(ending(Nginx(folder / "nginx", tuned=False)))
        tuned = stack.enter_context(ending(Nginx(folder / "tuned", tuned=True)))
        weed = stack.enter_context(ending(SeaweedFs(folder / "weed")))
        (plain.files / "read").write_bytes(source.path.read_bytes())
        keys, product_keys = store.folder / "keys", find_keys(product)
        for number in range(shape.rounds):
            floor_seconds, floor_cpu = floor(source)
            nginx, nginx_tuned = put_nginx(plain, source), put_nginx(tuned, source)
            seaweedfs = put_seaweedfs(weed, source)
            cpu = store.cpu_seconds()
            path, ours = put_store(store.port, keys, source, sha256, size=source.size)
            cpu = store.cpu_seconds() - cpu
            _, forwarded = put_store(product.port, product_keys, source, sha256, size=source.size)
            patches = put_patches(store, source, sha256)
            reading = get(store.port, f"{path}/content", token_of(keys))
            nginx_reading = get(plain.port, "/read", {})
            store.clear()
            figures = {
                "ingest_vs_nginx": nginx / ours, "ingest_vs_nginx_tuned": nginx_tuned / ours,
                "ingest_vs_seaweedfs": seaweedfs / ours, "ingest_floor_ratio": cpu / floor_cpu,
                "forwarder_vs_straight": ours / forwarded, "patches_vs_one_request": ours / patches,
                "read_vs_nginx": nginx_reading / reading,
            } | {
                f"{name}_mb_per_s": source.size / seconds / 1e6
                for name, seconds in {
                    "ingest": ours, "nginx": nginx, "seaweedfs": seaweedfs, "floor": floor_seconds, "read": reading,
                }.items()
            }  # fmt: skip
            for name, value in figures.items():
                measured[name].append(value)
            say(f"  round {number + 1} of {shape.rounds}: " + ", ".join(f"{n} {v:.2f}" for n, v in figures.items()))
    return measured


def find_keys(product: Product) -> Path:
    """Return the evidence store's key folder of a running demo."""
    return next(product.data.rglob("token.key")).parent


def measure_large(shape: Shape, folder: Path, source: Source) -> Measured:
    """Measure memory while a large object comes in, and ranges out of it."""
    with ending(EvidenceStore(folder / "large")) as store:
        keys = store.folder / "keys"
        put_store(store.port, keys, source, source.sha256(SMALL_BYTES), size=SMALL_BYTES)
        store.forget_peak()
        put_store(store.port, keys, source, source.sha256(SMALL_BYTES), size=SMALL_BYTES)
        small = store.resident_mb(peak=True)
        sha256 = source.sha256(shape.large)
        store.forget_peak()
        path, _ = put_store(store.port, keys, source, sha256, size=shape.large)
        growth = store.resident_mb(peak=True) - small
        firsts = []
        with Connection(store.port) as connection:
            for _ in range(shape.asked):
                at = random.randrange(shape.large - 1000)
                connection.ask("GET", f"{path}/content", token_of(keys) | {"Range": f"bytes={at}-{at + 999}"})
                firsts.append(1000 * connection.first_byte_seconds)
        store.clear()
        return {
            "memory_growth_mb": [growth], "range_first_byte_ms": [statistics.median(firsts[1:])],
            "slow_phones_memory_mb": [measure_phones(store)],
        }  # fmt: skip


def measure_phones(store: EvidenceStore) -> float:
    """Return how much memory many uploads at once take, each in small pieces, all going on together."""
    store.forget_peak()
    before = store.resident_mb()
    with ExitStack() as stack:
        phones = [stack.enter_context(Connection(store.port)) for _ in range(PHONES)]
        opened = [create(phone, store, 2 * PHONE_BYTES) for phone in phones]
        piece = b"\xff\xd8\xff\xe0" + bytes(PHONE_PIECE_BYTES - 4)
        for at in range(0, PHONE_BYTES, PHONE_PIECE_BYTES):
            for phone, (path, headers) in zip(phones, opened, strict=True):
                more = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(at)}
                phone.ask("PATCH", path, headers | more, body=piece)
    return store.resident_mb(peak=True) - before


def measure_photos(shape: Shape, folder: Path) -> Measured:
    """Measure many small objects from several senders."""
    photo = b"\xff\xd8\xff\xe0" + os.urandom(PHOTO_BYTES - 4)
    with ending(EvidenceStore(folder / "photos")) as store:
        headers = put_headers(store.folder / "keys", hashlib.sha256(photo).hexdigest())

        def send(count: int) -> list[float]:
            with Connection(store.port) as connection:
                return [timed(lambda: connection.ask("PUT", new_path(), headers, body=photo)) for _ in range(count)]

        began = time.monotonic()
        with ThreadPoolExecutor(PHOTO_SENDERS) as threads:
            taken = [s for many in threads.map(send, [shape.photos // PHOTO_SENDERS] * PHOTO_SENDERS) for s in many]
        rate = len(taken) / (time.monotonic() - began)
    return {"small_objects_per_s": [rate], "small_objects_p99_ms": [1000 * statistics.quantiles(taken, n=100)[98]]}


def measure_ledger(shape: Shape) -> Measured:
    """Run the ledger's own bench and take its figures."""
    command = [sys.executable, "-m", "tests.bench.ledger"]
    environment = os.environ | {"LINES": str(shape.lines)}
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    found = json.loads(said.splitlines()[-1])
    names = {
        "ledger_appends_per_s": "append_single_per_s", "ledger_batched_per_s": "append_many_per_s",
        "proof_p99_ms": "proof_p99_ms", "verify_lines_per_s": "verify_lines_per_s",
    }  # fmt: skip
    return {ours: [found[theirs]] for ours, theirs in names.items()}


@contextmanager
def ending(server: S) -> Iterator[S]:
    """End a server whatever happens."""
    try:
        yield server
    finally:
        server.stop()


def say(text: str) -> None:
    """Tell how far it is; what counts comes last."""
    print(text, flush=True)


def main() -> int:
    """Run the bench; the exit status says whether it could be run, not what it found."""
    shape = QUICK if os.environ.get("QUICK") else FULL
    measured: Measured = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = make_source(folder, shape.size)
        say(f"{shape.rounds} rounds of {shape.size / 1e6:,.0f} MB; large object {shape.large / 1e6:,.0f} MB; "
            f"{shape.photos:,} photos; {shape.lines:,} ledger lines")  # fmt: skip
        product = Product(folder / "product").start()
        try:
            until(lambda: is_ready(product.url), "the demo to be ready", 120)
            measured |= measure_files(shape, folder, source, product)
        except MissingTool as missing:
            print(missing, file=sys.stderr)
            return 2
        finally:
            product.stop()
        for part in (
            lambda: measure_large(shape, folder, source),
            lambda: measure_photos(shape, folder),
            lambda: measure_ledger(shape),
        ):
            measured |= part()
    say("")
    say(render_table(measured, {}, TARGETS))
    say(render_json(measured, TARGETS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
