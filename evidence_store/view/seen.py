"""What looking into a file brings: its picture, and what it says of itself in words."""

from datetime import datetime, timedelta

from aiohttp import web

from evidence_store.media.model import PROBLEM_SAYS, Problem
from evidence_store.media.schemas import Facts, MediaAnswer, Where
from evidence_store.media.views import show_picture
from evidence_store.model import ObjectState
from evidence_store.tokens import Scope
from evidence_store.view import guards
from evidence_store.view.i18n import N_, gettext
from evidence_store.view.words import say_date

routes = web.RouteTableDef()

_NONE_IN = {
    ObjectState.SCREENING: N_("There is no picture yet: it is screened for malware first. Open this page again soon."),
    ObjectState.QUARANTINED: N_("There is no picture: what is in quarantine is not opened."),
}


@routes.get("/evidence/view/objects/{id}/preview", name="view.preview", allow_head=False)
@guards.person(Scope.READ)
async def picture(request: web.Request) -> web.Response:
    """Send the picture; that it was looked at is in the ledger before."""
    return await show_picture(request)


def why_no_picture(state: ObjectState, media: MediaAnswer, *, why_off: str, vouched: bool = True) -> str:
    """Say why there is no picture; empty when there is one.

    why_off     why this store makes none at all, for its operator; empty when it does
    vouched     whether the ledger says of the object what its row says
    """
    if not vouched:
        return gettext("There is no picture: nothing of this exhibit is opened before somebody has looked into it.")
    if state in _NONE_IN:
        return gettext(_NONE_IN[state])
    if media.says:
        return media.says
    if media.state == "none":
        return PROBLEM_SAYS[Problem.KIND]
    if why_off:
        return gettext("There is no picture: this store makes none. Ask whoever runs it.")
    if media.state == "waiting":
        return gettext("There is no picture yet: the file is still to be looked into. Open this page again soon.")
    return "" if media.picture else PROBLEM_SAYS[Problem.KIND]


def say_facts(facts: Facts | None) -> list[tuple[str, str]]:
    """Return what a file says of itself, each with what it is about; only what it does say."""
    if facts is None:
        return []
    said = [
        (gettext("When"), _when(facts.taken_at) if facts.taken_at else ""),
        (gettext("Taken with"), facts.camera or ""),
        (gettext("Where"), _where(facts.where) if facts.where else ""),
        (gettext("Width and height"), f"{facts.width} × {facts.height}" if facts.width and facts.height else ""),
        (gettext("Length"), str(timedelta(seconds=round(facts.seconds))) if facts.seconds else ""),
    ]
    return [(about, text) for about, text in said if text]


def _when(written: str) -> str:
    """Say it as the camera's clock had it: turned into another zone, nobody could compare it with the file."""
    try:
        at = datetime.fromisoformat(written)
    except ValueError:  # the 31st of February
        return written
    said = {"day": say_date(at), "time": at.strftime("%H:%M:%S"), "offset": at.isoformat()[-6:]}
    if at.tzinfo is None:
        return gettext("%(day)s at %(time)s by the camera's clock; which time zone, it does not say") % said
    return gettext("%(day)s at %(time)s (UTC%(offset)s) by the camera's clock") % said


def _where(where: Where) -> str:
    said = f"{where.latitude:.5f}, {where.longitude:.5f} (WGS 84)"
    if where.within_metres is None:
        return said
    return gettext("%(place)s, within %(metres)s metres") % {
        "place": said,
        "metres": f"{where.within_metres:,.1f}".removesuffix(".0"),
    }
