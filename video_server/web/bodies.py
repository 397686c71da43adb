"""JSON that pages post: objects of known fields, nothing guessed, bounded."""

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from video_server.core.errors import N_, Refusal
from video_server.web import forms


class NotUnderstood(Refusal):
    code = "not_understood"
    public = N_("What was sent could not be read. Reload the page and try again.")


class Body(BaseModel):
    """Base of every posted body: unknown fields and other types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Empty(Body):
    """A deed that needs no words."""


BodyT = TypeVar("BodyT", bound=BaseModel)


async def read_body(request: web.Request, model: type[BodyT]) -> BodyT:
    """Read a JSON object into its model. Raises NotUnderstood."""
    try:
        async with forms.in_time():
            content = await request.read()
        body = model.model_validate_json(content)
        content.decode("utf-8")
    except (ValueError, ValidationError, RecursionError) as problem:
        raise NotUnderstood(type(problem).__name__) from None  # its message would hold what was typed
    return body
