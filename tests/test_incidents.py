"""An incident: its reference, the victim's mobile, safe contact, and whether video may be offered."""

import asyncio
import itertools
from datetime import time

import pytest

from tests import cases
from tests.cases import FINE
from video_server.audit import service as audit
from video_server.core import keys
from video_server.core.database import Database
from video_server.core.errors import NotFound
from video_server.incidents import offences, service
from video_server.incidents.eligibility import REASONS, Assessment, Eligibility, offer_problems, video_problems
from video_server.incidents.mobile import (
    MobileHasLetters,
    MobileNotReal,
    MobileNotUsable,
    parse_mobile,
    say_mobile,
)
from video_server.incidents.model import SafeContact, Wording, parse_reference
from video_server.tasks import service as tasks


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("07911 123456", "+447911123456"),
        ("+44 7911 123456", "+447911123456"),
        ("+44 (0)7911 123456", "+447911123456"),
        ("0044 7911 123456", "+447911123456"),
        ("07911-123.456", "+447911123456"),
        (" (07911) 123456 ", "+447911123456"),
    ],
)
def test_uk_mobiles_are_read_in_every_usual_form(typed, written):
    assert parse_mobile(typed, allow_drama=False) == written
    assert say_mobile(written) == "07911 123456"


@pytest.mark.parametrize(
    ("typed", "refused"),
    [
        pytest.param("0791l 123456", MobileHasLetters, id="letter l for a one"),
        pytest.param("07911 12345O", MobileHasLetters, id="letter O for a zero"),
        pytest.param("07911 123456 ext 3", MobileHasLetters, id="extension"),
        pytest.param("020 7946 0000", MobileNotUsable, id="landline"),
        pytest.param("07911 12345", MobileNotUsable, id="a digit short"),
        pytest.param("07911 1234567", MobileNotUsable, id="a digit long"),
        pytest.param("+1 202 555 0123", MobileNotUsable, id="another country"),
        pytest.param("07911+123456", MobileNotUsable, id="plus inside"),
        pytest.param("07911;123456", MobileNotUsable, id="sign that no number has"),
        pytest.param("٠٧٩١١١٢٣٤٥٦", MobileNotUsable, id="other digits"),
        pytest.param("0" * 5000, MobileNotUsable, id="far too long"),
        pytest.param("", MobileNotUsable, id="empty"),
    ],
)
def test_what_is_no_uk_mobile_is_refused(typed, refused):
    with pytest.raises(refused):
        parse_mobile(typed, allow_drama=True)


@pytest.mark.parametrize("typed", ["07700 900000", "07700 900999", "+447700900123"])
def test_numbers_for_drama_are_for_the_demo_only(typed):
    assert parse_mobile(typed, allow_drama=True).startswith("+447700900")
    with pytest.raises(MobileNotReal):
        parse_mobile(typed, allow_drama=False)


@pytest.mark.parametrize(
    ("answers", "problems"),
    [
        pytest.param({}, [], id="all is well"),
        pytest.param({"adult_or_guardian": False}, ["no_adult"], id="under 18 and alone"),
        pytest.param({"has_smartphone": False}, ["no_smartphone"], id="no smartphone"),
        pytest.param({"offender_absent": False}, ["offender_present"], id="offender there"),
        pytest.param({"safe_place": False}, ["no_safe_place"], id="no safe place"),
        pytest.param(
            {"has_smartphone": False, "offender_absent": False},
            ["offender_present", "no_smartphone"],
            id="gravest first",
        ),
    ],
)
def test_video_needs_every_answer_to_be_right(answers, problems):
    said = {"adult_or_guardian": True, "has_smartphone": True, "offender_absent": True, "safe_place": True}
    assert video_problems(Eligibility(**said | answers)) == problems
    assert set(problems) <= set(REASONS)


def test_of_all_sixteen_answers_one_alone_allows_video():
    allowed = [said for said in itertools.product([True, False], repeat=4) if not video_problems(Eligibility(*said))]
    assert allowed == [(True, True, True, True)]


def test_an_immediate_threat_comes_before_any_answer(clock):
    assert offer_problems(Assessment(FINE, True, clock(), "system:test")) == ["immediate_threat"]
    assert offer_problems(Assessment(FINE, False, clock(), "system:test")) == []


@pytest.mark.parametrize("typed", ["AP-7F4K-92QD", "ap7f4k92qd", " AP 7F4K 92QD ", "7f4k-92qd"])
def test_a_reference_is_read_however_it_is_typed(typed):
    assert parse_reference(typed) == "AP-7F4K-92QD"


@pytest.mark.parametrize("typed", ["", "AP", "AP-7F4K-92Q", "AP-7F4K-92QDX", "٧" * 8, "x" * 10_000])
def test_what_cannot_be_a_reference_is_none(typed):
    assert parse_reference(typed) is None


def test_domestic_abuse_is_an_offence_of_its_own_and_codes_are_unique():
    codes = [offence.code for offence in offences.OFFENCES]
    assert "domestic_abuse" in codes
    assert len(codes) == len(set(codes))


async def test_what_was_said_about_safe_contact_is_kept(database, clock):
    wishes = SafeContact(may_text=True, wording=Wording.PLAIN, not_before=time(9), not_after=time(16, 30))
    incident = await cases.record(database, clock, safe_contact=wishes, language="cy")
    async with database.read() as db:
        victim = await service.get_person(db, incident.victim_id)
        assert await service.find_by_reference(db, incident.reference.lower()) == incident
    assert (victim.safe_contact, victim.language, victim.role) == (wishes, "cy", "victim")


