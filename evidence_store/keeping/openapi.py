"""Keeping's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from evidence_store.keeping import schemas
from evidence_store.keeping.lists import DueAsked, HoldsAsked, ReviewsAsked
from evidence_store.openapi_parts import IDEMPOTENCY_KEY, OBJECT_ID, PURPOSE, in_queries, json_body, operation, says

MODELS: list[type[BaseModel]] = [
    schemas.HoldRequest,
    schemas.ReasonRequest,
    schemas.HoldAnswer,
    schemas.HoldList,
    schemas.ClassRequest,
    schemas.ClassAnswer,
    schemas.ClassList,
    schemas.RetentionRequest,
    schemas.RetentionAnswer,
    schemas.ReviewRequest,
    schemas.ReviewAnswer,
    schemas.ReviewList,
    schemas.DueList,
    schemas.Keeping,
    schemas.Certificate,
]
_CODE = {"name": "code", "in": "path", "required": True, "schema": {"type": "string"}}
_REASON = json_body(schemas.ReasonRequest)


def _one(
    method: str, summary: str, scope: str, answer: type[BaseModel], *, made: bool = False, **more: Any
) -> dict[str, Any]:
    """Return one method; what writes heeds an Idempotency-Key."""
    if method != "get":
        more["parameters"] = [*more.get("parameters", []), IDEMPOTENCY_KEY]
    return {method: operation(summary, f"token:{scope}", {"201" if made else "200": says("Done", answer)}, **more)}


PATHS: dict[str, dict[str, Any]] = {
    "/evidence/v1/holds": _one(
        "post", "Place a hold", "hold", schemas.HoldAnswer, made=True, body=json_body(schemas.HoldRequest)
    )
    | _one("get", "An incident's holds", "hold", schemas.HoldList, parameters=in_queries(HoldsAsked)),
    "/evidence/v1/holds/{id}/release": _one(
        "post", "Release a hold", "hold", schemas.HoldAnswer, parameters=[OBJECT_ID], body=_REASON
    ),
    "/evidence/v1/retention-classes": _one("get", "The retention table", "retention", schemas.ClassList),
    "/evidence/v1/retention-classes/{code}": _one(
        "put",
        "Add or change a class",
        "retention",
        schemas.ClassAnswer,
        parameters=[_CODE],
        body=json_body(schemas.ClassRequest),
    ),
    "/evidence/v1/objects/{id}/retention": _one(
        "put",
        "Say by which classes it is kept; the longest wins",
        "retention",
        schemas.RetentionAnswer,
        parameters=[OBJECT_ID],
        body=json_body(schemas.RetentionRequest),
    ),
    "/evidence/v1/objects/{id}/keeping": _one(
        "get", "Its holds, retention and reviews", "read", schemas.Keeping, parameters=[OBJECT_ID, PURPOSE]
    ),
    "/evidence/v1/objects/{id}/reviews": _one(
        "post",
        "Record a review: keep, or propose disposal (damaged where the ledger does not vouch for the object)",
        "review",
        schemas.ReviewAnswer,
        made=True,
        parameters=[OBJECT_ID],
        body=json_body(schemas.ReviewRequest),
    ),
    "/evidence/v1/reviews": _one(
        "get",
        "Reviews that wait for a second person",
        "dispose",
        schemas.ReviewList,
        parameters=in_queries(ReviewsAsked),
    ),
    "/evidence/v1/due-for-review": _one(
        "get",
        "Objects whose retention ends soon",
        "review",
        schemas.DueList,
        parameters=[*in_queries(DueAsked), PURPOSE],
    ),
    "/evidence/v1/reviews/{id}/approve": _one(
        "post",
        "Approve a disposal as a second person (damaged where the ledger does not vouch for the object)",
        "dispose",
        schemas.ReviewAnswer,
        parameters=[OBJECT_ID],
        body=_REASON,
    ),
    "/evidence/v1/reviews/{id}/reject": _one(
        "post",
        "Reject a disposal as a second person",
        "dispose",
        schemas.ReviewAnswer,
        parameters=[OBJECT_ID],
        body=_REASON,
    ),
    "/evidence/v1/reviews/{id}/certificate": _one(
        "get", "The certificate of a disposal", "read", schemas.Certificate, parameters=[OBJECT_ID]
    ),
}
