"""Send what is due, each text once, whatever dies when.

A worker claims one text at a time and writes down *before* it happens what it is about to hand over. If it dies in
between, the claim runs out, and the next worker asks the provider whether the message is there before it tries again.
Whether someone may be texted, in which words and at which hour is decided at that moment, not when it was queued.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from video_server.core import keys
from video_server.core.clock import Clock
from video_server.core.database import Connection, Database, IntegrityError
from video_server.core.errors import N_
from video_server.core.force import Force
from video_server.core.log import get_logger
from video_server.incidents import service as incidents
from video_server.texts import gate, service, storage, wording
from video_server.texts.gateway import Gateway, NotTaken, Taken, Unsure
from video_server.texts.model import NEEDS_LINK, UNCONFIRMED_AFTER, Claim, Kind, State, wait_before_try

log = get_logger(__name__)

LinkUrl = Callable[[Connection, str], Awaitable[str | None]]
"""Maps a link's id to its address, token included; None when the link is no longer good."""

LANES = 4
_AFTER_A_FAULT = timedelta(minutes=1)
_UNCONFIRMED_AT_ONCE = 50

NOT_IN_TIME = N_("A text could not be sent in time. Tell this person another way they agreed to.")
NO_LINK = N_("A text was not sent because its link no longer works. Check the appointment and tell this person.")
UNCONFIRMED = N_("Nobody knows whether a text has arrived. Check with this person in a way they agreed to.")


@dataclass(frozen=True)
class HandOver:
    """What leaves, and to which number. It lives in memory only."""

    to: str
    body: str


@dataclass(frozen=True)
class Lane:
    """What each step of sending needs."""

    database: Database
    gateway: Gateway
    link_url: LinkUrl
    force: Force
    clock: Clock

    @property
    def lease(self) -> timedelta:
        """How long a claim holds: a look, a hand-over, and as much again for the record."""
        return timedelta(seconds=3 * self.gateway.longest_seconds)


async def send_due(
    database: Database, gateway: Gateway, *, link_url: LinkUrl, force: Force, clock: Clock, lanes: int = LANES
) -> int:
    """Hand over every text that is due; return how many reached the provider. Run it anywhere, as often as you like."""
    async with database.read() as db:
        if not await storage.has_ready(db, now=clock()):
            return 0
    lane = Lane(database, gateway, link_url, force, clock)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_run(lane)) for _ in range(lanes)]
    return sum(task.result() for task in running)


async def _run(lane: Lane) -> int:
    count = 0
    while (sent := await _send_next(lane)) is not None:
        count += sent
    return count


async def _send_next(lane: Lane) -> bool | None:
    """Claim one text and see it through; None when there is nothing to claim."""
    claim, step = await _claim(lane)
    if claim is None:
        return None
    if claim.first_tried_at is not None:
        looked = await _look(lane, claim)
        if looked is not None:
            return looked
        step = await _prepare_again(lane, claim)
    return await _hand_over(lane, claim, step) if step is not None else False


async def _claim(lane: Lane) -> tuple[Claim | None, HandOver | None]:
    """Take a text; one never tried before is made ready in the same transaction, so that `void` cannot come between."""
    now = lane.clock()
    async with lane.database.begin() as db:
        claim = await storage.claim_next(db, claim_id=keys.new_id(), now=now, until=now + lane.lease)
        if claim is None or claim.first_tried_at is not None:
            return claim, None
        return claim, await _prepare(lane, db, claim)


async def _prepare_again(lane: Lane, claim: Claim) -> HandOver | None:
    async with lane.database.begin() as db:
        held = await storage.find_held(db, claim)
        return None if held is None else await _prepare(lane, db, held)


async def _prepare(lane: Lane, db: Connection, claim: Claim) -> HandOver | None:
    """Decide what becomes of a claimed text; return what to hand over, or None when it was dealt with here."""
    try:
        async with db.begin_nested():  # a fault must not hold up the texts behind this one
            return await _decide(lane, db, claim, now=lane.clock())
    except Exception:
        log.exception("text_not_prepared", text=claim.text.id)
        await storage.put_back(db, claim, next_try_at=lane.clock() + _AFTER_A_FAULT, fault="fault")
        return None


async def _decide(lane: Lane, db: Connection, claim: Claim, *, now: datetime) -> HandOver | None:
    text = claim.text
    if claim.unwanted:
        await _drop(db, claim, "withdrawn", now=now)
        return None
    if now >= text.expires_at:
        await _drop(db, claim, "expired", now=now, task="text_expired", note=NOT_IN_TIME)
        return None
    person, held = await incidents.get_contact(db, text.person_id)
    decision = gate.decide(person.safe_contact, text.kind, held=held, now=now, zone=lane.force.timezone)
    if isinstance(decision, gate.Refused):
        await _drop(db, claim, decision.reason, now=now, task="text_refused", note=service.MUST_NOT_TEXT)
        return None
    if isinstance(decision, gate.Later):
        await _wait(db, claim, decision.at, now=now)
        return None
    link = await lane.link_url(db, text.link_id) if text.link_id is not None else None
    if link is None and text.kind in NEEDS_LINK:
        await _drop(db, claim, "no_link", now=now, task="text_failed", note=NO_LINK)
        return None
    body = wording.render_body(
        text.kind, decision.wording, person.language, values=text.values, link=link, force=lane.force
    )
    await storage.record_try(db, claim, body_sha256=keys.digest(body), now=now)
    return HandOver(person.mobile, body)


