"""Holds, retention, review and disposal: what forbids that evidence goes, and what is left when it has gone."""

import asyncio
import random
import shutil
import threading
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
import requests
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from evidence_store import app_keys, ledger
from evidence_store.app import _finish_sealing
from evidence_store.backend import Busy
from evidence_store.database import METADATA
from evidence_store.errors import Disposed, Held, RetentionRuns, SamePerson
from evidence_store.keeping import service
from evidence_store.keeping.disposal import check_may_dispose, check_second_person
from evidence_store.keeping.model import Assigned, Hold, Review, ReviewState
from evidence_store.keeping.retention import keep_until
from evidence_store.model import ObjectState
from evidence_store.rotate import rotate
from evidence_store.scrub import scrub
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from evidence_store.verify import unseen, verify
from tests.evidence.conftest import INCIDENT, Process, Wire, both_databases, jpeg, sha256
from tests.evidence.earlier import seal_as_before_0011
from tests.evidence.second_merkle import root_from_path
from tests.evidence.test_kills import _LOST, Moments
from tests.evidence.test_ledger import change

DAY = datetime(2020, 2, 29, 12, tzinfo=UTC)
REASON = {"reason": "Case closed"}


@pytest.mark.parametrize(
    ("assigned", "until"),
    [
        pytest.param([], None, id="no class yet"),
        pytest.param([(6, DAY)], datetime(2026, 3, 1, 12, tzinfo=UTC), id="a leap day ends on 1 March"),
        pytest.param([(6, DAY), (10, DAY)], datetime(2030, 3, 1, 12, tzinfo=UTC), id="longest wins"),
        pytest.param([(6, DAY.replace(year=2024)), (8, DAY)], datetime(2030, 3, 1, 12, tzinfo=UTC), id="latest end"),
        pytest.param([(6, DAY), (None, DAY)], None, id="one for good wins"),
        pytest.param([(0, DAY)], DAY, id="no time at all"),
        pytest.param(
            [(500, DAY.replace(year=9904))], datetime(9999, 3, 1, 12, tzinfo=UTC), id="the last year there is"
        ),
    ],
)
def test_the_longest_class_wins(assigned, until):
    assert keep_until(Assigned(f"c{n}", years, start) for n, (years, start) in enumerate(assigned)) == until


def test_state_hold_and_retention_each_forbid_disposal():
    hold, kept, before = Hold("h", INCIDENT, "", "x", "t", DAY), ObjectState.RECEIVED, DAY - timedelta(days=1)
    check_may_dispose(kept, [], DAY, now=DAY)
    check_may_dispose(ObjectState.QUARANTINED, [], before, now=DAY)
    for state, holds, until, refusal in [
        (ObjectState.DISPOSED, [], before, Disposed),
        (ObjectState.DISPOSING, [], before, Disposed),
        (kept, [hold], before, Held),
        (kept, [], None, RetentionRuns),
        (kept, [], DAY + timedelta(seconds=1), RetentionRuns),
    ]:
        with pytest.raises(refusal):
            check_may_dispose(state, holds, until, now=DAY)


def test_the_second_person_is_another():
    review = Review("r", "o", INCIDENT, ReviewState.PROPOSED, "x", "token:Ann:1", "Ann", DAY)
    check_second_person(review, "Bob")
    with pytest.raises(SamePerson):
        check_second_person(review, "ann")


def person(wire: Wire, name: str, *scopes: Scope, incident: str | None = None) -> dict[str, str]:
    return wire.token(*scopes, name=name, incident=incident)


async def expired(wire: Wire, seed: int = 1, incident: str = INCIDENT) -> str:
    """Put an object whose retention has ended."""
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(3000, seed), **{"Evidence-Incident": incident})
    given = {"classes": [{"code": "other", "starts_at": "2010-01-01T00:00:00Z"}], **REASON}
    said = await wire.ask("PUT", f"/objects/{object_id}/retention", given)
    assert said["keep_until"] == "2016-01-01T00:00:00Z"
    return object_id


