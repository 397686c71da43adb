"""Schedulers as real processes: killed at any moment, several at once, told to stop; each text still leaves once."""

import asyncio
import multiprocessing
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.patience import BUSY_MS
from tests.twilio_server import ACCOUNT, SENDER, TOKEN, TwilioServer, twilio_server
from video_server.accounts.model import Role
from video_server.appointments import service as appointments
from video_server.config import Settings, load
from video_server.core import database as core_database
from video_server.core import events
from video_server.core.clock import utc_now
from video_server.core.database import Database
from video_server.core.errors import CannotStart
from video_server.core.force import Force
from video_server.incidents import service as incidents
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.model import SafeContact, Wording
from video_server.scheduler import make_gateway, tidy_up
from video_server.texts import service
from video_server.texts.gateway import TwilioGateway
from video_server.texts.model import State, Text
from video_server.texts.wording import render_body
from video_server.texts.worker import send_due
from video_server.web import sessions

KILLS = 20
TEXTS_A_LIFE = 6
LONGEST_SECONDS = 2.0
"""Of one call; a claim then holds three times as long, which is what a killed worker's texts wait."""
PATIENCE_SECONDS = 60.0  # of a worker that is not killed, and must not give up on a slow machine
MOBILES = [f"+4477009001{n:02}" for n in range(6)]


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioServer]:
    async with twilio_server() as server:
        yield server


async def link_url(_db: object, link_id: str) -> str:
    return f"https://appointments.example.police.uk/j/token-of-{link_id}"


def work(database_url: str, twilio_url: str, longest_seconds: float) -> None:
    """A worker's life: send what is due, again and again, until killed."""

    core_database._BUSY_MS = BUSY_MS

    async def live() -> None:
        database = Database(database_url)
        gateway = TwilioGateway(
            account=ACCOUNT,
            token=TOKEN,
            sender=SENDER,
            public_url="https://appointments.example.police.uk",
            base_url=twilio_url,
            longest_seconds=longest_seconds,
        )
        while True:
            await send_due(database, gateway, link_url=link_url, force=Force(), clock=utc_now)
            await asyncio.sleep(0.02)

    asyncio.run(live())


async def record_people(database: Database) -> Sequence[incidents.Incident]:
    async with database.begin() as db:
        return [
            await incidents.record_incident(
                db,
                offence_type="theft",
                victim_name="Alex Example",
                victim_mobile=mobile,
                language="en",
                safe_contact=SafeContact(may_text=True, wording=Wording.PLAIN),
                eligibility=Eligibility(True, True, True, True),
                by="system:test",
                now=utc_now(),
            )
            for mobile in MOBILES
        ]


async def queue_some(database: Database, people: Sequence[incidents.Incident], numbers: range) -> None:
    """Queue texts of which several to one person read exactly alike, the hardest case to tell apart."""
    now = utc_now()
    async with database.begin() as db:
        for number in numbers:
            incident = people[number % len(people)]
            await service.queue(
                db,
                kind="cancelled" if number % 3 == 0 else "booked",
                person_id=incident.victim_id,
                subject=f"appointment:{number}",
                link_id=None if number % 3 == 0 else f"{number}",
                values={"reference": incident.reference, "starts_at": "2030-03-02T14:00:00+00:00"},
                due_at=now,
                expires_at=now + timedelta(hours=1),
                now=now,
            )


async def all_texts(database: Database, count: int) -> list[Text]:
    async with database.read() as db:
        return [text for n in range(count) for text in await service.list_for(db, f"appointment:{n}")]


def body_of(text: Text, people: Sequence[incidents.Incident]) -> tuple[str, str]:
    """Return the number and the body that a text of `queue_some` must arrive with."""
    to = {incident.victim_id: mobile for incident, mobile in zip(people, MOBILES, strict=True)}[text.person_id]
    link = f"https://appointments.example.police.uk/j/token-of-{text.link_id}" if text.link_id else None
    return to, render_body(text.kind, Wording.PLAIN, "en", values=text.values, link=link, force=Force())


async def test_workers_killed_at_random_moments_send_each_text_exactly_once(database, settings, twilio):
    twilio.slow_s = 0.06
    dice = random.Random(20260302)
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([__name__, "twilio.rest.api.v2010.account.message"])
    people = await record_people(database)
    total = KILLS * TEXTS_A_LIFE
    interrupted = 0

    def start(longest_seconds: float = LONGEST_SECONDS) -> multiprocessing.process.BaseProcess:
        worker = forks.Process(target=work, args=(settings.database_url, twilio.url, longest_seconds), daemon=True)
        worker.start()
        return worker

    warm = start()  # the first one waits for the imports
    for life in range(KILLS):
        await queue_some(database, people, range(life * TEXTS_A_LIFE, (life + 1) * TEXTS_A_LIFE))
        worker = warm if life == 0 else start()
        await twilio.wait_for_create()
        if life % 4:  # each fourth dies here and now, with what it has just posted unanswered
            await asyncio.sleep(dice.uniform(0, 0.25))
        worker.kill()
        await asyncio.to_thread(worker.join)
        assert worker.exitcode == -signal.SIGKILL
        interrupted += sum(text.state == "sending" for text in await all_texts(database, total))
    last = [start(PATIENCE_SECONDS), start(PATIENCE_SECONDS)]
    while (states := {text.state for text in await all_texts(database, total)}) != {State.SENT}:
        assert State.FAILED not in states
        assert all(worker.is_alive() for worker in last)
        await asyncio.sleep(0.1)
    for worker in last:
        worker.kill()
        await asyncio.to_thread(worker.join)

    texts = await all_texts(database, total)
    print(f"{KILLS} kills, {total} texts, {interrupted} found in the hands of the dead, {twilio.lists} looks at Twilio")
    assert len(texts) == total
    wanted = Counter(body_of(text, people) for text in texts)
    assert Counter((message.to, message.body) for message in twilio.messages) == wanted
    assert interrupted > 0
    assert twilio.lists > 0


