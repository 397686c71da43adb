"""The ledger: every edit, drop, reorder, truncation and roll-back is found; proofs need no trust in the store."""

import asyncio
import hashlib
import json
import shutil
from datetime import UTC, datetime

import pytest
from sqlalchemy import Executable, text
from sqlalchemy.exc import DBAPIError

from evidence_store import ledger, merkle
from evidence_store.errors import Damaged
from evidence_store.model import Action
from evidence_store.sealing.notes import LedgerKey
from evidence_store.verify import verify
from evidence_store.verify_ledger import Witness
from tests.evidence import second_merkle
from tests.evidence.conftest import Wire, both_databases, jpeg

pytestmark = both_databases


async def four_objects(wire: Wire) -> list[str]:
    return [await wire.upload(jpeg(600 + n, n)) for n in range(4)]


async def change(wire: Wire, *statements: str | Executable) -> None:
    """Change the database as somebody would who owns it and lacks the keys: past the triggers."""
    async with wire.store.database.begin() as db:
        if wire.store.database.is_sqlite:
            for name in (
                (await db.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))).scalars().all()
            ):
                await db.execute(text(f"DROP TRIGGER {name}"))
        else:
            await db.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            await db.execute(text(statement) if isinstance(statement, str) else statement)


async def head_note(wire: Wire) -> str:
    async with wire.store.database.read() as db:
        return (await ledger.read_head(db)).note


async def test_an_untouched_store_holds(wire: Wire):
    await four_objects(wire)
    report = await verify(wire.store, witnesses=[Witness("on paper", await head_note(wire))])
    assert report.faults == []
    assert (report.objects, report.ledger_lines, report.checkpoints) == (4, 8, 1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET leaf = '{}' WHERE sequence = 1",
        "DELETE FROM ledger WHERE sequence = 8",
        "UPDATE ledger_nodes SET position = 99 WHERE position = 1",
        "DELETE FROM ledger_nodes",
        "UPDATE ledger_head SET size = 7",
        "UPDATE ledger_head SET size = 8",
        "DELETE FROM ledger_head",
        "DELETE FROM ledger_checkpoints",
        "UPDATE ledger_checkpoints SET size = 1",
    ],
)
async def test_the_database_itself_refuses_to_change_the_ledger(wire: Wire, statement):
    await four_objects(wire)
    async with wire.store.database.begin() as db:
        await ledger.keep_checkpoint(db, wire.store.keys.ledger)
    with pytest.raises(DBAPIError, match="the ledger only grows"):
        async with wire.store.database.begin() as db:
            await db.execute(text(statement))


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        pytest.param(
            ["UPDATE ledger SET leaf = replace(leaf, 'upload:', 'uplaod:') WHERE sequence = 3"],
            "Line 3 of the ledger is not the one that was written",
            id="an edited actor",
        ),
        pytest.param(
            ["UPDATE ledger SET leaf = replace(leaf, '\"details\"', ' \"details\"') WHERE sequence = 4"],
            "Line 4 ",
            id="a space",
        ),
        pytest.param(["UPDATE ledger SET leaf = '[]' WHERE sequence = 4"], "Line 4 ", id="no line at all"),
        pytest.param(
            ["UPDATE ledger SET object = '' WHERE sequence = 4"], "filed under an object", id="hidden from its object"
        ),
        pytest.param(["DELETE FROM ledger WHERE sequence = 5"], "Line 5 of the ledger is missing", id="a dropped line"),
        pytest.param(["DELETE FROM ledger WHERE sequence = 8"], "should end at line 8", id="the last line dropped"),
        pytest.param(
            [
                "UPDATE ledger SET sequence = 99 WHERE sequence = 3",
                "UPDATE ledger SET sequence = 3 WHERE sequence = 4",
                "UPDATE ledger SET sequence = 4 WHERE sequence = 99",
            ],
            "says that it is line 4: lines changed places",
            id="two lines in another order",
        ),
        pytest.param(
            [
                "DELETE FROM ledger WHERE sequence = 3",
                "UPDATE ledger SET sequence = sequence - 100 WHERE sequence > 3",
                "UPDATE ledger SET sequence = sequence + 99 WHERE sequence < 0",
            ],
            "Line 3 ",
            id="a dropped line with the rest moved up",
        ),
        pytest.param(
            ["UPDATE ledger_nodes SET hash = (SELECT hash FROM ledger_nodes WHERE position = 0) WHERE position = 2"],
            "tree at line 2 does not follow",
            id="a node",
        ),
        pytest.param(["DELETE FROM ledger_nodes WHERE position = 14"], "tree at line 8", id="a dropped node"),
        pytest.param(
            ["DELETE FROM ledger WHERE sequence > 6", "UPDATE ledger_head SET size = 6"],
            "not written by a holder of the ledger key",
            id="the end dropped and the head moved back",
        ),
        pytest.param(["DELETE FROM ledger_head"], "The ledger's head is gone", id="the head"),
        pytest.param(
            ["INSERT INTO ledger (sequence, object, leaf) VALUES (9, '', '{}')"],
            "Behind the ledger's head",
            id="a line more",
        ),
        pytest.param(["UPDATE objects SET sha256 = upper(sha256) WHERE sequence = 2"], "differ", id="an edited digest"),
        pytest.param(
            ["UPDATE objects SET incident = 'AP-OTHER'"], "description", id="objects moved to another incident"
        ),
        pytest.param(["DELETE FROM objects WHERE sequence = 2"], "the database does not", id="a dropped object"),
        pytest.param(
            ["UPDATE objects SET state = 'gone' WHERE sequence = 2"], "never writes ('gone'", id="a state that is none"
        ),
        pytest.param(
            ["UPDATE objects SET sequence = 99 WHERE sequence = 2"],
            "the ledger does not know it",
            id="an unlinked object",
        ),
    ],
)  # fmt: skip
async def test_every_change_of_the_ledger_is_found(wire: Wire, statements, fault):
    await four_objects(wire)
    await change(wire, *statements)
    assert fault in " ".join((await verify(wire.store)).faults)


