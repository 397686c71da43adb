"""Statements over HTTP: who may do what, bad input, text changed under the reader, the copy."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.cases import book_now
from tests.conftest import Browser
from tests.statements_support import TEXT, FolderStore, drawn_json, let_in
from video_server.accounts.model import Role
from video_server.appointments.model import Appointment
from video_server.calls import service as calls
from video_server.core.database import Database
from video_server.evidence import service as evidence
from video_server.evidence import storage as evidence_storage
from video_server.evidence.model import Item, ItemState, Kind
from video_server.statements.sealing import seal_due
from video_server.web.sessions import COOKIES


@dataclass
class Room:
    """PC Smith's browser and the witness's, in one call."""

    database: Database
    appointment: Appointment
    officer: Browser
    phone: Browser
    statement: str = ""

    @property
    def all(self) -> str:
        return f"/booth/appointments/{self.appointment.id}/statements"

    @property
    def one(self) -> str:
        return f"{self.all}/{self.statement}"

    async def officer_does(self, deed: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        answer = await self.officer.post(f"{self.one}/{deed}", json=body or {})
        return answer.status, await answer.json()

    async def offered(self, text: str = TEXT) -> None:
        """Begin, write and offer."""
        answer = await self.officer.post(self.all, json={})
        self.statement = (await answer.json())["id"]
        status, _ = await self.officer_does("text", {"text": text, "version": 0})
        assert status == 200
        status, said = await self.officer_does("offer")
        assert (status, said["state"]) == (200, "read")

    async def seen(self) -> Any:
        return await (await self.phone.get("/phone/statement")).json()

    async def confirm_all(self) -> Any:
        seen = await self.seen()
        for paragraph in seen["paragraphs"]:
            answer = await self.phone.post(
                "/phone/statement/answer",
                json={"statement": self.statement, "paragraph": paragraph["key"], "answer": "right"},
            )
            assert answer.status == 200
            seen = await answer.json()
        return seen

    async def sign(self, seen: Any, **other: Any) -> tuple[int, Any]:
        body = {"statement": seen["id"], "digest": seen["digest"], "declared": True, "signature": drawn_json(), **other}
        answer = await self.phone.post("/phone/statement/sign", json=body)
        return answer.status, await answer.json()


@pytest.fixture
async def room(database, key_ring, clock, add_staff, sign_in, browser) -> Room:
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book_now(database, key_ring, officer_id=smith.id, now=clock())
    _, secret = await let_in(database, appointment, now=clock())
    phone = await browser()
    phone.session.cookie_jar.update_cookies({COOKIES["phone"]: secret}, phone.make_url("/"))
    return Room(database, appointment, await sign_in("smith"), phone)


async def test_from_the_first_word_to_the_copy_in_the_witness_s_hand(room, clock, tmp_path):
    assert await (await room.officer.get(room.all)).json() is None
    assert await room.seen() is None
    await room.offered()
    seen = await room.seen()
    assert [one["text"] for one in seen["paragraphs"]] == TEXT.split("\n\n")
    assert "text" not in seen, "the officer's own side stays with the officer"
    assert "back_page" not in seen
    seen = await room.confirm_all()
    assert seen["confirmed"] == 3
    status, said = await room.sign(seen)
    assert (status, said["state"], said["copies"]) == (200, "sealing", [])
    assert (await room.phone.get("/phone/statement/1/copy")).status == 409
    await seal_due(room.database, FolderStore(tmp_path / "store"), clock=clock)
    assert (await room.seen())["copies"] == [1]
    copy = await room.phone.get("/phone/statement/1/copy")
    assert copy.headers["Content-Disposition"] == 'attachment; filename="statement-1.pdf"'
    assert (copy.headers["Content-Type"], copy.headers["X-Content-Type-Options"]) == ("application/pdf", "nosniff")
    assert "sandbox" in copy.headers["Content-Security-Policy"]
    body = await copy.read()
    assert body.startswith(b"%PDF-")
    assert await (await room.officer.get(f"{room.one}/copy")).read() == body


async def test_after_the_call_its_session_finds_the_copy_on_the_last_page(room, clock, tmp_path):
    await room.offered()
    await room.sign(await room.confirm_all())
    async with room.database.begin() as db:
        await calls.end_call(db, room.appointment.id, outcome="seen", by=room.appointment.officer_id, now=clock())
    page = await (await room.phone.get("/phone")).text()
    assert "Statement 1 is being sealed" in page
    await seal_due(room.database, FolderStore(tmp_path / "store"), clock=clock)
    page = await (await room.phone.get("/phone")).text()
    assert 'href="/phone/statement/1/copy"' in page
    assert (await room.phone.get("/phone/statement/1/copy")).status == 200


async def test_the_officer_finds_statement_and_files_on_the_summary(room, clock, tmp_path):
    await room.offered()
    await room.sign(await room.confirm_all())
    await seal_due(room.database, FolderStore(tmp_path / "store"), clock=clock)
    async with room.database.begin() as db:
        asked = await evidence.request_item(
            db, room.appointment, kind=Kind.PHOTO, note="The <door>", by=room.appointment.officer_id, now=clock()
        )
        for number, state in enumerate(["received", "quarantined", "cancelled"]):
            await evidence_storage.insert_item(db, a_file(asked.id, number, state, at=clock()))
    await room.officer.post(f"/booth/appointments/{room.appointment.id}/end", json={"outcome": "seen"})
    page = await (await room.officer.get(f"/booth/appointments/{room.appointment.id}/summary")).text()
    assert f'href="{room.one}/copy"' in page
    assert f'href="/booth/evidence/{0:032x}/content"' in page
    assert "Save the original: A photo: The &lt;door&gt;" in page
    assert "Set aside, and kept: A photo" in page
    assert page.count("The &lt;door&gt;") == 2, "what was stopped is not listed"


def a_file(request_id: str, number: int, state: str, *, at: datetime) -> Item:
    return Item(
        id=f"{number:032x}", request_id=request_id, session_id="s" * 32, state=ItemState(state), begun_at=at,
        sent_bytes=9, total_bytes=9, told_at=at, size_bytes=9, sha256="5e" * 32, media_type="image/jpeg",
        client_digest="equal", reported_at=at,
    )  # fmt: skip


async def test_text_changed_under_the_reader_is_refused_and_shown_anew(room):
    await room.offered()
    seen = await room.confirm_all()
    await room.officer_does("text", {"text": TEXT.replace("Monday", "Tuesday"), "version": 1})
    status, said = await room.sign(seen)
    assert (status, said["error"]) == (409, "statement_changed")
    assert "Tuesday" in said["statement"]["paragraphs"][1]["text"]
    assert [one["answer"] for one in said["statement"]["paragraphs"]] == ["right", None, "right"]
    status, said = await room.sign(said["statement"])
    assert (status, said["error"]) == (409, "statement_not_confirmed")
    gone = await room.phone.post(
        "/phone/statement/answer",
        json={"statement": room.statement, "paragraph": seen["paragraphs"][1]["key"], "answer": "right"},
    )
    assert gone.status == 409
    status, said = await room.sign(await room.confirm_all())
    assert (status, said["state"]) == (200, "sealing")


async def test_a_second_press_of_sign_is_the_same_statement(room):
    await room.offered()
    seen = await room.confirm_all()
    first, second = await room.sign(seen), await room.sign(seen)
    assert first == second
    assert len((await (await room.officer.get(room.all)).json())["all"]) == 1


async def test_a_draft_saved_in_another_window_comes_back_with_the_refusal(room):
    await room.offered()
    status, said = await room.officer_does("text", {"text": "Mine.", "version": 0})
    assert (status, said["error"]) == (409, "statement_draft_changed")
    assert said["note"]["text"] == TEXT
    status, said = await room.officer_does("text", {"text": "Mine.", "version": said["note"]["version"]})
    assert (status, said["version"]) == (200, 2)


async def test_heading_exhibits_live_and_taking_back(room):
    await room.offered()
    status, said = await room.officer_does("take-back")
    assert (status, said["state"]) == (200, "draft")
    assert await room.seen() is None
    status, said = await room.officer_does("live", {"live": True})
    assert (await room.seen())["state"] == "draft"
    heading = {"name": "Jo Ann Bloggs", "age": 17, "reader": "PC Smith", "language": "cy"}
    status, said = await room.officer_does("heading", heading)
    assert (status, said["name"], said["age"], said["reader"], said["language"]) == (
        200, "Jo Ann Bloggs", 17, "PC Smith", "cy",
    )  # fmt: skip
    assert said["unlisted"] == ["JB/1"]
    status, said = await room.officer_does("exhibits", {"mark": "jb/1", "description": "Photo of the door"})
    assert (said["exhibits"], said["unlisted"]) == ([{"mark": "JB/1", "description": "Photo of the door"}], [])
    status, said = await room.officer_does("exhibits/remove", {"mark": "JB/1"})
    assert said["exhibits"] == []


async def test_the_reader_signs_in_the_booth_before_the_witness_does(room):
    await room.offered()
    await room.officer_does("heading", {"name": "Jo Bloggs", "reader": "Ann Reader"})
    seen = await room.confirm_all()
    assert seen["waits_for_reader"]
    status, said = await room.sign(seen)
    assert (status, said["error"]) == (409, "statement_not_read_aloud")
    for typed, digest, expected in (
        ("Other", seen["digest"], (422, "statement_reader_differs")),
        ("Ann Reader", "0" * 64, (409, "statement_changed")),
    ):
        status, said = await room.officer_does("reading", {"typed": typed, "digest": digest})
        assert (status, said["error"]) == expected
    status, said = await room.officer_does("reading", {"typed": "Ann Reader", "digest": seen["digest"]})
    assert (status, said["waits_for_reader"]) == (200, False)
    status, said = await room.sign(await room.seen())
    assert (status, said["state"]) == (200, "sealing")


async def test_both_languages_go_from_the_booth_to_the_phone_and_the_interpreter_signs_there_first(room):
    await room.offered()
    assert (await room.seen())["interpreting"] is None, "nobody else meets any of it"
    heading = {"name": "Jo Bloggs", "interpreter": "Ana Kowalska", "spoken": "ur"}
    status, said = await room.officer_does("heading", heading)
    assert (status, said["interpreting"]["language"], said["interpreting"]["direction"]) == (200, "Urdu", "rtl")
    status, said = await room.officer_does("interpretation", {"typed": "Ana Kowalska", "digest": said["digest"]})
    assert (status, said["error"]) == (422, "statement_texts_differ")
    status, said = await room.officer_does("original", {"text": "ایک\n\nدو\n\nتین", "version": 0})
    assert (status, said["version"]) == (200, 1)
    status, said = await room.officer_does("original", {"text": "x", "version": 0})
    assert (status, said["error"], said["note"]["text"]) == (409, "statement_draft_changed", "ایک\n\nدو\n\nتین")
    seen = await room.confirm_all()
    assert [one["original"] for one in seen["paragraphs"]] == ["ایک", "دو", "تین"]
    assert "original" not in seen, "the officer's own side stays with the officer"
    status, said = await room.sign(seen)
    assert (status, said["error"]) == (409, "statement_not_interpreted")
    assert said["statement"]["interpreting"]["waits"]
    status, said = await room.officer_does("interpretation", {"typed": "Other", "digest": seen["digest"]})
    assert (status, said["error"]) == (422, "statement_interpreter_differs")
    status, said = await room.officer_does("interpretation", {"typed": "Ana Kowalska", "digest": seen["digest"]})
    assert (status, said["interpreting"]["waits"]) == (200, False)
    status, said = await room.sign(await room.seen())
    assert (status, said["state"]) == (200, "sealing")


async def test_the_back_page_stays_with_the_officer(room):
    await room.offered()
    page = {"contact": "email", "no_dates": True, "consents": {"victim_support": True}, "needs": "A screen"}
    status, said = await room.officer_does("back-page", page)
    assert (status, said["unanswered"]) == (200, ["consents", "personal_statement"])
    assert (await (await room.officer.get(room.all)).json())["back_page"]["needs"] == "A screen"
    assert "A screen" not in await (await room.phone.get("/phone/statement")).text()


async def test_an_emoji_is_named_before_anybody_reads(room):
    answer = await room.officer.post(room.all, json={})
    room.statement = (await answer.json())["id"]
    await room.officer_does("text", {"text": "So happy 😀", "version": 0})
    status, said = await room.officer_does("offer")
    assert (status, said["error"]) == (422, "statement_cannot_print")
    assert "😀" in said["message"]


@pytest.mark.parametrize(
    ("deed", "body"),
    [
        ("text", {"text": 5, "version": 0}),
        ("text", {"text": "x", "version": -1}),
        ("text", {"text": "x" * 50_000, "version": 0}),
        ("text", {"text": "x", "version": 0, "more": 1}),
        ("heading", {"name": "X", "age": "17"}),
        ("heading", {"name": "X", "language": "fr"}),
        ("live", {"live": "yes"}),
        ("exhibits", {"mark": "JB/1"}),
        ("back-page", {"contact": "pigeon"}),
        ("back-page", {"no_dates": True, "dates_to_avoid": ["2026-04-01"]}),
        ("back-page", {"consents": {"all_of_it": True}}),
        ("offer", {"force": True}),
    ],
)
async def test_what_is_no_answer_of_ours_is_refused(room, deed, body):
    await room.offered()
    status, _ = await room.officer_does(deed, body)
    assert status == 400


async def test_half_a_surrogate_broken_utf8_and_nul_never_reach_the_text(room):
    await room.offered()
    for content in (b'{"text": "\\ud800", "version": 1}', b'{"text": "\xff", "version": 1}'):
        answer = await room.officer.post(f"{room.one}/text", data=content, headers={"Content-Type": "application/json"})
        assert answer.status == 400
    status, said = await room.officer_does("text", {"text": "Nul \x00 here \u202e.", "version": 1})
    assert (status, said["text"]) == (200, "Nul  here .")


@pytest.mark.parametrize(
    ("signature", "status", "code"),
    [
        ({"width": 300, "height": 100, "strokes": []}, 422, "signature_missing"),
        ({"typed": "  "}, 422, "signature_missing"),
        ({"width": 300, "height": 100, "strokes": [[[0, 0, 0]]]}, 422, "signature_bad"),
        ({"width": 300, "height": 100, "strokes": [[[1, 1, 1, 1]] * 6000]}, 422, "signature_bad"),
    ],
)
async def test_an_empty_or_broken_signature_signs_nothing(room, signature, status, code):
    await room.offered()
    answered, said = await room.sign(await room.confirm_all(), signature=signature)
    assert (answered, said["error"]) == (status, code)
    assert (await room.seen())["state"] == "read"


async def test_a_typed_name_signs_too_and_without_the_declaration_nothing_does(room):
    await room.offered()
    seen = await room.confirm_all()
    status, said = await room.sign(seen, declared=False)
    assert (status, said["error"]) == (422, "statement_not_declared")
    status, said = await room.sign(seen, signature={"typed": "Jo Bloggs"})
    assert (status, said["state"]) == (200, "sealing")


async def test_a_body_beyond_the_limit_is_refused(room):
    await room.offered()
    answer = await room.phone.post("/phone/statement/sign", data=b"[" * 300_000)
    assert answer.status in {400, 413}


async def test_nobody_else_sees_or_does_anything(room, add_staff, sign_in, browser, database, clock):
    await room.offered()
    await add_staff("jones", Role.OFFICER, name="PC Jones")
    await add_staff("handler", Role.CALL_HANDLER)
    for username in ("jones", "handler"):
        other = await sign_in(username)
        assert (await other.get(room.all)).status == 403
        for deed in (
            "text",
            "offer",
            "take-back",
            "live",
            "heading",
            "exhibits",
            "back-page",
            "reading",
            "original",
            "interpretation",
        ):
            assert (await other.post(f"{room.one}/{deed}", json={})).status in {400, 403}
    stranger = await browser()
    assert (await stranger.get("/phone/statement", headers={"Accept": "application/json"})).status == 403
    async with database.begin() as db:
        from video_server.web import sessions

        _, secret = await sessions.open_session(db, "phone", room.appointment.id, now=clock())
    stranger.session.cookie_jar.update_cookies({COOKIES["phone"]: secret}, stranger.make_url("/"))
    json = {"Accept": "application/json"}
    assert (await stranger.get("/phone/statement", headers=json)).status == 403, "the same link, but not let in"
    assert (await stranger.get("/phone/statement/1/copy", headers=json)).status == 403


async def test_a_statement_of_another_appointment_is_not_reached_through_ones_own(room, database, key_ring, clock):
    await room.offered()
    clock.move(hours=1)
    other = await book_now(database, key_ring, officer_id=room.appointment.officer_id, now=clock(), name="Sam Other")
    answer = await room.officer.post(
        f"/booth/appointments/{other.id}/statements/{room.statement}/text", json={"text": "x", "version": 1}
    )
    assert answer.status == 404


async def test_the_booths_page_carries_the_panel(room):
    page = await (await room.officer.get(f"/booth/appointments/{room.appointment.id}")).text()
    assert 'id="statement-panel"' in page
    assert "Victim personal statement" in page


async def test_the_phones_page_carries_the_statement(room):
    page = await (await room.phone.get("/phone/call")).text()
    assert "data-statement-pad" in page
    assert "I cannot sign with a finger" in page
