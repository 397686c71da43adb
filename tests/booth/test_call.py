"""The call's page and what it sends: letting in, notes, the end."""

import json

import pytest

from tests.booth.conftest import deeds_of, path_of
from video_server.accounts.model import Role
from video_server.appointments import service as appointments
from video_server.appointments.model import State as Booking
from video_server.calls import notes
from video_server.calls import service as calls
from video_server.calls.model import State

TURN_URLS = ["turn:turn.example:3478?transport=udp", "turns:turn.example:443?transport=tcp"]


@pytest.fixture
def turn_servers(monkeypatch):
    monkeypatch.setenv("VIDEO_TURN_URLS", json.dumps(TURN_URLS))
    monkeypatch.setenv("VIDEO_TURN_SECRET", "7a" * 32)
    monkeypatch.setattr("video_server.calls.seats.TURN_RENEW_SECONDS", 0.0)


async def test_a_page_of_a_room_is_told_a_way_through_turn_that_soon_ends_and_is_renewed_while_it_stands(
    turn_servers, add_staff, sign_in, book, clock
):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    client = await sign_in("smith")
    assert "turn.example" not in await (await client.get("/booth")).text(), "only where there is a room"
    page = await (await client.get(path_of(appointment))).text()
    assert all(url in page for url in TURN_URLS)
    ends = []
    async with client.ws_connect(path_of(appointment, "socket")) as socket:
        while len(ends) < 2:
            message = await socket.receive_json()
            if message["type"] == "ice_servers":
                [server] = message["iceServers"]
                assert server["urls"] == TURN_URLS
                ends.append(int(server["username"].partition(":")[0]))
                clock.move(minutes=5)
    assert ends[0] <= clock.now.timestamp() - 300 + 600, "never more than ten minutes ahead"
    assert ends[1] > ends[0]


async def test_the_call_page_holds_what_the_officer_must_know(add_staff, sign_in, book):
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book(smith)
    page = await (await (await sign_in("smith")).get(path_of(appointment))).text()
    assert "Jo Bloggs" in page
    assert appointment.agreed_word in page
    assert "Do not name the police in messages." in page
    assert "+447700900123" not in page  # nobody rings from here
    config = json.loads(page.split('id="config">')[1].split("</script>")[0])
    assert config["socket"] == path_of(appointment, "socket")


async def test_admitting_lets_one_in_and_ends_the_others(add_staff, sign_in, book, guest, database):
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book(smith)
    one, two = await guest(appointment), await guest(appointment, device="Android, Chrome")
    client = await sign_in("smith")
    for _ in range(2):
        answer = await client.post(path_of(appointment, "admit"), json={"participant": two.id})
        assert (answer.status, await answer.json()) == (200, {"admitted": two.id})
    late = await client.post(path_of(appointment, "admit"), json={"participant": one.id})
    assert (late.status, (await late.json())["error"]) == (409, "not_waiting")
    async with database.read() as db:
        states = {person.id: person.state for person in (await calls.view(db, appointment.id)).participants}
    assert states == {one.id: State.REPLACED, two.id: State.ADMITTED}
    assert await deeds_of(database, appointment, "calls.admitted") == [f"staff:{smith.id}"]


async def test_somebody_from_another_appointment_is_never_let_in(add_staff, sign_in, book, guest):
    smith = await add_staff("smith", Role.OFFICER)
    mine, other = await book(smith), await book(smith, hours=1)
    person = await guest(other)
    answer = await (await sign_in("smith")).post(path_of(mine, "admit"), json={"participant": person.id})
    assert (answer.status, (await answer.json())["error"]) == (409, "not_waiting")


UNREADABLE = (b"", b"[]", b"null", b"{", b"\xff", b'{"participant": 1}', b'{"text": "", "version": true}', b"[" * 5000)


