"""TLS where the store serves and where it asks: certificates of a test's own authority, checked by whoever connects."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from evidence_store.app import open_store
from evidence_store.backend.bucket import Bucket
from evidence_store.errors import BackendFailed, CannotStart
from evidence_store.sealing.keys import Keys
from evidence_store.verify import verify
from tests.conftest import HeldClock
from tests.evidence.conftest import SEGMENT, Process, jpeg, open_wire, sha256
from tests.evidence.seaweed import LOCKED, Seaweed
from tests.evidence.test_bucket import settings_on
from tests.evidence.test_kills import _PATCH, content_of, create
from tests.evidence.tls_support import Authority, tls_front


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody here trusts."""
    return Authority(tmp_path_factory.mktemp("tls") / "theirs")


@pytest.fixture
def process(
    tmp_path: Path, fork_store: Callable[[dict[str, str]], int], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Process]:
    """A store that serves over TLS; whoever asks it in this test trusts our authority alone."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca))
    store = Process(tmp_path / "store", fork_store)
    store.settings["tls"] = str(authority.issue())
    store.url = store.url.replace("http:", "https:")
    store.start()
    yield store
    store.kill()


def test_a_store_that_serves_over_tls_takes_keeps_and_gives_out(
    process: Process, stranger: Authority, monkeypatch: pytest.MonkeyPatch
):
    data = jpeg(3 * SEGMENT + 5)
    url, bearer = create(process, data)
    headers, at = bearer | _PATCH, 0
    for size in (100, 2 * SEGMENT, len(data)):  # short, and long enough for the way past the parser that TLS has not
        given = headers | {"Upload-Offset": str(at)}
        answer = requests.patch(url, data=data[at : at + size], headers=given, timeout=300)
        assert answer.status_code == 204, answer.text
        at = int(answer.headers["Upload-Offset"])
        if at < len(data):
            process.kill()
            process.start()
    assert requests.post(f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300).ok
    object_id = url.rsplit("/", 1)[1]
    assert content_of(process, object_id) == data
    part = {"Range": f"bytes={SEGMENT - 5}-{SEGMENT + 5}"} | process.token()
    answer = requests.get(f"{process.url}/evidence/v1/objects/{object_id}/content", headers=part, timeout=300)
    assert (answer.status_code, answer.content) == (206, data[SEGMENT - 5 : SEGMENT + 6])
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{process.url.replace('https:', 'http:')}/healthz", timeout=300)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger.ca))
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        requests.get(f"{process.url}/healthz", timeout=300)


async def test_a_bucket_is_spoken_to_over_tls(
    seaweed: Seaweed, authority: Authority, tmp_path: Path, keys: Keys, clock: HeldClock
):
    with tls_front(seaweed.port, authority.issue("localhost")) as port:
        address = replace(
            seaweed.address(f"{keys.folder.parent.name}/", LOCKED),
            endpoint=f"https://localhost:{port}",
            ca=authority.ca,
        )
        settings = settings_on(address, tmp_path / "store", keys).model_copy(update={"s3_ca": authority.ca})
        async with open_wire(settings, keys, clock) as wire:
            data = jpeg(9 * SEGMENT)
            object_id = await wire.upload(data)
            async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
                assert await answer.read() == data
            place = await wire.store.run(wire.store.backend.describe)  # asked by botocore, which has its own TLS
            assert any("object lock" in says for says in place.good)
            assert (await verify(wire.store)).faults == []


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_bucket_whose_certificate_is_wrong_is_refused_at_the_start(
    seaweed: Seaweed, authority: Authority, stranger: Authority, tmp_path: Path, keys: Keys, wrong: str
):
    certificate = authority.issue("elsewhere.example") if wrong == "name" else stranger.issue("localhost")
    with tls_front(seaweed.port, certificate) as port:
        address = replace(seaweed.address("refused/", LOCKED), endpoint=f"https://localhost:{port}")
        settings = settings_on(address, tmp_path / "store", keys).model_copy(update={"s3_ca": authority.ca})
        with pytest.raises(CannotStart, match="does not do as asked"):
            open_store(settings, keys)
        with pytest.raises(BackendFailed, match="SSLError"):  # botocore's own TLS
            Bucket(replace(address, ca=authority.ca)).offers()
        store = settings.model_copy(update={"s3_endpoint": seaweed.endpoint})
        open_store(store, keys)  # the same bucket, so nothing but the certificate was wrong
    assert not list((tmp_path / "store" / "data" / "incoming").iterdir())