async def propose(wire: Wire, object_id: str, **who: str) -> str:
    asked = {"outcome": "dispose", **REASON}
    said = await wire.ask("POST", f"/objects/{object_id}/reviews", asked, status=201, **who or person(wire, "ann"))
    assert said["state"] == "proposed"
    return str(said["id"])


@both_databases
async def test_two_people_dispose_of_an_object_and_a_certificate_and_the_ledger_remain(wire: Wire):
    object_id, other = await expired(wire), await expired(wire, 2)
    await wire.ask("PUT", f"/objects/{object_id}/label", {"mark": "JS/1", "description": "Window", "maker": "Jo Smith"})
    folder = wire.store.backend.object_folder(object_id)
    assert folder.exists()
    review = await propose(wire, object_id)
    assert [one["id"] for one in (await wire.ask("GET", "/reviews"))["reviews"]] == [review]
    await wire.ask("GET", f"/reviews/{review}/certificate", status=404)
    for same in (person(wire, "ann"), person(wire, "Ann")):
        refused = await wire.ask("POST", f"/reviews/{review}/approve", REASON, status=403, **same)
        assert refused["code"] == "same_person"
    bob = person(wire, "bob")
    done = await wire.ask("POST", f"/reviews/{review}/approve", REASON, **bob)
    assert done["state"] == "done"
    assert await wire.ask("POST", f"/reviews/{review}/approve", REASON, **bob) == done
    refused = await wire.ask("POST", f"/reviews/{review}/reject", REASON, status=409, **bob)
    assert refused["code"] == "review_closed"
    assert not folder.exists()
    assert (await wire.ask("GET", f"/objects/{object_id}/content", status=410))["code"] == "disposed"
    assert (await wire.ask("GET", f"/objects/{object_id}"))["state"] == "disposed"
    assert (await wire.put(object_id, jpeg(3000, 1), status=200))["state"] == "disposed"
    assert not folder.exists()
    lines = [line for line in await wire.lines(object_id) if line["action"] in {"reviewed", "disposed"}]
    assert [(line["action"], line["details"].get("outcome")) for line in lines] == [
        ("reviewed", "proposed"), ("reviewed", "approved"), ("disposed", None),
    ]  # fmt: skip
    certificate = await wire.ask("GET", f"/reviews/{review}/certificate")
    assert (certificate["mark"], certificate["sha256"]) == ("JS/1", sha256(jpeg(3000, 1)))
    path = [bytes.fromhex(one) for one in certificate["path"]]
    root = root_from_path(certificate["leaf"].encode(), certificate["sequence"] - 1, certificate["size"], path)
    checkpoint = wire.store.keys.ledger.public.open(certificate["checkpoint"])
    assert (checkpoint.size, checkpoint.root) == (certificate["size"], root)
    assert (await verify(wire.store)).faults == []
    assert (await rotate(wire.store, progress=unseen)).faults == 0
    assert (await scrub(wire.store, pace=None, progress=unseen))[1] == []
    assert (await wire.ask("GET", f"/objects/{other}"))["state"] == "received"


@both_databases
async def test_an_open_hold_forbids_disposal_until_it_is_released(wire: Wire):
    object_id = await expired(wire)
    review = await propose(wire, object_id)
    held = {"incident": INCIDENT, "reason": "Appeal is open"}
    key = {"Idempotency-Key": "hold-1"} | person(wire, "ann")
    hold = await wire.ask("POST", "/holds", held, status=201, **key)
    assert await wire.ask("POST", "/holds", held, status=201, **key) == hold
    assert (await wire.ask("POST", "/holds", held | REASON, status=422, **key))["code"] == "key_reused"
    second = await wire.ask("POST", "/holds", held | {"object": object_id}, status=201)
    assert (await wire.ask("POST", f"/reviews/{review}/approve", REASON, status=409))["code"] == "held"
    for one in (hold, second):
        assert (await wire.ask("POST", f"/reviews/{review}/approve", REASON, status=409))["code"] == "held"
        who = person(wire, "cat")
        released = await wire.ask("POST", f"/holds/{one['id']}/release", REASON, **who)
        assert await wire.ask("POST", f"/holds/{one['id']}/release", REASON, **who) == released
        await wire.ask("POST", f"/holds/{one['id']}/release", REASON, status=409, **person(wire, "dan"))
    kept = await wire.ask("GET", f"/objects/{object_id}/keeping")
    assert [one["release_reason"] for one in kept["holds"]] == ["Case closed"] * 2
    assert len((await wire.ask("GET", f"/holds?incident={INCIDENT}"))["holds"]) == 2
    assert (await wire.ask("POST", f"/reviews/{review}/approve", REASON))["state"] == "done"
    gone = await wire.ask("POST", "/holds", held | {"object": object_id}, status=410)
    assert gone["code"] == "disposed"
    about = [(line["action"], line["object"], line["digest"]) for line in await wire.lines()]
    digest = (await wire.metadata(object_id))["sha256"]
    assert [one for one in about if one[0] in {"held", "released"}] == [
        ("held", "", ""), ("held", object_id, digest), ("released", "", ""), ("released", object_id, digest),
    ]  # fmt: skip


