"""What a court package consists of: names that every system can write, the manifest, the signature over it. Pure."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evidence_store import ledger
from evidence_store.court.trail import Line, Trail
from evidence_store.custody.model import Label, written
from evidence_store.kinds import KINDS
from evidence_store.sealing import signing
from evidence_store.sealing.notes import LedgerKey, VerifierKey

FORMAT = "evidence-store court package v1"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
_NAME_CHARS = 60
_EXTENSIONS = {media_type: kind.extensions[0] for kind in KINDS for media_type in kind.media_types}


@dataclass(frozen=True)
class Order:
    """Who gives out what, to whom and why. Both stand in the ledger for good."""

    package: str
    actor: str
    recipient: str
    reason: str
    made_at: datetime


@dataclass(frozen=True)
class Earlier:
    """An earlier state of the ledger, and the proof that it only grew since; its checkpoint, where it is known."""

    size: int
    note: str | None
    path: list[bytes]


@dataclass(frozen=True)
class File:
    """One file of a package that the manifest lists."""

    path: str
    size_bytes: int
    sha256: str


def exhibit_path(number: int, trail: Trail) -> str:
    """Return where an exhibit lies: number, mark and a name in letters, digits and - that no system refuses.

    The ending says what the bytes are, whatever the sender called them; the sender's name stands in the manifest.
    """
    stored, label = trail.stored, trail.label
    mark = _plain(label.mark) if label else "unmarked"
    stem = _plain(stored.filename.rsplit(".", 1)[0])[:_NAME_CHARS].strip("-") or "file"
    return f"exhibits/{number:03}_{mark}_{stem}.{_EXTENSIONS.get(stored.media_type, 'bin')}"


def _plain(text: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", ascii_only).strip("-")


def render_manifest(
    order: Order, key: VerifierKey, trails: Sequence[Trail], earlier: Sequence[Earlier], files: Sequence[File]
) -> bytes:
    """Return the manifest's bytes; `files` begins with the exhibits', in the order of their trails."""
    said = {
        "format": FORMAT,
        "package": order.package,
        "made_at": written(order.made_at),
        "made_by": order.actor,
        "recipient": order.recipient,
        "reason": order.reason,
        "ledger_key": str(key),
        "checkpoint": trails[0].head.note,
        "consistency": [
            {"size": one.size, "checkpoint": one.note, "path": [step.hex() for step in one.path]} for one in earlier
        ],
        "files": [{"path": one.path, "size_bytes": one.size_bytes, "sha256": one.sha256} for one in files],
        "exhibits": [_exhibit(trail, file.path) for trail, file in zip(trails, files, strict=False)],
    }
    return json.dumps(said, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def _exhibit(trail: Trail, path: str) -> dict[str, Any]:
    stored = trail.stored
    return {
        "object": stored.id, "path": path, "sha256": stored.sha256, "size_bytes": stored.size_bytes,
        "incident": stored.incident, "kind": stored.kind, "media_type": stored.media_type, "filename": stored.filename,
        "officer": stored.officer, "state": stored.state.value, "source": stored.source,
        "received_at": written(stored.received_at), "label": _label(trail.label),
        "lines": [_line(line) for line in trail.lines],
    }  # fmt: skip


def _label(label: Label | None) -> dict[str, Any] | None:
    if label is None:
        return None
    said = {name: getattr(label, name) for name in ("mark", "description", "maker", "signed_how", "nonce")}
    return said | {"signed_at": written(label.signed_at)}


def _line(line: Line) -> dict[str, Any]:
    told = {"leaf_hash": ledger.leaf_hash(line.entry.leaf).hex()} if line.is_withheld else {"leaf": line.entry.leaf}
    return {"sequence": line.entry.sequence, "path": [step.hex() for step in line.path], **told}


def sign_manifest(key: LedgerKey, order: Order, manifest: bytes) -> bytes:
    """Return manifest.sig: a signed note of package, length and digest. Its four lines never pass for a checkpoint."""
    text = f"{FORMAT}\n{order.package}\n{len(manifest)}\n{signing.sha256_hex(manifest)}\n"
    return key.sign_note(text).encode()
