"""Safety first: the two questions, the agreed word, and nobody in the room past them."""

from datetime import timedelta

import pytest

from tests.phone.conftest import FORCE, REVEALING, answer, count_rows, seen, state_of
from video_server.calls import service as calls
from video_server.calls.model import AlertKind, State, Word
from video_server.phone.steps import Step, next_step
from video_server.tasks import service as tasks


@pytest.mark.parametrize("watched", ["no", "unknown_person"])
async def test_safe_answers_lead_on_to_the_word_and_the_call(enter, book, database, watched):
    appointment = await book()
    client = await enter(appointment)
    assert await answer(client, watched=watched) == "/phone/word"
    assert await state_of(database, appointment) == [State.CHECKING]
    assert (await client.get("/phone/call")).status == 200


@pytest.mark.parametrize(("safe", "watched"), [("no", ""), ("yes", "yes")])
async def test_an_unsafe_answer_alerts_the_booth_sends_nothing_and_shows_neutral_words(
    enter, book, database, safe, watched
):
    appointment = await book()
    client = await enter(appointment)
    before = await count_rows(database)
    assert await answer(client, safe, watched) == "/phone"
    for path in ("/phone", "/phone/safe", "/phone/watched", "/phone/word", "/phone/call"):
        page = await (await client.get(path)).text()
        assert "You can close this page." in page
        assert [word for word in (*REVEALING, "101", "safe", "ring") if word in seen(page)] == []
    async with database.read() as db:
        view = await calls.view(db, appointment.id)
        (task,) = await tasks.list_open(db)
    assert [alert.kind for alert in view.alerts] == [AlertKind.UNSAFE]
    assert [person.state for person in view.participants] == [State.UNSAFE]
    assert task.subject == f"appointment:{appointment.id}"
    assert (await count_rows(database))["texts"] == before["texts"]
    again = await client.post("/phone/safe", data={"answer": "no"}, allow_redirects=False)
    assert again.headers["Location"] == "/phone"
    assert (await count_rows(database))["alerts"] == 1


async def test_a_safe_answer_after_an_unsafe_one_does_not_open_the_room(enter, book, database):
    appointment = await book()
    client = await enter(appointment)
    await answer(client, "no")
    reply = await client.post("/phone/watched", data={"answer": "no"}, allow_redirects=False)
    assert reply.status in {303, 409}
    assert await state_of(database, appointment) == [State.UNSAFE]


@pytest.mark.parametrize("path", ["/phone/safe", "/phone/watched"])
@pytest.mark.parametrize("data", [{}, {"answer": ""}, {"answer": "maybe"}])
async def test_a_question_without_an_answer_is_asked_again_with_an_error_summary(enter, book, path, data, database):
    appointment = await book()
    client = await enter(appointment)
    reply = await client.post(path, data=data)
    page = await reply.text()
    assert reply.status == 422
    assert "<title>Error: " in page
    assert 'href="#answer"' in page
    assert 'id="answer"' in page
    assert await state_of(database, appointment) == [State.ARRIVED]


async def test_nobody_reaches_the_call_past_the_questions(enter, book):
    client = await enter(await book())
    for path in ("/phone/call", "/phone/word"):
        assert (await client.get(path, allow_redirects=False)).status == 303
    assert (await client.post("/phone/word", data={"word": "x"}, allow_redirects=False)).headers["Location"] == "/phone"


@pytest.mark.parametrize("right", [True, False])
async def test_the_agreed_word_is_noted_and_the_phone_does_not_say_whether_it_was_right(enter, book, database, right):
    appointment = await book()
    client = await enter(appointment)
    await answer(client)
    word = appointment.agreed_word.upper() if right else "wrong guess"
    reply = await client.post("/phone/word", data={"word": word}, allow_redirects=False)
    assert (reply.status, reply.headers["Location"]) == (303, "/phone/call")
    async with database.read() as db:
        (person,) = (await calls.view(db, appointment.id)).participants
    assert person.word is (Word.RIGHT if right else Word.WRONG)
    assert (await client.post("/phone/word", data={"word": " "})).status == 422
    assert (await client.post("/phone/word", data={"word": "x" * 61})).status == 422


@pytest.mark.parametrize(
    ("state", "starts_in_minutes", "step"),
    [
        (None, 60, Step.EARLY),
        (None, 30, Step.SAFETY),
        (State.ARRIVED, 0, Step.SAFETY),
        (State.CHECKING, 0, Step.CALL),
        (State.LEFT, 0, Step.CALL),
        (State.UNSAFE, 60, Step.UNSAFE),
        (State.ENDED, 0, Step.ENDED),
    ],
)
async def test_where_a_person_stands_follows_from_state_and_time(book, clock, state, starts_in_minutes, step):
    appointment = await book(starts_in=timedelta(minutes=starts_in_minutes))
    opens_at = appointment.starts_at - FORCE.room_opens_before
    assert next_step(appointment, state, opens_at=opens_at, now=clock()) is step