@both_databases
async def test_a_hold_and_an_approval_at_the_same_moment_never_both_win(wire: Wire):
    for n in range(4):
        object_id = await expired(wire, n, incident=f"AP-{n}")
        review = await propose(wire, object_id)
        asked = [
            ("/evidence/v1/holds", {"incident": f"AP-{n}", "object": object_id, "reason": "Appeal"}),
            (f"/evidence/v1/reviews/{review}/approve", REASON),
        ]

        async def send(url: str, body: dict) -> int:
            async with wire.http.post(url, headers=wire.token(), json=body) as answer:
                return answer.status

        random.Random(n).shuffle(asked)
        answers = sorted(await asyncio.gather(*(send(url, body) for url, body in asked)))
        state = (await wire.ask("GET", f"/objects/{object_id}"))["state"]
        assert (answers, state) in [([201, 409], "received"), ([200, 410], "disposed")]


@both_databases
async def test_what_must_be_kept_is_not_even_proposed(wire: Wire):
    object_id, ann = signing.new_id(), person(wire, "ann")
    await wire.put(object_id, jpeg(500))
    asked = {"outcome": "dispose", **REASON}
    for classes in (
        [],
        [{"code": "other"}],
        [{"code": "other", "starts_at": "2010-01-01T00:00:00Z"}, {"code": "for-good"}],
    ):
        await wire.ask("PUT", f"/objects/{object_id}/retention", {"classes": classes, **REASON})
        refused = await wire.ask("POST", f"/objects/{object_id}/reviews", asked, status=409, **ann)
        assert refused["code"] == "retention_runs"
    kept = await wire.ask("POST", f"/objects/{object_id}/reviews", {"outcome": "keep", **REASON}, status=201, **ann)
    assert kept["state"] == "kept"
    for wrong in ([{"code": "none"}], [{"code": "other"}] * 2, [{"code": "Other"}]):
        await wire.ask("PUT", f"/objects/{object_id}/retention", {"classes": wrong, **REASON}, status=400)
    await wire.ask("PUT", f"/objects/{object_id}/retention", {"classes": []}, status=400)


@both_databases
async def test_the_retention_table_is_the_forces_and_counts_at_once(wire: Wire):
    object_id = await expired(wire)
    codes = [one["code"] for one in (await wire.ask("GET", "/retention-classes"))["classes"]]
    assert codes == ["for-good", "other", "public-protection", "serious"]
    row = {"title": "All other offences", "years": 90, "source": "Force policy 12"}
    await wire.ask("PUT", "/retention-classes/other", row)
    await wire.ask("PUT", "/retention-classes/other", row)
    await wire.ask("PUT", "/retention-classes/stalking", row | {"years": None})
    kept = await wire.ask("GET", f"/objects/{object_id}/keeping")
    assert kept["retention"]["keep_until"] == "2100-01-01T00:00:00Z"
    changed = [line for line in await wire.lines() if line["action"] == "retention changed"]
    assert [line["details"].get("code") for line in changed] == [None, "other", "stalking"]
    alone = person(wire, "ann", Scope.RETENTION, incident=INCIDENT)
    await wire.ask("PUT", "/retention-classes/other", row | {"years": 0}, status=403, **alone)
    wrong = await wire.ask("PUT", "/retention-classes/Other!", row, status=400)
    assert "retention class's code" in wrong["detail"]


