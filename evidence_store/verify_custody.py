"""What people set (labels, notes, links, holds, retention, reviews, broken glasses) held against the ledger's words.

Of each the ledger says what it came to, and the tables must say the same, no more and no less: else somebody who has
only the database could take a hold away, shorten a retention, or change what a signed label says.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from evidence_store import ledger
from evidence_store.breakglass import storage as breakglass
from evidence_store.breakglass.model import Glass
from evidence_store.custody import storage as custody
from evidence_store.custody.model import Label, Link
from evidence_store.custody.service import acting
from evidence_store.database import Connection
from evidence_store.errors import Damaged
from evidence_store.keeping import storage as keeping
from evidence_store.keeping.defaults import DEFAULTS
from evidence_store.keeping.model import Assigned, Hold, Review, ReviewState
from evidence_store.model import Action, Entry
from evidence_store.store import Store

_PAGE = 1000
Words = dict[str, Any]
Subject = tuple[str, str]
"""A word of _NAMES, and the id of what it is about."""

_NAMES = {
    "label": "The label of object {}",
    "note": "Note {}",
    "link": "What object {} was derived from",
    "hold": "Hold {}",
    "retention": "The retention of object {}",
    "class": "Retention class {}",
    "review": "Review {}",
    "glass": "Broken glass {}",
}
_NO_CLASSES: Words = {"classes": []}
_BEGUN_WITH: dict[Subject, Words] = {
    ("class", str(row["code"])): {"years": row["years"], "source": row["source"]} for row in DEFAULTS
}


class Custody:
    """Takes the ledger's lines in order; `size` is how many. `said` is the last word about each subject."""

    def __init__(self) -> None:
        self.size = 0
        self.said: dict[Subject, Words] = {}

    def take(self, entry: Entry) -> None:
        """Take note of a line; one that cannot be understood was changed, which the ledger's own check tells."""
        self.size = entry.sequence
        read = _READ.get(entry.action)
        try:
            for subject, words, is_change in read(entry) if read is not None else ():
                self.said[subject] = self.said.get(subject, {}) | words if is_change else words
                if words == _NO_CLASSES:
                    del self.said[subject]
        except (KeyError, TypeError, ValueError):
            return

    def compare(self, told: dict[Subject, Words]) -> list[str]:
        """Return a sentence for each subject about which the database tells something else."""
        faults = []
        said = {subject: words for subject, words in _BEGUN_WITH.items() if subject in told} | self.said
        for subject in sorted(said.keys() | told.keys()):
            name = _NAMES[subject[0]].format(subject[1])
            if subject not in told:
                faults.append(f"{name}: the ledger knows it, the database does not.")
            elif subject not in said:
                faults.append(f"{name}: the database has it, the ledger does not know it.")
            elif said[subject] != told[subject]:
                faults.append(f"{name}: database and ledger differ about it.")
        return faults


async def check_custody(store: Store, said: Custody) -> list[str]:
    """Return what does not fit. Where something does not, look again while no writer is between two of its steps."""
    async with store.database.read() as db:
        faults = said.compare(dict(await _rows(db)))
    if not faults:
        return faults
    try:
        async with acting(store) as db:
            while page := await ledger.list_entries(db, after=said.size, limit=_PAGE):
                for entry in page:
                    said.take(entry)
            return said.compare(dict(await _rows(db)))
    except Damaged:  # the ledger's end is no ledger: told already
        return faults


# --- what the ledger says: subject, words, and whether they change what was said before

Read = Iterator[tuple[Subject, Words, bool]]


def _annotated(entry: Entry) -> Read:
    said = entry.details
    if said["what"] == "label":
        words = {"commitment": said["commitment"], "mark": said["mark"], "by": entry.actor, "signed": said["signed"]}
        yield ("label", entry.object), words, False
    else:
        words = {"object": entry.object, "commitment": said["commitment"], "by": entry.actor}
        yield ("note", said["note"]), words, False


def _linked(entry: Entry) -> Read:
    said = entry.details
    words = {"original": said["original"], "sha256": said["original_sha256"], "relation": said["relation"]}
    yield ("link", entry.object), words | {"by": entry.actor}, False


