"""What a request says: query string, headers, JSON, each as a model that OpenAPI is generated from too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from evidence_store import app_keys
from evidence_store.errors import BadRequest, TooLarge, TooSlow

M = TypeVar("M", bound=BaseModel)
_MOST_DIGITS = 18
_MAX_JSON_BYTES = 4096


def _digits(given: object) -> object:
    if isinstance(given, str) and not (given.isascii() and given.isdigit() and len(given) <= _MOST_DIGITS):
        raise ValueError("a whole number in digits")
    return given


Whole = Annotated[int, BeforeValidator(_digits), Field(ge=0, lt=10**_MOST_DIGITS)]
"""A whole number as a query string has it: digits, and nothing else that Python would take for one."""


def read_query(request: web.Request, model: type[M]) -> M:
    """Return the query string as its model; each name once. Raises BadRequest."""
    given = request.query
    if len(set(given)) != len(given):
        raise BadRequest("Each name may stand in the query once.")
    if any("\0" in value for value in given.values()):
        raise BadRequest("No text may hold the character U+0000.")
    return _read(model, dict(given))


def read_headers(request: web.Request, model: type[M]) -> M:
    """Return the headers that a model names by its fields' aliases; an empty one is as good as none. Raises BadRequest.

    That none stands twice is `heads.check_head`'s.
    """
    names = (field.alias for field in model.model_fields.values())
    return _read(model, {name: request.headers[name] for name in names if name and request.headers.get(name)})


@asynccontextmanager
async def in_time(request: web.Request) -> AsyncIterator[None]:
    """Read what is short within the time that a sender may be silent: a byte a minute is no way to send it.

    Raises TooSlow
    """
    try:
        async with asyncio.timeout(request.app[app_keys.STORE].settings.idle_seconds):
            yield
    except TimeoutError:
        raise TooSlow from None


async def read_small(request: web.Request, most: int = _MAX_JSON_BYTES) -> bytes:
    """Return a small body; read once, it can be asked for again. Raises TooLarge, TooSlow."""
    if app_keys.BODY not in request:
        body = b""
        async with in_time(request):
            while len(body) <= most and not request.content.at_eof():
                body += await request.content.read(most + 1)
        if len(body) > most:
            raise TooLarge(f"At most {most} bytes of JSON.")
        request[app_keys.BODY] = body
    return request[app_keys.BODY]


async def read_json(request: web.Request, model: type[M], *, most: int = _MAX_JSON_BYTES) -> M:
    """Return a JSON body of at most so many bytes as its model. Raises BadRequest or TooLarge."""
    try:
        found = model.model_validate_json(await read_small(request, most))
    except ValidationError as problem:
        where = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in problem.errors())
        raise BadRequest(where) from None
    if "\\u0000" in found.model_dump_json():  # PostgreSQL keeps none
        raise BadRequest("No text may hold the character U+0000.")
    return found


def _read(model: type[M], given: dict[str, str]) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as problem:
        said = {field.alias or name: field.description for name, field in model.model_fields.items()}
        faults = []
        for fault in problem.errors():
            name = ".".join(map(str, fault["loc"]))
            faults.append(f"{name}: {fault['msg']}" + (f" ({said[name]})" if said.get(name) else ""))
        raise BadRequest("; ".join(faults)) from None
