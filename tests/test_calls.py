"""The room of a call: safety first, waiting, one admitted, leaving, the end; and nothing twice."""

import asyncio
from datetime import timedelta

import pytest

from video_server.appointments.service import AlreadyEnded
from video_server.audit import service as audit
from video_server.calls import arriving, devices, notes, presence, rooms, safety, service
from video_server.calls.model import LEASE, AlertKind, Role, State, Watched, Word
from video_server.calls.seats import Allowance
from video_server.core.database import Database
from video_server.core.errors import TooMany
from video_server.core.force import Force
from video_server.incidents import service as incidents
from video_server.phone import state as phone_state
from video_server.tasks import service as tasks
from video_server.texts import service as texts
from video_server.web import sessions

FORCE = Force()


async def test_nobody_waits_who_has_not_said_that_it_is_safe(database, appointment, clock, look):
    async with database.begin() as db:
        person = await arriving.arrive(db, appointment, session_id="s" * 32, role=Role.VICTIM, device="", now=clock())
    with pytest.raises(service.CannotJoin):
        async with database.begin() as db:
            await service.start_waiting(db, person.id, now=clock())
    assert (await look()).by_id(person.id).state is State.ARRIVED


@pytest.mark.parametrize(
    ("safe_place", "watched"),
    [
        pytest.param(False, None, id="not a safe place"),
        pytest.param(True, Watched.YES, id="could be seen or heard"),
    ],
)
async def test_an_unsafe_answer_alarms_the_booth_opens_a_task_and_is_final(
    database, appointment, clock, look, safe_place, watched
):
    async with database.begin() as db:
        await arriving.arrive(db, appointment, session_id="s" * 32, role=Role.VICTIM, device="", now=clock())
        state = await safety.answer_safety(
            db, appointment, session_id="s" * 32, safe_place=safe_place, watched=watched, now=clock()
        )
    assert state is State.UNSAFE
    assert [alert.kind for alert in (await look()).alerts] == [AlertKind.UNSAFE]
    async with database.read() as db:
        assert "unsafe_answer" in [task.kind for task in await tasks.list_open(db)]
        outgoing = await texts.list_for(db, f"appointment:{appointment.id}")
        assert outgoing
        assert {text.state.value for text in outgoing} == {"void"}, "nothing more goes to that phone"
        assert (await incidents.get_person(db, appointment.person_id)).held_at is not None
    with pytest.raises(service.CannotJoin):
        async with database.begin() as db:
            await safety.answer_safety(
                db, appointment, session_id="s" * 32, safe_place=True, watched=Watched.NO, now=clock()
            )
    async with database.begin() as db:  # said again, it alarms once
        await safety.answer_safety(db, appointment, session_id="s" * 32, safe_place=False, watched=None, now=clock())
    assert len((await look()).alerts) == 1


async def test_not_knowing_who_did_it_is_no_reason_to_turn_somebody_away(database, appointment, clock):
    async with database.begin() as db:
        await arriving.arrive(db, appointment, session_id="s" * 32, role=Role.VICTIM, device="", now=clock())
        state = await safety.answer_safety(
            db, appointment, session_id="s" * 32, safe_place=True, watched=Watched.UNKNOWN_PERSON, now=clock()
        )
    assert state is State.CHECKING


async def test_admitting_one_session_ends_the_others_of_the_link(database, appointment, clock, waiting, look):
    first, second = await waiting(), await waiting()
    person = (await look()).of_session(second)
    async with database.begin() as db:
        await service.admit(db, appointment, person.id, by="o" * 32, now=clock())
    view = await look()
    assert view.admitted == view.of_session(second)
    assert view.of_session(first).state is State.REPLACED
    with pytest.raises(service.NotWaiting):
        async with database.begin() as db:
            await service.admit(db, appointment, view.of_session(first).id, by="o" * 32, now=clock())


async def test_two_admissions_at_once_admit_one(database, settings, appointment, clock, waiting, look):
    for _ in range(2):
        await waiting()
    people = [person.id for person in (await look()).participants]
    other = Database(settings.database_url)

    async def admit(at: Database, participant_id: str) -> bool:
        try:
            async with at.begin() as db:
                await service.admit(db, appointment, participant_id, by="o" * 32, now=clock())
        except service.NotWaiting:
            return False
        return True

    try:
        admitted = await asyncio.gather(admit(database, people[0]), admit(other, people[1]))
    finally:
        await other.dispose()
    assert sorted(admitted) == [False, True]
    states = [(await look()).by_id(person).state for person in people]
    assert sorted(states) == [State.ADMITTED, State.REPLACED]


