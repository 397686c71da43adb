"""Look into a STUN message just far enough to know whose it is (RFC 8489 sections 5 and 14)."""

import struct

COOKIE = 0x2112A442
BINDING_REQUEST = 0x0001
_USERNAME = 0x0006
_HEADER = struct.Struct("!HHL")
_ATTRIBUTE = struct.Struct("!HH")
_HEADER_BYTES = 20


def peek_ufrag(data: bytes) -> str | None:
    """Return the username fragment a binding request is addressed to, or None for anything else.

    The USERNAME of a check is "receiver:sender" (RFC 8445 section 7.2.2), so ours stands before the colon. Nothing is
    authenticated here: the caller must check MESSAGE-INTEGRITY before it believes the sender's address.
    """
    if len(data) < _HEADER_BYTES:
        return None
    message_type, length, cookie = _HEADER.unpack_from(data)
    if message_type != BINDING_REQUEST or cookie != COOKIE or length != len(data) - _HEADER_BYTES:
        return None
    at = _HEADER_BYTES
    while at + 4 <= len(data):
        kind, size = _ATTRIBUTE.unpack_from(data, at)
        at += 4
        if kind == _USERNAME:
            ours, colon, _theirs = data[at : at + size].partition(b":")
            if at + size > len(data) or not colon or not ours.isascii():
                return None
            return ours.decode("ascii")
        at += size + (-size % 4)  # attributes are padded to four bytes
    return None
