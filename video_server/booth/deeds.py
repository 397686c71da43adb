"""The audit of one appointment in words: who did what, when."""

from collections.abc import Mapping, Sequence
from typing import Any

from video_server.audit.model import Entry
from video_server.calls.roles import GUESTS
from video_server.core.errors import N_
from video_server.web.i18n import gettext

_GUEST_IN = N_("let a guest in")
WORDS: Mapping[str, str] = {
    "appointments.booked": N_("booked the appointment"),
    "appointments.moved": N_("moved the appointment"),
    "appointments.cancelled": N_("cancelled the appointment"),
    "appointments.ended": N_("ended the appointment"),
    "appointments.link_traded": N_("opened the link in the text message"),
    "appointments.needs_set": N_("said who must be present for the statement"),
    "appointments.guest_invited": N_("invited somebody to the call"),
    "appointments.guest_link_shown": N_("looked at the link of an invitation"),
    "appointments.guest_revoked": N_("took an invitation back"),
    "appointments.guest_link_traded": N_("opened the link of an invitation"),
    "appointments.seen": N_("saw the person for the first time"),
    "booth.taken_over": N_("took over a colleague's appointment"),
    "calls.arrived": N_("opened the page of the call"),
    "calls.safe": N_("said they are somewhere safe and private"),
    "calls.unsafe": N_("said it is not safe to talk"),
    "calls.word_given:right": N_("gave the right agreed word"),
    "calls.word_given:wrong": N_("gave a wrong agreed word"),
    "calls.words_used_up": N_("tried too many agreed words, so that no more are compared"),
    "calls.waiting": N_("started to wait"),
    "calls.admitted": N_("let the person in"),
    "calls.left": N_("left the call"),
    "calls.officer_left": N_("left the call"),
    "calls.removed": N_("took a guest out of the call"),
    "calls.pause_asked": N_("asked for a pause"),
    "calls.pause_began": N_("paused the call"),
    "calls.pause_ended": N_("went on after the pause"),
    "calls.pause_declined": N_("went on without the pause that was asked for"),
    "calls.asked:mute": N_("asked somebody to mute their microphone"),
    "calls.asked:unmute": N_("asked somebody to turn their microphone on"),
    "calls.listening_began": N_("began to listen"),
    "calls.listening_ended": N_("stopped listening"),
    "calls.exited": N_("left on purpose with “Exit this page”"),
    "calls.alert_dismissed:unsafe": N_("noted the alert “not safe to talk”"),
    "calls.alert_dismissed:exited": N_("noted the alert “left on purpose”"),
    "calls.note_saved": N_("saved the notes"),
    "calls.telephone_needed": N_("noticed that not even sound got through: somebody must telephone"),
    "appointments.viewed": N_("looked at the appointment"),
    "evidence.requested": N_("asked for a file"),
    "evidence.withdrawn": N_("withdrew what was asked for"),
    "evidence.upload_allowed": N_("began to send a file"),
    "evidence.upload_renewed": N_("went on sending a file"),
    "evidence.cancelled": N_("stopped sending a file"),
    "evidence.received": N_("received a file"),
    "evidence.quarantined": N_("set a file aside: it is not what the phone sent"),
    "evidence.refused": N_("refused a file of a kind that is not accepted"),
    "evidence.previewed": N_("looked at a file"),
    "evidence.read": N_("opened a file"),
    "statements.begun": N_("began a statement"),
    "statements.drafted": N_("wrote on the statement"),
    "statements.shown_live": N_("showed the statement while writing it"),
    "statements.hidden": N_("stopped showing the statement while writing it"),
    "statements.offered": N_("asked the person to read and sign the statement"),
    "statements.read_aloud": N_("certified that the statement was read aloud to the person"),
    "statements.interpreted:booth": N_("took the interpreter’s signature for the statement in both languages"),
    "statements.interpreted": N_("signed as the interpreter for the statement in both languages"),
    "statements.taken_back": N_("took the statement back to go on writing"),
    "statements.paragraph_confirmed": N_("confirmed a paragraph of the statement"),
    "statements.paragraph_questioned": N_("said something is wrong in a paragraph of the statement"),
    "statements.signed": N_("signed the statement"),
    "statements.sealed": N_("sealed the statement in the evidence store"),
    "statements.copy_fetched": N_("saved a copy of the signed statement"),
    "statements.back_page_saved": N_("saved the back page of the statement"),
    "texts.queued": N_("put a text message on its way"),
    "texts.sent": N_("sent a text message"),
    "texts.delivered": N_("heard that a text message was delivered"),
    "texts.failed": N_("could not send a text message"),
    "texts.refused": N_("held a text message back: it would not be safe"),
    "texts.withdrawn": N_("withdrew text messages that no longer apply"),
    **{f"calls.admitted:{role.value}": _GUEST_IN for role in GUESTS},
}
"""By action, or by action and one of its codes. An action without words is shown as its code, never hidden."""

_CODES = ("word", "kind", "wish", "role")


def staff_in(entry: Entry) -> list[str]:
    """Return the staff id of who did it, when staff did."""
    kind, _, id_ = entry.actor.partition(":")
    return [id_] if kind == "staff" else []


def tell(entries: Sequence[Entry], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one line a deed, oldest first: at, until, who, what, times.

    names   staff id to name; a colleague without an account any more is "a colleague"
    Repeats of one deed by one person with nothing in between (notes are saved as typed) become one line.
    """
    lines: list[dict[str, Any]] = []
    for entry in entries:
        who, what = _who(entry.actor, names), _what(entry)
        if lines and (lines[-1]["who"], lines[-1]["what"]) == (who, what):
            lines[-1]["times"] += 1
            lines[-1]["until"] = entry.at
        else:
            lines.append({"at": entry.at, "until": entry.at, "who": who, "what": what, "times": 1})
    return lines


def _who(actor: str, names: Mapping[str, str]) -> str:
    kind, _, id_ = actor.partition(":")
    if kind == "staff":
        return names.get(id_, gettext("A colleague"))
    if kind == "staff-session":
        return gettext("An officer")
    if kind == "guest-session":
        return gettext("A guest")
    if kind in {"phone", "phone-session"}:
        return gettext("The person's phone")
    return gettext("The system")


def _what(entry: Entry) -> str:
    for name in _CODES:
        words = WORDS.get(f"{entry.action}:{entry.details.get(name)}")
        if words:
            return gettext(words)
    return gettext(WORDS[entry.action]) if entry.action in WORDS else entry.action
