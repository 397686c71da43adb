"""News for the web server: signed, tried again, recognisable when it comes twice."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import pytest
import requests

from evidence_store import errors
from evidence_store.client import SIGNATURE_HEADER, EventNotGenuine, StoreClient, new_object_id, verify_event
from evidence_store.notify.service import Notifier
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from tests.evidence.conftest import INCIDENT, Process, Wire, jpeg, sha256
from tests.product import until


class Receiver:
    """A web server that keeps what it is told; `answers` are its statuses in order, then 204 for ever."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, str]] = []
        self.answers: list[int] = []
        self.holds: threading.Event | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.heard.append((body, self.headers[SIGNATURE_HEADER]))
                if receiver.holds is not None:
                    receiver.holds.wait(300)
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/evidence-events"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.heard) >= count, f"{count} times news")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def telling(process: Process, receiver: Receiver) -> Process:
    process.kill()
    process.settings["notify_url"] = receiver.url
    process.start()
    return process


def put(process: Process) -> str:
    object_id, data = signing.new_id(), jpeg(800)
    headers = process.token() | {
        "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Content-Type": "image/jpeg",
        "Evidence-Sha256": sha256(data),
    }  # fmt: skip
    url = f"{process.url}/evidence/v1/objects/{object_id}"
    assert requests.put(url, data=data, headers=headers, timeout=300).status_code == 201
    return object_id


async def send_news(wire: Wire) -> None:
    """Have the store in this process send what is due."""
    async with aiohttp.ClientSession() as web:
        await Notifier(wire.store)._send_due(web)


def nothing_waits(process: Process) -> None:
    """Wait until the store knows that its news was taken: it sends nothing more then."""
    figures = f"{process.url}/metrics"
    until(lambda: "evidence_waiting_events 0.0" in requests.get(figures, timeout=300).text, "news to be taken")


def test_an_event_is_signed_and_says_what_happened(telling: Process, receiver: Receiver):
    object_id = put(telling)
    receiver.wait_for(1)
    body, header = receiver.heard[0]
    event = verify_event(telling.keys.grant, body, header)
    assert (event.type, event.object, event.incident) == ("received", object_id, INCIDENT)
    with pytest.raises(EventNotGenuine):
        verify_event(telling.keys.grant, body.replace(b"received", b"refused!"), header)
    with pytest.raises(EventNotGenuine):
        verify_event(signing.new_key(), body, header)


def test_an_event_that_is_not_taken_comes_again_with_the_same_id(telling: Process, receiver: Receiver):
    receiver.answers = [500, 302]
    put(telling)
    receiver.wait_for(3)
    nothing_waits(telling)
    assert len(set(receiver.heard)) == 1


async def test_an_event_that_was_taken_does_not_come_again(wire: Wire, receiver: Receiver):
    await wire.put(signing.new_id(), jpeg(800))
    wire.store.settings = wire.store.settings.model_copy(update={"notify_url": receiver.url})
    receiver.answers = [500, 302]
    for heard, minutes in ((1, 0), (1, 6), (2, 6), (3, 6), (3, 0)):  # at once, not before its time, until it is taken
        await send_news(wire)
        assert len(receiver.heard) == heard
        wire.clock.move(minutes=minutes)


def test_an_event_outlives_a_kill_before_it_was_taken_and_stays_recognisable(telling: Process, receiver: Receiver):
    receiver.holds = threading.Event()
    put(telling)
    receiver.wait_for(1)
    telling.kill()  # sent, and not yet acknowledged
    receiver.holds.set()
    telling.start()
    receiver.wait_for(2)
    nothing_waits(telling)
    assert len({verify_event(telling.keys.grant, *heard).id for heard in receiver.heard}) == 1


def test_a_refused_and_a_quarantined_upload_are_told(telling: Process, receiver: Receiver):
    for data, given in [(b"<html>".ljust(600), None), (jpeg(900), sha256(b"other"))]:
        headers = {
            "Authorization": f"Grant {telling.grant()}", "Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)),
            "Upload-Metadata": "filetype aW1hZ2UvanBlZw==",
        }  # fmt: skip
        opened = requests.post(f"{telling.url}/evidence/files/", headers=headers, timeout=300)
        url = telling.url + opened.headers["Location"]
        bearer = {"Authorization": f"Bearer {opened.headers['Upload-Bearer']}", "Tus-Resumable": "1.0.0"}
        patch = bearer | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        requests.patch(url, data=data, headers=patch, timeout=300)
        if given:
            requests.post(f"{url}/digest", json={"sha256": given}, headers=bearer, timeout=300)
    nothing_waits(telling)
    types = {event.id: event.type for event in (verify_event(telling.keys.grant, *heard) for heard in receiver.heard)}
    assert sorted(types.values()) == ["quarantined", "refused"]


async def test_the_python_client_does_what_it_says(process: Process):
    token = process.token()["Authorization"].removeprefix("Bearer ")
    data, object_id = b"%PDF-1.7 statement", new_object_id()
    async with StoreClient(process.url, token) as store:
        assert await store.ready() == []
        said = {"incident": INCIDENT, "kind": "statement", "media_type": "application/pdf", "filename": "MG11 ž.pdf"}
        first = await store.put_object(object_id, data, **said)
        assert await store.put_object(object_id, data, **said) == first
        assert (first.state, first.filename, first.sha256) == ("received", "MG11 ž.pdf", sha256(data))
        with pytest.raises(errors.Conflict):
            await store.put_object(object_id, data + b"!", **said)
        assert await store.get_metadata(object_id) == first
        assert (await store.list_objects(INCIDENT)).objects == (first,)
        async with store.open_content(object_id, byte_range="bytes=5-") as content:
            assert content.status == 206
            assert b"".join([piece async for piece in content.pieces]) == data[5:]
        with pytest.raises(errors.NotFound):
            await store.get_metadata(new_object_id())
    async with StoreClient(process.url, process.token(Scope.READ)["Authorization"][7:]) as reader:
        with pytest.raises(errors.Forbidden):
            await reader.put_object(object_id, data, **said)
    await asyncio.to_thread(process.kill)
    async with StoreClient(process.url, token) as store:
        with pytest.raises(errors.Unreachable):
            await store.get_metadata(object_id)
