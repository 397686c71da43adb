"""Release from quarantine: who may, knowing what, and that nothing comes out otherwise."""

import asyncio
import contextlib
import json
import re
import zipfile
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from evidence_store.app import open_store
from evidence_store.custody.service import Act
from evidence_store.errors import NotQuarantined, QuarantineChanged, Refusal
from evidence_store.model import ClientDigest, ObjectState
from evidence_store.quarantine import service
from evidence_store.quarantine.model import Standing, check_may_release
from evidence_store.screening import storage as screenings
from evidence_store.screening.clamd import Screened, Verdict
from evidence_store.screening.model import is_older, place_after
from evidence_store.screening.service import settle
from evidence_store.sealing import signing
from evidence_store.storage import find_object, move_object
from evidence_store.store import Store
from evidence_store.tokens import Scope, Token
from evidence_store.verify import verify
from evidence_store.webhooks.model import KINDS, Hook
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, sha256
from tests.evidence.court_support import Bare, give_out
from tests.evidence.test_trail import printed, words
from tests.evidence.test_view_pages import form_of
from tests.evidence.view_support import person, words_of

RECEIVED, QUARANTINED, WAITS = ObjectState.RECEIVED, ObjectState.QUARANTINED, ObjectState.SCREENING
WHY = {"reason": "The sender confirmed it by telephone"}


async def differing(wire: Wire, seed: int = 1) -> str:
    """Send a file with another digest than its own; return its id."""
    data = jpeg(900, seed)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data)
    assert (await wire.digest(path, auth, sha256(b"something else")))["state"] == "quarantined"
    return path.rsplit("/", 1)[1]


async def find(store: Store, object_id: str, verdict: Verdict, reason: str = "") -> str:
    """Have a verdict come for an object, as of a clamd; return the outcome."""
    async with store.database.begin() as db:
        stored = await find_object(db, object_id)
        known = await screenings.find(db, object_id) or await screenings.begin(db, object_id, now=store.clock())
        assert stored is not None
        assert known is not None
        await screenings.claim(db, known, next_at=store.clock())
    return await settle(store, stored, known, Screened(verdict, reason, "ClamAV 1/2/Mon Jan 5 10:00:00 2026"))


async def infected(wire: Wire, seed: int = 1) -> str:
    """Receive a file in which malware is found later; return its id."""
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(900, seed))
    assert await find(wire.store, object_id, Verdict.INFECTED, "Own.Test") == "quarantined"
    return object_id


async def why(wire: Wire, object_id: str) -> dict:
    return await wire.ask("GET", f"/objects/{object_id}/quarantine")


async def release(wire: Wire, object_id: str, *, status: int = 201, name: str = "ann", **headers: str) -> dict:
    asked = WHY | {"knowing": (await why(wire, object_id))["knowing"]}
    who = wire.token(name=name)
    return await wire.ask("POST", f"/objects/{object_id}/releases", asked, status=status, **who, **headers)


async def status(wire: Wire, object_id: str, path: str = "content") -> int:
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/{path}", headers=wire.token(Scope.READ)) as answer:
        if answer.status == 200:
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        return answer.status


async def refusals(wire: Wire, object_id: str) -> set[tuple[str, str]]:
    """Return what the ledger says was refused about an object: why, and what was asked."""
    said = [line["details"] for line in await wire.lines(object_id) if line["action"] == "refused"]
    return {(one["why"], one["asked"]) for one in said}


async def told(wire: Wire, object_id: str) -> list[dict]:
    async with wire.store.database.read() as db:
        rows = (await db.exec_driver_sql("SELECT body FROM webhook_deliveries ORDER BY sequence")).all()
    return [said for row in rows if (said := json.loads(row[0]))["object"] == object_id]


