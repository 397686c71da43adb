"""Breaking the glass: one object, a written reason, minutes; its own line in the ledger, an alarm at once."""

import json

import pytest

from evidence_store.client import verify_event
from evidence_store.config import load
from evidence_store.errors import CannotStart
from evidence_store.notify.storage import list_due_events
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from evidence_store.webhooks.model import KINDS, Hook
from evidence_store.webhooks.storage import list_due, set_delivered
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg

WHY = {"reason": "A child may be in danger tonight"}
OTHER = "AP-0000-0000"


def outsider(wire: Wire, *more: Scope) -> dict[str, str]:
    """A token of another incident that may break the glass."""
    return wire.token(Scope.READ, Scope.BREAK_GLASS, *more, incident=OTHER, name="duty")


async def status(wire: Wire, path: str, who: dict[str, str], method: str = "GET") -> int:
    async with wire.http.request(method, f"/evidence/v1{path}", headers=who, json={}) as answer:
        return answer.status


@both_databases
async def test_an_object_of_another_incident_opens_for_some_minutes_with_a_reason(wire: Wire, clock):
    data = jpeg(700)
    object_id, sibling = await wire.upload(data), await wire.upload(jpeg(800, 2))
    who, here = outsider(wire, Scope.ANNOTATE), f"/objects/{object_id}"
    assert await status(wire, here, who) == 404
    glass = await wire.ask("POST", f"{here}/break-glass", WHY, status=201, **who)
    assert glass["ends_at"] == "2026-03-02T10:15:00Z"
    await wire.ask("GET", here, **who)
    async with wire.http.get(f"/evidence/v1{here}/content", headers=who) as answer:
        assert await answer.read() == data
    for path, method in [
        (f"/objects/{sibling}", "GET"),
        (f"{here}/notes", "POST"),
        (f"{here}/label", "PUT"),
    ]:
        assert await status(wire, path, who, method) == 404, path
    assert await status(wire, here, outsider(wire)) == 404  # another token of the same name
    assert await status(wire, f"/objects?incident={INCIDENT}", who) == 403
    clock.move(minutes=15)
    assert await status(wire, here, who) == 404
    assert await status(wire, f"{here}/content", who) == 404
    lines = await wire.lines(object_id)
    [broken] = [line for line in lines if line["action"] == "break-glass"]
    assert (broken["purpose"], broken["actor"].split(":")[1]) == (WHY["reason"], "duty")
    assert broken["details"] == {"glass": glass["id"], "incident": INCIDENT, "until": "2026-03-02T10:15:00+00:00"}
    seen = [line for line in lines if line["sequence"] > broken["sequence"] and line["action"] != "refused"]
    assert [(line["action"], line["purpose"]) for line in seen] == [
        (action, f"break-glass {glass['id']}") for action in ("viewed", "downloaded")
    ]


async def test_without_the_scope_or_a_reason_the_glass_does_not_break(wire: Wire):
    object_id = await wire.upload(jpeg(700))
    here = f"/objects/{object_id}/break-glass"
    await wire.ask("POST", here, WHY, status=403, **wire.token(Scope.READ, incident=OTHER))
    for reason in ({}, {"reason": "because"}, {"reason": " " * 50}, {"reason": "x" * 501}, WHY | {"minutes": 600}):
        await wire.ask("POST", here, reason, status=400, **outsider(wire))
    await wire.ask("POST", f"/objects/{signing.new_id()}/break-glass", WHY, status=404, **outsider(wire))
    assert not [line for line in await wire.lines() if line["action"] == "break-glass"]


async def test_reading_needs_the_scope_to_read_and_a_quarantined_object_its_own(wire: Wire):
    path, auth = await wire.create(jpeg(900))
    await wire.patch(path, auth, 0, jpeg(900))
    await wire.digest(path, auth, "0" * 64)
    here = f"/objects/{path.rsplit('/', 1)[1]}"
    blind = wire.token(Scope.BREAK_GLASS, incident=OTHER)
    await wire.ask("POST", f"{here}/break-glass", WHY, status=201, **blind)
    assert await status(wire, here, blind) == 403
    who = outsider(wire)
    await wire.ask("POST", f"{here}/break-glass", WHY, status=201, **who)
    assert await status(wire, f"{here}/content", who) == 409


async def test_supervisors_are_told_who_when_and_why_by_web_and_webhook_in_the_same_transaction(wire: Wire, clock):
    wire.store.hooks = (Hook("control", "https://x.example/", frozenset(KINDS), b"s" * 32),)
    object_id, key = await wire.upload(jpeg(700)), {"Idempotency-Key": "once"}
    who = outsider(wire)
    for _ in range(2):
        glass = await wire.ask("POST", f"/objects/{object_id}/break-glass", WHY, status=201, **who, **key)
    await wire.ask(
        "POST", f"/objects/{object_id}/break-glass", {"reason": WHY["reason"] + "!"}, status=422, **who, **key
    )
    async with wire.store.database.read() as db:
        events = await list_due_events(db, now=clock(), limit=10)
        hooked = await list_due(db, "control", now=clock(), limit=10)
    told = [event.body for event in events if "break-glass" in event.body]
    assert len(told) == 1
    body = told[0].encode()
    event = verify_event(wire.store.keys.grant, body, signing.event_signature(wire.store.keys.grant, body))
    assert (event.type, event.object, event.incident, event.at) == ("break-glass", object_id, INCIDENT, clock())
    assert event.reason == WHY["reason"]
    assert event.actor.startswith("token:duty:")
    assert event.until is not None
    assert event.until.isoformat() == glass["ends_at"].replace("Z", "+00:00")
    assert [json.loads(one.body)["type"] for one in hooked] == ["received"]  # first things first; then:
    async with wire.store.database.begin() as db:
        await set_delivered(db, hooked[0], now=clock())
        [alarm] = await list_due(db, "control", now=clock(), limit=10)
    said = json.loads(alarm.body)
    assert (said["type"], said["actor"], said["reason"]) == ("break-glass", event.actor, event.reason)


@pytest.mark.parametrize("minutes", [0, 481])
def test_an_endless_glass_cannot_be_set(minutes):
    with pytest.raises(CannotStart, match="BREAK_GLASS"):
        load(None, data="d", keys="k", break_glass_minutes=minutes)
