"""The timing process: ticks over the tables. APScheduler is the ticker only; what is due, and whether, stands in rows.

Several may run at once, and any may die at any moment: each text still leaves once.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, timedelta
from functools import partial

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from video_server.appointments import service as appointments
from video_server.config import Settings
from video_server.core import events
from video_server.core.clock import Clock, utc_now
from video_server.core.database import Database
from video_server.core.errors import CannotStart
from video_server.core.keys import load_keys
from video_server.core.log import configure, get_logger
from video_server.evidence.link import StoreLink
from video_server.statements.sealing import LinkedStore, seal_due
from video_server.statements.signing import SEALS
from video_server.texts.gateway import Gateway, ScreenGateway, TwilioGateway
from video_server.texts.worker import chase_unconfirmed, send_due
from video_server.web import sessions

log = get_logger(__name__)

SEND_EVERY = timedelta(seconds=1)
SEAL_EVERY = timedelta(seconds=1)
CHASE_EVERY = timedelta(seconds=30)
TIDY_EVERY = timedelta(hours=1)
_AFTER_A_FAULT_SECONDS = 1.0
_STOP_SECONDS = 3.0
_STUCK_SECONDS = 6.0


def main(settings: Settings, *, parent_pipe: bool = False) -> None:
    """Run until SIGTERM, SIGINT or the end of the parent's pipe. Raises CannotStart."""
    configure("scheduler", level=settings.log_level)
    asyncio.run(run(settings, parent_pipe=parent_pipe))


async def run(settings: Settings, *, parent_pipe: bool = False, clock: Clock = utc_now) -> None:
    """Send texts when they are due, chase those without news, seal statements, tidy up; until told to stop.

    parent_pipe  stop when standard input ends, that is with the process that started us
    Raises       CannotStart
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # explicitly: a shell's background job inherits SIGINT ignored
        loop.add_signal_handler(number, stop.set)
    if parent_pipe:
        threading.Thread(target=_watch_parent, args=(loop, stop), name="parent-pipe", daemon=True).start()
    key_ring = load_keys(settings.keys_folder, create=False)
    database = Database(settings.database_url)
    gateway = make_gateway(settings, database)
    link_url = partial(appointments.link_url, key_ring=key_ring, public_url=settings.origin)
    send = Turn("send", lambda: send_due(database, gateway, link_url=link_url, force=settings.force(), clock=clock))
    chase = Turn("chase", lambda: chase_unconfirmed(database, gateway, clock=clock))
    tidy = Turn("tidy", lambda: tidy_up(database, clock=clock))
    link = StoreLink(settings.evidence_where, settings.keys_folder)
    seal = Turn("seal", lambda: seal_due(database, LinkedStore(link), clock=clock))
    turns = {send: SEND_EVERY, seal: SEAL_EVERY, chase: CHASE_EVERY, tidy: TIDY_EVERY}
    running = [asyncio.create_task(turn.keep()) for turn in turns]
    ticker = make_ticker(turns)
    bus = events.Bus(database)
    bus.subscribe("texts", lambda _event: send.wake())
    bus.subscribe(SEALS, lambda _event: seal.wake())
    try:
        async with bus.running(), link.running():
            ticker.start()
            log.info("scheduler_ready", gateway=settings.texts)
            await stop.wait()
            log.info("scheduler_stopping")
    finally:
        hard_end = _end_even_if_stuck()
        if ticker.running:
            ticker.shutdown(wait=False)
        for turn in turns:
            turn.end()
        await asyncio.wait(running, timeout=_STOP_SECONDS)  # what is being handed over may finish
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await gateway.close()
        await database.dispose()
        hard_end.cancel()


class Turn:
    """One piece of work that runs when woken, never twice at once; woken while it runs, it runs once more."""

    def __init__(self, name: str, work: Callable[[], Awaitable[int]]) -> None:
        self._name = name
        self._work = work
        self._awake = asyncio.Event()
        self._ending = False

    def wake(self) -> None:
        """Run soon."""
        self._awake.set()

    async def tick(self) -> None:
        """What the ticker calls."""
        self.wake()

    def end(self) -> None:
        """Run no more; what runs now may finish."""
        self._ending = True
        self.wake()

    async def keep(self) -> None:
        """Wait and work until ended; a fault is logged, and the next tick tries again."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            if self._ending:
                return
            try:
                if count := await self._work():
                    log.info("turn_done", turn=self._name, count=count)
            except Exception:
                log.exception("turn_failed", turn=self._name)
                await asyncio.sleep(_AFTER_A_FAULT_SECONDS)


def make_ticker(turns: dict[Turn, timedelta]) -> AsyncIOScheduler:
    """Return APScheduler, set to wake each turn at its pace; late ticks run once, and ticks never pile up."""
    ticker = AsyncIOScheduler(timezone=UTC)
    for turn, pace in turns.items():
        ticker.add_job(
            turn.tick,
            IntervalTrigger(seconds=int(pace.total_seconds()), timezone=UTC),
            next_run_time=utc_now(),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
    return ticker


def make_gateway(settings: Settings, database: Database) -> Gateway:
    """Return the way out that the settings name. Raises CannotStart."""
    if settings.texts == "screen":
        if not settings.demo:
            raise CannotStart("VIDEO_TEXTS=screen is for the demo only: set VIDEO_TEXTS=twilio.")
        return ScreenGateway(database)
    token = settings.twilio_token.get_secret_value()
    if not (settings.twilio_account and token and settings.twilio_sender):
        raise CannotStart("VIDEO_TWILIO_ACCOUNT, VIDEO_TWILIO_TOKEN and VIDEO_TWILIO_SENDER must be set to send texts.")
    return TwilioGateway(
        account=settings.twilio_account,
        token=token,
        sender=settings.twilio_sender,
        public_url=settings.origin,
        base_url=settings.twilio_url,
    )


async def tidy_up(database: Database, *, clock: Clock) -> int:
    """Drop wake-ups and dead sessions that are no longer of use; return how many."""
    async with database.begin() as db:
        return await events.forget_old(db, now=clock()) + await sessions.forget_old(db, now=clock())


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 4096):
        pass
    with suppress(RuntimeError):  # the loop has closed: we are on our way out already
        loop.call_soon_threadsafe(stop.set)
    _end_even_if_stuck()


def _end_even_if_stuck() -> threading.Timer:
    """Leave no process behind when the loop does not come back; cancel it when all is closed."""
    timer = threading.Timer(_STUCK_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
    return timer
