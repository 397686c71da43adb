"""The OpenAPI 3.1 document, from the models that the handlers use; a test compares its paths with the routes."""

from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from evidence_store import schemas
from evidence_store.breakglass import openapi as breakglass
from evidence_store.court import openapi as court
from evidence_store.custody import openapi as custody
from evidence_store.keeping import openapi as keeping
from evidence_store.kinds import KINDS
from evidence_store.media import openapi as media
from evidence_store.openapi_parts import (
    BYTES,
    CONDITIONS,
    IDEMPOTENCY_KEY,
    OBJECT_ID,
    PURPOSE,
    RANGE,
    in_header,
    in_headers,
    in_queries,
    json_body,
    operation,
    says,
)
from evidence_store.quarantine import openapi as quarantine

_MODELS: list[type[BaseModel]] = [
    schemas.Metadata,
    schemas.LedgerPage,
    schemas.InclusionProof,
    schemas.ConsistencyProof,
    schemas.GrantRequest,
    schemas.GrantAnswer,
    schemas.DigestRequest,
    schemas.DigestAnswer,
    schemas.BearerAnswer,
    schemas.Problem,
    schemas.Health,
]
_TUS = in_header("Tus-Resumable", description="1.0.0")
_PARTS = (custody, keeping, quarantine, breakglass, court, media)
_BYTES = {"application/octet-stream": BYTES}
_NOTE = {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}
_FILE = {media_type: BYTES for kind in KINDS for media_type in kind.media_types}

