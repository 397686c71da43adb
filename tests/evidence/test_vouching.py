"""Against whoever holds database, objects and the public sealing key: what no signed line vouches for stays in."""

import io
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pypdf
import pytest
from aiohttp import ClientPayloadError
from sqlalchemy import text, update
from sqlalchemy.event import listen

from evidence_store import ledger
from evidence_store.config import Settings
from evidence_store.errors import Damaged
from evidence_store.model import Action
from evidence_store.scrub import scrub
from evidence_store.sealing import floe, signing
from evidence_store.sealing.incoming import object_aad
from evidence_store.sealing.keys import Keys
from evidence_store.storage import OBJECTS, find_object
from evidence_store.store import Told
from evidence_store.tokens import Scope
from evidence_store.verify import unseen, verify
from evidence_store.vouching import find_header
from tests.conftest import HeldClock
from tests.evidence.conftest import Wire, both_databases, jpeg, open_wire, sha256
from tests.evidence.earlier import seal_as_before_0011
from tests.evidence.seaweed import PLAIN, Seaweed
from tests.evidence.test_bucket import settings_on
from tests.evidence.test_headers import ids, noted, seal_anew
from tests.evidence.test_ledger import change
from tests.evidence.test_reading import status_of

__all__ = ["ids"]
Forge = Callable[[Wire, str, bytes], object]
TRUE, FALSE = jpeg(5000, 1), jpeg(5000, 2)


@pytest.fixture
def forge_files() -> Forge:
    """Put bytes that open in the place of an object's."""
    return seal_anew


def header_of(wire: Wire, object_id: str) -> str:
    return sha256(wire.store.backend.open(object_id).read_at(0, floe.HEADER_BYTES))


async def forge(wire: Wire, object_id: str, forge_files: Forge, **more: object) -> None:
    """Replace file, wrapped key and row by others that fit each other."""
    forge_files(wire, object_id, FALSE)
    row = {"sha256": sha256(FALSE), "header_sha256": header_of(wire, object_id)} | more
    await change(wire, update(OBJECTS).where(OBJECTS.c.id == object_id).values(row))


async def said_of_damage(wire: Wire, object_id: str) -> list[tuple[str, str, str]]:
    lines = await wire.lines(object_id)
    return [(line["actor"], line["digest"], line["details"]["what"]) for line in lines if line["action"] == "damaged"]


async def is_refused(wire: Wire, object_id: str) -> None:
    """Nothing gives it out, or says that these are its bytes; who asks is told why."""
    address = f"/evidence/v1/objects/{object_id}/content"
    async with wire.http.get(address, headers=wire.token()) as answer:
        assert (answer.status, answer.content_type) == (500, "application/problem+json")
        assert (await answer.json())["code"] == "damaged"
    for asked in ({"Range": "bytes=0-9"}, {"If-None-Match": f'"{sha256(FALSE)}"'}):
        assert await status_of(wire, object_id, **asked) == 500
    async with wire.http.head(address, headers=wire.token()) as answer:
        assert answer.status == 500


async def is_packed_whole(wire: Wire, object_id: str) -> bool:
    body = {"objects": [object_id], "recipient": "Crown Court", "reason": "Trial"}
    async with wire.http.post("/evidence/v1/packages", headers=wire.token(), json=body) as answer:
        try:
            return len(await answer.read()) == answer.content_length and answer.status == 200
        except ClientPayloadError:  # a body cut short
            return False


async def stays_in(wire: Wire, forge_files: Forge) -> None:
    forged, true = signing.new_id(), await wire.upload(TRUE)
    await wire.put(forged, TRUE)
    assert await status_of(wire, forged) == 200  # what was shown once is no word for what comes after
    await forge(wire, forged, forge_files)
    await is_refused(wire, forged)
    told = await said_of_damage(wire, forged)
    assert {what for _, _, what in told} == {f"object {forged}: database and ledger differ about it"}
    assert {digest for _, digest, _ in told} == {""}
    assert not await is_packed_whole(wire, forged)
    assert "shared" not in [line["action"] for line in await wire.lines(forged)]  # nor is a word signed about it
    assert any(forged in fault for fault in (await verify(wire.store)).faults)
    assert await status_of(wire, true) == 200
    assert await is_packed_whole(wire, true)


@both_databases
async def test_bytes_key_and_row_that_were_replaced_together_are_not_given_out(wire: Wire, forge_files: Forge):
    await stays_in(wire, forge_files)


@pytest.fixture
async def on_bucket(tmp_path, keys: Keys, clock: HeldClock, seaweed: Seaweed) -> AsyncIterator[Wire]:
    address = seaweed.address(f"{signing.new_id()}/", PLAIN)
    settings: Settings = settings_on(address, tmp_path / "store", keys)
    async with open_wire(settings.model_copy(update={"preview_workers": 0}), keys, clock) as opened:
        yield opened


