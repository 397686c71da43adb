"""A guest's pages: a neutral link, one call and nothing of the case, gone at once when taken out; the booth's deeds."""

import asyncio
import json
import re
from urllib.parse import urlsplit

import pytest
from aiohttp import WSMsgType
from aiohttp.test_utils import TestServer
from sqlalchemy import text

from tests.conftest import Browser
from video_server.accounts.model import Role as StaffRole
from video_server.app import make_app
from video_server.appointments.model import Appointment
from video_server.audit import service as audit
from video_server.calls import listening, pauses, seats, service
from video_server.calls.at_relay import AtRelay
from video_server.calls.model import Role, State
from video_server.calls.relays import RELAYS, Relays
from video_server.core import events
from video_server.migrations import all_tables
from video_server.web import sessions

JSON = {"Accept": "application/json"}
BOT = {"User-Agent": "WhatsApp/2.23", "Sec-Fetch-Site": "none"}
REVEALING = ("police", "smith", "1234", "bloggs", "burglary", "sam jones", "interpreter", "officer", "10am", "march")
CASE = ("bloggs", "burglary", "agreed", "statement", "evidence")


def booth(appointment: Appointment, path: str = "") -> str:
    return f"/booth/appointments/{appointment.id}{path}"


@pytest.fixture
async def officer(appointment, sign_in) -> Browser:
    """PC Smith, signed in."""
    return await sign_in("smith")


@pytest.fixture
def invite(officer, appointment):
    """Invite Sam Jones as an interpreter from the booth; return what came back."""

    async def make(**more):
        body = {"role": "interpreter", "name": "Sam Jones", "language": "en", "signs": True, "mobile": ""}
        body |= {"form_id": "f" * 32} | more
        answer = await officer.post(booth(appointment, "/guests"), json=body, headers=JSON)
        return answer.status, await answer.json()

    return make


