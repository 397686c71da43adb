"""Playing the first seconds of a film or sound: made when somebody asks, waited for in sight, then played."""

from dataclasses import dataclass

from aiohttp import web

from evidence_store import access, app_keys
from evidence_store.errors import BackendFailed, NoPreviewHere, Refusal, Unavailable
from evidence_store.media.model import SOUNDS, can_be_played, plain_type
from evidence_store.media.views import show_playable
from evidence_store.model import ObjectState, StoredObject
from evidence_store.tokens import Scope
from evidence_store.view import guards, pages, words
from evidence_store.view.i18n import N_, gettext

routes = web.RouteTableDef()
_HERE = "/evidence/view/objects/{id}"
_INSTEAD = N_("To see or hear it all the same, save the original and open it in a player that knows this kind.")


@dataclass(frozen=True)
class Player:
    """What an exhibit's page shows for playing it.

    state   `offered`, `making` (`percent` of it is done), `ready`, or `refused`, for the reason that `says` gives
    again   whether asking again may help
    """

    state: str
    is_sound: bool
    percent: int = 0
    says: str = ""
    again: bool = False


@routes.get(_HERE + "/playable", name="view.playable", allow_head=False)
@guards.person(Scope.READ)
async def play(request: web.Request) -> web.Response:
    """Send what is played, whole or one range; that it was played is in the ledger before."""
    return await show_playable(request)


@routes.get(_HERE + "/player", name="view.player", allow_head=False)
@guards.person(Scope.READ)
async def show(request: web.Request) -> web.Response:
    """Send the player alone, for a page that waits for it."""
    stored = await access.get_sealed(request)
    described = await request.app[app_keys.MEDIA].describe(stored)
    return pages.render(
        request, "player.html", player=await player_of(request, stored, asked=True), stored=stored,
        picture=described.picture,
    )  # fmt: skip


async def player_of(request: web.Request, stored: StoredObject, *, asked: bool) -> Player | None:
    """Return the player of an exhibit, None where there is nothing to play; once it is asked for, it is being made."""
    media = request.app[app_keys.MEDIA]
    if stored.state is not ObjectState.RECEIVED or not can_be_played(stored.media_type) or media.why_off:
        return None
    is_sound = plain_type(stored.media_type) in SOUNDS
    if not asked and not media.is_ready(stored):
        return Player("offered", is_sound)
    try:
        percent = await media.percent_playable(stored)
    except NoPreviewHere as refusal:
        return Player("refused", is_sound, says=f"{refusal.detail} {gettext(_INSTEAD)}")
    except Refusal as refusal:
        says = gettext(words.REFUSALS.get(refusal.code, "")) or refusal.detail or refusal.title
        return Player("refused", is_sound, says=says, again=isinstance(refusal, Unavailable | BackendFailed))
    return Player("ready" if percent == 100 else "making", is_sound, percent)
