"""Staff's way to the store's own pages: who is let in, with what, what never passes, and when it ends."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from evidence_store.client import new_object_id
from tests.conftest import PASSWORD, AddStaff, HeldClock
from tests.evidence_support import Call, calling, jpeg, until
from tests.test_evidence_forwarder import Telling, telling  # noqa: F401 (a fixture)
from video_server.accounts import service as accounts
from video_server.accounts.model import Role
from video_server.audit import service as audit
from video_server.core.database import Database
from video_server.evidence.forwarder import COOKIE
from video_server.evidence.link import STORE
from video_server.web import sessions

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Running(HeldClock):
    """Goes on, as the clock of the store behind does: a ticket is good for a minute by both."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def clock() -> HeldClock:
    return Running(datetime.now(UTC))


@pytest.fixture
async def call(database, settings, key_ring, clock, add_staff: AddStaff) -> AsyncIterator[Call]:
    """A web server with the real store behind it."""
    officer = await add_staff("smith", Role.OFFICER)
    async with calling(database, settings, key_ring, clock, officer) as call:
        yield call


@pytest.fixture
async def told(database, settings, key_ring, clock, add_staff: AddStaff, telling) -> AsyncIterator[Call]:  # noqa: F811
    """A web server with something behind it that tells what it receives."""
    officer = await add_staff("smith", Role.OFFICER)
    async with calling(database, settings, key_ring, clock, officer, with_store=False) as call:
        keys = settings.keys_folder
        keys.mkdir(exist_ok=True)
        for name, secret in (("grant.key", b"k" * 32), ("evidence.token", b"t")):
            (keys / name).write_bytes(secret)
            (keys / name).chmod(0o600)
        yield call


async def signed_in(call: Call, add_staff: AddStaff, username: str, *roles: Role) -> TestClient:
    person = await add_staff(username, *roles, name=username.title(), collar_number="E1")
    async with call.database.begin() as db:
        _, secret = await sessions.open_session(db, "staff", person.id, now=call.clock())
    return call.open_browser("staff", secret)


async def entered(client: TestClient) -> str:
    """Select Evidence; return the store's cookie."""
    answer = await client.post("/evidence/view/enter", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/evidence/"), await answer.text()
    return answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]


def show(client: TestClient, cookie: str) -> None:
    """Have a browser show the store's cookie; its jar would send none with Secure to a plain address."""
    client.session.cookie_jar.update_cookies({COOKIE: cookie})


async def test_evidence_staff_come_in_by_one_button_and_stay_until_they_sign_out(
    call: Call, add_staff: AddStaff, database: Database
):
    ann = await signed_in(call, add_staff, "ann", Role.EVIDENCE)
    page = await (await ann.get("/evidence/view/work")).text()
    assert "Open the evidence store" in page
    assert 'value="/evidence/view/work"' in page
    await entered(ann)
    assert "Find evidence" in await (await ann.get("/evidence/")).text()
    assert (await ann.get("/evidence/view/files/000000000000/view.js")).status == 200
    store_cookie = next(cookie for cookie in ann.session.cookie_jar if cookie.key == COOKIE).value
    async with database.read() as db:
        person = await accounts.find_by_username(db, "ann")
        assert person is not None
        assert "evidence.entered_store" in {one.action for one in await audit.list_for(db, f"staff:{person.id}")}
    assert (await ann.post("/sign-out", allow_redirects=False)).status == 303
    answer = await ann.get("/evidence/", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/sign-in?next=/evidence/")
    bob = await signed_in(call, add_staff, "bob", Role.EVIDENCE)
    show(bob, store_cookie)
    answer = await bob.get("/evidence/")
    assert answer.status == 401, "the store's cookie of somebody else, left in the browser, opens nothing"
    assert "Open the evidence store" in await answer.text()


async def test_nobody_without_the_role_gets_in(call: Call, add_staff: AddStaff):
    clerk = await signed_in(call, add_staff, "clerk", Role.CALL_HANDLER, Role.SUPERVISOR, Role.CHAT_AGENT)
    for client in (clerk, call.officer):
        assert (await client.post("/evidence/view/enter", allow_redirects=False)).status == 403
        assert (await client.get("/evidence/")).status == 403
    assert (await call.phone.post("/evidence/view/enter", allow_redirects=False)).status == 401
    answer = await call.phone.get("/evidence/", allow_redirects=False)
    assert answer.headers["Location"].startswith("/sign-in")


async def test_an_officer_comes_in_from_an_appointment_of_theirs_to_its_incident_alone(
    call: Call, add_staff: AddStaff, database: Database
):
    here = f"/booth/appointments/{call.appointment.id}"
    request = await call.ask()
    item_id, reference = await call.send(request, jpeg(4000)), (await call.request(request)).incident
    page = await call.officer.get(here, allow_redirects=False)
    assert f'action="{here}/all-evidence" target="_blank"' in await page.text()
    answer = await call.officer.post(f"{here}/all-evidence", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/evidence/?search=yes&incident={reference}")
    found = await (await call.officer.get(answer.headers["Location"])).text()
    assert item_id in found
    assert f"You see incident {reference} only" in found
    assert "To do" not in found
    other = await signed_in(call, add_staff, "jones", Role.OFFICER)
    boss = await signed_in(call, add_staff, "boss", Role.SUPERVISOR)
    both = await signed_in(call, add_staff, "both", Role.SUPERVISOR, Role.EVIDENCE)
    for client in (other, boss):
        assert (await client.post(f"{here}/all-evidence", allow_redirects=False)).status == 403
    assert "all-evidence" not in await (await boss.get(f"{here}/summary")).text()
    refused = await (await other.get("/evidence/")).text()
    assert "Open the appointment in your diary" in refused
    desk = f"/desk/incidents/{call.appointment.incident_id}"
    assert "All evidence of this incident" not in await (await boss.get(desk)).text()
    for page in (desk, f"/desk/appointments/{call.appointment.id}"):
        assert f'value="/evidence/?search=yes&amp;incident={reference}"' in await (await both.get(page)).text()
    assert (await both.post(f"{here}/all-evidence", allow_redirects=False)).status == 303
    async with database.read() as db:
        smith = await accounts.find_by_username(db, "smith")
        assert smith is not None
        [entry] = [
            one for one in await audit.list_for(db, f"staff:{smith.id}") if one.action == "evidence.entered_store"
        ]
    assert entry.details == {"role": "officer", "incident": reference}


async def test_an_officer_who_opens_another_incident_in_an_emergency_is_shown_to_supervisors(
    call: Call, add_staff: AddStaff
):
    other = "AP-0000-0000"
    await call.server.app[STORE].client.put_object(
        new_object_id(), jpeg(4000), incident=other, kind="photo", media_type="image/jpeg", filename="door.jpg"
    )
    boss = await signed_in(call, add_staff, "boss", Role.SUPERVISOR)
    here = f"/booth/appointments/{call.appointment.id}/all-evidence"
    assert (await call.officer.post(here, allow_redirects=False)).status == 303
    search = f"/evidence/?search=yes&incident={other}"
    refused = await call.officer.get(search)
    assert refused.status == 404
    form = await (await call.officer.get(f"/evidence/view/glass?incident={other}")).text()
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form.rpartition("<form")[2]))
    why = {"purpose": "life", "reason": "They wrote <that> he is at the door"}
    answer = await call.officer.post("/evidence/view/glass", data=hidden | why, allow_redirects=False)
    assert answer.headers["Location"] == f"{search}&done=glass"
    assert "door.jpg" in await (await call.officer.get(search)).text()

    async def alarmed() -> str:
        page = await (await boss.get("/booth/diary-fragment")).text()
        return page if "data-alarm" in page else ""

    page = await until("the alarm on the supervisor's diary", alarmed)
    for words in (
        "smith had no access to this incident and opened all its files",
        "life or safety is in danger: They wrote &lt;that&gt; he is at the door",
        other,
        "have their account disabled",
    ):
        assert words in page, words
    assert "data-alarm" in await (await boss.get("/desk")).text()


