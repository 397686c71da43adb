"""Forms: pydantic models that collect every fault at once, with one plain sentence a field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ValidationError

from evidence_store.view import i18n

F = TypeVar("F", bound=BaseModel)


class Form(BaseModel):
    """Base of every form. Strings are trimmed; fields that are not known are ignored."""

    model_config = ConfigDict(str_strip_whitespace=True, extra="ignore", frozen=True)


@dataclass
class Filled(Generic[F]):
    """A form as it was sent: what was typed, what is wrong with it, and its values when nothing is."""

    typed: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    values: F | None = None


def fill(model: type[F], typed: Mapping[str, str], words: Mapping[str, str]) -> Filled[F]:
    """Hold what was typed against a form; empty fields count as not given.

    words   sentence for each field, marked with N_
    """
    given = {name: value for name, value in typed.items() if value.strip()}
    try:
        return Filled(dict(typed), {}, model.model_validate(given))
    except ValidationError as problem:
        problems: dict[str, str] = {}
        for fault in problem.errors(include_url=False, include_context=False, include_input=False):
            name = str(fault["loc"][0]) if fault["loc"] else "form"
            problems.setdefault(name, i18n.gettext(words.get(name, i18n.N_("Check this answer."))))
        return Filled(dict(typed), problems)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a day begins where the force is."""
    return datetime.combine(day, time(), zone)