async def test_admitting_twice_changes_nothing_and_is_audited_once(database, appointment, clock, waiting, look):
    session_id = await waiting()
    person = (await look()).of_session(session_id)
    for _ in range(2):
        async with database.begin() as db:
            await service.admit(db, appointment, person.id, by="o" * 32, now=clock())
    async with database.read() as db:
        entries = await audit.list_for(db, f"appointment:{appointment.id}")
    assert [entry.action for entry in entries].count("calls.admitted") == 1


async def test_who_left_by_the_button_comes_back_and_must_be_admitted_again(
    database, appointment, clock, waiting, look
):
    session_id = await waiting()
    person = (await look()).of_session(session_id)
    async with database.begin() as db:
        await service.admit(db, appointment, person.id, by="o" * 32, now=clock())
        await service.leave(db, person.id, now=clock())
    assert (await look()).by_id(person.id).state is State.LEFT
    async with database.begin() as db:
        await service.start_waiting(db, person.id, now=clock())
    assert (await look()).by_id(person.id).state is State.WAITING


async def test_exit_is_final_tells_the_booth_and_ends_the_session(database, appointment, clock, waiting, look):
    session_id = await waiting()
    for _ in range(2):
        async with database.begin() as db:
            await service.exit_on_purpose(db, appointment.id, session_id=session_id, now=clock())
    view = await look()
    person = view.of_session(session_id)
    assert person.state is State.EXITED
    assert [alert.kind for alert in view.alerts] == [AlertKind.EXITED]
    with pytest.raises(service.CannotJoin):
        async with database.begin() as db:
            await service.start_waiting(db, person.id, now=clock())


async def test_the_end_comes_once_and_to_everybody(database, appointment, clock, waiting, look):
    session_id = await waiting()
    person = (await look()).of_session(session_id)
    async with database.begin() as db:
        await service.admit(db, appointment, person.id, by="o" * 32, now=clock())
        await presence.note_silence(db, person.id, why="silent", now=clock())
        await service.end_call(db, appointment.id, outcome="seen", by="o" * 32, now=clock.move(minutes=9))
    view = await look()
    assert view.room.outcome == "seen"
    assert view.of_session(session_id).state is State.ENDED
    assert [gap.ended_at - gap.began_at for gap in view.gaps] == [timedelta(minutes=9)]
    with pytest.raises(AlreadyEnded):
        async with database.begin() as db:
            await service.end_call(db, appointment.id, outcome="no_answer", by="o" * 32, now=clock())
    assert (await look()).room.outcome == "seen"
    with pytest.raises(service.CannotJoin):
        async with database.begin() as db:
            await rooms.place(db, appointment.id, living={"r1"}, best="r1", now=clock())


async def test_a_gap_of_an_admitted_person_stands_in_the_record_once(database, appointment, clock, waiting, look):
    session_id = await waiting()
    person = (await look()).of_session(session_id)
    async with database.begin() as db:
        await presence.note_silence(db, person.id, why="silent", now=clock())
        await presence.note_sound(db, person.id, now=clock())
    assert (await look()).gaps == [], "silence while waiting is no gap"
    async with database.begin() as db:
        await service.admit(db, appointment, person.id, by="o" * 32, now=clock())
        for _ in range(3):  # every web process hears the same news
            await presence.note_silence(db, person.id, why="silent", now=clock())
    clock.move(seconds=7)
    async with database.begin() as db:
        for _ in range(3):
            await presence.note_sound(db, person.id, now=clock())
    [gap] = (await look()).gaps
    assert gap.ended_at - gap.began_at == timedelta(seconds=7)


async def test_a_room_whose_relay_died_gets_a_new_epoch_once(database, appointment, clock, waiting):
    await waiting()
    epochs = []
    for relay in ("r1", "r1", "r2", "r2"):
        async with database.begin() as db:
            room = await rooms.place(db, appointment.id, living={relay}, best=relay, now=clock())
            epochs.append(room.epoch)
    assert epochs == [1, 1, 2, 2]


