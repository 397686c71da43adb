"""Print audit trails for people: PDF/A-3a and PDF/UA-1, plain words, every digest and what to check it with."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from evidence_store import ledger
from evidence_store.court.trail import Line, Trail
from evidence_store.court.words import say_action, say_actor, say_time
from evidence_store.sealing.notes import VerifierKey
from evidence_store.typesetting import MissingGlyph, typeset

_TEMPLATE = Path(__file__).parent / "trail.typ"
_MOST_LINES = 2000  # of all trails of one document: a longer one is told of, and whole in the JSON
_LINE_CHARS = 96
_PLAIN = frozenset("\n‘’“”–—…•€")


def print_trails(trails: Sequence[Trail], key: VerifierKey, *, at: datetime, package: str = "") -> bytes:
    """Return the audit trails of some objects as one PDF; all of them are of the same head.

    package  id of the court package that it is part of, if it is
    Blocking: call it in a worker thread.
    """
    left, exhibits = _MOST_LINES, []
    for trail in trails:
        exhibits.append(_exhibit(trail, trail.lines[:left]))
        left -= len(exhibits[-1]["lines"])
    head = trails[0].head
    data = {
        "title": _title(trails, package),
        "package": package,
        "made": " / ".join(say_time(at)),
        "size": f"{head.size:,}",
        "checkpoint": _cut(head.note.rstrip("\n")),
        "key": _cut(str(key)),
        "fingerprint": key.fingerprint,
        "exhibits": exhibits,
    }
    try:
        return typeset(_template(), _shown(data, is_plain=False), at=at)
    except MissingGlyph:
        return typeset(_template(), _shown(data, is_plain=True), at=at)


@cache
def _template() -> bytes:
    return _TEMPLATE.read_bytes()


def _title(trails: Sequence[Trail], package: str) -> str:
    if package:
        return f"Audit trails of court package {package}"
    trail = trails[0]
    return f"Audit trail of exhibit {trail.label.mark}" if trail.label else f"Audit trail of object {trail.stored.id}"


def _exhibit(trail: Trail, lines: Sequence[Line]) -> dict[str, Any]:
    stored, label = trail.stored, trail.label
    facts = [
        ("Exhibit mark", label.mark if label else "None was given"),
        ("Description", label.description if label else ""),
        ("Exhibit made by", label.maker if label else ""),
        ("Label", _signed(trail)),
        ("Incident", stored.incident),
        ("Name of the file", stored.filename),
        ("Kind", f"{stored.kind}, {stored.media_type}"),
        ("Size", f"{stored.size_bytes:,} bytes"),
        ("For officer", stored.officer),
        ("Received", say_time(stored.received_at)[0]),
        ("State", stored.state.value),
    ]
    return {
        "name": label.mark if label else stored.id,
        "object": stored.id,
        "sha256": stored.sha256,
        "facts": [fact for fact in facts if fact[1]],
        "is_doubted": not trail.vouched,
        "lines": [_line(line, stored.sha256) for line in lines],
        "left_out": len(trail.lines) - len(lines),
    }


def _signed(trail: Trail) -> str:
    if trail.label is None:
        return ""
    if trail.label.signed_at is None:
        return "Not signed by its maker"
    return f"Signed by its maker on {say_time(trail.label.signed_at)[0]}: {trail.label.signed_how}"


def _line(line: Line, sha256: str) -> dict[str, Any]:
    entry = line.entry
    heading, sentence = say_action(entry.action, entry.details)
    if line.is_withheld:
        sentence = "The line names other objects as well, and only its hash is given here."
    elif entry.digest and entry.digest != sha256:
        sentence += f" The line names another digest: {entry.digest}"
    who, right = say_actor(entry.actor)
    local, utc = say_time(entry.at)
    return {
        "sequence": str(entry.sequence), "local": local, "utc": utc, "who": who, "right": right, "heading": heading,
        "sentence": sentence.strip(), "why": "" if line.is_withheld else entry.purpose,
        "digest": "names the digest above" if entry.digest == sha256 else "",
        "hash": ledger.leaf_hash(entry.leaf).hex(),
    }  # fmt: skip


def _cut(text: str) -> str:
    """Return a text whose lines fit on the paper."""
    lines = (line[at : at + _LINE_CHARS] for line in text.split("\n") for at in range(0, len(line) or 1, _LINE_CHARS))
    return "\n".join(lines)


def _shown(value: Any, *, is_plain: bool) -> Any:
    """Return data with what cannot be printed, or would hide what it stands in, written as its number in Unicode."""
    if isinstance(value, str):
        return "".join(c if _can_print(c, is_plain=is_plain) else f"[U+{ord(c):04X}]" for c in value)
    if isinstance(value, dict):
        return {name: _shown(one, is_plain=is_plain) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(one, is_plain=is_plain) for one in value]
    return value


def _can_print(char: str, *, is_plain: bool) -> bool:
    if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return char == "\n"
    return not is_plain or ord(char) < 0x180 or char in _PLAIN
