"""Uploads: the protocol kept strictly, grants and bearers, kinds, digests."""

import asyncio
from base64 import b64encode
from datetime import timedelta

import pytest

from evidence_store import storage
from evidence_store.app import open_store, prepare
from evidence_store.config import Settings
from evidence_store.errors import TooMany
from evidence_store.grants import make_grant, open_grant
from evidence_store.sealing import signing
from evidence_store.storage import find_upload
from evidence_store.tokens import Scope
from evidence_store.uploads.service import Uploads
from tests.conftest import HeldClock
from tests.evidence.conftest import INCIDENT, SEGMENT, Wire, both_databases, jpeg, sha256
from tests.evidence.test_intake import is_taken

HTML = b"<!doctype html><script>alert(1)</script>"


@both_databases
async def test_an_upload_in_pieces_is_sealed_with_the_digest_of_the_whole(wire: Wire):
    data = jpeg(2 * SEGMENT + 7)
    path, auth = await wire.create(data)
    at = 0
    for size in (1, 600, SEGMENT - 601, SEGMENT, 1, 6):  # on, before and behind the edges of segments
        at = await wire.patch(path, auth, at, data[at : at + size])
        assert await wire.stand(path, auth) == at
    answer = await wire.digest(path, auth, sha256(data))
    assert answer["state"] == "received"
    found = await wire.metadata(answer["id"])
    assert (found["sha256"], found["size_bytes"], found["client_digest"]) == (sha256(data), len(data), "equal")
    async with wire.http.get(f"/evidence/v1/objects/{answer['id']}/content", headers=wire.token()) as content:
        assert await content.read() == data


async def test_an_upload_that_ends_on_the_edge_of_a_segment_is_whole(wire: Wire):
    data = jpeg(2 * SEGMENT)
    object_id = await wire.upload(data)
    assert (await wire.metadata(object_id))["sha256"] == sha256(data)


async def test_the_ingest_key_is_gone_and_nothing_is_left_once_an_upload_is_sealed(wire: Wire):
    data = jpeg(5000)
    path, auth = await wire.create(data)
    upload_id = path.rsplit("/", 1)[1]
    key = wire.store.keys.ingest / f"{upload_id}.key"
    assert key.stat().st_size == 96
    await wire.patch(path, auth, 0, data)
    await wire.digest(path, auth, sha256(data))
    assert not key.exists()
    assert list((wire.store.settings.data / "incoming").iterdir()) == []
    assert list((wire.store.settings.data / "locks").iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        pytest.param({"Content-Type": "application/octet-stream"}, 415, "wrong_content_type", id="content type"),
        pytest.param({"Upload-Offset": "99"}, 409, "wrong_offset", id="offset ahead"),
        pytest.param({"Upload-Offset": "0"}, 409, "wrong_offset", id="offset behind"),
        pytest.param({"Upload-Offset": "-1"}, 400, "bad_request", id="negative offset"),
        pytest.param({"Upload-Offset": "١"}, 400, "bad_request", id="digits of another script"),
        pytest.param({"Tus-Resumable": "0.2.2"}, 412, "wrong_tus_version", id="another version"),
        pytest.param({"Authorization": "Bearer nonsense"}, 401, "unauthorized", id="no bearer"),
    ],
)
async def test_a_patch_that_breaks_the_protocol_is_refused_and_changes_nothing(wire: Wire, changed, status, code):
    data = jpeg(10_000)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data[:4000])
    given = auth | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "4000"} | changed
    async with wire.http.patch(path, headers=given, data=data[4000:5000]) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["code"] == code
    assert await wire.stand(path, auth) == 4000
    await wire.patch(path, auth, 4000, data[4000:])
    assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"


@pytest.mark.parametrize("announced", [True, False], ids=["with a length", "chunked"])
async def test_a_body_beyond_the_length_is_refused(wire: Wire, announced):
    data = jpeg(3000)
    path, auth = await wire.create(data)

    async def pieces():
        yield data
        yield b"more"

    given = auth | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    async with wire.http.patch(path, headers=given, data=data + b"more" if announced else pieces()) as answer:
        assert answer.status == 413
    at = await wire.stand(path, auth)
    if at < len(data):
        await wire.patch(path, auth, at, data[at:])
    assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"


async def test_what_came_before_a_cut_connection_is_kept(wire: Wire):
    data = jpeg(3 * SEGMENT)
    path, auth = await wire.create(data)
    half = len(data) // 2
    url = wire.http._base_url
    _reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = [f"PATCH {path} HTTP/1.1", "Host: store", *(f"{name}: {value}" for name, value in auth.items())]
    lines += ["Content-Type: application/offset+octet-stream", "Upload-Offset: 0", f"Content-Length: {len(data)}"]
    writer.write("\r\n".join([*lines, "", ""]).encode() + data[:half])
    await writer.drain()
    await is_taken(wire, path, half)
    writer.close()
    await writer.wait_closed()
    at = await wire.stand(path, auth)
    assert SEGMENT <= at <= half
    await wire.patch(path, auth, at, data[at:])
    assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"


