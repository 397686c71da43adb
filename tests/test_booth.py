"""The officer's booth: the diary, the call's page, notes, the end, taking a colleague's place."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, Route, async_playwright, expect

from tests.conftest import PASSWORD, HeldClock
from tests.evidence_support import until
from video_server.accounts.model import Role, Staff
from video_server.app import make_app
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment
from video_server.appointments.model import State as Booking
from video_server.audit import service as audit
from video_server.booth import deeds, diary
from video_server.calls import arriving, notes, page_news, presence, safety
from video_server.calls import service as calls
from video_server.calls.model import Participant, State, Watched, Word
from video_server.calls.model import Role as InRoom
from video_server.calls.quality import LinkFigures, Meter, PageFigures, Way
from video_server.config import Settings
from video_server.core.database import Database
from video_server.core.force import Force
from video_server.core.keys import KeyRing
from video_server.incidents import service as incidents
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.model import SafeContact, Wording
from video_server.web import sessions

FORCE = Force()
JSON = {"Accept": "application/json"}
AXE = Path(__file__).parent.parent / "node_modules/axe-core/axe.min.js"
NASTY = "<img src=x onerror=\"document.title='owned'\"> O'Brien"

PATIENCE_MS = 90_000  # machines differ
expect.set_options(timeout=PATIENCE_MS)

Book = Callable[..., Awaitable[Appointment]]
Guest = Callable[..., Awaitable[Participant]]


@pytest.fixture
def book(database: Database, key_ring: KeyRing, clock: HeldClock) -> Book:
    """Book a person with an officer: await book(officer, hours=1, name="Jo Bloggs")."""

    async def make(officer: Staff, *, hours: float = 0, name: str = "Jo Bloggs") -> Appointment:
        async with database.begin() as db:
            incident = await incidents.record_incident(
                db,
                offence_type="burglary",
                victim_name=name,
                victim_mobile="+447700900123",
                language="en",
                safe_contact=SafeContact(True, Wording.NEUTRAL, None, None),
                eligibility=Eligibility(True, True, True, True),
                by=f"staff:{officer.id}",
                now=clock(),
            )
            return await appointments.book(
                db,
                incident=incident,
                person_id=incident.victim_id,
                starts_at=clock() + timedelta(hours=hours),
                officer_id=officer.id,
                by=officer.id,
                now=clock(),
                force=FORCE,
                key_ring=key_ring,
                allow_any_time=True,
            )

    return make


@pytest.fixture
def guest(database: Database, clock: HeldClock) -> Guest:
    """Let one more session of the link come, as far as asked: await guest(appointment, "waiting", word=…, device=…)."""

    async def come(
        appointment: Appointment, until: str = "waiting", *, word: str = "", device: str = "iPhone, Safari"
    ) -> Participant:
        now = clock()
        async with database.begin() as db:
            session, _ = await sessions.open_session(db, "phone", appointment.id, now=now)
            named = {"session_id": session.id, "now": now}
            person = await arriving.arrive(db, appointment, role=InRoom.VICTIM, device=device, **named)
            await presence.take_socket(db, person, socket=session.id, now=now)
            if until == "unsafe":
                await safety.answer_safety(db, appointment, safe_place=False, watched=None, **named)
            if until in {"waiting", "exited"}:
                await safety.answer_safety(db, appointment, safe_place=True, watched=Watched.NO, **named)
                if word:
                    await safety.give_word(db, appointment, word=word, **named)
                await calls.start_waiting(db, person.id, now=now)
            if until == "exited":
                await calls.exit_on_purpose(db, appointment.id, **named)
            return await calls.get_participant(db, person.id)

    return come


def path_of(appointment: Appointment, action: str = "") -> str:
    return f"/booth/appointments/{appointment.id}" + (f"/{action}" if action else "")


async def deeds_of(database: Database, appointment: Appointment, action: str) -> list[str]:
    """Return who did this to an appointment."""
    async with database.read() as db:
        return [one.actor for one in await audit.list_for(db, f"appointment:{appointment.id}") if one.action == action]


# --- who sees what ---


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


# --- taking over ---


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


# --- the diary ---

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def visit(state: State, **values: Any) -> Participant:
    """A person in a room, connected unless said otherwise."""
    plain: dict[str, Any] = {
        "waiting_since": None,
        "admitted_at": None,
        "left_at": None,
        "left_how": None,
        "connected": True,
        "seen_at": NOW,
        "silent_since": None,
    }
    return Participant(
        id="p",
        appointment_id="a",
        session_id="s",
        role=InRoom.VICTIM,
        state=state,
        device="",
        word=Word.NONE,
        arrived_at=NOW - timedelta(minutes=9),
        socket=None,
        **{**plain, **values},
    )


def planned(**values: Any) -> Appointment:
    """An appointment that starts now."""
    return replace(
        Appointment(
            id="a",
            incident_id="i",
            person_id="p",
            officer_id="o",
            starts_at=NOW,
            ends_at=NOW + timedelta(minutes=45),
            state=Booking.BOOKED,
            generation=1,
            agreed_word="",
            booked_by="",
            booked_at=NOW,
            ended_at=None,
            outcome=None,
            seen_at=None,
        ),
        **values,
    )


EARLIER, FIVE = NOW - timedelta(minutes=2), timedelta(minutes=5)
GONE = {"connected": False, "left_at": EARLIER}


@pytest.mark.parametrize(
    ("appointment", "people", "standing", "since"),
    [
        pytest.param(planned(), [], "booked", None, id="nobody yet, and it is time"),
        pytest.param(planned(starts_at=NOW - FIVE), [], "nobody", NOW - FIVE, id="nobody yet, five minutes late"),
        pytest.param(planned(ends_at=NOW), [], "unfinished", NOW, id="over without an outcome"),
        pytest.param(planned(state=Booking.CANCELLED), [], "cancelled", None, id="cancelled"),
        pytest.param(planned(state=Booking.ENDED, ended_at=NOW), [visit(State.ENDED)], "ended", NOW, id="ended"),
        pytest.param(
            planned(), [visit(State.ARRIVED)], "arrived", NOW - timedelta(minutes=9), id="has opened the link"
        ),
        pytest.param(planned(), [visit(State.WAITING, waiting_since=EARLIER)], "waiting", EARLIER, id="waits"),
        pytest.param(
            planned(),
            [visit(State.WAITING, waiting_since=NOW), visit(State.WAITING, waiting_since=EARLIER)],
            "waiting",
            EARLIER,
            id="two devices wait: since the first",
        ),
        pytest.param(
            planned(), [visit(State.WAITING, waiting_since=NOW, **GONE)], "left", EARLIER, id="waited, closed the page"
        ),
        pytest.param(
            planned(),
            [visit(State.WAITING, waiting_since=NOW, seen_at=NOW - timedelta(seconds=11))],
            "booked",
            None,
            id="waited on a server that died",
        ),
        pytest.param(planned(), [visit(State.ADMITTED, admitted_at=EARLIER)], "in_call", EARLIER, id="in the call"),
        pytest.param(
            planned(ends_at=NOW),
            [visit(State.ADMITTED, admitted_at=EARLIER)],
            "in_call",
            EARLIER,
            id="in the call past the end",
        ),
        pytest.param(planned(), [visit(State.ADMITTED, silent_since=EARLIER)], "lost", EARLIER, id="not heard"),
        pytest.param(planned(), [visit(State.ADMITTED, **GONE)], "lost", EARLIER, id="page gone in mid-call"),
        pytest.param(planned(), [visit(State.EXITED, **GONE)], "exited", EARLIER, id="left on purpose"),
        pytest.param(
            planned(),
            [visit(State.EXITED, **GONE), visit(State.WAITING, waiting_since=NOW)],
            "waiting",
            NOW,
            id="left on purpose, came back by themselves",
        ),
        pytest.param(planned(), [visit(State.UNSAFE, **GONE)], "unsafe", EARLIER, id="not safe"),
        pytest.param(planned(), [visit(State.LEFT, **GONE)], "left", EARLIER, id="left by the button"),
    ],
)
def test_where_an_appointment_stands(appointment, people, standing, since):
    line = diary.read_line(appointment, people, now=NOW)
    assert (line.standing, line.since) == (standing, since)


def test_an_officer_in_the_room_is_not_taken_for_the_person():
    officer = replace(visit(State.ADMITTED), role=InRoom.OFFICER)
    assert diary.read_line(planned(), [officer], now=NOW).standing == "booked"


async def test_the_diary_says_who_waits_since_when_and_leads_to_the_call(add_staff, sign_in, book, guest, clock):
    smith = await add_staff("smith", Role.OFFICER)
    now, later = await book(smith), await book(smith, hours=2)
    clock.move(minutes=1)
    await guest(now)
    page = await (await (await sign_in("smith")).get("/booth")).text()
    assert "since 10:01am" in page
    assert 'data-standing="waiting"' in page
    assert "Burglary" in page
    assert path_of(later) in page


async def test_the_diary_turns_to_other_days_and_refuses_what_is_no_day(add_staff, sign_in, book):
    smith = await add_staff("smith", Role.OFFICER)
    await book(smith, hours=24, name="Tom Morrow")
    client = await sign_in("smith")
    today = await (await client.get("/booth")).text()
    assert "Tom Morrow" not in today
    assert "/booth?day=2026-03-03" in today
    tomorrow = await (await client.get("/booth?day=2026-03-03")).text()
    assert "Tuesday 3 March 2026" in tomorrow
    assert "Tom Morrow" in tomorrow
    for wrong in ("tomorrow", "2026-02-30", "0001-01-01", "9999-12-31"):
        answer = await client.get("/booth", params={"day": wrong})
        assert (answer.status, "not_a_day" in await answer.text()) == (400, True)


async def test_the_fragment_is_sent_only_when_it_changed_and_escapes_names(add_staff, sign_in, book, guest):
    smith = await add_staff("smith", Role.OFFICER, name=NASTY)
    await add_staff("boss", Role.SUPERVISOR)
    appointment = await book(smith, name=NASTY)
    client = await sign_in("boss")
    first = await client.get("/booth/diary-fragment")
    text = await first.text()
    assert "<img" not in text
    assert text.count("&lt;img src=x") >= 2  # the person and the officer
    seen = {"seen": first.headers["X-Diary"]}
    assert (await client.get("/booth/diary-fragment", params=seen)).status == 204
    await guest(appointment)
    assert (await client.get("/booth/diary-fragment", params=seen)).status == 200


@pytest.mark.parametrize(
    ("how", "words"),
    [("unsafe", "Do not ring back. Do not send a text."), ("exited", "Do not ring back: somebody may be looking")],
)
async def test_an_alert_stands_on_the_diary_until_somebody_says_they_have_seen_it(
    add_staff, sign_in, book, guest, database, clock, how, words
):
    smith = await add_staff("smith", Role.OFFICER)
    appointment, other = await book(smith), await book(smith, hours=1)
    await guest(appointment, how)
    async with database.read() as db:
        [alert] = (await calls.view(db, appointment.id)).alerts
    client = await sign_in("smith")
    assert words in await (await client.get("/booth")).text()
    assert words not in await (await client.get("/booth?day=2026-03-03")).text()
    clock.move(days=1)
    client = await sign_in("smith")
    assert words in await (await client.get("/booth")).text()  # nobody has seen it, so it is still there tomorrow
    elsewhere = await client.post(path_of(other, f"alerts/{alert.id}/dismiss"), json={})
    assert (elsewhere.status, (await elsewhere.json())["error"]) == (404, "not_found")
    answer = await client.post(path_of(appointment, f"alerts/{alert.id}/dismiss"), allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/booth")
    assert (await client.post(path_of(appointment, f"alerts/{alert.id}/dismiss"), json={})).status == 200
    assert words not in await (await client.get("/booth")).text()
    assert await deeds_of(database, appointment, "calls.alert_dismissed") == [f"staff:{smith.id}"]
    summary = await (await client.get(path_of(appointment, "summary"))).text()
    assert "noted the alert" in summary


# --- the call's page ---


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


async def test_the_summary_holds_times_outcome_notes_and_every_deed_in_words(
    add_staff, sign_in, book, guest, clock, database
):
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book(smith)
    client = await sign_in("smith")
    clock.move(minutes=1)
    await guest(appointment, "unsafe")
    clock.move(minutes=1)
    await guest(appointment, "exited")
    clock.move(minutes=1)
    person = await guest(appointment, word="wrong word")
    clock.move(minutes=1)
    async with database.begin() as db:
        await presence.renew_presence(db, [person.socket], now=clock())  # the page is still open
    await client.post(path_of(appointment, "admit"), json={"participant": person.id})
    for version, text in enumerate(("Blue", "Blue van", "Blue van <b>")):
        clock.move(minutes=version)  # saved as typed, recorded once a minute
        await client.post(path_of(appointment, "note"), json={"text": text, "version": version})
    clock.move(minutes=27)
    async with database.begin() as db:
        await calls.leave(db, person.id, now=clock())
    await client.post(path_of(appointment, "end"), json={"outcome": "rebook"})
    moved = await client.get(path_of(appointment), allow_redirects=False)
    assert (moved.status, moved.headers["Location"]) == (303, path_of(appointment, "summary"))
    page = await (await client.get(path_of(appointment, "summary"))).text()
    for words in (
        "Started, another appointment is needed",
        "at 10:04am",  # seen
        "at 10:34am",  # ended
        "Blue van &lt;b&gt;",
        "PC Smith, 1234",
        "let the person in",
        "gave a wrong agreed word",
        "3 times",
    ):
        assert words in page
    assert "saved the notes" in page
    codes = [
        cell for cell in page.split('<td class="govuk-table__cell">') if cell.split("<")[0].strip().count(".") == 1
    ]
    assert codes == []  # an action that has no words would stand there as its code


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("of", ["evidence", "statements"])
def test_every_deed_on_evidence_and_statements_has_words(of, database_url):
    source = "\n".join(file.read_text() for file in sorted((Path(deeds.__file__).parent.parent / of).glob("*.py")))
    told = set(re.findall(r'tell\([^")]*?"(\w+)"', source)) | set(re.findall(r'action = "(\w+)"', source))
    assert len(told) > 5
    assert {f"{of}.{deed}" for deed in told} <= set(deeds.WORDS)


async def test_the_summary_tells_how_the_connection_was_and_why_each_gap_came(
    add_staff, sign_in, book, guest, clock, database
):
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book(smith)
    client = await sign_in("smith")
    person = await guest(appointment)
    await client.post(path_of(appointment, "admit"), json={"participant": person.id})
    meter = Meter(person.id)
    meter.add_page(PageFigures(2, 0.01, 1280, 720, 80.0))
    link = LinkFigures(Way(900_000, 0.04, 5), Way(800_000, 0.01, 5), 100.0, "no_picture")
    stretches = [meter.add_link(link, clock.move(seconds=5)) for _ in range(6)]
    async with database.begin() as db:
        await page_news.keep_stretch(db, appointment.id, stretches[-1])
        await presence.note_silence(db, person.id, why="silent", now=clock())
        await presence.note_sound(db, person.id, now=clock.move(seconds=12))
        told = {"type": "broke", "why": "network_changed", "ago_ms": 12_000, "lasted_ms": 12_000}
        await page_news.hear(db, await calls.get_participant(db, person.id), told, now=clock())
    await client.post(path_of(appointment, "end"), json={"outcome": "seen"})
    page = " ".join((await (await client.get(path_of(appointment, "summary"))).text()).split())
    for words in (
        "Fair",
        "was sent no picture for 30 s",
        "Over 30 s: lost 4.0 % of what was sent, 4.0 % at the worst.",
        "Sent 0.90 Mbit/s, was sent 0.80; jitter 5 ms.",
        "There and back 97 ms.",
        "The picture stood still 2 times.",
        "1.0 % of the sound was made up.",
        "Picture 1280 × 720.",
        "Their device changed networks",
        ", 12 s</td>",
    ):
        assert words in page, words


# --- in a real browser ---


@pytest.fixture
async def booth(
    database: Database, settings: Settings, key_ring: KeyRing, clock: HeldClock
) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Sign in with a real browser: await booth("smith", width=1280, height=800, bypass_csp=False)."""
    server = TestServer(make_app(settings, key_ring, clock=clock))
    await server.start_server()
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
        )

        async def enter(username: str, *, width: int = 1280, height: int = 800, bypass_csp: bool = False) -> Page:
            context = await chromium.new_context(
                base_url=str(server.make_url("/")),
                viewport={"width": width, "height": height},
                bypass_csp=bypass_csp,
                locale="en-GB",
            )
            context.set_default_timeout(PATIENCE_MS)
            page = await context.new_page()
            await page.goto("/sign-in")
            await page.get_by_label("Username").fill(username)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Sign in").click()
            await page.wait_for_url(lambda url: "/sign-in" not in url)
            await page.goto("/booth")
            return page

        yield enter
        await chromium.close()
    await server.close()