@pytest.mark.parametrize("place", [4, 9])
async def test_a_line_that_is_nonsense_is_told_and_ends_nothing(wire: Wire, place: int):
    ids = await four_objects(wire)
    await wire.ask("PUT", f"/objects/{ids[0]}/label", {"mark": "JS/1", "description": "A window", "maker": "Jo"})
    await change(wire, "UPDATE labels SET mark = 'JS/2'", "UPDATE objects SET state = 'quarantined' WHERE sequence = 8")
    good = {
        "action": "received", "actor": "upload:x", "at": "2026-03-02T10:00:00.000000Z", "details": {}, "digest": "",
        "object": ids[place // 2 - 1], "purpose": "", "sequence": place, "v": 1,
    }  # fmt: skip
    for spoilt in (
        {"details": 7}, {"details": []}, {"object": "\ud800"}, {"object": "\0"}, {"actor": None}, {"at": 5},
        {"sequence": str(place)}, {"sequence": True}, {"sequence": 1},
    ):  # fmt: skip
        leaf = json.dumps(good | spoilt).replace(":", "\\:")  # or SQLAlchemy takes it for a parameter
        await change(wire, f"UPDATE ledger SET leaf = '{leaf}' WHERE sequence = {place}")
        async with asyncio.timeout(60):
            faults = " ".join((await verify(wire.store)).faults)
        assert f"Line {place} " in faults, spoilt
        assert "The label of object" in faults


async def rewrite(wire: Wire, lines: int, key: LedgerKey) -> None:
    """Write the first lines anew with another actor, tree and head included, signed by another key."""
    async with wire.store.database.read() as db:
        leaves = [row.leaf.replace("upload:", "thief:") for row in await ledger.list_rows(db, after=0, limit=lines)]
    tree, nodes = merkle.Tree(), []
    for leaf in leaves:
        nodes += tree.append(ledger.leaf_hash(leaf))
    await change(wire, "DELETE FROM ledger", "DELETE FROM ledger_nodes", "DELETE FROM ledger_head")
    async with wire.store.database.begin() as db:
        for n, leaf in enumerate(leaves):
            said = ledger.parse_leaf(leaf)
            row = {"n": n + 1, "object": said.object, "leaf": leaf}
            await db.execute(text("INSERT INTO ledger VALUES (:n, :object, :leaf)"), row)
        for n, found in enumerate(nodes):
            await db.execute(text("INSERT INTO ledger_nodes VALUES (:n, :found)"), {"n": n, "found": found})
        row = {"size": tree.size, "edge": b"".join(tree.edge), "note": key.sign(tree.size, tree.root())}
        await db.execute(text("INSERT INTO ledger_head VALUES (1, :size, :edge, :note)"), row)


async def test_a_ledger_computed_anew_without_the_ledger_key_is_found_and_nothing_is_added_to_it(wire: Wire):
    await four_objects(wire)
    await rewrite(wire, 8, LedgerKey(b"\x07" * 32, wire.store.keys.ledger.name))
    faults = (await verify(wire.store)).faults
    assert faults == ["The ledger's head was not written by a holder of the ledger key."]
    async with wire.http.get("/readyz") as answer:
        assert answer.status == 503
    with pytest.raises(Damaged):
        async with wire.store.database.begin() as db:
            await wire.store.record(db, actor="test", action=Action.VERIFIED, object_id="")


async def test_a_ledger_rewritten_with_the_ledger_key_is_found_by_a_checkpoint_kept_elsewhere(wire: Wire):
    await four_objects(wire)
    kept = Witness("on paper", await head_note(wire))
    await rewrite(wire, 8, wire.store.keys.ledger)
    faults = (await verify(wire.store, witnesses=[kept])).faults
    assert faults == [
        "The ledger is not the one of which a checkpoint at line 8 was kept on paper: "
        "a line between 1 and 8 was changed, dropped or moved."
    ]


async def roll_back(wire: Wire, ids: list[str]) -> None:
    """Put the store of four objects back to what it was after two, as a copy of that day would."""
    async with wire.store.database.read() as db:
        leaves = [row.leaf for row in await ledger.list_rows(db, after=0, limit=4)]
    tree, nodes = merkle.Tree(), []
    for leaf in leaves:
        nodes += tree.append(ledger.leaf_hash(leaf))
    note = wire.store.keys.ledger.sign(4, tree.root())  # Ed25519 signs alike: what the head was then
    edge = b"".join(tree.edge).hex()
    literal = f"X'{edge}'" if wire.store.database.is_sqlite else f"decode('{edge}', 'hex')"
    await change(
        wire,
        "DELETE FROM ledger WHERE sequence > 4",
        f"DELETE FROM ledger_nodes WHERE position >= {len(nodes)}",
        f"UPDATE ledger_head SET size = 4, edge = {literal}, note = '{note}'",
        "DELETE FROM ledger_checkpoints WHERE size > 4",
        "DELETE FROM objects WHERE sequence > 4",
    )
    for object_id in ids[2:]:
        shutil.rmtree(wire.store.backend.object_folder(object_id))


async def test_a_roll_back_is_found_by_a_checkpoint_kept_elsewhere(wire: Wire):
    ids = await four_objects(wire)
    kept = Witness("in the folder /mnt/force", await head_note(wire))
    await roll_back(wire, ids)
    assert (await verify(wire.store)).faults == []  # nothing in the store itself can tell
    assert (await verify(wire.store, witnesses=[kept])).faults == [
        "A checkpoint in the folder /mnt/force shows that the ledger had 8 lines; it has 4: its end was cut off, "
        "or the database was put back to an older copy."
    ]


async def test_a_checkpoint_that_is_not_ours_or_was_changed_is_told(wire: Wire):
    await four_objects(wire)
    note = await head_note(wire)
    foreign = LedgerKey(b"\x07" * 32, wire.store.keys.ledger.name).sign(8, b"\x01" * 32)
    for bad in (foreign, note.replace("\n8\n", "\n7\n"), note[:-2] + "\n", ""):
        faults = (await verify(wire.store, witnesses=[Witness("on paper", bad)])).faults
        assert faults == ["A checkpoint on paper was not signed by this ledger's key, or was changed."]


async def test_kept_checkpoints_are_held_against_the_lines(wire: Wire):
    async def keep() -> int:
        async with wire.store.database.begin() as db:
            return await ledger.keep_checkpoint(db, wire.store.keys.ledger)

    assert await keep() == 0
    await four_objects(wire)
    assert await keep() == 8
    assert await keep() == 8
    await wire.upload(jpeg(700, 9))
    await keep()
    assert (await verify(wire.store)).faults == []
    await rewrite(wire, 10, wire.store.keys.ledger)
    assert "a line between 1 and 8 was changed" in " ".join((await verify(wire.store)).faults)


async def test_what_happens_while_verify_runs_is_no_fault(wire: Wire):
    await four_objects(wire)
    seen = []

    async def go_on() -> None:
        await wire.upload(jpeg(900, 7))

    def progress(what: str, done: int, total: int) -> None:
        seen.append((what, done, total))

    await go_on()
    report = await verify(wire.store, progress=progress)
    assert report.faults == []
    assert ("ledger lines", 10, 10) in seen
    assert ("objects", 5, 5) in seen


async def test_the_ledger_can_be_checked_from_its_api_alone(wire: Wire):
    """With nothing of ours: hashes by hand, the signed note read by its specification."""
    await four_objects(wire)
    async with wire.http.get("/evidence/v1/ledger", headers=wire.token()) as answer:
        page = await answer.json()
    leaves = [entry["leaf"].encode() for entry in page["entries"]]
    assert [json.loads(leaf)["sequence"] for leaf in leaves] == list(range(1, 9))
    async with wire.http.get("/evidence/v1/ledger/checkpoint", headers=wire.token()) as answer:
        note = await answer.text()
    async with wire.http.get("/evidence/v1/ledger/key", headers=wire.token()) as answer:
        key = await answer.text()
    origin, size, root = check_note(note, key)
    assert (size, root) == (8, second_merkle.mth(leaves))
    assert page["checkpoint"] == note
    assert key.startswith(f"{origin}+")
    for n, leaf in enumerate(leaves):
        where = f"/evidence/v1/ledger/inclusion?sequence={n + 1}"
        async with wire.http.get(where, headers=wire.token()) as answer:
            proof = await answer.json()
        path = [bytes.fromhex(step) for step in proof["path"]]
        assert second_merkle.root_from_path(leaf, n, 8, path) == root == bytes.fromhex(proof["root"])
    where = "/evidence/v1/ledger/consistency?first=5"
    async with wire.http.get(where, headers=wire.token()) as answer:
        proof = await answer.json()
    assert [bytes.fromhex(step) for step in proof["path"]] == second_merkle.proof(5, leaves)


def check_note(note: str, verifier_key: str) -> tuple[str, int, bytes]:
    """Read a checkpoint by c2sp.org/signed-note and c2sp.org/tlog-checkpoint alone."""
    from base64 import b64decode

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    name, key_id, encoded = verifier_key.strip().split("+", 2)
    raw = b64decode(encoded)
    assert raw[0] == 1
    assert hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == key_id
    body, signature_line = note.rsplit("\n\n", 1)
    dash, signer, signature = signature_line.rstrip("\n").split(" ")
    assert (dash, signer) == ("—", name)
    assert b64decode(signature)[:4].hex() == key_id
    Ed25519PublicKey.from_public_bytes(raw[1:]).verify(b64decode(signature)[4:], f"{body}\n".encode())
    origin, size, root = body.split("\n")
    return origin, int(size), b64decode(root)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("inclusion", 400),
        ("inclusion?sequence=0", 400),
        ("inclusion?sequence=9", 400),
        ("inclusion?sequence=5&size=4", 400),
        ("inclusion?sequence=5&size=9", 400),
        ("inclusion?sequence=-1", 400),
        ("inclusion?sequence=x", 400),
        ("consistency?first=0", 400),
        ("consistency?first=9", 400),
        ("consistency?first=3&second=2", 400),
        ("checkpoint?size=3", 404),
        ("checkpoint?size=8", 200),
        ("consistency?first=8", 200),
    ],
)
async def test_what_cannot_be_proved_is_refused_plainly(wire: Wire, path, status):
    await four_objects(wire)
    async with wire.http.get(f"/evidence/v1/ledger/{path}", headers=wire.token()) as answer:
        assert answer.status == status, await answer.text()