async def test_nor_are_they_from_a_bucket(on_bucket: Wire, seaweed: Seaweed):
    def put_anew(wire: Wire, object_id: str, data: bytes) -> None:
        key, settings = signing.new_key(), wire.store.settings
        cipher, header = floe.start_encryption(key, object_aad(object_id))
        laid = {
            "data.floe": header + cipher.encrypt_segment(data, position=0, final=True),
            "key.json": wire.store.keys.sealing.wrap(object_id, "sealed", key),
        }
        for name, content in laid.items():
            place = f"{settings.s3_prefix}objects/{object_id[:2]}/{object_id}/{name}"
            seaweed.boto.put_object(Bucket=settings.s3_bucket, Key=place, Body=content)

    await stays_in(on_bucket, put_anew)


@both_databases
@pytest.mark.parametrize("what", ["line", "its place", "another's line", "no line", "a line of its own"])
async def test_a_line_that_was_forged_with_them_is_not_in_what_was_signed(wire: Wire, what: str):
    object_id, other = signing.new_id(), signing.new_id()
    await wire.put(object_id, TRUE)
    await wire.put(other, FALSE)
    async with wire.store.database.read() as db:
        own, others = [await find_object(db, one) for one in (object_id, other)]
    assert own is not None
    assert others is not None
    await forge(wire, object_id, seal_anew)
    old, new = (own.sha256, own.header_sha256), (sha256(FALSE), header_of(wire, object_id))
    leaf = f"replace(replace(leaf, '{old[0]}', '{new[0]}'), '{old[1]}', '{new[1]}')"
    where = f"WHERE id = '{object_id}'"
    forged = {
        "line": [f"UPDATE ledger SET leaf = {leaf} WHERE sequence = {own.sequence}"],
        "its place": [  # a line of a number beyond the head
            f"INSERT INTO ledger SELECT 9000, object, {leaf} FROM ledger WHERE sequence = {own.sequence}",
            f"UPDATE objects SET sequence = 9000 {where}",
        ],
        "another's line": [
            f"UPDATE objects SET sequence = sequence + 100 WHERE id = '{other}'",
            f"UPDATE objects SET sequence = {others.sequence} {where}",
        ],
        "no line": [f"UPDATE objects SET sequence = NULL {where}"],
        "a line of its own": [  # and the leaf's hash in the tree with it
            f"UPDATE ledger SET leaf = {leaf} WHERE sequence = {own.sequence}",
            "UPDATE ledger_nodes SET hash = (SELECT hash FROM ledger_nodes WHERE position = 0)",
        ],
    }[what]
    await change(wire, *forged)
    await is_refused(wire, object_id)


@both_databases
@pytest.mark.parametrize(
    "row",
    [{"incident": "AP-OTHER"}, {"media_type": "text/plain"}, {"size_bytes": 4000}, {"client_digest": "not given"}],
    ids=lambda row: next(iter(row)),
)
async def test_nor_is_what_another_description_was_given_to(wire: Wire, row: dict[str, object]):
    object_id = await wire.upload(TRUE)
    await change(wire, update(OBJECTS).where(OBJECTS.c.id == object_id).values(row))
    assert await status_of(wire, object_id) == 500
    [(_, _, what)] = await said_of_damage(wire, object_id)
    assert what == f"object {object_id}: its description in the database is not the one in the ledger"


async def is_vouched(wire: Wire, **token: str) -> dict[str, bool]:
    return {one["id"]: one["vouched"] for one in (await wire.ask("GET", "/objects", **token))["objects"]}


