"""The court's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from evidence_store.court import schemas
from evidence_store.openapi_parts import OBJECT_ID, in_header, operation, says

MODELS: list[type[BaseModel]] = [schemas.TrailAnswer]
_PURPOSE = in_header("Evidence-Purpose", required=False, description="why; stands in the ledger")
PATHS: dict[str, dict[str, Any]] = {
    "/evidence/v1/objects/{id}/trail": {
        "get": operation(
            "Its audit trail: every ledger line about it, with proofs",
            "token:trail",
            {"200": says("The trail", schemas.TrailAnswer)},
            parameters=[OBJECT_ID, _PURPOSE],
        )
    },
}
