"""tus beyond its core: bytes with the creation, checksums, expiry, giving up; and two clients that are not ours."""

import asyncio
import hashlib
import io
import json
import subprocess
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests
from aiohttp import ClientError
from tusclient.client import TusClient

from tests.conftest import HeldClock
from tests.evidence.conftest import SEGMENT, Process, Wire, both_databases, jpeg, sha256
from tests.product import until

ROOT = Path(__file__).parents[2]
PIECES = {"Content-Type": "application/offset+octet-stream"}


def checksum_of(data: bytes, algorithm: str = "sha256") -> dict[str, str]:
    digest = hashlib.new(algorithm, data).digest()
    return {"Upload-Checksum": f"{algorithm} {b64encode(digest).decode()}"}


async def patch(wire: Wire, path: str, auth: dict[str, str], at: int, data: object, **more: str):
    headers = auth | PIECES | {"Upload-Offset": str(at)} | more
    async with wire.http.patch(path, headers=headers, data=data) as answer:
        return answer.status, answer.headers.copy(), await answer.read()


async def create_with(wire: Wire, data: bytes, body: object, *, grant: str = "", **more: str):
    metadata = f"filename {b64encode(b'a.jpg').decode()},filetype {b64encode(b'image/jpeg').decode()}"
    headers = PIECES | {
        "Authorization": f"Grant {grant or wire.grant()}", "Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)),
        "Upload-Metadata": metadata,
    }  # fmt: skip
    async with wire.http.post("/evidence/files/", headers=headers | more, data=body) as answer:
        auth = {"Authorization": f"Bearer {answer.headers.get('Upload-Bearer')}", "Tus-Resumable": "1.0.0"}
        return answer.status, answer.headers.copy(), auth


async def ledger_actions(wire: Wire) -> list[str]:
    async with wire.http.get("/evidence/v1/ledger", headers=wire.token()) as answer:
        return [entry["action"] for entry in (await answer.json())["entries"]]


async def test_options_tell_what_is_spoken(wire: Wire):
    async with wire.http.options("/evidence/files/") as answer:
        assert answer.status == 204
        assert answer.headers["Tus-Version"] == "1.0.0"
        spoken = set(answer.headers["Tus-Extension"].split(","))
        assert spoken == {"creation", "creation-with-upload", "expiration", "checksum", "termination"}
        assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
        assert answer.headers["Tus-Max-Size"] == "20000000000"


# --- checksum


@both_databases
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_pieces_with_their_checksums_are_kept(wire: Wire, algorithm: str):
    data = jpeg(2 * SEGMENT + 900)
    path, auth = await wire.create(data)
    for start, stop in ((0, 300), (300, SEGMENT), (SEGMENT, len(data) - 1), (len(data) - 1, len(data))):
        piece = data[start:stop]
        status, headers, _ = await patch(wire, path, auth, start, piece, **checksum_of(piece, algorithm))
        assert (status, headers["Upload-Offset"]) == (204, str(stop))
    assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"


@pytest.mark.parametrize("at", [0, 100, SEGMENT - 1, SEGMENT, SEGMENT + 5000])
@pytest.mark.parametrize("size", [50, 2 * SEGMENT + 3])
async def test_of_a_piece_with_another_checksum_nothing_is_kept(wire: Wire, at: int, size: int):
    data = jpeg(at + size)
    path, auth = await wire.create(data)
    if at:
        await wire.patch(path, auth, 0, data[:at])
    garbled = b"\x00" * 40 + data[at + 40 :]
    status, _, body = await patch(wire, path, auth, at, garbled, **checksum_of(data[at:]))
    assert (status, json.loads(body)["code"]) == (460, "checksum_mismatch")
    assert await wire.stand(path, auth) == at
    status, _, _ = await patch(wire, path, auth, at, data[at:], **checksum_of(data[at:], "sha1"))
    assert status == 204
    object_id = (await wire.digest(path, auth, sha256(data)))["id"]
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as content:
        assert await content.read() == data


