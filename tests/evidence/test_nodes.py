"""Two machines, one store: folders of their own, one PostgreSQL, one bucket. Whichever is asked, one writes."""

import asyncio
import http.client
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import text

from evidence_store import app_keys
from evidence_store.app import open_store
from evidence_store.config import PREFIX, Settings, load
from evidence_store.doctor import Grade, examine
from evidence_store.errors import CannotStart
from evidence_store.nodes import storage as nodes
from evidence_store.nodes.model import Node
from evidence_store.nodes.passing import HOP
from evidence_store.nodes.service import FILE, Presence, forget, survey
from evidence_store.sealing import signing
from evidence_store.sealing.keys import Keys, load_keys
from evidence_store.storage import find_upload
from evidence_store.store import Store
from tests.conftest import HeldClock, apart, on_postgres
from tests.evidence.conftest import SEGMENT, Process, Wire, jpeg, open_wire, sha256
from tests.evidence.seaweed import Seaweed
from tests.evidence.test_bucket import settings_on
from tests.evidence.test_kill_drill import lay_secret
from tests.evidence.test_kills import _PATCH, content_of, create
from tests.evidence.test_together import (
    actions_of,
    bring_home_from_eight,
    take_over_from_one_that_hangs,
    until_let_go,
    until_sealed,
)
from tests.evidence.tls_support import Authority, context_of
from tests.product import until

T = TypeVar("T")
on_postgresql = pytest.mark.parametrize("evidence_database", ["postgresql"], indirect=True)