async def test_the_diary_tells_by_itself_that_somebody_started_to_wait(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER), name=NASTY)
    page = await booth("smith")
    await page.locator(f"#open-{appointment.id}").focus()
    await guest(appointment)
    await expect(page.locator("[data-standing=waiting]")).to_be_visible()
    await expect(page.locator("#diary-news")).to_contain_text("O'Brien is waiting")
    await expect(page).to_have_title("(1 waiting) Diary, Monday 2 March 2026")
    await expect(page.locator(f"#open-{appointment.id}")).to_be_focused()


async def test_notes_survive_a_reload_and_two_windows_lose_nothing(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.get_by_label("Notes").fill("Blue van")
    await expect(page.locator("#note-state")).to_have_text("Saved at 10am")
    await page.reload()
    await expect(page.get_by_label("Notes")).to_have_value("Blue van")
    other = await page.context.new_page()
    await other.goto(path_of(appointment))
    await other.get_by_label("Notes").fill("Blue van, broken light")
    await expect(other.locator("#note-state")).to_have_text("Saved at 10am")
    await page.get_by_label("Notes").fill("Blue van, two men")
    await expect(page.get_by_label("What was saved there")).to_have_value("Blue van, broken light")
    await expect(page.get_by_label("Notes")).to_have_value("Blue van, two men")
    await page.get_by_role("button", name="Put both together").click()
    await expect(page.locator("#note-state")).to_have_text("Saved at 10am")
    await other.reload()
    await expect(other.get_by_label("Notes")).to_have_value("Blue van, broken light\n\nBlue van, two men")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_second_tab_takes_a_call_over_only_when_told_to_and_says_so_in_the_first(
    booth, add_staff, book, database
):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    await add_staff("boss", Role.SUPERVISOR, name="Sgt Boss")
    first = await booth("boss")

    async def joins(page: Page, listening: str) -> None:
        await expect(page.locator("#headline-more")).to_have_text("They have not opened the link yet.")
        await expect(page.locator("#people-listening")).to_have_text(listening)
        await expect(page.locator("#elsewhere")).to_be_hidden()

    async def stands_aside(page: Page) -> None:
        await expect(page.locator("#elsewhere")).to_contain_text("You have this call open in another tab")
        await expect(page.locator("#people-panel")).to_be_hidden()
        await expect(page.get_by_label("Notes", exact=True)).to_be_visible()

    listens = "A supervisor, Sgt Boss, is listening."
    await first.goto(path_of(appointment))
    await joins(first, "")
    await first.reload()
    await joins(first, "")
    second = await first.context.new_page()
    await second.goto(f"{path_of(appointment)}?listen")
    await stands_aside(second)
    async with database.read() as db:
        [person] = (await calls.view(db, appointment.id)).participants
    assert (person.role, person.state, person.connected) == (InRoom.OFFICER, State.ADMITTED, True)
    await second.get_by_role("button", name="Listen here instead").click()
    await joins(second, listens)
    await stands_aside(first)
    await first.get_by_role("button", name="Go on here").click()
    await joins(first, "")
    await stands_aside(second)
    await second.reload()
    await stands_aside(second)
    await first.close()
    await joins(second, listens)


async def test_the_officer_sees_devices_apart_and_is_asked_before_a_wrong_word_gets_in(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER), name=NASTY)
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await expect(page.locator("#headline")).to_contain_text("Waiting for")
    await guest(appointment, word=appointment.agreed_word)
    await guest(appointment, word="guessed", device="Android, Chrome")
    right, wrong = page.locator(".app-wait", has_text="iPhone, Safari"), page.locator(".app-wait", has_text="Android")
    await expect(right).to_contain_text("Gave the right agreed word")
    await expect(wrong).to_contain_text("Gave a wrong agreed word")
    await expect(page.locator("#headline")).to_contain_text("2 devices wait")
    await wrong.get_by_role("button").click()
    await expect(page.get_by_role("dialog")).to_contain_text("gave a wrong agreed word")
    await page.keyboard.press("Escape")
    await expect(wrong.get_by_role("button")).to_be_focused()
    await right.get_by_role("button").click()
    await page.get_by_role("dialog").get_by_role("button", name="Let in").click()
    await expect(right).to_contain_text("In the call since 10am")
    await expect(wrong).to_contain_text("Ended: another device was let in")
    assert "owned" not in await page.title()


