"""A real server process, a real tus client, and kill -9 at moments drawn from a seed."""

import contextlib
import random
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests
from tusclient.client import TusClient

from evidence_store.sealing import signing
from tests.evidence.conftest import INCIDENT, SEGMENT, Process, jpeg, sha256
from tests.product import until

_LOST = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
_PATCH = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


class Moments:
    """How long to wait before a kill, drawn from a seed: longer after one that came too early, else less long.

    So some come before the answer and some behind it, however fast the machine is.
    """

    def __init__(self, rng: random.Random, seconds: float) -> None:
        self._rng, self._most = rng, seconds

    def draw(self) -> float:
        return self._rng.uniform(0, self._most)

    def learn(self, *, answered: bool) -> None:
        self._most *= 0.5 if answered else 2


def create(process: Process, data: bytes) -> tuple[str, dict[str, str]]:
    """Open an upload as tuspy does; return its address and the headers for its bearer."""
    grant = {"Authorization": f"Grant {process.grant()}"}
    client = TusClient(f"{process.url}/evidence/files/", headers=grant)
    uploader = client.uploader(file_stream=BytesIO(data), metadata={"filename": "film.jpg", "filetype": "image/jpeg"})
    url = uploader.create_url()
    bearer = requests.post(f"{url}/bearer", headers=grant, timeout=300).json()["bearer"]
    return url, {"Authorization": f"Bearer {bearer}"}


def content_of(process: Process, object_id: str) -> bytes:
    answer = requests.get(
        f"{process.url}/evidence/v1/objects/{object_id}/content", headers=process.token(), timeout=300
    )
    assert answer.status_code == 200, answer.text
    return answer.content


def test_tuspy_uploads_a_file_and_it_reads_back(process: Process, tmp_path: Path):
    data = jpeg(3 * SEGMENT + 12345)
    (tmp_path / "film.jpg").write_bytes(data)
    url, bearer = create(process, data)
    client = TusClient(f"{process.url}/evidence/files/", headers=bearer)
    client.uploader(str(tmp_path / "film.jpg"), url=url, chunk_size=700_000).upload()
    answer = requests.post(f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300)
    assert answer.json()["state"] == "received"
    assert content_of(process, url.rsplit("/", 1)[1]) == data
    where = f"{process.url}/evidence/v1/ledger/checkpoint"
    (tmp_path / "kept").write_text(requests.get(where, headers=process.token(), timeout=300).text)
    said = process.verify("--checkpoint", str(tmp_path / "kept"))
    assert said.returncode == 0
    assert "3 ledger lines, 1 object (" in said.stdout
    assert "1 checkpoint from elsewhere" in said.stdout
    (tmp_path / "kept").write_text((tmp_path / "kept").read_text().replace("\n3\n", "\n4\n"))
    said = process.verify("--checkpoint", str(tmp_path / "kept"))
    assert (said.returncode, "✗ A checkpoint in the file" in said.stdout) == (1, True)


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_acknowledged_is_lost_by_kills_in_the_middle_of_an_upload(process: Process, seed: int):
    rng = random.Random(seed)
    data = jpeg(9 * SEGMENT + rng.randrange(SEGMENT), seed)
    url, bearer = create(process, data)
    acknowledged, kills = 0, 0
    while True:
        stands = requests.head(url, headers=bearer | _PATCH, timeout=300)
        assert stands.status_code == 200
        offset = int(stands.headers["Upload-Offset"])
        assert offset >= acknowledged
        acknowledged = offset  # what HEAD says is a promise, too
        if offset == len(data):
            break
        killer = threading.Timer(rng.uniform(0, 0.35), process.kill) if kills < 15 else None
        if killer:
            killer.start()
        try:
            # while kills are to come the upload must not end, else there is nothing to kill
            most = len(data) - offset - 1 if killer else len(data) - offset
            size = min(most, rng.choice([1, 50_000, 400_000, SEGMENT, 2 * SEGMENT]))
            piece = data[offset : offset + size]
            body = _slowly(piece, rng)
            headers = bearer | _PATCH | {"Upload-Offset": str(offset)}
            if rng.random() < 0.5:
                headers["Upload-Checksum"] = f"sha256 {b64encode(bytes.fromhex(sha256(piece))).decode()}"
            answer = requests.patch(url, data=body, headers=headers, timeout=300)
            assert answer.status_code == 204, answer.text
            acknowledged = int(answer.headers["Upload-Offset"])
            assert acknowledged == offset + size
        except _LOST:
            assert killer is not None
        if killer:
            killer.join()
            kills += 1
            process.start()
    assert kills == 15
    process.kill()  # once more, between the last byte and the digest
    process.start()
    answer = requests.post(f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300)
    assert answer.json()["state"] == "received", answer.text
    assert content_of(process, url.rsplit("/", 1)[1]) == data
    verified = process.verify()
    assert verified.returncode == 0, verified.stdout


def _slowly(data: bytes, rng: random.Random) -> Iterator[bytes]:
    for at in range(0, len(data), 100_000):
        yield data[at : at + 100_000]
        time.sleep(rng.uniform(0, 0.02))


def test_kills_around_the_digest_leave_one_sealed_object_or_an_open_upload(process: Process):
    rng = random.Random(3)
    for round_ in range(15):
        data = jpeg(rng.randrange(1000, 300_000), round_)
        url, bearer = create(process, data)
        headers = bearer | _PATCH | {"Upload-Offset": "0"}
        assert requests.patch(url, data=data, headers=headers, timeout=300).status_code == 204
        killer = threading.Timer(rng.uniform(0, 0.06), process.kill)
        killer.start()
        said = None
        with contextlib.suppress(_LOST):
            said = requests.post(f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300)
        killer.join()
        process.start()
        if said is None:
            said = requests.post(f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300)
        assert said.json()["state"] == "received", said.text
        assert content_of(process, url.rsplit("/", 1)[1]) == data
        # a kill between the row and the key's end leaves the key to the next sweep
        until(lambda: not list((process.folder / "keys" / "ingest").iterdir()), "the ingest key to be destroyed")
    verified = process.verify()
    assert verified.returncode == 0, verified.stdout


def test_an_acknowledged_put_is_there_after_a_kill_and_another_is_whole_or_absent(process: Process):
    rng = random.Random(4)
    moments, acknowledged_ones = Moments(rng, 0.15), 0
    for round_ in range(20):
        data, object_id = jpeg(rng.randrange(1000, 2 * SEGMENT), round_), signing.new_id()
        headers = process.token() | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Content-Type": "image/jpeg",
            "Evidence-Sha256": sha256(data),
        }  # fmt: skip
        url = f"{process.url}/evidence/v1/objects/{object_id}"
        killer = threading.Timer(moments.draw(), process.kill)
        killer.start()
        try:
            acknowledged = requests.put(url, data=data, headers=headers, timeout=300).status_code == 201
        except _LOST:
            acknowledged = False
        killer.join()
        process.start()
        acknowledged_ones += acknowledged
        moments.learn(answered=acknowledged)
        there = requests.get(url, headers=process.token(), timeout=300)
        if acknowledged or there.status_code == 200:
            assert there.json()["state"] == "received"
            assert content_of(process, object_id) == data
        else:
            assert there.status_code == 404
        assert requests.put(url, data=data, headers=headers, timeout=300).status_code in {200, 201}
        assert content_of(process, object_id) == data
    assert 0 < acknowledged_ones < 20, "the moments of the kills prove nothing: draw others"
    verified = process.verify()
    assert verified.returncode == 0, verified.stdout