@both_databases
async def test_one_person_releases_what_came_with_another_digest(wire: Wire):
    wire.store.hooks = (Hook("records", "https://records.example/", frozenset(KINDS), b"s" * 32),)
    object_id = await differing(wire)
    found = await why(wire, object_id)
    assert (found["is_in"], found["people"], found["releases"]) == (True, 1, [])
    assert [one["code"] for one in found["causes"]] == ["digest differs", "not screened"]
    assert "Find out from the sender" in found["causes"][0]["says"]
    assert await status(wire, object_id) == 409
    key = {"Idempotency-Key": "r1"} | wire.token(name="ann")
    asked = WHY | {"knowing": found["knowing"]}
    made = await wire.ask("POST", f"/objects/{object_id}/releases", asked, status=201, **key)
    assert (made["state"], made["reason"], made["malware"]) == ("released", WHY["reason"], "")
    assert await wire.ask("POST", f"/objects/{object_id}/releases", asked, status=201, **key) == made
    assert await status(wire, object_id) == 200
    again = await wire.ask("POST", f"/objects/{object_id}/releases", asked, status=409)
    assert again["code"] == "not_quarantined"
    assert await refusals(wire, object_id) == {
        ("quarantined", "objects.content"),
        ("not_quarantined", "objects.release"),
    }
    assert not (await why(wire, object_id))["is_in"]
    line = [line for line in await wire.lines(object_id) if line["action"] == "quarantine reviewed"]
    assert len(line) == 1
    assert line[0]["actor"].startswith("token:ann:")
    assert line[0]["purpose"] == WHY["reason"]
    assert line[0]["details"] == {
        "release": made["id"], "outcome": "released", "client_digest": "different", "verdict": "", "found": "",
        "asked_at": wire.clock().isoformat(),
    }  # fmt: skip
    news = await told(wire, object_id)
    assert [(one["type"], one.get("release")) for one in news] == [("quarantined", None), ("received", made["id"])]
    assert news[1]["sequence"] == line[0]["sequence"]
    async with wire.store.database.read() as db:
        rows = (await db.execute(text("SELECT body FROM events ORDER BY made_at, id"))).scalars()
    assert sorted(json.loads(row)["type"] for row in rows) == ["quarantined", "received"]
    said = words(await printed(wire, object_id))
    assert "It was released from quarantine, so it is available." in said
    assert "the digest that the sender worked out was another one and it was not screened" in said
    assert (await verify(wire.store)).faults == []


@both_databases
async def test_malware_is_released_by_two_people_and_still_given_out_only_as_a_file(wire: Wire):
    object_id = await infected(wire)
    found = await why(wire, object_id)
    assert ([one["code"] for one in found["causes"]], found["people"]) == (["infected"], 2)
    made = await release(wire, object_id)
    assert (made["state"], made["malware"]) == ("proposed", "Own.Test")
    assert await status(wire, object_id) == 409
    assert (await release(wire, object_id, status=409, name="bob"))["code"] == "release_open"
    assert [one["id"] for one in (await wire.ask("GET", "/releases"))["releases"]] == [made["id"]]
    for same in ("ann", "ANN"):
        refused = await wire.ask("POST", f"/releases/{made['id']}/approve", WHY, status=403, **wire.token(name=same))
        assert refused["code"] == "same_person"
    bob = wire.token(name="bob")
    done = await wire.ask("POST", f"/releases/{made['id']}/approve", WHY, **bob)
    assert (done["state"], done["decided_by"].split(":")[1]) == ("released", "bob")
    assert await wire.ask("POST", f"/releases/{made['id']}/approve", WHY, **bob) == done
    late = await wire.ask("POST", f"/releases/{made['id']}/reject", WHY, status=409, **bob)
    assert late["code"] == "release_closed"
    assert await refusals(wire, object_id) == {
        ("quarantined", "objects.content"), ("release_open", "objects.release"), ("same_person", "releases.approve"),
        ("release_closed", "releases.reject"),
    }  # fmt: skip
    assert (await wire.ask("GET", "/releases"))["releases"] == []
    assert await status(wire, object_id) == 200
    detail = await wire.ask("GET", f"/objects/{object_id}")
    assert (detail["state"], detail["media"]["picture"]) == ("received", False)
    assert "malware was found" in detail["media"]["says"]
    outcomes = [
        (line["details"]["outcome"], line["details"].get("proposed_by", "").split(":")[1:2])
        for line in await wire.lines(object_id)
        if line["action"] == "quarantine reviewed"
    ]
    assert outcomes == [("proposed", []), ("released", ["ann"])]
    assert (await verify(wire.store)).faults == []
    assert await find(wire.store, object_id, Verdict.INFECTED, "Own.Test") == "unchanged"
    assert await status(wire, object_id) == 200, "what people decided knowing it stands"
    assert await find(wire.store, object_id, Verdict.INFECTED, "Other.Test") == "quarantined"
    assert await status(wire, object_id) == 409
    assert (await verify(wire.store)).faults == []


