"""An incident, its people, and how they may safely be contacted."""

from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from video_server.core.errors import N_

REFERENCE_PREFIX = "AP"
_CODE_LENGTH = 8


class Wording(StrEnum):
    """How much a text may say of who it comes from: neutral names no police."""

    NEUTRAL = "neutral"
    PLAIN = "plain"


@dataclass(frozen=True)
class SafeContact:
    """What the person said about being contacted safely.

    may_text               nothing may be texted when False
    not_before, not_after  local hours in which texts may arrive; None means at any hour on that side
    """

    may_text: bool
    wording: Wording
    not_before: time | None = None
    not_after: time | None = None


@dataclass(frozen=True)
class Person:
    """Somebody who belongs to an incident. `mobile` is E.164, `language` "en" or "cy".

    held_at, held_why  since when nothing may be texted whatever they wished, and the code of why; None: no hold
    """

    id: str
    incident_id: str
    role: str
    name: str
    mobile: str
    language: str
    safe_contact: SafeContact
    held_at: datetime | None = None
    held_why: str | None = None

    @property
    def may_be_texted(self) -> bool:
        """Say whether a text may go to them at some hour: they wished it and nothing holds it."""
        return self.safe_contact.may_text and self.held_at is None


HOLD_REASONS = {
    "unsafe_answer": N_("They answered on their phone that it was not safe to talk"),
    "cancelled_not_safe": N_("An appointment was cancelled because video is not safe for them"),
}
"""Code and words of each reason to hold contact."""

RELEASE_REASONS = (
    ("person_said", N_("They told us themselves, in a way that is safe")),
    ("officer_checked", N_("An officer has checked with them in person")),
    ("given_in_error", N_("The answer was given, or the reason was chosen, in error")),
)
"""Code and words of each reason to say that texting is safe again."""


def is_release_reason(code: str) -> bool:
    """Say whether the code is one of RELEASE_REASONS."""
    return any(code == known for known, _ in RELEASE_REASONS)


@dataclass(frozen=True)
class Incident:
    """What happened, as far as this product needs it.

    reference    said on the phone and written in texts, so that the reader can check them
    recorded_by  a staff id, or "system:<what>"
    """

    id: str
    reference: str
    offence_type: str
    recorded_at: datetime
    recorded_by: str
    victim_id: str


@dataclass(frozen=True)
class Case:
    """An incident and its victim, as lists show them."""

    incident: Incident
    victim: Person


def make_reference(code: str) -> str:
    """Return the reference for a random code of eight characters: AP-7F4K-92QD."""
    return f"{REFERENCE_PREFIX}-{code[:4]}-{code[4:]}"


def parse_reference(typed: str) -> str | None:
    """Read a reference as people type it (case, spaces, dashes, prefix or none); None when it cannot be one."""
    code = "".join(c for c in typed.upper() if c.isascii() and c.isalnum())
    if len(code) == len(REFERENCE_PREFIX) + _CODE_LENGTH:
        code = code.removeprefix(REFERENCE_PREFIX)
    return make_reference(code) if len(code) == _CODE_LENGTH else None
