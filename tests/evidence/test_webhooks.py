"""Webhooks: to the operator's list and nowhere else, signed, in order, until taken; against real HTTPS servers."""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path

import pytest
import requests

from evidence_store.client import WEBHOOK_HEADER, EventNotGenuine, verify_webhook
from evidence_store.doctor import Grade, examine
from evidence_store.errors import CannotStart
from evidence_store.sealing import signing
from evidence_store.sealing.files import create_secret
from evidence_store.webhooks import service, storage
from evidence_store.webhooks.addresses import may_connect
from evidence_store.webhooks.config import load_hooks
from evidence_store.webhooks.model import KINDS, Hook
from evidence_store.webhooks.sending import ID_HEADER, NotTaken, send
from evidence_store.webhooks.service import Postman
from tests.evidence.conftest import INCIDENT, Process, Wire, both_databases, jpeg, sha256
from tests.ports import find_free_port
from tests.product import until
from video_server.core.clock import utc_now
from video_server.core.keys import make_certificate

SECRET = b"a secret of at least thirty-two bytes"
REASON = {"reason": "Trial in May"}
LOOPBACK = (ip_network("127.0.0.0/8"),)


class Receiver:
    """An HTTPS server that keeps what it is told; `answers` are its statuses in order, then 204 for ever."""

    def __init__(self, folder: Path, *, host: str = "hook.test", address: str = "127.0.0.1") -> None:
        self.heard: list[tuple[str, bytes, dict[str, str]]] = []
        self.answers: list[int] = []
        self.holds: threading.Event | None = None
        self.wrote, self.ended = 0, threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.heard.append((self.path, body, dict(self.headers)))
                if receiver.holds is not None:
                    receiver.holds.wait(300)
                with contextlib.suppress(OSError):
                    self.misbehave() if self.path != "/" else self.answer()
                receiver.ended.set()

            def answer(self) -> None:
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.end_headers()

            def misbehave(self) -> None:
                if self.path == "/redirect":
                    self.send_response(307)
                    self.send_header("Location", f"https://hook.test:{receiver.port}/")
                    self.end_headers()
                elif self.path == "/slow":
                    self.rfile.read()  # until the other side goes
                elif self.path == "/huge":
                    self.send_response(200)
                    self.end_headers()
                    while receiver.wrote < 1 << 30:
                        self.wfile.write(bytes(1 << 16))
                        receiver.wrote += 1 << 16
                elif self.path == "/headers":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    while receiver.wrote < 1 << 30:
                        self.wfile.write(b"X-More: and more\r\n" * 4096)
                        receiver.wrote += 4096 * 18
                else:
                    self.wfile.write(b"220 mail.example ESMTP\r\n")

            def log_message(self, *_args: object) -> None:
                pass

        folder.mkdir(parents=True, exist_ok=True)
        make_certificate(folder, hosts=[host], now=utc_now())
        self.ca = folder / "cert.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def said(self) -> list[dict[str, object]]:
        return [json.loads(body) for _, body, _ in self.heard]

    def hook(self, path: str = "/", name: str = "records", **changed: object) -> Hook:
        given = {"events": frozenset(KINDS), "secret": SECRET, "networks": LOOPBACK, "ca": self.ca}
        return Hook(name, f"https://hook.test:{self.port}{path}", **given | changed)  # type: ignore[arg-type]

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.heard) >= count, f"{count} times news")


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    found = Receiver(tmp_path / "receiver")
    yield found
    found.close()


