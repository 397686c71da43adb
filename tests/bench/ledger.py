"""The evidence store's ledger at a million lines: appending, proofs, checking. `make bench-ledger` (LINES= the size).

One process, SQLite on the disk of TMPDIR, flushed as the store flushes. Proofs are asked for at random, as the API
does it: a read transaction, the head, the nodes, the hashes.
"""

import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from evidence_store import ledger, merkle, migrations
from evidence_store.database import Database
from evidence_store.model import Action
from evidence_store.sealing.notes import LedgerKey, new_ledger_name
from evidence_store.verify_ledger import check_ledger

LINES = int(os.environ.get("LINES", "1000000"))
_BATCH, _SINGLE, _PROOFS = 10_000, 300, 2000
_SEED = b"\x05" * 32
_KEY = LedgerKey(_SEED, new_ledger_name(_SEED))
_DETAILS = {"incident": "AP-7F4K-92QD", "size_bytes": 20480, "media_type": "image/jpeg", "kind": "photo",
            "client_digest": "equal"}  # fmt: skip


def draft(n: int) -> ledger.Draft:
    """Return a line as an arrival leaves one."""
    return ledger.Draft(datetime.now(UTC), "token:web:0123", Action.RECEIVED, f"{n:032x}", "d" * 64, "", _DETAILS)


async def fill(database: Database) -> float:
    """Append the lines, many in one transaction; return lines a second."""
    began = time.perf_counter()
    for first in range(0, LINES, _BATCH):
        async with database.begin() as db:
            await ledger.append(db, _KEY, [draft(n) for n in range(first, min(first + _BATCH, LINES))])
    return LINES / (time.perf_counter() - began)


async def append_singly(database: Database) -> float:
    """Append lines each in its own flushed transaction; return lines a second."""
    began = time.perf_counter()
    for n in range(_SINGLE):
        async with database.begin() as db:
            await ledger.append(db, _KEY, [draft(n)])
    return _SINGLE / (time.perf_counter() - began)


async def prove(database: Database) -> list[float]:
    """Make and check proofs at random; return how long each took, in ms."""
    rng, took = random.Random(1), []
    for n in range(_PROOFS):
        began = time.perf_counter()
        async with database.read() as db:
            size = (await ledger.read_head(db)).size
            sequence = rng.randrange(1, size + 1)
            if n % 2:
                proof = await ledger.prove_inclusion(db, sequence, size)
            else:
                proof = await ledger.prove_consistency(db, sequence, size)
        took.append((time.perf_counter() - began) * 1000)
        if n % 2:
            assert merkle.is_included(proof.first_root, sequence - 1, size, proof.path, proof.root)
        else:
            assert merkle.is_consistent(sequence, size, proof.path, proof.first_root, proof.root)
    return sorted(took)


async def check(database: Database) -> float:
    """Check the whole ledger as `evidence-store verify` does; return lines a second."""
    began, lines = time.perf_counter(), 0
    async for found in check_ledger(database, _KEY, [], lambda *_: None):
        assert not found.faults, found.faults
        lines += len(found.entries)
    return lines / (time.perf_counter() - began)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "evidence.sqlite"
        database = Database(f"sqlite+aiosqlite:///{path}")
        await migrations.upgrade(database)
        async with database.begin() as db:
            await ledger.prepare(db, _KEY)
        filled = await fill(database)
        single = await append_singly(database)
        proofs = await prove(database)
        checked = await check(database)
        size_mb = path.stat().st_size / 1e6
        await database.dispose()
    figures = {
        "ledger_lines": LINES,
        "append_many_per_s": round(filled),
        "append_single_per_s": round(single),
        "proof_median_ms": round(statistics.median(proofs), 2),
        "proof_p99_ms": round(proofs[int(len(proofs) * 0.99)], 2),
        "verify_lines_per_s": round(checked),
        "database_mb": round(size_mb),
    }
    for name, value in figures.items():
        print(f"{name:24} {value:>12,}")
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
