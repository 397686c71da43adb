"""What the database tells of what people set, in the words that `verify_words` has for the ledger's lines."""

from collections.abc import Iterable
from datetime import datetime
from itertools import chain

from evidence_store.admission import storage as admission
from evidence_store.admission.model import Issued
from evidence_store.breakglass import storage as breakglass
from evidence_store.breakglass.model import Glass
from evidence_store.custody import storage as custody
from evidence_store.custody.model import Label, Link, Note
from evidence_store.database import Connection
from evidence_store.keeping import storage as keeping
from evidence_store.keeping.model import Assigned, Hold, RetentionClass, Review, ReviewState
from evidence_store.quarantine import storage as quarantine
from evidence_store.quarantine.model import Release
from evidence_store.storage import list_incidents
from evidence_store.verify_words import Subject, Words, utc

Row = tuple[Subject, Words]


async def rows_of(db: Connection) -> Iterable[Row]:
    """Return every subject with the same words that the ledger has for it."""
    labels, notes, links = await custody.list_all(db)
    holds, assigned, reviews = await keeping.list_all(db)
    releases = await quarantine.list_all(db)
    incidents = await list_incidents(db, {one.object for one in reviews} | {one.object for one in releases})
    return chain(
        map(_label, labels),
        map(_note, notes),
        map(_link, links),
        map(_glass, await breakglass.list_all(db)),
        map(_hold, holds),
        map(_class, await keeping.list_classes(db)),
        (_retention(object_id, some) for object_id, some in assigned.items()),
        (_review(one, incidents.get(one.object)) for one in reviews),
        (_release(one, incidents.get(one.object)) for one in releases),
        map(_token, await admission.list_tokens(db)),
    )


def _label(label: Label) -> Row:
    said = {"commitment": label.commitment, "mark": label.mark, "by": label.changed_by}
    return ("label", label.object), said | {"signed": label.signed_at is not None}


def _note(note: Note) -> Row:
    return ("note", note.id), {"object": note.object, "commitment": note.commitment, "by": note.by}


def _link(link: Link) -> Row:
    said = {"original": link.original, "sha256": link.sha256, "relation": link.relation, "by": link.linked_by}
    return ("link", link.object), said


def _glass(glass: Glass) -> Row:
    said = {"object": glass.object or "", "incident": glass.incident, "until": utc(glass.ends_at)}
    return ("glass", glass.id), said | {"by": glass.actor, "token": glass.token, "reason": glass.reason}


def _hold(hold: Hold) -> Row:
    said = {"incident": hold.incident, "object": hold.object, "reason": hold.reason, "by": hold.placed_by}
    return ("hold", hold.id), said | {"released_by": hold.released_by, "release_reason": hold.release_reason}


def _class(row: RetentionClass) -> Row:
    return ("class", row.code), {"years": row.years, "source": row.source}


def _retention(object_id: str, classes: Iterable[Assigned]) -> Row:
    return ("retention", object_id), {"classes": sorted((one.code, utc(one.starts_at)) for one in classes)}


def _review(review: Review, incident: str | None) -> Row:
    outcome = ReviewState.APPROVED if review.state is ReviewState.DONE else review.state
    said: Words = {"object": review.object, "outcome": outcome.value, "by": review.reviewed_by}
    said |= {"name": review.reviewed_name, "reason": review.reason, "is_of_its_incident": review.incident == incident}
    return ("review", review.id), said | _decided(review)


def _release(release: Release, incident: str | None) -> Row:
    said: Words = {"object": release.object, "outcome": release.state.value, "by": release.asked_by}
    said |= {"name": release.asked_name, "reason": release.reason, "is_of_its_incident": release.incident == incident}
    said |= {"knowing": release.knowing, "malware": release.malware}
    said |= {"asked_at": utc(release.asked_at), "decided_at": _perhaps(release.decided_at)}
    return ("release", release.id), said | _decided(release)


def _decided(one: Review | Release) -> Words:
    said = {"decided_by": one.decided_by, "decided_name": one.decided_name}
    return said | {"decision_reason": one.decision_reason}


def _token(token: Issued) -> Row:
    said: Words = {
        "name": token.name,
        "scopes": token.scopes,
        "incident": token.incident,
        "per_minute": token.per_minute,
        "secret": token.secret_sha256,
    }
    said |= {"expires": utc(token.expires_at), "issued": utc(token.issued_at), "reason": token.revoke_reason}
    said |= {"is_revoked": token.revoked_at is not None, "revoked_at": _perhaps(token.revoked_at)}
    return ("token", token.id), said


def _perhaps(at: datetime | None) -> str | None:
    return None if at is None else utc(at)