async def test_garbled_first_bytes_with_a_checksum_do_not_close_the_upload(wire: Wire):
    data = jpeg(3000)
    path, auth = await wire.create(data)
    garbled = b"<!doctype html>".ljust(len(data))
    assert (await patch(wire, path, auth, 0, garbled, **checksum_of(data)))[0] == 460
    assert (await patch(wire, path, auth, 0, garbled, **checksum_of(garbled)))[0] == 415  # so they were meant
    async with wire.http.head(path, headers=auth) as answer:
        assert answer.status == 410


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("md5 " + b64encode(bytes(16)).decode(), id="another algorithm"),
        pytest.param("sha1", id="no value"),
        pytest.param("sha1 !!!", id="no base64"),
        pytest.param("sha1 é", id="no ASCII"),
        pytest.param("sha256 " + b64encode(bytes(20)).decode(), id="a digest of another length"),
    ],
)
async def test_a_checksum_that_cannot_be_used_is_refused(wire: Wire, value: str):
    data = jpeg(1000)
    path, auth = await wire.create(data)
    assert (await patch(wire, path, auth, 0, data, **{"Upload-Checksum": value}))[0] == 400
    assert await wire.stand(path, auth) == 0


async def test_a_piece_on_trial_that_is_asked_to_let_go_leaves_nothing(wire: Wire):
    data = jpeg(3 * SEGMENT)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data[:700])
    hangs = asyncio.Event()

    async def pieces():
        yield data[700 : 2 * SEGMENT + 9]
        await hangs.wait()

    first = asyncio.create_task(patch(wire, path, auth, 700, pieces(), **checksum_of(data[700:])))
    await asyncio.to_thread(_wait_for_sealed, wire.store.settings.data, path, at_least=SEGMENT)
    assert await wire.stand(path, auth) == 700
    hangs.set()
    assert (await first)[0] == 423
    assert (await patch(wire, path, auth, 700, data[700:], **checksum_of(data[700:])))[0] == 204
    assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"


async def test_a_piece_beyond_the_length_leaves_nothing_when_it_has_a_checksum(wire: Wire):
    data = jpeg(3000)
    path, auth = await wire.create(data)

    async def pieces():
        yield data
        yield b"more"

    assert (await patch(wire, path, auth, 0, pieces(), **checksum_of(data)))[0] == 413
    assert await wire.stand(path, auth) == 0


async def test_a_complete_upload_bears_an_empty_piece_with_a_checksum(wire: Wire):
    data = jpeg(2 * SEGMENT + 10)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data)
    assert (await patch(wire, path, auth, len(data), b"", **checksum_of(b"")))[0] == 204
    assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"


def test_after_kill_9_nothing_is_left_of_a_piece_on_trial(process: Process):
    data = jpeg(4 * SEGMENT)
    path, auth = _create(process, data)
    kept = SEGMENT + 77
    _patch(process, path, auth, 0, data[:kept])
    gone = threading.Event()

    def pieces():
        yield data[kept : 3 * SEGMENT + 500]
        gone.wait()

    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(_patch, process, path, auth, kept, pieces(), **checksum_of(data[kept:]))
        _wait_for_sealed(Path(process.settings["data"]), path, at_least=2 * SEGMENT)
        process.kill()
        gone.set()
        with pytest.raises(requests.ConnectionError):
            sending.result()
    process.start()
    assert int(requests.head(process.url + path, headers=auth, timeout=300).headers["Upload-Offset"]) == kept
    process.kill()  # what HEAD left as it was, the next writer finds again
    process.start()
    assert _patch(process, path, auth, kept, data[kept:], **checksum_of(data[kept:])) == 204
    answer = requests.post(f"{process.url}{path}/digest", headers=auth, json={"sha256": sha256(data)}, timeout=300)
    assert answer.json()["state"] == "received"
    assert process.verify().returncode == 0


# --- creation with upload


@both_databases
async def test_a_creation_may_carry_the_whole_file(wire: Wire):
    data = jpeg(SEGMENT + 300)
    status, headers, auth = await create_with(wire, data, data, **checksum_of(data, "sha1"))
    assert (status, headers["Upload-Offset"]) == (201, str(len(data)))
    assert "Upload-Expires" not in headers
    assert (await wire.digest(headers["Location"], auth, sha256(data)))["state"] == "received"


async def test_a_creation_may_carry_the_first_bytes(wire: Wire):
    data = jpeg(9000)
    status, headers, auth = await create_with(wire, data, data[:4000])
    assert (status, headers["Upload-Offset"]) == (201, "4000")
    await wire.patch(headers["Location"], auth, 4000, data[4000:])
    assert (await wire.digest(headers["Location"], auth, sha256(data)))["state"] == "received"


