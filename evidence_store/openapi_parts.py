"""Pieces that the OpenAPI document is put together from."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from evidence_store import schemas

OBJECT_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}


def in_header(name: str, *, required: bool = True, description: str = "") -> dict[str, Any]:
    """Return a header that a request carries."""
    found = {"name": name, "in": "header", "required": required, "schema": {"type": "string"}}
    return found | ({"description": description} if description else {})


IDEMPOTENCY_KEY = in_header(
    "Idempotency-Key", required=False, description="sent again with the same key, a request is carried out once"
)
PURPOSE = in_header("Evidence-Purpose", required=False, description="why; stands in the ledger")
CONDITIONS = [in_header("If-None-Match", required=False), in_header("If-Range", required=False)]
RANGE = in_header("Range", required=False)
BYTES = {"schema": {"type": "string", "format": "binary"}}
"""Content that is no JSON."""


def in_query(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    """Return a name in the query string."""
    schema = {"type": "string"}
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": description}


def in_queries(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the query string that a model validates."""
    return [
        in_query(name, description, required=required) | {"schema": schema}
        for name, description, required, schema in _fields(model)
    ]


def in_headers(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the headers that a model validates."""
    return [
        in_header(name, description=description, required=required) | {"schema": schema}
        for name, description, required, schema in _fields(model)
    ]


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, str, bool, dict[str, Any]]]:
    """Yield name, description, whether it is required, and schema of each."""
    whole = model.model_json_schema(by_alias=True)
    for name, schema in whole["properties"].items():
        kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
        said = {key: value for key, value in kinds[0].items() if key not in {"title", "default", "description"}}
        yield name, schema.get("description", ""), name in whole.get("required", []), said


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return JSON of a model's form."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def says(text: str, model: type[BaseModel] | None = None) -> dict[str, Any]:
    """Return an answer."""
    return {"description": text} | ({"content": json_body(model)} if model else {})


def operation(
    summary: str,
    guard: str,
    answers: dict[str, Any],
    *,
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    body_required: bool = True,
) -> dict[str, Any]:
    """Return one method of a path; `guard` is what `access.guard_of` says of its handler."""
    problem = {
        "description": "A refusal",
        "content": {"application/problem+json": json_body(schemas.Problem)["application/json"]},
    }
    found: dict[str, Any] = {"summary": summary, "responses": answers | {"default": problem}}
    kind, _, scope = guard.partition(":")
    found["security"] = [] if kind == "public" else [{kind: [scope] if scope else []}]
    if parameters:
        found["parameters"] = parameters
    if body:
        found["requestBody"] = {"required": body_required, "content": body}
    return found