class Pair:
    """Two nodes that pass senders on to each other."""

    def __init__(self, one: Process, other: Process) -> None:
        self.one, self.other = one, other

    def command(self, act: Callable[[Store], Coroutine[None, None, T]]) -> T:
        """Do something with the second node's store beside its process, as commands do."""
        given, told = load(None, **self.other.settings), list[T]()

        async def run() -> None:
            store = open_store(given, load_keys(given.keys))
            try:
                told.append(await act(store))
            finally:
                await store.close()

        apart(run())
        return told[0]


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, fork_store: Callable[[dict[str, str]], int], postgres: str,
    seaweed: Seaweed,
) -> Iterator[Pair]:  # fmt: skip
    folder, name = tmp_path_factory.mktemp("nodes"), f"evidence_{signing.new_id()}"
    apart(on_postgres(postgres, f"CREATE DATABASE {name}"))
    shared = lay_secret(seaweed.address(f"{signing.new_id()}/"), folder) | {
        "database": f"{postgres}/{name}", "idle_seconds": "3600",
    }  # fmt: skip
    one = Process(folder / "one", fork_store)
    shutil.copytree(folder / "one" / "keys", folder / "other" / "keys")
    other = Process(folder / "other", fork_store)
    for node in (one, other):
        node.settings |= shared | {"node_url": node.url}
        node.start()
    yield Pair(one, other)
    one.kill()
    other.kill()
    apart(on_postgres(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


def arriving(node: Process) -> list[str]:
    return [entry.name for entry in (node.folder / "data" / "incoming").iterdir() if not entry.name.startswith(".")]


def test_an_upload_goes_on_at_either_node_and_lies_on_the_one_that_opened_it(pair: Pair):
    data = jpeg(4 * SEGMENT + 5)
    url, bearer = create(pair.one, data)
    path, at, object_id = url.removeprefix(pair.one.url), 0, url.rsplit("/", 1)[1]
    for n, size in enumerate((SEGMENT // 2, SEGMENT, 100, SEGMENT, len(data))):
        headers = bearer | _PATCH | {"Upload-Offset": str(at)}
        base = (pair.other, pair.one)[n % 2].url
        answer = requests.patch(base + path, data=data[at : at + size], headers=headers, timeout=300)
        assert answer.status_code == 204, answer.text
        at = int(answer.headers["Upload-Offset"])
        for node in (pair.one, pair.other):
            assert offset_at(node.url + path, bearer | _PATCH) == at
        assert [object_id in arriving(node) for node in (pair.one, pair.other)] == [True, False]
    said = requests.post(f"{pair.other.url}{path}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300)
    assert said.json()["state"] == "received", said.text
    assert content_of(pair.one, object_id) == content_of(pair.other, object_id) == data
    assert actions_of(pair.other, object_id)[:2] == ["upload opened", "received"]


def test_what_a_sender_is_told_is_the_same_at_either_node(pair: Pair):
    url, bearer = create(pair.one, jpeg(SEGMENT))
    path, told = url.removeprefix(pair.one.url), []
    for node in (pair.one, pair.other):
        wrong = requests.patch(
            node.url + path, data=b"x" * 9, headers=bearer | _PATCH | {"Upload-Offset": "5"}, timeout=300
        )
        garbled = bearer | _PATCH | {"Upload-Offset": "0", "Upload-Checksum": "sha1 " + "A" * 27 + "="}
        checked = requests.patch(node.url + path, data=jpeg(99), headers=garbled, timeout=300)
        early = requests.post(f"{node.url}{path}/digest", json={"sha256": "0" * 64}, headers=bearer, timeout=300)
        stands = requests.head(node.url + path, headers=bearer | _PATCH, timeout=300)
        answers = [wrong, checked, early, stands]
        told.append([(one.status_code, dict(one.headers) | {"Date": ""}, one.content) for one in answers])
    assert told[0] == told[1]
    assert [status for status, *_ in told[0]] == [409, 460, 409, 200]
    given = requests.delete(pair.other.url + path, headers=bearer | _PATCH, timeout=300)
    assert given.status_code == 204
    assert requests.head(url, headers=bearer | _PATCH, timeout=300).status_code == 410
    object_id = path.rsplit("/", 1)[1]
    assert object_id not in arriving(pair.one)
    assert actions_of(pair.one, object_id) == ["upload opened", "upload terminated"]


def test_eight_senders_at_two_nodes_bring_one_upload_home_once(pair: Pair):
    bring_home_from_eight(pair.one, pair.other)


def test_a_writer_that_hangs_behind_another_node_is_asked_to_let_go(pair: Pair):
    take_over_from_one_that_hangs(pair.one, pair.other)


def test_a_writer_that_hangs_at_a_node_that_passes_it_on_is_told_so_while_it_hangs(pair: Pair):
    data = jpeg(3 * SEGMENT)
    url, bearer = create(pair.one, data)
    path, headers = url.removeprefix(pair.one.url), bearer | _PATCH
    stale = http.client.HTTPConnection(pair.other.url.removeprefix("http://"), timeout=300)
    stale.putrequest("PATCH", path)
    for name, value in (headers | {"Upload-Offset": "0", "Content-Length": str(len(data))}).items():
        stale.putheader(name, value)
    stale.endheaders()
    stale.send(data[: 2 * SEGMENT])
    until_sealed(pair.one, url, SEGMENT)
    stands = int(until_let_go(url, headers).headers["Upload-Offset"])
    given = requests.patch(url, data=data[stands:], headers=headers | {"Upload-Offset": str(stands)}, timeout=300)
    assert given.status_code == 204, given.text
    assert stale.getresponse().status == 423
    stale.close()
    assert requests.post(f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300).ok


def offset_at(url: str, headers: dict[str, str]) -> int:
    return int(until_let_go(url, headers).headers["Upload-Offset"])


def test_a_sender_cut_off_at_a_node_that_passes_it_on_keeps_what_was_sent(pair: Pair):
    data = jpeg(3 * SEGMENT)
    url, bearer = create(pair.one, data)
    headers = bearer | _PATCH | {"Upload-Offset": "0", "Content-Length": str(len(data))}
    cut = http.client.HTTPConnection(pair.other.url.removeprefix("http://"), timeout=300)
    cut.putrequest("PATCH", url.removeprefix(pair.one.url))
    for name, value in headers.items():
        cut.putheader(name, value)
    cut.endheaders()
    cut.send(data[: 2 * SEGMENT])
    until_sealed(pair.one, url, SEGMENT)
    cut.close()
    pair.command(lambda store: kept_any(store, url.rsplit("/", 1)[1]))
    assert SEGMENT <= offset_at(url, headers) <= 2 * SEGMENT


async def kept_any(store: Store, upload_id: str) -> None:
    """Wait until bytes of an upload are kept, without asking its writer to let go: it ends when its sender is gone."""
    for _ in range(6000):
        async with store.database.read() as db:
            upload = await find_upload(db, upload_id)
        if upload is not None and upload.offset:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("waited in vain")


def test_one_grant_at_both_nodes_at_once_opens_one_upload(pair: Pair):
    for _ in range(3):
        begun, told = threading.Barrier(4), []
        headers = opening(pair.one.grant(), 1000)

        def ask(node: Process, headers=headers, begun=begun, told=told) -> None:
            begun.wait()
            answer = requests.post(f"{node.url}/evidence/files/", headers=headers, timeout=300)
            told.append((answer.status_code, answer.headers.get("Location")))

        senders = [threading.Thread(target=ask, args=((pair.one, pair.other)[n % 2],)) for n in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        ((status, location),) = set(told) - {(423, None)}
        assert status == 201
        object_id = location.rsplit("/", 1)[1]
        assert actions_of(pair.one, object_id) == ["upload opened"]
        assert [object_id in arriving(node) for node in (pair.one, pair.other)].count(True) == 1
        data, bearer = jpeg(1000), renew(pair.other, f"{pair.other.url}{location}")
        given = bearer | _PATCH | {"Upload-Offset": "0"}
        assert requests.patch(f"{pair.other.url}{location}", data=data, headers=given, timeout=300).status_code == 204


def test_a_grant_comes_back_with_bytes_to_the_node_that_did_not_open_its_upload(pair: Pair):
    data, headers = jpeg(5000), opening(pair.one.grant(), 5000)
    first = requests.post(f"{pair.one.url}/evidence/files/", headers=headers, timeout=300)
    again = requests.post(
        f"{pair.other.url}/evidence/files/", data=data, headers=headers | {"Content-Type": _PATCH["Content-Type"]},
        timeout=300,
    )  # fmt: skip
    assert (again.status_code, again.headers["Upload-Offset"]) == (201, "5000"), again.text
    assert again.headers["Location"] == first.headers["Location"]


def opening(grant: str, length: int) -> dict[str, str]:
    """The headers that open an upload of a photo."""
    return {
        "Authorization": f"Grant {grant}", "Tus-Resumable": "1.0.0", "Upload-Length": str(length),
        "Upload-Metadata": "filetype aW1hZ2UvanBlZw==",
    }  # fmt: skip


def renew(node: Process, url: str) -> dict[str, str]:
    grant = {"Authorization": f"Grant {node.grant()}"}
    return {"Authorization": f"Bearer {requests.post(f'{url}/bearer', headers=grant, timeout=300).json()['bearer']}"}


def test_while_the_holder_is_away_nothing_is_written_dropped_or_called_damaged(pair: Pair):
    data = jpeg(2 * SEGMENT)
    url, bearer = create(pair.one, data)
    complete, its_bearer = create(pair.one, data)
    headers = its_bearer | _PATCH | {"Upload-Offset": "0"}
    assert requests.patch(complete, data=data, headers=headers, timeout=300).status_code == 204
    headers = bearer | _PATCH | {"Upload-Offset": "0"}
    assert requests.patch(url, data=data[:SEGMENT], headers=headers, timeout=300).status_code == 204
    pair.one.kill()
    pair.other.kill()  # what it does at its start must not touch the other's either
    pair.other.settings |= {"abandoned_days": "0.0000001", "digest_minutes": "0"}
    pair.other.start()
    path, object_id = url.removeprefix(pair.one.url), url.rsplit("/", 1)[1]
    headers |= {"Upload-Offset": str(SEGMENT)}
    for method in ("HEAD", "PATCH", "DELETE"):
        answer = requests.request(method, pair.other.url + path, headers=headers, data=data[:9], timeout=300)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    said = requests.post(f"{pair.other.url}{path}/digest", json={"sha256": "0" * 64}, headers=bearer, timeout=300)
    assert (said.status_code, said.json()["code"]) == (503, "elsewhere")
    own, _ = create(pair.other, data)  # abandoned at once: when it has expired the sweeper has been round
    until(lambda: "upload expired" in actions_of(pair.other, own.rsplit("/", 1)[1]), "the sweeper")
    for upload in (url, complete):
        assert actions_of(pair.other, upload.rsplit("/", 1)[1]) == ["upload opened"]

    one = (pair.one.folder / "data" / FILE).read_text()

    async def doctor(store: Store) -> list[str]:
        await seen_away(store, one)
        return [finding.says async for finding in examine(store) if finding.grade is Grade.BAD]

    said_bad = pair.command(doctor)
    assert any(f"The node {one} is away" in says and "nodes --forget" in says for says in said_bad), said_bad

    del pair.other.settings["abandoned_days"], pair.other.settings["digest_minutes"]
    pair.other.kill()
    pair.other.start()
    pair.one.start()
    answer = requests.patch(pair.other.url + path, data=data[SEGMENT:], headers=headers, timeout=300)
    assert answer.status_code == 204, answer.text
    assert requests.post(
        f"{pair.other.url}{path}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300
    ).ok
    assert content_of(pair.other, object_id) == data
    its_path = complete.removeprefix(pair.one.url)
    said = requests.post(
        f"{pair.other.url}{its_path}/digest", json={"sha256": sha256(data)}, headers=its_bearer, timeout=300
    )
    assert said.json()["state"] == "received", said.text


async def seen_away(store: Store, node: str) -> None:
    """Wait until the database has noticed that a node was killed."""
    until_ = time.monotonic() + 300
    while any(standing.runs for standing in await survey(store) if standing.node.id == node):
        assert time.monotonic() < until_
        await asyncio.sleep(0.05)


def test_a_node_that_is_gone_is_forgotten_with_a_line_for_each_upload_and_no_other_one_is(pair: Pair):
    url, bearer = create(pair.one, jpeg(SEGMENT))
    one = (pair.one.folder / "data" / FILE).read_text()
    with pytest.raises(CannotStart, match="runs"):
        pair.command(lambda store: forget(store, one))
    pair.one.kill()
    pair.command(lambda store: seen_away(store, one))
    expired, lost = pair.command(lambda store: forget(store, one))
    assert expired >= 1
    assert lost == 0
    other = (pair.other.folder / "data" / FILE).read_text()
    assert [standing.node.id for standing in pair.command(survey)] == [other]
    with pytest.raises(CannotStart, match="no such node"):
        pair.command(lambda store: forget(store, one))
    path = url.removeprefix(pair.one.url)
    assert requests.head(pair.other.url + path, headers=bearer | _PATCH, timeout=300).status_code == 410
    assert actions_of(pair.other, path.rsplit("/", 1)[1]) == ["upload opened", "upload expired"]
    pair.one.start()
    until(lambda: path.rsplit("/", 1)[1] not in arriving(pair.one), "what was given up to be cleared where it lay")


def test_a_copy_of_a_running_node_is_refused_at_its_start(pair: Pair, tmp_path: Path):
    (tmp_path / "data").mkdir()
    shutil.copy(pair.one.folder / "data" / FILE, tmp_path / "data")  # what a copy is known by
    given = pair.one.settings | {"data": str(tmp_path / "data"), "listen": f"unix:{tmp_path / 'socket'}"}
    said = subprocess.run(
        [sys.executable, "-m", "evidence_store.cli", "serve"], capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {f"{PREFIX}{name.upper()}": value for name, value in given.items()},
    )  # fmt: skip
    assert said.returncode == 2, said.stderr
    assert f"remove {tmp_path / 'data' / FILE}" in said.stderr
    beside = pair.one.also(listen=f"unix:{tmp_path / 'beside'}")  # on the folder itself another process is welcome
    until((tmp_path / "beside").exists, "a second process on the first node's folder")
    Process.end(beside)


# --- in this process


@pytest.fixture
async def node(
    seaweed: Seaweed, tmp_path: Path, keys: Keys, clock: HeldClock, evidence_database: str
) -> AsyncIterator[Wire]:
    """A node of a store on PostgreSQL and a bucket."""
    given = settings_on(seaweed.address(f"{signing.new_id()}/"), tmp_path / "store", keys)
    async with open_wire(given.model_copy(update={"database": evidence_database}), keys, clock) as opened:
        yield opened


@on_postgresql
async def test_a_node_whose_copy_came_in_between_writes_no_more_until_it_is_alone_again(node: Wire, tmp_path: Path):
    data = jpeg(1000)
    path, auth = await node.create(data)
    shutil.copytree(node.store.settings.data, tmp_path / "copy")
    settings = node.store.settings.model_copy(update={"data": tmp_path / "copy"})
    copy = open_store(settings, node.store.keys, now=node.clock)
    presences = node.app[app_keys.PRESENCE], Presence(copy)
    with pytest.raises(CannotStart, match="is a copy"):
        await presences[1].enter()
    await presences[0].leave()  # as when its connection to PostgreSQL is lost
    await seen_away(copy, copy.node)
    await presences[1].enter()
    await presences[0].look()
    await node.patch(path, auth, 0, data, status=503)
    assert len(await node.lines()) == 1
    await presences[1].leave()
    await seen_away(copy, copy.node)
    await copy.close()
    await presences[0].look()
    assert await node.patch(path, auth, 0, data) == 1000


@on_postgresql
async def test_a_request_is_passed_on_once_and_only_to_an_address_that_a_node_signed(node: Wire):
    passed = []

    async def take(request: web.Request) -> web.Response:
        passed.append((request.headers["Authorization"], request.headers[HOP], await request.read()))
        return web.Response(status=204, headers={"Upload-Offset": "1000"})

    app = web.Application()
    app.router.add_route("*", "/evidence/files/{id}", take)
    async with TestServer(app) as other:
        url, key, foreign = str(other.make_url("")).rstrip("/"), node.store.keys.bearer, "f" * 32
        data = jpeg(1000)
        path, auth = await node.create(data)
        async with node.store.database.begin() as db:
            await db.execute(text("UPDATE uploads SET node = :node"), {"node": foreign})
        for secret, status in ((b"k" * 32, 503), (key, 204)):
            address = signing.sign(secret, "node1", {"node": foreign, "url": url})
            async with node.store.database.begin() as db:
                await nodes.put_node(db, Node(foreign, address, node.clock(), node.clock()))
            await node.patch(path, auth, 0, data, status=status)
        assert passed == [(auth["Authorization"], "1", data)]
        await node.patch(path, auth | {HOP: "1"}, 0, data, status=503)
        assert len(passed) == 1


@on_postgresql
@pytest.mark.parametrize("is_ours", [True, False])
async def test_another_nodes_certificate_must_lead_to_our_authority(node: Wire, tmp_path: Path, is_ours: bool):
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    node.store.settings = node.store.settings.model_copy(update={"node_ca": ours.ca})
    came = []

    async def take(request: web.Request) -> web.Response:
        came.append(await request.read())
        return web.Response(status=204, headers={"Upload-Offset": "1000"})

    app = web.Application()
    app.router.add_route("*", "/evidence/files/{id}", take)
    other, foreign, data = TestServer(app, scheme="https"), "f" * 32, jpeg(1000)
    await other.start_server(ssl=context_of((ours if is_ours else theirs).issue()))
    path, auth = await node.create(data)
    said = {"node": foreign, "url": str(other.make_url("")).rstrip("/")}
    address = signing.sign(node.store.keys.bearer, "node1", said)
    async with node.store.database.begin() as db:
        await db.execute(text("UPDATE uploads SET node = :node"), {"node": foreign})
        await nodes.put_node(db, Node(foreign, address, node.clock(), node.clock()))
    await node.patch(path, auth, 0, data, status=204 if is_ours else 503)
    assert came == ([data] if is_ours else [])
    await other.close()


@pytest.mark.parametrize("evidence_database", ["sqlite", "postgresql"], indirect=True)
async def test_a_second_node_without_postgresql_or_a_bucket_is_refused(wire: Wire, tmp_path: Path):
    first = wire.store.settings
    settings = first.model_copy(update={"data": tmp_path / "other", "database": first.database_url})
    other = open_store(settings, wire.store.keys, now=wire.clock)
    with pytest.raises(CannotStart, match=f"nodes --forget {wire.store.node}"):
        await Presence(other).enter()
    await other.close()
    assert await wire.upload(jpeg(1000))


async def test_what_was_arriving_before_nodes_had_names_goes_on(
    evidence_settings: Settings, keys: Keys, clock: HeldClock
):
    data = jpeg(2000)
    async with open_wire(evidence_settings, keys, clock) as wire:
        path, auth = await wire.create(data)
        await wire.patch(path, auth, 0, data[:500])
        async with wire.store.database.begin() as db:
            await db.execute(text("UPDATE uploads SET node = ''"))
            await db.execute(text("DELETE FROM nodes"))
        assert await wire.stand(path, auth) == 500
    async with open_wire(evidence_settings, keys, clock) as wire:
        assert (await wire.app[app_keys.UPLOADS].get(path.rsplit("/", 1)[1])).node == wire.store.node
        assert await wire.patch(path, auth, 500, data[500:]) == 2000
