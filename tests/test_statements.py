"""A statement from draft to signature: conflicts lose nothing, what is signed is what was shown, and it is one."""

import asyncio
import io
from dataclasses import replace

import pypdf
import pytest
from sqlalchemy import select

from tests.cases import FORCE
from tests.conftest import AddStaff, HeldClock
from tests.statements_support import TEXT, Desk, drawn, let_in, open_desk
from video_server.accounts.model import Role
from video_server.appointments import guests as invitations
from video_server.appointments import service as appointments
from video_server.appointments.model import GuestRole
from video_server.audit import service as audit
from video_server.calls import guests, presence
from video_server.calls import service as calls
from video_server.core import keys
from video_server.core.database import Database
from video_server.core.errors import NotFound
from video_server.statements import certificates, model, rules, service, shown, signing, storage
from video_server.statements.back_page import BackPage
from video_server.statements.exhibits import Exhibit
from video_server.statements.model import Answer, Heading, State
from video_server.statements.printing import CannotPrint, Printer, SigningNotSetUp
from video_server.statements.signature import Signature


@pytest.fixture
async def desk(database, settings, key_ring, clock: HeldClock, add_staff: AddStaff) -> Desk:
    """PC Smith in a call with Jo Bloggs."""
    return await open_desk(database, settings, key_ring, clock, await add_staff("smith", Role.OFFICER))


async def test_a_statement_goes_from_draft_to_sealing(desk):
    seen = await desk.ready()
    assert (seen.statement.state, seen.confirmed) == (State.READ, 3)
    signed = await desk.sign(seen)
    assert signed.state is State.SEALING
    assert signed.signed_at == desk.clock()
    async with desk.database.read() as db:
        with pytest.raises(signing.NotSealedYet):
            await signing.get_copy(db, signed)
        actions = [entry.action for entry in await audit.list_for(db, f"appointment:{desk.appointment.id}")]
    assert [one for one in actions if one.startswith("statements.")] == [
        "statements.begun",
        "statements.drafted",
        "statements.offered",
        *["statements.paragraph_confirmed"] * 3,
        "statements.signed",
    ]


async def test_nothing_of_the_text_or_the_name_stands_in_the_audit(desk):
    await desk.sign(await desk.ready("Verysecretword happened."))
    async with desk.database.read() as db:
        entries = await audit.list_for(db, f"appointment:{desk.appointment.id}")
    written = " ".join(f"{entry.action} {entry.details}" for entry in entries)
    assert "Verysecretword" not in written
    assert "Bloggs" not in written


async def test_a_draft_saved_elsewhere_is_refused_with_what_stands_there(desk):
    statement = await desk.begin()
    await desk.write(statement, "One window.")
    with pytest.raises(service.DraftChanged) as refusal:
        await desk.write(statement, "The other window.")
    assert refusal.value.current.text == "One window."
    merged = await desk.write(refusal.value.current, "One window.\n\nThe other window.")
    assert merged.text_version == 2


async def test_saving_the_same_text_again_after_a_lost_answer_changes_nothing(desk):
    statement = await desk.begin()
    saved = await desk.write(statement, "Said once.")
    assert await desk.write(statement, "Said once.") == saved


async def test_two_saves_at_once_keep_one_and_tell_the_other(desk, settings):
    statement = await desk.begin()
    other = replace(desk, database=Database(settings.database_url))

    async def save(at: Desk, text: str) -> str:
        try:
            return (await at.write(statement, text)).text
        except service.DraftChanged:
            return "refused"

    try:
        outcomes = await asyncio.gather(save(desk, "From here."), save(other, "From there."))
    finally:
        await other.database.dispose()
    assert outcomes.count("refused") == 1
    assert (await desk.view(statement)).statement.text in outcomes


async def test_every_version_of_a_draft_is_kept(desk):
    statement = await desk.begin()
    for text in ("It was red.", "It was blue.", "It was blue, I think."):
        statement = await desk.write(statement, text)
    async with desk.database.read() as db:
        drafts = await shown.list_drafts(db, statement)
    assert [text for _, text, _, _ in drafts] == ["It was red.", "It was blue.", "It was blue, I think."]
    assert {by for *_, by in drafts} == {desk.appointment.officer_id}


