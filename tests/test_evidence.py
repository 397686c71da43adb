"""Evidence in a call, with a real store: what is asked for arrives whole or is told not to have; nobody else sends."""

import asyncio
import io
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pysqlite3
import pytest
from aiohttp import ClientError
from PIL import Image

from evidence_store.client import SIGNATURE_HEADER, StoredObject, make_grant
from evidence_store.sealing import signing
from tests.cases import book_now
from tests.conftest import AddStaff, HeldClock
from tests.evidence import samples
from tests.evidence_support import PIECES, Call, calling, fetch, jpeg, read_token, sha256, until
from tests.statements_support import let_in
from video_server.accounts.model import Role
from video_server.audit import service as audit
from video_server.evidence import service
from video_server.evidence.model import ItemState, RequestState
from video_server.web import sessions

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clock() -> HeldClock:
    """The store has a clock of its own, so grants are made at its time."""
    return HeldClock(datetime.now(UTC))


@pytest.fixture
async def call(database, settings, key_ring, clock, add_staff: AddStaff) -> AsyncIterator[Call]:
    async with calling(database, settings, key_ring, clock, await add_staff("smith", Role.OFFICER)) as call:
        yield call


async def deeds(call: Call) -> list[str]:
    async with call.database.read() as db:
        entries = await audit.list_for(db, f"appointment:{call.appointment.id}", limit=5_000)
    return [entry.action for entry in entries if entry.action.startswith("evidence.")]


async def test_what_was_asked_for_arrives_and_the_officer_saves_the_very_bytes(call):
    photo = jpeg(300_000)
    request_id = await call.ask(note="The  broken\twindow")
    item_id = await call.send(request_id, photo)
    request = await call.request(request_id)
    [item] = request.items
    assert (request.state, request.note) == (RequestState.RECEIVED, "The broken window")
    assert (item.id, item.sha256, item.size_bytes) == (item_id, sha256(photo), len(photo))
    assert (item.media_type, item.client_digest) == ("image/jpeg", "equal")
    answer = await call.officer.get(f"/booth/evidence/{item_id}/content")
    assert (answer.status, await answer.read()) == (200, photo)
    part = await call.officer.get(f"/booth/evidence/{item_id}/content", headers={"Range": "bytes=10-19"})
    assert (part.status, await part.read()) == (206, photo[10:20])
    assert await deeds(call) == [
        "evidence.requested",
        "evidence.upload_allowed",
        "evidence.received",
        "evidence.read",
        "evidence.read",
    ]


async def test_it_can_be_fetched_by_a_token_through_the_storage_api_with_the_same_digest(call):
    photo = jpeg(70_000)
    item_id = await call.send(await call.ask(), photo)
    url = str(call.server.make_url(f"/evidence/v1/objects/{item_id}/content"))
    status, body, headers = await fetch(call.phone.session, url, read_token(call.settings.keys_folder))
    assert (status, sha256(body)) == (200, sha256(photo))
    assert headers["Content-Disposition"].startswith("attachment")
    status, body, _ = await fetch(
        call.phone.session, url.removesuffix("/content"), read_token(call.settings.keys_folder)
    )
    assert (status, json.loads(body)["officer"]) == (200, "1234")


async def test_an_upload_cut_at_half_goes_on_where_the_store_stands(call):
    data = jpeg(6_000_000)
    request_id = await call.ask()
    path, auth = await call.create((await call.grant(request_id))["grant"], len(data))

    async def half() -> AsyncIterator[bytes]:
        for at in range(0, 3_000_000, 100_000):
            yield data[at : at + 100_000]
        raise ConnectionError("the train went into a tunnel")

    headers = {**PIECES, **auth, "Upload-Offset": "0", "Content-Length": str(len(data))}
    with pytest.raises((ClientError, ConnectionError)):
        await call.phone.patch(path, headers=headers, data=half())

    async def stands() -> int:
        return await call.stand(path, auth)

    offset = await until("what came before the cut", stands)
    assert 0 < offset <= 3_000_000
    await call.patch(path, auth, offset, data[offset:])
    assert (await call.digest(path, auth, sha256(data)))["state"] == "received"
    [item] = (await call.wait_for(request_id, "received")).items
    assert item.sha256 == sha256(data)


