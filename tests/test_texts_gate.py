"""Who may be texted, when, and in which words."""

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from video_server.core.force import Force
from video_server.incidents import offences
from video_server.incidents.model import SafeContact, Wording
from video_server.texts import gate
from video_server.texts.gate import Allowed, Later, Refused
from video_server.texts.model import NEEDS_LINK, Kind
from video_server.texts.wording import MOST_CHARACTERS, is_gsm_7, render_body, say_when

LONDON = ZoneInfo("Europe/London")
LINK = "https://appointments.example.police.uk/j/" + "x" * 22


def wishes(start: str | None, end: str | None, *, may_text: bool = True) -> SafeContact:
    return SafeContact(
        may_text,
        Wording.PLAIN,
        time.fromisoformat(start) if start else None,
        time.fromisoformat(end) if end else None,
    )


def decide(contact: SafeContact, now: str) -> gate.Decision:
    return gate.decide(contact, "booked", held=False, now=datetime.fromisoformat(now), zone=LONDON)


@pytest.mark.parametrize(
    ("start", "end", "now", "next_at"),
    [
        pytest.param(None, None, "2026-03-02T03:00Z", None, id="no hours given: any hour"),
        pytest.param("09:00", "17:00", "2026-03-02T09:00Z", None, id="the start belongs to the hours"),
        pytest.param("09:00", "17:00", "2026-03-02T16:59Z", None, id="just before the end"),
        pytest.param("09:00", "17:00", "2026-03-02T17:00Z", "2026-03-03T09:00Z", id="the end does not"),
        pytest.param("09:00", "17:00", "2026-03-02T08:59Z", "2026-03-02T09:00Z", id="before the start: today"),
        pytest.param("09:00", None, "2026-03-02T23:59Z", None, id="no end: until midnight"),
        pytest.param("09:00", None, "2026-03-02T00:00Z", "2026-03-02T09:00Z", id="no end: not after midnight"),
        pytest.param(None, "17:00", "2026-03-02T00:00Z", None, id="no start: from midnight"),
        pytest.param(None, "17:00", "2026-03-02T18:00Z", "2026-03-03T00:00Z", id="no start: next midnight"),
        pytest.param("22:00", "02:00", "2026-03-02T23:00Z", None, id="over midnight, evening side"),
        pytest.param("22:00", "02:00", "2026-03-02T01:59Z", None, id="over midnight, morning side"),
        pytest.param("22:00", "02:00", "2026-03-02T02:00Z", "2026-03-02T22:00Z", id="over midnight, in the gap"),
        pytest.param("09:00", "17:00", "2026-06-01T08:30Z", None, id="summer: local hours, not UTC"),
        pytest.param("09:00", "17:00", "2026-06-01T16:30Z", "2026-06-02T08:00Z", id="summer: over by the local clock"),
        pytest.param(
            "09:00", "17:00", "2026-03-28T18:00Z", "2026-03-29T08:00Z", id="over the night of the spring change"
        ),
        pytest.param(
            "09:00", "17:00", "2026-10-24T18:00Z", "2026-10-25T09:00Z", id="over the night of the autumn change"
        ),
        pytest.param("01:30", "05:00", "2026-03-29T00:30Z", "2026-03-29T01:30Z", id="a start the spring change skips"),
        pytest.param("01:10", "01:50", "2026-03-29T00:30Z", "2026-03-30T00:10Z", id="hours the spring change swallows"),
        pytest.param("01:30", "03:00", "2026-10-25T01:10Z", "2026-10-25T01:30Z", id="the hour that comes twice"),
    ],
)
def test_texts_leave_only_in_the_hours_the_person_gave(start, end, now, next_at):
    decision = decide(wishes(start, end), now)
    if next_at is None:
        assert decision == Allowed(Wording.PLAIN, datetime.fromisoformat(now))
    else:
        assert decision == Later(datetime.fromisoformat(next_at))