async def test_one_statement_is_written_at_a_time_and_a_further_one_has_the_next_number(desk):
    first = await desk.begin()
    with pytest.raises(service.OneIsOpen):
        await desk.begin()
    seen = await desk.confirm_all(await desk.offer(await desk.write(first, TEXT)))
    await desk.sign(seen)
    assert (await desk.begin()).number == 2


async def test_text_changed_under_the_reader_is_refused_and_only_what_changed_is_confirmed_anew(desk):
    seen = await desk.ready()
    await desk.write(seen.statement, TEXT.replace("Monday", "Tuesday"))
    with pytest.raises(model.TextChanged):
        await desk.sign(seen)
    anew = await desk.view(seen.statement)
    assert (anew.statement.state, anew.confirmed) == (State.READ, 2)
    with pytest.raises(rules.NotConfirmed):
        await desk.sign(anew)
    assert (await desk.sign(await desk.confirm_all(anew.statement))).state is State.SEALING


async def test_text_changed_while_the_pdf_is_being_made_is_refused_and_nothing_is_written(desk, monkeypatch):
    seen = await desk.ready()
    loop = asyncio.get_running_loop()
    printed = Printer.print

    def print_slowly(self, *args):
        asyncio.run_coroutine_threadsafe(desk.write(seen.statement, TEXT + " Or so."), loop).result(300)
        return printed(self, *args)

    monkeypatch.setattr(Printer, "print", print_slowly)
    with pytest.raises(model.TextChanged):
        await desk.sign(seen)
    async with desk.database.read() as db:
        assert await storage.signatures.find_signed_digest(db, seen.statement.id) is None
        assert await storage.seals.find_pdf(db, seen.statement.id) is None
    assert (await desk.view(seen.statement)).statement.state is State.READ


async def test_a_paragraph_taken_back_while_the_pdf_is_being_made_is_refused(desk, monkeypatch):
    seen = await desk.ready()
    loop = asyncio.get_running_loop()
    printed = Printer.print

    async def take_back() -> None:
        async with desk.database.begin() as db:
            key = seen.statement.paragraphs[0].key
            await signing.answer(
                db, desk.witness, seen.statement.id,
                paragraph=key, said=Answer.WRONG, printer=desk.printer, now=desk.clock(),
            )  # fmt: skip

    def print_slowly(self, *args):
        asyncio.run_coroutine_threadsafe(take_back(), loop).result(300)
        return printed(self, *args)

    monkeypatch.setattr(Printer, "print", print_slowly)
    with pytest.raises(rules.NotConfirmed):
        await desk.sign(seen)


async def test_a_heading_or_an_exhibit_changed_under_the_reader_is_refused_as_well(desk):
    seen = await desk.ready()
    async with desk.database.begin() as db:
        await service.set_heading(
            db, desk.appointment.id, seen.statement.id,
            heading=Heading("Jo Bloggs", 17), language="en", by="o" * 32, now=desk.clock(),
        )  # fmt: skip
    with pytest.raises(model.TextChanged):
        await desk.sign(seen)
    seen = await desk.view(seen.statement)
    async with desk.database.begin() as db:
        await service.add_exhibit(
            db, desk.appointment.id, seen.statement.id, Exhibit("JB/1", "A photo"), by="o" * 32, now=desk.clock()
        )
    with pytest.raises(model.TextChanged):
        await desk.sign(seen)
    assert (await desk.sign(await desk.view(seen.statement))).state is State.SEALING