class Names:
    """A resolver that gives these answers one after another, the last for ever, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers, self.asked = list(answers), 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


HERE = ("127.0.0.1",)


async def deliver(hook: Hook, names: Names | None = None, *, seconds: float = 60) -> None:
    await send(hook, "id", "{}", timestamp=1, resolve=names or Names(HERE), seconds=seconds)


# --- what may be connected to, and what the operator may list


@pytest.mark.parametrize(
    ("address", "networks", "may"),
    [
        ("8.8.8.8", [], True),
        ("2606:4700::1", [], True),
        *((address, [], False) for address in (
            "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
            "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1",
            "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::",
            "2001:db8::1", "ff02::1", "fe80::1%eth0", "localhost", "", "127.1", "0x7f000001",
        )),
        ("::ffff:8.8.8.8", [], True),
        ("10.1.2.3", ["10.1.0.0/16"], True),
        ("::ffff:10.1.2.3", ["10.1.0.0/16"], True),
        ("10.2.2.3", ["10.1.0.0/16"], False),
        ("8.8.8.8", ["10.1.0.0/16"], False),
        ("127.0.0.1", ["127.0.0.1/32"], True),
    ],
)  # fmt: skip
def test_only_public_addresses_may_be_connected_to_or_those_that_the_list_names(address, networks, may):
    assert may_connect(address, [ip_network(network) for network in networks]) is may


def write_list(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    create_secret(folder / "secret", SECRET + b"\n")
    create_secret(folder / "short", b"hello")
    (folder / "list.toml").write_text(text)
    return folder / "list.toml"


GOOD = '[[webhook]]\nname = "records"\nurl = "https://records.example/x"\nsecret = "secret"\n'


def test_the_operators_list_says_who_is_told_what(tmp_path):
    [hook, other] = load_hooks(
        write_list(
            tmp_path,
            GOOD + GOOD.replace("records", "other") + 'events = ["held"]\nnetworks = ["10.0.0.0/8", "fd00::/8"]\n',
        )
    )
    assert (hook.name, hook.secret, hook.events, hook.networks) == ("records", SECRET, frozenset(KINDS), ())
    assert (other.events, len(other.networks)) == ({"held"}, 2)
    assert SECRET.decode() not in repr(hook)
    assert load_hooks(None) == load_hooks(write_list(tmp_path, "")) == ()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (GOOD.replace("https", "http"), "https"),
        (GOOD.replace("https://", "https://me:secret@"), "password"),
        (GOOD.replace("records.example/x", "/x"), "host"),
        (GOOD + 'events = ["everything"]', "events"),
        (GOOD + "events = []", "events"),
        (GOOD + 'networks = ["10.0.0.1/8"]', "host bits"),
        (GOOD + 'ca = "nowhere.pem"', "EVIDENCE_WEBHOOKS"),
        (GOOD + "redirects = true", "redirects"),
        (GOOD.replace('"secret"', '"short"'), "32"),
        (GOOD.replace('"secret"', '"none"'), "none"),
        (GOOD + GOOD, "same name"),
        ("webhook = 3", "webhook"),
        ("[[webhook", "EVIDENCE_WEBHOOKS"),
    ],
)
def test_a_list_that_is_wrong_stops_the_start_and_says_where(tmp_path, text, word):
    with pytest.raises(CannotStart, match=word):
        load_hooks(write_list(tmp_path, text))


# --- one try


async def test_a_redirect_is_not_followed(receiver: Receiver):
    with pytest.raises(NotTaken, match="307: redirects are not followed"):
        await deliver(receiver.hook("/redirect"))
    assert [path for path, _, _ in receiver.heard] == ["/redirect"]


async def test_a_slow_answer_is_not_waited_for(receiver: Receiver):
    with pytest.raises(NotTaken, match=r"no answer within 0\.5 s"):
        await deliver(receiver.hook("/slow"), seconds=0.5)


async def test_of_a_huge_answer_only_the_status_is_read(receiver: Receiver):
    await deliver(receiver.hook("/huge"))
    assert await asyncio.to_thread(receiver.ended.wait, 60)
    assert receiver.wrote < 64 << 20  # what fits into sockets' buffers on the way


@pytest.mark.parametrize("path", ["/headers", "/no-http"])
async def test_an_endless_head_or_none_is_no_answer(receiver: Receiver, path):
    with pytest.raises(NotTaken, match="cannot be reached"):
        await deliver(receiver.hook(path))
    assert await asyncio.to_thread(receiver.ended.wait, 60)
    assert receiver.wrote < 64 << 20


async def test_nobody_there_is_said(receiver: Receiver):
    receiver.port = find_free_port()
    with pytest.raises(NotTaken, match="cannot be reached"):
        await deliver(receiver.hook())


async def test_a_name_that_leads_inside_is_not_connected_to(receiver: Receiver):
    for inside in (HERE, ("10.0.0.1", "::1"), ("::ffff:127.0.0.1",), ()):
        with pytest.raises(NotTaken, match="no address that may be connected to"):
            await deliver(receiver.hook(networks=()), Names(inside))

    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror

    with pytest.raises(NotTaken, match="cannot be looked up"):
        await send(receiver.hook(), "id", "{}", timestamp=1, resolve=unknown)
    literal = Hook("x", f"https://127.0.0.1:{receiver.port}/", frozenset(KINDS), SECRET, (), receiver.ca)
    with pytest.raises(NotTaken, match="no address that may be connected to"):
        await send(literal, "id", "{}", timestamp=1)
    assert receiver.heard == []


async def test_the_address_that_was_checked_is_the_one_connected_to(receiver: Receiver, tmp_path):
    """Rebinding: the second look-up would lead elsewhere, so there must be none."""
    elsewhere = socket.create_server(("127.0.0.2", receiver.port))
    names = Names(HERE, ("127.0.0.2",))
    await deliver(receiver.hook(networks=(ip_network("127.0.0.1/32"),)), names)
    assert (names.asked, len(receiver.heard)) == (1, 1)
    with pytest.raises(NotTaken, match="no address that may be connected to"):
        await deliver(receiver.hook(networks=(ip_network("127.0.0.1/32"),)), names)
    elsewhere.setblocking(False)
    with pytest.raises(BlockingIOError):
        elsewhere.accept()
    elsewhere.close()


async def test_a_certificate_of_another_name_or_of_nobody_known_is_refused(receiver: Receiver, tmp_path):
    with pytest.raises(NotTaken, match="certificate"):
        await deliver(receiver.hook(ca=None))
    other = Receiver(tmp_path / "other", host="elsewhere.test")
    try:
        with pytest.raises(NotTaken, match="certificate"):
            await deliver(other.hook())
        with pytest.raises(NotTaken, match="certificate"):
            await deliver(receiver.hook(ca=other.ca))
        assert other.heard == receiver.heard == []
    finally:
        other.close()


# --- from what happened to the destination


@pytest.fixture
def post(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Callable[[Hook], Postman]:
    """Make a postman for these destinations, who waits for a slow machine; nothing is delivered but by the test."""
    monkeypatch.setattr(service, "send", partial(send, seconds=300))

    def post(*hooks: Hook) -> Postman:
        wire.store.hooks = hooks
        return Postman(wire.store, resolve=Names(HERE))

    return post


async def put(wire: Wire, seed: int = 1) -> str:
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(700, seed))
    return object_id


@both_databases
async def test_what_happens_is_told_signed_and_each_kind_to_who_asked_for_it(wire: Wire, receiver: Receiver, post):
    everything, held_only = receiver.hook(), receiver.hook(name="holds", events=frozenset({"held"}))
    postman = post(everything, held_only)
    object_id = await put(wire)
    hold = await wire.ask("POST", "/holds", {"incident": INCIDENT, "object": object_id, **REASON}, status=201)
    assert await postman.deliver_due(everything) == (1, 0)
    assert await postman.deliver_due(everything) == (1, 0)
    assert await postman.deliver_due(held_only) == (1, 0)
    assert await postman.deliver_due(everything) == await postman.deliver_due(held_only) == (0, 0)
    received, held, again = receiver.said
    lines = {line["action"]: line for line in await wire.lines(object_id)}
    assert received == {
        "id": received["id"], "type": "received", "object": object_id, "incident": INCIDENT,
        "digest": lines["received"]["digest"], "sequence": lines["received"]["sequence"],
        "at": wire.clock().isoformat(),
    }  # fmt: skip
    assert (held["type"], held["hold"], held["sequence"]) == ("held", hold["id"], lines["held"]["sequence"])
    assert again == held  # one piece of news has one id, whoever is told
    _, body, headers = receiver.heard[0]
    now, signature = wire.clock().timestamp(), headers[WEBHOOK_HEADER]
    assert headers[ID_HEADER] == received["id"]
    assert verify_webhook(SECRET, body, signature, now=now + 299) == received
    for forged in [
        (SECRET, body + b" ", signature, now),
        (SECRET[:-1], body, signature, now),
        (SECRET, body, signature, now + 301),
        (SECRET, body, signature.replace("t=", "t=1"), now),
        (SECRET, body, "", now),
        (SECRET, body, "t=²,v1=", now),
    ]:
        with pytest.raises(EventNotGenuine):
            verify_webhook(*forged[:3], now=forged[3])


@both_databases
async def test_of_one_object_news_come_in_order_and_others_do_not_wait(wire: Wire, receiver: Receiver, post, clock):
    hook = receiver.hook()
    postman = post(hook)
    first = await put(wire)
    await wire.ask("POST", "/holds", {"incident": INCIDENT, "object": first, **REASON}, status=201)
    receiver.answers = [500]
    assert await postman.deliver_due(hook) == (0, 1)
    second = await put(wire, 2)
    assert await postman.deliver_due(hook) == (1, 0)
    assert await postman.deliver_due(hook) == (0, 0)  # the hold waits for what failed, which waits for its time
    clock.move(seconds=2)
    assert await postman.deliver_due(hook) == (1, 0)
    assert await postman.deliver_due(hook) == (1, 0)
    told = [(said["type"], said["object"]) for said in receiver.said]
    assert told == [("received", first), ("received", second), ("received", first), ("held", first)]
    assert receiver.said[0]["id"] == receiver.said[2]["id"]


@both_databases
async def test_two_processes_share_the_work_and_a_dead_ones_claim_ends(wire: Wire, receiver: Receiver, post, clock):
    hook = receiver.hook()
    postman = post(hook)
    await put(wire)
    outcomes = await asyncio.gather(*(Postman(wire.store, resolve=Names(HERE)).deliver_due(hook) for _ in range(4)))
    assert sum(taken for taken, _ in outcomes) == len(receiver.heard) == 1
    await put(wire, 2)
    async with wire.store.database.begin() as db:  # a process claims it and dies
        [due] = await storage.list_due(db, hook.name, now=clock(), limit=10)
        assert await storage.claim(db, due, next_at=clock() + timedelta(seconds=20))
    assert await postman.deliver_due(hook) == (0, 0)
    clock.move(seconds=20)
    assert await postman.deliver_due(hook) == (1, 0)
    assert receiver.said[1]["id"] == due.id


async def test_what_was_told_leaves_nobody_looking_again_and_again(wire: Wire, receiver: Receiver, post, monkeypatch):
    """No web server is told here, so nobody else takes note of the news."""
    looks, postman = 0, post(receiver.hook())
    deliver_due = postman.deliver_due

    async def counting(hook: Hook) -> tuple[int, int]:
        nonlocal looks
        looks += 1
        return await deliver_due(hook)

    monkeypatch.setattr(postman, "deliver_due", counting)
    working = asyncio.create_task(postman.run())
    await put(wire)
    await asyncio.to_thread(receiver.wait_for, 1)
    before, since = looks, time.monotonic()
    await asyncio.sleep(1)
    assert looks - before <= 3 + (time.monotonic() - since)  # one a second, and those under way
    await put(wire, 2)
    await asyncio.to_thread(receiver.wait_for, 2)
    assert looks >= 2  # they are counted
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


@both_databases
async def test_what_nobody_takes_for_days_is_given_up_and_shown_and_can_be_tried_again(
    wire: Wire, receiver: Receiver, post, clock
):
    hook = receiver.hook()
    postman = post(hook)
    object_id = await put(wire)
    receiver.answers = [503] * 3
    assert await postman.deliver_due(hook) == (0, 1)
    clock.move(minutes=11)

    async def doctor_says() -> tuple[Grade, str]:
        found = [one async for one in examine(wire.store) if "webhook" in one.says]
        return found[0].grade, found[0].says

    grade, says = await doctor_says()
    assert (grade, "it answers 503" in says) == (Grade.BAD, True)
    assert await postman.deliver_due(hook) == (0, 1)
    clock.move(days=3)
    assert await postman.deliver_due(hook) == (0, 1)
    clock.move(days=1)
    assert await postman.deliver_due(hook) == (0, 0)
    grade, says = await doctor_says()
    assert (grade, "--retry" in says) == (Grade.BAD, True)
    async with wire.http.get("/metrics") as answer:
        assert 'evidence_webhook_given_up{webhook="records"} 1.0' in await answer.text()
    await wire.ask("POST", "/holds", {"incident": INCIDENT, "object": object_id, **REASON}, status=201)
    assert await postman.deliver_due(hook) == (1, 0)  # what was given up holds up nothing
    async with wire.store.database.begin() as db:
        assert await storage.revive(db, now=clock()) == 1
    assert await postman.deliver_due(hook) == (1, 0)
    assert [said["type"] for said in receiver.said] == ["received"] * 3 + ["held", "received"]
    assert (await doctor_says())[0] is Grade.GOOD
    async with wire.store.database.begin() as db:
        await storage.forget_delivered(db, before=clock() + timedelta(days=1))
        assert await storage.list_standings(db) == {}


async def test_a_disposal_and_a_hold_on_an_incident_are_told(wire: Wire, receiver: Receiver, post):
    hook = receiver.hook()
    postman = post(hook)
    object_id = await put(wire)
    hold = await wire.ask("POST", "/holds", {"incident": INCIDENT, **REASON}, status=201)
    await wire.ask("POST", f"/holds/{hold['id']}/release", REASON)
    kept = {"classes": [{"code": "other", "starts_at": "2010-01-01T00:00:00Z"}], **REASON}
    await wire.ask("PUT", f"/objects/{object_id}/retention", kept)
    asked = {"outcome": "dispose", **REASON}
    review = await wire.ask(
        "POST", f"/objects/{object_id}/reviews", asked, status=201, **wire.token(name="ann")
    )  # fmt: skip
    await wire.ask("POST", f"/reviews/{review['id']}/approve", REASON, **wire.token(name="bob"))
    while (await postman.deliver_due(hook))[0]:
        pass
    of_object = [(said["type"], said.get("review")) for said in receiver.said if said["object"]]
    assert of_object == [("received", None), ("disposed", review["id"])]
    assert [said["type"] for said in receiver.said if not said["object"]] == ["held", "released"]


def test_news_outlive_a_kill_and_keep_their_id(process: Process, tmp_path):
    receiver = Receiver(tmp_path / "receiver", host="localhost")
    try:
        listed = GOOD.replace("records.example/x", f"localhost:{receiver.port}/")
        listed += f'networks = ["127.0.0.0/8", "::1/128"]\nca = "{receiver.ca}"\n'
        process.kill()
        process.settings["webhooks"] = str(write_list(tmp_path / "hooks", listed))
        process.start()
        receiver.holds = threading.Event()
        data, object_id = jpeg(800), signing.new_id()
        headers = process.token() | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Content-Type": "image/jpeg",
            "Evidence-Sha256": sha256(data),
        }  # fmt: skip
        url = f"{process.url}/evidence/v1/objects/{object_id}"
        assert requests.put(url, data=data, headers=headers, timeout=300).status_code == 201
        receiver.wait_for(1)
        process.kill()  # sent, and not yet acknowledged
        receiver.holds.set()
        process.start()
        receiver.wait_for(2)
        first, second = receiver.said[:2]
        assert first == second
        assert (first["type"], first["object"]) == ("received", object_id)
        assert datetime.fromisoformat(str(first["at"]))
    finally:
        receiver.close()
