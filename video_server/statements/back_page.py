"""The back of a statement: how to reach the witness, dates to avoid, consent, needs, the victim personal statement.

It is kept apart from the statement and never part of what is served.
"""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from video_server.core.errors import N_

WORDS_CHARACTERS = 1_000
MOST_DATES = 60


class Contact(StrEnum):
    """How the witness prefers to be reached."""

    MOBILE = "mobile"
    TEXT = "text"
    EMAIL = "email"
    POST = "post"
    THROUGH_SOMEBODY = "through_somebody"


class PersonalStatement(StrEnum):
    """The answer to the offer of a victim personal statement (Victims' Code, right 7)."""

    NOT_OFFERED = "not_offered"
    MADE = "made"
    LATER = "later"
    DECLINED = "declined"


CONSENTS: Sequence[tuple[str, str]] = (
    ("victim_support", N_("My details may be passed to victim support services")),
    ("witness_care", N_("My details may be passed to the witness service if the case goes to court")),
    ("medical_records", N_("The police may ask for my medical records that matter to this incident")),
    ("civil_proceedings", N_("The statement may be given to others for civil proceedings, such as insurance")),
)
"""Codes and sentences of what is asked; data."""

CONTACTS: Sequence[tuple[Contact, str]] = (
    (Contact.MOBILE, N_("Call on the mobile")),
    (Contact.TEXT, N_("Text message")),
    (Contact.EMAIL, N_("Email")),
    (Contact.POST, N_("Letter")),
    (Contact.THROUGH_SOMEBODY, N_("Through somebody else")),
)

PERSONAL_STATEMENTS: Sequence[tuple[PersonalStatement, str]] = (
    (PersonalStatement.NOT_OFFERED, N_("Not offered yet")),
    (PersonalStatement.MADE, N_("Wants to make one now")),
    (PersonalStatement.LATER, N_("Wants to make one later")),
    (PersonalStatement.DECLINED, N_("Does not want to make one")),
)


class BackPage(BaseModel):
    """What is on the back. Each answer may be missing until it was asked for.

    dates_to_avoid  days on which the witness cannot come to court; none at all only with `no_dates`, said out loud
    consents        code to yes or no; a code that is missing was not asked
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    contact: Contact | None = None
    contact_words: str = Field(default="", max_length=WORDS_CHARACTERS)
    dates_to_avoid: tuple[date, ...] = Field(default=(), max_length=MOST_DATES)
    no_dates: bool = False
    consents: dict[Literal["victim_support", "witness_care", "medical_records", "civil_proceedings"], bool] = Field(
        default_factory=dict
    )
    needs: str = Field(default="", max_length=WORDS_CHARACTERS)
    no_needs: bool = False
    personal_statement: PersonalStatement = PersonalStatement.NOT_OFFERED

    @model_validator(mode="after")
    def _one_or_none(self) -> Self:
        if (self.no_dates and self.dates_to_avoid) or (self.no_needs and self.needs):
            raise ValueError("none, and some")
        return self

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Return the names of what was not asked yet."""
        missing = []
        if self.contact is None:
            missing.append("contact")
        if not self.dates_to_avoid and not self.no_dates:
            missing.append("dates")
        if not self.needs and not self.no_needs:
            missing.append("needs")
        if any(code not in self.consents for code, _ in CONSENTS):
            missing.append("consents")
        if self.personal_statement is PersonalStatement.NOT_OFFERED:
            missing.append("personal_statement")
        return tuple(missing)


def choices() -> dict[str, Sequence[tuple[str, str]]]:
    """Return what the form offers: code and sentence (marked with N_) of each choice."""
    return {
        "contacts": [(code.value, sentence) for code, sentence in CONTACTS],
        "consents": CONSENTS,
        "personal_statements": [(code.value, sentence) for code, sentence in PERSONAL_STATEMENTS],
    }