@both_databases
async def test_who_looks_or_searches_is_told_at_once_of_what_the_ledger_does_not_vouch_for(wire: Wire):
    changes: list[dict[str, object]] = [
        {"incident": "AP-OTHER"}, {"kind": "statement"}, {"media_type": "text/plain"}, {"officer": "9999"},
        {"size_bytes": 4000}, {"sha256": sha256(FALSE)}, {"client_digest": "not given"}, {"verdict": "quarantined"},
        {"received_at": wire.clock() - timedelta(days=1)}, {"sequence": 8000}, {"kind": "chat"},
    ]  # fmt: skip
    ids = [await wire.upload(jpeg(1000, seed)) for seed in range(len(changes))]
    path, auth = await wire.create(TRUE)
    await wire.patch(path, auth, 0, TRUE)
    assert (await wire.digest(path, auth, sha256(FALSE)))["state"] == "quarantined"
    true = {await wire.upload(TRUE), path.rsplit("/", 1)[1]}
    assert await is_vouched(wire) == dict.fromkeys({*ids, *true}, True)
    own, leaf = f"(SELECT sequence FROM objects WHERE id = '{ids[-1]}')", "replace(leaf, '\"upload\"', '\"chat\"')"
    await change(
        wire,
        f"UPDATE ledger SET leaf = {leaf} WHERE sequence = {own}",
        *(update(OBJECTS).where(OBJECTS.c.id == one).values(row) for one, row in zip(ids, changes, strict=True)),
    )
    ann = wire.token(name="ann")
    assert await is_vouched(wire, **ann) == dict.fromkeys(ids, False) | dict.fromkeys(true, True)
    for one in ids:
        for _ in range(2):
            assert (await wire.ask("GET", f"/objects/{one}", **ann))["vouched"] is False, one
        async with wire.http.head(f"/evidence/v1/objects/{one}/content", headers=ann) as answer:
            assert answer.status == 500
        [(_, digest, what)] = await said_of_damage(wire, one)
        assert (digest, what.startswith(f"object {one}: ")) == ("", True)
        assert (await wire.ask("GET", f"/objects/{one}/quarantine", **ann))["vouched"] is False
        [looked] = [said for said in await wire.lines(one) if said["action"] == "viewed"]
        assert looked["digest"] == ""
    for one in true:
        assert (await wire.metadata(one))["vouched"] is True
        assert (await wire.ask("GET", f"/objects/{one}/quarantine"))["vouched"] is True
    async with wire.http.get("/metrics") as answer:
        assert f"evidence_not_vouched {wire.store.not_vouched:.1f}" in await answer.text()
    assert wire.store.not_vouched >= len(ids)


async def test_what_is_sent_again_is_not_acknowledged_where_the_ledger_does_not_vouch_for_it(wire: Wire):
    object_id = signing.new_id()
    await wire.put(object_id, TRUE)
    assert (await wire.put(object_id, TRUE, status=200))["vouched"] is True
    await change(wire, update(OBJECTS).where(OBJECTS.c.id == object_id).values(officer="9999"))
    assert (await wire.put(object_id, TRUE, status=500))["code"] == "damaged"
    assert len(await said_of_damage(wire, object_id)) == 1


async def test_a_trail_says_first_that_the_ledger_does_not_vouch_for_what_it_shows(wire: Wire):
    true, false = await wire.upload(TRUE), await wire.upload(FALSE)
    await change(wire, update(OBJECTS).where(OBJECTS.c.id == false).values(officer="9999"))
    for one, vouched in ((true, True), (false, False)):
        trail = await wire.ask("GET", f"/objects/{one}/trail")
        assert trail["object"]["vouched"] is vouched
        async with wire.http.get(f"/evidence/v1/objects/{one}/trail.pdf", headers=wire.token()) as answer:
            text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(await answer.read())).pages)
        assert ("Do not rely on it" in text) is not vouched
    due = {"code": "other", "starts_at": "2010-06-01T00:00:00Z"}
    for one in (true, false):
        await wire.ask("PUT", f"/objects/{one}/retention", {"classes": [due], "reason": "Trial"})
    listed = (await wire.ask("GET", "/due-for-review"))["objects"]
    assert {one["object"]: one["vouched"] for one in listed} == {true: True, false: False}


async def test_what_is_doubted_on_one_page_is_told_at_once_and_does_not_fill_the_ledger(wire: Wire, clock: HeldClock):
    async def told() -> int:
        return sum(line["action"] == "damaged" for line in await wire.lines())

    ids = [await wire.upload(jpeg(1000, seed)) for seed in range(8)]
    await change(wire, update(OBJECTS).values(officer="9999"))
    wire.store.doubts, heads = Told(5), []
    listen(
        wire.store.database._writer.sync_engine, "before_cursor_execute",
        lambda _db, _cursor, statement, *_more: heads.append(statement) if "UPDATE ledger_head" in statement else None,
    )  # fmt: skip
    ann, bob = wire.token(name="ann"), wire.token(name="bob")
    assert await is_vouched(wire, **ann) == dict.fromkeys(ids, False)
    assert (await told(), len(heads)) == (5, 2), "one for what is wrong with them, one for the search"
    for who in (ann, bob):
        assert await is_vouched(wire, **who) == dict.fromkeys(ids, False)
    assert (await told(), wire.store.not_vouched) == (5, 24)
    clock.move(days=1)
    await is_vouched(wire, **wire.token(name="bob"))
    assert await told() == 10


