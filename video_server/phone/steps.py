"""Where a person stands on the way from the link to the call: pure decisions."""

import re
from datetime import datetime
from enum import StrEnum

from video_server.appointments import model as appointments
from video_server.appointments.model import Appointment
from video_server.calls.model import State


class Step(StrEnum):
    """What the person does next."""

    EARLY = "early"  # the room is not open yet
    SAFETY = "safety"  # the two questions
    CALL = "call"  # check, waiting, call: one document
    UNSAFE = "unsafe"  # said it is not safe: neutral words on every page
    ENDED = "ended"  # the call is over


def next_step(appointment: Appointment, state: State | None, *, opens_at: datetime, now: datetime) -> Step:
    """Return what comes next for a session in `state` (None: not in the room yet).

    An unsafe answer wins over everything: whoever presses "back" or reloads sees nothing of an appointment.
    """
    if state is State.UNSAFE:
        return Step.UNSAFE
    if appointment.state is appointments.State.ENDED or state is State.ENDED:
        return Step.ENDED
    if now < opens_at:
        return Step.EARLY
    return Step.SAFETY if state in {None, State.ARRIVED} else Step.CALL


_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


def parse_token(text: str) -> str | None:
    """Return the token of a join link, or None; punctuation that a messaging app glued to the link is dropped."""
    token = text.strip(" .,;:!?'\")]}>")
    return token if _TOKEN.fullmatch(token) else None