@both_databases
async def test_a_second_connection_gets_the_upload_from_one_that_hangs(wire: Wire):
    data = jpeg(2 * SEGMENT)
    path, auth = await wire.create(data)
    hangs = asyncio.Event()

    async def pieces():
        yield data[:SEGMENT]
        await hangs.wait()
        yield data[SEGMENT:]

    given = auth | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}

    async def stale() -> int:
        async with wire.http.patch(path, headers=given, data=pieces()) as answer:
            return answer.status

    first = asyncio.create_task(stale())
    await is_taken(wire, path, SEGMENT)
    at = await wire.stand(path, auth)
    assert at == SEGMENT
    hangs.set()
    assert await first == 423
    await wire.patch(path, auth, at, data[at:])
    assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        pytest.param(HTML, "page.html", "text/html", id="declared"),
        pytest.param(b"MZ" + bytes(600), "tool.exe", "application/x-msdownload", id="a program"),
        pytest.param(jpeg(600), "photo.exe", "", id="no type and a wrong ending"),
    ],
)
async def test_a_forbidden_kind_is_refused_before_anything_is_stored(wire: Wire, data, name, kind):
    await wire.create(data, name=name, kind=kind, status=415)
    assert list((wire.store.settings.data / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(HTML.ljust(600), "image/jpeg", id="a page called a photo"),
        pytest.param(HTML, "text/plain", id="a short page called text"),
        pytest.param(b"\xef\xbb\xbf  <svg onload=x>".ljust(700), "text/plain", id="markup behind a byte order mark"),
        pytest.param(b"\x7fELF" + bytes(700), "video/mp4", id="a program called a film"),
        pytest.param(b"PK\x03\x04" + bytes(700), "image/png", id="an archive called a picture"),
    ],
)
async def test_content_of_a_forbidden_kind_is_refused_whatever_it_is_called(wire: Wire, data, kind):
    path, auth = await wire.create(data, kind=kind)
    await wire.patch(path, auth, 0, data, status=415)
    async with wire.http.head(path, headers=auth) as answer:
        assert answer.status == 410
    assert list((wire.store.settings.data / "incoming").iterdir()) == []


async def test_content_of_a_forbidden_kind_is_found_when_it_comes_in_crumbs(wire: Wire):
    data = HTML.ljust(600)
    path, auth = await wire.create(data, kind="image/jpeg")
    await wire.patch(path, auth, 0, data[:300])
    await wire.patch(path, auth, 300, data[300:], status=415)


async def test_a_picture_with_the_wrong_name_is_recorded_as_what_it_is(wire: Wire):
    data = b"\x89PNG\r\n\x1a\n" + bytes(600)
    object_id = await wire.upload(data, name="photo.jpg", kind="image/jpeg")
    assert (await wire.metadata(object_id))["media_type"] == "image/png"


async def test_a_phone_that_gives_no_type_is_believed_by_the_ending(wire: Wire):
    object_id = await wire.upload(jpeg(900), name="IMG_0001.JPG", kind="")
    assert (await wire.metadata(object_id))["media_type"] == "image/jpeg"


@both_databases
async def test_what_the_sender_said_of_the_file_comes_back_word_for_word_until_it_is_closed(wire: Wire):
    name = b64encode("../a/Žlutý kůň.jpg".encode()).decode()
    said = f"filename {name}, filetype aW1hZ2UvanBlZw==,relativePath,n MQ=="
    path, auth = await wire.create(jpeg(700), **{"Upload-Metadata": said})
    async with wire.http.head(path, headers=auth) as answer:
        assert answer.headers["Upload-Metadata"] == said
    async with wire.http.delete(path, headers=auth) as answer:
        assert answer.status == 204
    async with wire.store.database.read() as db:
        upload = await find_upload(db, path.rsplit("/", 1)[1])
    assert upload is not None
    assert upload.metadata is None


async def test_more_than_the_grant_allows_is_refused(wire: Wire):
    await wire.create(jpeg(1001), grant=wire.grant(max_bytes=1000), status=413)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Upload-Length": "0"}, 400, id="empty file"),
        pytest.param({"Upload-Length": "1e3"}, 400, id="no number"),
        pytest.param({"Upload-Length": "9" * 25}, 400, id="absurd number"),
        pytest.param({"Upload-Metadata": "filename !!!"}, 400, id="no base64"),
        pytest.param({"Upload-Metadata": "filename é"}, 400, id="no ASCII"),
        pytest.param({"Upload-Metadata": "a YQ==,a YQ=="}, 400, id="doubled key"),
        pytest.param({"Tus-Resumable": "2.0.0"}, 412, id="another version"),
    ],
)
async def test_a_malformed_creation_is_refused(wire: Wire, headers, status):
    await wire.create(jpeg(100), status=status, **headers)


async def test_an_expired_foreign_tampered_or_overlong_grant_is_refused(wire: Wire, clock: HeldClock):
    data = jpeg(600)
    good = wire.grant()
    purpose, body, mac = good.split(".")
    await wire.create(data, grant=wire.grant(key=signing.new_key()), status=403)
    await wire.create(data, grant=f"{purpose}.{body[:-2]}AA.{mac}", status=403)
    await wire.create(data, grant=f"bearer1.{body}.{mac}", status=403)
    await wire.create(data, grant=wire.grant(expires_at=clock() + timedelta(hours=2)), status=403)
    clock.move(minutes=10)
    await wire.create(data, grant=good, status=403)