async def test_who_cannot_read_signs_only_after_the_reader_has_certified_this_very_text(desk):
    seen = await desk.ready()
    with pytest.raises(certificates.ReaderNameDiffers):
        await desk.certify_reading(seen, "")
    async with desk.database.begin() as db:
        await service.set_heading(
            db, desk.appointment.id, seen.statement.id,
            heading=Heading("Jo Bloggs", reader_name="Ann Reader"), language="en", by="o" * 32, now=desk.clock(),
        )  # fmt: skip
    seen = await desk.view(seen.statement)
    assert seen.waits_for_reader
    with pytest.raises(rules.NotReadAloud):
        await desk.sign(seen)
    with pytest.raises(certificates.ReaderNameDiffers):
        await desk.certify_reading(seen, "Somebody Else")
    certified = await desk.certify_reading(seen, " ann  reader ")
    assert await desk.certify_reading(seen, "Ann Reader") == certified, "once more changes nothing"
    assert (certified.reading.typed, certified.reading.officer) == ("ann reader", "PC Smith 1234")
    await desk.write(seen.statement, TEXT + " Or so.")
    with pytest.raises(model.TextChanged):
        await desk.certify_reading(seen, "Ann Reader")
    changed = await desk.confirm_all(seen.statement)
    with pytest.raises(rules.NotReadAloud):
        await desk.sign(changed)
    signed = await desk.sign(await desk.certify_reading(changed, "Ann Reader"))
    with pytest.raises(model.NotNow):
        await desk.certify_reading(changed, "Ann Reader")
    async with desk.database.read() as db:
        pdf = await storage.seals.find_pdf(db, signed.id)
    text = " ".join("".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages).split())
    assert "I read this statement aloud to the witness, who cannot read it, before the witness signed it." in text
    assert "Ann Reader Signed by typing the name, on the screen of PC Smith 1234" in text
    assert text.count("Monday 2 March 2026 at 10am") == 2


async def test_who_speaks_another_language_signs_only_after_the_interpreter_has_signed_for_both_texts(desk):
    original = "Mieszkam pod 1.\n\nW poniedziałek skradziono mi rower.\n\nZdjęcie JB/1."
    statement = await desk.write(await desk.begin(), TEXT)
    with pytest.raises(certificates.TextsDiffer):
        await desk.offer(await desk.interpret(statement, "Mieszkam pod 1."))
    statement = await desk.interpret((await desk.view(statement)).statement, original)
    seen = await desk.confirm_all(await desk.offer(statement))
    assert seen.waits_for_interpreter
    with pytest.raises(rules.NotInterpreted):
        await desk.sign(seen)
    with pytest.raises(certificates.InterpreterNameDiffers):
        await desk.declare_interpretation(seen, "Somebody Else")
    signed_for = await desk.declare_interpretation(seen, " ana  kowalska ")
    assert await desk.declare_interpretation(seen, "Ana Kowalska") == signed_for, "once more changes nothing"
    assert (signed_for.interpretation.typed, signed_for.interpretation.officer) == ("ana kowalska", "PC Smith 1234")
    for which in ("text", "original"):
        if which == "text":
            await desk.write(statement, TEXT.replace("Monday", "Tuesday"))
        else:
            await desk.interpret(statement, original.replace("poniedziałek", "wtorek"))
        with pytest.raises(model.TextChanged):
            await desk.sign(signed_for)
        seen = await desk.view(statement)
        statement = seen.statement
        assert (seen.confirmed, seen.waits_for_interpreter) == (2, True)
        with pytest.raises(rules.NotConfirmed):
            await desk.sign(seen)
        signed_for = await desk.declare_interpretation(await desk.confirm_all(statement), "Ana Kowalska")
    signed = await desk.sign(signed_for)
    with pytest.raises(model.NotNow):
        await desk.declare_interpretation(signed_for, "Ana Kowalska")
    async with desk.database.read() as db:
        pdf = await storage.seals.find_pdf(db, signed.id)
        entries = await audit.list_for(db, f"appointment:{desk.appointment.id}")
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    [shown_bytes] = reader.attachments["shown.json"]
    assert keys.digest_bytes(shown_bytes) == signed_for.digest, "what was signed can be checked with the file alone"
    text = " ".join("".join(page.extract_text() for page in reader.pages).split())
    assert "W wtorek skradziono mi rower." in text
    assert "On Tuesday my bicycle was taken." in text
    assert [entry.action for entry in entries].count("statements.interpreted") == 3
    assert "rower" not in str(entries)