async def test_a_decision_is_about_what_was_known_when_it_was_made(wire: Wire):
    object_id = await differing(wire)
    stale = WHY | {"knowing": (await why(wire, object_id))["knowing"]}
    assert await find(wire.store, object_id, Verdict.CLEAN) == "unchanged", "clean, and the digest still differs"
    refused = await wire.ask("POST", f"/objects/{object_id}/releases", stale, status=409)
    assert refused["code"] == "quarantine_changed"
    assert [one["code"] for one in (await why(wire, object_id))["causes"]] == ["digest differs", "clean"]
    await find(wire.store, object_id, Verdict.INFECTED, "Own.Test")
    first = await release(wire, object_id)
    await find(wire.store, object_id, Verdict.INFECTED, "Other.Test")
    refused = await wire.ask("POST", f"/releases/{first['id']}/approve", WHY, status=409, **wire.token(name="bob"))
    assert refused["code"] == "quarantine_changed"
    changed = {("quarantine_changed", "objects.release"), ("quarantine_changed", "releases.approve")}
    assert await refusals(wire, object_id) == changed
    second = await release(wire, object_id, name="bob")
    states = [(one["id"], one["state"]) for one in (await why(wire, object_id))["releases"]]
    assert dict(states) == {first["id"]: "overtaken", second["id"]: "proposed"}
    rejected = await wire.ask("POST", f"/releases/{second['id']}/reject", WHY, **wire.token(name="ann"))
    assert rejected["state"] == "rejected"
    assert await status(wire, object_id) == 409
    assert (await verify(wire.store)).faults == []


async def test_what_newer_signatures_find_clean_waits_for_one_person(wire: Wire):
    object_id = await infected(wire)
    assert await find(wire.store, object_id, Verdict.UNKNOWN, "timeout") == "unchanged"
    assert (await why(wire, object_id))["people"] == 2, "not knowing takes nothing away that was known"
    assert await find(wire.store, object_id, Verdict.CLEAN) == "unchanged"
    assert await find(wire.store, object_id, Verdict.CLEAN) == "unchanged"
    found = await why(wire, object_id)
    assert ([one["code"] for one in found["causes"]], found["people"]) == (["clean since"], 1)
    assert (await release(wire, object_id))["state"] == "released"
    assert (await verify(wire.store)).faults == []


async def test_a_token_without_the_scope_or_of_another_incident_releases_nothing(wire: Wire):
    object_id, other = await differing(wire), await infected(wire)
    asked = WHY | {"knowing": (await why(wire, object_id))["knowing"]}
    poor = wire.token(*(scope for scope in Scope if scope is not Scope.RELEASE))
    await wire.ask("POST", f"/objects/{object_id}/releases", asked, status=403, **poor)
    made = await release(wire, other)
    foreign = wire.token(name="eve", incident="AP-0000-0000")
    await wire.ask("POST", f"/objects/{object_id}/releases", asked, status=404, **foreign)
    await wire.ask("POST", f"/releases/{made['id']}/approve", WHY, status=404, **foreign)
    await wire.ask("GET", f"/objects/{object_id}/quarantine", status=404, **foreign)
    assert (await wire.ask("GET", "/releases", **foreign))["releases"] == []
    await wire.ask("GET", f"/releases?incident={INCIDENT}", status=403, **foreign)
    refused = [line for line in await wire.lines(object_id) if line["action"] == "refused"]
    assert {line["details"]["asked"] for line in refused} == {"objects.release", "objects.quarantine"}
    assert await status(wire, object_id) == 409


@contextlib.asynccontextmanager
async def second_node(wire: Wire) -> AsyncIterator[Store]:
    store = open_store(wire.store.settings, wire.store.keys, now=wire.clock)
    yield store
    await store.close()


@both_databases
async def test_two_nodes_and_clamd_at_one_moment_come_to_one_end(wire: Wire):
    async with second_node(wire) as other:
        for n in range(4):
            object_id = await differing(wire, n)
            async with wire.store.database.read() as db:
                stored = await find_object(db, object_id)
                standing = await service.read_standing(db, stored)

            async def let_go(store: Store, name: str, stored=stored, knowing=standing.knowing) -> str:
                token = Token(signing.new_id()[:12], name, frozenset(Scope), None)
                act = Act(token.actor, signing.new_id())
                try:
                    made = await service.release(store, stored, act, token, knowing=knowing, reason=WHY["reason"])
                except Refusal as refusal:
                    return refusal.code
                return made.state.value

            *released, outcome = await asyncio.gather(
                let_go(wire.store, "ann"), let_go(other, "bob"), find(other, object_id, Verdict.INFECTED, "Own.Test")
            )
            state = (await wire.ask("GET", f"/objects/{object_id}"))["state"]
            lines = [line["details"]["outcome"] for line in await wire.lines(object_id) if "release" in line["details"]]
            assert state == "quarantined", "whichever came first, the malware was found"
            assert lines.count("released") == released.count("released") <= 1
            assert outcome == ("quarantined" if "released" in released else "unchanged")
            assert set(released) <= {"released", "not_quarantined", "quarantine_changed"}
    assert (await verify(wire.store)).faults == []