@pytest.mark.parametrize(
    ("headers", "extra", "status"),
    [
        pytest.param({"Content-Type": "image/jpeg"}, b"", 415, id="another content type"),
        pytest.param({}, b"more", 413, id="more than announced"),
        pytest.param({"Upload-Checksum": "crc32 AAAA"}, b"", 400, id="unknown checksum"),
    ],
)
async def test_a_creation_with_bytes_that_break_the_protocol_opens_nothing(wire: Wire, headers, extra, status):
    data = jpeg(600)
    assert (await create_with(wire, data, data + extra, **headers))[0] == status
    assert list((wire.store.settings.data / "incoming").iterdir()) == []


async def test_a_creation_whose_bytes_were_garbled_may_be_sent_again_with_the_same_grant(wire: Wire):
    data, grant = jpeg(600), wire.grant()
    assert (await create_with(wire, data, data[:-1] + b"?", grant=grant, **checksum_of(data)))[0] == 460
    status, headers, auth = await create_with(wire, data, data, grant=grant, **checksum_of(data))
    assert status == 201
    assert (await wire.digest(headers["Location"], auth, sha256(data)))["state"] == "received"


async def test_a_creation_cut_off_in_its_bytes_may_be_sent_again_with_the_same_grant(wire: Wire):
    data, grant = jpeg(3 * SEGMENT), wire.grant()

    async def broken():
        yield data[: 2 * SEGMENT + 100]
        await asyncio.to_thread(_wait_for_sealed, wire.store.settings.data, "/", at_least=SEGMENT)
        raise ConnectionError

    with pytest.raises(ClientError):
        await create_with(wire, data, broken(), grant=grant)
    status, headers, auth = await create_with(wire, data, data, grant=grant)
    assert status == 201
    assert (await wire.digest(headers["Location"], auth, sha256(data)))["state"] == "received"


# --- expiration


async def test_it_is_told_when_an_unfinished_upload_expires_and_then_it_does(wire: Wire, clock: HeldClock):
    data = jpeg(3000)
    status, headers, auth = await create_with(wire, data, data[:1000])
    assert status == 201
    first = parsedate_to_datetime(headers["Upload-Expires"])
    assert first == clock().replace(microsecond=0) + timedelta(days=7)
    clock.move(minutes=5)
    _, later, _ = await patch(wire, headers["Location"], auth, 1000, data[1000:2000])
    expires_at = parsedate_to_datetime(later["Upload-Expires"])
    assert expires_at == first + timedelta(minutes=5)
    async with wire.http.head(headers["Location"], headers=auth) as answer:
        assert answer.headers["Upload-Expires"] == later["Upload-Expires"]
        assert answer.headers["Upload-Metadata"] == "filename YS5qcGc=,filetype aW1hZ2UvanBlZw=="


# --- termination


@both_databases
async def test_a_sender_may_give_up_an_unfinished_upload(wire: Wire):
    data = jpeg(3 * SEGMENT)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data[:2_000_000])
    async with wire.http.delete(path, headers=auth) as answer:
        assert (answer.status, answer.headers["Tus-Resumable"]) == (204, "1.0.0")
    assert list((wire.store.settings.data / "incoming").iterdir()) == []
    assert list(wire.store.keys.ingest.iterdir()) == []
    for method in ("HEAD", "DELETE"):
        async with wire.http.request(method, path, headers=auth) as answer:
            assert answer.status == 410
    await wire.patch(path, auth, 2_000_000, data[2_000_000:], status=410)
    assert await ledger_actions(wire) == ["upload opened", "upload terminated"]


async def test_what_has_arrived_whole_cannot_be_taken_back(wire: Wire):
    data = jpeg(3000)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data)
    for _ in ("complete", "sealed"):
        async with wire.http.delete(path, headers=auth) as answer:
            assert (answer.status, (await answer.json())["code"]) == (409, "arrived")
        assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"


async def test_giving_up_needs_the_uploads_own_bearer_and_the_version(wire: Wire):
    data = jpeg(3000)
    path, auth = await wire.create(data)
    _, other = await wire.create(data)
    for headers, status in (({}, 401), (other, 401), ({"Authorization": auth["Authorization"]}, 412)):
        async with wire.http.delete(path, headers=headers) as answer:
            assert answer.status == status
    assert await wire.stand(path, auth) == 0