async def test_leaving_on_purpose_and_not_safe_are_told_on_the_call_page(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await guest(appointment, "exited")
    await expect(page.locator("#headline-text")).to_have_text("Jo Bloggs left on purpose: do not ring back")
    await page.get_by_role("button", name="I have seen this").click()
    await expect(page.locator("#alerts section")).to_have_count(0)
    await guest(appointment, "unsafe", device="Android, Chrome")
    await expect(page.locator("#headline-text")).to_have_text("Jo Bloggs said it is not safe to talk: do not ring back")


async def test_the_call_ends_with_an_outcome_after_one_question(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    other = await page.context.new_page()
    await other.goto("/booth")
    await page.get_by_role("button", name="End the call").first.click()
    await expect(page.locator("#outcome")).to_be_focused()
    end = page.locator("#end-form").get_by_role("button", name="End the call")
    await end.click()
    await expect(page.locator("#end-problem")).to_have_text("Choose what came of this appointment.")
    await page.get_by_label("Notes").fill("typed just before the end")
    await page.get_by_label("The person did not join").check()
    await end.click()
    await page.get_by_role("dialog").get_by_role("button", name="End the call").click()
    await page.wait_for_url("**/summary")
    await expect(page.locator(".app-outcome")).to_have_text("The person did not join")
    await expect(page.locator(".app-note")).to_have_text("typed just before the end")
    await expect(other.locator("[data-standing=ended]")).to_be_visible()


async def test_ending_with_an_unsigned_statement_says_what_that_means(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.get_by_role("button", name="Begin a statement").click()
    await expect(page.get_by_label("What they say")).to_be_focused()
    await page.get_by_label("Started, another appointment is needed").check()
    await page.locator("#end-form").get_by_role("button", name="End the call").click()
    await expect(page.get_by_role("dialog")).to_contain_text(
        "The statement is not signed, and after the end it cannot be."
    )
    await page.get_by_role("dialog").get_by_role("button", name="End the call").click()
    await page.wait_for_url("**/summary")
    await expect(page.locator("main")).to_contain_text("Statement 1 was not signed. Its drafts are kept.")


async def test_a_statement_begun_amid_other_news_has_the_cursor_in_its_text(booth, add_staff, book):
    """Each news of the room asks for the statement anew, and makes stale what was asked before it."""
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page, statements = await booth("smith"), path_of(appointment, "statements")
    answers: asyncio.Queue[str] = asyncio.Queue()
    page.on("response", lambda one: one.url.endswith(statements) and answers.put_nowait(one.url))
    await page.goto(path_of(appointment))
    for _ in ("when it was opened", "when it joined the room"):
        await answers.get()
    await expect(page.locator("#statement-state")).to_have_text("None yet.")
    begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asked: asyncio.Queue[Route] = asyncio.Queue()
    held: list[Route] = []
    freed = asyncio.Event()

    async def hold(route: Route) -> None:
        if freed.is_set():
            await route.continue_()
        elif route.request.method == "GET":
            asked.put_nowait(route)
        else:
            answer = await route.fetch()
            held.append(await asked.get())  # the room told of the statement before its answer came
            begun.set_result((await answer.json())["id"])
            await route.fulfill(response=answer)

    await page.route(f"**{statements}", hold)
    await page.get_by_role("button", name="Begin a statement").click()
    path = f"{statements}/{await begun}/heading"
    held.append(await asked.get())  # asked because the answer may be older than what the room told
    assert await page.get_by_label("What they say").is_hidden()
    while not asked.empty():
        held.append(asked.get_nowait())
    send = "([path, body]) => import('/static/now/js/post.js').then(({ post }) => post(path, body))"
    await page.evaluate(send, [path, {"name": "Sam", "age": None, "reader": "", "language": "en"}])
    held.append(await asked.get())  # asked for these news
    freed.set()  # the page waits for what it asked last, and may have asked once more
    while not asked.empty():
        held.append(asked.get_nowait())
    for route in held:
        await route.continue_()
    await expect(page.get_by_label("What they say")).to_be_focused()


async def test_an_exhibit_on_a_slow_way_leaves_the_officer_where_they_write_on(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.get_by_role("button", name="Begin a statement").click()
    field, mark = page.get_by_label("What they say"), page.get_by_label("Mark, such as")
    await expect(field).to_be_focused()
    held: asyncio.Queue[Route] = asyncio.Queue()
    await page.route("**/exhibits", held.put)
    await mark.fill("JB/1")
    await page.get_by_label("What it is").fill("Photo of the door")
    await page.get_by_role("button", name="Add exhibit").click()
    route = await held.get()
    await mark.fill("JB/2")
    await field.focus()
    await route.continue_()
    await expect(page.locator("#statement-exhibits")).to_contain_text("JB/1 Photo of the door")
    await expect(mark).to_have_value("JB/2")
    await expect(field).to_be_focused()

    remove = page.get_by_role("button", name="Remove exhibit JB/1")
    await remove.focus()
    send = "([path, body]) => import('/static/now/js/post.js').then(({ post }) => post(path, body))"
    await page.evaluate(send, [route.request.url.replace("exhibits", "text"), {"text": "I saw it.", "version": 0}])
    await expect(field).to_have_value("I saw it.")  # the statement was drawn anew
    await expect(remove).to_be_focused()


async def test_a_guest_typed_while_another_is_being_invited_is_the_next_one(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    held: asyncio.Queue[Route] = asyncio.Queue()
    await page.route("**/guests", held.put)
    await page.get_by_text("Invite somebody").click()
    name = page.get_by_label("Name, as all in the call are told")
    await name.fill("Ann Other")
    await name.press("Enter")
    route = await held.get()
    await name.fill("Ben Other")
    await name.press("Enter")
    await route.continue_()
    await expect(page.locator("#people-said")).to_contain_text("Ann Other")
    await expect(name).to_have_value("Ben Other")
    await name.press("Enter")
    await (await held.get()).continue_()
    await expect(page.locator("#people-said")).to_contain_text("Ben Other")


async def test_notes_whose_answer_was_lost_are_not_taken_for_another_window_s(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    lost = asyncio.Event()

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()
        lost.set()

    await page.route("**/note", lose, times=1)
    await page.get_by_label("Notes", exact=True).fill("Blue van")
    await lost.wait()
    await page.get_by_label("Notes", exact=True).fill("Blue van, two men")
    await expect(page.locator("#note-state")).to_have_text("Saved at 10am")
    await expect(page.locator("#note-conflict")).to_be_hidden()
    await page.reload()
    await expect(page.get_by_label("Notes", exact=True)).to_have_value("Blue van, two men")


async def test_the_call_does_not_end_over_words_that_are_not_saved(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.route("**/note", lambda route: route.abort())
    await page.get_by_label("Notes").fill("Blue van")
    await page.get_by_label("The person did not join").check()
    end = page.locator("#end-form").get_by_role("button", name="End the call")
    await end.click()
    await page.get_by_role("dialog").get_by_role("button", name="End the call").click()
    await expect(page.locator("#end-problem")).to_contain_text("not saved yet, so the call goes on", timeout=60_000)
    await page.unroute("**/note")
    await expect(page.locator("#note-state")).to_have_text("Saved at 10am", timeout=60_000)  # tried again in a while
    await end.click()
    await page.get_by_role("dialog").get_by_role("button", name="End the call").click()
    await page.wait_for_url("**/summary")


@pytest.mark.parametrize(("held", "words"), [(False, "07700 900123"), (True, "decide with your supervisor")])
async def test_when_not_even_sound_gets_through_the_number_to_ring_is_shown_unless_contact_is_held(
    booth, add_staff, book, guest, database, clock, held, words
):
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book(smith)
    person = await guest(appointment)
    async with database.begin() as db:
        await calls.admit(db, appointment, person.id, by=smith.id, now=clock())
        if held:
            await incidents.hold_contact(db, appointment.person_id, why="unsafe_answer", by="system", now=clock())
        reference = (await incidents.get_incident(db, appointment.incident_id)).reference
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await expect(page.locator(".app-wait")).to_have_count(1)
    await expect(page.locator("#ring")).to_be_hidden()
    async with database.begin() as db:
        await page_news.note_ring(db, person.id, on=True, now=clock.move(seconds=1))
    await expect(page.locator("#ring")).to_contain_text(words)
    if held:
        await expect(page.locator("#ring")).not_to_contain_text(reference)
    else:
        await expect(page.locator("#ring")).to_contain_text(reference)
    await expect(page.locator(".app-wait__gap")).to_contain_text("the connection is too weak for sound")
    async with database.begin() as db:
        await page_news.note_ring(db, person.id, on=False, now=clock.move(seconds=1))
    await expect(page.locator("#ring")).to_be_hidden()


async def test_mute_camera_and_keys_work_and_a_reload_goes_back_on_camera(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.get_by_role("button", name="Go on camera").click()
    await page.get_by_role("button", name="Mute").click()
    await expect(page.locator("#own-notice")).to_contain_text("nobody hears you")
    await page.keyboard.press("Alt+KeyM")
    await expect(page.locator("#own-notice")).to_be_empty()
    await page.keyboard.press("Alt+KeyC")
    await expect(page.locator("#own-notice")).to_contain_text("nobody sees you")
    await page.keyboard.press("Alt+KeyN")
    await expect(page.get_by_label("Notes")).to_be_focused()
    await page.reload()
    await expect(page.get_by_role("button", name="Leave the call")).to_be_visible()
    await page.get_by_role("button", name="Leave the call").click()
    await expect(page.get_by_role("button", name="Go on camera")).to_be_focused()


async def test_a_picture_taken_back_while_it_is_put_on_its_line_is_not_sent(booth, add_staff):
    """A browser says only afterwards what a line carries: two wishes at once must not look at the line at once."""
    await add_staff("smith", Role.OFFICER)
    page = await booth("smith")
    sent = await page.evaluate(
        """async () => {
            const { Call } = await import("/static/now/js/media.js");
            const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
            const call = new Call({ socket: new EventTarget(), stream });
            const line = new RTCPeerConnection();
            const [audio, video, screen] = ["audio", "video", "video"].map((kind) => line.addTransceiver(kind).sender);
            call.senders = { audio, video, screen };
            await call.setWithoutPicture("wish", true);
            const sent = [video.track?.kind];
            await Promise.all([false, true].map((without) => call.setWithoutPicture("wish", without)));
            sent.push(video.track?.kind);
            await Promise.all([true, false].map((without) => call.setWithoutPicture("wish", without)));
            return [...sent, video.track?.kind, audio.track?.kind];
        }"""
    )
    assert sent == [None, None, "video", "audio"]


async def test_a_call_that_was_left_tells_of_no_refusal_that_comes_later(booth, add_staff):
    """Else it would end the next call, which was begun meanwhile."""
    await add_staff("smith", Role.OFFICER)
    page = await booth("smith")
    told = await page.evaluate(
        """async () => {
            const { Call } = await import("/static/now/js/media.js");
            let refuse = () => {};
            const asked = new Promise((resolve) => {
                const request = () => new Promise((_, reject) => { refuse = reject; resolve(); });
                window.socket = Object.assign(new EventTarget(), { request });
            });
            const call = new Call({ socket: window.socket, stream: new MediaStream() });
            const told = [];
            call.addEventListener("failed", () => told.push("failed"));
            const started = call.start().catch(() => told.push("rejected"));
            await asked;
            call.close();
            refuse({ code: "cannot_join" });
            await started;
            return told;
        }"""
    )
    assert told == []


async def test_a_camera_that_opens_after_the_call_went_to_another_tab_is_closed_at_once(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.add_init_script(
        """
        const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
        const released = new Promise((resolve) => (window.release = resolve));
        window.opened = [];
        media.getUserMedia = async (wish) => {
            const stream = await open(wish);
            window.opened.push(...stream.getTracks());
            await released;
            return stream;
        };
        """
    )
    await page.goto(path_of(appointment))
    await page.get_by_role("button", name="Go on camera").click()
    await until("the camera to be on its way", lambda: page.evaluate("opened.length >= 2"))
    other = await page.context.new_page()
    await other.goto(path_of(appointment))
    await other.get_by_role("button", name="Go on here").click()
    await expect(page.locator("#elsewhere")).to_be_visible()
    await page.evaluate("release()")
    ended = "opened.every((track) => track.readyState === 'ended')"
    await until("the camera to be off again", lambda: page.evaluate(ended))


async def test_the_picture_stays_in_sight_on_a_desktop_while_the_rest_scrolls(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith", width=1280, height=800)
    await page.goto(path_of(appointment))
    await page.locator("#end-form").get_by_role("button").scroll_into_view_if_needed()
    await page.mouse.wheel(0, 5000)
    await expect(page.locator(".app-picture")).to_be_in_viewport(ratio=1)
    await expect(page.locator("#go-to-end")).to_be_in_viewport(ratio=1)


AXE_RUN = """() => axe
  .run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
  .then((found) => found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`))"""


@pytest.mark.parametrize("width", [375, 1280])
async def test_no_page_has_an_accessibility_fault_or_is_wider_than_its_screen(
    booth, add_staff, book, guest, database, clock, tmp_path, width
):
    smith = await add_staff("smith", Role.OFFICER)
    jones = await add_staff("jones", Role.OFFICER, name="PC Jones")
    await add_staff("boss", Role.SUPERVISOR, name="Sgt Boss", collar_number="77")
    ended = await book(smith, hours=-2, name="Abigail Featherstonehaugh-Cholmondeley")
    unsafe, waiting, later = await book(smith, hours=-1), await book(smith), await book(smith, hours=1)
    theirs = await book(jones, hours=1, name="Ann Other")
    await guest(unsafe, "unsafe")
    await guest(later, "exited")
    await guest(waiting, word="guessed")
    await guest(waiting, word=waiting.agreed_word, device="Android, Chrome")
    async with database.begin() as db:
        await notes.save_note(db, ended.id, text="Blue van.\n" * 5, version=0, by=smith.id, now=clock())
        await calls.end_call(db, ended.id, outcome="seen", by=smith.id, now=clock())
    faults: dict[str, list[str]] = {}

    async def look(page: Page, name: str) -> None:
        await page.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=True)
        await page.evaluate(AXE.read_text())
        found = await page.evaluate(AXE_RUN)
        if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append("wider than the screen")
        if found:
            faults[name] = found

    height = 800 if width == 1280 else 667
    page = await booth("smith", width=width, height=height, bypass_csp=True)
    await look(page, "diary")
    for name, path in {
        "diary-empty": "/booth?day=2026-03-08",
        "cover": "/booth/cover",
        "take-over": path_of(theirs),
        "summary": path_of(ended, "summary"),
    }.items():
        await page.goto(path)
        await look(page, name)
    await page.goto(path_of(waiting))
    await expect(page.locator(".app-wait")).to_have_count(2)
    await look(page, "call")
    await page.get_by_role("button", name="Let in").first.click()
    await look(page, "call-asked")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Go on camera").click()
    await page.locator("#note-conflict").evaluate("element => (element.hidden = false)")
    await page.locator("details").evaluate_all("all => all.forEach((one) => (one.open = true))")
    await look(page, "call-open")
    boss = await booth("boss", width=width, height=height, bypass_csp=True)
    await look(boss, "diary-of-all")
    assert faults == {}
