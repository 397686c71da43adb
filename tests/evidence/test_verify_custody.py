"""What people set is held against the ledger: who changes it in the database alone is found out."""

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from evidence_store.admission import service as admission
from evidence_store.admission.model import Issued
from evidence_store.custody import storage
from evidence_store.database import METADATA
from evidence_store.model import Action
from evidence_store.screening.clamd import Verdict
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from evidence_store.verify import verify
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, sha256
from tests.evidence.test_ledger import change
from tests.evidence.test_quarantine import differing, find, infected, release

pytestmark = both_databases
REASON = {"reason": "Trial in May"}
LABEL = {"mark": "JS/1", "description": "Photo of the window", "maker": "Jo Smith"}
SIGNED = {"signed": {"at": "2026-01-01T11:00:00+01:00", "how": "On the phone"}}


async def kept(wire: Wire) -> str:
    """Do with objects everything that people can do; return the id of the one that the most was done with."""
    first, second, gone, foreign = [await wire.upload(jpeg(600 + n, n)) for n in range(4)]
    await wire.ask("PUT", f"/objects/{first}/label", LABEL)
    await wire.ask("PUT", f"/objects/{first}/label", LABEL | SIGNED)
    await wire.ask("POST", f"/objects/{first}/notes", {"text": "Seen with the officer"}, status=201)
    await wire.ask("PUT", f"/objects/{second}/original", {"sha256": sha256(jpeg(600, 0)), "relation": "redacted"})
    await wire.ask("POST", "/holds", {"incident": INCIDENT, "object": first, **REASON}, status=201)
    hold = await wire.ask("POST", "/holds", {"incident": INCIDENT, **REASON}, status=201)
    await wire.ask("POST", f"/holds/{hold['id']}/release", {"reason": "Over"})
    row = {"title": "Arson", "years": 30, "source": "Force policy"}
    await wire.ask("PUT", "/retention-classes/arson", row)
    for one in (first, second):
        classes = [{"code": "other", "starts_at": "2010-06-01T00:00:00+01:00"}, {"code": "arson"}]
        await wire.ask("PUT", f"/objects/{one}/retention", {"classes": classes, **REASON})
    await wire.ask("POST", f"/objects/{first}/reviews", {"outcome": "keep", **REASON}, status=201)
    old = {"classes": [{"code": "other", "starts_at": "2010-06-01T00:00:00Z"}], **REASON}
    for one, decision in ((gone, "reject"), (gone, "approve")):
        await wire.ask("PUT", f"/objects/{one}/retention", old)
        asked = {"outcome": "dispose", **REASON}
        review = await wire.ask("POST", f"/objects/{one}/reviews", asked, status=201, **wire.token(name="ann"))
        await wire.ask("POST", f"/reviews/{review['id']}/{decision}", REASON, **wire.token(name="bob"))
    breaks = wire.token(Scope.BREAK_GLASS, incident="AP-0000-0000")
    reason = {"reason": "A child may be in danger"}
    await wire.ask("POST", f"/objects/{foreign}/break-glass", reason, status=201, **breaks)
    await released(wire)
    await issued(wire)
    return first


async def released(wire: Wire) -> None:
    """Come to every end that a release from quarantine has."""
    await release(wire, await differing(wire, 21))
    malware = await infected(wire, 22)
    await release(wire, malware)
    await find(wire.store, malware, Verdict.INFECTED, "Other.Test")  # overtakes it
    for decision in ("reject", "approve"):
        made = await release(wire, malware)
        await wire.ask("POST", f"/releases/{made['id']}/{decision}", REASON, **wire.token(name="bob"))
    await release(wire, await infected(wire, 23))


async def issued(wire: Wire) -> None:
    """Issue two tokens and revoke one."""
    lasts = timedelta(days=30)
    await admission.issue(
        wire.store, scopes=[Scope.READ, Scope.HOLD], name="niche", incident=INCIDENT, lasts=lasts, per_minute=60
    )
    await admission.issue(wire.store, scopes=[Scope.SEAL], name="scanner", incident=None, lasts=lasts)
    async with wire.store.database.read() as db:
        table = METADATA.tables["tokens"]
        lost = (await db.execute(select(table.c.id).where(table.c.name == "scanner"))).scalar_one()
    await admission.revoke(wire.store, lost, reason="The scanner was stolen")


