"""How a call was: figures of relay and page, kept by the half minute, summed up; and gaps with their reasons."""

import math
from datetime import timedelta

import pytest

from tests.conftest import HeldClock
from video_server.audit import service as audit
from video_server.calls import page_news, presence, service
from video_server.calls.model import Sending, State
from video_server.calls.quality import (
    STRETCH,
    LinkFigures,
    Meter,
    PageFigures,
    Way,
    grade,
    parse_link,
    parse_page,
    summarise,
)

LINK = {
    "up": {"bits_per_second": 900_000, "loss": 0.01, "jitter_ms": 4},
    "down": {"bits_per_second": 1_000_000, "loss": 0.03, "jitter_ms": 6.5},
    "round_trip_ms": 48.0,
    "rung": "full",
}
PAGE = {"type": "quality", "freezes": 1, "concealed": 0.02, "width": 1280, "height": 720, "round_trip_ms": 50}


def link(*, rung: str = "full", loss: float = 0.0, trip: float | None = 40.0) -> LinkFigures:
    return LinkFigures(Way(1e6, loss, 5), Way(2e6, loss / 2, 7), trip, rung)


# --- what comes from outside ---


def test_the_relays_and_the_pages_figures_are_read():
    assert parse_link(LINK) == LinkFigures(Way(900_000, 0.01, 4), Way(1_000_000, 0.03, 6.5), 48.0, "full")
    assert parse_page(PAGE) == PageFigures(1, 0.02, 1280, 720, 50.0)
    assert parse_page({**PAGE, "width": None, "height": None, "round_trip_ms": None}) == PageFigures(
        1, 0.02, *[None] * 3
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"freezes": -1},
        {"freezes": "1"},
        {"freezes": None},
        {"freezes": True},
        {"concealed": 1.5},
        {"concealed": math.nan},
        {"concealed": math.inf},
        {"width": 1e9},
        {"freezes": 10**400},
        {"round_trip_ms": -(10**400)},
        {"round_trip_ms": [1]},
    ],
)
def test_what_no_honest_page_says_is_no_figure(wrong):
    assert parse_page({**PAGE, **wrong}) is None


@pytest.mark.parametrize(
    "wrong",
    [{"rung": "sky"}, {"up": None}, {"down": {"loss": 0}}, {"round_trip_ms": "fast"}, {"round_trip_ms": 10**400}],
)
def test_figures_of_another_shape_are_none(wrong):
    assert parse_link({**LINK, **wrong}) is None


# --- by the half minute ---


def test_half_a_minute_becomes_one_stretch_with_means_and_the_worst_rung(clock):
    meter, stretches = Meter("p1"), []
    for n in range(12):
        meter.add_page(PageFigures(1, 0.01 * (n % 2), 1280, 720, 60.0))
        stretches.append(meter.add_link(link(rung="smaller" if n == 2 else "full", loss=0.02), clock.move(seconds=5)))
    [first, second] = [one for one in stretches if one]
    assert first.ended_at - first.began_at == STRETCH
    assert (first.samples, first.rung, first.freezes) == (6, "smaller", 6)
    assert first.up_loss == pytest.approx(0.02)
    assert first.concealed == pytest.approx(0.005)
    assert first.round_trip_ms == pytest.approx(50)
    assert (first.width, first.height) == (1280, 720)
    assert (second.began_at, second.rung) == (first.ended_at, "full")


def test_a_meter_closed_early_hands_out_what_it_has_and_nothing_twice(clock):
    meter = Meter("p1")
    assert meter.close(clock()) is None
    meter.add_link(link(), clock())
    assert meter.close(clock()).samples == 1
    assert meter.close(clock()) is None