def test_what_is_put_off_is_allowed_when_its_time_comes():
    for start, end, hour in itertools.product(
        ["01:30", "09:00", "23:30"], ["00:30", "02:15", "18:00"], range(0, 72, 5)
    ):
        contact = wishes(start, end)
        now = datetime(2026, 3, 28, tzinfo=UTC).replace(day=28 + hour // 24, hour=hour % 24)
        decision = gate.decide(contact, "booked", held=False, now=now, zone=LONDON)
        if isinstance(decision, Later):
            assert decision.at > now
            assert isinstance(gate.decide(contact, "booked", held=False, now=decision.at, zone=LONDON), Allowed)


@pytest.mark.parametrize(
    ("contact", "kind", "reason"),
    [
        (wishes(None, None, may_text=False), "booked", "never"),
        (wishes("09:00", "17:00", may_text=False), "reminder", "never"),
        (wishes("09:00", "09:00"), "booked", "no_hours"),
        (wishes(None, None), "advertisement", "unknown_kind"),
    ],
)
def test_some_texts_never_leave(contact, kind, reason):
    decision = gate.decide(contact, kind, held=False, now=datetime(2026, 3, 2, 10, tzinfo=UTC), zone=LONDON)
    assert decision == Refused(reason) == gate.refuse(contact, kind, held=False)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("contact", [wishes(None, None), wishes("12:00", "13:00"), wishes(None, None, may_text=False)])
def test_while_contact_is_held_no_text_leaves_whatever_was_wished(contact, kind):
    decision = gate.decide(contact, kind, held=True, now=datetime(2026, 3, 2, 10, tzinfo=UTC), zone=LONDON)
    assert decision == Refused("held") == gate.refuse(contact, kind, held=True)


FORCES = [
    Force(),
    replace(Force(), short_name="Bannau Brycheiniog and Borders Police", phone="01632 960 123"),
]
STARTS = [datetime(2026, month, day, 12, 45, tzinfo=UTC) for month, day in itertools.product(range(1, 13), range(1, 8))]
EVERY_BODY = list(itertools.product(Kind, Wording, ("en", "cy")))


def render(kind: Kind, wording: Wording, language: str, force: Force, starts_at: datetime) -> str:
    values = {"reference": "AP-7F4K-92QD", "starts_at": starts_at.isoformat()}
    return render_body(kind, wording, language, values=values, link=LINK if kind in NEEDS_LINK else None, force=force)


@pytest.mark.parametrize(("kind", "wording", "language"), EVERY_BODY)
def test_every_body_is_short_carries_reference_and_link_and_gives_nothing_away(kind, wording, language):
    offences_named = " ".join(f"{offence.code} {offence.label}" for offence in offences.OFFENCES).lower()
    secrets = {word for word in re.findall(r"[a-z]+", offences_named) if len(word) > 3}
    secrets |= {"victim", "offender", "suspect", "crime", "statement", "dioddefwr", "trosedd", "tystiolaeth"}
    for force, starts_at in itertools.product(FORCES, STARTS):
        body = render(kind, wording, language, force, starts_at)
        assert len(body) <= MOST_CHARACTERS
        assert is_gsm_7(body), set(body)
        assert "AP-7F4K-92QD" in body
        assert body.count("http") == (kind in NEEDS_LINK)
        assert (LINK in body.split()) == (kind in NEEDS_LINK)
        assert not secrets & set(re.findall(r"\w+", body.replace(LINK, "").lower()))
        assert "{" not in body


@pytest.mark.parametrize("language", ["en", "cy"])
def test_neutral_wording_names_no_police_and_plain_names_the_force(language):
    for kind in Kind:
        neutral = render(kind, Wording.NEUTRAL, language, Force(), STARTS[0]).replace(LINK, "").lower()
        assert not [word for word in ("police", "heddlu", "officer", "swyddog", "101", "anytown") if word in neutral]
        assert Force().short_name in render(kind, Wording.PLAIN, language, Force(), STARTS[0])


def test_day_and_time_are_local_and_in_the_readers_language():
    summer = datetime(2026, 6, 1, 13, 0, tzinfo=UTC)
    assert say_when(summer, "en", Force()) == "Monday 1 June at 2pm"
    assert say_when(summer, "cy", Force()) == "ddydd Llun 1 Mehefin am 2yp"


def test_a_body_that_would_not_fit_is_refused_and_not_cut():
    with pytest.raises(ValueError, match="characters"):
        render(Kind.BOOKED, Wording.PLAIN, "en", replace(Force(), short_name="P" * 120), STARTS[0])


def test_an_unknown_language_reads_english():
    assert render(Kind.BOOKED, Wording.PLAIN, "fr", Force(), STARTS[0]) == render(
        Kind.BOOKED, Wording.PLAIN, "en", Force(), STARTS[0]
    )