_CHECKSUM = in_header("Upload-Checksum", required=False, description="`sha1` or `sha256`, a space, base64")
_PIECE = {"application/offset+octet-stream": BYTES}
_OPTIONS = operation("Say what is spoken", "public", {"204": says("tus version, extensions, limit")})
_PATHS: dict[str, dict[str, Any]] = {
    "/evidence/files/": {
        "options": _OPTIONS,
        "post": operation(
            "Open an upload, perhaps with its first bytes (tus creation, creation-with-upload)",
            "grant",
            {"201": says("Location, Upload-Bearer, Upload-Offset and Upload-Expires in the headers")},
            parameters=[_TUS, in_header("Upload-Length"), in_header("Upload-Metadata", required=False), _CHECKSUM],
            body=_PIECE,
            body_required=False,
        ),
    },
    "/evidence/files/{id}": {
        "options": _OPTIONS | {"parameters": [OBJECT_ID]},
        "head": operation("Where it stands", "bearer", {"200": says("Upload-Offset")}, parameters=[OBJECT_ID, _TUS]),
        "patch": operation(
            "Send the next bytes",
            "bearer",
            {"204": says("Upload-Offset; every byte before it is durable"), "460": says("Another checksum")},
            parameters=[OBJECT_ID, _TUS, in_header("Upload-Offset"), _CHECKSUM],
            body=_PIECE,
        ),
        "delete": operation(
            "Give up an unfinished upload (tus termination)",
            "bearer",
            {"204": says("Its bytes and key are destroyed"), "409": says("Every byte has arrived: it stays")},
            parameters=[OBJECT_ID, _TUS],
        ),
        "post": operation(
            "HEAD, PATCH or DELETE, for networks that let only POST through",
            "bearer",
            {"200": says("As HEAD answers"), "204": says("As the others answer")},
            parameters=[OBJECT_ID, _TUS, in_header("X-HTTP-Method-Override", description="HEAD, PATCH or DELETE")],
            body=_PIECE,
            body_required=False,
        ),
    },
    "/evidence/files/{id}/bearer": {
        "post": operation("Renew", "grant", {"200": says("A bearer", schemas.BearerAnswer)}, parameters=[OBJECT_ID])
    },
    "/evidence/files/{id}/digest": {
        "post": operation(
            "Give the sender's digest and seal",
            "bearer",
            {"200": says("Received, or quarantined when it differs", schemas.DigestAnswer)},
            parameters=[OBJECT_ID],
            body=json_body(schemas.DigestRequest),
        )
    },
    "/evidence/v1/objects": {
        "post": operation(
            "Seal an object in one piece, under an id that the store gives it",
            "token:seal",
            {
                "201": says("Sealed now; Location in the headers", schemas.Metadata),
                "200": says("Sealed before, under the same Idempotency-Key", schemas.Metadata),
            },
            parameters=[*in_headers(schemas.ObjectHeaders), IDEMPOTENCY_KEY],
            body=_FILE,
        ),
    },
    "/evidence/v1/objects/{id}": {
        "put": operation(
            "Seal an object in one piece, under an id of its sender's",
            "token:seal",
            {"201": says("Sealed now", schemas.Metadata), "200": says("Sealed before", schemas.Metadata)},
            parameters=[OBJECT_ID, *in_headers(schemas.ObjectHeaders)],
            body=_FILE,
        ),
    },
    "/evidence/v1/objects/{id}/content": {
        "get": operation(
            "Read the original",
            "token:read",
            {
                "200": {"description": "All of it", "content": _BYTES},
                "206": {"description": "A range of it", "content": _BYTES},
                "304": says("Unchanged"),
            },
            parameters=[OBJECT_ID, RANGE, *CONDITIONS, PURPOSE],
        ),
        "head": operation(
            "What GET would send: length, kind, ETag",
            "token:read",
            {"200": says("It")},
            parameters=[OBJECT_ID, PURPOSE],
        ),
    },
    "/evidence/v1/ledger": {
        "get": operation(
            "The ledger",
            "token:ledger",
            {"200": says("Lines", schemas.LedgerPage)},
            parameters=in_queries(schemas.LedgerAsked),
        )
    },
    "/evidence/v1/ledger/checkpoint": {
        "get": operation(
            "The newest checkpoint, or one that was kept (C2SP tlog-checkpoint)",
            "token:ledger",
            {"200": _NOTE},
            parameters=in_queries(schemas.CheckpointAsked),
        )
    },
    "/evidence/v1/ledger/key": {
        "get": operation("The key that checkpoints are checked with (C2SP signed-note)", "token:ledger", {"200": _NOTE})
    },
    "/evidence/v1/ledger/inclusion": {
        "get": operation(
            "Prove that a line is in the ledger",
            "token:ledger",
            {"200": says("Proof (RFC 9162)", schemas.InclusionProof)},
            parameters=in_queries(schemas.InclusionAsked),
        )
    },
    "/evidence/v1/ledger/consistency": {
        "get": operation(
            "Prove that the ledger only grew",
            "token:ledger",
            {"200": says("Proof (RFC 9162)", schemas.ConsistencyProof)},
            parameters=in_queries(schemas.ConsistencyAsked),
        )
    },
    "/evidence/v1/grants": {
        "post": operation(
            "Make a grant",
            "token:upload-grant",
            {"201": says("A grant", schemas.GrantAnswer)},
            parameters=[IDEMPOTENCY_KEY],
            body=json_body(schemas.GrantRequest),
        )
    },
    "/evidence/v1/openapi.json": {"get": operation("This document", "public", {"200": says("OpenAPI 3.1")})},
    "/healthz": {"get": operation("Alive", "public", {"200": says("Yes", schemas.Health)})},
    "/readyz": {"get": operation("Ready", "public", {"200": says("Yes", schemas.Health)})},
    "/metrics": {"get": operation("Figures for Prometheus", "public", {"200": says("Text")})},
}


def _together(*parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for path, methods in (one for part in parts for one in part.items()):
        paths[path] = paths.get(path, {}) | methods
    return paths


@cache
def document() -> dict[str, Any]:
    """Return the whole document."""
    _, definitions = models_json_schema(
        [(model, "serialization") for model in [*_MODELS, *(model for part in _PARTS for model in part.MODELS)]],
        ref_template="#/components/schemas/{model}",
    )
    schemes = {
        "token": {"type": "http", "scheme": "bearer", "description": "made by `evidence-store token`"},
        "bearer": {"type": "http", "scheme": "bearer", "description": "Upload-Bearer of one upload"},
        "grant": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Grant …`"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Evidence store", "version": "1"},
        "paths": _together(_PATHS, *(part.PATHS for part in _PARTS)),
        "components": {"schemas": definitions["$defs"], "securitySchemes": schemes},
    }
