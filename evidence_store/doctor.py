"""`evidence-store doctor`: look at everything an operator can get wrong, and say how to mend it. Changes nothing."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from evidence_store import ledger, migrations, storage
from evidence_store.admission import storage as admission
from evidence_store.errors import BackendFailed
from evidence_store.ledger import HeadForged
from evidence_store.media import process
from evidence_store.mirrors import service as mirrors
from evidence_store.mirrors.places import MirrorFailed, open_mirror
from evidence_store.model import Run, RunKind
from evidence_store.nodes.model import Standing as At
from evidence_store.nodes.passing import Passing
from evidence_store.nodes.service import survey, url_of
from evidence_store.notify import storage as news
from evidence_store.plural import counted, pick
from evidence_store.screening.clamd import Clamd, Down, signatures_made_at
from evidence_store.screening.storage import count_by_others
from evidence_store.sealing.signing import NotGenuine
from evidence_store.store import Store
from evidence_store.waiting import find_forged
from evidence_store.webhooks.model import Standing
from evidence_store.webhooks.storage import list_standings

_MIN_FREE_BYTES = 10 << 30
_OLDEST_NEWS = timedelta(minutes=10)
_OLDEST = {
    RunKind.SCRUB: timedelta(days=35), RunKind.BACKUP: timedelta(days=2), RunKind.RESCREEN: timedelta(days=35),
}  # fmt: skip
_OLDEST_SIGNATURES = timedelta(days=3)
_FAST_CLOCK = timedelta(minutes=2)
_NAMED = 5  # ids in one sentence


class Grade(StrEnum):
    """How a check came out."""

    GOOD = "✓"
    NOTE = "!"
    BAD = "✗"


@dataclass(frozen=True)
class Finding:
    """One check: what is so, and what to do about it where something should be done."""

    grade: Grade
    says: str


def good(says: str) -> Finding:
    """Return what is as it should be."""
    return Finding(Grade.GOOD, says)


def note(says: str) -> Finding:
    """Return what works and could be better."""
    return Finding(Grade.NOTE, says)


def bad(says: str) -> Finding:
    """Return what does not work."""
    return Finding(Grade.BAD, says)


async def examine(store: Store) -> AsyncIterator[Finding]:
    """Yield findings, most fundamental first. The store's keys and data folder were opened already."""
    yield _keys(store)
    for finding in _old_keys(store):
        yield finding
    yield _disk(store)
    async for finding in _place(store):
        yield finding
    yield await _previews(store)
    for finding in await store.run(_clamd, store):
        yield finding
    try:
        async with store.database.read() as db:
            is_newest = await db.run_sync(migrations.is_newest)
    except Exception as problem:  # noqa: BLE001 — whatever it is, the operator is to read it
        yield bad(f"The database does not answer ({type(problem).__name__}): see EVIDENCE_DATABASE, and that it runs.")
        return
    if not is_newest:
        yield note("The database has not this version's tables yet: the next 'evidence-store serve' makes them.")
        return
    yield good("The database answers and has this version's tables.")
    async for finding in _ledger(store):
        yield finding
    async for finding in _mirrors(store):
        yield finding
    for finding in await _nodes(store):
        yield finding
    forged = await find_forged(store)
    if forged:
        yield bad(
            f"{counted(len(forged), 'waiting row is', 'waiting rows are')} not as this store wrote any, and nothing is "
            f"done about {pick(len(forged), 'it', 'them')}: run 'evidence-store verify', which names "
            f"{pick(len(forged), 'it', 'them')}, and keep everything."
        )
    for finding in await _tokens(store):
        yield finding
    yield await _news(store)
    async for finding in _webhooks(store):
        yield finding
    async for finding in _runs(store):
        yield finding


def _keys(store: Store) -> Finding:
    if store.keys.opening is None:
        return note("The keys are complete for a node that only receives: it holds no opening key and cannot read.")
    return good("The keys are complete and belong together; this node can read what is sealed.")


def _old_keys(store: Store) -> list[Finding]:
    old = len(store.keys.ring.opening_ids) - 1 if store.keys.opening is not None else 0
    if old < 1:
        return []
    kept = counted(old, "old opening key is", "old opening keys are")
    needs = pick(old, "it", "them")
    return [note(f"{kept} kept: 'evidence-store rotate --forget-old' once no backup needs {needs}.")]


def _disk(store: Store) -> Finding:
    disk = os.statvfs(store.backend.root)
    free = disk.f_bavail * disk.f_frsize
    words = f"{counted(round(free / 1e9), 'GB is', 'GB are')} free in {store.backend.root}"
    if free < _MIN_FREE_BYTES:
        return bad(f"Only {words}: make room, or move EVIDENCE_DATA.")
    return good(f"{words}.")


