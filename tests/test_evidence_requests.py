"""What an officer asks for and the phone says of it: states, refusals, limits; on every database, with no store."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import AddStaff
from tests.evidence_support import Call, calling
from video_server.accounts.model import Role
from video_server.core.keys import write_secret
from video_server.evidence import drawing, model, service
from video_server.evidence.model import ItemState, Kind, RequestState


@pytest.fixture
async def call(database, settings, key_ring, clock, add_staff: AddStaff) -> AsyncIterator[Call]:
    """A call; the keys a store would have shared, and no store."""
    officer = await add_staff("smith", Role.OFFICER)
    write_secret(settings.keys_folder / "grant.key", b"g" * 32)
    write_secret(settings.keys_folder / "evidence.token", b"token")
    async with calling(database, settings, key_ring, clock, officer, with_store=False) as call:
        yield call


async def progress(call: Call, item_id: str, sent: int, total: int = 1_000) -> int:
    answer = await call.phone.post(f"/phone/evidence/items/{item_id}/progress", json={"sent": sent, "total": total})
    return answer.status


async def test_progress_shows_in_the_booth_and_stopping_opens_the_request_again(call, clock):
    request_id = await call.ask("video", "What the camera over the door saw")
    item_id = (await call.grant(request_id))["item"]
    async with call.database.read() as db:
        [drawn] = await drawing.for_officer(db, call.appointment.id)
    assert (drawn["state"], drawn["items"]) == ("open", [])
    assert await progress(call, item_id, 0) == 200
    clock.move(seconds=2)
    assert await progress(call, item_id, 400) == 200
    assert await progress(call, item_id, 401) == 200  # a moment later: passed over
    async with call.database.read() as db:
        [drawn] = await drawing.for_officer(db, call.appointment.id)
        [shown] = await drawing.for_person(db, call.appointment.id)
    assert (drawn["state"], drawn["items"][0]["sent"], drawn["items"][0]["total"]) == ("uploading", 400, 1_000)
    assert (shown["kind"], shown["note"], shown["received"]) == ("video", "What the camera over the door saw", 0)
    assert (await call.phone.post(f"/phone/evidence/items/{item_id}/cancel", json={})).status == 200
    [item] = (await call.request(request_id)).items
    assert ((await call.request(request_id)).state, item.state) == (RequestState.OPEN, ItemState.CANCELLED)
    assert await progress(call, item_id, 900) == 200
    assert (await call.request(request_id)).items == (item,)


async def test_what_was_withdrawn_is_not_shown_to_the_person_and_cannot_be_sent(call):
    request_id = await call.ask()
    here = f"/booth/appointments/{call.appointment.id}/evidence/{request_id}/withdraw"
    for _ in range(2):
        assert (await call.officer.post(here, json={})).status == 200
    refusal = await call.grant(request_id, status=409)
    assert refusal["error"] == "evidence_withdrawn"
    async with call.database.read() as db:
        assert await drawing.for_person(db, call.appointment.id) == []
    assert (await call.request(request_id)).state is RequestState.WITHDRAWN


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "weapon", "note": ""},
        {"kind": "photo", "note": 7},
        {"kind": "photo", "note": "", "max_bytes": 1},
        {"kind": "photo", "note": "x" * 301},
        [],
        "photo",
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(call, body):
    answer = await call.officer.post(f"/booth/appointments/{call.appointment.id}/evidence", json=body)
    assert answer.status in {400, 422}
    async with call.database.read() as db:
        assert await service.list_for(db, call.appointment.id) == []


@pytest.mark.parametrize("body", [{"sent": -1, "total": 5}, {"sent": 1, "total": 0}, {"sent": 1.5, "total": 2}, {}])
async def test_progress_that_makes_no_sense_is_refused(call, body):
    item_id = (await call.grant(await call.ask()))["item"]
    assert (await call.phone.post(f"/phone/evidence/items/{item_id}/progress", json=body)).status == 400


async def test_only_staff_ask_and_only_the_person_in_the_call_sends(call):
    request_id = await call.ask()
    here = f"/booth/appointments/{call.appointment.id}/evidence"
    asked = await call.phone.post(here, json={"kind": "photo", "note": ""}, allow_redirects=False)
    assert asked.status in {303, 401, 403}
    sent = await call.officer.post(f"/phone/evidence/requests/{request_id}/grant", json={})
    assert sent.status == 403


async def test_requests_and_files_have_an_end(call, monkeypatch):
    monkeypatch.setattr(model, "MOST_REQUESTS", 2)
    monkeypatch.setattr(model, "MOST_ITEMS", 2)
    request_id = await call.ask()
    await call.ask()
    answer = await call.officer.post(
        f"/booth/appointments/{call.appointment.id}/evidence", json={"kind": "photo", "note": ""}
    )
    assert answer.status == 429
    await call.grant(request_id)
    await call.grant(request_id)
    await call.grant(request_id, status=429)


async def test_after_the_end_nothing_is_asked_for(call):
    here = f"/booth/appointments/{call.appointment.id}"
    assert (await call.officer.post(f"{here}/end", json={"outcome": "seen"})).status == 200
    answer = await call.officer.post(f"{here}/evidence", json={"kind": "photo", "note": ""})
    assert (answer.status, (await answer.json())["error"]) == (409, "evidence_call_over")


async def test_with_the_store_down_people_are_told_in_plain_words_and_asked_to_try_again(call):
    headers = {"Tus-Resumable": "1.0.0", "Authorization": "Grant x", "Upload-Length": "5"}
    answer = await call.phone.post("/evidence/files/", headers={**headers, "Accept": "application/json"})
    said = await answer.json()
    assert (answer.status, said["error"]) == (503, "evidence_store_down")
    assert "try again in a minute" in said["message"]
    page = await call.phone.get("/evidence/v1/openapi.json", headers={"Accept": "text/html"})
    assert page.status == 503
    assert "Files cannot be received at the moment" in await page.text()
    ready = await call.phone.get("/readyz")
    assert (ready.status, (await ready.json())["parts"]["evidence"]) == (503, "failed")


async def test_without_the_shared_keys_nothing_can_be_sent_yet(database, settings, key_ring, clock, add_staff):
    officer = await add_staff("smith", Role.OFFICER)
    async with calling(database, settings, key_ring, clock, officer, with_store=False) as call:
        refusal = await call.grant(await call.ask(), status=503)
        assert refusal["error"] == "evidence_store_down"
        assert (await call.phone.post("/evidence-events", data=b"{}")).status == 503


def item(state: ItemState, total: int | None = 10) -> model.Item:
    from datetime import UTC, datetime

    at = datetime(2026, 3, 2, tzinfo=UTC)
    return model.Item("i" * 32, "r" * 32, "s" * 32, state, at, 0, total, at, None, None, None, None, None)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], RequestState.OPEN),
        ([item(ItemState.UPLOADING, None)], RequestState.OPEN),
        ([item(ItemState.UPLOADING)], RequestState.UPLOADING),
        ([item(ItemState.QUARANTINED), item(ItemState.RECEIVED)], RequestState.RECEIVED),
        ([item(ItemState.RECEIVED), item(ItemState.QUARANTINED)], RequestState.QUARANTINED),
        ([item(ItemState.RECEIVED), item(ItemState.CANCELLED)], RequestState.RECEIVED),
        ([item(ItemState.REFUSED)], RequestState.OPEN),
    ],
)
def test_the_newest_file_says_where_a_request_stands(states, expected):
    assert model.state_after(states) is expected


def test_every_kind_has_a_size_and_a_group():
    assert set(model.GROUPS) == set(model.MAX_BYTES) == set(Kind)