@both_databases
async def test_a_grant_is_good_for_one_upload_and_may_be_asked_again_until_the_first_byte(wire: Wire):
    data, grant = jpeg(2000), wire.grant()
    path, _ = await wire.create(data, grant=grant)
    again, auth = await wire.create(data, grant=grant)  # the answer was lost on the way
    assert again == path
    await wire.patch(path, auth, 0, data[:1000])
    await wire.create(data, grant=grant, status=409)
    await wire.create(jpeg(10), grant=grant, status=409)


async def test_a_bearer_expires_and_is_renewed_for_the_same_incident_and_reference_only(wire: Wire, clock: HeldClock):
    data = jpeg(2000)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data[:1000])
    clock.move(hours=2)
    await wire.patch(path, auth, 1000, data[1000:], status=401)
    for other in ({"incident": "AP-0000-0000"}, {"reference": "session-2"}):
        foreign = {"Authorization": f"Grant {wire.grant(**other)}"}
        async with wire.http.post(f"{path}/bearer", headers=foreign) as answer:
            assert answer.status == 403
    fresh = {"Authorization": f"Grant {wire.grant()}"}
    async with wire.http.post(f"{path}/bearer", headers=fresh) as answer:
        assert answer.status == 200
        auth = auth | {"Authorization": f"Bearer {(await answer.json())['bearer']}"}
    await wire.patch(path, auth, 1000, data[1000:])
    assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"


async def test_a_bearer_opens_no_other_upload(wire: Wire):
    data = jpeg(2000)
    _, auth = await wire.create(data)
    other, _ = await wire.create(data)
    await wire.patch(other, auth, 0, data, status=401)


@both_databases
async def test_another_digest_quarantines_and_keeps_the_bytes(wire: Wire):
    data = jpeg(3000)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data)
    answer = await wire.digest(path, auth, sha256(b"something else"))
    assert answer["state"] == "quarantined"
    content = f"/evidence/v1/objects/{answer['id']}/content"
    async with wire.http.get(content, headers=wire.token(Scope.READ)) as refused:
        assert refused.status == 409
        assert (await refused.json())["code"] == "quarantined"
    async with wire.http.get(content, headers=wire.token(Scope.READ, Scope.QUARANTINE)) as kept:
        assert await kept.read() == data


async def test_the_digest_waits_for_the_last_byte_and_may_be_given_again(wire: Wire):
    data = jpeg(3000)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data[:2999])
    await wire.digest(path, auth, sha256(data), status=409)
    await wire.patch(path, auth, 2999, data[2999:])
    first = await wire.digest(path, auth, sha256(data))
    assert await wire.digest(path, auth, sha256(data)) == first
    await wire.digest(path, auth, sha256(b"another"), status=409)
    assert await wire.stand(path, auth) == 3000


@both_databases
async def test_an_upload_without_a_digest_is_sealed_after_a_while_and_says_so(wire: Wire, clock: HeldClock):
    data = jpeg(3000)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data)
    uploads = _uploads_of(wire)
    await uploads.sweep()
    assert await _object_of(wire, path) is None
    clock.move(minutes=11)
    await uploads.sweep()
    stored = await _object_of(wire, path)
    assert stored is not None
    assert (stored.state.value, stored.client_digest.value) == ("received", "not given")


@both_databases
async def test_an_abandoned_upload_is_dropped_and_the_ledger_says_so(wire: Wire, clock: HeldClock):
    data = jpeg(3000)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data[:1500])
    clock.move(days=8)
    await _uploads_of(wire).sweep()
    assert list((wire.store.settings.data / "incoming").iterdir()) == []
    assert list(wire.store.keys.ingest.iterdir()) == []
    async with wire.http.get("/evidence/v1/ledger", headers=wire.token()) as answer:
        actions = [entry["action"] for entry in (await answer.json())["entries"]]
    assert actions == ["upload opened", "upload expired"]


async def test_too_many_open_uploads_are_refused(evidence_settings: Settings, keys, clock: HeldClock):
    store = open_store(evidence_settings.model_copy(update={"max_open_uploads": 2}), keys, now=clock)
    await prepare(store)
    uploads = Uploads(store)

    async def create():
        expires_at = clock() + timedelta(minutes=5)
        grant = make_grant(
            keys.grant, incident=INCIDENT, reference="", max_bytes=99, kinds=["jpeg"], expires_at=expires_at
        )
        opened = open_grant(keys.grant, grant, now=clock())
        return await uploads.create(opened, length=9, metadata={"filename": "a.jpg", "filetype": "image/jpeg"})

    await create()
    await create()
    with pytest.raises(TooMany):
        await create()
    await store.close()


def _uploads_of(wire: Wire):
    return Uploads(wire.store)


async def _object_of(wire: Wire, path: str):
    async with wire.store.database.read() as db:
        return await storage.find_object(db, path.rsplit("/", 1)[1])
