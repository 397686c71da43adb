"""`evidence-store export`: a court package into a file or folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evidence_store.court.manifest import Order
from evidence_store.court.package import (
    MOST_CHECKPOINTS,
    MOST_EXHIBITS,
    Choice,
    Package,
    finish_package,
    prepare_package,
)
from evidence_store.court.writing import Told, check_target, write_folder, write_zip
from evidence_store.custody import storage as custody
from evidence_store.custody.search import Search
from evidence_store.errors import CannotStart, Refusal
from evidence_store.model import ObjectState, parse_id, parse_incident
from evidence_store.sealing import signing
from evidence_store.store import Store
from evidence_store.verify_ledger import Progress

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Wanted:
    """What is to be exported, by whom, for whom and why; exhibits by their ids, or by incident and perhaps marks."""

    objects: Sequence[str]
    incident: str | None
    marks: Sequence[str]
    by: str
    recipient: str
    reason: str
    quarantined: bool
    checkpoints: Sequence[str]


async def export(store: Store, wanted: Wanted, target: Path, *, progress: Progress) -> Package:
    """Write a package to `target`, a zip file when it is called so, else a folder. Raises CannotStart, saying why."""
    check_wanted(wanted)
    await store.run(check_target, store, target)
    try:
        ids = list(dict.fromkeys(await _find(store, wanted)))
        if not 1 <= len(ids) <= MOST_EXHIBITS:
            raise CannotStart(f"A package holds 1 to {MOST_EXHIBITS} exhibits; {len(ids)} were found.")
        choice = Choice(ids, lambda _incident: True, wanted.quarantined)
        order = Order(signing.new_id(), f"cli:{wanted.by}", wanted.recipient, wanted.reason, store.clock())
        package = await prepare_package(store, order, choice, wanted.checkpoints)
        is_zip = target.suffix.lower() == ".zip"
        total = sum(member.size_bytes for member in package.members) * (2 if is_zip else 1)
        write = write_zip if is_zip else write_folder
        await write(store, package, target, _counting(progress, total))
    except Refusal as refusal:
        raise CannotStart(f"Nothing was exported. {refusal.title} {refusal.detail}".strip()) from None
    except OSError as problem:
        raise CannotStart(f"{target} cannot be written ({problem.strerror}).") from None
    await finish_package(store, package)
    return package


def check_wanted(wanted: Wanted) -> None:
    """Pass when what is wanted can be understood. Raises CannotStart."""
    if bool(wanted.objects) == bool(wanted.incident):
        raise CannotStart("Say which exhibits: --object for each, or --incident and perhaps --mark for each.")
    if wanted.marks and not wanted.incident:
        raise CannotStart("A mark belongs to an incident: say --incident too.")
    for name, text, most in (
        ("--by", wanted.by, 60),
        ("--for", wanted.recipient, 200),
        ("--reason", wanted.reason, 500),
    ):
        if not 1 <= len(text.strip()) <= most or not text.isprintable():
            raise CannotStart(f"{name} is 1 to {most} characters in one line: it stands in the ledger for good.")
    if len(wanted.checkpoints) > MOST_CHECKPOINTS:
        raise CannotStart(f"At most {MOST_CHECKPOINTS} checkpoints can be given.")


async def _find(store: Store, wanted: Wanted) -> list[str]:
    """Return the ids of what is wanted; of a whole incident what is sealed and not gone."""
    if wanted.incident is None:
        return [parse_id(one) for one in wanted.objects]
    incident, found = parse_incident(wanted.incident), []
    fit = {ObjectState.RECEIVED, *([ObjectState.QUARANTINED] if wanted.quarantined else [])}
    async with store.database.read() as db:
        rows = await custody.search(db, _all_of(incident), after=0, limit=10_000)
    for mark in wanted.marks:
        marked = [stored.id for stored, label in rows if label is not None and label.mark == mark]
        if not marked:
            raise CannotStart(f"Incident {incident} has no exhibit {mark}.")
        found += marked
    return found if wanted.marks else [stored.id for stored, _ in rows if stored.state in fit]


def _all_of(incident: str) -> Search:
    return Search.model_validate({"incident": incident})


def _counting(progress: Progress, total: int) -> Told:
    done = 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        progress("megabytes", -(-done // _MEGABYTE), -(-total // _MEGABYTE))

    return told
