"""What each role may do in a room, and who is told of whom: pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from video_server.appointments.model import GuestRole
from video_server.calls.model import Participant, Role, RoomView, State
from video_server.core.errors import N_
from video_server.web.i18n import gettext

GUESTS = frozenset({Role.GUARDIAN, Role.APPROPRIATE_ADULT, Role.INTERPRETER, Role.INTERMEDIARY, Role.SUPPORTER})
"""Who is invited for one call, by a link of their own."""

WORDS: Mapping[Role, str] = {
    Role.VICTIM: N_("Victim or witness"),
    Role.OFFICER: N_("Officer"),
    Role.GUARDIAN: N_("Parent or guardian"),
    Role.APPROPRIATE_ADULT: N_("Appropriate adult"),
    Role.INTERPRETER: N_("Interpreter"),
    Role.INTERMEDIARY: N_("Intermediary"),
    Role.SUPPORTER: N_("Supporter"),
    Role.SUPERVISOR: N_("Supervisor, listening"),
}

_PUBLISH: Mapping[Role, tuple[str, ...]] = {
    Role.VICTIM: ("audio", "video", "screen"),
    Role.OFFICER: ("audio", "video", "screen"),
    Role.SUPERVISOR: (),
} | dict.fromkeys(GUESTS, ("audio", "video"))


def may_publish(role: Role) -> list[str]:
    """Return the kinds of media that the relay forwards of this role: "audio", "video", "screen"."""
    return list(_PUBLISH[role])


def list_people(view: RoomView, me: Participant | None, *, victim: str, now: datetime) -> list[dict[str, Any]]:
    """Return everybody in the call as a page is told.

    Of each: id, role, role_words, name_to_show, is_self, publishes (kinds), signs, lost (nothing is heard of them now).

    victim   what this page calls the person whose call it is
    The person comes first, then officers, then guests in the order they were let in, then who listens.
    """
    rank = {Role.VICTIM: 0, Role.OFFICER: 1, Role.SUPERVISOR: 3}
    here = [person for person in view.participants if person.is_in_call(now)]
    here.sort(key=lambda person: (rank.get(person.role, 2), person.admitted_at or person.arrived_at, person.id))
    return [
        {
            "id": person.id,
            "role": person.role.value,
            "role_words": gettext(WORDS[person.role]),
            "name_to_show": _name(person, victim=victim),
            "is_self": me is not None and person.id == me.id,
            "publishes": may_publish(person.role),
            "signs": person.signs,
            "lost": person.silent_since is not None,
        }
        for person in here
    ]


def _name(person: Participant, *, victim: str) -> str:
    return victim if person.role is Role.VICTIM else person.name or gettext(WORDS[person.role])


def _who_asks(view: RoomView, me: Participant | None, *, victim: str) -> str:
    """Return the name of who asked for a pause; "" for who did so themselves, and while nobody does."""
    asked_by = view.pause.asked_by if view.pause is not None else None
    person = view.by_id(asked_by) if asked_by else None
    return "" if person is None or person == me else _name(person, victim=victim)


def list_missing(people: Iterable[Participant], needs: Iterable[GuestRole], *, now: datetime) -> list[Role]:
    """Return the roles that must be in the call for a statement and are not: let in, and their page open."""
    here = {person.role for person in people if person.state is State.ADMITTED and person.is_present(now)}
    return [role for role in map(Role, needs) if role not in here]


def say_listeners(view: RoomView) -> list[str]:
    """Return a sentence for each supervisor who listens; everybody in the room is told."""
    return [gettext(_LISTENS) % {"name": person.name} for person in view.listeners]


def say_hold(view: RoomView) -> str:
    """Return the notice of a pause, "" while there is none."""
    return gettext(_HELD) if view.is_held else ""


def say_asked(me: Participant | None) -> dict[str, str] | None:
    """Return what the officer asks this participant to do with the microphone, None when nothing."""
    if me is None or me.asked is None:
        return None
    return {"what": me.asked, "said": gettext(_ASKED[me.asked]) % {"name": me.asked_by}}


def draw(view: RoomView, me: Participant | None, *, victim: str, now: datetime) -> dict[str, Any]:
    """Return what every page in the call is told of the others: people, listeners, held, and what it is asked."""
    return {
        "people": list_people(view, me, victim=victim, now=now),
        "listeners": say_listeners(view),
        "held": view.is_held,
        "held_words": say_hold(view),
        "pause_asked": view.pause is not None and not view.is_held,
        "pause_asked_by": _who_asks(view, me, victim=victim),
        "asked": say_asked(me),
    }


NOTHING: Mapping[str, Any] = {
    "people": [],
    "listeners": [],
    "held": False,
    "held_words": "",
    "pause_asked": False,
    "pause_asked_by": "",
    "asked": None,
}
"""What somebody is told of the others who is not in the call."""

_LISTENS = N_("A supervisor, %(name)s, is listening.")
_HELD = N_("The call is paused. Nobody sees or hears anybody until the officer goes on.")
_ASKED: Mapping[str, str] = {
    "mute": N_("%(name)s asks you to mute your microphone."),
    "unmute": N_("%(name)s asks you to turn your microphone on."),
}