def _held(entry: Entry) -> Read:
    words = {"incident": entry.details["incident"], "object": entry.object, "reason": entry.purpose, "by": entry.actor}
    yield ("hold", entry.details["hold"]), words | {"released_by": None, "release_reason": ""}, False


def _released(entry: Entry) -> Read:
    yield ("hold", entry.details["hold"]), {"released_by": entry.actor, "release_reason": entry.purpose}, True


def _retention(entry: Entry) -> Read:
    said = entry.details
    if not entry.object:
        yield ("class", said["code"]), {"years": said["years"], "source": said["source"]}, False
    else:
        classes = sorted((code, _instant(start)) for code, start in said["classes"])
        yield ("retention", entry.object), {"classes": classes}, False


def _reviewed(entry: Entry) -> Read:
    outcome, subject = entry.details["outcome"], ("review", entry.details["review"])
    if outcome in {ReviewState.KEPT.value, ReviewState.PROPOSED.value}:
        words = {"object": entry.object, "outcome": outcome, "reason": entry.purpose, "by": entry.actor}
        yield subject, words | {"decided_by": None, "decision_reason": ""}, False
    else:
        yield subject, {"outcome": outcome, "decided_by": entry.actor, "decision_reason": entry.purpose}, True


def _glass(entry: Entry) -> Read:
    said = entry.details
    words = {"object": entry.object, "incident": said["incident"], "until": _instant(said["until"])}
    yield ("glass", said["glass"]), words | {"by": entry.actor, "reason": entry.purpose}, False


_READ: dict[str, Callable[[Entry], Read]] = {
    Action.ANNOTATED: _annotated,
    Action.LINKED: _linked,
    Action.HELD: _held,
    Action.RELEASED: _released,
    Action.RETENTION_CHANGED: _retention,
    Action.REVIEWED: _reviewed,
    Action.BREAK_GLASS: _glass,
}


# --- what the database tells


async def _rows(db: Connection) -> Iterable[tuple[Subject, Words]]:
    """Return every subject with the same words that the ledger has for it."""
    labels, notes, links = await custody.list_all(db)
    glasses, classes = await breakglass.list_all(db), await keeping.list_classes(db)
    holds, assigned, reviews = await keeping.list_all(db)
    return chain(
        map(_label, labels),
        ((("note", one.id), {"object": one.object, "commitment": one.commitment, "by": one.by}) for one in notes),
        map(_link, links),
        map(_broken, glasses),
        map(_hold, holds),
        ((("class", row.code), {"years": row.years, "source": row.source}) for row in classes),
        ((("retention", object_id), {"classes": _starts(some)}) for object_id, some in assigned.items()),
        map(_review, reviews),
    )


def _label(label: Label) -> tuple[Subject, Words]:
    said = {"commitment": label.commitment, "mark": label.mark, "by": label.changed_by}
    return ("label", label.object), said | {"signed": label.signed_at is not None}


def _link(link: Link) -> tuple[Subject, Words]:
    said = {"original": link.original, "sha256": link.sha256, "relation": link.relation, "by": link.linked_by}
    return ("link", link.object), said


def _broken(glass: Glass) -> tuple[Subject, Words]:
    said = {"object": glass.object or "", "incident": glass.incident, "until": _instant(glass.ends_at.isoformat())}
    return ("glass", glass.id), said | {"by": glass.actor, "reason": glass.reason}


def _hold(hold: Hold) -> tuple[Subject, Words]:
    said = {"incident": hold.incident, "object": hold.object, "reason": hold.reason, "by": hold.placed_by}
    return ("hold", hold.id), said | {"released_by": hold.released_by, "release_reason": hold.release_reason}


def _review(review: Review) -> tuple[Subject, Words]:
    outcome = ReviewState.APPROVED if review.state is ReviewState.DONE else review.state
    said = {"object": review.object, "outcome": outcome.value, "reason": review.reason, "by": review.reviewed_by}
    return ("review", review.id), said | {"decided_by": review.decided_by, "decision_reason": review.decision_reason}


def _starts(classes: Iterable[Assigned]) -> list[tuple[str, str]]:
    return sorted((one.code, _instant(one.starts_at.isoformat())) for one in classes)


def _instant(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat()