async def _wait(db: Connection, claim: Claim, until: datetime, *, now: datetime) -> None:
    """Keep a text for the hours the person gave; one that they leave no time for is told another way.

    A reminder is left out quietly: the person has been told of the appointment before.
    """
    if until < claim.text.expires_at:
        await storage.put_back(db, claim, next_try_at=until, fault=None)
    elif claim.text.kind == Kind.REMINDER:
        await _drop(db, claim, "no_hour_left", now=now)
    else:
        await _drop(db, claim, "no_hour_left", now=now, task="text_expired", note=NOT_IN_TIME)


async def _drop(
    db: Connection, claim: Claim, why: str, *, now: datetime, task: str | None = None, note: str = ""
) -> None:
    """Withdraw a claimed text, and ask a person to act where somebody would go without the news."""
    text = claim.text
    if not await storage.end(db, claim, State.VOID, fault=why, now=now):
        return
    await service.note(db, text, "texts.withdrawn", now=now, why=why)
    if task is not None:
        await service.ask_to_tell(db, text.kind, text.subject, task=task, note=note, now=now)


async def _look(lane: Lane, claim: Claim) -> bool | None:
    """Ask the provider for a message of an earlier try: True it is there, None it is not, False no answer came."""
    assert claim.first_tried_at is not None
    try:
        async with lane.database.read() as db:
            person = await incidents.get_person(db, claim.text.person_id)
        there = await lane.gateway.list_taken(person.mobile, since=claim.first_tried_at)
    except Unsure as problem:
        return await _try_later(lane, claim, problem.code, looked=True)
    mine = [taken for taken in there if keys.digest(taken.body) in claim.bodies_sha256]
    async with lane.database.read() as db:
        others = await storage.list_owned(db, [taken.provider_id for taken in mine])
    for taken in mine:
        if taken.provider_id not in others:
            log.info("text_found_at_provider", text=claim.text.id)
            return await _record_taken(lane, claim, taken)
    return None


async def _hand_over(lane: Lane, claim: Claim, step: HandOver) -> bool:
    """Send outside any transaction, then write down what came of it."""
    if lane.clock() + timedelta(seconds=lane.gateway.longest_seconds) > claim.until:
        return False  # too slow: the claim might run out on the way, and another worker would send it too
    try:
        taken = await lane.gateway.send(step.to, step.body, key=claim.text.id)
    except NotTaken as problem:
        return await _give_up(lane, claim, problem.code)
    except Unsure as problem:
        return await _try_later(lane, claim, problem.code)
    return await _record_taken(lane, claim, taken)


async def _record_taken(lane: Lane, claim: Claim, taken: Taken) -> bool:
    try:
        async with lane.database.begin() as db:
            await service.record_progress(
                db, taken.state, text_id=claim.text.id, provider_id=taken.provider_id, now=lane.clock()
            )
    except IntegrityError:  # two alike found the same message at the same instant; the other one has it
        return await _try_later(lane, claim, "taken_by_twin")
    return True


async def _try_later(lane: Lane, claim: Claim, code: str, *, looked: bool = False) -> bool:
    """Put a text back for another try; give up after the last. A look without an answer counts as a try."""
    now = lane.clock()
    async with lane.database.begin() as db:
        held = await storage.find_held(db, claim)
        if held is None:
            return False
        attempts = held.text.attempts + looked
        wait = wait_before_try(attempts)
        if wait is not None:
            next_try_at = now if held.unwanted and not looked else now + wait
            await storage.put_back(db, claim, next_try_at=next_try_at, fault=code, attempts=attempts)
            log.warning("text_put_back", text=claim.text.id, code=code, attempts=attempts)
            return False
    return await _give_up(lane, claim, code)


async def _give_up(lane: Lane, claim: Claim, code: str) -> bool:
    now = lane.clock()
    async with lane.database.begin() as db:
        if await storage.end(db, claim, State.FAILED, fault=code, now=now):
            await service.tell_failed(db, claim.text, code=code, now=now)
    return False


async def chase_unconfirmed(database: Database, gateway: Gateway, *, clock: Clock) -> int:
    """Ask the provider about texts it has had for long without news; a person is told of those still open.

    Returns how many were found out about or told of.
    """
    async with database.read() as db:
        waiting = await storage.list_unconfirmed(
            db, sent_before=clock() - UNCONFIRMED_AFTER, limit=_UNCONFIRMED_AT_ONCE
        )
    for text, provider_id in waiting:
        try:
            progress = await gateway.get_state(provider_id)
        except Unsure:
            progress = State.SENT
        now = clock()
        async with database.begin() as db:
            if progress is not State.SENT:
                await service.record_progress(db, progress, text_id=None, provider_id=provider_id, now=now)
            elif await storage.mark_alerted(db, text.id, now=now):
                await service.note(db, text, "texts.unconfirmed", now=now)
                await service.ask_to_tell(
                    db, text.kind, text.subject, task="text_unconfirmed", note=UNCONFIRMED, now=now, within=timedelta(0)
                )
    return len(waiting)