async def test_giving_up_ends_a_writer_that_hangs(wire: Wire):
    data = jpeg(3 * SEGMENT)
    path, auth = await wire.create(data)
    hangs = asyncio.Event()

    async def pieces():
        yield data[: 2 * SEGMENT]
        await hangs.wait()

    writing = asyncio.create_task(patch(wire, path, auth, 0, pieces()))
    await asyncio.to_thread(_wait_for_sealed, wire.store.settings.data, path, at_least=SEGMENT)
    async with wire.http.delete(path, headers=auth) as answer:
        assert answer.status == 204
    hangs.set()
    assert (await writing)[0] == 423
    assert list((wire.store.settings.data / "incoming").iterdir()) == []


# --- other people's clients


async def test_post_does_what_the_override_says(wire: Wire):
    data = jpeg(3000)
    path, auth = await wire.create(data)
    headers = auth | PIECES | {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0"}
    async with wire.http.post(path, headers=headers, data=data[:1000]) as answer:
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, "1000")
    async with wire.http.post(path, headers=auth | {"X-HTTP-Method-Override": "HEAD"}) as answer:
        assert (answer.status, answer.headers["Upload-Offset"], await answer.read()) == (200, "1000", b"")
    async with wire.http.post(path, headers=auth) as answer:
        assert answer.status == 405
    async with wire.http.post(path, headers=auth | {"X-HTTP-Method-Override": "DELETE"}) as answer:
        assert answer.status == 204


def test_tuspy_sends_a_file_in_pieces_with_checksums(process: Process):
    data = jpeg(2 * SEGMENT + 12345)
    client = TusClient(process.url + "/evidence/files/", headers={"Authorization": f"Grant {process.grant()}"})
    given = {"filename": "a.jpg", "filetype": "image/jpeg"}
    sending = client.uploader(
        file_stream=io.BytesIO(data), chunk_size=700_000, metadata=given, upload_checksum=True, retries=0
    )
    created = requests.post(client.url, headers=sending.get_url_creation_headers(), timeout=300)
    client.set_headers({"Authorization": f"Bearer {created.headers['Upload-Bearer']}"})
    sending.set_url(process.url + created.headers["Location"])
    sending.upload()
    auth = {"Authorization": f"Bearer {created.headers['Upload-Bearer']}"}
    answer = requests.post(f"{sending.url}/digest", headers=auth, json={"sha256": sha256(data)}, timeout=300)
    assert answer.json()["state"] == "received"


def test_tus_js_client_sends_with_the_creation_and_gives_up_another(process: Process, tmp_path: Path):
    data = jpeg(SEGMENT + 4321)
    (tmp_path / "photo.jpg").write_bytes(data)
    client = ["node", "tests/evidence/tus_client.mjs"]
    done = subprocess.run(
        [*client, process.url, tmp_path / "photo.jpg", process.grant(), process.grant()],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told == {"sent": len(data), "state": "received", "sha256": sha256(data), "givenUp": 410}


def _create(process: Process, data: bytes) -> tuple[str, dict[str, str]]:
    metadata = f"filename {b64encode(b'a.jpg').decode()},filetype {b64encode(b'image/jpeg').decode()}"
    headers = {
        "Authorization": f"Grant {process.grant()}", "Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)),
        "Upload-Metadata": metadata,
    }  # fmt: skip
    answer = requests.post(f"{process.url}/evidence/files/", headers=headers, timeout=300)
    auth = {"Authorization": f"Bearer {answer.headers['Upload-Bearer']}", "Tus-Resumable": "1.0.0"}
    return answer.headers["Location"], auth


def _patch(process: Process, path: str, auth: dict[str, str], at: int, data: object, **more: str) -> int:
    headers = auth | PIECES | {"Upload-Offset": str(at)} | more
    return requests.patch(process.url + path, headers=headers, data=data, timeout=300).status_code  # type: ignore[arg-type]


def _wait_for_sealed(data: Path, path: str, *, at_least: int) -> None:
    """Wait until so much lies sealed in the file of an upload (any, when the path names none)."""
    name = path.rsplit("/", 1)[1] or "*"

    def lies() -> bool:
        return any(f.stat().st_size >= at_least for f in (data / "incoming").glob(f"{name}/object/data.floe"))

    until(lies, "bytes in the upload's file")