@both_databases
async def test_the_database_itself_lets_nothing_out_that_was_not_released_or_found_clean(wire: Wire):
    different, malware = await differing(wire), await infected(wire, 2)
    made = await release(wire, malware)

    async def run(statement: str, **values: str) -> None:
        async with wire.store.database.begin() as db:
            await db.execute(text(statement), values)

    for object_id in (different, malware):
        with pytest.raises(IntegrityError):
            await run("UPDATE objects SET state = 'received' WHERE id = :id", id=object_id)
    decided = "UPDATE releases SET state = 'released', decided_by = 'x', decided_name = :name WHERE id = :id"
    for name in (None, "ann", "Ann"):
        with pytest.raises(IntegrityError):
            await run(decided, id=made["id"], name=name)
    await find(wire.store, different, Verdict.CLEAN)
    with pytest.raises(IntegrityError):
        await run("UPDATE objects SET state = 'received' WHERE id = :id", id=different)
    await run(decided, id=made["id"], name="bob")
    async with wire.store.database.begin() as db:
        assert await move_object(db, malware, before=[QUARANTINED], after=RECEIVED)
    assert any(malware in fault for fault in (await verify(wire.store)).faults), "the ledger knows of no release"


async def test_a_court_package_tells_how_an_exhibit_was_screened_and_released(wire: Wire, bare: Bare, tmp_path):
    object_id = await infected(wire)
    made = await release(wire, object_id)
    await wire.ask("POST", f"/releases/{made['id']}/approve", WHY, **wire.token(name="bob"))
    package = tmp_path / "package.zip"
    package.write_bytes(await give_out(wire, [object_id, await differing(wire, 2)], quarantined=True))
    with zipfile.ZipFile(package) as file:
        read_me = file.read("README.txt").decode()
    assert read_me.count("MALWARE WAS FOUND IN IT: Own.Test") == 1
    said = bare.verify(package, "--key", wire.store.keys.ledger.public.fingerprint)
    assert said.code == 0
    for sentence in (
        "screened for malware: this was found: Own.Test. OPEN THE EXHIBIT ONLY ON A MACHINE THAT IS MEANT FOR THAT. "
        "It was put in quarantine.",
        "a person proposed to release it from quarantine, which needs a second one.",
        "it was released from quarantine by two people. What they knew: this was found in it: Own.Test.",
    ):
        assert sentence in said.text


async def test_staff_see_why_it_is_set_aside_and_release_it_on_the_pages(wire: Wire):
    object_id = await differing(wire)
    here = f"/evidence/view/objects/{object_id}"
    async with person(wire) as ann:
        page = await ann.get(here)
        assert "does not have the digest that the sender announced" in words_of(page)
        assert "It was not screened for malware." in words_of(page)
        assert f"{here}/quarantine" in page
        assert "Find out from the sender" in words_of(await ann.get(f"{here}/quarantine"))
        assert "Give the reason" in await ann.post(f"{here}/quarantine", status=422, reason="")
        act = form_of(await ann.get(f"{here}/quarantine"))["act"]
        check = await ann.post(f"{here}/quarantine", status=200, act=act, **WHY)
        assert "opened at once by everybody who may read" in words_of(check)
        sent = form_of(check) | {"confirm": "yes"}
        key = sent.pop("form_key")
        for _ in range(2):  # the form is sent twice, and done once
            assert "done=released" in await ann.post(f"{here}/quarantine", key=key, **sent)
        page = words_of(await ann.get(f"{here}?done=released"))
        assert "This is released from quarantine." in page
        assert "Released from quarantine" in page
        assert "not in quarantine any more" in await ann.post(f"{here}/quarantine", status=409, confirm="yes", **WHY)
        assert "not in quarantine any more" in await ann.get(f"{here}/quarantine", status=409)
    async with person(wire, "pat", role="officer", incident=INCIDENT) as pat:
        await pat.get(f"{here}/quarantine", status=403)


