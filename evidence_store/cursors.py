"""Cursors: opaque, signed, and good only for the question that they came from."""

from collections.abc import Mapping
from typing import Any

from evidence_store import ledger
from evidence_store.errors import BadRequest
from evidence_store.sealing import signing


def make_cursor(key: bytes, conditions: Mapping[str, str], after: Any) -> str:
    """Return the cursor behind a place, which is a JSON value."""
    return signing.sign(key, "cursor1", {"after": after, "of": _digest(conditions)})


def open_cursor(key: bytes, conditions: Mapping[str, str], given: str) -> Any:
    """Return the place that a list goes on behind; None without a cursor. Raises BadRequest."""
    if not given:
        return None
    try:
        said = signing.open_signed(key, "cursor1", given)
    except signing.NotGenuine:
        raise BadRequest("`after` is the `next` of an earlier answer.") from None
    if said["of"] != _digest(conditions):
        raise BadRequest("`after` comes from another search: begin this one without it.")
    return said["after"]


def _digest(conditions: Mapping[str, str]) -> str:
    return signing.sha256_hex(ledger.canonical_json(dict(conditions)).encode())