async def test_after_the_store_was_killed_in_the_middle_the_upload_goes_on_with_the_same_bearer(call):
    data = jpeg(5_000_000)
    request_id = await call.ask()
    path, auth = await call.create((await call.grant(request_id))["grant"], len(data))
    await call.patch(path, auth, 0, data[:2_000_000])

    async def killed_on_the_way() -> AsyncIterator[bytes]:
        yield data[2_000_000:2_500_000]
        await call.store.kill()
        for at in range(2_500_000, len(data), 100_000):
            yield data[at : at + 100_000]

    headers = {**PIECES, **auth, "Upload-Offset": "2000000", "Content-Length": str(len(data) - 2_000_000)}
    answer = await call.phone.patch(path, headers=headers, data=killed_on_the_way())
    assert answer.status == 503
    assert (await call.phone.head(path, headers={**PIECES, **auth})).status == 503
    await call.store.start()
    await call.ready()
    offset = await call.stand(path, auth)
    assert 2_000_000 <= offset <= len(data)
    await call.patch(path, auth, offset, data[offset:])
    assert (await call.digest(path, auth, sha256(data)))["state"] == "received"
    await call.wait_for(request_id, "received")


async def test_a_wrong_digest_sets_the_file_aside_and_nobody_opens_it_here(call, clock):
    request_id = await call.ask()
    item_id = await call.send(request_id, jpeg(5_000), digest=sha256(b"something else"))
    [item] = (await call.request(request_id)).items
    assert (item.state, item.client_digest) == (ItemState.QUARANTINED, "different")
    answer = await call.officer.get(f"/booth/evidence/{item_id}/content", headers={"Accept": "application/json"})
    assert (answer.status, (await answer.json())["error"]) == (409, "evidence_quarantined")
    assert (await call.officer.get(f"/booth/evidence/{item_id}/preview")).status == 409
    clock.move(seconds=1)
    await call.send(request_id, jpeg(5_000, seed=2))  # sent once more, and this time it is right
    assert (await call.request(request_id)).state is RequestState.RECEIVED


@pytest.mark.parametrize(
    ("name", "kind"), [("page.html", "text/html"), ("run.exe", "application/x-msdownload"), ("film.mp4", "video/mp4")]
)
async def test_a_kind_that_was_not_asked_for_is_refused_before_a_byte_is_sent(call, name, kind):
    allowed = await call.grant(await call.ask("photo"))
    await call.create(allowed["grant"], 1_000, name=name, kind=kind, status=415)


async def test_a_page_that_calls_itself_a_photo_is_refused_by_its_first_bytes_and_the_officer_is_told(call):
    request_id = await call.ask()
    page = b"<!doctype html><script>alert(1)</script>" + b" " * 5_000
    path, auth = await call.create((await call.grant(request_id))["grant"], len(page))
    await call.patch(path, auth, 0, page, status=415)

    async def look() -> bool:
        return [item.state for item in (await call.request(request_id)).items] == [ItemState.REFUSED]

    await until("the store's word", look)
    assert (await call.request(request_id)).state is RequestState.OPEN


async def test_what_is_larger_than_asked_for_is_refused(call):
    allowed = await call.grant(await call.ask("photo"))
    await call.create(allowed["grant"], 100_000_001, status=413)


async def test_more_bytes_than_announced_are_refused(call):
    data = jpeg(2_000)
    path, auth = await call.create((await call.grant(await call.ask()))["grant"], 1_000)
    await call.patch(path, auth, 0, data, status=413)
    await call.patch(path, auth, 7, data[:100], status=409)


async def test_a_grant_of_somebody_elses_making_opens_nothing(call):
    foreign = make_grant(
        b"k" * 32, incident="AP-7F4K-92QD", reference="x", max_bytes=10_000, kinds=["photo"],
        expires_at=datetime.now(UTC) + timedelta(minutes=5),
    )  # fmt: skip
    await call.create(foreign, 1_000, status=403)