async def test_presence_of_a_dead_process_runs_out(database, appointment, clock, waiting, look):
    session_id = await waiting()
    person = (await look()).of_session(session_id)
    async with database.begin() as db:
        await presence.take_socket(db, person, socket="a" * 32, now=clock())
    assert (await look()).by_id(person.id).is_present(clock())
    clock.now += LEASE + timedelta(seconds=1)
    assert not (await look()).by_id(person.id).is_present(clock())


async def test_an_old_socket_that_closes_late_does_not_make_the_new_page_absent(
    database, appointment, clock, waiting, look
):
    session_id = await waiting()
    person = (await look()).of_session(session_id)
    async with database.begin() as db:
        await presence.take_socket(db, person, socket="a" * 32, now=clock())
        await presence.take_socket(db, person, socket="b" * 32, now=clock())
        await presence.drop_socket(db, person, socket="a" * 32, how="lost", now=clock())
    assert (await look()).by_id(person.id).connected


async def test_notes_saved_in_two_windows_lose_nothing(database, appointment, clock):
    async with database.begin() as db:
        first = await notes.save_note(db, appointment.id, text="one", version=0, by="o" * 32, now=clock())
        second = await notes.save_note(db, appointment.id, text="two", version=first.version, by="o" * 32, now=clock())
    assert (first.version, second.version) == (1, 2)
    with pytest.raises(notes.NoteChanged) as refused:
        async with database.begin() as db:
            await notes.save_note(db, appointment.id, text="three", version=1, by="o" * 32, now=clock())
    assert refused.value.current.text == "two"
    async with database.begin() as db:  # a retry of what was saved, after a lost answer
        again = await notes.save_note(db, appointment.id, text="two", version=1, by="o" * 32, now=clock())
    assert again.version == 2


@pytest.mark.parametrize(("said", "found"), [("", Word.WRONG), ("purple", Word.WRONG)])
async def test_a_wrong_word_is_wrong(database, appointment, clock, waiting, said, found):
    session_id = await waiting()
    async with database.begin() as db:
        assert await safety.give_word(db, appointment, session_id=session_id, word=said, now=clock()) is found


async def test_the_agreed_word_is_right_in_any_spelling_of_case_and_space(database, appointment, clock, waiting):
    session_id = await waiting()
    for said in (appointment.agreed_word, f" {appointment.agreed_word.upper().replace(' ', '-')} "):
        async with database.begin() as db:
            assert await safety.give_word(db, appointment, session_id=session_id, word=said, now=clock()) is Word.RIGHT