def test_a_summary_weighs_by_time_and_keeps_the_worst(clock):
    stretches = []
    for loss, rung, freezes in [(0.0, "full", 0), (0.0, "full", 1), (0.2, "sound_only", 2)]:
        meter = Meter("p1")
        meter.add_page(PageFigures(freezes, 0.0, 640 if loss else 1280, 360 if loss else 720, None))
        for _ in range(6):
            stretch = meter.add_link(link(rung=rung, loss=loss), clock.move(seconds=5))
        stretches.append(stretch)
    [summary] = summarise(list(reversed(stretches)))
    assert summary.lasted == timedelta(seconds=90)
    assert summary.loss == pytest.approx(0.2 / 3)
    assert summary.worst_loss == pytest.approx(0.2)
    assert summary.on_rungs == {"sound_only": timedelta(seconds=30)}
    assert (summary.smallest, summary.largest, summary.freezes) == ((640, 360), (1280, 720), 3)
    assert summary.grade == "poor"


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "good"),
        ({"loss": 0.04}, "fair"),
        ({"round_trip_ms": 350}, "fair"),
        ({"rungs": ["smaller"]}, "fair"),
        ({"loss": 0.15}, "poor"),
        ({"concealed": 0.06}, "poor"),
        ({"rungs": ["ring"]}, "poor"),
    ],
)
def test_a_call_is_graded_in_one_word(given, word):
    assert grade(**{"loss": 0.0, "concealed": 0.0, "round_trip_ms": None, "rungs": [], **given}) == word


# --- in the room ---


@pytest.fixture
async def admitted(database, appointment, clock: HeldClock, waiting, look):
    """A person in the call; returns a way to hear their page."""
    session = await waiting()
    person = (await look()).of_session(session)
    async with database.begin() as db:
        person = await service.admit(db, appointment, person.id, by="officer", now=clock())

    async def hear(**message):
        async with database.begin() as db:
            current = await service.get_participant(db, person.id)
            await page_news.hear(db, current, message, now=clock())

    hear.person = person
    return hear


async def gaps_of(look):
    return [(gap.why, gap.ended_at and gap.ended_at - gap.began_at) for gap in (await look()).gaps]


async def test_the_page_explains_the_gap_that_the_relay_noticed(database, clock, admitted, look):
    async with database.begin() as db:
        await presence.note_silence(db, admitted.person.id, why="silent", now=clock())
        await presence.note_sound(db, admitted.person.id, now=clock.move(seconds=6))
    clock.move(seconds=1)
    await admitted(type="broke", why="asleep", ago_ms=9000, lasted_ms=8000)
    assert await gaps_of(look) == [("asleep", timedelta(seconds=6))]


async def test_a_gap_that_the_page_explains_before_the_relay_hears_it_still_ends(database, clock, admitted, look):
    async with database.begin() as db:
        await presence.note_silence(db, admitted.person.id, why="silent", now=clock())
    clock.move(seconds=6)
    await admitted(type="broke", why="asleep", ago_ms=6000, lasted_ms=5900)
    assert await gaps_of(look) == [("asleep", None)]
    async with database.begin() as db:
        await presence.note_sound(db, admitted.person.id, now=clock.move(seconds=1))
    assert await gaps_of(look) == [("asleep", timedelta(seconds=7))]


async def test_a_break_that_only_the_page_noticed_is_recorded_with_its_times(clock, admitted, look):
    clock.move(seconds=30)
    await admitted(type="broke", why="network_changed", ago_ms=2500, lasted_ms=2000)
    await admitted(type="broke", why="silent", ago_ms=500, lasted_ms=400)
    assert await gaps_of(look) == [("network_changed", timedelta(seconds=2))]


async def test_the_page_does_not_rewrite_that_the_relay_died(database, clock, admitted, look):
    async with database.begin() as db:
        await presence.note_silence(db, admitted.person.id, why="relay_lost", now=clock())
        await presence.note_sound(db, admitted.person.id, now=clock.move(seconds=1))
    await admitted(type="broke", why="offline", ago_ms=1000, lasted_ms=900)
    assert await gaps_of(look) == [("relay_lost", timedelta(seconds=1))]


