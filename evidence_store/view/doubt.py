"""What the ledger recorded of an exhibit, beside what stands in the database since somebody changed it there. Pure."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from evidence_store.model import Action, Entry, StoredObject
from evidence_store.store import description_of, verdict_of
from evidence_store.view.i18n import N_, gettext
from evidence_store.view.pages import say_moment
from evidence_store.view.words import CLIENT_DIGESTS

_ARRIVED = {Action.RECEIVED: N_("Received"), Action.QUARANTINED: N_("Received and quarantined")}
_NAMES = {
    "arrival": N_("How it came"),
    "sha256": N_("Digest (SHA-256)"),
    "incident": N_("Incident"),
    "officer": N_("Officer"),
    "received_at": N_("Received"),
    "size_bytes": N_("Size"),
    "media_type": N_("Type of file"),
    "kind": N_("Kind"),
    "client_digest": N_("Sender's digest"),
}


def differences(stored: StoredObject, line: Entry, zone: ZoneInfo) -> list[tuple[str, str, str]]:
    """Return in what a row is not as the line says: what about, what was recorded, what stands there now."""
    recorded = line.details | {"sha256": line.digest, "arrival": line.action}
    here = description_of(stored) | {"sha256": stored.sha256, "arrival": verdict_of(stored).value}
    if "received_at" not in recorded:  # written by an earlier version of this program
        del here["received_at"]
    return [
        (gettext(_NAMES[name]), _say(name, recorded.get(name), zone), _say(name, here.get(name), zone))
        for name in _NAMES
        if recorded.get(name) != here.get(name)
    ]


def _say(name: str, value: Any, zone: ZoneInfo) -> str:
    if value is None or value == "":
        return gettext("Nothing")
    say: dict[str, Callable[[Any], str]] = {
        "arrival": lambda action: gettext(_ARRIVED[action]),
        "received_at": lambda at: say_moment(datetime.fromisoformat(at), zone, seconds=True),
        "size_bytes": lambda size: f"{size:,} {gettext('bytes')}",
        "client_digest": lambda digest: gettext(CLIENT_DIGESTS[digest]),
    }
    return say.get(name, str)(value)
