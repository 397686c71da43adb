"""May video be offered? Dorset's conditions and the safe, private place of the field's guidance: decisions only.

The answers support the handler's judgement; an officer in person stays on offer in every case.
"""

from dataclasses import dataclass
from datetime import datetime

from video_server.core.errors import N_


@dataclass(frozen=True)
class Eligibility:
    """The caller's answers.

    adult_or_guardian  18 or over, or a parent or guardian will be present
    has_smartphone     a smartphone with video, and 4G or WiFi
    offender_absent    the offender will not be present
    safe_place         a safe and private place to take the call
    """

    adult_or_guardian: bool
    has_smartphone: bool
    offender_absent: bool
    safe_place: bool


@dataclass(frozen=True)
class Assessment:
    """One asking of the questions: who asked, when, what was said. The newest one counts, older ones are kept."""

    eligibility: Eligibility
    immediate_threat: bool
    asked_at: datetime
    asked_by: str


IMMEDIATE_THREAT = "immediate_threat"

REASONS = {
    "offender_present": N_("The offender may be present."),
    "no_safe_place": N_("They have no safe and private place to take the call."),
    "no_adult": N_("They are under 18 and no parent or guardian will be with them."),
    "no_smartphone": N_("They have no smartphone with video and 4G or WiFi."),
}
"""Code of each problem, the gravest first, and what the handler reads."""


def video_problems(eligibility: Eligibility) -> list[str]:
    """Return the codes of what speaks against video, the gravest first; empty means it may be offered."""
    fine = {
        "offender_present": eligibility.offender_absent,
        "no_safe_place": eligibility.safe_place,
        "no_adult": eligibility.adult_or_guardian,
        "no_smartphone": eligibility.has_smartphone,
    }
    return [code for code, good in fine.items() if not good]


def offer_problems(assessment: Assessment) -> list[str]:
    """Return what speaks against offering video at all: an immediate threat before anything else."""
    threat = [IMMEDIATE_THREAT] if assessment.immediate_threat else []
    return threat + video_problems(assessment.eligibility)
