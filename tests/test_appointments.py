"""Booking one time for one officer, moving, cancelling, ending."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests import cases
from tests.cases import FINE, FORCE, at
from video_server.accounts.model import Role
from video_server.appointments import service, slots, words
from video_server.appointments import storage as diary
from video_server.appointments.local_time import NotATime, TimeDoesNotExist, TimeIsAmbiguous, local_day, parse_local
from video_server.appointments.model import Slot, State
from video_server.appointments.slots import check_offered, open_slots, order_officers, quarters_of, starts_of
from video_server.audit import service as audit
from video_server.core import keys, storage
from video_server.core.database import Database
from video_server.core.errors import Conflict, NotFound
from video_server.core.force import Force
from video_server.incidents import service as incidents
from video_server.incidents.model import SafeContact, Wording
from video_server.tasks import service as tasks
from video_server.texts import service as texts

LONDON = ZoneInfo("Europe/London")


# Slots: decisions about times.


@pytest.mark.parametrize(
    ("starts", "ends", "quarters"),
    [
        pytest.param("10:00", "10:45", ["10:00", "10:15", "10:30"], id="on the quarter"),
        pytest.param("10:07", "10:52", ["10:00", "10:15", "10:30", "10:45"], id="between quarters"),
        pytest.param("10:00", "10:01", ["10:00"], id="a minute"),
    ],
)
def test_an_appointment_takes_every_quarter_it_touches(starts, ends, quarters):
    assert quarters_of(at(starts), at(ends)) == [at(quarter) for quarter in quarters]


@pytest.mark.parametrize(
    ("busy", "first"),
    [
        pytest.param({}, Slot(at("10:15"), ("a", "b")), id="nothing booked"),
        pytest.param({"a": {at("10:15")}}, Slot(at("10:15"), ("b",)), id="one of two taken"),
        pytest.param({"a": {at("10:45")}, "b": {at("10:30")}}, Slot(at("10:45"), ("b",)), id="the middle is taken"),
        pytest.param({"a": {at("10:15")}, "b": {at("10:15")}}, Slot(at("10:30"), ("a", "b")), id="both taken"),
    ],
)
def test_a_slot_needs_an_officer_who_is_free_for_its_whole_length(busy, first):
    assert next(open_slots(["a", "b"], busy, now=at("10:00"), force=FORCE)) == first


def test_slots_keep_hours_notice_and_horizon():
    found = [slot.starts_at for slot in open_slots(["a"], {}, now=at("20:40"), force=FORCE)]
    assert found[0] == at("08:30", "2026-03-03")  # 20:45 would start within the notice and end past closing
    clocks = sorted({start.astimezone(LONDON).time() for start in found})
    assert (clocks[0], clocks[-1], len(clocks)) == (time(8, 30), time(20, 45), 50)
    assert max(found) <= at("20:40") + FORCE.book_ahead


@pytest.mark.parametrize(
    ("day", "opens"),
    [
        pytest.param("2026-03-28", "08:30", id="day before summer time"),
        pytest.param("2026-03-29", "07:30", id="clocks go forward in the night"),
        pytest.param("2026-10-24", "07:30", id="day before winter time"),
        pytest.param("2026-10-25", "08:30", id="clocks go back in the night"),
    ],
)
def test_the_diary_opens_by_the_clock_on_the_wall(day, opens):
    starts = list(starts_of(date.fromisoformat(day), FORCE))
    assert starts[0] == at(opens, day)
    assert {start.astimezone(LONDON).strftime("%H:%M") for start in (starts[0], starts[-1])} == {"08:30", "20:45"}
    assert len(starts) == 50


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-03-30", 24), ("2026-10-25", 25)])
def test_a_diary_open_day_and_night_has_every_hour_once(day, hours):
    force = Force(diary_opens=time(0), diary_closes=time(0), appointment_length=timedelta(minutes=15))
    on = date.fromisoformat(day)
    starts = list(starts_of(on, force))
    assert len(set(starts)) == len(starts) == hours * 4
    first, end = local_day(on, LONDON)
    assert (starts[0], starts[-1] + slots.QUARTER) == (first, end)


def test_hours_past_midnight_belong_to_the_evening_before():
    force = Force(diary_opens=time(20), diary_closes=time(2))
    check_offered(at("01:15", "2026-03-03"), now=at("10:00"), force=force)
    with pytest.raises(slots.SlotOutsideHours):
        check_offered(at("01:30", "2026-03-03"), now=at("10:00"), force=force)
    found = [slot.starts_at for slot in open_slots(["a"], {}, now=at("00:30"), force=force)]
    assert found[0] == at("00:45")


def test_a_diary_that_opens_between_quarters_starts_at_the_next():
    assert next(starts_of(date(2026, 3, 2), Force(diary_opens=time(8, 40)))) == at("08:45")


@pytest.mark.parametrize(
    ("starts_at", "refused"),
    [
        pytest.param(at("10:00"), slots.SlotInPast, id="now"),
        pytest.param(at("09:45"), slots.SlotInPast, id="past"),
        pytest.param(at("10:10"), slots.SlotTooSoon, id="within the notice"),
        pytest.param(at("10:20"), slots.SlotNotOnQuarter, id="not on the quarter"),
        pytest.param(at("08:15", "2026-03-03"), slots.SlotOutsideHours, id="before opening"),
        pytest.param(at("21:00"), slots.SlotOutsideHours, id="ends after closing"),
        pytest.param(at("10:15", "2026-03-16"), slots.SlotTooFar, id="too far ahead"),
    ],
)
def test_a_time_nobody_is_offered_says_why(starts_at, refused):
    with pytest.raises(refused):
        check_offered(starts_at, now=at("10:00"), force=FORCE)


def test_whoever_is_free_and_has_least_to_do_is_tried_first():
    day = (at("00:00"), at("00:00", "2026-03-03"))
    busy = {"a": {at("09:00"), at("09:15")}, "b": {at("10:00")}, "c": {at("11:00"), at("00:00", "2026-03-04")}}
    assert order_officers(["a", "b", "c", "d"], busy, [at("10:00")], day=day) == ["d", "c", "a", "b"]


# Local times.


@pytest.mark.parametrize(
    ("day", "hour", "instant"),
    [
        ("2026-03-02", "14:15", at("14:15")),
        ("2/3/2026", "2:15pm", at("14:15")),
        (" 02.03.2026 ", "2.15 PM", at("14:15")),
        ("2-3-2026", "12am", at("00:00")),
        ("2 3 2026", "12pm", at("12:00")),
        ("29/3/2026", "00:59", at("00:59", "2026-03-29")),
        ("29/3/2026", "02:00", at("01:00", "2026-03-29")),
        ("25/10/2026", "00:59", at("23:59", "2026-10-24")),
        ("25/10/2026", "02:00", at("02:00", "2026-10-25")),
    ],
)
def test_local_times_are_read_as_people_type_them(day, hour, instant):
    assert parse_local(day, hour, LONDON) == instant


@pytest.mark.parametrize(
    ("day", "hour", "refused"),
    [
        ("29/3/2026", "01:00", TimeDoesNotExist),
        ("29/3/2026", "01:59", TimeDoesNotExist),
        ("25/10/2026", "01:00", TimeIsAmbiguous),
        ("25/10/2026", "1:59am", TimeIsAmbiguous),
        ("30/2/2026", "10:00", NotATime),
        ("2026-13-01", "10:00", NotATime),
        ("2/3/26", "10:00", NotATime),
        ("2/3/2026", "24:00", NotATime),
        ("2/3/2026", "13pm", NotATime),
        ("2/3/2026", "9", NotATime),
        ("2/3/2026", "", NotATime),
        ("", "10:00", NotATime),
        ("1/1/0001", "10:00", None),
        ("31/12/9999", "23:59", None),
        ("tomorrow", "noon", NotATime),
        ("٢/٣/٢٠٢٦", "10:00", NotATime),
    ],
)
def test_times_that_are_none_or_two_are_refused(day, hour, refused):
    if refused is None:  # the ends of the calendar are times like any other
        assert parse_local(day, hour, LONDON).tzinfo is UTC
        return
    with pytest.raises(NotATime) as refusal:
        parse_local(day, hour, LONDON)
    assert refusal.type is refused


def test_agreed_words_are_short_plain_and_never_twice():
    for column in (words.FIRST, words.SECOND):
        assert len(set(column)) == len(column)
        assert all(word.isascii() and word.islower() and 3 <= len(word) <= 8 for word in column)
    assert not set(words.FIRST) & set(words.SECOND)


# Booking.


@pytest.fixture
async def smith(add_staff):
    return await add_staff("smith", Role.OFFICER)


@pytest.fixture
def book(database, clock, key_ring):
    """Book for a new incident or a given one: await book(at("14:00"))."""

    async def book(starts_at, *, incident=None, on=database, **named):
        incident = incident or await cases.record(database, clock)
        return await cases.book(on, clock, key_ring, incident, starts_at, **named)

    return book


async def texts_of(database, appointment):
    async with database.read() as db:
        return [(t.kind, t.state.value, t.due_at) for t in await texts.list_for(db, f"appointment:{appointment.id}")]


async def quarters_in(database):
    async with database.read() as db:
        return await diary.list_quarters(db, at("00:00", "2026-01-01"), at("00:00", "2027-01-01"))


async def test_booking_queues_the_text_and_each_reminder_that_is_still_ahead(smith, book, database, clock):
    soon, later = await book(at("10:45")), await book(at("14:00", "2026-03-05"))
    assert await texts_of(database, soon) == [("booked", "due", clock())]
    assert await texts_of(database, later) == [
        ("booked", "due", clock()),
        ("reminder", "due", at("14:00", "2026-03-04")),
        ("reminder", "due", at("13:00", "2026-03-05")),
    ]


async def test_no_text_holds_a_name_the_offence_or_the_agreed_word(smith, book, database):
    booked = await book(at("14:00"))
    async with database.read() as db:
        kept = str(await texts.list_for(db, f"appointment:{booked.id}"))
        entries = str(await audit.list_for(db, f"appointment:{booked.id}"))
    for secret in ("Alex", "theft", "7700900", booked.agreed_word):
        assert secret not in kept
        assert secret not in entries


async def test_of_two_bookers_of_one_officer_one_wins_and_the_other_sees_the_next_time(smith, book, database):
    answers = await asyncio.gather(
        *(book(at("14:00"), officer_id=officer) for officer in (None, smith.id)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, slots.SlotTaken)]
    assert len(refused) == 1
    assert refused[0].others[0] == Slot(at("14:45"), (smith.id,))
    assert await quarters_in(database) == {smith.id: {at("14:00"), at("14:15"), at("14:30")}}


async def test_bookers_in_several_processes_never_share_an_officer(smith, add_staff, book, settings, database, clock):
    officers = {smith.id, (await add_staff("jones", Role.OFFICER)).id}
    incidents = [await cases.record(database, clock) for _ in range(6)]
    other = Database(settings.database_url)
    try:
        answers = await asyncio.gather(
            *(book(at("14:00"), incident=one, on=on) for one, on in zip(incidents, (database, other) * 3, strict=True)),
            return_exceptions=True,
        )
    finally:
        await other.dispose()
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert {appointment.officer_id for appointment in won} == officers
    assert len(won) == 2
    assert sum(isinstance(answer, slots.SlotTaken) for answer in answers) == 4


async def test_overlapping_by_one_quarter_is_taken_and_the_loser_leaves_nothing_behind(smith, book, database, clock):
    await book(at("14:00"))
    incident = await cases.record(database, clock)
    for start in ("13:30", "14:30"):
        with pytest.raises(slots.SlotTaken):
            await book(at(start), incident=incident)
    async with database.read() as db:
        assert not await service.list_of_incident(db, incident.id)
        assert not await tasks.list_open(db)
    await book(at("14:45"), incident=incident)
    await book(at("13:15"))
    async with database.read() as db:
        day = await service.list_day(db, officer_id=smith.id, day=date(2026, 3, 2), force=FORCE)
    assert [appointment.starts_at for appointment in day] == [at("13:15"), at("14:00"), at("14:45")]


async def test_appointments_are_shared_out_among_the_officers(smith, add_staff, book):
    jones = await add_staff("jones", Role.OFFICER, name="PC Jones")
    booked = [(await book(at(start))).officer_id for start in ("14:00", "15:00", "16:00", "17:00")]
    assert sorted(booked) == sorted([smith.id, jones.id] * 2)


async def test_a_refused_time_books_nothing(smith, book, database, clock):
    incident = await cases.record(database, clock)
    for start, refused in ((at("09:00"), slots.SlotInPast), (at("23:00"), slots.SlotOutsideHours)):
        with pytest.raises(refused):
            await book(start, incident=incident)
    with pytest.raises(slots.SlotNotOffered):
        await book(at("14:00"), incident=incident, officer_id=keys.new_id())
    async with database.read() as db:
        assert not await service.list_of_incident(db, incident.id)
    assert await quarters_in(database) == {}


async def test_the_demo_may_book_a_time_that_has_begun_and_blocks_its_quarters(smith, book):
    booked = await book(at("09:53"), allow_any_time=True)
    assert (booked.starts_at, booked.ends_at) == (at("09:53"), at("10:38"))
    with pytest.raises(slots.SlotTaken):
        await book(at("10:30"))
    assert await book(at("10:45"))


async def test_without_an_officer_nothing_is_offered(add_staff, book, database, clock):
    await add_staff("jones", Role.CALL_HANDLER)
    async with database.read() as db:
        assert await service.free_slots(db, now=clock(), force=FORCE) == []
    with pytest.raises(slots.SlotNotOffered):
        await book(at("14:00"))


async def test_video_that_may_not_be_offered_is_not_booked(smith, book, database, clock):
    unsafe = await cases.record(database, clock, eligibility=replace(FINE, offender_absent=False))
    threatened = await cases.record(database, clock, immediate_threat=True)
    for incident in (unsafe, threatened):
        with pytest.raises(service.VideoNotOffered):
            await book(at("14:00"), incident=incident)
    async with database.begin() as db:
        await incidents.assess(db, unsafe.id, eligibility=FINE, immediate_threat=False, by="system:test", now=clock())
    assert await book(at("14:00"), incident=unsafe)


async def test_a_form_sent_twice_at_once_by_two_processes_books_once(smith, book, settings, database, clock):
    incident, form_id = await cases.record(database, clock), keys.new_id()
    other = Database(settings.database_url)
    try:
        first, second = await asyncio.gather(
            *(book(at("14:00"), incident=incident, on=on, form_id=form_id) for on in (database, other))
        )
    finally:
        await other.dispose()
    assert first == second
    assert len(await texts_of(database, first)) == 2


async def test_two_handlers_who_book_one_incident_at_once_make_one_appointment(smith, book, settings, database, clock):
    incident = await cases.record(database, clock)
    other = Database(settings.database_url)
    try:
        answers = await asyncio.gather(
            book(at("14:00"), incident=incident),
            book(at("15:00"), incident=incident, on=other),
            return_exceptions=True,
        )
    finally:
        await other.dispose()
    assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyBooked", "Appointment"]


async def test_when_an_appointment_is_over_the_next_may_be_booked(smith, book, database, clock):
    incident = await cases.record(database, clock)
    first = await book(at("14:00"), incident=incident)
    clock.now = first.ends_at
    assert (await book(at("17:00"), incident=incident)).id != first.id


async def test_a_form_of_another_incident_is_refused(smith, book):
    form_id = keys.new_id()
    await book(at("14:00"), form_id=form_id)
    with pytest.raises(Conflict):
        await book(at("16:00"), form_id=form_id)


async def test_booking_wakes_the_diary_the_room_and_the_lists(smith, book, database):
    booked = await book(at("14:00"))
    async with database.read() as db:
        told = {(event.topic, event.reference) for event in await storage.list_events_since(db, 0, limit=100)}
    assert {("appointments", booked.id), ("room", booked.id), ("diary", smith.id)} <= told


async def test_somebody_who_may_not_be_texted_becomes_a_task(smith, book, database, clock):
    never = SafeContact(may_text=False, wording=Wording.NEUTRAL)
    booked = await book(at("14:00"), incident=await cases.record(database, clock, safe_contact=never))
    assert await texts_of(database, booked) == []
    async with database.read() as db:
        assert [task.subject for task in await tasks.list_open(db)] == [f"appointment:{booked.id}"]


# Moving, cancelling, ending.


@pytest.fixture
def move(database, clock):
    async def move(appointment, starts_at, *, officer_id=None, on=database):
        async with on.begin() as db:
            return await service.move(
                db,
                appointment.id,
                starts_at=starts_at,
                officer_id=officer_id,
                by="system:test",
                now=clock(),
                force=FORCE,
            )

    return move


@pytest.fixture
def cancel(database, clock):
    async def cancel(appointment, reason="person_asked", *, on=database):
        async with on.begin() as db:
            return await service.cancel(db, appointment.id, by="system:test", reason=reason, now=clock())

    return cancel


async def test_moving_frees_the_old_time_and_writes_the_texts_anew(smith, book, move, database, clock):
    booked = await book(at("14:00"))
    clock.move(minutes=1)
    moved = await move(booked, at("17:00"))
    assert (moved.id, moved.agreed_word, moved.officer_id) == (booked.id, booked.agreed_word, smith.id)
    assert await quarters_in(database) == {smith.id: {at("17:00"), at("17:15"), at("17:30")}}
    assert await texts_of(database, booked) == [
        ("booked", "void", at("10:00")),
        ("moved", "due", clock()),
        ("reminder", "void", at("13:00")),
        ("reminder", "due", at("16:00")),
    ]
    assert await book(at("14:00"))


async def test_moving_away_and_back_leaves_one_reminder(smith, book, move, database):
    booked = await book(at("14:00"))
    await move(booked, at("17:00"))
    await move(booked, at("14:00"))
    due = [(kind, at_) for kind, state, at_ in await texts_of(database, booked) if state == "due"]
    assert due == [("moved", at("10:00")), ("reminder", at("13:00"))]


async def test_moving_by_a_quarter_overlaps_only_itself(smith, book, move, database):
    await move(await book(at("14:00")), at("14:15"))
    assert await quarters_in(database) == {smith.id: {at("14:15"), at("14:30"), at("14:45")}}


async def test_moving_onto_a_taken_time_changes_nothing_and_shows_what_is_free(smith, book, move, database):
    booked, other = await book(at("14:00")), await book(at("15:00"))
    with pytest.raises(slots.SlotTaken) as refusal:
        await move(booked, at("14:30"))
    assert refusal.value.others[0].starts_at == at("15:45")
    async with database.read() as db:
        assert await service.get(db, booked.id) == booked
        assert await service.get(db, other.id) == other
    assert len((await quarters_in(database))[smith.id]) == 6


async def test_moving_keeps_the_officer_or_takes_another_who_is_free(smith, add_staff, book, move):
    jones = await add_staff("jones", Role.OFFICER, name="PC Jones")
    booked = await book(at("14:00"), officer_id=smith.id)
    assert (await move(booked, at("18:00"))).officer_id == smith.id
    await book(at("16:00"), officer_id=smith.id)
    assert (await move(booked, at("16:00"))).officer_id == jones.id


async def test_moving_twice_to_the_same_time_tells_the_person_once(smith, book, move, database):
    booked = await book(at("14:00"))
    first, second = await move(booked, at("17:00")), await move(booked, at("17:00"))
    assert first == second
    assert [kind for kind, _, _ in await texts_of(database, booked)].count("moved") == 1


async def test_cancelling_frees_the_time_withdraws_the_texts_and_says_so(smith, book, cancel, database, clock):
    booked = await book(at("14:00"))
    cancelled = await cancel(booked, "person_asked")
    assert (cancelled.state, cancelled.cancel_reason, cancelled.ended_at) == (State.CANCELLED, "person_asked", clock())
    assert await quarters_in(database) == {}
    assert sorted((kind, state) for kind, state, _ in await texts_of(database, booked)) == [
        ("booked", "void"),
        ("cancelled", "due"),
        ("reminder", "void"),
    ]
    assert await book(at("14:00"))
    async with database.read() as db:
        assert await service.get(db, booked.id) == cancelled
        entries = await audit.list_for(db, f"appointment:{booked.id}")
    assert [entry.details.get("reason") for entry in entries if entry.action == "appointments.cancelled"] == [
        "person_asked"
    ]


async def test_of_two_who_cancel_at_once_one_is_told_that_it_was_done(smith, book, cancel, settings, database):
    booked, other = await book(at("14:00")), Database(settings.database_url)
    try:
        answers = await asyncio.gather(*(cancel(booked, on=on) for on in (database, other)), return_exceptions=True)
    finally:
        await other.dispose()
    assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyCancelled", "Appointment"]


async def test_what_has_ended_or_was_cancelled_changes_no_more(smith, book, move, cancel, database, clock):
    ended, cancelled = await book(at("14:00")), await book(at("15:00"))
    await cancel(cancelled)
    async with database.begin() as db:
        done = await service.end(db, ended.id, outcome="seen", by="system:test", now=clock())
    assert (done.state, done.outcome) == (State.ENDED, "seen")
    for appointment, refused in ((ended, service.AlreadyEnded), (cancelled, service.AlreadyCancelled)):
        for again in (move(appointment, at("18:00")), cancel(appointment), _end(database, appointment, clock)):
            with pytest.raises(refused):
                await again
    assert [(kind, state) for kind, state, _ in await texts_of(database, ended)] == [
        ("booked", "void"),
        ("reminder", "void"),
    ]


async def _end(database, appointment, clock):
    async with database.begin() as db:
        await service.end(db, appointment.id, outcome="no_answer", by="system:test", now=clock())


async def test_codes_nobody_chose_from_a_list_are_refused(smith, book, cancel, database, clock):
    booked = await book(at("14:00"))
    with pytest.raises(ValueError, match="reason"):
        await cancel(booked, "because")
    with pytest.raises(ValueError, match="outcome"):
        async with database.begin() as db:
            await service.end(db, booked.id, outcome="fine", by="system:test", now=clock())


async def test_the_first_admission_stays_the_time_of_being_seen(smith, book, database):
    booked = await book(at("14:00"))
    async with database.begin() as db:
        await service.mark_seen(db, booked.id, now=at("14:01"))
        await service.mark_seen(db, booked.id, now=at("14:09"))
        assert (await service.get(db, booked.id)).seen_at == at("14:01")


async def test_a_local_day_holds_what_starts_in_it_by_the_clock_on_the_wall(smith, book, clock, database):
    clock.now = at("20:00", "2026-03-28")
    late = await book(at("22:50", "2026-03-29"), allow_any_time=True)  # 23:50 in London
    await book(at("23:50", "2026-03-29"), allow_any_time=True)  # already Monday there
    async with database.read() as db:
        assert await service.list_day(db, officer_id=None, day=date(2026, 3, 29), force=FORCE) == [late]


async def test_an_appointment_nobody_made_is_not_found(database):
    async with database.read() as db:
        with pytest.raises(NotFound):
            await service.get(db, keys.new_id())