async def test_whoever_has_only_the_evidence_role_starts_there(browser, add_staff: AddStaff, clock: HeldClock):
    await add_staff("ann", Role.EVIDENCE)
    client = await browser()
    answer = await client.post("/sign-in", data={"username": "ann", "password": PASSWORD}, allow_redirects=False)
    assert answer.headers["Location"] == "/evidence/"
    assert "Evidence" in await (await client.get("/evidence/")).text()


async def test_the_ticket_goes_in_the_body_and_no_cookie_of_ours_ever(
    told: Call,
    add_staff: AddStaff,
    telling: Telling,  # noqa: F811
):
    ann = await signed_in(told, add_staff, "ann", Role.EVIDENCE)
    show(ann, "theirs")
    await ann.post(
        "/evidence/view/enter", data={"next": "/evidence/view/work", "ticket": "mine"}, allow_redirects=False
    )
    form = parse_qs((await telling.got.get()).decode())
    assert form["next"] == ["/evidence/view/work"]
    assert form["ticket"][0].startswith("ticket1.")
    forged = {"Evidence-Reference": "forged", "Authorization": "Bearer b", "X-Odd": "1"}
    await ann.get("/evidence/view/objects/1?done=note", headers=forged)
    entry, look = telling.requests
    assert entry.path_qs == "/evidence/view/enter"
    assert look.path_qs == "/evidence/view/objects/1?done=note"
    for request in (entry, look):
        assert request.headers["Cookie"] == f"{COOKIE}=theirs"
        assert "Authorization" not in request.headers
        assert "X-Odd" not in request.headers
    assert len(look.headers["Evidence-Reference"]) == 64


@pytest.mark.parametrize("path", ["/evidence/view/enter", "/evidence/view/leave", "/evidence/view/objects/1/hold"])
async def test_what_another_site_sends_never_reaches_the_store(
    told: Call,
    add_staff: AddStaff,
    telling: Telling,  # noqa: F811
    path,
):
    ann = await signed_in(told, add_staff, "ann", Role.EVIDENCE)
    show(ann, "theirs")
    for site in ("cross-site", "same-site"):
        answer = await ann.post(path, headers={"Sec-Fetch-Site": site}, allow_redirects=False)
        assert answer.status == 403
    assert telling.requests == []


@pytest.mark.parametrize(
    "path", ["/evidence/view/%2e%2e/metrics", "/evidence/view/a%00b", "/evidence/view/" + "x" * 300]
)
async def test_only_pages_are_reached(told: Call, add_staff: AddStaff, telling: Telling, path):  # noqa: F811
    ann = await signed_in(told, add_staff, "ann", Role.EVIDENCE)
    show(ann, "theirs")
    assert (await ann.get(URL(path, encoded=True))).status == 404
    assert telling.requests == []
