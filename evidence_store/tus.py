"""tus 1.0.0, core and creation: the protocol's decisions, pure (tus.io/protocols/resumable-upload).

Headers in, values or refusals out; no bytes, files or sockets here.
"""

import base64
import binascii
from collections.abc import Mapping

from evidence_store.errors import BadRequest, TooLarge, UploadClosed, WrongContentType, WrongOffset, WrongVersion
from evidence_store.model import Upload, UploadState

VERSION = "1.0.0"
EXTENSIONS = "creation"
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
        if not key or key in found or not key.isascii():
            raise BadRequest("Upload-Metadata holds an empty, doubled or non-ASCII key.")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise BadRequest(f"Upload-Metadata: the value of {key} is not base64 of UTF-8.") from None
    return found


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
    if upload.state in {UploadState.REFUSED, UploadState.EXPIRED}:
        raise UploadClosed
    if offset != stands_at:
        raise WrongOffset(f"The upload stands at {stands_at}.")
    if body_bytes is not None and offset + body_bytes > upload.length:
        raise TooLarge(f"The upload was announced with {upload.length} bytes.")


def _parse_number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise BadRequest(f"{name} must be a whole number, not negative.")
    return int(text)
