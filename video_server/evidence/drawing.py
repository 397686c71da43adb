"""What the pages are told of evidence, inside the room's snapshot."""

from typing import Any

from video_server.core.database import Connection
from video_server.evidence import service
from video_server.evidence.model import Item, ItemState, Request, RequestState


async def for_person(db: Connection, appointment_id: str) -> list[dict[str, Any]]:
    """Return what the person is asked for; what was withdrawn is not shown any more."""
    return [
        {
            "id": one.id,
            "kind": one.kind.value,
            "note": one.note,
            "state": one.state.value,
            "max_bytes": one.max_bytes,
            "received": sum(item.state is ItemState.RECEIVED for item in one.items),
        }
        for one in await service.list_for(db, appointment_id)
        if one.state is not RequestState.WITHDRAWN
    ]


async def for_officer(db: Connection, appointment_id: str) -> list[dict[str, Any]]:
    """Return every request with its files; a file that was allowed but never begun is not shown."""
    return [_for_officer(one) for one in await service.list_for(db, appointment_id)]


def _for_officer(request: Request) -> dict[str, Any]:
    begun = [item for item in request.items if item.state is not ItemState.UPLOADING or item.total_bytes is not None]
    return {
        "id": request.id,
        "kind": request.kind.value,
        "note": request.note,
        "state": request.state.value,
        "at": request.requested_at.isoformat(),
        "items": [_item(item) for item in begun],
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "state": item.state.value,
        "sent": item.sent_bytes,
        "total": item.total_bytes,
        "bytes": item.size_bytes,
        "sha256": item.sha256,
        "media_type": item.media_type,
        "digest_given": item.client_digest == "equal",
        "screened_out": item.state is ItemState.QUARANTINED and item.client_digest != "different",
        "at": (item.reported_at or item.begun_at).isoformat(),
        "told_at": item.told_at.isoformat() if item.told_at else None,
    }
