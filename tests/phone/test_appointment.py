"""The appointment's page: who calls and when, to whom it opens, and what stands there after the call."""

from datetime import datetime, timedelta

import pytest

from tests.conftest import Browser
from tests.phone.conftest import REVEALING, answer, count_rows, seen, state_of
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment
from video_server.calls import presence
from video_server.calls import service as calls
from video_server.calls.model import State
from video_server.core.database import Database
from video_server.incidents import service as incidents


async def test_the_page_says_who_calls_when_and_the_number_to_ring(enter, book):
    client = await enter(await book())
    page = await (await client.get("/phone")).text()
    for words in ("PC Smith, collar number 1234", "Monday 2 March 2026 at 10am", "101", "does not erase", "Start"):
        assert words in page


async def test_too_early_says_from_when_and_lets_nobody_into_the_room(enter, book, database, clock):
    appointment = await book(starts_in=timedelta(hours=5))
    client = await enter(appointment)
    page = await (await client.get("/phone")).text()
    assert "from 2:30pm on Monday 2 March 2026" in page
    assert "/phone/safe" not in page
    for send in (client.get, client.post):
        reply = await send(
            "/phone/safe", allow_redirects=False, **({"data": {"answer": "yes"}} if send == client.post else {})
        )
        assert reply.headers["Location"] == "/phone"
    assert await state_of(database, appointment) == []
    clock.move(hours=4, minutes=30)
    assert await answer(client) == "/phone/word"
    assert await state_of(database, appointment) == [State.CHECKING]


async def test_a_session_sees_its_own_appointment_and_no_other(enter, book):
    hers, his = await book(), await book(officer="jones", name="PC Jones")
    first, second = await enter(hers), await enter(his)
    assert "PC Smith" in await (await first.get("/phone")).text()
    page = await (await second.get("/phone")).text()
    assert "PC Jones" in page
    assert "PC Smith" not in page


@pytest.mark.parametrize("path", ["/phone", "/phone/safe", "/phone/watched", "/phone/word", "/phone/call"])
async def test_without_a_session_every_page_is_closed_and_says_nothing(browser, book, path):
    await book()
    client = await browser()
    reply = await client.get(path)
    page = await reply.text()
    assert reply.status == 403
    assert "This page is closed" in page
    assert [word for word in REVEALING if word in page.lower()] == []
    program = await client.get(path, headers={"Accept": "application/json"})
    assert (program.status, (await program.json())["error"]) == (403, "page_closed")


async def test_cancelling_after_the_trade_closes_the_phones_pages(enter, book, database, clock):
    appointment = await book()
    client = await enter(appointment)
    async with database.begin() as db:
        await appointments.cancel(db, appointment.id, by="staff", reason="person_asked", now=clock())
    for path in ("/phone", "/phone/safe", "/phone/call"):
        reply = await client.get(path)
        assert reply.status == 403
        assert "Smith" not in await reply.text()
    assert (await client.post("/phone/safe", data={"answer": "yes"})).status == 403


async def see_and_end(client: Browser, appointment: Appointment, database: Database, now: datetime) -> None:
    """Let this browser's person into the call, and end it."""
    await answer(client)
    async with database.begin() as db:
        (person,) = (await calls.view(db, appointment.id)).participants
        await presence.take_socket(db, person, socket="a" * 32, now=now)
        await calls.start_waiting(db, person.id, now=now)
        await calls.admit(db, appointment, person.id, by="staff", now=now)
        await calls.end_call(db, appointment.id, outcome="officer_to_attend", by="staff", now=now)


async def test_after_the_call_the_page_says_what_happens_next_until_its_day_is_over(enter, book, database, clock):
    appointment = await book()
    client = await enter(appointment)
    await see_and_end(client, appointment, database, clock())
    async with database.read() as db:
        reference = (await incidents.get_incident(db, appointment.incident_id)).reference
    for path in ("/phone", "/phone/call"):
        page = await (await client.get(path)).text()
        assert "An officer will come to see you in person." in page
        assert reference in page
    clock.move(hours=24, minutes=50)
    assert (await client.get("/phone")).status == 403


async def test_after_the_call_exit_this_page_shuts_for_good_what_the_history_would_open(enter, book, database, clock):
    appointment = await book()
    client = await enter(appointment)
    await see_and_end(client, appointment, database, clock())
    assert (
        "select “Exit this page” at the top: then it does not open any more"
        in await (await client.get("/phone")).text()
    )
    before = await count_rows(database)
    await client.post("/phone/exit")
    for path in ("/phone", "/phone/call", "/phone/statement", "/phone/statement/1/copy"):
        assert (await client.get(path)).status == 403
    assert (await count_rows(database))["alerts"] == before["alerts"], "nobody is alarmed: the call is over"


async def test_who_was_not_in_the_call_is_told_nothing_of_how_it_ended(enter, book, database, clock):
    appointment = await book()
    early = await enter(appointment)
    await answer(early)
    async with database.begin() as db:
        (person,) = (await calls.view(db, appointment.id)).participants
        await calls.start_waiting(db, person.id, now=clock())
        await calls.end_call(db, appointment.id, outcome="officer_to_attend", by="staff", now=clock())
        reference = (await incidents.get_incident(db, appointment.incident_id)).reference
    late = await enter(appointment)
    for client, path in ((early, "/phone"), (early, "/phone/call"), (late, "/phone"), (late, "/phone/call")):
        reply = await client.get(path)
        page = await reply.text()
        assert reply.status == 200
        assert "This is over" in page
        assert "use the number you know" in page
        assert reference not in page
        assert [word for word in (*REVEALING, "101") if word in seen(page)] == []
