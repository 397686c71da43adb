"""The court's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from evidence_store.court import schemas
from evidence_store.openapi_parts import OBJECT_ID, in_header, json_body, operation

MODELS: list[type[BaseModel]] = [schemas.TrailAnswer, schemas.PackageRequest]
_PURPOSE = in_header("Evidence-Purpose", required=False, description="why; stands in the ledger")
_PDF = {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}
_ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
_TRAIL = {"description": "The trail", "content": json_body(schemas.TrailAnswer) | _PDF}
PATHS: dict[str, dict[str, Any]] = {
    "/evidence/v1/objects/{id}/trail": {
        "get": operation(
            "Its audit trail: every ledger line about it, with proofs",
            "token:trail",
            {"200": _TRAIL},
            parameters=[OBJECT_ID, _PURPOSE, in_header("Accept", required=False, description="or application/pdf")],
        )
    },
    "/evidence/v1/objects/{id}/trail.pdf": {
        "get": operation(
            "Its audit trail, to print and to read aloud (PDF/A-3a, PDF/UA-1)",
            "token:trail",
            {"200": {"description": "The trail", "content": _PDF}},
            parameters=[OBJECT_ID, _PURPOSE],
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