async def test_a_grant_is_used_once(call):
    allowed = await call.grant(await call.ask())
    path, auth = await call.create(allowed["grant"], 1_000)
    await call.patch(path, auth, 0, jpeg(1_000))
    await call.create(allowed["grant"], 1_000, status=409)


async def test_a_session_that_was_not_let_in_may_not_send_and_another_appointment_sees_nothing(call, key_ring):
    request_id = await call.ask()
    item_id = (await call.grant(request_id))["item"]
    async with call.database.begin() as db:
        _, waiting = await sessions.open_session(db, "phone", call.appointment.id, now=call.clock())
    same_link = call.open_browser("phone", waiting)
    await call.grant(request_id, phone=same_link, status=403)
    assert (await same_link.post(f"/phone/evidence/items/{item_id}/cancel", json={})).status == 403
    call.clock.move(hours=1)
    other = await book_now(call.database, key_ring, officer_id=call.appointment.officer_id, now=call.clock())
    _, secret = await let_in(call.database, other, now=call.clock())
    stranger = call.open_browser("phone", secret)
    await call.grant(request_id, phone=stranger, status=404)
    for deed in ("grant", "cancel", "done"):
        assert (await stranger.post(f"/phone/evidence/items/{item_id}/{deed}", json={})).status == 404


async def test_a_bearer_is_renewed_with_a_fresh_grant_even_after_the_call_has_ended(call):
    data = jpeg(4_000)
    request_id = await call.ask()
    allowed = await call.grant(request_id)
    path, auth = await call.create(allowed["grant"], len(data))
    await call.patch(path, auth, 0, data[:1_000])
    here = f"/booth/appointments/{call.appointment.id}"
    assert (await call.officer.post(f"{here}/end", json={"outcome": "seen"})).status == 200
    await call.grant(request_id, status=403)
    renewed = await call.phone.post(f"/phone/evidence/items/{allowed['item']}/grant", json={})
    fresh = (await renewed.json())["grant"]
    answer = await call.phone.post(f"{path}/bearer", headers={"Authorization": f"Grant {fresh}"})
    auth = {"Authorization": f"Bearer {answer.headers['Upload-Bearer']}"}
    await call.patch(path, auth, 1_000, data[1_000:])
    await call.digest(path, auth, sha256(data))
    await call.wait_for(request_id, "received")


async def test_a_colleague_sees_no_file_of_an_appointment_that_is_not_theirs(call, add_staff):
    item_id = await call.send(await call.ask(), jpeg(2_000))
    other = await add_staff("jones", Role.OFFICER, name="PC Jones")
    async with call.database.begin() as db:
        _, secret = await sessions.open_session(db, "staff", other.id, now=call.clock())
    colleague = call.open_browser("staff", secret)
    assert (await colleague.get(f"/booth/evidence/{item_id}/content")).status == 403
    assert (await call.officer.get(f"/booth/evidence/{'0' * 32}/content")).status == 404
    assert (await call.phone.get(f"/booth/evidence/{item_id}/content", allow_redirects=False)).status in {303, 401, 403}


async def test_what_is_received_cannot_run_whatever_it_holds(call):
    letter = b"Dear officer,\n<script>alert(document.cookie)</script>\n"
    item_id = await call.send(await call.ask("document"), letter, name="letter.html.txt", kind="text/plain")
    answers = [await call.officer.get(f"/booth/evidence/{item_id}/content")]
    token = {"Authorization": f"Bearer {read_token(call.settings.keys_folder)}"}
    answers.append(await call.officer.get(f"/evidence/v1/objects/{item_id}/content", headers=token))
    for answer in answers:
        assert await answer.read() == letter
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert (await call.officer.get(f"/booth/evidence/{item_id}/preview")).status == 404


