"""Staff and their roles."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a member of staff may do; a person may hold several."""

    CALL_HANDLER = "call_handler"
    OFFICER = "officer"
    SUPERVISOR = "supervisor"
    EVIDENCE = "evidence"
    CHAT_AGENT = "chat_agent"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True)
class Staff:
    """A member of staff, as pages and other slices see them."""

    id: str
    username: str
    name: str
    collar_number: str
    roles: frozenset[Role]

    def holds(self, *roles: Role) -> bool:
        """Say whether this person holds any of the roles."""
        return bool(self.roles & set(roles))
