"""A way out that always works, and after which nothing opens any more."""

from sqlalchemy import text

from tests.phone.conftest import NEUTRAL, REVEALING, answer, count_rows
from video_server.appointments import service as appointments
from video_server.calls import service as calls
from video_server.calls.model import AlertKind, State


async def test_exit_ends_the_session_tells_the_booth_and_leads_to_the_neutral_site(enter, book, database):
    appointment = await book()
    client = await enter(appointment)
    await answer(client)
    reply = await client.post("/phone/exit", allow_redirects=False)
    assert reply.status == 200
    assert reply.headers["Refresh"] == f"0; url={NEUTRAL}"
    assert [word for word in REVEALING if word in (await reply.text()).lower()] == []
    assert not [cookie for cookie in client.session.cookie_jar if cookie.key == "__Host-phone" and cookie.value]
    async with database.read() as db:
        view = await calls.view(db, appointment.id)
        assert [alert.kind for alert in view.alerts] == [AlertKind.EXITED]
        assert [person.state for person in view.participants] == [State.EXITED]
        assert (await appointments.get(db, appointment.id)).state == "booked"
    assert (await client.get("/phone/call")).status == 403


async def test_the_old_cookie_is_worth_nothing_after_exit(enter, book):
    client = await enter(await book())
    secret = next(cookie.value for cookie in client.session.cookie_jar if cookie.key == "__Host-phone")
    await client.post("/phone/exit")
    reply = await client.get("/phone", headers={"Cookie": f"__Host-phone={secret}"})
    assert reply.status == 403


async def test_exit_without_a_session_leads_away_all_the_same_and_writes_nothing(browser, database):
    client = await browser()
    before = await count_rows(database)
    for send in (client.post, client.post, client.get):
        reply = await send("/phone/exit")
        assert (reply.status, reply.headers["Refresh"]) == (200, f"0; url={NEUTRAL}")
    assert await count_rows(database) == before


async def test_exit_leads_away_even_when_nothing_can_be_recorded(enter, book, database):
    client = await enter(await book())
    async with database.begin() as db:
        await db.execute(text("DROP TABLE sessions"))
    reply = await client.post("/phone/exit")
    assert (reply.status, reply.headers["Refresh"]) == (200, f"0; url={NEUTRAL}")


async def test_whoever_left_may_come_back_by_the_link_and_is_asked_again(enter, book, database):
    appointment = await book()
    first = await enter(appointment)
    await answer(first)
    await first.post("/phone/exit")
    second = await enter(appointment)
    assert (await second.get("/phone/call", allow_redirects=False)).headers["Location"] == "/phone"
    assert await answer(second) == "/phone/word"
