"""Queue a text in the caller's transaction, withdraw it, see what became of it."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from video_server.audit import service as audit
from video_server.core import events, keys
from video_server.core.database import Connection, IntegrityError
from video_server.core.errors import N_
from video_server.incidents import service as incidents
from video_server.tasks import service as tasks
from video_server.texts import gate, storage
from video_server.texts.model import NEEDS_LINK, VALUES, Kind, ScreenText, State, Text

TASK_WITHIN = timedelta(minutes=15)
NOT_DELIVERED = N_("A text did not arrive. Tell this person another way they agreed to.")
MUST_NOT_TEXT = N_("This person may not be texted. Tell them about the appointment another way they agreed to.")
GUEST = N_("A guest's invitation did not reach them by text. Open the appointment and pass the link on another way.")


async def queue(
    db: Connection,
    *,
    kind: str,
    person_id: str,
    subject: str,
    link_id: str | None,
    values: Mapping[str, str],
    due_at: datetime,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Write a text into the outbox; it is sent once, after the caller's transaction has committed.

    kind        "booked", "moved", "cancelled", "reminder", "invited"
    link_id     whose link stands in it; the token is filled in at hand-over and never stored here
    values      {"reference": "AP-…", "starts_at": ISO 8601 with offset}; never a name or an offence
    expires_at  from then on it makes no sense and is not sent
    Someone who may not be texted, or not until somebody says it is safe again, gets no row: a task asks a person to
    tell them instead. Hours are looked at when it is due, for wishes change. Queueing a text again changes nothing.
    Raises  ValueError when kind, values and link_id do not fit each other
    """
    if set(values) != VALUES:
        raise ValueError(f"values must be {sorted(VALUES)}, not {sorted(values)}")
    if link_id is None and kind in NEEDS_LINK:
        raise ValueError(f"a text of kind {kind!r} needs a link")
    if datetime.fromisoformat(values["starts_at"]).tzinfo is None:
        raise ValueError("starts_at has no offset")
    person, held = await incidents.get_contact(db, person_id)
    refusal = gate.refuse(person.safe_contact, kind, held=held)
    if refusal is not None:
        await audit.record(
            db,
            actor="system:texts",
            action="texts.refused",
            subject=subject,
            details={"kind": kind, "reason": refusal.reason},
            now=now,
        )
        await ask_to_tell(db, kind, subject, task="text_refused", note=MUST_NOT_TEXT, now=now)
        return
    same = json.dumps([kind, person_id, subject, link_id, sorted(values.items()), due_at.timestamp()])
    text = Text(
        id=keys.new_id(),
        kind=kind,
        subject=subject,
        person_id=person_id,
        link_id=link_id,
        values=values,
        due_at=due_at,
        expires_at=expires_at,
        state=State.DUE,
    )
    try:
        await storage.insert_text(db, text, dedupe_sha256=keys.digest(same))
    except IntegrityError:
        return  # queued already
    await events.record(db, "texts", subject, now=now)


async def void(
    db: Connection,
    *,
    subject: str,
    now: datetime,
    kinds: Collection[str] | None = None,
    person_id: str | None = None,
) -> int:
    """Withdraw the texts of a subject, or those of it to one person, that have not left; return how many.

    One that a worker holds at this instant may still leave, but is not tried again.
    """
    count = await storage.void(db, subject, kinds, person_id=person_id, now=now)
    if count:
        await audit.record(
            db, actor="system:texts", action="texts.withdrawn", subject=subject, details={"count": count}, now=now
        )
        await events.record(db, "texts", subject, now=now)
    return count


async def list_for(db: Connection, subject: str) -> Sequence[Text]:
    """Return every text of a subject in the order they are due, sent or not."""
    return await storage.list_for(db, subject)


async def record_progress(
    db: Connection,
    progress: State,
    *,
    provider_id: str,
    now: datetime,
    text_id: str | None = None,
    code: str | None = None,
) -> bool:
    """Write down how far the provider says a text has come, by whichever way that became known; False: nothing new.

    News may come twice, late and in any order: "delivered" stays, and "failed" is never taken back to "sent".
    """
    text = await storage.record_progress(db, progress, text_id=text_id, provider_id=provider_id, fault=code, now=now)
    if text is None:
        return False
    if progress is State.FAILED:
        await tell_failed(db, text, code=code or "not_delivered", now=now)
    else:
        await note(db, text, f"texts.{progress}", now=now)
    return True


async def tell_failed(db: Connection, text: Text, *, code: str, now: datetime) -> None:
    """Ask a person to reach someone whom a text will not reach."""
    await note(db, text, "texts.failed", now=now, code=code)
    await ask_to_tell(db, text.kind, text.subject, task="text_failed", note=NOT_DELIVERED, now=now)


async def ask_to_tell(
    db: Connection, kind: str, subject: str, *, task: str, note: str, now: datetime, within: timedelta = TASK_WITHIN
) -> None:
    """Open a task for a text that did not reach somebody. A guest's is a task of its own beside the person's."""
    if kind == Kind.INVITED:
        task, note = f"guest_{task}", GUEST
    await tasks.open_task(db, kind=task, subject=subject, note=note, due_at=now + within, now=now)


async def list_screen(db: Connection) -> Sequence[ScreenText]:
    """Return what the demo's phone shows, oldest first."""
    return await storage.list_screen_texts(db)


async def note(db: Connection, text: Text, action: str, *, now: datetime, **details: str) -> None:
    """Audit, and wake whoever shows the text."""
    await audit.record(
        db,
        actor="system:texts",
        action=action,
        subject=text.subject,
        details={"text": text.id, "kind": text.kind, **details},
        now=now,
    )
    await events.record(db, "texts", text.subject, now=now)
