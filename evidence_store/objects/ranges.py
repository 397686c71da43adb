"""HTTP ranges and what is known already (RFC 9110, sections 13 and 14), pure: one range of bytes, or the whole."""

import re

from evidence_store.errors import RangeRefused

_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{1,19})?|-(\d{1,19}))")


def is_known(header: str | None, etag: str) -> bool:
    """Say whether who asks has this already, by its If-None-Match: a list, weakly compared, or `*` (13.1.2)."""
    if header is None:
        return False
    return header.strip() == "*" or etag in {one.strip().removeprefix("W/") for one in header.split(",")}


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Return start and stop (excluded) of the one range asked for; None for the whole object.

    Another unit, several ranges or a malformed header mean the whole, as the RFC allows.
    Raises RangeRefused when nothing of the range exists.
    """
    found = _RANGE.fullmatch(header.strip()) if header is not None else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, stop = max(0, size_bytes - int(suffix)), size_bytes
    else:
        start, stop = int(first), min(size_bytes, int(last) + 1 if last else size_bytes)
        if last and int(last) < int(first):
            return None
    if start >= stop:
        raise RangeRefused(f"The object has {size_bytes} bytes.", headers={"Content-Range": f"bytes */{size_bytes}"})
    return start, stop
