"""Breaking the glass, in the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from evidence_store.breakglass import schemas
from evidence_store.openapi_parts import IDEMPOTENCY_KEY, OBJECT_ID, json_body, operation, says

MODELS: list[type[BaseModel]] = [schemas.GlassRequest, schemas.GlassAnswer]
PATHS: dict[str, dict[str, Any]] = {
    "/evidence/v1/objects/{id}/break-glass": {
        "post": operation(
            "Open one object of another incident for some minutes; supervisors are alarmed",
            "token:break-glass",
            {"201": says("Open until `ends_at`", schemas.GlassAnswer)},
            parameters=[OBJECT_ID, IDEMPOTENCY_KEY],
            body=json_body(schemas.GlassRequest),
        )
    }
}
