"""How far a mirror is."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class MirrorState:
    """How far one mirror of the ledger's checkpoints is; `problem` is empty or a sentence."""

    place: str
    size: int
    attempts: int
    next_at: datetime
    sent_at: datetime | None
    problem: str