@both_databases
async def test_one_review_is_open_at_a_time_and_a_rejected_one_leaves_the_object(wire: Wire):
    object_id, key = await expired(wire), {"Idempotency-Key": "r1"} | person(wire, "ann")
    asked = {"outcome": "dispose", **REASON}
    first = await wire.ask("POST", f"/objects/{object_id}/reviews", asked, status=201, **key)
    assert await wire.ask("POST", f"/objects/{object_id}/reviews", asked, status=201, **key) == first
    again = await wire.ask("POST", f"/objects/{object_id}/reviews", asked, status=409)
    assert again["code"] == "review_open"
    rejected = await wire.ask("POST", f"/reviews/{first['id']}/reject", {"reason": "Linked to another case"})
    assert rejected["state"] == "rejected"
    await wire.ask("POST", f"/reviews/{first['id']}/approve", REASON, status=409)
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
        assert await answer.read() == jpeg(3000, 1)
    await propose(wire, object_id)


async def test_a_token_for_another_incident_touches_nothing(wire: Wire):
    object_id = await expired(wire)
    review = await propose(wire, object_id)
    hold = await wire.ask("POST", "/holds", {"incident": INCIDENT, **REASON}, status=201)
    foreign = person(wire, "eve", incident="AP-0000-0000")
    await wire.ask("POST", f"/reviews/{review}/approve", REASON, status=404, **foreign)
    await wire.ask("POST", f"/holds/{hold['id']}/release", REASON, status=404, **foreign)
    await wire.ask("POST", "/holds", {"incident": INCIDENT, **REASON}, status=403, **foreign)
    await wire.ask("GET", f"/holds?incident={INCIDENT}", status=403, **foreign)
    await wire.ask("GET", f"/objects/{object_id}/keeping", status=404, **foreign)
    assert (await wire.ask("GET", "/reviews", **foreign))["reviews"] == []
    misfiled = {"incident": "AP-0000-0000", "object": object_id, **REASON}
    await wire.ask("POST", "/holds", misfiled, status=404, **foreign)


@both_databases
async def test_the_database_itself_refuses_to_let_go_what_is_held_unreviewed_or_approved_by_one(wire: Wire):
    object_id = await expired(wire)

    async def run(statement: str) -> None:
        async with wire.store.database.begin() as db:
            await db.execute(text(statement), {"id": object_id})

    going = "UPDATE objects SET state = 'disposing' WHERE id = :id"
    with pytest.raises(IntegrityError):
        await run(going)
    review = await propose(wire, object_id)
    with pytest.raises(IntegrityError):
        await run(f"UPDATE reviews SET decided_by = 'x', decided_name = 'ANN' WHERE id = '{review}'")
    await run(f"UPDATE reviews SET state = 'approved', decided_by = 'x', decided_name = 'bob' WHERE id = '{review}'")
    hold = await wire.ask("POST", "/holds", {"incident": INCIDENT, **REASON}, status=201)
    with pytest.raises(IntegrityError):
        await run(going)
    await wire.ask("POST", f"/holds/{hold['id']}/release", REASON)
    await run(going)
    with pytest.raises(IntegrityError):
        await run("UPDATE objects SET state = 'received' WHERE id = :id")
    await service.finish_disposals(wire.store)
    assert wire.store.backend.keeps_any(object_id), "the signed ledger knows no approval"
    await run("UPDATE objects SET state = 'disposed' WHERE id = :id")
    with pytest.raises(IntegrityError):
        await run("UPDATE objects SET state = 'disposing' WHERE id = :id")
    faults = (await verify(wire.store)).faults
    assert faults == [
        f"Review {review}: database and ledger differ about it.",
        f"Object {object_id}: the database says it was disposed of, the ledger knows no approval.",
    ]


