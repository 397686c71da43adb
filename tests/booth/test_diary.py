"""The diary: where each appointment stands, other days, alerts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.booth.conftest import NASTY, deeds_of, path_of
from video_server.accounts.model import Role
from video_server.appointments.model import Appointment
from video_server.appointments.model import State as Booking
from video_server.booth import diary
from video_server.calls import service as calls
from video_server.calls.model import Participant, State, Word
from video_server.calls.model import Role as InRoom

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
