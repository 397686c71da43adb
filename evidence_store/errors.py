"""What the store refuses, in one family; imports nothing, so that a client may use it too.

    Refusal                      an answer to one request: code, HTTP status, a sentence that helps
      ├─ NotFound, Forbidden, Conflict, TooLarge, Locked, …
    Damaged                      what is on disk is not what was written: never served, always told
    CannotStart                  the process cannot start; one clear sentence for the operator
    Unreachable                  the client could not speak to the store at all

Over HTTP a refusal is a problem+json body (RFC 9457) with the same code; `from_problem` turns it back.
"""

from collections.abc import Mapping
from typing import ClassVar


class StoreError(Exception):
    """Everything the store or its client raises on purpose."""


class Refusal(StoreError):
    """Something was asked that cannot be given. `code` is stable and documented; `title` says what to do."""

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request cannot be used."
    told: ClassVar[Mapping[str, str]] = {}
    """Headers that every answer of this kind carries, as its protocol demands."""

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after_seconds: float | None = None,
        actor: str = "",
        about: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep `detail` for the answer; it must hold no personal data and no secret.

        retry_after_seconds  when it is worth asking again
        actor                whose credential it was, where it is genuine and refused for another reason
        about                the object or upload it is about, where the address does not name it
        headers              what this answer carries beside `told`
        """
        super().__init__(detail or self.title)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.actor, self.about = actor, about
        self.headers = {**self.told, **(headers or {})}


class BadRequest(Refusal):
    code = "bad_request"
    title = "The request is not well formed."


class Unauthorized(Refusal):
    code = "unauthorized"
    status = 401
    title = "A valid token is needed."


class TokenExpired(Unauthorized):
    """A token of ours that has ended; `actor` is whose it was."""

    code = "token_expired"
    title = "The token has expired. Ask the operator for a new one."


class TokenRevoked(Unauthorized):
    """A token of ours that was taken back."""

    code = "token_revoked"
    title = "The token was revoked. Ask the operator for a new one."


class Forbidden(Refusal):
    code = "forbidden"
    status = 403
    title = "The token does not allow this."


class GrantRefused(Refusal):
    code = "grant_refused"
    status = 403
    title = "The grant does not allow this upload. Ask for a new one."


class BearerExpired(Refusal):
    code = "bearer_expired"
    status = 401
    title = "The upload's bearer is not valid any more. Renew it with a fresh grant."


class EntryNeeded(Refusal):
    code = "entry_needed"
    status = 401
    title = "You are not in the evidence store, or were away too long."


class TicketRefused(Refusal):
    code = "ticket_refused"
    status = 403
    title = "This entry is not valid any more. Go back and select Evidence again."


class CrossSite(Refusal):
    code = "cross_site"
    status = 403
    title = "This form did not come from a page of yours and was not done. Open the page again and try once more."


class NotFound(Refusal):
    code = "not_found"
    status = 404
    title = "There is nothing under this address."


class OtherIncident(NotFound):
    """There is something, and it is not for this caller, who is answered as if there were nothing."""


class StillArriving(Refusal):
    code = "still_arriving"
    status = 409
    title = "The object has not arrived completely. Send the remaining bytes first."


class Conflict(Refusal):
    code = "conflict"
    status = 409
    title = "This id already stands for something else."


class MarkTaken(Refusal):
    code = "mark_taken"
    status = 409
    title = "Another exhibit of this incident has this mark. Choose the next number."


class LabelSigned(Refusal):
    code = "label_signed"
    status = 409
    title = "The label was signed and never changes. Say what is to be said in a note."


class KeyReused(Refusal):
    code = "key_reused"
    status = 422
    title = "This Idempotency-Key was used for something else. Use a new one."


class Arrived(Refusal):
    code = "arrived"
    status = 409
    title = "Every byte has arrived, so this is evidence now. Its sender cannot take it back."


class Held(Refusal):
    code = "held"
    status = 409
    title = "An open hold forbids disposal."


class RetentionRuns(Refusal):
    code = "retention_runs"
    status = 409
    title = "The object must still be kept."


class ReviewOpen(Refusal):
    code = "review_open"
    status = 409
    title = "A review of this object waits for a second person already."


class ReviewClosed(Refusal):
    code = "review_closed"
    status = 409
    title = "This review was decided already."


class SamePerson(Refusal):
    code = "same_person"
    status = 403
    title = "This is decided by another person than the one who proposed it."


class Disposed(Refusal):
    code = "disposed"
    status = 410
    title = "The object was disposed of. Its lines in the ledger remain."


class WrongOffset(Refusal):
    code = "wrong_offset"
    status = 409
    title = "The offset is not where the upload stands. Ask with HEAD and go on from there."


class Quarantined(Refusal):
    code = "quarantined"
    status = 409
    title = "The object is in quarantine. Reading it needs the scope 'quarantine'."


class NotQuarantined(Refusal):
    code = "not_quarantined"
    status = 409
    title = "The object is not in quarantine, so there is nothing to release."


class QuarantineChanged(Refusal):
    code = "quarantine_changed"
    status = 409
    title = "What is known of the object is not what this decision names. Look at it again, then decide."


class ReleaseOpen(Refusal):
    code = "release_open"
    status = 409
    title = "A release of this object waits for a second person already."


class ReleaseClosed(Refusal):
    code = "release_closed"
    status = 409
    title = "This release was decided already, or something else was found since it was proposed."


class NotScreened(Refusal):
    code = "not_screened"
    status = 409
    title = "The object is being screened for malware. Try again in a moment."


class NoPreviewHere(Refusal):
    code = "no_preview"
    status = 404
    title = "There is no preview of this object."


class UploadClosed(Refusal):
    code = "upload_closed"
    status = 410
    title = "This upload was refused, given up, or has expired. Ask for a new one."


class WrongVersion(Refusal):
    code = "wrong_tus_version"
    status = 412
    title = "Only tus 1.0.0 is spoken here (header Tus-Resumable)."
    told: ClassVar[Mapping[str, str]] = {"Tus-Version": "1.0.0"}


class TooLarge(Refusal):
    code = "too_large"
    status = 413
    title = "This is larger than allowed."


class WrongKind(Refusal):
    code = "wrong_kind"
    status = 415
    title = "Files of this kind are not accepted."


class WrongContentType(Refusal):
    code = "wrong_content_type"
    status = 415
    title = "The body must be application/offset+octet-stream."


class WrongEncoding(Refusal):
    """A body that is packed: unpacking it would be a stranger's choice of how much memory and time that takes."""

    code = "wrong_encoding"
    status = 415
    title = "The body must come as it is, not compressed (no Content-Encoding)."
    told: ClassVar[Mapping[str, str]] = {"Accept-Encoding": "identity"}