@both_databases
async def test_verify_finds_files_that_came_back(wire: Wire, tmp_path):
    object_id = await expired(wire)
    folder = wire.store.backend.object_folder(object_id)
    shutil.copytree(folder, tmp_path / "copy")
    await wire.ask("POST", f"/reviews/{await propose(wire, object_id)}/approve", REASON)
    shutil.copytree(tmp_path / "copy", folder)
    faults = (await verify(wire.store)).faults
    assert faults == [f"Object {object_id}: it was disposed of, and its files are still there."]


def test_disposals_killed_at_random_moments_are_finished_after_the_start(process: Process):
    rng, killed = random.Random(11), 0
    moments = Moments(rng, 0.06)

    def token(name: str) -> dict[str, str]:
        return process.token(name=name)

    def ask(method: str, path: str, who: str, body: dict | None = None) -> dict:
        answer = requests.request(
            method, f"{process.url}/evidence/v1{path}", headers=token(who), json=body, timeout=300
        )
        assert answer.ok, answer.text
        return dict(answer.json())

    for round_ in range(12):
        data, object_id = jpeg(rng.randrange(1000, 2_000_000), round_), signing.new_id()
        headers = token("web") | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Content-Type": "image/jpeg",
            "Evidence-Sha256": sha256(data),
        }  # fmt: skip
        put = requests.put(f"{process.url}/evidence/v1/objects/{object_id}", data=data, headers=headers, timeout=300)
        assert put.status_code == 201
        given = {"classes": [{"code": "other", "starts_at": "2010-01-01T00:00:00Z"}], **REASON}
        ask("PUT", f"/objects/{object_id}/retention", "ann", given)
        review = ask("POST", f"/objects/{object_id}/reviews", "ann", {"outcome": "dispose", **REASON})["id"]
        killer = threading.Timer(moments.draw(), process.kill)
        killer.start()
        bob = token("bob")
        url, answered = f"{process.url}/evidence/v1/reviews/{review}/approve", False
        with suppress(*_LOST):
            answered = requests.post(url, headers=bob, json=REASON, timeout=300).status_code == 200
        killer.join()
        killed += not answered
        moments.learn(answered=answered)
        process.start()
        state = ask("GET", f"/objects/{object_id}", "ann")["state"]
        assert state == "disposed" or (state == "received" and not answered)
        if state == "received":  # the approval was never taken: the same person says it again
            assert requests.post(url, headers=bob, json=REASON, timeout=300).json()["state"] == "done"
        assert not (process.folder / "data" / "objects" / object_id[:2] / object_id).exists()
        assert ask("GET", f"/reviews/{review}/certificate", "ann")["object"] == object_id
    assert killed, "the moments of the kills prove nothing: draw others"
    verified = process.verify()
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("forged", ["row", "line"])
async def test_nothing_is_destroyed_on_the_word_of_the_database_alone(wire: Wire, forged: str):
    """Somebody owns the database, and has neither the keys nor a right to what is sealed."""
    object_id = await wire.upload(jpeg(700))
    await change(wire, f"UPDATE objects SET state = 'disposing' WHERE id = '{object_id}'")
    review = Review(
        signing.new_id(), object_id, INCIDENT, ReviewState.APPROVED, "Over", "token:ann:1", "ann", DAY,
        decided_by="token:bob:2", decided_name="bob", decided_at=DAY, decision_reason="Over",
    )  # fmt: skip
    async with wire.store.database.begin() as db:
        await db.execute(insert(METADATA.tables["reviews"]), [asdict(review)])
    if forged == "line":
        for sequence, (name, outcome) in enumerate((("ann", "proposed"), ("bob", "approved")), start=1):
            leaf = ledger.canonical_json({
                "action": "reviewed", "actor": f"token:{name}:1", "at": "2026-03-02T10:00:00.000000Z",
                "details": {"outcome": outcome, "review": review.id}, "digest": "", "object": object_id, "purpose": "",
                "sequence": sequence, "v": 1,
            })  # fmt: skip
            found = ledger.leaf_hash(leaf).hex()
            literal = f"X'{found}'" if wire.store.database.is_sqlite else f"decode('{found}', 'hex')"
            escaped = leaf.replace(":", "\\:")
            await change(
                wire,
                f"UPDATE ledger SET leaf = '{escaped}', object = '{object_id}' WHERE sequence = {sequence}",
                f"UPDATE ledger_nodes SET hash = {literal} WHERE position = {sequence - 1}",
            )
    await service.finish_disposals(wire.store)
    assert wire.store.backend.keeps_any(object_id)
    assert "disposed" not in [line["action"] for line in await wire.lines(object_id)]
    assert (await verify(wire.store)).faults