async def run_scheduler(
    settings: Settings, twilio: TwilioServer, *arguments: str, **named
) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VIDEO_")} | {
        "VIDEO_DEMO": "true",
        "VIDEO_DATA": str(settings.data),
        "VIDEO_DATABASE": settings.database_url,
        "VIDEO_TEXTS": "twilio",
        "VIDEO_TWILIO_ACCOUNT": ACCOUNT,
        "VIDEO_TWILIO_TOKEN": TOKEN,
        "VIDEO_TWILIO_SENDER": SENDER,
        "VIDEO_TWILIO_URL": twilio.url,
        "VIDEO_LOG_LEVEL": "DEBUG",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "video_server",
        "scheduler",
        *arguments,
        env=environment,
        cwd=Path(__file__).parent.parent,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **named,
    )


async def test_the_real_scheduler_sends_a_booking_and_logs_neither_number_nor_token(
    database, settings, key_ring, twilio, add_staff
):
    officer = await add_staff("smith", Role.OFFICER)
    (incident, *_) = await record_people(database)
    twilio.faults.extend([("status", 400, 21211), ("keep_and_drop",)])
    scheduler = await run_scheduler(settings, twilio)
    assert scheduler.stderr is not None
    logged = asyncio.create_task(scheduler.stderr.read())  # all along: a pipe that nobody empties stops who writes
    await queue_some(database, [incident], range(0, 6, 3))
    now = utc_now()
    async with database.begin() as db:
        booked = await appointments.book(
            db,
            incident=incident,
            person_id=incident.victim_id,
            starts_at=now.replace(second=0, microsecond=0) + timedelta(hours=30),
            officer_id=officer.id,
            by="system:test",
            now=now,
            force=settings.force(),
            key_ring=key_ring,
            allow_any_time=True,
        )
    token = key_ring.link_token(booked.id, booked.generation)
    await queue_some(database, [incident], range(6, 7))
    while not any(token in message.body for message in twilio.messages) or twilio.lists == 0:
        await asyncio.sleep(0.05)
        assert scheduler.returncode is None
    scheduler.terminate()
    log = (await logged).decode()
    assert await scheduler.wait() == 0
    assert "scheduler_ready" in log
    assert "text_put_back" in log
    for secret in ("7700900", "0900100", token, TOKEN, "Alex", incident.reference, "token-of"):
        assert secret not in log


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "the parent is gone"])
async def test_the_scheduler_stops_when_told_even_when_started_with_signals_ignored(
    database, settings, key_ring, twilio, how
):
    arguments = ["--parent-pipe"] if how == "the parent is gone" else []
    scheduler = await run_scheduler(
        settings, twilio, *arguments, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    )
    assert scheduler.stderr is not None
    assert scheduler.stdin is not None
    while b"scheduler_ready" not in await scheduler.stderr.readline():
        assert not scheduler.stderr.at_eof()
    if how == "the parent is gone":
        scheduler.stdin.close()
    else:
        scheduler.send_signal(signal.Signals[how])
    assert b"Traceback" not in await scheduler.stderr.read()
    assert await scheduler.wait() == 0


async def test_tidying_up_drops_old_wake_ups_and_dead_sessions_and_nothing_else(database, clock):
    async with database.begin() as db:
        for topic in ("texts", "tasks"):
            await events.record(db, topic, "1", now=clock())
        await sessions.open_session(db, "phone", "1", now=clock())
    clock.move(days=2, minutes=1)
    async with database.begin() as db:
        await events.record(db, "texts", "2", now=clock())
        await sessions.open_session(db, "phone", "2", now=clock())
    assert await tidy_up(database, clock=clock) == 2
    clock.move(days=1, hours=2)
    assert await tidy_up(database, clock=clock) == 1
    assert await tidy_up(database, clock=clock) == 0


def test_texts_on_a_page_are_for_the_demo_only_and_twilio_needs_its_settings(database, tmp_path):
    for given in ({"texts": "screen"}, {"texts": "twilio"}, {"texts": "twilio", "twilio_account": ACCOUNT}):
        with pytest.raises(CannotStart, match="VIDEO_T"):
            make_gateway(load(data=tmp_path, **given), database)