async def test_what_people_did_is_told_alike_by_database_and_ledger(wire: Wire):
    await kept(wire)
    report = await verify(wire.store)
    assert report.faults == []
    told = {line["action"] for line in await wire.lines()}
    assert told >= {
        "annotated",
        "linked",
        "held",
        "released",
        "retention changed",
        "reviewed",
        "disposed",
        "break-glass",
        "quarantine reviewed",
        "token issued",
        "token revoked",
    }
    async with wire.store.database.read() as db:
        states = (await db.execute(select(METADATA.tables["releases"].c.state))).scalars()
        assert sorted(states) == ["overtaken", "proposed", "rejected", "released", "released"]


async def test_what_is_changed_in_the_database_alone_is_found(wire: Wire):
    first = await kept(wire)
    columns = 'object, text, nonce, "by", at'
    before = await rows_of(wire)
    for statement, fault in {
        "UPDATE labels SET description = 'Photo of the door'": f"The label of object {first}: database and ledger",
        "UPDATE labels SET mark = 'JS/2'": f"The label of object {first}: database and ledger differ",
        "UPDATE labels SET signed_at = NULL": f"The label of object {first}: database and ledger differ",
        "DELETE FROM labels": f"The label of object {first}: the ledger knows it, the database does not",
        "UPDATE notes SET text = 'Nothing seen'": "Note ",
        "DELETE FROM notes": "the ledger knows it, the database does not",
        "UPDATE links SET relation = 'preview'": "was derived from: database and ledger differ",
        "DELETE FROM links": "was derived from: the ledger knows it",
        f"DELETE FROM holds WHERE object = '{first}'": "the ledger knows it, the database does not",
        "UPDATE holds SET released_at = placed_at, released_by = placed_by WHERE released_at IS NULL": "Hold ",
        "UPDATE holds SET released_at = NULL, released_by = NULL": "database and ledger differ about it",
        "UPDATE holds SET reason = 'None'": "Hold ",
        "UPDATE retention_classes SET years = 1 WHERE code = 'arson'": "Retention class arson: database and ledger",
        "UPDATE retention_classes SET years = 1 WHERE code = 'other'": "Retention class other: database and ledger",
        f"DELETE FROM object_retention WHERE object = '{first}'": f"The retention of object {first}: the ledger knows",
        "UPDATE object_retention SET starts_at = '2001-01-01' WHERE code = 'arson'": "The retention of object",
        "DELETE FROM reviews WHERE state = 'kept'": "Review ",
        "UPDATE reviews SET reason = 'Another'": "Review ",
        "UPDATE reviews SET state = 'approved' WHERE state = 'rejected'": "Review ",
        "UPDATE reviews SET decided_by = 'token:eve:1' WHERE state = 'done'": "Review ",
        "DELETE FROM glasses": "Broken glass ",
        "UPDATE glasses SET ends_at = '2099-01-01'": "Broken glass ",
        "UPDATE glasses SET token = 'ffffffffffff'": "Broken glass ",
        f"INSERT INTO notes (id, {columns}) SELECT '{'0' * 32}', {columns} FROM notes": "the ledger does not know it",
        "UPDATE reviews SET reviewed_name = 'eve' WHERE state = 'kept'": "Review ",
        "UPDATE reviews SET incident = 'AP-0000-0000' WHERE state = 'kept'": "Review ",
        "UPDATE reviews SET state = 'gone' WHERE state = 'rejected'": "that this program never writes ('gone'",
        "DELETE FROM releases WHERE state = 'proposed'": "from quarantine: the ledger knows it, the database does not",
        "UPDATE releases SET state = 'overtaken' WHERE state = 'proposed'": "from quarantine: database and ledger",
        "UPDATE releases SET state = 'rejected' WHERE state = 'overtaken'": "from quarantine: database and ledger",
        copied("releases", "state = 'rejected'", id="0" * 32): f"Release {'0' * 32} from quarantine: the database",
        "DELETE FROM tokens WHERE name = 'niche'": "the ledger knows it, the database does not",
        "UPDATE tokens SET revoked_at = NULL, revoke_reason = '' WHERE name = 'scanner'": "Access token ",
        "UPDATE tokens SET scopes = 'dispose ' || scopes WHERE name = 'niche'": "differ about it",
        copied("tokens", "name = 'niche'", id="f" * 12): f"Access token {'f' * 12}: the database has it",
    }.items():
        await change(wire, statement)
        faults = (await verify(wire.store)).faults
        assert fault in " ".join(faults), (statement, faults)
        await put_back(wire, before)
    assert (await verify(wire.store)).faults == []