async def test_the_original_is_kept_with_every_draft_and_no_save_overwrites_anothers(desk):
    statement = await desk.interpret(await desk.write(await desk.begin(), "One."), "Raz.")
    stale = replace(statement, original_version=0)
    with pytest.raises(service.DraftChanged) as refusal:
        async with desk.database.begin() as db:
            await service.save_text(
                db, desk.appointment.id, statement.id,
                text="Inne.", text_version=stale.original_version, which="original", by="o" * 32, now=desk.clock(),
            )  # fmt: skip
    assert refusal.value.current.original == "Raz."
    assert await desk.interpret(statement, "Raz.") == statement, "the same once more changes nothing"
    await desk.interpret(statement, "Raz, dwa.")
    async with desk.database.read() as db:
        kept = await db.execute(
            select(storage.statements.versions.c.original).order_by(storage.statements.versions.c.version)
        )
    assert [row.original for row in kept][-2:] == ["Raz.", "Raz, dwa."]


async def test_two_signings_at_once_on_two_engines_give_one_statement(desk, settings):
    seen = await desk.ready()
    other = Database(settings.database_url)
    try:
        signed = await asyncio.gather(
            desk.sign(seen), desk.sign(seen, database=other, signature=drawn(40)), desk.sign(seen)
        )
    finally:
        await other.dispose()
    assert {(one.id, one.state) for one in signed} == {(seen.statement.id, State.SEALING)}
    async with desk.database.read() as db:
        entries = await audit.list_for(db, f"appointment:{desk.appointment.id}")
    assert [entry.action for entry in entries].count("statements.signed") == 1


async def test_signing_again_changes_nothing_and_another_text_is_refused(desk):
    seen = await desk.ready()
    first = await desk.sign(seen)
    desk.clock.move(minutes=1)
    assert await desk.sign(seen, signature=Signature(typed="Somebody Else")) == first
    with pytest.raises(model.TextChanged):
        await desk.sign(seen, shown_digest="0" * 64)


async def test_a_signed_statement_is_never_altered(desk):
    seen = await desk.ready()
    await desk.sign(seen)
    ids = (desk.appointment.id, seen.statement.id)
    by = {"by": desk.appointment.officer_id, "now": desk.clock()}
    with pytest.raises(model.NotNow):
        await desk.write(seen.statement, "Something else.")
    for deed in (
        lambda db: service.set_heading(db, *ids, heading=Heading("X"), language="en", **by),
        lambda db: service.add_exhibit(db, *ids, Exhibit("JB/2", "Late"), **by),
        lambda db: service.take_back(db, *ids, **by),
        lambda db: service.show_live(db, *ids, live=True, **by),
        lambda db: signing.answer(
            db, desk.witness, ids[1],
            paragraph=seen.statement.paragraphs[0].key, said=Answer.WRONG, printer=desk.printer, now=desk.clock(),
        ),
    ):  # fmt: skip
        with pytest.raises(model.NotNow):
            async with desk.database.begin() as db:
                await deed(db)
    assert (await desk.view(seen.statement)).digest == seen.digest


async def test_only_the_session_in_the_call_signs_and_it_may_fetch_the_copy_afterwards(desk):
    seen = await desk.ready()
    async with desk.database.begin() as db:
        await calls.leave(db, desk.witness.id, now=desk.clock())
    async with desk.database.read() as db:
        with pytest.raises(signing.NotInCall):
            await signing.access_witness(db, desk.appointment.id, desk.witness.session_id)
        with pytest.raises(signing.NotInCall):
            await signing.access_witness(db, desk.appointment.id, "x" * 32, for_copy=True)
        await signing.access_witness(db, desk.appointment.id, desk.witness.session_id, for_copy=True)
    with pytest.raises(signing.NotInCall):  # the page may have asked before it was put out
        await desk.sign(seen)
    assert (await desk.view(seen.statement)).statement.state is State.READ


