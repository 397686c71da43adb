"""How a call's connection was, as the summary tells it: per participant in figures, and each gap with its reason."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from video_server.calls.model import Gap, Participant, Role
from video_server.calls.quality import Summary
from video_server.core.errors import N_
from video_server.web.i18n import gettext

GRADES: Mapping[str, str] = {"good": N_("Good"), "fair": N_("Fair"), "poor": N_("Poor")}

RUNGS: Mapping[str, str] = {
    "smaller": N_("smaller picture for %(time)s"),
    "no_picture": N_("was sent no picture for %(time)s"),
    "sound_only": N_("sound only for %(time)s"),
    "ring": N_("not even sound for %(time)s"),
}

REASONS: Mapping[str, str] = {
    "silent": N_("Nothing was heard of them"),
    "relay_lost": N_("A fault at our end"),
    "closed": N_("Their page was closed"),
    "offline": N_("Their device had no network"),
    "network_changed": N_("Their device changed networks"),
    "asleep": N_("Their screen was locked or the page stood still"),
    "interrupted": N_("A phone call or another app had the microphone"),
    "device_lost": N_("Their microphone had stopped"),
    "ring": N_("The connection was too weak for sound"),
}


def tell_quality(summaries: Sequence[Summary], people: Sequence[Participant], *, victim: str) -> list[dict[str, Any]]:
    """Return one line a participant: who, grade, lasted, sent, got (Mbit/s), loss, worst_loss (per cent), jitter, trip
    (ms), freezes, concealed (per cent), picture, rungs (words).

    victim   what the person is called; devices of one link that were in the call stand apart by their device
    """
    known = {person.id: person for person in people}
    return [
        {
            "who": who(known.get(one.participant_id), victim=victim),
            "grade": gettext(GRADES[one.grade]),
            "lasted": say_span(one.lasted),
            "sent": f"{one.up_bits_per_second / 1e6:.2f}",
            "got": f"{one.down_bits_per_second / 1e6:.2f}",
            "jitter": round(one.jitter_ms),
            "loss": f"{one.loss * 100:.1f}",
            "worst_loss": f"{one.worst_loss * 100:.1f}",
            "trip": None if one.round_trip_ms is None else round(one.round_trip_ms),
            "freezes": one.freezes,
            "concealed": f"{one.concealed * 100:.1f}",
            "picture": _sizes(one),
            "rungs": [gettext(RUNGS[name]) % {"time": say_span(span)} for name, span in one.on_rungs.items()],
        }
        for one in summaries
    ]


def tell_gaps(gaps: Sequence[Gap], people: Sequence[Participant], *, victim: str) -> list[dict[str, Any]]:
    """Return one line a gap, oldest first: who, began_at, lasted (None: goes on), why."""
    known = {person.id: person for person in people}
    return [
        {
            "who": who(known.get(gap.participant_id), victim=victim),
            "began_at": gap.began_at,
            "lasted": say_span(gap.ended_at - gap.began_at) if gap.ended_at else None,
            "why": gettext(REASONS[gap.why]) if gap.why in REASONS else gap.why,
        }
        for gap in sorted(gaps, key=lambda gap: gap.began_at)
    ]


def who(person: Participant | None, *, victim: str) -> str:
    """Name somebody of the call."""
    if person is None:
        return gettext("Somebody")
    return victim if person.role is Role.VICTIM else person.name or gettext("A colleague")


def say_span(span: timedelta) -> str:
    """Write a span of time as people say it: "8 s", "3 min", "1 h 5 min"."""
    seconds = max(1, round(span.total_seconds()))
    if seconds < 100:
        return gettext("%(seconds)s s") % {"seconds": seconds}
    minutes = round(seconds / 60)
    if minutes < 60:
        return gettext("%(minutes)s min") % {"minutes": minutes}
    return gettext("%(hours)s h %(minutes)s min") % {"hours": minutes // 60, "minutes": minutes % 60}


def _sizes(one: Summary) -> str:
    if one.largest is None or one.smallest is None:
        return ""
    largest, smallest = (f"{width} × {height}" for width, height in (one.largest, one.smallest))
    if largest == smallest:
        return largest
    return gettext("%(smallest)s to %(largest)s") % {"smallest": smallest, "largest": largest}
