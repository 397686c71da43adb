"""Sealed objects at rest and on their way out."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from evidence_store.backend import write_whole
from evidence_store.backend.folder import FolderBackend
from evidence_store.errors import RangeRefused
from evidence_store.objects.ranges import parse_range
from evidence_store.objects.views import disposition
from evidence_store.sealing import floe, signing
from evidence_store.sealing.incoming import Incoming, object_aad
from evidence_store.sealing.reading import SealedObject
from evidence_store.storage import OBJECTS
from evidence_store.tokens import Scope
from evidence_store.verify import verify
from tests.evidence import second_floe
from tests.evidence.conftest import INCIDENT, SEGMENT, Wire, both_databases, jpeg, sha256


def folder_of(wire: Wire, object_id: str) -> Path:
    return wire.store.backend.object_folder(object_id)


async def status_of(wire: Wire, object_id: str, **headers: str) -> int:
    url = f"/evidence/v1/objects/{object_id}/content"
    async with wire.http.get(url, headers=wire.token() | headers) as answer:
        await answer.read()
        return answer.status


async def test_the_disk_holds_no_piece_of_the_plaintext(wire: Wire):
    data = b"\xff\xd8\xff\xe0" + b"I saw him at the corner shop. " * 60_000
    path, auth = await wire.create(data)
    half = len(data) // 2
    await wire.patch(path, auth, 0, data[:half])
    for stage in ("open", "sealed"):
        if stage == "sealed":
            await wire.patch(path, auth, half, data[half:])
            await wire.digest(path, auth, sha256(data))
        files = [file for file in wire.store.settings.data.rglob("*") if file.is_file()]
        assert any(file.stat().st_size > SEGMENT // 2 for file in files)
        for file in files:
            assert b"corner shop" not in file.read_bytes(), (stage, file)


async def test_a_sealed_object_opens_by_the_second_implementation(wire: Wire):
    data = jpeg(SEGMENT + 999)
    object_id = await wire.upload(data)
    folder = folder_of(wire, object_id)
    key = wire.store.keys.opening.unwrap(object_id, "sealed", (folder / "key.json").read_bytes())
    aad = b"evidence-store/object/v1\n" + object_id.encode()
    assert aad == object_aad(object_id)
    assert second_floe.decrypt(key, aad, (folder / "data.floe").read_bytes()) == data


@pytest.mark.parametrize("where", [0, 9, 20, 60, 74, 80, 100, 5000, SEGMENT, SEGMENT + 200, -1, -17])
async def test_one_changed_byte_is_refused_and_reported(wire: Wire, where: int):
    object_id = await wire.upload(jpeg(2 * SEGMENT))
    path = folder_of(wire, object_id) / "data.floe"
    sealed = bytearray(path.read_bytes())
    sealed[where] ^= 1
    path.write_bytes(sealed)
    url = f"/evidence/v1/objects/{object_id}/content"
    got = b""
    with contextlib.suppress(ClientPayloadError):  # a body cut short
        async with wire.http.get(url, headers=wire.token()) as answer:
            if answer.status == 200:
                got = await answer.read()
    assert len(got) < 2 * SEGMENT
    report = await verify(wire.store)
    assert len(report.faults) == 1
    assert object_id in report.faults[0]
    async with wire.http.get("/evidence/v1/ledger", headers=wire.token()) as answer:
        assert "damaged" in {entry["action"] for entry in (await answer.json())["entries"]}


async def test_bytes_that_changed_places_a_cut_and_an_appended_byte_are_refused(wire: Wire):
    object_id = await wire.upload(jpeg(3 * SEGMENT))
    path = folder_of(wire, object_id) / "data.floe"
    whole, size = path.read_bytes(), 1 << 20
    first, second = whole[74 : 74 + size], whole[74 + size : 74 + 2 * size]
    for changed in (
        whole[:74] + second + first + whole[74 + 2 * size :],
        whole[:100] + whole[116:132] + whole[100:116] + whole[132:],  # enough bytes never to be equal by chance
        whole[: 74 + 2 * size],
        whole[:-1],
        whole + b"\x00",
    ):
        path.write_bytes(changed)
        assert not (await verify(wire.store)).holds
    path.write_bytes(whole[: 74 + 2 * size])
    assert await status_of(wire, object_id, Range="bytes=0-9") == 500  # cut behind what is asked for
    path.write_bytes(whole)
    assert (await verify(wire.store)).holds


async def test_files_swapped_between_two_objects_are_refused(wire: Wire):
    one, other = await wire.upload(jpeg(5000, 1)), await wire.upload(jpeg(5000, 2))
    first, second = folder_of(wire, one), folder_of(wire, other)
    for names in (["data.floe"], ["key.json"], ["data.floe", "key.json"]):
        for name in names:
            (first / name).rename(first / "aside")
            (second / name).rename(first / name)
            (first / "aside").rename(second / name)
        assert await status_of(wire, one) == 500
        assert await status_of(wire, other) == 500
        assert len((await verify(wire.store)).faults) == 2
        for name in names:
            (first / name).rename(first / "aside")
            (second / name).rename(first / name)
            (first / "aside").rename(second / name)
    assert await status_of(wire, one) == 200


@both_databases
@pytest.mark.parametrize("source", ["upload", "put"])
async def test_other_bytes_sealed_to_the_public_key_in_an_objects_place_are_refused(wire: Wire, source: str):
    """Whoever can write the files and knows the public key can make ones that open; they are not those received."""
    object_id = signing.new_id()
    if source == "put":
        await wire.put(object_id, jpeg(5000))
    else:
        object_id = await wire.upload(jpeg(5000))
    folder, key = folder_of(wire, object_id), signing.new_key()
    cipher, header = floe.start_encryption(key, object_aad(object_id))
    received = {name: (folder / name).read_bytes() for name in ("data.floe", "key.json")}
    (folder / "data.floe").write_bytes(header + cipher.encrypt_segment(jpeg(5000, 2), position=0, final=True))
    (folder / "key.json").write_bytes(wire.store.keys.sealing.wrap(object_id, "sealed", key))
    assert await status_of(wire, object_id) == 500
    assert await status_of(wire, object_id, Range="bytes=0-9") == 500
    [fault] = (await verify(wire.store)).faults
    assert f"object {object_id}: the file was sealed anew by somebody else" in fault.lower()
    for name, data in received.items():
        (folder / name).write_bytes(data)
    assert await status_of(wire, object_id) == 200
    assert (await verify(wire.store)).holds


async def test_an_object_sealed_by_an_earlier_version_is_read_and_a_header_that_was_forgotten_is_reported(wire: Wire):
    object_id = await wire.upload(jpeg(5000))
    async with wire.store.database.begin() as db:
        await db.execute(update(OBJECTS).where(OBJECTS.c.id == object_id).values(header_sha256=""))
    assert await status_of(wire, object_id) == 200
    assert not (await verify(wire.store)).holds  # the ledger knows it


async def test_a_lost_object_and_one_nobody_knows_are_reported(wire: Wire):
    one, other = await wire.upload(jpeg(5000, 1)), await wire.upload(jpeg(5000, 2))
    shutil.rmtree(folder_of(wire, one))
    stranger = folder_of(wire, signing.new_id())
    shutil.copytree(folder_of(wire, other), stranger)
    faults = " ".join((await verify(wire.store)).faults)
    assert f"{one}: its files are gone" in faults
    assert f"{stranger.name}: it lies on disk" in faults


async def test_whatever_else_lies_among_the_objects_is_told_and_ends_nothing(wire: Wire):
    objects = os.fsencode(wire.store.backend.root / "objects")
    for name in (b"/ab/\xff\xfe", b"/ab/a\nb\x1b[2J", b"/a file"):
        os.close(os.open(objects + name, os.O_CREAT, 0o600))
    faults = (await verify(wire.store)).faults
    assert len(faults) == 3
    assert all("neither database nor ledger knows it" in fault for fault in faults)


async def test_html_kept_as_text_can_not_run(wire: Wire):
    page = b"note\n<script>fetch('/evidence/v1/objects')</script>"
    object_id = await wire.upload(page, name="note.html.txt", kind="text/plain")
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
        assert await answer.read() == page
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers


@given(st.text(max_size=80))
def test_no_name_breaks_out_of_the_header(name):
    value = disposition(name)
    assert value.isascii()
    assert not set(value) & set("\r\n\x00")
    assert value.count('"') == 2


async def test_a_name_with_a_path_is_kept_without_it(wire: Wire):
    object_id = await wire.upload(jpeg(700), name="../../etc/Фото\r\n.jpg")
    assert (await wire.metadata(object_id))["filename"] == "Фото.jpg"


@given(st.integers(1, 1000), st.integers(0, 1200), st.integers(0, 1200))
def test_ranges_name_the_bytes_that_python_would(size, first, last):
    data = bytes(n % 251 for n in range(size))
    for header, wanted in [
        (f"bytes={first}-{last}", data[first : last + 1] if first <= last else None),
        (f"bytes={first}-", data[first:]),
        (f"bytes=-{last}", data[-last:] if last else b""),
    ]:
        try:
            span = parse_range(header, size)
        except RangeRefused:
            assert wanted == b""
            continue
        assert span is None if wanted is None else data[slice(*span)] == wanted


@pytest.mark.parametrize("header", ["", "bytes=", "bytes=a-b", "lines=0-1", "bytes=0-1,3-4", "bytes=--1", "bytes=1-0"])
def test_a_range_that_is_not_understood_means_the_whole(header):
    assert parse_range(header, 100) is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_part_of_a_sealed_object_reads_as_the_original(sealed_object, data):
    plain, sealed = sealed_object
    start = data.draw(st.one_of(st.integers(0, len(plain) - 1), st.sampled_from([SEGMENT - 1, SEGMENT, 2 * SEGMENT])))
    stop = data.draw(st.integers(start + 1, len(plain)))
    got = b""
    while start + len(got) < stop:
        got += sealed.read(start + len(got), stop)
    assert got == plain[start:stop]


@pytest.fixture
def sealed_object(keys, tmp_path):
    """Three segments, sealed by hand."""
    plain, object_id, key = jpeg(2 * SEGMENT + 4321), "a" * 32, signing.new_key()
    backend = FolderBackend(tmp_path / "node")
    backend.prepare()
    folder = backend.create_incoming(object_id)
    incoming = Incoming.create(folder, object_id, key)
    incoming.write([plain])
    incoming.finish()
    incoming.close()
    write_whole(folder / "object" / "key.json", keys.sealing.wrap(object_id, "sealed", key))
    backend.publish(object_id, object_id)
    with SealedObject(backend, object_id, keys.opening, size_bytes=len(plain)) as sealed:
        yield plain, sealed


async def test_ranges_over_http(wire: Wire):
    data = jpeg(2 * SEGMENT + 100)
    object_id = await wire.upload(data)
    url, token = f"/evidence/v1/objects/{object_id}/content", wire.token()
    for header, start, stop in [
        ("bytes=0-0", 0, 1),
        (f"bytes={SEGMENT - 2}-{SEGMENT + 1}", SEGMENT - 2, SEGMENT + 2),
        ("bytes=-5", len(data) - 5, len(data)),
        (f"bytes=10-{10**15}", 10, len(data)),
    ]:
        async with wire.http.get(url, headers=token | {"Range": header}) as answer:
            assert answer.status == 206
            assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(data)}"
            assert await answer.read() == data[start:stop]
    assert await status_of(wire, object_id, Range=f"bytes={len(data)}-") == 416
    etag = f'"{sha256(data)}"'
    for known in (etag, f"W/{etag}", f'"another", W/{etag}', "*"):
        assert await status_of(wire, object_id, **{"If-None-Match": known}) == 304
    for unknown in ('"another"', sha256(data), f'"{sha256(data)[:-1]}"'):
        assert await status_of(wire, object_id, **{"If-None-Match": unknown}) == 200
    assert await status_of(wire, object_id, **{"Range": "bytes=0-1", "If-Range": '"another"'}) == 200


async def test_what_would_be_sent_can_be_asked_for_without_a_byte_of_it(wire: Wire):
    data, token = jpeg(SEGMENT + 100), wire.token(name="ann")
    object_id = await wire.upload(data)
    url = f"/evidence/v1/objects/{object_id}/content"
    async with wire.http.head(url, headers=token | {"Evidence-Purpose": "how large"}) as told:
        assert (told.status, await told.read()) == (200, b"")
    async with wire.http.get(url, headers=token) as sent:
        assert await sent.read() == data
        assert {n: v for n, v in told.headers.items() if n != "Date"} == {
            n: v for n, v in sent.headers.items() if n != "Date"
        }
    about = [(line["action"], line["purpose"]) for line in await wire.lines(object_id)][-2:]
    assert about == [("viewed", "how large"), ("downloaded", "")]
    known = token | {"If-None-Match": f'"{sha256(data)}"', "Evidence-Purpose": "is it this one"}
    async with wire.http.head(url, headers=known) as told:
        assert (told.status, told.headers["ETag"]) == (304, known["If-None-Match"])
    last = (await wire.lines(object_id))[-1]
    assert (last["action"], last["purpose"]) == ("viewed", "is it this one")
    async with wire.http.head(url, headers=wire.token(incident="AP-0000-0000")) as other:
        assert other.status == 404


@both_databases
async def test_who_reads_stands_in_the_ledger_once_with_the_purpose(wire: Wire):
    object_id = await wire.upload(jpeg(5000))
    token = wire.token(Scope.READ)
    for _ in range(3):
        async with wire.http.get(
            f"/evidence/v1/objects/{object_id}/content", headers=token | {"Evidence-Purpose": "case review"}
        ) as answer:
            await answer.read()
    async with wire.http.get("/evidence/v1/ledger", headers=wire.token()) as answer:
        reads = [entry for entry in (await answer.json())["entries"] if entry["action"] == "downloaded"]
    assert [(entry["object"], entry["purpose"]) for entry in reads] == [(object_id, "case review")]
    assert reads[0]["actor"].startswith("token:test:")


@both_databases
async def test_a_clock_that_was_put_back_hides_no_read(wire: Wire, clock):
    object_id, token = await wire.upload(jpeg(700)), wire.token()
    for _ in range(2):
        async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=token) as answer:
            assert answer.status == 200
        clock.move(minutes=-30)
    assert [line["action"] for line in await wire.lines(object_id)].count("downloaded") == 2


@pytest.mark.parametrize("purpose", ["caf\udce9", "a \u202e b", "a\tb"], ids=["no UTF-8", "turned round", "a tab"])
async def test_a_purpose_that_does_not_read_as_it_stands_is_refused(wire: Wire, purpose: str):
    object_id = await wire.upload(jpeg(700))
    path, token = f"/evidence/v1/objects/{object_id}", wire.token()["Authorization"]
    url = wire.http._base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = [f"GET {path} HTTP/1.1", "Host: store", f"Authorization: {token}", "Connection: close"]
    head = "\r\n".join([*lines, f"Evidence-Purpose: {purpose}", "", ""])
    writer.write(head.encode(errors="surrogateescape"))
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert "viewed" not in [line["action"] for line in await wire.lines(object_id)]


async def test_put_is_idempotent_and_refuses_other_bytes_under_the_same_id(wire: Wire):
    data, object_id = jpeg(5000), signing.new_id()
    first = await wire.put(object_id, data)
    assert await wire.put(object_id, data, status=200) == first
    assert (await wire.put(object_id, jpeg(5000, 9), status=409))["code"] == "conflict"
    assert (await wire.metadata(object_id))["sha256"] == sha256(data)
    assert (await verify(wire.store)).holds


@both_databases
async def test_an_object_may_be_posted_without_an_id_and_with_a_key_is_stored_once(wire: Wire):
    data, token = jpeg(5000), wire.token(name="scanner")
    said = {
        "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Evidence-Sha256": sha256(data).upper(),
        "Content-Type": "image/jpeg", "Evidence-Filename": "%C5%BDlut%C3%BD.jpg",
    }  # fmt: skip

    async def post(body: bytes, status: int, **more: str) -> tuple[dict[str, Any], str]:
        headers = token | said | more
        async with wire.http.post("/evidence/v1/objects", headers=headers, data=body) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json(), answer.headers.get("Location", "")

    first, where = await post(data, 201)
    second, _ = await post(data, 201)
    assert first["id"] != second["id"]
    assert first["filename"] == "Žlutý.jpg"
    async with wire.http.get(f"{where}/content", headers=token) as answer:
        assert await answer.read() == data
    key = {"Idempotency-Key": "scan 17"}
    made, _ = await post(data, 201, **key)
    assert await post(data, 200, **key) == (made, f"/evidence/v1/objects/{made['id']}")
    refusal, _ = await post(data + b"!", 422, **key | {"Evidence-Sha256": sha256(data + b"!")})
    assert refusal["code"] == "key_reused"
    refusal, _ = await post(data, 422, **{"Evidence-Sha256": sha256(b"other")})
    assert refusal["code"] == "digest_mismatch"
    refused = [line["details"]["why"] for line in await wire.lines() if line["action"] == "refused"]
    assert refused == ["key_reused", "digest_mismatch"]
    report = await verify(wire.store)
    assert (report.objects, report.faults) == (3, [])


@both_databases
async def test_a_put_with_the_wrong_digest_or_a_forbidden_kind_stores_nothing(wire: Wire):
    data = jpeg(5000)
    wrong = {"Evidence-Sha256": sha256(b"other")}
    assert (await wire.put(signing.new_id(), data, status=422, **wrong))["code"] == "digest_mismatch"
    assert (await wire.put(signing.new_id(), b"<html>", status=415))["code"] == "wrong_kind"
    assert (await wire.put(signing.new_id(), data, status=415, kind="text/html"))["code"] == "wrong_kind"
    assert list((wire.store.settings.data / "incoming").iterdir()) == []
    assert (await verify(wire.store)).objects == 0


@both_databases
async def test_eight_writers_of_one_id_make_one_object(wire: Wire):
    object_id, bodies = signing.new_id(), [jpeg(300_000, n % 2) for n in range(8)]

    async def send(data: bytes) -> int:
        given = wire.token() | {
            "Evidence-Incident": "AP-1", "Evidence-Kind": "photo", "Evidence-Sha256": sha256(data),
            "Content-Type": "image/jpeg",
        }  # fmt: skip
        async with wire.http.put(f"/evidence/v1/objects/{object_id}", headers=given, data=data) as answer:
            return answer.status

    statuses = await asyncio.gather(*map(send, bodies))
    assert sorted(statuses) == [200, 200, 200, 201, 409, 409, 409, 409]
    winner = bodies[statuses.index(201)]
    assert (await wire.metadata(object_id))["sha256"] == sha256(winner)
    assert (await verify(wire.store)).holds