async def test_the_audit_of_an_incident_holds_no_personal_data(database, clock):
    incident = await cases.record(database, clock, victim_name="Alex Example")
    async with database.read() as db:
        entries = await audit.list_for(db, f"incident:{incident.id}")
    assert [entry.action for entry in entries] == ["incidents.recorded", "incidents.assessed"]
    assert "Alex" not in str(entries)
    assert "7700900" not in str(entries)


async def test_a_form_sent_twice_at_once_by_two_processes_is_one_incident(database, settings, clock):
    other, form_id = Database(settings.database_url), keys.new_id()
    try:
        found = await asyncio.gather(*(cases.record(on, clock, form_id=form_id) for on in (database, other)))
    finally:
        await other.dispose()
    assert found[0] == found[1]
    async with database.read() as db:
        assert await service.list_recent(db, 10) == [found[0]]


async def test_an_immediate_threat_opens_one_task_however_often_it_is_said(database, clock):
    incident = await cases.record(database, clock, immediate_threat=True)
    async with database.begin() as db:
        await service.assess(
            db, incident.id, eligibility=FINE, immediate_threat=True, by="system:test", now=clock.move(minutes=1)
        )
        assert [(task.kind, task.subject) for task in await tasks.list_open(db)] == [
            ("send_officer", f"incident:{incident.id}")
        ]


@pytest.mark.parametrize("changed", [{"offence_type": "arson"}, {"victim_mobile": "07700 900123"}])
async def test_what_no_form_lets_through_is_refused(database, clock, changed):
    with pytest.raises(ValueError, match=r"unknown offence|not parsed"):
        await cases.record(database, clock, **changed)


async def test_unknown_ids_are_not_found(database):
    async with database.read() as db:
        for look in (service.get_incident, service.get_person, service.get_assessment):
            with pytest.raises(NotFound):
                await look(db, keys.new_id())


async def test_a_hold_stands_with_its_newest_reason_until_it_is_released_and_both_are_audited(database, clock):
    incident = await cases.record(database, clock)
    victim_id = incident.victim_id
    async with database.begin() as db:
        assert (await service.get_person(db, victim_id)).may_be_texted
        await service.hold_contact(db, victim_id, why="unsafe_answer", by="system:phone", now=clock())
        await service.hold_contact(db, victim_id, why="cancelled_not_safe", by="ab", now=clock.move(minutes=1))
        held = await service.get_person(db, victim_id)
        assert (held.held_at, held.held_why, held.may_be_texted) == (clock(), "cancelled_not_safe", False)
        await service.release_contact(
            db, victim_id, by="ab", reason="person_said", now=clock.move(minutes=1), held_at=held.held_at
        )
        free = await service.get_person(db, victim_id)
        assert (free.held_at, free.held_why, free.may_be_texted) == (None, None, True)
        entries = (await audit.list_for(db, f"incident:{incident.id}"))[-3:]
    assert [(entry.actor, entry.action, entry.details) for entry in entries] == [
        ("system:phone", "incidents.contact_held", {"person": victim_id, "why": "unsafe_answer"}),
        ("staff:ab", "incidents.contact_held", {"person": victim_id, "why": "cancelled_not_safe"}),
        ("staff:ab", "incidents.contact_released", {"person": victim_id, "reason": "person_said"}),
    ]


async def test_a_hold_set_anew_is_not_lifted_by_who_saw_only_the_old_one(database, clock):
    incident = await cases.record(database, clock)
    async with database.begin() as db:
        seen = clock()
        await service.hold_contact(db, incident.victim_id, why="unsafe_answer", by="system:phone", now=seen)
        await service.hold_contact(
            db, incident.victim_id, why="unsafe_answer", by="system:phone", now=clock.move(seconds=1)
        )
        with pytest.raises(service.HoldChanged):
            await service.release_contact(
                db, incident.victim_id, by="ab", reason="person_said", now=clock(), held_at=seen
            )
        assert not (await service.get_person(db, incident.victim_id)).may_be_texted


async def test_what_is_not_held_cannot_be_released_and_codes_must_be_known(database, clock):
    incident = await cases.record(database, clock)
    async with database.begin() as db:
        with pytest.raises(service.HoldChanged):
            await service.release_contact(db, incident.victim_id, by="ab", reason="person_said", now=clock())
        with pytest.raises(ValueError, match="unknown reason"):
            await service.release_contact(db, incident.victim_id, by="ab", reason="because", now=clock())
        with pytest.raises(ValueError, match="unknown reason"):
            await service.hold_contact(db, incident.victim_id, why="because", by="ab", now=clock())
        with pytest.raises(NotFound):
            await service.hold_contact(db, keys.new_id(), why="unsafe_answer", by="ab", now=clock())


async def test_new_wishes_about_texts_replace_the_old_and_are_audited_without_lifting_a_hold(database, clock):
    incident = await cases.record(database, clock)
    wishes = SafeContact(may_text=True, wording=Wording.PLAIN, not_before=time(9), not_after=None)
    async with database.begin() as db:
        await service.hold_contact(db, incident.victim_id, why="unsafe_answer", by="system:phone", now=clock())
        await service.change_safe_contact(db, incident.victim_id, safe_contact=wishes, by="ab", now=clock())
        victim = await service.get_person(db, incident.victim_id)
        entry = (await audit.list_for(db, f"incident:{incident.id}"))[-1]
    assert (victim.safe_contact, victim.may_be_texted) == (wishes, False)
    assert (entry.action, entry.details["wording"], entry.details["not_before"], entry.details["not_after"]) == (
        "incidents.contact_changed",
        "plain",
        "09:00",
        None,
    )
