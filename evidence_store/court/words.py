"""A ledger line in the words of a person who was not there. Pure.

What this program does not know how to say is told as it stands, name by name: a line is never left out for being new.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from evidence_store.model import Action

_LONDON = ZoneInfo("Europe/London")
_MOST_CHARS = 400
Details = Mapping[str, Any]


def say_time(at: datetime) -> tuple[str, str]:
    """Return an instant by the clock on the wall in the United Kingdom, and in UTC."""
    local = at.astimezone(_LONDON)
    wall = f"{local.day} {local:%B %Y, %H:%M:%S} {local:%Z}"
    return wall, f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def say_day(at: datetime) -> str:
    """Return the day of an instant in the United Kingdom."""
    local = at.astimezone(_LONDON)
    return f"{local.day} {local:%B %Y}"


def say_actor(actor: str) -> tuple[str, str]:
    """Return who did something, and by what right, from the ledger's word for it."""
    kind, _, rest = actor.partition(":")
    if kind == "token" and ":" in rest:
        name, _, token = rest.rpartition(":")
        return name, f"with token {token}"
    if kind == "staff" and ":" in rest:
        name, _, visit = rest.rpartition(":")
        return name, f"on the store's pages, visit {visit}"
    if kind == "upload":
        return "The sender", f"in upload session {rest}" if rest else ""
    if kind == "bearer":
        return "The sender", f"in upload {rest}"
    if kind == "system":
        return "The store itself", f"task: {rest}"
    if kind == "cli":
        return rest, "at the store's command line"
    return {"operator": "An operator", "unknown": "Somebody who showed no genuine permission"}.get(actor, actor), ""


def say_action(action: str, details: Details) -> tuple[str, str]:
    """Return what was done, as a heading and a sentence; the sentence may be empty."""
    known = _WORDS.get(action)
    if known is None:
        return action.capitalize(), _name_by_name(details)
    heading, say = known
    try:
        return heading, say(details)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # details of another version of this program
        return heading, _name_by_name(details)


def _name_by_name(details: Details) -> str:
    said = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in sorted(details.items()))
    return said if len(said) <= _MOST_CHARS else said[:_MOST_CHARS] + " … (whole in the JSON of the trail)"


def _nothing(_details: Details) -> str:
    return ""


def _received(said: Details) -> str:
    compared = {
        "equal": "The digest that the sender worked out was the same.",
        "different": "The digest that the sender worked out was another one.",
        "not given": "The sender gave no digest of its own.",
    }[said["client_digest"]]
    officer = f" For officer {said['officer']}." if said.get("officer") else ""
    return f"All {said['size_bytes']:,} bytes ({said['media_type']}) arrived and were sealed. {compared}{officer}"


def _screened(said: Details) -> str:
    found = {
        "clean": "Nothing was found.",
        "infected": f"This was found: {said['reason']}.",
        "unknown": f"Nothing is known: {said['reason']}.",
    }[said["verdict"]]
    went = {
        "received": "It was made available.",
        "quarantined": "It was put in quarantine, whole.",
        "released from quarantine": "It was released from quarantine.",
        "unchanged": "It stays where it is.",
    }[said["outcome"]]
    return f"{found} {went}" + (f" By {said['engine']}." if said["engine"] else "")


def _quarantine(said: Details) -> str:
    knew = []
    if said["client_digest"] == "different":
        knew.append("the digest that the sender worked out was another one")
    knew.append(
        {
            "": "it was not screened for malware",
            "clean": "no malware was found",
            "infected": f"the malware screening had found {said['found']}",
            "unknown": f"the malware screening could not tell ({said['found']})",
        }[said["verdict"]]
    )
    went = {
        "released": "It was released from quarantine, so it is available.",
        "proposed": "A person proposed to release it from quarantine; a second person must agree.",
        "rejected": "A second person refused to release it. It stays in quarantine.",
    }[said["outcome"]]
    second = " A second person agreed." if said["outcome"] == "released" and said.get("proposed_by") else ""
    return f"{went}{second} What was known: {' and '.join(knew)}."


def _viewed(said: Details) -> str:
    if "search" in said:
        asked = ", ".join(f"{name} {value}" for name, value in said["search"].items()) or "everything"
        which = "It was all" if len(said["objects"]) == 1 else f"It was among {len(said['objects'])} objects"
        return f"{which} that a search for {asked} showed."
    what = said.get("what", "")
    if what == "playable":
        return "A preview of its first seconds was played."
    return f"The {what} was shown." if what else "What is kept about it was shown, not its contents."


def _annotated(said: Details) -> str:
    if said["what"] == "label":
        signed = " The label was signed by its maker, so it never changes." if said["signed"] else ""
        return f"It was given the exhibit mark {said['mark']} and a label.{signed}"
    return "A note was added. Its words are kept in the store; the ledger holds what they can be checked by."


def _kept(said: Details) -> str:
    until = said["keep_until"]
    return f"It is kept until {say_day(datetime.fromisoformat(until))}." if until else "No end was set."