@pytest.mark.parametrize("action", ["admit", "note"])
async def test_what_cannot_be_read_is_a_plain_json_error(add_staff, sign_in, book, action):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    client = await sign_in("smith")
    typed = {"Content-Type": "application/json"}
    answers = [await client.post(path_of(appointment, action), data=body, headers=typed) for body in UNREADABLE]
    assert [(one.status, (await one.json())["error"]) for one in answers] == [(400, "not_understood")] * len(UNREADABLE)


async def test_notes_are_saved_as_typed_and_a_conflict_returns_both(add_staff, sign_in, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    client, url = await sign_in("smith"), path_of(appointment, "note")
    first = await client.post(url, json={"text": "Blue van", "version": 0})
    assert (first.status, (await first.json())["version"]) == (200, 1)
    again = await client.post(url, json={"text": "Blue van", "version": 0})  # the answer was lost on its way
    assert (again.status, (await again.json())["version"]) == (200, 1)
    other = await client.post(url, json={"text": "Red van", "version": 0})
    said = await other.json()
    assert (other.status, said["error"]) == (409, "note_changed")
    assert (said["note"]["text"], said["note"]["version"]) == ("Blue van", 1)
    assert "Blue van" in await (await client.get(path_of(appointment))).text()


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        pytest.param("x" * 20_001, 422, "note_too_long", id="too long"),
        pytest.param("a\x00b", 400, "not_understood", id="a NUL"),
        pytest.param("\ud800", 400, "not_understood", id="half a surrogate pair"),
    ],
)
async def test_notes_that_cannot_be_kept_are_refused_and_change_nothing(
    add_staff, sign_in, book, database, text, status, code
):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    client = await sign_in("smith")
    body = json.dumps({"text": text, "version": 0})
    answer = await client.post(path_of(appointment, "note"), data=body, headers={"Content-Type": "application/json"})
    assert (answer.status, (await answer.json())["error"]) == (status, code)
    async with database.read() as db:
        assert (await notes.get_note(db, appointment.id)).version == 0


@pytest.mark.parametrize("kind", ["json", "form"])
async def test_ending_twice_is_told_plainly_and_keeps_the_first_outcome(add_staff, sign_in, book, database, kind):
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book(smith)
    client, url = await sign_in("smith"), path_of(appointment, "end")
    if kind == "json":
        first = await client.post(url, json={"outcome": "seen"})
        assert (first.status, await first.json()) == (200, {"next": path_of(appointment, "summary")})
        second = await client.post(url, json={"outcome": "withdrew"})
        said = await second.json()
        assert (second.status, said["error"]) == (409, "already_ended")
        assert said["message"] == "This appointment has already ended."
    else:
        first = await client.post(url, data={"outcome": "seen"}, allow_redirects=False)
        assert (first.status, first.headers["Location"]) == (303, path_of(appointment, "summary"))
        second = await client.post(url, data={"outcome": "withdrew"})
        assert second.status == 409
        assert "This appointment has already ended." in await second.text()
    async with database.read() as db:
        assert (await appointments.get(db, appointment.id)).outcome == "seen"
    assert await deeds_of(database, appointment, "appointments.ended") == [f"staff:{smith.id}"]


@pytest.mark.parametrize("body", [{}, {"outcome": "x"}, {"outcome": ["seen"]}, {"outcome": None}])
async def test_an_end_without_a_known_outcome_is_refused(add_staff, sign_in, book, database, body):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    client = await sign_in("smith")
    answer = await client.post(path_of(appointment, "end"), json=body)
    assert (answer.status, (await answer.json())["error"]) == (422, "choose_outcome")
    async with database.read() as db:
        assert (await appointments.get(db, appointment.id)).state is Booking.BOOKED


async def test_without_a_script_the_page_tells_that_an_outcome_is_missing(add_staff, sign_in, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    answer = await (await sign_in("smith")).post(path_of(appointment, "end"), data={})
    page = await answer.text()
    assert answer.status == 422
    assert 'href="#outcome"' in page
    assert page.count("Choose what came of this appointment.") >= 2
