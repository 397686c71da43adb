"""What a request says beside its body: query string and headers, each as a model that OpenAPI is generated from too."""

from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from evidence_store.errors import BadRequest

M = TypeVar("M", bound=BaseModel)
_MOST_DIGITS = 18


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
