"""Several processes on one folder; memory; the settings' table; kinds."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from evidence_store import kinds
from evidence_store.config import PREFIX, Settings
from evidence_store.errors import WrongKind
from tests.evidence.conftest import INCIDENT, SEGMENT, Process, both_databases, jpeg, sha256
from tests.evidence.test_kills import _PATCH, content_of, create
from tests.product import until


@pytest.fixture
def neighbour(process: Process, fork_store):
    """A second process on the same folder, keys and database."""
    second = Process(process.folder, fork_store)
    second.settings["database"] = process.settings["database"]
    second.start()
    yield second
    second.kill()


@both_databases
def test_an_upload_goes_on_in_another_process_while_the_first_keeps_it_in_memory(process: Process, neighbour: Process):
    data = jpeg(4 * SEGMENT + 5)
    url, bearer = create(process, data)
    path, at = url.removeprefix(process.url), 0
    for n, size in enumerate((SEGMENT // 2, SEGMENT, 100, SEGMENT, SEGMENT)):
        base = (process, neighbour)[n % 2].url
        headers = bearer | _PATCH | {"Upload-Offset": str(at)}
        answer = requests.patch(base + path, data=data[at : at + size], headers=headers, timeout=300)
        assert answer.status_code == 204, answer.text
        at += size
        other = requests.head((process, neighbour)[(n + 1) % 2].url + path, headers=bearer | _PATCH, timeout=300)
        assert other.headers["Upload-Offset"] == str(at)
    headers = bearer | _PATCH | {"Upload-Offset": str(at)}
    assert requests.patch(process.url + path, data=data[at:], headers=headers, timeout=300).status_code == 204
    said = requests.post(f"{neighbour.url}{path}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300)
    assert said.json()["state"] == "received"
    assert content_of(process, path.rsplit("/", 1)[1]) == data


@both_databases
def test_a_writer_that_hangs_in_one_process_lets_go_for_another(process: Process, neighbour: Process):
    take_over_from_one_that_hangs(process, neighbour)


def take_over_from_one_that_hangs(stale: Process, fresh: Process) -> None:
    """Have a sender at one store hang in the middle, and another finish the upload at the other."""
    data = jpeg(3 * SEGMENT)
    url, bearer = create(stale, data)
    path, hangs, statuses = url.removeprefix(stale.url), threading.Event(), []

    def pieces():
        yield data[: 2 * SEGMENT]
        hangs.wait(300)
        yield data[2 * SEGMENT :]

    def send() -> None:
        headers = bearer | _PATCH | {"Upload-Offset": "0"}
        statuses.append(requests.patch(url, data=pieces(), headers=headers, timeout=300).status_code)

    thread = threading.Thread(target=send)
    thread.start()
    until_sealed(stale, url, SEGMENT)  # who is asked to let go before a byte came takes none
    answer = until_let_go(fresh.url + path, bearer | _PATCH)
    at = int(answer.headers["Upload-Offset"])
    assert at >= SEGMENT
    headers = bearer | _PATCH | {"Upload-Offset": str(at)}
    answer = requests.patch(fresh.url + path, data=data[at:], headers=headers, timeout=300)
    assert answer.status_code == 204, answer.text
    hangs.set()
    thread.join()
    assert statuses == [423]
    said = requests.post(f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300)
    assert said.json()["state"] == "received"


def until_sealed(node: Process, url: str, at_least: int) -> None:
    """Wait until so many bytes of an upload lie sealed at the node, without asking whoever writes to let go."""
    file = node.folder / "data" / "incoming" / url.rsplit("/", 1)[1] / "object" / "data.floe"
    until(lambda: file.exists() and file.stat().st_size >= at_least, "bytes at the node")


def until_let_go(url: str, headers: dict[str, str]) -> requests.Response:
    """Ask where an upload stands until whoever writes has let go; return the answer."""

    def ask() -> requests.Response | None:
        answer = requests.head(url, headers=headers, timeout=300)
        assert answer.status_code in {200, 423}
        return answer if answer.status_code == 200 else None

    return until(ask, "the writer to let go")


@both_databases
def test_eight_senders_on_two_nodes_bring_one_upload_home_once(process: Process, neighbour: Process):
    bring_home_from_eight(process, neighbour)


def bring_home_from_eight(one: Process, other: Process) -> None:
    """Have eight senders, half of them at each store, send pieces of one upload wherever it stands."""
    data = jpeg(2 * SEGMENT + 77)
    url, bearer = create(one, data)
    path, said, problems = url.removeprefix(one.url), [], []

    def send(base: str, seed: int) -> None:
        rng, at = random.Random(seed), 0
        while at < len(data):
            stands = requests.head(base + path, headers=bearer | _PATCH, timeout=300)
            if stands.status_code != 200:  # locked: another writes, and was asked to let go
                problems.extend([stands.status_code] if stands.status_code != 423 else [])
                continue
            at = int(stands.headers["Upload-Offset"])
            piece = data[at : at + rng.randrange(1, 600_000)]
            headers = bearer | _PATCH | {"Upload-Offset": str(at)}
            status = requests.patch(base + path, data=piece, headers=headers, timeout=300).status_code if piece else 204
            problems.extend([status] if status not in {204, 409, 410, 423} else [])
        said.append(until(lambda: give_digest(base), "another one's digest to be done with"))

    def give_digest(base: str) -> tuple[int, str] | None:
        digest = {"sha256": sha256(data)}
        answer = requests.post(f"{base}{path}/digest", json=digest, headers=bearer, timeout=300)
        return None if answer.status_code == 423 else (answer.status_code, answer.json().get("state"))

    senders = [threading.Thread(target=send, args=((one, other)[n % 2].url, n)) for n in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert problems == []
    assert said == [(200, "received")] * 8
    object_id = path.rsplit("/", 1)[1]
    assert content_of(other, object_id) == data
    assert actions_of(one, object_id) == ["upload opened", "received", "downloaded"]


def actions_of(process: Process, object_id: str) -> list[str]:
    """Return what the ledger says was done with an object."""
    where = f"{process.url}/evidence/v1/ledger?after=0&object={object_id}"
    return [line["action"] for line in requests.get(where, headers=process.token(), timeout=300).json()["entries"]]


def test_memory_does_not_grow_with_the_size_of_a_file(process: Process):
    def peak_mib() -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    def put(size: int, object_id: str) -> None:
        data = jpeg(SEGMENT) * (size // SEGMENT)
        headers = process.token() | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "film", "Content-Type": "image/jpeg",
            "Evidence-Sha256": sha256(data),
        }  # fmt: skip
        url = f"{process.url}/evidence/v1/objects/{object_id}"
        assert requests.put(url, data=data, headers=headers, timeout=300).status_code == 201
        with requests.get(f"{url}/content", headers=process.token(), stream=True, timeout=300) as answer:
            assert sum(map(len, answer.iter_content(1 << 20))) == len(data)

    put(10 * SEGMENT, "a" * 32)
    small = peak_mib()
    put(200 * SEGMENT, "b" * 32)
    assert peak_mib() - small < 20


def test_every_setting_stands_in_the_readme():
    readme = (Path(kinds.__file__).parent / "README.md").read_text()
    rows = {line.split("`")[1] for line in readme.splitlines() if line.startswith("| `EVIDENCE_")}
    assert rows == {PREFIX + name.upper() for name in Settings.model_fields}


SAMPLES = {
    "image/jpeg": b"\xff\xd8\xff\xe1",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "image/heic": b"\x00\x00\x00\x18ftypheic\x00",
    "video/mp4": b"\x00\x00\x00\x18ftypisom\x00",
    "video/quicktime": b"\x00\x00\x00\x14ftypqt  \x00",
    "video/3gpp": b"\x00\x00\x00\x14ftyp3gp4\x00",
    "video/webm": b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm",
    "audio/mp4": b"\x00\x00\x00\x18ftypM4A \x00",
    "audio/mpeg": b"ID3\x04\x00",
    "audio/wav": b"RIFF\x00\x00\x00\x00WAVEfmt ",
    "audio/ogg": b"OggS\x00",
    "audio/amr": b"#!AMR\n",
    "application/pdf": b"%PDF-1.7\n",
    "text/plain": "I saw him. Gwelais i ef. Żółć".encode(),
}


@pytest.mark.parametrize("media_type", SAMPLES)
def test_each_kind_is_recognised_as_itself(media_type):
    assert kinds.recognise(SAMPLES[media_type], media_type, kinds.CODES) == media_type


@pytest.mark.parametrize(("declared", "sample"), [(a, b) for a in SAMPLES for b in SAMPLES if a != b])
def test_what_is_declared_as_another_kind_is_recorded_as_an_allowed_kind_it_looks_like(declared, sample):
    found = kinds.recognise(SAMPLES[sample], declared, kinds.CODES) if sample != "text/plain" else sample
    assert any(kind.looks_like(SAMPLES[sample]) and found in kind.media_types for kind in kinds.KINDS)


def test_a_kind_that_the_grant_does_not_allow_is_refused():
    with pytest.raises(WrongKind):
        kinds.recognise(SAMPLES["application/pdf"], "image/jpeg", ["jpeg", "png"])
    with pytest.raises(WrongKind):
        kinds.declared_kind("application/pdf", "a.pdf", ["jpeg"])
    assert kinds.expand(["photo", "application/pdf"]) == ("jpeg", "png", "gif", "webp", "heic", "pdf")
    with pytest.raises(ValueError, match="exe"):
        kinds.expand(["exe"])


def test_a_store_started_by_a_parent_ends_when_the_parents_pipe_closes(tmp_path: Path):
    command = [sys.executable, "-m", "evidence_store.cli"]
    where = ["--keys", str(tmp_path / "keys")]
    subprocess.run([*command, "init", *where], check=True, capture_output=True)
    socket = tmp_path / "store.sock"
    serve = [*command, "serve", *where, "--data", str(tmp_path / "data"), "--listen", f"unix:{socket}", "--parent-pipe"]
    child = subprocess.Popen(serve, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert "listening" in child.stderr.readline()
    assert socket.stat().st_mode & 0o777 == 0o600
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(300) == 0
    child.stderr.close()