@pytest.fixture
def enter(browser, invite):
    """A browser that opened the guest's link, pressed the button and pressed start."""

    async def come(link: str | None = None) -> Browser:
        if link is None:
            _, made = await invite()
            link = made["link"]
        client = await browser()
        answer = await client.post(urlsplit(link).path, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/guest")
        answer = await client.post("/guest", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/guest/call")
        return client

    return come


async def hear(socket, wanted):
    """Read a room's snapshots until one is as wanted; the last one when the socket closes."""
    last = {}
    while True:
        message = await socket.receive(timeout=300)
        if message.type is not WSMsgType.TEXT:
            return last
        value = json.loads(message.data)
        if value["type"] == "state":
            last = value["state"]
            if wanted(last):
                return last


async def count_rows(database) -> dict[str, int]:
    async with database.read() as db:
        return {name: int(await db.scalar(text(f"SELECT count(*) FROM {name}")) or 0) for name in all_tables().tables}


async def test_before_the_trade_a_guests_link_says_nothing_and_changes_nothing(browser, invite, database):
    _, made = await invite()
    path = urlsplit(made["link"]).path
    client = await browser()
    before = await count_rows(database)
    for headers in ({}, BOT):
        answer = await client.get(path, headers=headers)
        assert answer.status == 200
    page = (await answer.text()).lower()
    assert [word for word in REVEALING if word in page] == []
    assert 'action="/guest/exit"' in page
    assert await count_rows(database) == before
    assert not list(client.session.cookie_jar)


async def test_unknown_guest_links_get_the_neutral_page_and_never_the_persons_call(browser, appointment, key_ring):
    client = await browser()
    persons = key_ring.link_token(appointment.id, appointment.generation)
    for path in ("/g/AAAAAAAAAAAAAAAAAAAAAA", "/g/", "/g/a/b", f"/g/{persons}"):
        for send in (client.get, client.post):
            answer = await send(path, allow_redirects=False)
            assert answer.status == 404
            assert [word for word in REVEALING if word in (await answer.text()).lower()] == []


async def test_a_guest_reads_what_they_join_as_and_nothing_of_the_case(enter):
    client = await enter()
    page = await (await client.get("/guest")).text()
    assert "Interpreter: Sam Jones" in page
    assert "If the officer takes a statement through you, you see it" in page
    assert "You do not see what is written down" not in page
    call = await (await client.get("/guest/call")).text()
    for shown in (page, call):
        assert [word for word in ("bloggs", "burglary", "cedar") if word in shown.lower()] == []
    assert "data-statement" not in call
    assert "data-evidence" not in call


async def test_a_supporter_sees_no_statement_whatever_it_is_taken_through(enter, invite):
    _, made = await invite(role="supporter", signs=False, form_id="e" * 32)
    client = await enter(made["link"])
    assert "You do not see what is written down" in await (await client.get("/guest")).text()
    assert "interpreting-data" not in await (await client.get("/guest/call")).text()
    assert (await client.get("/guest/statement", headers=JSON)).status == 403


async def test_an_interpreter_sees_writes_and_signs_the_statement_that_is_taken_through_them(
    enter, officer, appointment, database
):
    client = await enter()
    assert "interpreting-data" in await (await client.get("/guest/call")).text()
    assert (await client.get("/guest/statement", headers=JSON)).status == 403, "not let in yet"
    async with client.ws_connect("/guest/socket") as socket, officer.ws_connect(booth(appointment, "/socket")) as desk:
        await hear(socket, lambda state: state["view"] == "checking")
        await socket.send_json({"type": "waiting"})
        seen = await hear(desk, lambda state: [one["state"] for one in state["guest_sessions"]] == ["waiting"])
        await officer.post(booth(appointment, "/admit"), json={"participant": seen["guest_sessions"][0]["id"]})
        await hear(socket, lambda state: state["view"] == "call")

        made = await (await officer.post(booth(appointment, "/statements"), json={})).json()
        one = booth(appointment, f"/statements/{made['id']}")
        await officer.post(f"{one}/text", json={"text": "It was dark.", "version": 0})
        assert await (await client.get("/guest/statement")).json() is None, "a statement that nobody interprets"
        mine = f"/guest/statement/{made['id']}"
        original = {"text": "Było ciemno.", "version": 0}
        assert (await client.post(f"{mine}/original", json=original)).status == 404

        said = {"name": "Jo Bloggs", "interpreter": "Sam Jones", "spoken": "pl"}
        assert (await officer.post(f"{one}/heading", json=said)).status == 200
        await hear(socket, lambda state: (state.get("statement") or {}).get("state") == "draft")
        shown = await (await client.get("/guest/statement")).json()
        assert [one["text"] for one in shown["paragraphs"]] == ["It was dark."]
        assert not {"back_page", "all", "text"} & set(shown)
        assert (await client.post(f"{mine}/original", json=original)).status == 200
        again = await client.post(f"{mine}/original", json={"text": "Inaczej.", "version": 0})
        assert (again.status, (await again.json())["note"]["text"]) == (409, "Było ciemno.")
        signature = {"typed": "Sam Jones", "digest": shown["digest"]}
        assert (await client.post(f"{mine}/interpretation", json=signature)).status == 409, "nobody reads it yet"
        assert (await (await officer.post(f"{one}/offer", json={})).json())["state"] == "read"
        await hear(socket, lambda state: (state.get("statement") or {}).get("state") == "read")
        shown = await (await client.get("/guest/statement")).json()
        signature = {"typed": "Sam Jones", "digest": shown["digest"]}
        answer = await client.post(f"{mine}/interpretation", json=signature)
        assert (answer.status, (await answer.json())["interpreting"]["waits"]) == (200, False)
        there = await (await officer.get(booth(appointment, "/statements"))).json()
        assert (there["interpreting"]["waits"], there["original"]) == (False, "Było ciemno.")
        async with database.read() as db:
            entries = await audit.list_for(db, f"appointment:{appointment.id}")
        mine_of = [one for one in entries if one.actor.startswith("guest-session:")]
        assert [one.action for one in mine_of][-2:] == ["statements.drafted", "statements.interpreted"]
        removed = booth(appointment, f"/guests/{seen['guests'][0]['id']}/remove")
        assert (await officer.post(removed, json={})).status == 200
        assert (await client.post(f"{mine}/interpretation", json=signature, headers=JSON)).status == 403


@pytest.mark.parametrize("path", ["/phone", "/phone/call", "/phone/socket", "/phone/statement"])
async def test_a_guests_session_opens_nothing_of_the_persons(enter, path):
    client = await enter()
    answer = await client.get(path, headers=JSON)
    assert (answer.status, (await answer.json())["error"]) == (403, "page_closed")


async def test_the_persons_session_opens_nothing_of_a_guests(browser, appointment, key_ring):
    client = await browser()
    await client.post(f"/j/{key_ring.link_token(appointment.id, appointment.generation)}")
    for path in ("/guest", "/guest/call", "/guest/socket"):
        assert (await client.get(path, headers=JSON)).status == 403


async def test_a_guest_waits_is_let_in_and_is_told_of_people_only(enter, officer, appointment):
    client = await enter()
    async with client.ws_connect("/guest/socket") as socket, officer.ws_connect(booth(appointment, "/socket")) as desk:
        await hear(socket, lambda state: state["view"] == "checking")
        await socket.send_json({"type": "waiting"})
        seen = await hear(desk, lambda state: [one["state"] for one in state["guest_sessions"]] == ["waiting"])
        [session] = seen["guest_sessions"]
        assert (seen["guests"][0]["name"], session["guest"]) == ("Sam Jones", seen["guests"][0]["id"])
        admitted = await officer.post(booth(appointment, "/admit"), json={"participant": session["id"]}, headers=JSON)
        assert admitted.status == 200
        state = await hear(socket, lambda state: state["view"] == "call")
    assert {(one["role"], one["name_to_show"], one["signs"]) for one in state["people"]} == {
        ("officer", "PC Smith", False),
        ("interpreter", "Sam Jones", True),
    }
    assert not {"statement", "evidence", "guests", "waiting", "appointment"} & set(state)
    assert [word for word in CASE if word in json.dumps(state).lower()] == []


async def test_who_is_removed_on_another_process_is_told_and_cut_off(
    enter, officer, appointment, settings, key_ring, clock, invite, browser
):
    client = await enter()
    other = TestServer(make_app(settings, key_ring, clock=clock))
    await other.start_server()
    cookie = {one.key: one.value for one in client.session.cookie_jar}
    guest = (await invite())[1]["guest"]  # the form sent again: the same invitation
    try:
        async with client.session.ws_connect(
            other.make_url("/guest/socket"),
            headers={
                "Origin": str(other.make_url("")).rstrip("/"),
                "Cookie": f"__Host-guest={cookie['__Host-guest']}",
            },
        ) as socket:
            await hear(socket, lambda state: state["view"] == "checking")
            removed = await officer.post(booth(appointment, f"/guests/{guest}/remove"), json={}, headers=JSON)
            assert removed.status == 200
            assert (await hear(socket, lambda state: state["view"] == "removed")) == {
                "view": "removed",
                "sending": {},
                "now": clock().isoformat(),
            }
            assert (await socket.receive(timeout=300)).type is WSMsgType.CLOSE
            assert socket.close_code == 4003
    finally:
        await other.close()
    assert (await client.get("/guest/socket", headers=JSON)).status == 403


async def test_a_guest_leaves_by_exit_for_the_neutral_site_and_the_session_is_over(enter):
    client = await enter()
    answer = await client.post("/guest/exit", allow_redirects=False)
    assert answer.headers["Refresh"].startswith("0; url=")
    assert (await client.get("/guest", headers=JSON)).status == 403


async def test_the_link_comes_with_a_code_and_can_be_shown_again_only_to_whose_call_it_is(
    invite, officer, appointment, add_staff, sign_in, database
):
    status, made = await invite()
    assert (status, made["texted"], made["qr"][:19]) == (200, False, "data:image/svg+xml;")
    again = await officer.get(booth(appointment, f"/guests/{made['guest']}/link"), headers=JSON)
    assert (await again.json())["link"] == made["link"]
    async with database.read() as db:
        deeds = [entry.action for entry in await audit.list_for(db, f"appointment:{appointment.id}")]
    assert deeds.count("appointments.guest_link_shown") == 1, "who saw it is on the record"
    await add_staff("jones", StaffRole.OFFICER)
    stranger = await sign_in("jones")
    for send, path, body in (
        (stranger.get, f"/guests/{made['guest']}/link", None),
        (stranger.post, f"/guests/{made['guest']}/remove", {}),
        (stranger.post, "/hold", {"held": True}),
    ):
        answer = await send(booth(appointment, path), json=body, headers=JSON)
        assert answer.status == 403


@pytest.mark.parametrize(
    ("more", "code"),
    [
        pytest.param({"mobile": "0770O 900456"}, "mobile_has_letters", id="letter O"),
        pytest.param({"name": "  "}, "not_understood", id="no name"),
        pytest.param({"name": "Sam\x00"}, "not_understood", id="not printable"),
        pytest.param({"role": "officer"}, "not_understood", id="not a guest"),
        pytest.param({"role": "supervisor"}, "not_understood", id="not a guest either"),
    ],
)
async def test_an_invitation_that_makes_no_sense_is_refused(invite, more, code):
    status, answer = await invite(**more)
    assert (status, answer["error"]) == (422 if "mobile" in more else 400, code)


async def test_an_invitation_by_text_says_that_one_is_on_its_way(invite):
    assert (await invite(mobile="07700 900456"))[1]["texted"]


async def test_a_pause_and_a_wish_reach_the_other_page(officer, appointment, admitted, database, clock):
    person = await admitted()
    async with officer.ws_connect(booth(appointment, "/socket")) as desk:
        await hear(desk, lambda state: state["admitted"] == person.id)
        for held in (True, False):
            answer = await officer.post(booth(appointment, "/hold"), json={"held": held}, headers=JSON)
            assert await answer.json() == {"held": held}
            await hear(desk, lambda state, held=held: state["held"] is held)
        path = f"/people/{person.id}/ask"
        assert (await officer.post(booth(appointment, path), json={"wish": "mute"}, headers=JSON)).status == 200
        refused = await officer.post(booth(appointment, path), json={"wish": "turn on"}, headers=JSON)
        assert refused.status == 400
    async with database.read() as db:
        assert (await service.get_participant(db, person.id)).asked == "mute"


async def test_a_supervisor_opens_a_page_that_only_listens_and_the_officer_is_told(
    officer, appointment, add_staff, sign_in
):
    await add_staff("boss", StaffRole.SUPERVISOR, name="Sgt Boss")
    boss = await sign_in("boss")
    page = await (await boss.get(booth(appointment, "?listen"))).text()
    assert '"listens": true' in page
    assert "Take part" in page
    assert "Everybody is told that you listen." in page
    async with officer.ws_connect(booth(appointment, "/socket")) as desk:
        async with boss.ws_connect(booth(appointment, "/socket?listen")) as ear:
            await hear(ear, lambda state: state["listeners"])
            told = await hear(desk, lambda state: state["listeners"])
            assert told["listeners"] == ["A supervisor, Sgt Boss, is listening."]
        await hear(desk, lambda state: state["listeners"] == [])
    assert '"listens": false' in await (await officer.get(booth(appointment, "?listen"))).text()


DEEDS = {
    "/admit": {"participant": "x"},
    "/note": {"text": "", "version": 0},
    "/end": {"outcome": "seen"},
    "/hold": {"held": True},
    "/needs": {"needs": []},
    f"/guests/{'0' * 32}/remove": {},
    f"/people/{'0' * 32}/ask": {"wish": "mute"},
    "/statements": {},
    "/evidence": {"kind": "photo", "note": ""},
}


async def test_whoever_only_listens_reads_notes_and_statement_as_they_grow_but_not_the_back_page(
    officer, appointment, add_staff, sign_in
):
    await add_staff("boss", StaffRole.SUPERVISOR, name="Sgt Boss")
    boss = await sign_in("boss")
    begun = await (await officer.post(booth(appointment, "/statements"), json={}, headers=JSON)).json()
    async with boss.ws_connect(booth(appointment, "/socket?listen")) as ear:
        first = await hear(ear, lambda state: state["listeners"])
        assert first["note"] == {"text": "", "saved_at": None}
        words = {"text": "I saw a blue van.", "version": 0}
        assert (await officer.post(booth(appointment, "/note"), json=words, headers=JSON)).status == 200
        assert (await hear(ear, lambda state: state["note"]["text"]))["note"]["text"] == words["text"]
        path = f"/statements/{begun['id']}/text"
        assert (await officer.post(booth(appointment, path), json=words, headers=JSON)).status == 200
        await hear(ear, lambda state: state["statement"]["version"] > first["statement"]["version"])
        seen = await (await boss.get(booth(appointment, "/statements"), headers=JSON)).json()
        assert ([one["text"] for one in seen["paragraphs"]], seen["back_page"]) == ([words["text"]], None)
    shown = await (await officer.get(booth(appointment, "/statements"), headers=JSON)).json()
    assert shown["back_page"]["unanswered"]


async def test_whoever_only_listens_can_do_nothing_in_the_call_until_they_take_part(appointment, add_staff, sign_in):
    await add_staff("boss", StaffRole.SUPERVISOR, name="Sgt Boss")
    boss = await sign_in("boss")
    async with boss.ws_connect(booth(appointment, "/socket?listen")) as ear:
        await hear(ear, lambda state: state["listeners"])
        for path, body in DEEDS.items():
            refused = await boss.post(booth(appointment, path), json=body, headers=JSON)
            assert (path, refused.status, (await refused.json())["error"]) == (path, 403, "only_listens")
        assert (await boss.get(booth(appointment, "/statements"), headers=JSON)).status == 200, "looking is listening"
    async with boss.ws_connect(booth(appointment, "/socket")) as seat:
        await hear(seat, lambda state: not state["listeners"])
        assert (await boss.post(booth(appointment, "/hold"), json={"held": True}, headers=JSON)).status == 200


class SlowRelays(Relays):
    """Relays whose join lasts until the test lets it end; what was asked is kept in order."""

    def __init__(self, *given):
        super().__init__(*given)
        self.asked: list[tuple] = []
        self.joining, self.go_on = asyncio.Event(), asyncio.Event()

    async def join(self, *, participant_id, admitted, publish, **_):
        self.asked.append(("join", participant_id, admitted, list(publish)))
        self.joining.set()
        await self.go_on.wait()
        return "v=0", 1

    async def leave(self, *, participant_id, **_):
        self.asked.append(("leave", participant_id))

    async def permit(self, *, participant_id, publish, **_):
        self.asked.append(("permit", participant_id, list(publish)))

    async def hold(self, *, held, version, **_):
        self.asked.append(("hold", held, version))

    async def admit(self, **_):
        pass

    async def set_audio_only(self, **_):
        pass


@pytest.fixture
async def slow(settings, key_ring, clock, database):
    """An application with SlowRelays: its server and them."""
    app = make_app(settings, key_ring, clock=clock)
    app[RELAYS] = relays = SlowRelays(settings.relay_controls, database, clock)
    server = TestServer(app)
    await server.start_server()
    yield server, relays
    relays.go_on.set()
    await server.close()


@pytest.fixture
def sit_at(slow, browser):
    """Connect a cookie's page to the slow application."""
    server, _ = slow

    async def connect(path: str, kind: str, secret: str):
        client = await browser()
        headers = {"Origin": str(server.make_url("")).rstrip("/"), "Cookie": f"{sessions.COOKIES[kind]}={secret}"}
        return client.session.ws_connect(server.make_url(path), headers=headers)

    return connect


async def test_who_is_removed_while_joining_gets_no_answer_and_is_taken_out(
    enter, officer, appointment, slow, sit_at, database, clock, invite
):
    client, relays = await enter(), slow[1]
    guest = (await invite())[1]["guest"]
    secret = next(one.value for one in client.session.cookie_jar if one.key == "__Host-guest")
    async with await sit_at("/guest/socket", "guest", secret) as socket:
        await socket.send_json({"type": "waiting"})
        await hear(socket, lambda state: state["view"] == "waiting")
        async with database.read() as db:
            [person] = (await service.view(db, appointment.id)).participants
        await socket.send_json({"type": "offer", "id": 1, "sdp": "v=0"})
        await asyncio.wait_for(relays.joining.wait(), 300)
        assert (await officer.post(booth(appointment, f"/guests/{guest}/remove"), json={}, headers=JSON)).status == 200
        relays.go_on.set()
        said = []
        while (message := await socket.receive(timeout=300)).type is WSMsgType.TEXT:
            said.append(json.loads(message.data))
    assert not [one for one in said if one["type"] == "answer"]
    assert relays.asked[0] == ("join", person.id, False, ["audio", "video"])
    assert ("leave", person.id) in relays.asked
    async with database.read() as db:
        assert (await service.get_participant(db, person.id)).state is State.REMOVED


async def test_a_second_tab_of_a_listening_supervisor_takes_over_and_the_first_does_not_cut_it(
    appointment, add_staff, slow, sit_at, database, clock
):
    relays = slow[1]
    boss = await add_staff("boss", StaffRole.SUPERVISOR, name="Sgt Boss")
    async with database.begin() as db:
        _, secret = await sessions.open_session(db, "staff", boss.id, now=clock())
    relays.go_on.set()

    async def listen(socket):
        await hear(socket, lambda state: state["listeners"])
        await socket.send_json({"type": "offer", "id": 1, "sdp": "v=0"})
        while json.loads((await socket.receive(timeout=300)).data)["type"] != "answer":
            pass

    async with await sit_at(booth(appointment, "/socket?listen"), "staff", secret) as first:
        await listen(first)
        async with await sit_at(booth(appointment, "/socket?listen"), "staff", secret) as second:
            await listen(second)
            while (said := await first.receive(timeout=300)).type is WSMsgType.TEXT:
                pass
            assert said.data == 4001
            await second.send_json({"type": "ping"})
            while json.loads((await second.receive(timeout=300)).data)["type"] != "pong":
                pass
            async with database.read() as db:
                assert (await service.view(db, appointment.id)).listeners
            assert [one[0] for one in relays.asked if one[0] == "leave"] == []


async def test_who_comes_into_a_paused_call_finds_it_held_before_the_answer(
    officer, appointment, add_staff, slow, sit_at, database, clock
):
    relays = slow[1]
    boss = await add_staff("boss", StaffRole.SUPERVISOR, name="Sgt Boss")
    async with database.begin() as db:
        session, secret = await sessions.open_session(db, "staff", boss.id, now=clock())
    relays.go_on.set()
    async with await sit_at(booth(appointment, "/socket?listen"), "staff", secret) as socket:
        await hear(socket, lambda state: state["listeners"])
        await officer.post(booth(appointment, "/hold"), json={"held": True}, headers=JSON)
        await socket.send_json({"type": "offer", "id": 1, "sdp": "v=0"})
        while json.loads((await socket.receive(timeout=300)).data)["type"] != "answer":
            pass
        asked = list(relays.asked)
    assert [one[0] for one in asked[:3]] == ["join", "hold", "permit"]
    assert asked[0][2:] == (True, [])
    assert asked[1][:2] == ("hold", True)
    assert [one for one in asked[3:] if one[0] == "hold" and not one[1]] == []
    async with database.read() as db:
        view = await service.view(db, appointment.id)
    assert (view.of_session(session.id).role, listening.lost(view, clock())) == (Role.SUPERVISOR, [])


class WatchedTurn(asyncio.Lock):
    """A seat's turn at the relay that says when somebody comes to wait for it."""

    def __init__(self):
        super().__init__()
        self.somebody_waits = asyncio.Event()

    async def acquire(self):
        if self.locked():
            self.somebody_waits.set()
        return await super().acquire()


async def test_a_look_that_waited_for_an_answer_goes_by_the_rows_as_they_are_then(
    appointment, add_staff, slow, sit_at, database, clock, monkeypatch
):
    relays, turns = slow[1], []

    class WatchedAtRelay(AtRelay):
        def __init__(self, *given):
            super().__init__(*given)
            self.turn = WatchedTurn()
            turns.append(self.turn)

    monkeypatch.setattr(seats, "AtRelay", WatchedAtRelay)
    boss = await add_staff("boss", StaffRole.SUPERVISOR, name="Sgt Boss")
    async with database.begin() as db:
        _, secret = await sessions.open_session(db, "staff", boss.id, now=clock())
    async with await sit_at(booth(appointment, "/socket"), "staff", secret) as socket:
        await hear(socket, lambda state: state["me"])
        await socket.send_json({"type": "offer", "id": 1, "sdp": "v=0"})
        await asyncio.wait_for(relays.joining.wait(), 300)
        async with database.begin() as db:
            await events.record(db, "room", appointment.id, now=clock())
        await asyncio.wait_for(turns[0].somebody_waits.wait(), 300)  # the next look, behind the offer
        async with database.begin() as db:
            await pauses.begin(db, appointment.id, by=boss.id, now=clock())
        relays.go_on.set()
        await hear(socket, lambda state: state["held"])
        assert [one[1:] for one in relays.asked if one[0] == "hold"] == [(True, 1)]


# --- the desk ---


@pytest.fixture
async def desk(appointment, add_staff, sign_in) -> Browser:
    """A call handler, signed in."""
    await add_staff("handler", StaffRole.CALL_HANDLER, name="Alex Jones")
    return await sign_in("handler")


FORM = {"form_id": "a" * 32, "role": "guardian", "guest_name": "Pat Bloggs", "guest_mobile": "", "language": "cy"}


async def test_the_desk_invites_once_shows_the_link_to_pass_on_and_takes_it_back(desk, appointment, browser):
    path = f"/desk/appointments/{appointment.id}"
    for _ in range(2):
        answer = await desk.post(f"{path}/guests", data=FORM, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, path)
    page = await (await desk.get(path)).text()
    [link] = set(re.findall(r"http\S+/g/[A-Za-z0-9_-]{22}", page))
    assert "Pat Bloggs" in page
    guest = await browser()
    assert (await guest.post(urlsplit(link).path, allow_redirects=False)).status == 303
    [revoke] = set(re.findall(rf"{path}/guests/[0-9a-f]+/revoke", page))
    for _ in range(2):
        assert (await desk.post(revoke, allow_redirects=False)).status == 303
    assert "Pat Bloggs" not in await (await desk.get(path)).text()
    assert (await guest.get("/guest", headers=JSON)).status == 403


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param({"guest_name": " "}, "Enter the name that all in the call are told", id="no name"),
        pytest.param({"role": "officer"}, "Choose as what they join", id="not a guest"),
        pytest.param({"guest_mobile": "07911"}, "Enter a UK mobile number", id="mobile"),
    ],
)
async def test_what_is_wrong_with_an_invitation_is_said_at_its_field(desk, appointment, wrong, said):
    answer = await desk.post(f"/desk/appointments/{appointment.id}/guests", data=FORM | wrong)
    page = await answer.text()
    assert (answer.status, said in page, "There is a problem" in page) == (422, True, True)


async def test_the_summary_says_when_the_call_was_paused_and_who_was_let_in(
    enter, officer, appointment, admitted, clock, database
):
    await admitted()
    client = await enter()
    async with client.ws_connect("/guest/socket") as socket:
        await socket.send_json({"type": "waiting"})
        await hear(socket, lambda state: state["view"] == "waiting")
        async with database.read() as db:
            [person] = [one for one in (await service.view(db, appointment.id)).participants if one.guest_id]
        await officer.post(booth(appointment, "/admit"), json={"participant": person.id}, headers=JSON)
    for held in (True, False):
        await officer.post(booth(appointment, "/hold"), json={"held": held}, headers=JSON)
        clock.move(minutes=5)
    await officer.post(booth(appointment, "/end"), json={"outcome": "seen"}, headers=JSON)
    page = await (await officer.get(booth(appointment, "/summary"))).text()
    assert "10am to 10:05am" in page
    for told in ("invited somebody to the call", "let a guest in", "paused the call", "went on after the pause"):
        assert told in page