async def test_a_picture_is_previewed_and_every_look_is_on_record(call):
    photo = samples.picture("JPEG", (2600, 1300), samples.exif(place=samples.BIG_BEN))
    item_id = await call.send(await call.ask(), photo)
    answer = await call.officer.get(f"/booth/evidence/{item_id}/preview")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    with Image.open(io.BytesIO(await answer.read())) as shown:
        assert shown.size == (1280, 640)
        assert not shown.getexif(), "what the file says of itself is told beside it, and not carried on"
    assert (await deeds(call))[-1] == "evidence.previewed"

    async def told():
        answer = await call.officer.get(f"/booth/evidence/{item_id}/facts")
        media = await answer.json()
        return media if media["state"] == "done" else None

    media = await until("what the file says", told)
    assert media["facts"]["camera"] == "Fruit Phone 12"
    assert media["facts"]["where"]["latitude"] == pytest.approx(samples.BIG_BEN[0], abs=1e-4)
    assert media["place_says"] == "The file says where it was taken."
    stranger = await call.phone.get(f"/booth/evidence/{item_id}/facts", allow_redirects=False)
    assert stranger.status in {302, 303, 401, 403}


async def test_a_file_that_screening_sets_aside_later_is_shown_so_and_comes_back_when_released(call):
    request_id = await call.ask()
    item_id = await call.send(request_id, jpeg(3_000))
    known = (await call.request(request_id)).items[0]
    assert known.state is ItemState.RECEIVED
    said = StoredObject(
        id=item_id, incident=(await call.request(request_id)).incident, kind="upload", media_type="image/jpeg",
        filename="a.jpg", reference=request_id, officer="", size_bytes=3_000, sha256=known.sha256,
        client_digest="equal", state="screening", source="upload", received_at=call.clock(), sealed_at=None,
    )  # fmt: skip
    for state, changed, becomes in (
        ("screening", False, ItemState.RECEIVED),
        ("quarantined", True, ItemState.QUARANTINED),
        ("quarantined", False, ItemState.QUARANTINED),
        ("screening", False, ItemState.QUARANTINED),  # an old word that comes late
        ("received", True, ItemState.RECEIVED),
    ):
        async with call.database.begin() as db:
            assert await service.record_stored(db, replace(said, state=state), now=call.clock()) is changed
        assert (await call.request(request_id)).items[0].state is becomes


async def test_an_event_that_comes_again_changes_nothing_and_a_forged_one_is_refused(call):
    request_id = await call.ask()
    item_id = await call.send(request_id, jpeg(3_000))
    before, known = await deeds(call), await call.request(request_id)
    key = (call.settings.keys_folder / "grant.key").read_bytes()
    at = "2026-03-02T10:00:00+00:00"
    event = {"id": "e" * 32, "type": "received", "object": item_id, "incident": known.incident, "at": at}
    body = json.dumps(event).encode()
    for _ in range(3):
        headers = {SIGNATURE_HEADER: signing.event_signature(key, body)}
        assert (await call.phone.post("/evidence-events", data=body, headers=headers)).status == 200
    lie = json.dumps({**event, "type": "refused"}).encode()
    for headers in ({}, {SIGNATURE_HEADER: signing.event_signature(key, body)}, {SIGNATURE_HEADER: "v1=00"}):
        assert (await call.phone.post("/evidence-events", data=lie, headers=headers)).status == 403
    large = await call.phone.post("/evidence-events", data=b"x" * 9_000, headers={SIGNATURE_HEADER: "v1=00"})
    assert large.status == 413
    assert (await deeds(call), await call.request(request_id)) == (before, known)


async def test_a_genuine_word_about_an_object_of_another_request_changes_nothing(call):
    request_id = await call.ask()
    allowed = await call.grant(request_id)
    elsewhere = make_grant(
        (call.settings.keys_folder / "grant.key").read_bytes(), incident="AP-0000-0000", reference="another",
        max_bytes=10_000, kinds=["photo"], expires_at=datetime.now(UTC) + timedelta(minutes=5), upload=allowed["item"],
    )  # fmt: skip
    data = jpeg(2_000)
    path, auth = await call.create(elsewhere, len(data))
    await call.patch(path, auth, 0, data)
    await call.digest(path, auth, sha256(data))
    done = await call.phone.post(f"/phone/evidence/items/{allowed['item']}/done", json={})
    assert (await done.json())["state"] == "uploading"
    assert (await call.request(request_id)).state is RequestState.OPEN