def copied(table: str, which: str, **values: str) -> str:
    """Return a statement that adds a row like another, but for these values."""
    columns = [column.name for column in METADATA.tables[table].columns]
    taken = ", ".join(f"'{values[name]}'" if name in values else name for name in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {taken} FROM {table} WHERE {which}"


def another(value: Any) -> Any:
    """Return a value that differs, of the same form and no longer."""
    match value:
        case datetime():
            return value + timedelta(microseconds=1)
        case int():
            return value + 1
        case str() if value:
            return ("b" if value[0] == "a" else "a") + value[1:]
    return "eve"


async def test_no_column_of_a_release_or_a_token_can_be_changed(wire: Wire):
    await released(wire)
    await issued(wire)
    before, tried = await rows_of(wire), 0
    for name, ended in (("releases", "decided_by"), ("tokens", "revoked_at")):
        table = METADATA.tables[name]
        done = next(row for row in before[name] if row[ended] and row.get("state") != "released")
        for column, value in done.items():
            new = 5 if column == "per_minute" else another(value)
            await change(wire, update(table).where(table.c.id == done["id"]).values({column: new}))
            assert (await verify(wire.store, read_contents=False)).faults, (name, column)
            await put_back(wire, before)
            tried += 1
    assert tried == 14 + 10
    assert (await verify(wire.store)).faults == []


async def test_what_lines_of_earlier_versions_do_not_say_is_not_held_against_a_row(wire: Wire):
    now = wire.clock()
    made = Issued("e" * 12, "niche", "read", None, 7, now, now + timedelta(days=1))
    said = {"token": made.id, "name": "niche", "scopes": "read", "incident": None}
    gone = replace(made, revoked_at=now, revoke_reason="lost")
    table, actions = METADATA.tables["tokens"], (Action.TOKEN_ISSUED, Action.TOKEN_REVOKED)
    async with wire.store.database.begin() as db:
        await db.execute(insert(table).values(asdict(gone)))
        for action, words in zip(actions, (said | {"expires": made.expires_at.isoformat()}, said), strict=True):
            purpose = "lost" if action is Action.TOKEN_REVOKED else ""
            await wire.store.record(db, actor="operator", action=action, object_id="", purpose=purpose, **words)
    assert (await verify(wire.store)).faults == []
    await change(wire, "UPDATE tokens SET revoke_reason = 'sold'")
    assert (await verify(wire.store)).faults == [f"Access token {made.id}: database and ledger differ about it."]


_TABLES = (
    "labels", "notes", "links", "holds", "retention_classes", "object_retention", "reviews", "glasses", "releases",
    "tokens",
)  # fmt: skip
Rows = dict[str, list[dict[str, Any]]]


async def rows_of(wire: Wire) -> Rows:
    async with wire.store.database.read() as db:
        return {
            name: [dict(row._mapping) for row in await db.execute(select(METADATA.tables[name]))] for name in _TABLES
        }


async def put_back(wire: Wire, rows: Rows) -> None:
    await change(wire, *(f"DELETE FROM {name}" for name in reversed(_TABLES)))
    async with wire.store.database.begin() as db:
        for name in _TABLES:
            if rows[name]:
                await db.execute(insert(METADATA.tables[name]), rows[name])


async def test_what_people_do_while_verify_runs_is_no_fault(wire: Wire, monkeypatch):
    first = await kept(wire)
    read, waits = storage.list_all, [True]

    async def read_after_a_note(db):
        if waits.pop() if waits else False:  # between the ledger and the tables
            await wire.ask("POST", f"/objects/{first}/notes", {"text": "One more"}, status=201)
        return await read(db)

    monkeypatch.setattr(storage, "list_all", read_after_a_note)
    assert (await verify(wire.store)).faults == []
    assert not waits


async def test_a_line_that_cannot_be_understood_does_not_end_the_check(wire: Wire):
    async with wire.store.database.begin() as db:
        for action in (
            Action.ANNOTATED, Action.HELD, Action.RETENTION_CHANGED, Action.REVIEWED, Action.BREAK_GLASS,
            Action.QUARANTINE_REVIEWED, Action.TOKEN_ISSUED, Action.TOKEN_REVOKED,
        ):  # fmt: skip
            await wire.store.record(db, actor="x", action=action, object_id=signing.new_id(), classes=7, outcome="?")
    assert (await verify(wire.store)).faults == []
