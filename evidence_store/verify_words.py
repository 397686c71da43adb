"""What the ledger's lines say of what people set, in the words that `verify_rows` has for the rows."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from evidence_store.keeping.model import ReviewState
from evidence_store.model import Action, ClientDigest, Entry
from evidence_store.quarantine.model import Standing

Words = dict[str, Any]
Subject = tuple[str, str]
"""What something is (a label, a hold, a token), and the id of what it is about."""
Read = Iterator[tuple[Subject, Words, bool]]

SAID_SINCE = frozenset({"asked_at", "decided_at", "issued", "per_minute", "revoked_at"})
"""Words that lines of earlier versions of this program do not have."""


def read_line(entry: Entry) -> Read:
    """Yield subject, words, and whether they change what was said before.

    Raises AttributeError, KeyError, TypeError or ValueError for a line that is not as this program writes them.
    """
    read = _READ.get(entry.action)
    return read(entry) if read is not None else iter(())


def utc(at: datetime) -> str:
    """Return a time as it is compared."""
    return at.astimezone(UTC).isoformat()


def instant(text: str) -> str:
    """Return a time of a line as it is compared."""
    return utc(datetime.fromisoformat(text))


def name_in(actor: str) -> str:
    """Return the name of a person or system out of the ledger's word for who acted (`Token.actor`)."""
    return actor.partition(":")[2].rpartition(":")[0]


def _since(said: Words, name: str) -> Words:
    return {name: instant(said[name])} if name in said else {}


def _annotated(entry: Entry) -> Read:
    said = entry.details
    if said["what"] == "label":
        words = {"commitment": said["commitment"], "mark": said["mark"], "by": entry.actor, "signed": said["signed"]}
        yield ("label", entry.object), words, False
    else:
        words = {"object": entry.object, "commitment": said["commitment"], "by": entry.actor}
        yield ("note", said["note"]), words, False


def _linked(entry: Entry) -> Read:
    said = entry.details
    words = {"original": said["original"], "sha256": said["original_sha256"], "relation": said["relation"]}
    yield ("link", entry.object), words | {"by": entry.actor}, False


def _held(entry: Entry) -> Read:
    words = {"incident": entry.details["incident"], "object": entry.object, "reason": entry.purpose, "by": entry.actor}
    yield ("hold", entry.details["hold"]), words | {"released_by": None, "release_reason": ""}, False


def _released(entry: Entry) -> Read:
    yield ("hold", entry.details["hold"]), {"released_by": entry.actor, "release_reason": entry.purpose}, True


def _retention(entry: Entry) -> Read:
    said = entry.details
    if not entry.object:
        yield ("class", said["code"]), {"years": said["years"], "source": said["source"]}, False
    else:
        classes = sorted((code, instant(start)) for code, start in said["classes"])
        yield ("retention", entry.object), {"classes": classes}, False


def _asked(entry: Entry, reason: str) -> Words:
    """Return what a person asked for that a second one may have to decide about."""
    by = {"by": entry.actor, "name": name_in(entry.actor), "reason": reason, "is_of_its_incident": True}
    return {"object": entry.object, **by, "decided_by": None, "decided_name": None, "decision_reason": ""}


def _decided(entry: Entry) -> Words:
    return {"decided_by": entry.actor, "decided_name": name_in(entry.actor), "decision_reason": entry.purpose}


def _reviewed(entry: Entry) -> Read:
    outcome, subject = entry.details["outcome"], ("review", entry.details["review"])
    if outcome in {ReviewState.KEPT.value, ReviewState.PROPOSED.value}:
        yield subject, {"outcome": outcome} | _asked(entry, entry.purpose), False
    else:
        yield subject, {"outcome": outcome} | _decided(entry), True


def _glass(entry: Entry) -> Read:
    said = entry.details
    words = {"object": entry.object, "incident": said["incident"], "until": instant(said["until"])}
    by = {"by": entry.actor, "token": entry.actor.rpartition(":")[2], "reason": entry.purpose}
    yield ("glass", said["glass"]), words | by, False


def _quarantine(entry: Entry) -> Read:
    said = entry.details
    subject, words = ("release", said["release"]), {"outcome": said["outcome"]}
    if "proposed_by" in said:
        yield subject, words | _decided(entry) | _since(said, "decided_at"), True
    else:
        knew = Standing(ClientDigest(said["client_digest"]), said["verdict"], said["found"])
        words |= {"knowing": knew.knowing, "malware": knew.malware}
        yield subject, words | _asked(entry, entry.purpose) | _since(said, "asked_at"), False


def _issued(entry: Entry) -> Read:
    said = entry.details
    words = {name: said[name] for name in ("name", "scopes", "incident")} | {"expires": instant(said["expires"])}
    words |= {"per_minute": said["per_minute"]} if "per_minute" in said else {}
    words |= {"secret": said.get("secret_sha256", "")}
    yield ("token", said["token"]), words | _since(said, "issued") | {"is_revoked": False, "reason": ""}, False


def _revoked(entry: Entry) -> Read:
    words = {"is_revoked": True, "reason": entry.purpose} | _since(entry.details, "revoked_at")
    yield ("token", entry.details["token"]), words, True


_READ: dict[str, Callable[[Entry], Read]] = {
    Action.ANNOTATED: _annotated,
    Action.LINKED: _linked,
    Action.HELD: _held,
    Action.RELEASED: _released,
    Action.RETENTION_CHANGED: _retention,
    Action.REVIEWED: _reviewed,
    Action.BREAK_GLASS: _glass,
    Action.QUARANTINE_REVIEWED: _quarantine,
    Action.TOKEN_ISSUED: _issued,
    Action.TOKEN_REVOKED: _revoked,
}
