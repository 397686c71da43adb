"""RTP headers and header extensions (RFC 3550 section 5.1, RFC 8285), RTX (RFC 4588) and RED (RFC 2198) payloads."""

import struct

HEADER = struct.Struct("!BBHLL")
"""First byte, marker and payload type, sequence number, timestamp, SSRC: twelve bytes."""

OUT_HEADER = struct.Struct("!BBHLLLLL")
"""What we send: twelve bytes, then an extension of two words: the mid and the time of sending (or padding)."""

OUT_HEADER_BYTES = 24
OUT_FIRST_BYTE = 0x90  # version 2, extension present, no padding, no CSRC
ONE_BYTE_PROFILE = 0xBEDE
OUT_PROFILE = 0xBEDE0002  # one-byte extensions, two words


def sequence_delta(later: int, earlier: int) -> int:
    """Return how far `later` is ahead of `earlier` modulo 2^16, in -32768..32767."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


def find_extension(block: bytes, wanted: int) -> bytes | None:
    """Return the value of extension `wanted` in a header extension block (profile word first), or None.

    block   from the profile field on, as on the wire; one-byte and two-byte forms (RFC 8285 sections 4.2 and 4.3)
    """
    if len(block) < 4:
        return None
    profile = block[0] << 8 | block[1]
    at, end = 4, len(block)
    if profile == ONE_BYTE_PROFILE:
        while at < end:
            head = block[at]
            at += 1
            if head == 0:  # padding
                continue
            if head >> 4 == 15:  # reserved: stop
                return None
            size = (head & 15) + 1
            if at + size > end:
                return None
            if head >> 4 == wanted:
                return block[at : at + size]
            at += size
    elif profile >> 4 == 0x100:
        while at < end:
            if block[at] == 0:
                at += 1
                continue
            if at + 2 > end:
                return None
            name, size = block[at], block[at + 1]
            at += 2
            if at + size > end:
                return None
            if name == wanted:
                return block[at : at + size]
            at += size
    return None


def mid_word(extension: int | None, mid: str) -> int:
    """Return the one extension word that names the m-line; zero (all padding) when it does not fit.

    Receivers know our SSRCs from the answer, so the mid is a help and no necessity.
    """
    name = mid.encode()
    if not extension or not 1 <= extension <= 14 or not 1 <= len(name) <= 3:
        return 0
    return int.from_bytes((bytes([extension << 4 | len(name) - 1]) + name).ljust(4, b"\0"), "big")


def send_time_head(extension: int | None) -> int:
    """Return the upper byte of the extension word for the time of sending; zero when it is not negotiated."""
    return extension << 28 | 2 << 24 if extension and 1 <= extension <= 14 else 0


def send_time(seconds: float) -> int:
    """Return a time as 24 bits of 1/2^18 s, the form of the abs-send-time extension."""
    return int(seconds * 262144) & 0xFFFFFF


def find_red_primary(payload: bytes) -> int | None:
    """Return where the newest block begins in a RED payload (RFC 2198 section 3), or None when it is malformed."""
    at = skipped = 0
    while at < len(payload) and payload[at] & 0x80:
        if at + 4 > len(payload):
            return None
        skipped += (payload[at + 2] & 0x03) << 8 | payload[at + 3]
        at += 4
    start = at + 1 + skipped
    return start if at < len(payload) and start <= len(payload) else None