_ASKED = {
    "objects.show": "to see what is kept about it",
    "objects.keeping": "how long it is kept",
    "objects.content": "for its contents",
    "objects.content_head": "how large it is",
    "objects.preview": "for a preview of it",
    "objects.playable": "for a preview of it",
    "objects.put": "that it be stored",
    "objects.post": "that it be stored",
    "objects.label": "that it be labelled",
    "objects.annotate": "that a note be added",
    "objects.link": "that it be linked to an original",
    "objects.retention": "that it be kept for another time",
    "objects.review": "that a review of it be recorded",
    "objects.trail": "for its audit trail",
    "objects.trail_pdf": "for its audit trail",
    "objects.break_glass": "that it be opened in an emergency",
    "reviews.approve": "that its disposal be carried out",
    "reviews.reject": "that its disposal be rejected",
    "objects.quarantine": "why it is in quarantine",
    "objects.release": "for its release from quarantine",
    "releases.approve": "that its release from quarantine be carried out",
    "releases.reject": "that its release from quarantine be rejected",
    "packages.make": "that it be given out in a court package",
    "file.stand": "how much of it had arrived",
    "file.append": "that more of it be taken",
    "file.overridden": "that more of it be taken, or that it be given up",
    "file.terminate": "that it be given up",
    "file.bearer": "that its sending may go on",
    "file.digest": "that it be sealed",
}
_WHY = {
    "arrived": "all of it had arrived, and from then on it is evidence",
    "bearer_expired": "the permission to send it had ended",
    "conflict": "something else had been said of it before",
    "digest_mismatch": "what arrived had another digest than was announced",
    "disposed": "it had been disposed of",
    "forbidden": "the token that was shown does not allow that",
    "grant_refused": "the grant that was shown does not allow that",
    "held": "a hold forbids it",
    "key_reused": "something else had been sent under the same key",
    "label_signed": "its label was signed, and never changes",
    "mark_taken": "another exhibit of the incident has that mark",
    "not_found": "it belongs to an incident that whoever asked has no access to",
    "not_quarantined": "it was not in quarantine",
    "not_screened": "it had not been screened for malware yet",
    "quarantine_changed": "something else was known of it than whoever asked had been told",
    "quarantined": "it is in quarantine",
    "release_closed": "the release had been decided before, or something else was found since",
    "release_open": "a release of it waits for a second person already",
    "retention_runs": "it must still be kept",
    "review_closed": "the review had been decided before",
    "review_open": "a review of it waits for a second person already",
    "same_person": "whoever proposed it may not decide about it as well",
    "token_expired": "the token that was shown had ended",
    "token_revoked": "the token that was shown had been revoked",
    "unauthorized": "no genuine permission was shown",
    "wrong_kind": "files of its kind are not accepted",
}


def _refused(said: Details) -> str:
    if "asked" not in said:
        return f"It was not taken: {_WHY[said['why']]}."
    asked = said["asked"]
    return f"Somebody asked {_ASKED.get(asked, f'for it ({asked})')} and was refused: {_WHY[said['why']]}."


_OUTCOMES = {
    "kept": "A review found that it is to be kept.",
    "proposed": "A review proposed to dispose of it; a second person must agree.",
    "approved": "A second person agreed to dispose of it.",
    "rejected": "A second person refused to dispose of it.",
}
_WORDS: Mapping[str, tuple[str, Callable[[Details], str]]] = {
    Action.UPLOAD_OPENED: ("Upload opened", lambda said: f"{said['length']:,} bytes were announced."),
    Action.UPLOAD_EXPIRED: ("Upload expired", lambda _: "Nothing more came, and what had come was dropped."),
    Action.UPLOAD_TERMINATED: ("Upload given up", lambda _: "The sender gave it up before the last byte."),
    Action.RECEIVED: ("Received and sealed", _received),
    Action.QUARANTINED: ("Received, into quarantine", _received),
    Action.SCREENED: ("Screened for malware", _screened),
    Action.QUARANTINE_REVIEWED: ("Quarantine decided upon", _quarantine),
    Action.HEADER_NOTED: (
        "Sealed file's header noted",
        lambda _: (
            "An earlier version of this program sealed it. All of it was read and had the digest that it was received "
            "with, so it is noted by which header its sealed file is known."
        ),
    ),
    Action.REFUSED: ("Refused", _refused),
    Action.DAMAGED: ("Found damaged", lambda said: f"The store said: {said['what']}"),
    Action.VIEWED: ("Looked at", _viewed),
    Action.DOWNLOADED: ("Contents given out", _nothing),
    Action.SHARED: (
        "Given out in a court package",
        lambda said: f"Package {said['package']}, for {said['recipient']}.",
    ),
    Action.EXPORTED: (
        "Court package complete",
        lambda said: f"All of package {said['package']} was handed over. SHA-256 of its manifest: {said['manifest']}",
    ),
    Action.BREAK_GLASS: (
        "Opened in an emergency",
        lambda said: f"By somebody without access to the incident, until {said['until']}. Supervisors were told.",
    ),
    Action.ANNOTATED: ("Labelled or annotated", _annotated),
    Action.LINKED: (
        "Linked to its original",
        lambda said: (
            f"It was derived ({said['relation']}) from object {said['original']}, SHA-256 {said['original_sha256']}"
        ),
    ),
    Action.HELD: ("Held", lambda _: "It must not be disposed of while this hold is open."),
    Action.RELEASED: ("Hold released", _nothing),
    Action.RETENTION_CHANGED: ("Retention changed", _kept),
    Action.REVIEWED: ("Reviewed", lambda said: _OUTCOMES[said["outcome"]]),
    Action.DISPOSED: ("Disposed of", lambda _: "Its contents and its key were destroyed."),
}