async def test_the_lines_of_one_object_can_be_asked_for(wire: Wire):
    ids = await four_objects(wire)
    async with wire.http.get(f"/evidence/v1/ledger?object={ids[2]}", headers=wire.token()) as answer:
        page = await answer.json()
    assert [(entry["sequence"], entry["action"]) for entry in page["entries"]] == [
        (5, "upload opened"),
        (6, "received"),
    ]
    assert page["next"] is None


async def test_what_a_header_cannot_hold_is_written_as_a_question_mark(wire: Wire):
    async with wire.store.database.begin() as db:
        await wire.store.record(
            db, actor="test", action=Action.VIEWED, object_id="", purpose="bad \udcff byte \x00", note="Żółć \u2028"
        )
    async with wire.store.database.read() as db:
        (entry,) = await ledger.list_entries(db, after=0, limit=1)
    assert (entry.purpose, entry.details) == ("bad ? byte \x00", {"note": "Żółć \u2028"})
    assert (await verify(wire.store)).faults == []


async def test_many_lines_in_one_transaction_are_one_signature_and_all_or_nothing(wire: Wire):
    drafts = [ledger.Draft(datetime(2026, 3, 2, tzinfo=UTC), f"test {n}", Action.VERIFIED) for n in range(2500)]
    async with wire.store.database.begin() as db:
        assert await ledger.append(db, wire.store.keys.ledger, drafts) == 2500
    with pytest.raises(DBAPIError):  # noqa: PT012
        async with wire.store.database.begin() as db:
            await ledger.append(db, wire.store.keys.ledger, drafts)
            await db.execute(text("UPDATE ledger SET object = ''"))
    await wire.upload(jpeg(700))
    report = await verify(wire.store)
    assert (report.faults, report.ledger_lines) == ([], 2502)
