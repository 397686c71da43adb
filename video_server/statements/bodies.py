"""What pages post about statements: JSON objects, nothing unknown, nothing guessed, bounded."""

from typing import Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from video_server.core.errors import N_, Refusal
from video_server.statements.model import TEXT_CHARACTERS

_MARGIN = 2_000  # what is a little too long is told so in words
_ID = Field(min_length=1, max_length=64)


class NotUnderstood(Refusal):
    code = "not_understood"
    public = N_("What was sent could not be read. Reload the page and try again.")


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Text(Body):
    text: str = Field(max_length=TEXT_CHARACTERS + _MARGIN)
    version: int = Field(ge=0, le=1_000_000_000)


class HeadingBody(Body):
    name: str = Field(max_length=1_000)
    age: int | None = None
    reader: str = Field(default="", max_length=1_000)
    language: Literal["en", "cy"] = "en"


class ExhibitBody(Body):
    mark: str = Field(max_length=100)
    description: str = Field(max_length=2_000)


class Mark(Body):
    mark: str = Field(max_length=100)


class Live(Body):
    live: bool


class Empty(Body):
    pass


class AnswerBody(Body):
    statement: str = _ID
    paragraph: str = _ID
    answer: Literal["right", "wrong"]


class SignBody(Body):
    statement: str = _ID
    digest: str = _ID
    declared: bool
    signature: dict[str, Any]


BodyT = TypeVar("BodyT", bound=BaseModel)


async def read_body(request: web.Request, model: type[BodyT]) -> BodyT:
    """Read a JSON object into its model. Raises NotUnderstood."""
    try:
        content = await request.read()
        body = model.model_validate_json(content)
        content.decode("utf-8")
    except (ValueError, ValidationError, RecursionError) as problem:
        raise NotUnderstood(type(problem).__name__) from None  # its message would hold what was typed
    return body


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
