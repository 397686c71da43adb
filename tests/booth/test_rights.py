"""Who sees which appointment, and taking a colleague's place."""

import pytest

from tests.booth.conftest import JSON, deeds_of, path_of
from video_server.accounts.model import Role
from video_server.calls import service as calls


async def test_an_officer_sees_own_appointments_and_a_supervisor_all(add_staff, sign_in, book):
    smith = await add_staff("smith", Role.OFFICER)
    jones = await add_staff("jones", Role.OFFICER, name="PC Jones", collar_number="99")
    await add_staff("boss", Role.SUPERVISOR, name="Sgt Boss")
    await book(smith, name="Jo Bloggs")
    await book(jones, name="Ann Other")
    own = await (await (await sign_in("smith")).get("/booth")).text()
    assert "Jo Bloggs" in own
    assert "Ann Other" not in own
    every = await (await (await sign_in("boss")).get("/booth")).text()
    assert "Jo Bloggs" in every
    assert "Ann Other" in every
    assert "PC Jones, 99" in every


@pytest.mark.parametrize("path", ["/booth", "/booth/diary-fragment", "/booth/cover", "call", "call/summary"])
async def test_other_roles_are_refused_and_strangers_sent_to_sign_in(add_staff, sign_in, browser, book, path):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    path = path.replace("call", path_of(appointment))
    await add_staff("handler", Role.CALL_HANDLER)
    assert (await (await sign_in("handler")).get(path)).status == 403
    stranger = await (await browser()).get(path, allow_redirects=False)
    assert (stranger.status, stranger.headers["Location"].partition("?")[0]) == (303, "/sign-in")


@pytest.mark.parametrize("action", ["admit", "note", "end", "takeover", "alerts/x/dismiss"])
async def test_every_action_refuses_other_roles_strangers_colleagues_and_unknown_appointments(
    add_staff, sign_in, browser, book, action
):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    await add_staff("handler", Role.CALL_HANDLER)
    await add_staff("jones", Role.OFFICER)
    bodies = {"admit": {"participant": "x"}, "note": {"text": "", "version": 0}, "end": {"outcome": "seen"}}
    path, body = path_of(appointment, action), bodies.get(action, {})
    assert (await (await browser()).post(path, json=body)).status == 401
    assert (await (await sign_in("handler")).post(path, json=body)).status == 403
    jones = await sign_in("jones")
    unknown = await jones.post(f"/booth/appointments/{'0' * 32}/{action}", json=body)
    assert (unknown.status, (await unknown.json())["error"]) == (404, "not_found")
    if action != "takeover":
        refused = await jones.post(path, json=body)
        assert (refused.status, (await refused.json())["error"]) == (403, "not_your_appointment")


async def test_an_unknown_appointment_is_a_plain_404(add_staff, sign_in):
    await add_staff("smith", Role.OFFICER)
    client = await sign_in("smith")
    for path in ("nothing", "0" * 32, "nothing/summary"):
        answer = await client.get(f"/booth/appointments/{path}")
        assert answer.status == 404
        assert 'data-problem="not_found"' in await answer.text()


async def test_the_socket_follows_the_same_rule_as_the_page(add_staff, sign_in, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    await add_staff("jones", Role.OFFICER)
    jones = await sign_in("jones")
    refused = await jones.get(path_of(appointment, "socket"), headers=JSON)
    assert (refused.status, (await refused.json())["error"]) == (403, "not_your_appointment")
    await jones.post(path_of(appointment, "takeover"))
    async with jones.ws_connect(path_of(appointment, "socket")) as socket:
        state = await socket.receive_json()
        assert state["type"] == "state"
        assert state["state"]["appointment"]["id"] == appointment.id


async def test_a_colleagues_appointment_opens_only_after_a_takeover_that_is_recorded_once(
    add_staff, sign_in, book, database
):
    smith = await add_staff("smith", Role.OFFICER)
    jones = await add_staff("jones", Role.OFFICER, name="PC Jones")
    appointment = await book(smith)
    client = await sign_in("jones")
    before = await client.get(path_of(appointment))
    page = await before.text()
    assert before.status == 403
    assert "colleague&#39;s appointment" in page.replace("'", "&#39;")
    assert "Jo Bloggs" not in page
    assert "Jo Bloggs" not in await (await client.get("/booth")).text()
    for _ in range(2):
        taken = await client.post(path_of(appointment, "takeover"), allow_redirects=False)
        assert (taken.status, taken.headers["Location"]) == (303, path_of(appointment))
    assert (await client.get(path_of(appointment))).status == 200
    assert "Jo Bloggs" in await (await client.get("/booth")).text()
    assert await deeds_of(database, appointment, "booth.taken_over") == [f"staff:{jones.id}"]
    assert (await (await sign_in("smith")).get(path_of(appointment))).status == 200


async def test_the_cover_page_finds_a_colleagues_appointment_without_naming_the_person(add_staff, sign_in, book):
    smith = await add_staff("smith", Role.OFFICER)
    await add_staff("jones", Role.OFFICER)
    appointment = await book(smith)
    page = await (await (await sign_in("jones")).get("/booth/cover")).text()
    assert path_of(appointment) in page
    assert "PC Smith" in page
    assert "Jo Bloggs" not in page
    assert "No colleague has an open appointment" in await (await (await sign_in("smith")).get("/booth/cover")).text()


async def test_what_is_over_cannot_be_taken_over(add_staff, sign_in, book, database, clock):
    smith = await add_staff("smith", Role.OFFICER)
    await add_staff("jones", Role.OFFICER)
    appointment = await book(smith)
    async with database.begin() as db:
        await calls.end_call(db, appointment.id, outcome="seen", by=smith.id, now=clock())
    client = await sign_in("jones")
    page = await client.get(path_of(appointment))
    assert page.status == 403
    assert "cannot be taken over" in await page.text()
    refused = await client.post(path_of(appointment, "takeover"), json={})
    assert (refused.status, (await refused.json())["error"]) == (409, "too_late_to_take_over")
