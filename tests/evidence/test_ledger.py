"""The ledger: every edit, drop and reorder is found."""

import hashlib
import json
from dataclasses import replace

import pytest
from sqlalchemy import text

from evidence_store import ledger
from evidence_store.verify import verify
from tests.evidence.conftest import Wire, both_databases, jpeg

pytestmark = both_databases


async def four_objects(wire: Wire) -> list[str]:
    return [await wire.upload(jpeg(600 + n, n)) for n in range(4)]


async def change(wire: Wire, *statements: str) -> None:
    """Change the database as somebody would who can write it and lacks the keys."""
    async with wire.store.database.begin() as db:
        for statement in statements:
            await db.execute(text(statement))


async def test_an_untouched_store_holds(wire: Wire):
    await four_objects(wire)
    report = await verify(wire.store)
    assert report.faults == []
    assert (report.objects, report.ledger_lines) == (4, 8)


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        pytest.param(["UPDATE ledger SET actor = 'upload:x' WHERE sequence = 3"], "Line 3 ", id="an edited actor"),
        pytest.param(
            ["UPDATE ledger SET at = '2020-01-01 00:00:00' WHERE sequence = 2"], "Line 2 ", id="an edited time"
        ),
        pytest.param(["UPDATE ledger SET details = '{}' WHERE sequence = 4"], "Line 4 ", id="edited details"),
        pytest.param(["DELETE FROM ledger WHERE sequence = 5"], "Line 5 ", id="a dropped line"),
        pytest.param(["DELETE FROM ledger WHERE sequence = 8"], "should end at line 8", id="the last line dropped"),
        pytest.param(
            [
                "UPDATE ledger SET sequence = 99 WHERE sequence = 3",
                "UPDATE ledger SET sequence = 3 WHERE sequence = 4",
                "UPDATE ledger SET sequence = 4 WHERE sequence = 99",
            ],
            "does not follow",
            id="two lines in another order",
        ),
        pytest.param(
            ["DELETE FROM ledger WHERE sequence = 3", "UPDATE ledger SET sequence = sequence - 1 WHERE sequence > 3"],
            "Line 3 ",
            id="a dropped line with the rest moved up",
        ),
        pytest.param(
            [
                "DELETE FROM ledger WHERE sequence > 6",
                "UPDATE ledger_head SET sequence = 6, hash = (SELECT hash FROM ledger WHERE sequence = 6)",
            ],
            "not written by a holder of the ledger key",
            id="the end dropped and the head moved back",
        ),
        pytest.param(["UPDATE objects SET sha256 = upper(sha256) WHERE sequence = 2"], "differ", id="an edited digest"),
        pytest.param(
            ["UPDATE objects SET incident = 'AP-OTHER'"], "description", id="objects moved to another incident"
        ),
        pytest.param(["DELETE FROM objects WHERE sequence = 2"], "the database does not", id="a dropped object"),
    ],
)
async def test_every_change_of_the_ledger_is_found(wire: Wire, statements, fault):
    await four_objects(wire)
    await change(wire, *statements)
    assert fault in " ".join((await verify(wire.store)).faults)


async def test_a_chain_computed_anew_without_the_ledger_key_is_found(wire: Wire):
    await four_objects(wire)
    async with wire.store.database.read() as db:
        entries = await ledger.list_entries(db, after=0, limit=100)
    last, forged = ledger.FIRST_HASH, []
    for entry in entries:
        entry = replace(entry, actor="somebody else", previous_hash=last)
        entry = replace(entry, hash=ledger.hash_entry(entry))
        forged.append(entry)
        last = entry.hash
    assert list(ledger.check_chain(forged, sequence=0, last_hash=ledger.FIRST_HASH)) == []
    for entry in forged:
        values = f"actor = '{entry.actor}', previous_hash = '{entry.previous_hash}', hash = '{entry.hash}'"
        await change(wire, f"UPDATE ledger SET {values} WHERE sequence = {entry.sequence}")
    await change(wire, f"UPDATE ledger_head SET hash = '{last}'")
    assert (await verify(wire.store)).faults == ["The ledger's head was not written by a holder of the ledger key."]
    async with wire.http.get("/readyz") as answer:
        assert answer.status == 503


async def test_the_ledger_can_be_checked_from_its_api_alone(wire: Wire):
    await four_objects(wire)
    async with wire.http.get("/evidence/v1/ledger", headers=wire.token()) as answer:
        page = await answer.json()
    last = "0" * 64
    for entry in page["entries"]:
        covered = {k: v for k, v in entry.items() if k not in {"hash", "previous_hash"}}
        covered["at"] = covered["at"].replace("Z", "+00:00")
        if "." not in covered["at"]:
            covered["at"] = covered["at"].replace("+00:00", ".000000+00:00")
        canonical = json.dumps(covered, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        last = hashlib.sha256(f"evidence-store/ledger/v1\n{last}\n{canonical}".encode()).hexdigest()
        assert entry["hash"] == last
    assert (page["head_sequence"], page["head_hash"]) == (8, last)
