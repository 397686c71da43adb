"""A node as the database knows it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Node:
    """One data folder that uploads lie in, and the processes on it.

    address    signed URL under which other nodes reach it; empty when it has none
    seen_at    when it last said that it runs; about half a minute behind
    """

    id: str
    address: str
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True)
class Standing:
    """How it goes with a node: what lies on its disk alone, and whether it runs (None: this database cannot tell)."""

    node: Node
    uploads: int
    sealing: int
    runs: bool | None