class RangeRefused(Refusal):
    code = "range_refused"
    status = 416
    title = "The range is outside the object."


class DigestMismatch(Refusal):
    code = "digest_mismatch"
    status = 422
    title = "What arrived does not have the digest that was announced. Nothing was stored: send it again."


class Locked(Refusal):
    code = "locked"
    status = 423
    title = "Another connection is writing this upload. It was asked to let go: try again in a moment."


class ChecksumMismatch(Refusal):
    code = "checksum_mismatch"
    status = 460
    title = "What arrived does not have the announced checksum. Nothing of it was kept: send it again."


class TooMany(Refusal):
    code = "too_many"
    status = 429
    title = "Too many uploads are open. Try again in a few minutes."


class TooFast(Refusal):
    code = "too_fast"
    status = 429
    title = "Too many requests came in a short time. Wait as long as Retry-After says, then go on."


class TooSlow(Refusal):
    code = "too_slow"
    status = 408
    title = "The request did not come to its end in time. Send it again."


class DamagedHere(Refusal):
    code = "damaged"
    status = 500
    title = "What is stored is not what was written. It is not given out; run 'evidence-store verify'."


class NoOpeningKey(Refusal):
    code = "no_opening_key"
    status = 503
    title = "This node holds no opening key: it receives, and cannot read."


class Unavailable(Refusal):
    code = "unavailable"
    status = 503
    title = "The store cannot do this at the moment. Try again in a minute."


class Elsewhere(Refusal):
    """What was asked for lies on another node; `node` is which."""

    code = "elsewhere"
    status = 503
    title = "Another node keeps this upload and cannot be reached now. Nothing is lost: try again in a minute."

    def __init__(self, detail: str = "", *, node: str = "") -> None:
        super().__init__(detail, retry_after_seconds=30)
        self.node = node


class BackendFailed(Refusal):
    code = "backend_failed"
    status = 503
    title = "The place of sealed objects does not answer. What was acknowledged is kept; try again in a minute."


class NoSpace(Refusal):
    code = "no_space"
    status = 507
    title = "The store's disk is full. What was acknowledged is kept; go on later."


class Damaged(StoreError):
    """Bytes on disk were changed, cut, moved or swapped; the message says which."""


class CannotStart(StoreError):
    """The process cannot start; the message is one clear sentence for the operator."""


class Unreachable(StoreError):
    """The store did not answer; whether the request was carried out is not known."""


def _family(base: type[Refusal]) -> dict[str, type[Refusal]]:
    found = {base.code: base} if "code" in vars(base) else {}
    for child in base.__subclasses__():
        found |= _family(child)
    return found


def from_problem(status: int, code: str, detail: str) -> Refusal:
    """Return the refusal that a problem+json answer stands for; an unknown code becomes a plain Refusal."""
    kind = _family(Refusal).get(code)
    return kind(detail) if kind is not None else Refusal(f"{status} {detail}".strip())
