"""What the call page on the phone is shown, computed from the room."""

from datetime import datetime
from typing import Any

from video_server.calls import roles
from video_server.calls.model import Participant, RoomView, State
from video_server.phone import words
from video_server.web.i18n import gettext as _

VIEWS = {
    State.ARRIVED: "start",
    State.CHECKING: "checking",
    State.WAITING: "waiting",
    State.ADMITTED: "call",
    State.LEFT: "left",
    State.UNSAFE: "exited",
    State.EXITED: "exited",
    State.REPLACED: "replaced",
    State.REMOVED: "removed",
    State.ENDED: "ended",
}


def draw(
    view: RoomView,
    me: Participant,
    *,
    officer_id: str,
    officer_name: str,
    collar_number: str,
    reference: str,
    waiting_words: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the snapshot. A session that is out learns nothing more, and an outcome only who was in the call."""
    kind = VIEWS[me.state]
    if kind in {"exited", "replaced", "removed"}:
        return {"view": kind}
    if kind == "ended" and me.admitted_at is None:
        return {"view": kind, "reference": None, "outcome": None}
    officer = view.officer(now, own=officer_id)
    if officer is not None and officer.name:  # a colleague may have taken over
        officer_name, collar_number = officer.name, officer.collar_number
    told = words.waiting(words.officer(officer_name, collar_number))
    called = _("You") if me.guest_id is None else _("The person whose call it is")
    others = roles.draw(view, me, victim=called, now=now) if kind == "call" else roles.NOTHING
    return {
        "view": kind,
        "me": me.id,
        "officer": {
            "name": officer_name,
            "collar_number": collar_number,
            "knows": told["officer_knows"],
            "away": told["officer_away"],
            "present": officer is not None and officer.is_present(now),
            "silent": officer is not None and officer.silent_since is not None,
            "id": officer.id if officer else None,
        },
        "waiting_since": me.waiting_since.isoformat() if me.waiting_since else None,
        "since_words": waiting_words,
        "reference": reference,
        "outcome": view.room.outcome if view.room and me.guest_id is None else None,
        **others,
    }
