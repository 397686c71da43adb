"""Whether an object may be disposed of, and by whom. Pure; the database's triggers and constraints say it again."""

from collections.abc import Collection
from datetime import datetime

from evidence_store.errors import Disposed, Held, RetentionRuns, SamePerson
from evidence_store.keeping.model import Hold, Review
from evidence_store.model import ObjectState


def check_may_dispose(
    state: ObjectState, open_holds: Collection[Hold], until: datetime | None, *, now: datetime
) -> None:
    """Pass when nothing forbids that the object goes. Raises Disposed, Held, RetentionRuns."""
    if state in {ObjectState.DISPOSING, ObjectState.DISPOSED}:
        raise Disposed
    if open_holds:
        raise Held(f"{len(open_holds)} open holds forbid it.")
    if until is None:
        raise RetentionRuns("No end is known: it has no retention class, or one that keeps for good.")
    if until > now:
        raise RetentionRuns(f"It is kept until {until.date().isoformat()}.")


def check_second_person(review: Review, name: str) -> None:
    """Pass when somebody else than the reviewer decides. Raises SamePerson."""
    if review.reviewed_name.casefold() == name.casefold():
        raise SamePerson(about=review.object)