async def test_a_telephone_call_in_between_overlaps_with_silence_and_each_ends_by_itself(
    database,
    clock,
    admitted,
    look,
):
    await admitted(type="pause", why="interrupted", on=True)
    await admitted(type="pause", why="interrupted", on=True)
    async with database.begin() as db:
        await presence.note_silence(db, admitted.person.id, why="silent", now=clock.move(seconds=1))
        await presence.note_sound(db, admitted.person.id, now=clock.move(seconds=1))
    assert await gaps_of(look) == [("interrupted", None), ("silent", timedelta(seconds=1))]
    clock.move(seconds=8)
    await admitted(type="pause", why="interrupted", on=False)
    assert await gaps_of(look) == [("interrupted", timedelta(seconds=10)), ("silent", timedelta(seconds=1))]


async def test_a_page_cannot_fill_the_record_with_breaks(clock, admitted, look, monkeypatch):
    monkeypatch.setattr("video_server.calls.page_news.MOST_GAPS", 3)
    clock.move(seconds=60)
    for _ in range(2):
        await admitted(type="broke", why="offline", ago_ms=3000, lasted_ms=2000)
    for on in (True, False) * 3:
        await admitted(type="pause", why="interrupted", on=on)
    await admitted(type="broke", why="offline", ago_ms=3000, lasted_ms=2000)
    assert await gaps_of(look) == [*[("offline", timedelta(seconds=2))] * 2, ("interrupted", timedelta(0))]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "broke"},
        {"type": "broke", "why": "bored", "ago_ms": 5000, "lasted_ms": 5000},
        {"type": "broke", "why": "asleep", "ago_ms": 1000, "lasted_ms": 5000},
        {"type": "broke", "why": "asleep", "ago_ms": 1e12, "lasted_ms": 5000},
        {"type": "broke", "why": "asleep", "ago_ms": True, "lasted_ms": True},
        {"type": "broke", "why": ["asleep"], "ago_ms": 5000, "lasted_ms": 5000},
        {"type": "pause", "why": "silent", "on": True},
        {"type": "pause", "why": "interrupted", "on": "yes"},
        {"type": "sending", "muted": 1, "camera_off": False, "audio_only": False},
    ],
)
async def test_what_is_not_understood_changes_nothing(clock, admitted, look, message):
    clock.move(seconds=60)
    await admitted(**message)
    view = await look()
    assert (view.gaps, view.sending) == ([], [])


async def test_what_a_page_sends_is_kept_and_only_news_wakes_the_room(admitted, look):
    for muted in (True, True, False):
        await admitted(type="sending", muted=muted, camera_off=True, audio_only=False)
    assert (await look()).sending == [Sending(admitted.person.id, False, True, False)]


async def test_when_not_even_sound_gets_through_that_is_on_record_once(database, clock, admitted, look):
    for on, seconds in ((True, 0), (True, 2), (False, 8), (False, 1)):
        async with database.begin() as db:
            await page_news.note_ring(db, admitted.person.id, on=on, now=clock.move(seconds=seconds))
    assert await gaps_of(look) == [("ring", timedelta(seconds=10))]
    async with database.read() as db:
        entries = await audit.list_for(db, f"appointment:{admitted.person.appointment_id}")
    assert [one.action for one in entries].count("calls.telephone_needed") == 1


async def test_figures_are_kept_with_the_appointment_and_once(database, clock, admitted):
    meter = Meter(admitted.person.id)
    meter.add_link(link(loss=0.04), clock())
    stretch = meter.close(clock())
    for _ in range(2):
        async with database.begin() as db:
            await page_news.keep_stretch(db, admitted.person.appointment_id, stretch)
    async with database.read() as db:
        [summary] = await page_news.quality_of(db, admitted.person.appointment_id)
    assert (summary.participant_id, summary.grade) == (admitted.person.id, "fair")
    assert summary.loss == pytest.approx(0.04)


async def test_leaving_ends_every_gap(database, clock, admitted, look):
    await admitted(type="pause", why="device_lost", on=True)
    async with database.begin() as db:
        await presence.note_silence(db, admitted.person.id, why="silent", now=clock())
        await service.leave(db, admitted.person.id, now=clock.move(seconds=3))
    assert (await look()).by_id(admitted.person.id).state is State.LEFT
    assert [lasted for _, lasted in await gaps_of(look)] == [timedelta(seconds=3)] * 2
