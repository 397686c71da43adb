"""What pages say of states, people and the ledger's lines. Pure."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel import dates

from evidence_store.model import Action, Entry
from evidence_store.view.i18n import N_, gettext, ngettext

STATES = {
    "sealing": (N_("Being sealed"), "blue"),
    "screening": (N_("Being screened"), "yellow"),
    "received": (N_("Received"), "green"),
    "quarantined": (N_("Quarantined"), "red"),
    "disposing": (N_("Being disposed of"), "grey"),
    "disposed": (N_("Disposed of"), "grey"),
}
"""Words and colour of each state of an object."""

RELATIONS = {
    "preview": N_("A preview"),
    "playable": N_("A playable version"),
    "redacted": N_("A redacted version"),
    "transcript": N_("A transcript"),
    "extract": N_("An extract"),
    "translation": N_("A translation"),
    "other": N_("Something else"),
}
"""What a copy is to its original."""

MEDIA = {"picture": N_("Picture"), "film": N_("Film"), "sound": N_("Sound"), "document": N_("Document")}
"""What a file is to a person, as a search knows it."""
_MEDIA_OF = {"image": "picture", "video": "film", "audio": "sound"}

CLIENT_DIGESTS = {"equal": N_("The same"), "different": N_("Different"), "not given": N_("None was given")}
"""What the sender's own digest was, held against the store's."""

RELEASES = {
    "proposed": N_("Release proposed, waits for a second person"),
    "released": N_("Released"),
    "rejected": N_("Release rejected"),
    "overtaken": N_("Proposed, and overtaken by what was found since"),
}

REVIEWS = {
    "kept": N_("To be kept"),
    "proposed": N_("Disposal proposed, waits for a second person"),
    "approved": N_("Disposal approved, being carried out"),
    "rejected": N_("Disposal rejected"),
    "done": N_("Disposed of"),
}

DONE = {
    "label": N_("The label is saved."),
    "note": N_("The note is added."),
    "hold": N_("The hold is placed."),
    "release": N_("The hold is released."),
    "retention": N_("How long this is kept is saved."),
    "keep": N_("The review is recorded: this is kept."),
    "dispose": N_("Disposal is proposed. A second person must approve it."),
    "approved": N_("Disposal was approved: the key and the bytes are destroyed."),
    "approving": N_("Disposal was approved and is being carried out. The certificate is here in a moment."),
    "rejected": N_("Disposal was rejected: this is kept."),
    "released": N_("This is released from quarantine. Whoever may read this incident's evidence can open it now."),
    "proposed": N_("The release is proposed. A second person must approve it; until then this stays in quarantine."),
    "refused": N_("The release was rejected: this stays in quarantine."),
    "link": N_("The original is linked."),
    "chosen": N_("What you selected is chosen for a court package."),
    "back": N_("It is put back."),
    "all_back": N_("All of it is put back: nothing is chosen."),
    "glass": N_("It is open to you for some minutes. Supervisors were told."),
    "none": N_("Select at least one exhibit, then choose."),
}

NOT_YOURS = N_(
    "There is nothing under this address, or it belongs to another incident than the one you came in for. If it is "
    "another incident, open its evidence from its own appointment, or ask evidence staff."
)
"""What somebody is told who sees one incident only."""

REFUSALS = {
    "forbidden": N_("Your role does not allow this. If you think it should, ask whoever runs the evidence store."),
    "not_found": N_("There is nothing under this address, or you may not see it. Go back to the search."),
    "cross_site": N_(
        "This form did not come from a page of yours and was not done. Open the page again and try once more."
    ),
    "ticket_refused": N_("This entry is not valid any more. Go back and select Evidence again."),
    "quarantined": N_("This exhibit is quarantined. Your role does not allow opening it."),
    "not_quarantined": N_("This exhibit is not in quarantine any more. Open it to see what happened."),
    "disposed": N_("This exhibit was disposed of. Its history remains; its contents are gone."),
    "too_many": N_("That is more than can be chosen at once, and nothing of it was chosen."),
    "damaged": N_(
        "What is stored is not what was written, so it is not given out. Tell whoever runs the evidence store."
    ),
    "no_opening_key": N_("This machine receives evidence and cannot open it. Ask whoever runs the evidence store."),
    "review_closed": N_("Somebody decided this review before you. Open the exhibit to see what was decided."),
    "failed": N_("Something went wrong in the evidence store, and nothing was changed. Try again in a minute."),
}
"""What a person is told; a code that does not stand here is told in the API's own sentence."""


def say_actor(actor: str) -> str:
    """Say who did something: "ann" for staff:ann:5f3a…, and what kind of system where it was none of us."""
    kind, _, rest = actor.partition(":")
    name = rest.partition(":")[0]
    said: dict[str, str] = {
        "staff": name,
        "token": gettext("%(name)s (system)") % {"name": name},
        "upload": gettext("The sender"),
        "bearer": gettext("The sender"),
        "system": gettext("The evidence store"),
        "operator": gettext("An operator"),
        "cli": gettext("%(name)s (operator)") % {"name": rest},
        "unknown": gettext("Somebody unknown"),
    }
    return said.get(kind) or actor


def say_media(media_type: str) -> str:
    """Say what a file is to a person: picture, film, sound or document."""
    return gettext(MEDIA[_MEDIA_OF.get(media_type.partition("/")[0], "document")])


def say_class(title: str, years: int | None) -> str:
    """Say how long a class keeps."""
    kept = gettext("for good") if years is None else ngettext("%(num)s year", "%(num)s years", years) % {"num": years}
    return f"{title} ({kept})"


