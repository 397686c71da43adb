"""What people set (labels, notes, links, holds, retention, reviews, glasses, releases, tokens) against the ledger.

Of each the ledger says what it came to, and the tables must say the same, no more and no less: else somebody who has
only the database could take a hold away, shorten a retention, let a token in, or change what a signed label says.
"""

from evidence_store import ledger
from evidence_store.custody.service import acting
from evidence_store.database import Connection
from evidence_store.errors import Damaged
from evidence_store.keeping.defaults import DEFAULTS
from evidence_store.model import Entry
from evidence_store.quarantine.model import ReleaseState
from evidence_store.store import Store
from evidence_store.verify_rows import rows_of
from evidence_store.verify_words import SAID_SINCE, Subject, Words, read_line

_PAGE = 1000
_NAMES = {
    "label": "The label of object {}",
    "note": "Note {}",
    "link": "What object {} was derived from",
    "hold": "Hold {}",
    "retention": "The retention of object {}",
    "class": "Retention class {}",
    "review": "Review {}",
    "glass": "Broken glass {}",
    "release": "Release {} from quarantine",
    "token": "Access token {}",
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
        self._asked: dict[str, Subject] = {}
        """The last release of each object: one that still waited is overtaken by the next."""

    def take(self, entry: Entry) -> None:
        """Take note of a line; one that cannot be understood was changed, which the ledger's own check tells."""
        self.size = entry.sequence
        try:
            for subject, words, is_change in read_line(entry):
                if subject[0] == "release" and not is_change:
                    self._overtake(entry.object, subject)
                self.said[subject] = self.said.get(subject, {}) | words if is_change else words
                if words == _NO_CLASSES:
                    del self.said[subject]
        except (AttributeError, KeyError, TypeError, ValueError):
            return

    def _overtake(self, object_id: str, subject: Subject) -> None:
        before = self.said.get(self._asked.get(object_id, subject), {})
        if before.get("outcome") == ReleaseState.PROPOSED.value:
            before["outcome"] = ReleaseState.OVERTAKEN.value
        self._asked[object_id] = subject

    def compare(self, told: dict[Subject, Words]) -> list[str]:
        """Return a sentence for each subject about which the database tells something else."""
        faults = []
        said = {subject: words for subject, words in _BEGUN_WITH.items() if subject in told} | self.said
        for subject in sorted(said.keys() | told.keys(), key=str):
            name = _NAMES[subject[0]].format(subject[1])
            if subject not in told:
                faults.append(f"{name}: the ledger knows it, the database does not.")
            elif subject not in said:
                faults.append(f"{name}: the database has it, the ledger does not know it.")
            elif _differ(said[subject], told[subject]):
                faults.append(f"{name}: database and ledger differ about it.")
        return faults


def _differ(said: Words, told: Words) -> bool:
    """Say whether a row is not what the ledger says; what lines from before did not say yet is not held against it."""
    return said != {name: value for name, value in told.items() if name in said or name not in SAID_SINCE}


async def check_custody(store: Store, said: Custody) -> list[str]:
    """Return what does not fit. Where something does not, look again while no writer is between two of its steps."""
    async with store.database.read() as db:
        faults = await _compare(db, said)
    if not faults:
        return faults
    try:
        async with acting(store) as db:
            while page := await ledger.list_entries(db, after=said.size, limit=_PAGE):
                for entry in page:
                    said.take(entry)
            return await _compare(db, said)
    except Damaged:  # the ledger's end is no ledger: told already
        return faults


async def _compare(db: Connection, said: Custody) -> list[str]:
    try:
        told = dict(await rows_of(db))
    except ValueError as problem:  # a state or a time that is none
        return [f"The tables of what people set hold something that this program never writes ({problem})."]
    return said.compare(told)