async def _place(store: Store) -> AsyncIterator[Finding]:
    try:
        place = await store.run(store.backend.describe)
    except BackendFailed as problem:
        yield bad(str(problem))
        return
    for says in place.good:
        yield good(says)
    for says in place.notes:
        yield note(says)
    for says in place.bad:
        yield bad(says)


async def _previews(store: Store) -> Finding:
    if not store.settings.preview_workers or store.keys.opening is None:
        return note("No previews are made here: EVIDENCE_PREVIEW_WORKERS is 0, or this node cannot read.")
    why = await process.is_confined()
    if why is not None:
        return bad(
            f"No previews are made: files can be opened only in a confined process, and {why}. Run the store on Linux, "
            "x86-64 or 64-bit ARM, in a container that allows seccomp filters."
        )
    return good("Previews are made in a process that is confined by a seccomp filter and by limits.")


def _clamd(store: Store) -> list[Finding]:
    if not store.settings.clamd:
        return [note("Nothing is screened for malware: set EVIDENCE_CLAMD, then run 'evidence-store rescreen'.")]
    asked = Clamd(store.settings.clamd)
    try:
        version, missing = asked.version(), asked.lets_pass()
    except Down as problem:
        return [bad(f"clamd does not answer ({problem}): what is received goes to quarantine until it does.")]
    found = [good(f"clamd answers: {version}.")]
    if missing:
        found.append(bad(f"clamd lets pass what it cannot see: set '{missing} yes' in clamd.conf."))
    made_at = signatures_made_at(version)
    if made_at is None:
        found.append(note("clamd does not say how old its signatures are: see that freshclam keeps them new."))
    elif store.clock() - made_at > _OLDEST_SIGNATURES:
        found.append(bad(f"clamd's signatures are of {made_at:%d %B %Y}: let freshclam fetch new ones."))
    return found


async def _ledger(store: Store) -> AsyncIterator[Finding]:
    async with store.database.read() as db:
        try:
            head = await ledger.read_head(db)
            ledger.open_head(store.keys.ledger, head)
        except HeadForged as problem:
            yield bad(f"{str(problem)[:1].upper()}{str(problem)[1:]}: run 'evidence-store verify' and keep everything.")
            return
        last = await ledger.list_entries(db, after=head.size - 1, limit=1) if head.size else []
    yield good(f"The ledger's {counted(head.size, 'line is', 'lines are')} signed as {store.keys.ledger.name}.")
    if last and last[0].at - store.clock() > _FAST_CLOCK:
        yield bad(
            f"The clock is behind the ledger's last line ({last[0].at:%d %B %Y %H:%M} UTC): set this machine's time."
        )


async def _mirrors(store: Store) -> AsyncIterator[Finding]:
    places = store.settings.mirror_places
    if not places:
        yield note("No mirror keeps checkpoints: set EVIDENCE_MIRRORS, or a store put back whole cannot be noticed.")
    states = await mirrors.states_of(store)
    for mirror in map(open_mirror, places):
        state = states.get(mirrors.name_of(mirror))
        if state is not None and state.problem:
            yield bad(f"The mirror {mirror.where} takes no checkpoints: {state.problem}.")
            continue
        try:
            kept = await mirror.newest()
            size = store.keys.ledger.public.open(kept).size if kept else 0
            yield good(f"The mirror {mirror.where} answers and covers {counted(size, 'line')}.")
        except MirrorFailed as failed:
            yield bad(f"The mirror {mirror.where} cannot be asked: {failed}.")
        except NotGenuine:
            yield bad(f"The mirror {mirror.where} holds a checkpoint that this ledger's key did not sign.")


async def _nodes(store: Store) -> list[Finding]:
    others = [standing for standing in await survey(store) if standing.node.id != store.node]
    passing = Passing(store)
    try:
        found = [await _node(passing, store, standing) for standing in others]
    finally:
        await passing.close()
    if others and not store.settings.node_url:
        found.append(
            note("No other node passes senders on to this one: set EVIDENCE_NODE_URL, or have the balancer send them.")
        )
    return found


async def _node(passing: Passing, store: Store, standing: At) -> Finding:
    node, url = standing.node, url_of(store, standing.node)
    open_there = counted(standing.uploads, "upload is", "uploads are")
    held = f"{open_there} open there and {counted(standing.sealing, 'object')} being sealed"
    if standing.runs is False and (standing.uploads or standing.sealing):
        return bad(
            f"The node {node.id} is away since {node.seen_at:%d %B %Y %H:%M} UTC; {held}: start it again, or, if its "
            f"disk is gone for good, run 'evidence-store nodes --forget {node.id}'."
        )
    if standing.runs is False:
        return note(f"The node {node.id} is away, and nothing lies there: 'evidence-store nodes --forget {node.id}'.")
    if url is None:
        return note(f"The node {node.id} runs and told no address: set EVIDENCE_NODE_URL there; {held}.")
    if not await passing.is_reached(url):
        return bad(f"The node {node.id} runs and is not reached at {url} from here: see that, and EVIDENCE_NODE_CA.")
    return good(f"The node {node.id} runs and is reached at {url}; {held}.")


