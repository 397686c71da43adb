"""Objects that an earlier version sealed without keeping the digest of their header: a scrub notes it, once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text, update

from evidence_store.app import open_store
from evidence_store.doctor import Grade
from evidence_store.scrub import scrub
from evidence_store.sealing import floe, signing
from evidence_store.sealing.incoming import object_aad
from evidence_store.storage import OBJECTS
from evidence_store.verify import unseen, verify
from evidence_store.verify_custody import check_custody
from tests.evidence.conftest import Wire, both_databases, jpeg, sha256
from tests.evidence.earlier import seal_as_before_0011
from tests.evidence.test_ledger import change
from tests.evidence.test_operations import said
from tests.evidence.test_reading import folder_of, status_of


@pytest.fixture
async def ids(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three objects: two from before, one of now."""
    with monkeypatch.context() as patch:
        seal_as_before_0011(patch)
        found = [await wire.upload(jpeg(5000, 1)), signing.new_id()]
        await wire.put(found[1], jpeg(6000, 2))
    return [*found, await wire.upload(jpeg(7000, 3))]


async def headers(wire: Wire, ids: list[str]) -> list[str]:
    async with wire.store.database.read() as db:
        rows = await db.execute(select(OBJECTS.c.id, OBJECTS.c.header_sha256))
        kept = {row.id: row.header_sha256 for row in rows}
    return [kept[object_id] for object_id in ids]


async def noted(wire: Wire, object_id: str) -> list[dict]:
    return [line for line in await wire.lines(object_id) if line["action"] == "header noted"]


def seal_anew(wire: Wire, object_id: str, data: bytes) -> None:
    """Seal bytes of one's own in an object's place, by the public key."""
    folder, key = folder_of(wire, object_id), signing.new_key()
    cipher, header = floe.start_encryption(key, object_aad(object_id))
    (folder / "data.floe").write_bytes(header + cipher.encrypt_segment(data, position=0, final=True))
    (folder / "key.json").write_bytes(wire.store.keys.sealing.wrap(object_id, "sealed", key))


@both_databases
async def test_a_scrub_notes_each_header_once_and_from_then_on_nothing_else_opens(wire: Wire, ids):
    assert (await headers(wire, ids))[:2] == ["", ""]
    assert "2 objects were sealed by an earlier version" in (await said(wire.store))[Grade.NOTE]
    assert (await verify(wire.store)).faults == []
    for count in (2, None):
        run, faults = await scrub(wire.store, pace=None, progress=unseen)
        assert (run.objects, run.details.get("headers"), faults) == (3, count, [])
        for object_id, kept in zip(ids[:2], await headers(wire, ids[:2]), strict=True):
            header = (folder_of(wire, object_id) / "data.floe").read_bytes()[: floe.HEADER_BYTES]
            assert kept == sha256(header)
            assert [line["details"] for line in await noted(wire, object_id)] == [{"header_sha256": kept}]
    assert await noted(wire, ids[2]) == []
    assert (await verify(wire.store)).faults == []
    assert "sealed by an earlier version" not in (await said(wire.store))[Grade.NOTE]
    seal_anew(wire, ids[0], jpeg(5000, 1))
    assert await status_of(wire, ids[0]) == 500


@both_databases
async def test_a_header_that_was_noted_is_held_against_the_ledger(wire: Wire, ids):
    await scrub(wire.store, pace=None, progress=unseen)
    kept = await headers(wire, ids)
    for n, value in ((0, ""), (0, "0" * 64), (2, "")):
        await change(wire, update(OBJECTS).where(OBJECTS.c.id == ids[n]).values(header_sha256=value))
        assert (
            f"Object {ids[n]}: database and ledger differ about the header of its sealed file."
            in (await verify(wire.store, read_contents=False)).faults
        )
        if not value:  # taken away: a scrub says so, and does not note it as if it were new
            run, [fault] = await scrub(wire.store, pace=None, progress=unseen)
            assert (run.faults, f"Object {ids[n]}: database and ledger differ" in fault) == (1, True)
        await change(wire, update(OBJECTS).where(OBJECTS.c.id == ids[n]).values(header_sha256=kept[n]))
    assert (await verify(wire.store)).faults == []


async def test_bytes_laid_in_an_objects_place_with_its_row_are_not_noted_as_received(wire: Wire, ids):
    seal_anew(wire, ids[0], jpeg(5000, 9))
    digest = sha256(jpeg(5000, 9))
    await change(wire, update(OBJECTS).where(OBJECTS.c.id == ids[0]).values(sha256=digest))
    run, faults = await scrub(wire.store, pace=None, progress=unseen)
    assert (run.faults, len(faults)) == (1, 1)
    assert await headers(wire, ids[:1]) == [""]
    old = sha256(jpeg(5000, 1))  # now the ledger's line as well: its signed head vouches for the other
    await change(wire, text(f"UPDATE ledger SET leaf = replace(leaf, '{old}', '{digest}')"))
    run, faults = await scrub(wire.store, pace=None, progress=unseen)
    assert (run.faults, len(faults)) == (1, 1)
    assert await headers(wire, ids[:1]) == [""]


@both_databases
async def test_two_scrubs_at_one_moment_note_a_header_once(wire: Wire, ids):
    other = open_store(wire.store.settings, wire.store.keys, now=wire.clock)
    try:
        await asyncio.gather(*(scrub(store, pace=None, progress=unseen) for store in (wire.store, other)))
    finally:
        await other.close()
    assert [len(await noted(wire, object_id)) for object_id in ids] == [1, 1, 0]
    assert (await verify(wire.store)).faults == []


async def test_a_scrub_that_dies_before_it_noted_a_header_notes_it_the_next_time(wire: Wire, ids, monkeypatch):
    async def dies(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("evidence_store.ledger.append", dies)  # behind the change of the row, in one transaction with it
        with pytest.raises(KeyboardInterrupt):
            await scrub(wire.store, pace=None, progress=unseen)
    assert (await headers(wire, ids))[:2] == ["", ""]
    await scrub(wire.store, pace=None, progress=unseen)
    assert [len(await noted(wire, object_id)) for object_id in ids] == [1, 1, 0]


async def test_headers_noted_while_verify_runs_are_no_fault(wire: Wire, ids, monkeypatch):
    runs = []

    async def check_after_a_scrub(*given: Any) -> list[str]:  # between the ledger and the objects
        runs.append(await scrub(wire.store, pace=None, progress=unseen))
        return await check_custody(*given)

    monkeypatch.setattr("evidence_store.verify.check_custody", check_after_a_scrub)
    assert (await verify(wire.store)).faults == []
    assert runs[0][0].details == {"headers": 2}
