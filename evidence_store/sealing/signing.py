"""HMACs, digests and random ids; standard library only, so that a client can import it cheaply.

A signed value is `<version>.<base64url payload>.<base64url HMAC-SHA256>`; the version names the purpose and is part
of what is signed, so that a value made for one purpose never passes for another under the same key.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from typing import Any

_MAX_SIGNED_CHARS = 4096


class NotGenuine(Exception):
    """The signature, the purpose or the form is wrong; nothing in the payload may be believed."""


def sign(key: bytes, purpose: str, payload: dict[str, Any]) -> str:
    """Return `payload` as a signed value for `purpose` (a short word and version, such as `grant1`)."""
    body = f"{purpose}.{_encode(json.dumps(payload, separators=(',', ':'), sort_keys=True).encode())}"
    return f"{body}.{_encode(_mac(key, body.encode()))}"


def open_signed(key: bytes, purpose: str, value: str) -> dict[str, Any]:
    """Return the payload of a signed value. Raises NotGenuine."""
    body, _, mac = value.rpartition(".")
    if len(value) > _MAX_SIGNED_CHARS or not body.startswith(f"{purpose}.") or not body.isascii():
        raise NotGenuine
    try:
        if not hmac.compare_digest(_decode(mac), _mac(key, body.encode())):
            raise NotGenuine
        payload = json.loads(_decode(body.partition(".")[2]))
    except (ValueError, binascii.Error):
        raise NotGenuine from None
    if not isinstance(payload, dict):
        raise NotGenuine
    return payload


def seal(key: bytes, purpose: str, payload: dict[str, Any]) -> str:
    """Return what proves that the store said `payload` for `purpose`, to whoever has the payload from elsewhere."""
    return sign(key, purpose, payload).rpartition(".")[2]


def event_signature(key: bytes, body: bytes) -> str:
    """Return the header value that proves an event's body comes from the store."""
    return "v1=" + _mac(key, b"event1\n" + body).hex()


def is_event_genuine(key: bytes, body: bytes, header: str) -> bool:
    """Say whether `header` is this body's signature."""
    return hmac.compare_digest(event_signature(key, body).encode(), header.encode())


def webhook_signature(secret: bytes, timestamp: int, body: bytes) -> str:
    """Return the header value that proves a webhook's body and time (Unix seconds) come from who knows the secret."""
    return f"t={timestamp},v1=" + _mac(secret, b"webhook1\n%d\n%b" % (timestamp, body)).hex()


def same(left: str, right: str) -> bool:
    """Compare two secrets or digests in constant time."""
    return hmac.compare_digest(left.encode(errors="surrogatepass"), right.encode(errors="surrogatepass"))


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of a small value as hex."""
    return hashlib.sha256(data).hexdigest()


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 of a small value."""
    return hashlib.sha256(data).digest()


def new_sha256() -> "hashlib._Hash":
    """Return a running SHA-256; it releases the GIL while it works on large pieces."""
    return hashlib.sha256()


def new_id() -> str:
    """Return a new random id: 128 bits as 32 hex digits."""
    return secrets.token_hex(16)


def new_iv() -> bytes:
    """Return 12 random bytes, for one use of AES-GCM."""
    return secrets.token_bytes(12)


def new_key() -> bytes:
    """Return 32 random bytes."""
    return secrets.token_bytes(32)


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