@both_databases
async def test_nothing_is_disposed_of_under_words_that_the_ledger_does_not_vouch_for(wire: Wire):
    ids = [await expired(wire, seed) for seed in range(3)]
    new, proposed, approved = ids
    reviews = {one: await propose(wire, one) for one in (proposed, approved)}
    rows = [f"UPDATE objects SET sha256 = '{'0' * 64}', incident = 'AP-OTHER' WHERE id = '{one}'" for one in ids]
    await change(wire, *rows[:2])
    bob, asked = person(wire, "bob"), {"outcome": "dispose", **REASON}
    for refused in (
        await wire.ask("POST", f"/objects/{new}/reviews", asked, status=500, **bob),
        await wire.ask("POST", f"/reviews/{reviews[proposed]}/approve", REASON, status=500, **bob),
    ):
        assert refused["code"] == "damaged"
        assert "trail shows what was recorded; run 'evidence-store verify'" in refused["detail"]
    waiting = await wire.ask("GET", "/reviews")
    assert {one["object"] for one in waiting["reviews"]} == {proposed, approved}, "nothing was written of it"

    def busy(_object_id: str) -> None:
        raise Busy

    with pytest.MonkeyPatch.context() as patch:  # it is approved, and interrupted
        patch.setattr(wire.store.backend, "lock", busy)
        said = await wire.ask("POST", f"/reviews/{reviews[approved]}/approve", REASON, **bob)
        assert said["state"] == "approved"
    await change(wire, rows[2])
    before = wire.store.not_vouched
    for _ in range(2):
        await service.finish_disposals(wire.store)
    assert wire.store.not_vouched == before + 2
    for one in ids:
        assert wire.store.backend.keeps_any(one)
        actions = [line["action"] for line in await wire.lines(one)]
        assert ("disposed" in actions, actions.count("damaged")) == (False, 1)
    await change(wire, f"UPDATE objects SET sha256 = '{sha256(jpeg(3000, 2))}', incident = '{INCIDENT}' "
                       f"WHERE id = '{approved}'")  # fmt: skip
    await service.finish_disposals(wire.store)
    certificate = await wire.ask("GET", f"/reviews/{reviews[approved]}/certificate")
    assert (certificate["sha256"], certificate["incident"]) == (sha256(jpeg(3000, 2)), INCIDENT)
    assert not wire.store.backend.keeps_any(approved)


async def test_what_an_earlier_version_sealed_is_disposed_of_too(wire: Wire, monkeypatch: pytest.MonkeyPatch):
    seal_as_before_0011(monkeypatch)
    object_id = await expired(wire)
    done = await wire.ask("POST", f"/reviews/{await propose(wire, object_id)}/approve", REASON)
    assert done["state"] == "done"


async def test_a_row_never_chooses_what_is_removed(wire: Wire):
    """The names that a database gives lead nowhere but into the store's own folders, and never to a key."""
    kept, arriving = await wire.upload(jpeg(700)), (await wire.create(jpeg(700)))[0].rsplit("/", 1)[1]
    (opening,) = (wire.store.keys.folder / "opening").glob("*.key")
    before = opening.read_bytes()
    (wire.store.backend.root / "opening").mkdir()  # so that the path leads through a folder that is there
    await change(
        wire,
        f"UPDATE objects SET state = 'sealing', staging = '../objects' WHERE id = '{kept}'",
        f"UPDATE uploads SET id = '../opening/{opening.stem}' WHERE id = '{arriving}'",
    )
    wire.clock.move(days=30)
    await _finish_sealing(wire.store)
    await wire.app[app_keys.UPLOADS].sweep()
    assert opening.read_bytes() == before
    assert wire.store.backend.keeps_any(kept)
