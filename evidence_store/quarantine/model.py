"""Values of quarantine, and what may be decided about it. Pure.

Malware that was found needs two people, as disposal does: what is released is given out to whoever may read, so one
hasty hand must not be enough. Where nothing was found, one person with a reason is: it was set aside for want of
knowledge (another digest, no verdict), and that person brings it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from evidence_store import ledger
from evidence_store.errors import Disposed, NotQuarantined, QuarantineChanged, SamePerson
from evidence_store.model import ClientDigest, ObjectState
from evidence_store.screening.clamd import Verdict
from evidence_store.sealing import signing


class Cause(StrEnum):
    """Why an object is in quarantine, or what is to be known of it there."""

    DIGEST = "digest differs"
    INFECTED = "infected"
    UNKNOWN = "unknown"
    NOT_SCREENED = "not screened"
    CLEAN = "clean"
    CLEAN_SINCE = "clean since"


CAUSE_SAYS = {
    Cause.DIGEST: (
        "What arrived does not have the digest that the sender announced. It was changed on its way, or the sender "
        "was wrong. Find out from the sender which, or ask for the file again, before anybody relies on it."
    ),
    Cause.INFECTED: (
        "The screening for malware found {found} in it. Leave it here unless it is needed, or is known to be a false "
        "alarm. Open it only on a machine that is meant for that. Two people must agree to release it."
    ),
    Cause.UNKNOWN: (
        "The screening for malware could not tell whether it is clean: {found}. It is screened again by itself, and "
        "released when it is found clean, unless something else keeps it here. Of a file that is locked with a "
        "password, ask the sender for a copy without one. Release it only if it cannot wait, or is beyond what clamd "
        "can look at."
    ),
    Cause.NOT_SCREENED: (
        "It was not screened for malware. Whoever runs the store can have that done ('evidence-store rescreen')."
    ),
    Cause.CLEAN: "The screening for malware found nothing in it.",
    Cause.CLEAN_SINCE: (
        "The screening for malware found something in it before, and finds nothing by newer signatures. What it found "
        "stands in its history. Release it if that was a false alarm."
    ),
}
"""Why, and what to do, in plain words; `found` is the signature's name, or why clamd could not tell."""


@dataclass(frozen=True)
class Standing:
    """What is known of an object that is set aside. `verdict` is empty where it was never screened."""

    client_digest: ClientDigest
    verdict: str
    found: str

    @property
    def malware(self) -> str:
        """Return the signature's name; empty where none was found."""
        return self.found if self.verdict == Verdict.INFECTED.value else ""

    @property
    def needs_two(self) -> bool:
        """Say whether one person is not enough to release it."""
        return bool(self.malware)

    @property
    def knowing(self) -> str:
        """Return what a decision names, so that it is about what was known and nothing that came since (16 hex)."""
        said = {"client_digest": self.client_digest.value, "verdict": self.verdict, "malware": self.malware}
        return signing.sha256_hex(ledger.canonical_json(said).encode())[:16]

    def causes(self) -> Iterator[tuple[Cause, str]]:
        """Yield each cause with its words."""
        differs = self.client_digest is ClientDigest.DIFFERENT
        clean = Cause.CLEAN if differs else Cause.CLEAN_SINCE
        verdicts = {"": Cause.NOT_SCREENED, "infected": Cause.INFECTED, "unknown": Cause.UNKNOWN, "clean": clean}
        for cause in [*([Cause.DIGEST] if differs else []), verdicts[self.verdict]]:
            yield cause, CAUSE_SAYS[cause].replace("{found}", self.found)


class ReleaseState(StrEnum):
    """Where a release stands. PROPOSED waits for a second person; OVERTAKEN was about what is known no longer."""

    PROPOSED = "proposed"
    RELEASED = "released"
    REJECTED = "rejected"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True)
class Release:
    """A decision of people to take an object out of quarantine. `malware` names what was found; empty: one decides.

    The *_name are those of the tokens, the *_by say kind, name and id.
    """

    id: str
    object: str
    incident: str
    state: ReleaseState
    knowing: str
    malware: str
    reason: str
    asked_by: str
    asked_name: str
    asked_at: datetime
    decided_by: str | None = None
    decided_name: str | None = None
    decided_at: datetime | None = None
    decision_reason: str = ""


def is_open(release: Release, standing: Standing) -> bool:
    """Say whether a second person may still decide, about what is known now."""
    return release.state is ReleaseState.PROPOSED and release.knowing == standing.knowing


def check_may_release(state: ObjectState, standing: Standing, knowing: str) -> None:
    """Pass when an object is set aside, and for what whoever decides knows. Raises as it says."""
    if state in {ObjectState.DISPOSING, ObjectState.DISPOSED}:
        raise Disposed
    if state is not ObjectState.QUARANTINED:
        raise NotQuarantined
    if knowing != standing.knowing:
        raise QuarantineChanged


def check_second_person(release: Release, name: str) -> None:
    """Pass when somebody else decides than proposed it. Raises SamePerson."""
    if release.asked_name.casefold() == name.casefold():
        raise SamePerson(about=release.object)