async def test_what_the_stores_own_ledger_does_not_vouch_for_is_not_written_down(call):
    request_id = await call.ask()
    item_id = await call.send(request_id, jpeg(3_000))
    known = await call.request(request_id)
    assert known.state is RequestState.RECEIVED
    with closing(pysqlite3.connect(call.settings.data / "evidence" / "evidence.sqlite", timeout=60)) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        false = {"id": item_id, "sha256": "0" * 64}
        changed = db.execute("UPDATE objects SET state = 'quarantined', sha256 = :sha256 WHERE id = :id", false)
        assert changed.rowcount == 1
    done = await call.phone.post(f"/phone/evidence/items/{item_id}/done", json={})
    assert (done.status, (await done.json())["error"]) == (503, "evidence_store_down")
    assert await call.request(request_id) == known


async def test_the_phones_own_word_is_enough_when_the_stores_is_late(call):
    data = jpeg(3_000)
    request_id = await call.ask()
    allowed = await call.grant(request_id)
    path, auth = await call.create(allowed["grant"], len(data))
    await call.patch(path, auth, 0, data)
    await call.digest(path, auth, sha256(data))
    for _ in range(2):
        done = await call.phone.post(f"/phone/evidence/items/{allowed['item']}/done", json={})
        assert (await done.json())["state"] == "received"
    assert (await deeds(call)).count("evidence.received") == 1


async def token_for_another_incident(call: Call) -> str:
    """Issue a token on the store's own command line, while it runs."""
    own = {
        "EVIDENCE_DATA": str(call.settings.data / "evidence"),
        "EVIDENCE_KEYS": str(call.settings.data / "keys-evidence"),
    }
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evidence_store.cli", "token", "issue", "--scope", "break-glass", "--scope", "read"),
        *("--incident", "AP-0000-0000", "--name", "duty-desk"),
        stdout=PIPE,
        env={k: v for k, v in os.environ.items() if not k.startswith("EVIDENCE_")} | own,
    )
    said, _ = await made.communicate()
    return said.decode().strip()


async def test_who_breaks_the_glass_is_shown_to_supervisors_until_one_has_seen_it(call, add_staff, database, clock):
    supervisor = await add_staff("boss", Role.SUPERVISOR, name="Sgt Boss", collar_number="9")
    async with database.begin() as db:
        _, secret = await sessions.open_session(db, "staff", supervisor.id, now=clock())
    boss = call.open_browser("staff", secret)
    item_id = await call.send(await call.ask(), jpeg(70_000))
    headers = {"Authorization": f"Bearer {await token_for_another_incident(call)}"}
    reason = "A child may be <in danger> tonight"
    assert (await call.phone.get(f"/evidence/v1/objects/{item_id}", headers=headers)).status == 404
    broken = await call.phone.post(
        f"/evidence/v1/objects/{item_id}/break-glass",
        json={"reason": reason},
        headers=headers | {"Idempotency-Key": "once"},
    )
    assert broken.status == 201, await broken.text()
    assert (await call.phone.get(f"/evidence/v1/objects/{item_id}", headers=headers)).status == 200

    async def alarmed() -> str:
        page = await (await boss.get("/booth/diary-fragment")).text()
        return page if "data-alarm" in page else ""

    page = await until("the alarm on the supervisor's diary", alarmed)
    for words in (
        "duty-desk",
        "A child may be &lt;in danger&gt; tonight",
        str((await broken.json())["incident"]),
        'role="alert"',
    ):
        assert words in page
    assert page.count("data-alarm=") == 1
    assert "data-alarm" in await (await boss.get("/desk")).text()
    assert "data-alarm" not in await (await call.officer.get("/booth")).text()
    alarm = page.split('data-alarm="')[1][:32]
    assert (await call.officer.post(f"/alarms/{alarm}/seen")).status == 403
    for _ in range(2):
        answer = await boss.post(f"/alarms/{alarm}/seen", data={"back": "desk"}, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/desk")
    assert "data-alarm" not in await (await boss.get("/booth")).text()
    async with database.read() as db:
        entries = await audit.list_for(db, f"evidence-alarm:{alarm}")
    assert [(entry.action, entry.actor) for entry in entries] == [("evidence.alarm_seen", f"staff:{supervisor.id}")]
