"""The desk's forms: every problem at once, in the order of the page."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, model_validator

from video_server.appointments.local_time import NotATime, parse_clock, parse_local
from video_server.appointments.model import GuestRole, is_cancel_reason, is_move_reason
from video_server.core.errors import N_
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.mobile import MobileNotUsable, parse_mobile
from video_server.incidents.model import SafeContact, Wording, is_release_reason
from video_server.incidents.offences import is_offence
from video_server.web import app_keys, forms, i18n

YesNo = Literal["yes", "no"]
Values = Mapping[str, str]
Problems = Mapping[str, str]
Check = Callable[[Values], Problems]
FormT = TypeVar("FormT", bound=forms.Form)
FormId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


def _known_offence(code: str) -> str:
    if not is_offence(code):
        raise ValueError
    return code


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError
    return text


def _clock(typed: Any) -> Any:
    try:
        return parse_clock(typed) if isinstance(typed, str) else typed
    except NotATime:
        raise ValueError from None


Clock = Annotated[Any, BeforeValidator(_clock)]

QUESTIONS = ("adult_or_guardian", "has_smartphone", "offender_absent", "safe_place")


class QuestionsForm(forms.Form):
    """The triage questions. With an immediate threat the rest may stay open, and counts as "no"."""

    immediate_threat: YesNo
    adult_or_guardian: YesNo | None = None
    has_smartphone: YesNo | None = None
    offender_absent: YesNo | None = None
    safe_place: YesNo | None = None

    @property
    def threat(self) -> bool:
        return self.immediate_threat == "yes"

    @property
    def eligibility(self) -> Eligibility:
        return Eligibility(**{question: getattr(self, question) == "yes" for question in QUESTIONS})


class ContactForm(forms.Form):
    """What the person says about texts."""

    may_text: YesNo
    wording: Wording = Wording.NEUTRAL
    not_before: Clock = None
    not_after: Clock = None

    @property
    def safe_contact(self) -> SafeContact:
        return SafeContact(self.may_text == "yes", self.wording, self.not_before, self.not_after)


class IncidentForm(QuestionsForm, ContactForm):
    form_id: FormId
    offence_type: Annotated[str, AfterValidator(_known_offence)]
    name: Annotated[str, Field(max_length=80), AfterValidator(_printable)]
    mobile: Annotated[str, Field(max_length=30)]
    language: Literal["en", "cy"]


WORDS = {
    "immediate_threat": N_("Say whether there is an immediate threat"),
    "offence_type": N_("Choose what happened"),
    "name": N_("Enter the person's name"),
    "name.string_too_long": N_("Enter a name of at most 80 characters"),
    "mobile": N_("Enter a UK mobile number: 11 digits, starting with 07"),
    "language": N_("Choose a language"),
    "may_text": N_("Say whether this number may be texted"),
    "wording": N_("Choose how texts may read"),
    "not_before": N_("Enter the first time like 8:00 or 8am"),
    "not_after": N_("Enter the last time like 18:30 or 6:30pm"),
    "adult_or_guardian": N_("Say whether they are 18 or over, or a parent or guardian will be with them"),
    "has_smartphone": N_("Say whether they have a smartphone with video and 4G or WiFi"),
    "offender_absent": N_("Say whether the offender will be away"),
    "safe_place": N_("Say whether they have a safe and private place"),
    "form_id": N_("This page was too old. Check the answers and send it again"),
}

ORDER = (
    "immediate_threat",
    "offence_type",
    "name",
    "mobile",
    "language",
    "may_text",
    "wording",
    "not_before",
    "not_after",
    *QUESTIONS,
    "form_id",
)


async def read_questions(request: web.Request) -> QuestionsForm:
    """Read the triage questions. Raises forms.FormInvalid."""
    return await _read(request, QuestionsForm, _check_answered)


async def read_contact(request: web.Request) -> ContactForm:
    """Read what the person says about texts. Raises forms.FormInvalid."""
    return await _read(request, ContactForm, _check_hours)


async def read_incident(request: web.Request) -> tuple[IncidentForm, str]:
    """Read a new incident; return it with the mobile as E.164. Raises forms.FormInvalid."""
    mobile = ""

    def check_mobile(values: Values) -> Problems:
        nonlocal mobile
        try:
            mobile = parse_mobile(values.get("mobile", ""), allow_drama=request.app[app_keys.DEMO])
        except MobileNotUsable as refusal:
            return {"mobile": refusal.public}
        return {}

    form = await _read(request, IncidentForm, _check_answered, _check_hours, check_mobile)
    return form, mobile


def _check_answered(values: Values) -> Problems:
    """Every question is asked unless there is an immediate threat: then nothing must hold the handler up."""
    if values.get("immediate_threat") == "yes":
        return {}
    return {question: WORDS[question] for question in QUESTIONS if values.get(question) not in {"yes", "no"}}


def _check_hours(values: Values) -> Problems:
    first, last = values.get("not_before", "").strip(), values.get("not_after", "").strip()
    return {"not_after": N_("Enter two different times, or leave both empty")} if first and first == last else {}


async def _read(request: web.Request, model: type[FormT], *checks: Check) -> FormT:
    """Read a form and look further with `checks`, so that all problems are told at once in the order of the page."""
    values = await forms.read_values(request)
    form, problems = None, {}
    try:
        form = await forms.read_form(request, model, WORDS)
    except forms.FormInvalid as refusal:
        problems = refusal.problems
    for check in checks:
        problems |= {field: i18n.gettext(sentence) for field, sentence in check(values).items()}
    if form is None or problems:
        raise forms.FormInvalid({field: problems[field] for field in ORDER if field in problems}, values)
    return form


class BookForm(forms.Form):
    """`slot` is an instant from the list, or "other" with a day and a time; a ticked need_… must be present."""

    form_id: FormId
    slot: Annotated[str, Field(max_length=40)]
    day: Annotated[str, Field(max_length=20)] = ""
    clock: Annotated[str, Field(max_length=20)] = ""
    need_guardian: Literal["yes", ""] = ""
    need_appropriate_adult: Literal["yes", ""] = ""
    need_interpreter: Literal["yes", ""] = ""
    need_intermediary: Literal["yes", ""] = ""
    need_supporter: Literal["yes", ""] = ""

    def needs(self) -> list[GuestRole]:
        """Return who must be in the call before the person reads or signs a statement."""
        return [role for role in GuestRole if getattr(self, f"need_{role.value}")]

    @model_validator(mode="before")
    @classmethod
    def _typed_is_chosen(cls, values: dict[str, str]) -> dict[str, str]:
        """Who typed a day without choosing anything means "another time"."""
        return {"slot": "other"} | values if "day" in values else values

    def starts_at(self, zone: ZoneInfo) -> datetime:
        """Return the chosen instant, aware UTC. Raises NotATime and its kin."""
        if self.slot == "other":
            return parse_local(self.day, self.clock, zone)
        try:
            chosen = datetime.fromisoformat(self.slot)
        except ValueError:
            raise NotATime from None
        if chosen.tzinfo is None:
            raise NotATime
        return chosen.astimezone(UTC)


def _move_reason(code: str) -> str:
    if not is_move_reason(code):
        raise ValueError
    return code


def _cancel_reason(code: str) -> str:
    if not is_cancel_reason(code):
        raise ValueError
    return code


class MoveForm(BookForm):
    reason: Annotated[str, AfterValidator(_move_reason)]


class CancelForm(forms.Form):
    reason: Annotated[str, AfterValidator(_cancel_reason)]


def _release_reason(code: str) -> str:
    if not is_release_reason(code):
        raise ValueError
    return code


class ReleaseForm(forms.Form):
    """`held_at` is the hold that the page showed."""

    reason: Annotated[str, AfterValidator(_release_reason)]
    held_at: AwareDatetime


BOOK_WORDS = {
    "slot": N_("Choose a time"),
    "reason": N_("Choose a reason"),
    "day": N_("Enter the day, like 27/3/2027"),
    "clock": N_("Enter the time, like 14:15 or 2:15pm"),
    "form_id": WORDS["form_id"],
    "held_at": WORDS["form_id"],
}
