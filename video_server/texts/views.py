"""Twilio's news of texts, and the demo's phone."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiohttp import web

from video_server.core.database import IntegrityError
from video_server.core.errors import Forbidden, NotFound
from video_server.texts import gateway, service
from video_server.texts.model import ScreenText
from video_server.web import app_keys, forms, guards, pages

routes = web.RouteTableDef()

TWILIO_TOKEN = web.AppKey("twilio_token", str)
"""Twilio's auth token; empty when texts do not go by Twilio, and then nothing is believed."""

_PROVIDER_ID = re.compile(r"[A-Z]{2}[0-9a-f]{32}", re.ASCII)
_TEXT_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_LINK = re.compile(r"(https?://\S+)")


class NotSigned(Forbidden):
    """A callback without Twilio's signature."""

    code = "not_signed"


@dataclass(frozen=True)
class Bubble:
    """One message as drawn: pieces of text, each with the address it leads to or ""."""

    text: ScreenText
    pieces: Sequence[tuple[str, str]]


@routes.post("/texts/twilio/status", name="texts.twilio_status")
@guards.machine
async def twilio_status(request: web.Request) -> web.Response:
    """Hear how far a message has come: 204 whatever it changes, 403 when it is not from Twilio."""
    said = await forms.read_posted(request)
    if any(not forms.is_text(name + value) for name, value in said.items()):
        raise forms.NotText
    if not gateway.is_from_twilio(
        request.app.get(TWILIO_TOKEN, ""),
        url=f"{request.app[app_keys.PUBLIC_URL]}{request.raw_path}",
        fields=said,
        signature=request.headers.get("X-Twilio-Signature", ""),
    ):
        raise NotSigned
    provider_id, text_id = said.get("MessageSid", ""), request.query.get("text", "")
    if _PROVIDER_ID.fullmatch(provider_id) and (not text_id or _TEXT_ID.fullmatch(text_id)):
        code = said.get("ErrorCode", "")
        try:
            async with request.app[app_keys.DATABASE].begin() as db:
                await service.record_progress(
                    db,
                    gateway.progress_of(said.get("MessageStatus")),
                    provider_id=provider_id,
                    text_id=text_id or None,
                    code=f"twilio_{code}" if code.isdecimal() and len(code) < 10 else None,
                    now=request.app[app_keys.CLOCK](),
                )
        except IntegrityError:
            pass  # the message is known under another text: that one has the news already
    return web.Response(status=204)


@routes.get("/demo/texts", name="texts.demo")
@guards.public
async def demo_texts(request: web.Request) -> web.Response:
    """Show every text as the phones it went to would; only in the demo."""
    if not request.app[app_keys.DEMO]:
        raise NotFound
    async with request.app[app_keys.DATABASE].read() as db:
        shown = await service.list_screen(db)
    own_host = request.app[app_keys.PUBLIC_URL]
    return pages.render(request, "texts/demo.html", phones=by_phone(shown, own_host=own_host))


def by_phone(texts: Iterable[ScreenText], *, own_host: str) -> list[tuple[str, list[Bubble]]]:
    """Group messages, oldest first, by the number they went to; the phone that was texted last comes first."""
    phones: dict[str, list[Bubble]] = {}
    for text in texts:
        bubbles = phones.pop(text.to, [])
        phones[text.to] = [*bubbles, Bubble(text, split_links(text.body, own_host=own_host))]
    return [(say_number(to), bubbles) for to, bubbles in reversed(phones.items())]


def split_links(body: str, *, own_host: str) -> list[tuple[str, str]]:
    """Cut a body into pieces of (text, address); only addresses on our own host become links."""
    return [
        (piece, piece.removeprefix(own_host) if piece.startswith(f"{own_host}/") else "")
        for piece in _LINK.split(body)
        if piece
    ]


def say_number(to: str) -> str:
    """Write a British mobile number as people do: 07700 900123."""
    return f"0{to[3:7]} {to[7:]}" if to.startswith("+44") and len(to) == 13 else to