async def _tokens(store: Store) -> list[Finding]:
    now = store.clock()
    async with store.database.read() as db:
        bare = [
            one.id for one in await admission.list_tokens(db) if not one.secret_sha256 and one.state(now) == "valid"
        ]
    if not bare:
        return []
    named = ", ".join(bare[:_NAMED]) + (" and more" if len(bare) > _NAMED else "")
    has, it = counted(len(bare), "token has", "tokens have"), pick(len(bare), "it", "them")
    return [
        note(
            f"{has} no secret ({named}), so whoever steals token.key can make {it}: issue {it} anew, then run "
            "'evidence-store token revoke'."
        )
    ]


async def _news(store: Store) -> Finding:
    async with store.database.read() as db:
        oldest = await news.find_oldest_waiting_event(db)
        waiting = await news.count_waiting_events(db)
    if oldest is None or not store.settings.notify_url:
        return good(
            "No news waits for the web server." if not waiting else "News is kept; no EVIDENCE_NOTIFY_URL is set."
        )
    if store.clock() - oldest > _OLDEST_NEWS:
        waits = counted(waiting, "event waits", "events wait")
        return bad(f"{waits} since {oldest:%d %B %H:%M} UTC: see that EVIDENCE_NOTIFY_URL answers.")
    return good(f"{counted(waiting, 'event is', 'events are')} on the way to the web server.")


async def _webhooks(store: Store) -> AsyncIterator[Finding]:
    async with store.database.read() as db:
        standings = await list_standings(db)
    listed = {hook.name for hook in store.hooks}
    for name in sorted(listed | standings.keys()):
        standing = standings.get(name, Standing())
        if name not in listed:
            waits = counted(standing.waiting, "piece of news waits", "pieces of news wait")
            yield note(f"The webhook {name} is not in EVIDENCE_WEBHOOKS any more; {waits} for it.")
        elif standing.dead:
            lost = counted(standing.dead, "piece of news, which was", "pieces of news, which were")
            yield bad(
                f"The webhook {name} did not take {lost} given up ({standing.problem}): mend that, then run "
                "'evidence-store webhooks --retry'."
            )
        elif standing.oldest is not None and store.clock() - standing.oldest > _OLDEST_NEWS:
            yield bad(
                f"The webhook {name} has not taken {_news_of(standing)} since {standing.oldest:%d %B %H:%M} UTC"
                f"{f': {standing.problem}' if standing.problem else ''}."
            )
        else:
            on_the_way = f"{_news_of(standing)} {pick(standing.waiting, 'is', 'are')} on the way"
            yield good(f"The webhook {name} takes what it is told; {on_the_way}.")


def _news_of(standing: Standing) -> str:
    return counted(standing.waiting, "piece of news", "pieces of news")


async def _runs(store: Store) -> AsyncIterator[Finding]:
    async with store.database.read() as db:
        rotation = await storage.find_newest_run(db, RunKind.ROTATE, finished=False)
        kinds = [kind for kind in _OLDEST if kind is not RunKind.RESCREEN or store.settings.clamd]
        finished = {kind: await storage.find_newest_run(db, kind, finished=True) for kind in kinds}
        never = await count_by_others(db, "") if store.settings.clamd else 0
        headerless = await storage.count_without_header(db)
    if never:
        objects = counted(never, "object was", "objects were")
        yield note(f"{objects} never screened for malware: run 'evidence-store rescreen'.")
    if headerless:
        objects = counted(headerless, "object was", "objects were")
        yield note(
            f"{objects} sealed by an earlier version, which kept no digest of the sealed file's header: the next scrub "
            "notes it ('evidence-store scrub')."
        )
    if rotation is not None:
        yield bad("A key rotation was interrupted: run 'evidence-store rotate' and it goes on.")
    for kind, run in finished.items():
        yield _age(kind, run, store.clock())


def _age(kind: RunKind, run: Run | None, now: datetime) -> Finding:
    command = f"evidence-store {kind.value}"
    if run is None or run.finished_at is None:
        return note(f"There was no {kind.value} yet: let a timer run '{command}'.")
    came = f"{counted(run.objects, 'object')}, {counted(run.faults, 'fault')}"
    words = f"The last {kind.value} was on {run.finished_at:%d %B %Y}: {came}"
    if run.faults:
        return bad(f"{words}. Run 'evidence-store verify': it names {pick(run.faults, 'it', 'them')}.")
    if now - run.finished_at > _OLDEST[kind]:
        return note(f"{words}. That is long ago: let a timer run '{command}'.")
    return good(f"{words}.")
