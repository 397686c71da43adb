"""What pages post about statements: JSON objects, nothing unknown, nothing guessed, bounded."""

from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from video_server.statements.typed import TEXT_CHARACTERS
from video_server.web.bodies import Body, Empty, NotUnderstood, read_body

__all__ = [
    "AnswerBody",
    "Empty",
    "ExhibitBody",
    "HeadingBody",
    "Live",
    "Mark",
    "NotUnderstood",
    "SignBody",
    "Text",
    "TypedBody",
    "attach",
    "read_body",
]

_MARGIN = 2_000  # what is a little too long is told so in words
_ID = Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")


class Text(Body):
    text: str = Field(max_length=TEXT_CHARACTERS + _MARGIN)
    version: int = Field(ge=0, le=1_000_000_000)


class HeadingBody(Body):
    name: str = Field(max_length=1_000)
    age: int | None = None
    reader: str = Field(default="", max_length=1_000)
    interpreter: str = Field(default="", max_length=1_000)
    spoken: str = Field(default="", max_length=10)
    language: Literal["en", "cy"] = "en"


class ExhibitBody(Body):
    mark: str = Field(max_length=100)
    description: str = Field(max_length=2_000)


class Mark(Body):
    mark: str = Field(max_length=100)


class Live(Body):
    live: bool


class AnswerBody(Body):
    statement: str = _ID
    paragraph: str = _ID
    answer: Literal["right", "wrong"]


class TypedBody(Body):
    """The signature of who read a statement aloud, or interpreted it: over what was shown."""

    digest: str = _ID
    typed: str = Field(max_length=1_000)


class SignBody(Body):
    statement: str = _ID
    digest: str = _ID
    declared: bool
    signature: dict[str, Any]


def attach(name: str, content: bytes) -> web.Response:
    """Answer with a PDF to be saved, never to be run or shown inside a page of ours."""
    return web.Response(
        body=content,
        content_type="application/pdf",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        },
    )