async def test_the_agreed_word_is_not_found_by_trying_words_on_one_page_or_on_many(
    database, appointment, clock, waiting, look
):
    async def give(session_id: str, word: str) -> Word:
        async with database.begin() as db:
            return await safety.give_word(db, appointment, session_id=session_id, word=word, now=clock())

    honest, *guessing = [await waiting() for _ in range(safety.MOST_WRONG_WORDS_OF_LINK // safety.MOST_WRONG_WORDS)]
    assert await give(honest, "no such word") is Word.WRONG
    assert await give(honest, appointment.agreed_word) is Word.RIGHT, "a slip is put right"
    for page in guessing:
        for n in range(safety.MOST_WRONG_WORDS):
            assert await give(page, f"guess {n}") is Word.WRONG
        assert await give(page, appointment.agreed_word) is Word.WRONG, "this page has tried too often"
    fresh = await waiting()
    assert await give(fresh, appointment.agreed_word) is Word.RIGHT, "others have their own tries"
    for n in range(safety.MOST_WRONG_WORDS - 1):
        await give(fresh, f"guess {n}")
    assert await give(await waiting(), appointment.agreed_word) is Word.WRONG, "the link has been tried too often"
    assert (await look()).of_session(honest).word is Word.RIGHT, "what was given before stands"
    async with database.read() as db:
        entries = await audit.list_for(db, f"appointment:{appointment.id}")
    assert [entry.action for entry in entries].count("calls.words_used_up") == len(guessing) + 1


async def test_one_link_cannot_fill_a_room_and_never_keeps_an_officer_out(database, appointment, clock, look):
    async def arrive(session: str, role: Role = Role.VICTIM) -> None:
        async with database.begin() as db:
            person = await arriving.arrive(db, appointment, session_id=session, role=role, device="", now=clock())
            await presence.take_socket(db, person, socket=session, now=clock())

    for n in range(arriving.MOST_SESSIONS):
        await arrive(f"{n:032}")
    with pytest.raises(TooMany):
        await arrive("x" * 32)
    await arrive("o" * 32, Role.OFFICER)
    clock.move(seconds=30)  # nobody looks at those pages any more
    await arrive("x" * 32)
    view = await look()
    assert [person.state for person in view.participants].count(State.REPLACED) == 1
    assert view.of_session("x" * 32).state is State.ARRIVED


async def test_who_comes_back_in_another_browser_can_be_let_in_in_place_of_the_first(
    database, appointment, clock, waiting, look
):
    first = await waiting()
    async with database.begin() as db:
        await service.admit(db, appointment, (await look()).of_session(first).id, by="o" * 32, now=clock())
    second = await waiting()
    async with database.begin() as db:
        await service.admit(db, appointment, (await look()).of_session(second).id, by="o" * 32, now=clock())
    view = await look()
    assert view.admitted == view.of_session(second)
    assert view.of_session(first).state is State.REPLACED


async def test_a_page_that_is_closed_cannot_be_let_in(database, appointment, clock, waiting, look):
    session_id = await waiting()
    clock.move(seconds=30)
    with pytest.raises(service.NotWaiting):
        async with database.begin() as db:
            await service.admit(db, appointment, (await look()).of_session(session_id).id, by="o" * 32, now=clock())


async def test_letting_one_in_ends_sessions_that_opened_the_link_before_and_never_came(
    database, appointment, clock, waiting, look
):
    async with database.begin() as db:
        early, _ = await sessions.open_session(db, "phone", appointment.id, now=clock())
    session_id = await waiting()
    async with database.begin() as db:
        await service.admit(db, appointment, (await look()).of_session(session_id).id, by="o" * 32, now=clock())
        assert not await sessions.is_still_open(db, early.id, now=clock())
        assert await sessions.is_still_open(db, session_id, now=clock())


async def test_cancelling_ends_the_call_and_nobody_is_let_in_after(database, appointment, clock, waiting, look):
    session_id = await waiting()
    async with database.begin() as db:
        await service.cancel(db, appointment.id, by="o" * 32, reason="not_safe", now=clock())
    view = await look()
    assert view.of_session(session_id).state is State.ENDED
    with pytest.raises(service.CannotJoin):
        async with database.begin() as db:
            await service.admit(db, appointment, view.of_session(session_id).id, by="o" * 32, now=clock())
    with pytest.raises(service.CannotJoin):
        async with database.begin() as db:
            await rooms.place(db, appointment.id, living={"r1"}, best="r1", now=clock())


async def test_an_outcome_is_told_only_to_who_was_in_the_call(database, appointment, clock, waiting, look):
    first, second = await waiting(), await waiting()
    async with database.begin() as db:
        await service.admit(db, appointment, (await look()).of_session(second).id, by="o" * 32, now=clock())
        await service.end_call(db, appointment.id, outcome="officer_to_attend", by="o" * 32, now=clock())
    view = await look()
    shown = {
        session: phone_state.draw(
            view, view.of_session(session), officer_id="o", officer_name="PC Smith", collar_number="1",
            reference="AP-1", waiting_words="", now=clock(),
        )
        for session in (first, second)
    }  # fmt: skip
    assert shown[first] == {"view": "replaced"}
    assert shown[second]["outcome"] == "officer_to_attend"


def test_a_page_may_say_a_handful_at_once_and_then_little_by_little():
    allowance = Allowance(3, 2.0)
    assert [allowance.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(0.5), allowance.take(0.5)] == [True, False]


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1",
            "iPhone, Safari",
        ),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/140.0 Mobile Safari/537.36", "Android, Chrome"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Mobile/15E148 [FBAN/FBIOS;FBAV/500.0]", "iPhone, Facebook"),
        ("", "Unknown device"),
    ],
)
def test_devices_are_named_in_words(agent, words):
    assert devices.describe(agent) == words
