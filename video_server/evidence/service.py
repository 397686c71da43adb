"""What is done with evidence: ask for it, allow and follow its upload, note what the store reports, read it.

The bytes go from the phone to the store and never into this program's database; here stand the request, who may send,
and what the store said when it was asked. Every deed leaves an audit entry and wakes the room's pages.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from evidence_store.client import GRANT_LASTS, Event, StoredObject
from video_server.accounts import service as accounts
from video_server.appointments.model import Appointment
from video_server.appointments.model import State as AppointmentState
from video_server.audit import service as audit
from video_server.calls import service as calls
from video_server.calls.model import Participant
from video_server.core import events, keys
from video_server.core.database import Connection
from video_server.core.errors import N_, Conflict, Forbidden, NotFound, Refusal, TooMany
from video_server.core.log import get_logger
from video_server.evidence import model, storage
from video_server.evidence.link import StoreLink
from video_server.evidence.model import Alarm, Item, ItemState, Kind, Request, RequestState
from video_server.incidents import service as incidents

log = get_logger(__name__)

MOST_ALARMS = 50
PROGRESS_EVERY = timedelta(seconds=1)
_VERDICTS = {"screening": ItemState.RECEIVED, "received": ItemState.RECEIVED, "quarantined": ItemState.QUARANTINED}


class NotInCall(Forbidden):
    """Only the session the officer let in sends evidence."""

    code = "evidence_not_in_call"
    public = N_("You can send files only while you are in the call.")


class Withdrawn(Conflict):
    code = "evidence_withdrawn"
    public = N_("This is not needed any more. You need not send anything.")


class CallOver(Conflict):
    code = "evidence_call_over"
    public = N_("This appointment has ended. Nothing can be asked for any more.")


class NoteTooLong(Refusal):
    code = "evidence_note_too_long"
    status = 422
    public = N_("Use at most 300 characters to say what you need.")


class TooManyRequests(TooMany):
    code = "evidence_too_many_requests"
    public = N_("A lot has been asked for in this appointment already. Withdraw what is not needed, or ring them.")


class TooManyFiles(TooMany):
    code = "evidence_too_many_files"
    public = N_("A lot of files were sent already. Ask the officer before you send more.")


async def request_item(
    db: Connection, appointment: Appointment, *, kind: Kind, note: str, by: str, now: datetime
) -> Request:
    """Ask the person of an appointment for a photo, video, document or sound. Raises CallOver, NoteTooLong."""
    if appointment.state is not AppointmentState.BOOKED:
        raise CallOver
    note = model.clean_note(note)
    if len(note) > model.NOTE_CHARACTERS:
        raise NoteTooLong
    if await storage.count_requests(db, appointment.id) >= model.MOST_REQUESTS:
        raise TooManyRequests
    incident = await incidents.get_incident(db, appointment.incident_id)
    request = Request(
        id=keys.new_id(),
        appointment_id=appointment.id,
        incident=incident.reference,
        kind=kind,
        note=note,
        max_bytes=model.MAX_BYTES[kind],
        state=RequestState.OPEN,
        requested_by=by,
        requested_at=now,
    )
    await storage.insert_request(db, request)
    await _tell(db, request, "requested", actor=f"staff:{by}", now=now, kind=kind.value)
    return request


async def withdraw(db: Connection, appointment_id: str, request_id: str, *, by: str, now: datetime) -> None:
    """Take a request back; what arrived or is still arriving is kept. Doing it twice changes nothing."""
    request = await _get(db, appointment_id, request_id)
    if await storage.set_request_state(db, request.id, RequestState.WITHDRAWN):
        await _tell(db, request, "withdrawn", actor=f"staff:{by}", now=now)


async def list_for(db: Connection, appointment_id: str) -> Sequence[Request]:
    """Return what was asked for, oldest first, each with its files."""
    return await storage.list_requests(db, appointment_id)


async def access_sender(
    db: Connection, appointment_id: str, session_id: str, *, after_call: bool = False
) -> Participant:
    """Return the participant who may send: the session the officer let in. Raises NotInCall.

    after_call   also after the call, to finish what was begun in it
    """
    person = await calls.find_let_in(db, appointment_id, session_id, after_call=after_call)
    if person is None:
        raise NotInCall
    return person


async def grant_for(
    db: Connection, store: StoreLink, *, appointment_id: str, session_id: str, request_id: str, now: datetime
) -> tuple[str, Item]:
    """Allow this session one upload for one request; return the signed grant and the file it is for.

    Raises NotFound, NotInCall, Withdrawn, TooManyFiles, StoreDown
    """
    await access_sender(db, appointment_id, session_id)
    await storage.lock_request(db, request_id)
    request = await _get(db, appointment_id, request_id)
    if request.state is RequestState.WITHDRAWN:
        raise Withdrawn
    if len(request.items) >= model.MOST_ITEMS:
        raise TooManyFiles
    item = Item(
        id=keys.new_id(),
        request_id=request.id,
        session_id=session_id,
        state=ItemState.UPLOADING,
        begun_at=now,
        sent_bytes=None,
        total_bytes=None,
        told_at=None,
        size_bytes=None,
        sha256=None,
        media_type=None,
        client_digest=None,
        reported_at=None,
    )
    grant = await _sign(db, store, request, item, now=now)
    await storage.insert_item(db, item)
    await _tell(db, request, "upload_allowed", actor=_phone(session_id), now=now, wake=False, object=item.id)
    return grant, item


async def renew_for(
    db: Connection, store: StoreLink, *, appointment_id: str, session_id: str, item_id: str, now: datetime
) -> str:
    """Return a fresh grant for a file this session began, so that a long upload goes on, even after the call.

    Raises NotFound, NotInCall, StoreDown
    """
    request, item = await _own(db, appointment_id, session_id, item_id)
    if item.state is not ItemState.UPLOADING:
        raise Withdrawn
    await _tell(db, request, "upload_renewed", actor=_phone(session_id), now=now, wake=False, object=item.id)
    return await _sign(db, store, request, item, now=now)


async def tell_progress(
    db: Connection,
    *,
    appointment_id: str,
    session_id: str,
    item_id: str,
    sent_bytes: int,
    total_bytes: int,
    now: datetime,
) -> None:
    """Note how far the phone says it is, for the booth to see; more often than once a second is passed over."""
    request, item = await _own(db, appointment_id, session_id, item_id)
    changed = await storage.tell_progress(
        db, item.id, sent_bytes=sent_bytes, total_bytes=total_bytes, now=now, not_since=now - PROGRESS_EVERY
    )
    if changed:
        await _restate(db, request.id)
        await events.record(db, "room", request.appointment_id, now=now)


async def cancel(db: Connection, *, appointment_id: str, session_id: str, item_id: str, now: datetime) -> None:
    """Note that the person stopped a file; what the store has of it is dropped there in time."""
    request, item = await _own(db, appointment_id, session_id, item_id)
    if await storage.close_item(db, item.id, ItemState.CANCELLED, of=[ItemState.UPLOADING]):
        await _restate(db, request.id)
        await _tell(db, request, "cancelled", actor=_phone(session_id), now=now, object=item.id)


async def find_open_item(db: Connection, item_id: str) -> Item | None:
    """Return a file of which the store may still report something; None when there is nothing to note."""
    item = await storage.find_item(db, item_id)
    return item if item is not None and item.state in model.MAY_MOVE else None


async def own_item(db: Connection, *, appointment_id: str, session_id: str, item_id: str) -> Item:
    """Return a file this session began. Raises NotFound, NotInCall."""
    return (await _own(db, appointment_id, session_id, item_id))[1]


async def record_refused(db: Connection, item_id: str, *, now: datetime) -> bool:
    """Note that the store refused a file for its kind. False when its end was noted before."""
    item = await storage.find_item(db, item_id)
    if item is None or not await storage.close_item(db, item_id, ItemState.REFUSED, reported_at=now):
        return False
    request = await _restate(db, item.request_id)
    await _tell(db, request, "refused", actor="system:evidence-store", now=now, object=item_id)
    return True


async def record_stored(db: Connection, stored: StoredObject, *, now: datetime) -> bool:
    """Note what the store says of a file, as read back from it. False when that was noted before, or is not ours.

    An event may come twice, late, or beside the phone's own word; only what is new changes anything. Screening may set
    aside later what was received, or release what was set aside.
    """
    item = await storage.find_item(db, stored.id)
    verdict = _VERDICTS.get(stored.state)
    if item is None or verdict is None:
        return False
    request = await storage.find_request(db, item.request_id)
    if request is None or stored.incident != request.incident or stored.reference != request.id:
        log.error("evidence_of_another_request", object=stored.id)
        return False
    closed = await storage.close_item(
        db,
        item.id,
        verdict,
        of=model.OPEN_ITEM if stored.state == "screening" else model.MAY_MOVE - {verdict},
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        media_type=stored.media_type[:80],
        client_digest=stored.client_digest,
        reported_at=now,
    )
    if not closed:
        return False
    request = await _restate(db, request.id)
    details: Mapping[str, Any] = {"object": item.id, "sha256": stored.sha256, "bytes": stored.size_bytes}
    await _tell(db, request, verdict.value, actor="system:evidence-store", now=now, **details)
    return True


async def record_alarm(db: Connection, event: Event, *, now: datetime) -> bool:
    """Keep what supervisors must see at once: somebody opened evidence that is not theirs. False when it was kept."""
    alarm = Alarm(
        id=event.id,
        object=event.object,
        incident=event.incident,
        actor=event.actor[:120],
        reason=event.reason[:500],
        at=event.at,
        until=event.until or event.at,
    )
    if not await storage.insert_alarm(db, alarm):
        return False
    await audit.record(
        db,
        actor="system:evidence-store",
        action="evidence.break_glass",
        subject=f"evidence:{alarm.object or alarm.incident}",
        now=now,
        details={"alarm": alarm.id, "actor": alarm.actor},
    )
    return True


async def list_alarms(db: Connection) -> Sequence[Alarm]:
    """Return the alarms that no supervisor has seen yet, newest first."""
    return await storage.list_open_alarms(db, limit=MOST_ALARMS)


async def see_alarm(db: Connection, alarm_id: str, *, by: str, now: datetime) -> None:
    """Note that a supervisor has seen an alarm; again changes nothing."""
    if await storage.see_alarm(db, alarm_id, by=by, now=now):
        await audit.record(
            db, actor=f"staff:{by}", action="evidence.alarm_seen", subject=f"evidence-alarm:{alarm_id}", now=now
        )


async def find_item(db: Connection, appointment_id: str, item_id: str) -> Item:
    """Return a file of an appointment. Raises NotFound."""
    item = await storage.find_item(db, item_id)
    if item is None:
        raise NotFound
    await _get(db, appointment_id, item.request_id)
    return item


async def find_appointment_of(db: Connection, item_id: str) -> str:
    """Return the appointment that a file belongs to. Raises NotFound."""
    item = await storage.find_item(db, item_id)
    request = await storage.find_request(db, item.request_id) if item else None
    if request is None:
        raise NotFound
    return request.appointment_id


async def record_read(db: Connection, appointment_id: str, item: Item, *, by: str, why: str, now: datetime) -> None:
    """Note who looked at a file (DPA 2018 s.62: consultation)."""
    request = await _get(db, appointment_id, item.request_id)
    await _tell(db, request, why, actor=f"staff:{by}", now=now, wake=False, object=item.id)


async def _own(db: Connection, appointment_id: str, session_id: str, item_id: str) -> tuple[Request, Item]:
    await access_sender(db, appointment_id, session_id, after_call=True)
    item = await storage.find_item(db, item_id)
    if item is None or item.session_id != session_id:
        raise NotFound
    return await _get(db, appointment_id, item.request_id), item


async def _get(db: Connection, appointment_id: str, request_id: str) -> Request:
    request = await storage.find_request(db, request_id)
    if request is None or request.appointment_id != appointment_id:
        raise NotFound
    return request


async def _sign(db: Connection, store: StoreLink, request: Request, item: Item, *, now: datetime) -> str:
    """Sign a grant that names the officer who asked: evidence staff find what came by the collar number."""
    officer = await accounts.find_staff(db, request.requested_by)
    return store.make_grant(
        incident=request.incident,
        reference=request.id,
        max_bytes=request.max_bytes,
        kinds=_kinds(request.kind),
        upload=item.id,
        officer=officer.collar_number if officer else "",
        expires_at=now + GRANT_LASTS,
    )


def _kinds(kind: Kind) -> Sequence[str]:
    own = model.GROUPS[kind]
    return (own, "photo") if kind is Kind.DOCUMENT else (own,)  # a letter is often photographed


async def _restate(db: Connection, request_id: str) -> Request:
    """Let the request's state follow from its files; return it as it stands."""
    await storage.lock_request(db, request_id)
    request = await storage.find_request(db, request_id)
    assert request is not None, "items have a request by foreign key"
    await storage.set_request_state(db, request.id, model.state_after(request.items))
    return request


def _phone(session_id: str) -> str:
    return f"phone-session:{session_id}"


async def _tell(
    db: Connection, request: Request, deed: str, *, actor: str, now: datetime, wake: bool = True, **details: Any
) -> None:
    await audit.record(
        db,
        actor=actor,
        action=f"evidence.{deed}",
        subject=f"appointment:{request.appointment_id}",
        now=now,
        details={"request": request.id, **details},
    )
    if wake:
        await events.record(db, "room", request.appointment_id, now=now)