async def test_what_another_device_confirmed_does_not_count_for_the_one_that_signs(desk):
    seen = await desk.ready()
    second, _ = await let_in(desk.database, desk.appointment, now=desk.clock())
    with pytest.raises(signing.NotInCall):
        await desk.sign(seen)
    moved = replace(desk, witness=second)
    assert (await moved.view(seen.statement)).confirmed == 0
    with pytest.raises(rules.NotConfirmed):
        await moved.sign(seen)
    assert (await moved.sign(await moved.confirm_all(seen.statement))).state is State.SEALING


async def test_the_witness_sees_a_draft_only_when_the_officer_shows_it(desk):
    statement = await desk.write(await desk.begin(), TEXT)

    async def find():
        async with desk.database.read() as db:
            return await shown.find_shown(db, desk.appointment.id)

    assert await find() is None
    async with desk.database.begin() as db:
        await service.show_live(db, desk.appointment.id, statement.id, live=True, by="o" * 32, now=desk.clock())
    assert (await find()).id == statement.id


async def test_what_cannot_be_printed_is_told_before_the_witness_reads_it(desk):
    statement = await desk.write(await desk.begin(), "I was happy 😀.")
    with pytest.raises(CannotPrint) as refusal:
        await desk.offer(statement)
    assert refusal.value.characters == "😀"
    assert (await desk.view(statement)).statement.state is State.DRAFT


async def test_without_a_signing_key_nothing_is_offered(desk):
    unset = replace(desk, printer=Printer(FORCE.name, None))
    with pytest.raises(SigningNotSetUp):
        await unset.offer(await desk.write(await desk.begin(), TEXT))


async def test_another_appointments_statement_is_not_found(desk):
    statement = await desk.begin()
    async with desk.database.read() as db:
        with pytest.raises(NotFound):
            await shown.get(db, "f" * 32, statement.id)


async def test_the_back_page_is_kept_apart_and_may_be_completed_after_the_signature(desk):
    seen = await desk.ready()
    await desk.sign(seen)
    async with desk.database.begin() as db:
        await service.save_back_page(
            db, desk.appointment.id, seen.statement.id,
            BackPage(no_dates=True, needs="A screen in court"), by="o" * 32, now=desk.clock(),
        )  # fmt: skip
    async with desk.database.read() as db:
        assert (await service.get_back_page(db, seen.statement.id)).needs == "A screen in court"
        pdf = await storage.seals.find_pdf(db, seen.statement.id)
    assert b"screen in court" not in pdf
    assert (await desk.view(seen.statement)).digest == seen.digest


async def test_a_statement_stays_locked_until_who_must_be_present_is_in_the_call(desk, key_ring):
    now = desk.clock()
    officer = desk.appointment.officer_id
    async with desk.database.begin() as db:
        needs = [GuestRole.INTERPRETER]
        await appointments.set_needs(db, desk.appointment.id, needs, by=officer, now=now)
        guest = await invitations.invite(
            db,
            desk.appointment,
            role=GuestRole.INTERPRETER,
            name="Sam Jones",
            language="en",
            signs=False,
            mobile=None,
            by=officer,
            now=now,
            force=FORCE,
            key_ring=key_ring,
        )
    statement = await desk.write(await desk.begin(), TEXT)
    with pytest.raises(shown.NeededAbsent):
        await desk.offer(statement)
    async with desk.database.begin() as db:
        person = await guests.arrive(db, desk.appointment, guest, session_id="g" * 32, device="", now=now)
        await presence.take_socket(db, person, socket="g" * 32, now=now)
        await calls.start_waiting(db, person.id, now=now)
        await calls.admit(db, desk.appointment, person.id, by=officer, now=now)
    seen = await desk.confirm_all(await desk.offer(statement))
    async with desk.database.begin() as db:
        await calls.leave(db, person.id, now=now)
    with pytest.raises(shown.NeededAbsent):
        await desk.sign(seen)
    with pytest.raises(shown.NeededAbsent):
        await desk.confirm_all(statement)
    async with desk.database.begin() as db:
        await appointments.set_needs(db, desk.appointment.id, [], by=officer, now=now)
    assert (await desk.sign(seen)).state is State.SEALING
