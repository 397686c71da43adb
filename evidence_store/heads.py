"""What the head of every request must be, whatever it asks for. Pure.

Of a header that stands twice a forwarder may read one and the store another, so those that decide anything stand once.
"""

from multidict import CIMultiDictProxy

from evidence_store.errors import BadRequest, WrongEncoding

_OURS = ("evidence-", "tus-", "upload-")
_ONCE = frozenset(
    {
        "authorization", "content-encoding", "content-type", "idempotency-key", "if-none-match", "if-range", "range",
        "x-http-method-override",
    }
)  # fmt: skip


def check_head(headers: CIMultiDictProxy[str]) -> None:
    """Pass when nothing decisive stands twice and the body comes unpacked. Raises BadRequest, WrongEncoding."""
    names = [name.lower() for name, _ in headers.items()]  # items, since keys are told once each
    for name in names:
        if (name in _ONCE or name.startswith(_OURS)) and names.count(name) > 1:
            raise BadRequest(f"The header {name} may stand once.")
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise WrongEncoding