async def test_a_page_of_a_search_is_compared_at_once(wire: Wire):
    asked: list[str] = []
    engine = wire.store.database._reader.sync_engine

    async def statements() -> int:
        wire.store.vouched.clear()
        asked.clear()
        assert set((await is_vouched(wire)).values()) == {True}
        return len(asked)

    ids = [await wire.upload(jpeg(1000, seed)) for seed in range(2)]
    listen(engine, "before_cursor_execute", lambda _db, _cursor, statement, *_more: asked.append(statement))
    few = await statements()
    ids += [await wire.upload(jpeg(1000, seed)) for seed in range(2, 12)]
    assert await statements() == few
    assert wire.store.vouched.keys() == set(ids)


@both_databases
async def test_a_header_that_the_row_forgot_is_the_one_the_ledger_knows(wire: Wire):
    object_id = await wire.upload(TRUE)
    await change(wire, update(OBJECTS).where(OBJECTS.c.id == object_id).values(header_sha256=""))
    assert await status_of(wire, object_id) == 200
    seal_anew(wire, object_id, TRUE)
    assert await status_of(wire, object_id) == 500


@both_databases
async def test_what_an_earlier_version_sealed_is_read_and_bound_by_the_line_that_noted_its_header(wire: Wire, ids):
    assert await is_vouched(wire) == dict.fromkeys(ids, True)
    assert [await status_of(wire, object_id) for object_id in ids] == [200, 200, 200]
    await forge(wire, ids[1], seal_anew)
    assert await status_of(wire, ids[1]) == 500  # the ledger knows the digest of its bytes all the same
    await scrub(wire.store, pace=None, progress=unseen)
    assert await status_of(wire, ids[0]) == 200
    [line] = await noted(wire, ids[0])
    seal_anew(wire, ids[0], TRUE)
    await change(
        wire,
        update(OBJECTS).where(OBJECTS.c.id == ids[0]).values(header_sha256=header_of(wire, ids[0])),
        text(f"UPDATE ledger SET leaf = replace(leaf, '{line['details']['header_sha256']}', "
             f"'{header_of(wire, ids[0])}') WHERE sequence = {line['sequence']}"),
    )  # fmt: skip
    assert await status_of(wire, ids[0]) == 500
    assert any("not in what was signed" in what for _, _, what in await said_of_damage(wire, ids[0]))


async def test_the_ledger_is_asked_once_for_each_object_and_process(wire: Wire, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        seal_as_before_0011(patch)
        old = await wire.upload(jpeg(4000, 4))
    new = await wire.upload(TRUE)
    for object_id in (old, new, old, new):
        assert await status_of(wire, object_id) == 200
    assert [(one, bool(header)) for one, (_, header) in wire.store.vouched.items()] == [(old, False), (new, True)]
    async with wire.store.database.read() as db:
        stored = await find_object(db, new)
    assert stored is not None
    await change(wire, "DELETE FROM ledger_nodes")  # what it cannot show any more was shown before
    assert await find_header(wire.store, stored) == stored.header_sha256
    wire.store.vouched.clear()
    with pytest.raises(Damaged, match="not in what was signed"):
        await find_header(wire.store, stored)


async def test_who_is_told_that_bytes_are_unchanged_has_looked(wire: Wire):
    object_id = await wire.upload(TRUE)
    ann = wire.token(Scope.READ, name="ann") | {"Evidence-Purpose": "is my copy right"}
    asked = ann | {"If-None-Match": f'"{sha256(TRUE)}"'}
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=asked) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    last = (await wire.lines(object_id))[-1]
    assert (last["action"], last["purpose"], last["digest"]) == (Action.VIEWED, "is my copy right", sha256(TRUE))
    assert last["details"] == {}


@both_databases
async def test_a_line_under_the_number_of_a_signed_one_is_not_signed_by_that(wire: Wire):
    true, false = await wire.upload(TRUE), await wire.upload(FALSE)
    async with wire.store.database.read() as db:
        stored = await find_object(db, true), await find_object(db, false)
        numbers = [one.sequence for one in stored if one is not None and one.sequence is not None]
        line = (await ledger.list_entries_at(db, numbers))[numbers[1]]
    leaf = line.leaf.replace('"kind":"upload"', '"kind":"chat"')
    leaf = leaf.replace(f'"sequence":{numbers[1]},', f'"sequence":{numbers[0]},')
    said = ledger.parse_leaf(leaf)
    assert (said.sequence, said.details["kind"]) == (numbers[0], "chat")
    await change(
        wire,
        text("UPDATE ledger SET leaf = :leaf WHERE sequence = :number").bindparams(leaf=leaf, number=numbers[1]),
        update(OBJECTS).where(OBJECTS.c.id == false).values(kind="chat"),
    )
    wire.store.vouched.clear()  # so that both are compared at once
    assert await is_vouched(wire) == {true: True, false: False}
    assert [await status_of(wire, one) for one in (true, false)] == [200, 500]
