"""Forms: pydantic models that collect every error at once, with one plain sentence a field."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar, cast

from aiohttp import web
from multidict import MultiDictProxy
from pydantic import BaseModel, ConfigDict, ValidationError

from video_server.core.errors import N_, Refusal
from video_server.web import i18n

READING_SECONDS = 20.0


class Form(BaseModel):
    """Base of every form. Strings are trimmed; unknown fields are ignored; `words` says each field's sentence.

    words maps "field" or "field.kind" (a pydantic error type such as "missing") to a sentence marked with N_.
    """

    model_config = ConfigDict(str_strip_whitespace=True, extra="ignore", frozen=True)


FormT = TypeVar("FormT", bound=BaseModel)


class FormInvalid(Refusal):
    """The person must correct something. `problems` maps fields to translated sentences, `values` is what was typed."""

    code = "form_invalid"
    status = 422
    public = N_("Check what you entered and try again.")

    def __init__(self, problems: Mapping[str, str], values: Mapping[str, str]) -> None:
        super().__init__()
        self.problems = dict(problems)
        self.values = dict(values)


class NotText(Refusal):
    code = "not_text"
    status = 400
    public = N_("What was sent could not be read. Go back and try again.")


class TooSlow(NotText):
    code = "too_slow"
    status = 408


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Wait for what is read inside the block, but not for ever. Raises TooSlow."""
    try:
        async with asyncio.timeout(READING_SECONDS):
            yield
    except TimeoutError:
        raise TooSlow from None


def is_text(value: str) -> bool:
    """Say whether a string can be kept: PostgreSQL takes no NUL, and half a surrogate pair is no character."""
    return "\x00" not in value and (value.isascii() or not any("\ud800" <= mark <= "\udfff" for mark in value))


async def read_posted(request: web.Request) -> MultiDictProxy[str]:
    """Return the posted fields as they came. Raises NotText, TooSlow.

    Multipart is refused unread: no page of ours sends it, and taking one of many parts apart holds everybody up.
    """
    if request.content_type.startswith("multipart/"):
        raise NotText
    try:
        async with in_time():
            return cast(MultiDictProxy[str], await request.post())  # only a multipart body holds files
    except (ValueError, LookupError) as problem:  # no text, or in a character set that nobody knows
        raise NotText(type(problem).__name__) from None


async def read_values(request: web.Request) -> dict[str, str]:
    """Return the posted fields; a repeated field keeps its last value."""
    posted = await read_posted(request)
    if any(not is_text(value) or "\ufffd" in value for value in posted.values()):  # U+FFFD: was not UTF-8
        raise NotText
    return dict(posted.items())


async def read_form(request: web.Request, model: type[FormT], words: Mapping[str, str]) -> FormT:
    """Read a posted form into its model.

    words   sentence for each field (key "field", or "field.error_type" for a particular fault), marked with N_
    Raises  FormInvalid with every field's sentence at once
    """
    values = await read_values(request)
    try:
        return model.model_validate({name: value for name, value in values.items() if value.strip() != ""})
    except ValidationError as problem:
        raise FormInvalid(explain(problem, words), values) from None


def explain(problem: ValidationError, words: Mapping[str, str]) -> dict[str, str]:
    """Return one translated sentence for each field that is wrong."""
    said: dict[str, str] = {}
    for fault in problem.errors(include_url=False, include_context=False, include_input=False):
        field = str(fault["loc"][0]) if fault["loc"] else "form"
        sentence = words.get(f"{field}.{fault['type']}") or words.get(field) or N_("Check this answer.")
        said.setdefault(field, i18n.gettext(sentence))
    return said
