"""tus 1.0.0, core and extensions: the protocol's decisions, pure (tus.io/protocols/resumable-upload).

Headers in, values or refusals out; no bytes, files or sockets here.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime

from evidence_store.errors import BadRequest, TooLarge, UploadClosed, WrongContentType, WrongOffset, WrongVersion
from evidence_store.model import CLOSED, Upload, UploadState
from evidence_store.sealing import trial

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
CHECKSUMS = ",".join(trial.ALGORITHMS)
CONTENT_TYPE = "application/offset+octet-stream"
_MAX_METADATA_CHARS = 4096
_MAX_DIGITS = 19


def check_version(headers: Mapping[str, str]) -> None:
    """Every request but OPTIONS names the version. Raises WrongVersion."""
    if headers.get("Tus-Resumable") != VERSION:
        raise WrongVersion


def parse_length(headers: Mapping[str, str], *, max_bytes: int) -> int:
    """Return how long the upload will be. Raises BadRequest, or TooLarge with the limit."""
    if "Upload-Length" not in headers:
        raise BadRequest("Upload-Length is required; its length must be known when the upload is created.")
    length = _parse_number("Upload-Length", headers["Upload-Length"])
    if length == 0:
        raise BadRequest("An empty file cannot be evidence.")
    if length > max_bytes:
        raise TooLarge(f"At most {max_bytes} bytes are allowed.")
    return length


def parse_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Return Upload-Metadata: comma-separated `key base64(value)` pairs. Raises BadRequest."""
    text = headers.get("Upload-Metadata", "")
    if len(text) > _MAX_METADATA_CHARS:
        raise BadRequest("Upload-Metadata is too long.")
    found: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else []:
        key, _, value = pair.strip().partition(" ")
        if not key or key in found or not (key.isascii() and key.isprintable()):
            raise BadRequest("Upload-Metadata holds an empty, doubled or non-ASCII key.")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except ValueError:
            raise BadRequest(f"Upload-Metadata: the value of {key} is not base64 of UTF-8.") from None
    return found


def format_metadata(upload: Upload) -> str:
    """Return Upload-Metadata word for word as the sender gave it; of an upload from before that was kept, its sense."""
    if upload.metadata is not None:
        return upload.metadata
    pairs = {"filename": upload.filename, "filetype": upload.media_type}
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


@dataclass(frozen=True)
class Checksum:
    """What the sender says the bytes of one request come to."""

    algorithm: str
    digest: bytes


def parse_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """Return Upload-Checksum, `algorithm base64(digest)`; None when there is none. Raises BadRequest."""
    text = headers.get("Upload-Checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.strip().partition(" ")
    if algorithm not in trial.ALGORITHMS:
        raise BadRequest(f"Upload-Checksum: the algorithms known here are {CHECKSUMS}.")
    try:
        digest = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        digest = b""
    if len(digest) != trial.digest_bytes(algorithm):
        raise BadRequest(f"Upload-Checksum: the value is not base64 of a digest by {algorithm}.")
    return Checksum(algorithm, digest)


def format_expires(upload: Upload, *, abandoned_days: float) -> str | None:
    """Return Upload-Expires, the moment at which an unfinished upload is dropped; None when it will not be."""
    if upload.state is not UploadState.OPEN or upload.offset == upload.length:
        return None
    return format_datetime(expires_at(upload, abandoned_days=abandoned_days), usegmt=True)


def expires_at(upload: Upload, *, abandoned_days: float) -> datetime:
    """Return when an unfinished upload ends that no byte comes for, in whole seconds."""
    return (upload.touched_at + timedelta(days=abandoned_days)).replace(microsecond=0)


def check_body(headers: Mapping[str, str], *, length: int, body_bytes: int | None) -> None:
    """Pass when a creation may carry these bytes. Raises WrongContentType or TooLarge."""
    if headers.get("Content-Type", "").strip().lower() != CONTENT_TYPE:
        raise WrongContentType
    if body_bytes is not None and body_bytes > length:
        raise TooLarge(f"The upload was announced with {length} bytes.")


def parse_patch(headers: Mapping[str, str]) -> int:
    """Return the offset a PATCH begins at. Raises WrongContentType or BadRequest."""
    if headers.get("Content-Type", "").strip().lower() != CONTENT_TYPE:
        raise WrongContentType
    if "Upload-Offset" not in headers:
        raise BadRequest("Upload-Offset is required.")
    return _parse_number("Upload-Offset", headers["Upload-Offset"])


def check_patch(upload: Upload, *, offset: int, stands_at: int, body_bytes: int | None) -> None:
    """Pass when these bytes may follow. `body_bytes` is None when the sender did not say how many come.

    Raises UploadClosed, WrongOffset, or TooLarge when they would reach beyond the announced length.
    """
    if upload.state in CLOSED:
        raise UploadClosed
    if offset != stands_at:
        raise WrongOffset(f"The upload stands at {stands_at}.")
    if body_bytes is not None and offset + body_bytes > upload.length:
        raise TooLarge(f"The upload was announced with {upload.length} bytes.")


def _parse_number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise BadRequest(f"{name} must be a whole number, not negative.")
    return int(text)