def say_entry(entry: Entry, zone: ZoneInfo) -> str:
    """Say in words what one line of the ledger records."""
    try:
        action = Action(entry.action)
    except ValueError:
        return entry.action
    if action is Action.RETENTION_CHANGED:
        return _retention(entry.details, zone)
    say = _SAYINGS.get(action)
    return say(entry.details) if say else gettext(_PLAIN.get(action, entry.action))


_PLAIN = {
    Action.UPLOAD_OPENED: N_("Sending began"),
    Action.UPLOAD_EXPIRED: N_("Sending was not finished in time"),
    Action.UPLOAD_TERMINATED: N_("Sending was given up"),
    Action.QUARANTINED: N_("Received and quarantined"),
    Action.REFUSED: N_("Refused"),
    Action.DOWNLOADED: N_("Original given out"),
    Action.HELD: N_("Hold placed"),
    Action.RELEASED: N_("Hold released"),
    Action.DISPOSED: N_("Disposed of: key and bytes destroyed"),
    Action.EXPORTED: N_("All of the court package was sent"),
    Action.BREAK_GLASS: N_("Emergency access used"),
    Action.KEY_ROTATED: N_("Key wrapped anew"),
    Action.HEADER_NOTED: N_("All of it read and found whole; noted how its sealed file is known"),
}


def _received(details: Mapping[str, Any]) -> str:
    same = {
        "equal": N_("Received; the sender's digest is the same"),
        "different": N_("Received; the sender's digest is different"),
        "not given": N_("Received; the sender gave no digest"),
    }
    return gettext(same.get(str(details.get("client_digest")), N_("Received")))


def _shared(details: Mapping[str, Any]) -> str:
    if not details.get("recipient"):
        return gettext("Given out")
    return gettext("Given out in a court package for %(recipient)s") % {"recipient": details["recipient"]}


def _annotated(details: Mapping[str, Any]) -> str:
    if details.get("what") != "label":
        return gettext("Note added")
    said = gettext("Labelled %(mark)s") % {"mark": details.get("mark", "")}
    return gettext("%(label)s, signed by its maker") % {"label": said} if details.get("signed") else said


def _linked(details: Mapping[str, Any]) -> str:
    relation = str(details.get("relation", ""))
    said = gettext(RELATIONS.get(relation, "")) or relation
    return gettext("Linked to its original: %(relation)s") % {"relation": said.lower()}


def _retention(details: Mapping[str, Any], zone: ZoneInfo) -> str:
    try:
        until = datetime.fromisoformat(str(details.get("keep_until")))
    except ValueError:
        return gettext("Kept with no known end")
    return gettext("To be kept until %(day)s") % {"day": say_day(until, zone)}


def say_day(at: datetime, zone: ZoneInfo) -> str:
    """Write the day of an instant where the force is: 2 March 2026."""
    return say_date(at.astimezone(zone))


def say_date(day: date) -> str:
    """Write a day: 2 March 2026."""
    return str(dates.format_date(day, "d MMMM y", locale="en"))


def _reviewed(details: Mapping[str, Any]) -> str:
    outcome = REVIEWS.get(str(details.get("outcome")), "")
    return gettext("Reviewed: %(outcome)s") % {"outcome": gettext(outcome).lower()} if outcome else gettext("Reviewed")


def _damaged(details: Mapping[str, Any]) -> str:
    return gettext("Found damaged: %(what)s") % {"what": details.get("what", "")}


_VERDICTS = {
    "clean": N_("Screened for malware: nothing found"),
    "infected": N_("Screened for malware: %(reason)s found"),
    "unknown": N_("Screened for malware without a result: %(reason)s"),
}


def say_verdict(verdict: str, reason: str) -> str:
    """Say what a screening found; `reason` is the signature's name, or why nothing is known."""
    said = gettext(_VERDICTS.get(verdict, N_("Screened for malware")))
    return said % {"reason": reason} if "%(reason)s" in said else said


_MOVED = {
    "quarantined": N_("%(said)s; put in quarantine"),
    "released from quarantine": N_("%(said)s; released from quarantine"),
}


def _screened(details: Mapping[str, Any]) -> str:
    said = say_verdict(str(details.get("verdict")), str(details.get("reason", "")))
    moved = _MOVED.get(str(details.get("outcome")))
    return gettext(moved) % {"said": said} if moved else said


_QUARANTINE = {
    "released": N_("Released from quarantine"),
    "proposed": N_("Release from quarantine proposed, waits for a second person"),
    "rejected": N_("Release from quarantine rejected"),
}


def _quarantine(details: Mapping[str, Any]) -> str:
    return gettext(_QUARANTINE.get(str(details.get("outcome")), N_("Quarantine decided upon")))


def _viewed(details: Mapping[str, Any]) -> str:
    parts = {
        "audit trail": N_("Audit trail read"),
        "preview": N_("Preview looked at"),
        "playable": N_("Preview played"),
    }
    return gettext(parts.get(str(details.get("what")), N_("Looked at")))


_SAYINGS: dict[Action, Callable[[Mapping[str, Any]], str]] = {
    Action.RECEIVED: _received,
    Action.SHARED: _shared,
    Action.ANNOTATED: _annotated,
    Action.LINKED: _linked,
    Action.REVIEWED: _reviewed,
    Action.DAMAGED: _damaged,
    Action.VIEWED: _viewed,
    Action.SCREENED: _screened,
    Action.QUARANTINE_REVIEWED: _quarantine,
}
