"""Media's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from evidence_store.media import schemas
from evidence_store.openapi_parts import BYTES, CONDITIONS, OBJECT_ID, PURPOSE, RANGE, operation, says

MODELS: list[type[BaseModel]] = [schemas.MediaAnswer]

PATHS: dict[str, dict[str, Any]] = {
    "/evidence/v1/objects/{id}/preview": {
        "get": operation(
            "A picture of it, at most 1280 pixels long, without metadata",
            "token:read",
            {
                "200": {"description": "A JPEG", "content": {"image/jpeg": BYTES}},
                "206": {"description": "A range of it", "content": {"image/jpeg": BYTES}},
                "304": says("Unchanged"),
                "404": says("There is none; `detail` says why, for people"),
            },
            parameters=[OBJECT_ID, RANGE, *CONDITIONS, PURPOSE],
        )
    },
    "/evidence/v1/objects/{id}/preview/playable": {
        "get": operation(
            "The first 30 seconds of a film or sound, made anew: H.264 and AAC",
            "token:read",
            {
                "200": {"description": "All of it", "content": {"video/mp4": BYTES}},
                "206": {"description": "A range of it", "content": {"video/mp4": BYTES}},
                "304": says("Unchanged"),
                "404": says("There is none; `detail` says why, for people"),
            },
            parameters=[OBJECT_ID, RANGE, *CONDITIONS, PURPOSE],
        )
    },
}
