"""Memory of the evidence store: for one object of any size, and for many slow phones; ranges of a large object.

Without previews: each is made in a process of its own, which comes and goes and would be in the difference or not.
"""

import os
import random
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.evidence_files import MIB, Measured, Shape, Source, create, ending, get, put_store, say, settle
from tests.bench.stores import EvidenceStore, SeaweedFs, token_of
from tests.bench.transfer import Connection

SMALL_BYTES = 10_000_000
RANGE_BYTES = 1000
PHONES = 200
PHONE_BYTES = 4 * MIB
PHONE_PIECE_BYTES = 8 << 10
PHONE_RATE = 125_000  # bytes a second: 1 Mbit/s
PHONE_SECONDS = 12


def peak_mb(store: EvidenceStore, source: Source, size: int) -> tuple[float, str]:
    """Return the highest memory while an object of this size goes in and out, and its address."""
    sha256, keys = source.sha256(size), store.folder / "keys"
    store.forget_peak()
    path, seconds = put_store(store.port, keys, source, sha256, size=size)
    reading = get(store.port, f"{path}/content", token_of(keys))
    found = store.resident_mb(peak=True)
    say(f"  {size / 1e6:,.0f} MB: in {seconds:.1f} s, out {reading:.1f} s, peak {found:.1f} MB")
    return found, path


def small_peak_mb(store: EvidenceStore, source: Source) -> float:
    """Return the same of 10 MB, once the first has brought in what every later one uses."""
    peak_mb(store, source, SMALL_BYTES)
    return peak_mb(store, source, SMALL_BYTES)[0]


def measure_large(shape: Shape, folder: Path, source: Source) -> Measured:
    """Measure memory while a large object comes in and goes out, and ranges of it."""
    with ending(EvidenceStore(folder / "store", previews=False)) as store:
        keys = store.folder / "keys"
        small = small_peak_mb(store, source)
        large, path = peak_mb(store, source, shape.large)
        firsts = []
        settle()
        with Connection(store.port) as connection:
            for _ in range(shape.asked):
                at = random.randrange(shape.large - RANGE_BYTES)
                ranged = token_of(keys) | {"Range": f"bytes={at}-{at + RANGE_BYTES - 1}"}
                connection.ask("GET", f"{path}/content", ranged)
                firsts.append(1000 * connection.first_byte_seconds)
    return {
        "memory_growth_mb": [large - small], "range_first_byte_ms": [statistics.median(firsts)],
        "range_first_byte_p99_ms": [statistics.quantiles(firsts, n=100)[98]],
    }  # fmt: skip


def measure_bucket(shape: Shape, folder: Path, source: Source) -> Measured:
    """Measure memory while a large object comes in, goes on into a bucket, and comes out of it."""
    with ending(SeaweedFs(folder / "weed")) as bucket:
        store_folder = folder / "store"
        with ending(EvidenceStore(store_folder, previews=False, bucket=bucket)) as store:
            small = small_peak_mb(store, source)
            large, _ = peak_mb(store, source, shape.size)
    return {"bucket_memory_growth_mb": [large - small]}


def measure_phones(shape: Shape, folder: Path, source: Source) -> Measured:
    """Measure memory while many phones are each in the middle of one request, at 1 Mbit/s, beyond 10 MB in and out.

    Raises RuntimeError when one of them did not get as far as it should have.
    """
    piece = b"\xff\xd8\xff\xe0" + os.urandom(PHONE_PIECE_BYTES - 4)
    rounds = PHONE_RATE * PHONE_SECONDS // PHONE_PIECE_BYTES
    with ending(EvidenceStore(folder / "store", previews=False)) as store, ExitStack() as stack:
        before = small_peak_mb(store, source)
        store.forget_peak()
        phones = [stack.enter_context(Connection(store.port)) for _ in range(PHONES)]
        opened = [create(phone, store, PHONE_BYTES) for phone in phones]
        for phone, (path, headers) in zip(phones, opened, strict=True):
            more = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
            phone.begin("PATCH", path, headers | more, length=PHONE_BYTES)
        began = time.monotonic()
        for number in range(rounds):
            for place, phone in enumerate(phones):  # each at its own moment, evenly
                at = began + (number + place / PHONES) * PHONE_PIECE_BYTES / PHONE_RATE
                time.sleep(max(0.0, at - time.monotonic()))
                phone.send(piece)
        growth, now = store.resident_mb(peak=True) - before, store.resident_mb() - before
        say(f"  {PHONES} phones, {rounds * PHONE_PIECE_BYTES:,} bytes each in {time.monotonic() - began:.1f} s: "
            f"{now:.1f} MB more, at most {growth:.1f} MB")  # fmt: skip
        for path, headers in opened[:: PHONES // 10]:  # HEAD asks the writer to let go: what came is then durable
            with Connection(store.port) as connection:
                connection.ask("HEAD", path, headers)
                if int(connection.headers["upload-offset"]) != rounds * PHONE_PIECE_BYTES:
                    raise RuntimeError(f"a phone stands at {connection.headers['upload-offset']}")
    return {"slow_phones_memory_mb": [growth]}
