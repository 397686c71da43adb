"""The court's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from evidence_store.court import schemas
from evidence_store.openapi_parts import BYTES, OBJECT_ID, PURPOSE, in_header, json_body, operation

MODELS: list[type[BaseModel]] = [schemas.TrailAnswer, schemas.PackageRequest]
_PDF = {"application/pdf": BYTES}
_ZIP = {"application/zip": BYTES}
_TRAIL = {"description": "The trail", "content": json_body(schemas.TrailAnswer) | _PDF}
PATHS: dict[str, dict[str, Any]] = {
    "/evidence/v1/objects/{id}/trail": {
        "get": operation(
            "Its audit trail: every ledger line about it, with proofs",
            "token:trail",
            {"200": _TRAIL},
            parameters=[OBJECT_ID, PURPOSE, in_header("Accept", required=False, description="or application/pdf")],
        )
    },
    "/evidence/v1/objects/{id}/trail.pdf": {
        "get": operation(
            "Its audit trail, to print and to read aloud (PDF/A-3a, PDF/UA-1)",
            "token:trail",
            {"200": {"description": "The trail", "content": _PDF}},
            parameters=[OBJECT_ID, PURPOSE],
        )
    },
    "/evidence/v1/packages": {
        "post": operation(
            "Give out exhibits as a court package",
            "token:export",
            {"200": {"description": "The package", "content": _ZIP}},
            body=json_body(schemas.PackageRequest),
        )
    },
}
