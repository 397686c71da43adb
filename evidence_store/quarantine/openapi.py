"""Quarantine's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from evidence_store.keeping.schemas import ReasonRequest
from evidence_store.openapi_parts import IDEMPOTENCY_KEY, OBJECT_ID, PURPOSE, in_queries, json_body, operation, says
from evidence_store.quarantine import schemas

MODELS: list[type[BaseModel]] = [
    schemas.Quarantine,
    schemas.ReleaseRequest,
    schemas.ReleaseAnswer,
    schemas.ReleaseList,
]


def _decision(summary: str) -> dict[str, Any]:
    done = {"200": says("Done", schemas.ReleaseAnswer)}
    more = [OBJECT_ID, IDEMPOTENCY_KEY]
    return {"post": operation(summary, "token:release", done, parameters=more, body=json_body(ReasonRequest))}


PATHS: dict[str, dict[str, Any]] = {
    "/evidence/v1/objects/{id}/quarantine": {
        "get": operation(
            "Why an object is set aside",
            "token:quarantine",
            {"200": says("Causes, and what was decided", schemas.Quarantine)},
            parameters=[OBJECT_ID, PURPOSE],
        )
    },
    "/evidence/v1/objects/{id}/releases": {
        "post": operation(
            "Take it out of quarantine; where malware was found, propose it to a second person",
            "token:release",
            {"201": says("Released, or proposed", schemas.ReleaseAnswer)},
            parameters=[OBJECT_ID, IDEMPOTENCY_KEY],
            body=json_body(schemas.ReleaseRequest),
        )
    },
    "/evidence/v1/releases": {
        "get": operation(
            "Releases that wait for a second person",
            "token:release",
            {"200": says("Some", schemas.ReleaseList)},
            parameters=in_queries(schemas.ReleasesAsked),
        )
    },
    "/evidence/v1/releases/{id}/approve": _decision("Approve a release as a second person"),
    "/evidence/v1/releases/{id}/reject": _decision("Reject a release as a second person"),
}
