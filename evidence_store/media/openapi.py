"""Media's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from evidence_store.media import schemas
from evidence_store.openapi_parts import OBJECT_ID, in_header, operation, says

MODELS: list[type[BaseModel]] = [schemas.MediaAnswer]
_PURPOSE = in_header("Evidence-Purpose", required=False, description="why; stands in the ledger")
_RANGE = in_header("Range", required=False)


def _bytes(media_type: str) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "string", "format": "binary"}}}


PATHS: dict[str, dict[str, Any]] = {
    "/evidence/v1/objects/{id}/preview": {
        "get": operation(
            "A picture of it, at most 1280 pixels long, without metadata",
            "token:read",
            {
                "200": {"description": "A JPEG", "content": _bytes("image/jpeg")},
                "304": says("Unchanged"),
                "404": says("There is none; `detail` says why, for people"),
            },
            parameters=[OBJECT_ID, _RANGE, _PURPOSE],
        )
    },
    "/evidence/v1/objects/{id}/preview/playable": {
        "get": operation(
            "The first 30 seconds of a film or sound, made anew: H.264 and AAC",
            "token:read",
            {
                "200": {"description": "All of it", "content": _bytes("video/mp4")},
                "206": {"description": "A range of it", "content": _bytes("video/mp4")},
                "304": says("Unchanged"),
                "404": says("There is none; `detail` says why, for people"),
            },
            parameters=[OBJECT_ID, _RANGE, _PURPOSE],
        )
    },
}
