"""The neutral link: it says nothing of whose it is, is traded once pressed, and guessing it is slow."""

import pytest

from tests.phone.conftest import FORCE, REVEALING, answer, count_rows, seen, state_of
from video_server.appointments import service as appointments
from video_server.calls import presence
from video_server.calls import service as calls
from video_server.calls.arriving import MOST_SESSIONS
from video_server.calls.model import State
from video_server.phone.steps import parse_token

BOT = {"User-Agent": "WhatsApp/2.23", "Sec-Fetch-Site": "none"}


async def test_before_the_trade_the_page_says_no_name_no_time_and_not_who_we_are(browser, book, link):
    client = await browser()
    reply = await client.get(link(await book()))
    page = (await reply.text()).lower()
    assert reply.status == 200
    assert "<title>continue</title>" in page
    assert [word for word in REVEALING if word in page] == []


async def test_previews_by_bots_change_no_row_and_leave_the_link_working(browser, book, link, database):
    appointment = await book()
    client = await browser()
    before = await count_rows(database)
    for _ in range(3):
        assert (await client.get(link(appointment), headers=BOT)).status == 200
        assert (await client.head(link(appointment), headers=BOT)).status == 200
    assert await count_rows(database) == before
    assert not list(client.session.cookie_jar)
    assert (await client.post(link(appointment), allow_redirects=False)).status == 303


async def test_unknown_and_mangled_links_get_one_and_the_same_neutral_page(browser, book):
    await book()
    client = await browser()
    pages = set()

    async def read(reply) -> None:
        assert reply.status == 404
        page = await reply.text()
        pages.add(page[page.index("<main") : page.index("</main>")])

    await read(await client.get("/"))  # a link without its end
    for path in ("/j/AAAAAAAAAAAAAAAAAAAAAA", "/j/short", "/j/", "/j/a/b/c", "/j/" + "x" * 300, "/j/%00%ff"):
        for send in (client.get, client.post):
            await read(await send(path, allow_redirects=False))
    assert len(pages) == 1
    shown = seen(pages.pop())
    assert [word for word in (*REVEALING, "101") if word in shown] == []


@pytest.mark.parametrize("path", ["/phone/nothing", "/phone/evidence/nothing"])
async def test_a_problem_on_the_phones_pages_names_neither_force_nor_number_and_elsewhere_the_number(browser, path):
    client = await browser()
    page = await (await client.get(path)).text()
    assert "There is a problem" in page
    assert [word for word in (*REVEALING, FORCE.short_name.lower(), FORCE.phone) if word in seen(page)] == []
    assert f"ring {FORCE.phone}" in await (await client.get("/nothing")).text()


async def test_too_many_guesses_are_told_neutrally(browser):
    client = await browser()
    replies = [await client.get(f"/j/guess{n}") for n in range(45)]
    page = await replies[-1].text()
    assert (replies[-1].status, "There is a problem" in page) == (429, True)
    assert [word for word in (*REVEALING, FORCE.phone) if word in seen(page)] == []


async def test_a_link_with_the_sentences_full_stop_glued_to_it_works(browser, book, link):
    appointment = await book()
    client = await browser()
    assert (await client.get(link(appointment) + ".")).status == 200
    assert (await client.post(link(appointment) + ")", allow_redirects=False)).status == 303


async def test_guessing_links_is_slowed_down_and_a_real_link_still_works(browser, book, link):
    appointment = await book()
    client = await browser()
    statuses = [(await client.get(f"/j/guess{n}")).status for n in range(45)]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    assert (await client.get(link(appointment))).status == 200


async def test_a_cancelled_link_says_so_before_and_at_the_trade(browser, book, link, database, clock):
    appointment = await book()
    async with database.begin() as db:
        await appointments.cancel(db, appointment.id, by="staff", reason="person_asked", now=clock())
    client = await browser()
    for send in (client.get, client.post):
        reply = await send(link(appointment), allow_redirects=False)
        page = await reply.text()
        assert reply.status == 410
        assert 'data-closed="cancelled"' in page
        assert "use the number you know" in page
        assert [word for word in (*REVEALING, "101") if word in seen(page)] == []
    assert not list(client.session.cookie_jar)


async def test_an_expired_link_says_that_its_time_has_passed(browser, book, link, clock):
    appointment = await book()
    clock.move(hours=25)
    client = await browser()
    for send in (client.get, client.post):
        reply = await send(link(appointment), allow_redirects=False)
        assert reply.status == 410
        page = await reply.text()
        assert 'data-closed="over"' in page
        assert [word for word in (*REVEALING, "101") if word in seen(page)] == []


async def test_pressing_continue_twice_makes_two_sessions_that_both_work(browser, book, link, database):
    appointment = await book()
    client = await browser()
    for _ in range(2):
        assert (await client.post(link(appointment), allow_redirects=False)).status == 303
        assert (await client.get("/phone")).status == 200
    assert await state_of(database, appointment) == [State.ARRIVED, State.ARRIVED]


async def test_two_phones_open_the_same_link_and_stand_apart(enter, book, database):
    appointment = await book()
    first, second = await enter(appointment), await enter(appointment)
    await answer(first)
    assert sorted(await state_of(database, appointment)) == [State.ARRIVED, State.CHECKING]
    assert (await second.get("/phone/call", allow_redirects=False)).headers["Location"] == "/phone"


async def test_a_link_open_in_as_many_places_as_may_be_says_so_and_what_to_do(
    browser, enter, book, link, database, clock
):
    appointment = await book()
    for _ in range(MOST_SESSIONS):
        await enter(appointment)
    async with database.begin() as db:
        for person in (await calls.view(db, appointment.id)).participants:
            await presence.take_socket(db, person, socket=person.id, now=clock())
    reply = await (await browser()).post(link(appointment), allow_redirects=False)
    assert (reply.status, reply.content_type) == (429, "text/html")
    assert "This link is open in too many places" in await reply.text()


async def test_another_site_cannot_trade_a_link(browser, book, link, database):
    appointment = await book()
    client = await browser()
    forged = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert (await client.post(link(appointment), headers=forged)).status == 403
    assert await state_of(database, appointment) == []


@pytest.mark.parametrize(
    ("typed", "token"),
    [
        ("AbCdEfGhIjKlMnOpQrStUv", "AbCdEfGhIjKlMnOpQrStUv"),
        ("AbCdEfGhIjKlMnOpQrStUv).", "AbCdEfGhIjKlMnOpQrStUv"),
        ("AbCdEfGhIjKlMnOpQrStU", None),
        ("AbCdEfGhIjKlMnOpQrStÜv", None),
        ("", None),
    ],
)
def test_a_token_is_22_letters_whatever_punctuation_follows(typed, token):
    assert parse_token(typed) == token