async def test_two_of_the_staff_release_malware_on_the_pages(wire: Wire):
    object_id = await infected(wire)
    here = f"/evidence/view/objects/{object_id}"
    async with person(wire) as ann, person(wire, "bob") as bob:
        assert "See what is in quarantine" in words_of(await ann.get("/evidence/view/work"))
        check = await ann.post(f"{here}/quarantine", status=200, **WHY)
        assert "stays in quarantine until a second person approves" in words_of(check)
        sent = form_of(check) | {"confirm": "yes"}
        await ann.post(f"{here}/quarantine", **{name: value for name, value in sent.items() if name != "form_key"})
        page = await ann.get(here)
        place = re.search(r"/evidence/view/releases/[0-9a-f]{32}", page)[0]
        assert f"{here}/quarantine" not in page, "one proposal at a time"
        assert "You proposed this release" in words_of(await ann.get(place))
        decision = {"decision": "approve", "reason": "A known false alarm", "confirm": "yes"}
        assert "You proposed this release" in await ann.post(place, status=422, **decision)
        [line] = [line for line in await wire.lines(object_id) if line["action"] == "refused"]
        assert (line["actor"].split(":")[1], line["details"]) == (
            "ann", {"why": "same_person", "asked": "POST /evidence/view/releases/{id}"},
        )  # fmt: skip
        assert place in await bob.get("/evidence/view/work")
        assert "Choose whether" in await bob.post(place, status=422, reason="None")
        asked = {name: value for name, value in decision.items() if name != "confirm"}
        assert "Approve and release" in await bob.post(place, status=200, **asked)
        await find(wire.store, object_id, Verdict.INFECTED, "Other.Test")
        assert "Something else is known of it" in await bob.post(place, status=422, **decision)
        assert "Look at it anew" in words_of(await bob.get(place))
        await find(wire.store, object_id, Verdict.INFECTED, "Own.Test")
        assert "done=released" in await bob.post(place, **decision)
        page = words_of(await bob.get(f"{here}?done=released"))
        assert "Released (Own.Test)" in page
        assert "Open it only on a machine that is meant for that" in page
        assert "Open it only on a machine that is meant for that" in words_of(await bob.get(f"{here}/original"))
        assert "malware was found in it when people released it" in page
        assert "Released" in words_of(await bob.get(place))


@pytest.mark.parametrize(
    ("state", "arrived", "before", "found", "is_known", "after"),
    [
        (WAITS, RECEIVED, "", Verdict.CLEAN, False, RECEIVED),
        (WAITS, RECEIVED, "", Verdict.UNKNOWN, False, QUARANTINED),
        (WAITS, RECEIVED, "", Verdict.INFECTED, False, QUARANTINED),
        (RECEIVED, RECEIVED, "", Verdict.INFECTED, False, QUARANTINED),
        (RECEIVED, RECEIVED, "clean", Verdict.UNKNOWN, False, RECEIVED),
        (RECEIVED, QUARANTINED, "infected", Verdict.INFECTED, True, RECEIVED),
        (QUARANTINED, RECEIVED, "unknown", Verdict.CLEAN, False, RECEIVED),
        (QUARANTINED, RECEIVED, "infected", Verdict.CLEAN, False, QUARANTINED),
        (QUARANTINED, RECEIVED, "clean", Verdict.CLEAN, False, QUARANTINED),
        (QUARANTINED, QUARANTINED, "unknown", Verdict.CLEAN, False, QUARANTINED),
        (QUARANTINED, RECEIVED, "infected", Verdict.INFECTED, True, QUARANTINED),
    ],
)
def test_a_verdict_moves_only_what_is_screenings_to_move(state, arrived, before, found, is_known, after):
    assert place_after(state, arrived, before, found, is_known=is_known) is after


def test_a_release_needs_quarantine_and_names_what_is_known():
    standing = Standing(ClientDigest.EQUAL, "infected", "Own.Test")
    check_may_release(QUARANTINED, standing, standing.knowing)
    with pytest.raises(NotQuarantined):
        check_may_release(RECEIVED, standing, standing.knowing)
    for other in (
        Standing(ClientDigest.DIFFERENT, "infected", "Own.Test"),
        Standing(ClientDigest.EQUAL, "infected", "Other.Test"),
        Standing(ClientDigest.EQUAL, "clean", ""),
    ):
        with pytest.raises(QuarantineChanged):
            check_may_release(QUARANTINED, standing, other.knowing)
    went = Standing(ClientDigest.EQUAL, "unknown", "timeout"), Standing(ClientDigest.EQUAL, "unknown", "refused")
    assert went[0].knowing == went[1].knowing, "how clamd failed is no news to a person"


def test_signatures_are_older_by_their_date_and_where_there_is_none_by_any_difference():
    first, second = "ClamAV 1.4.6/27456/Tue Nov 25 09:24:10 2026", "ClamAV 1.4.6/27457/Wed Nov 26 09:24:10 2026"
    assert (is_older(first, second), is_older(second, first), is_older(first, first)) == (True, False, False)
    assert (is_older("", second), is_older("ClamAV 1.4.5", "ClamAV 1.4.6")) == (True, True)
    assert not is_older("ClamAV 1.4.6", "ClamAV 1.4.6")
