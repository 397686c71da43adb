"""Custody's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from evidence_store.custody import schemas
from evidence_store.custody.search import Search
from evidence_store.openapi_parts import IDEMPOTENCY_KEY, OBJECT_ID, PURPOSE, in_queries, json_body, operation, says

MODELS: list[type[BaseModel]] = [
    schemas.Found,
    schemas.ObjectDetail,
    schemas.LabelRequest,
    schemas.LabelAnswer,
    schemas.NoteRequest,
    schemas.NoteAnswer,
    schemas.LinkRequest,
    schemas.LinkAnswer,
]
PATHS: dict[str, dict[str, Any]] = {
    "/evidence/v1/objects": {
        "get": operation(
            "Search objects",
            "token:read",
            {"200": says("Some", schemas.Found)},
            parameters=[*in_queries(Search), PURPOSE],
        )
    },
    "/evidence/v1/objects/{id}": {
        "get": operation(
            "All that is known about an object",
            "token:read",
            {"200": says("It", schemas.ObjectDetail)},
            parameters=[OBJECT_ID, PURPOSE],
        )
    },
    "/evidence/v1/objects/{id}/label": {
        "put": operation(
            "Give it an exhibit mark and label",
            "token:annotate",
            {"200": says("The label", schemas.LabelAnswer)},
            parameters=[OBJECT_ID, IDEMPOTENCY_KEY],
            body=json_body(schemas.LabelRequest),
        )
    },
    "/evidence/v1/objects/{id}/notes": {
        "post": operation(
            "Add a note",
            "token:annotate",
            {"201": says("The note", schemas.NoteAnswer)},
            parameters=[OBJECT_ID, IDEMPOTENCY_KEY],
            body=json_body(schemas.NoteRequest),
        )
    },
    "/evidence/v1/objects/{id}/original": {
        "put": operation(
            "Say what it was derived from",
            "token:annotate",
            {"200": says("The link", schemas.LinkAnswer)},
            parameters=[OBJECT_ID, IDEMPOTENCY_KEY],
            body=json_body(schemas.LinkRequest),
        )
    },
}
