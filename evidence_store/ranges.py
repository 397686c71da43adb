"""HTTP ranges (RFC 9110, section 14), pure: one range of bytes, or the whole."""

import re

from evidence_store.errors import RangeRefused

_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{1,19})?|-(\d{1,19}))")


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
        raise RangeRefused(f"The object has {size_bytes} bytes.")
    return start, stop
