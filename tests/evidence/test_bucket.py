"""The whole store on a bucket: a real S3 server, another program's eyes on it, and a server that does wrong."""

import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evidence_store.app import open_store
from evidence_store.backend import DATA, KEY, MOST_KEY_BYTES, Backend, write_whole
from evidence_store.backend.bucket import Address
from evidence_store.backend.s3 import S3Backend
from evidence_store.backup import backup, restore
from evidence_store.config import Settings, load
from evidence_store.doctor import Grade, examine
from evidence_store.errors import BackendFailed
from evidence_store.model import ObjectState
from evidence_store.objects.service import settle
from evidence_store.rotate import forget_old_keys, rotate
from evidence_store.scrub import scrub
from evidence_store.sealing import signing
from evidence_store.sealing.keys import Keys
from evidence_store.storage import list_sealing
from evidence_store.verify import unseen, verify
from tests.conftest import HeldClock
from tests.evidence import second_floe
from tests.evidence.conftest import INCIDENT, SEGMENT, Wire, jpeg, open_wire, sha256
from tests.evidence.faulty_s3 import FaultyS3, faulty_s3
from tests.evidence.seaweed import LOCKED, PLAIN, Seaweed
from tests.evidence.test_keeping import REASON, expired, person, propose

SECRET_LINE = "a-secret-word"


def settings_on(address: Address, folder: Path, keys: Keys) -> Settings:
    secret = folder / "s3.secret"
    folder.mkdir(exist_ok=True)
    secret.write_text(f"{address.secret}\n")
    secret.chmod(0o600)
    return load(
        None, data=folder / "data", keys=keys.folder, listen="127.0.0.1:0", s3_bucket=address.name,
        s3_endpoint=address.endpoint, s3_prefix=address.prefix, s3_key_id=address.key_id, s3_secret_file=secret,
    )  # fmt: skip


@pytest.fixture(params=[PLAIN, LOCKED])
def address(request: pytest.FixtureRequest, seaweed: Seaweed) -> Address:
    return seaweed.address(f"{signing.new_id()}/", request.param)


@pytest.fixture
async def wire(address: Address, tmp_path: Path, keys: Keys, clock: HeldClock) -> AsyncIterator[Wire]:
    """A store on the bucket."""
    async with open_wire(settings_on(address, tmp_path / "store", keys), keys, clock) as opened:
        yield opened


@pytest.fixture
def faulty():
    with faulty_s3() as server:
        yield server


@pytest.fixture
async def on_faulty(faulty: FaultyS3, tmp_path: Path, keys: Keys, clock: HeldClock) -> AsyncIterator[Wire]:
    """A store on the server that can do wrong."""
    async with open_wire(settings_on(faulty.address(), tmp_path / "store", keys), keys, clock) as opened:
        yield opened


async def content(wire: Wire, object_id: str, status: int = 200, **headers: str) -> bytes:
    url = f"/evidence/v1/objects/{object_id}/content"
    async with wire.http.get(url, headers=wire.token() | headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.read()


def names_of(seaweed: Seaweed, address: Address) -> list[str]:
    listed = seaweed.boto.list_objects_v2(Bucket=address.name, Prefix=address.prefix)
    return [one["Key"].removeprefix(address.prefix) for one in listed.get("Contents", [])]


async def test_another_program_finds_the_ciphertext_and_a_second_implementation_opens_it(
    wire: Wire, seaweed: Seaweed, address: Address, keys: Keys
):
    data = jpeg(2 * SEGMENT + 99)
    object_id = await wire.upload(data)
    place = f"objects/{object_id[:2]}/{object_id}"
    assert names_of(seaweed, address) == [f"{place}/{DATA}", f"{place}/{KEY}"]
    sealed, wrapped = (
        seaweed.boto.get_object(Bucket=address.name, Key=f"{address.prefix}{place}/{part}")["Body"].read()
        for part in (DATA, KEY)
    )
    ours = wire.store.backend.open(object_id)
    assert hashlib.sha256(ours.read_at(0, ours.size_bytes)).digest() == hashlib.sha256(sealed).digest()
    key = keys.opening.unwrap(object_id, "sealed", wrapped)
    opened = second_floe.decrypt(key, b"evidence-store/object/v1\n" + object_id.encode(), sealed)
    assert sha256(opened) == (await wire.metadata(object_id))["sha256"] == sha256(data)
    assert not list((wire.store.settings.data / "incoming").iterdir())


async def test_reading_scrubbing_rotating_backing_up_and_examining_go_through_the_bucket(
    wire: Wire, seaweed: Seaweed, address: Address, tmp_path: Path, keys: Keys, clock: HeldClock
):
    data, small = jpeg(3 * SEGMENT + 5), jpeg(4000, 2)
    object_id, other = await wire.upload(data), signing.new_id()
    await wire.put(other, small)
    assert await content(wire, object_id) == data
    assert await content(wire, object_id, 206, Range=f"bytes={SEGMENT - 3}-{SEGMENT + 9}") == data[SEGMENT - 3 :][:13]
    assert (await scrub(wire.store, pace=None, progress=unseen))[1] == []
    run = await rotate(wire.store, progress=unseen)
    assert (run.objects, run.faults) == (2, 0)
    assert await forget_old_keys(wire.store) == [run.details["old"]]
    assert await content(wire, object_id) == data
    run, faults = await backup(wire.store, tmp_path / "backup", progress=unseen)
    assert (run.objects, faults) == (2, [])
    findings = [finding async for finding in examine(wire.store)]
    assert any(address.name in finding.says and finding.grade is Grade.GOOD for finding in findings)
    assert (await verify(wire.store)).faults == []

    elsewhere = seaweed.address(f"{signing.new_id()}/", address.name)
    settings = settings_on(elsewhere, tmp_path / "restored", keys)
    store = open_store(settings, keys, now=clock)
    assert (await restore(store, tmp_path / "backup", progress=unseen)).faults == []
    await store.close()
    async with open_wire(settings, keys, clock) as back:
        assert await content(back, other) == small


async def test_what_is_changed_or_taken_out_of_the_bucket_is_refused_and_reported(
    wire: Wire, seaweed: Seaweed, address: Address
):
    changed, gone = await wire.upload(jpeg(2 * SEGMENT)), await wire.upload(jpeg(9000, 2))
    name = f"{address.prefix}objects/{changed[:2]}/{changed}/{DATA}"
    sealed = bytearray(seaweed.boto.get_object(Bucket=address.name, Key=name)["Body"].read())
    sealed[500] ^= 1
    seaweed.boto.put_object(Bucket=address.name, Key=name, Body=bytes(sealed))
    seaweed.boto.delete_object(Bucket=address.name, Key=f"{address.prefix}objects/{gone[:2]}/{gone}/{DATA}")
    for object_id in (changed, gone):
        await content(wire, object_id, 500)
        assert [line["action"] for line in await wire.lines(object_id)][-1] == "damaged"
    faults = (await verify(wire.store)).faults
    assert sorted(fault[:39] for fault in faults) == sorted(f"Object {object_id}" for object_id in (changed, gone))


async def test_a_disposal_leaves_no_version_of_key_or_bytes(wire: Wire, seaweed: Seaweed, address: Address):
    object_id, kept = await expired(wire), await wire.upload(jpeg(9000, 2))
    await rotate(wire.store, progress=unseen)  # a second version of the key
    review = await propose(wire, object_id)
    done = await wire.ask("POST", f"/reviews/{review}/approve", REASON, **person(wire, "bob"))
    assert done["state"] == "done"
    listed = seaweed.boto.list_object_versions(Bucket=address.name, Prefix=f"{address.prefix}objects/")
    left = {one["Key"].split("/")[-2] for one in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]}
    assert left == {kept}
    await content(wire, object_id, 410)
    assert (await verify(wire.store)).faults == []


async def test_an_object_under_retention_is_locked_in_a_bucket_that_offers_it(
    wire: Wire, seaweed: Seaweed, address: Address
):
    object_id = await wire.upload(jpeg(9000))
    wire.clock.now = datetime.now(UTC)  # the bucket goes by its own
    untils = []
    for days_ago in (1800, 1900):  # the second is shorter, and never shortens what stands
        starts_at = wire.clock() - timedelta(days=days_ago)
        given = {"classes": [{"code": "other", "starts_at": starts_at.isoformat()}], **REASON}
        said = await wire.ask("PUT", f"/objects/{object_id}/retention", given)
        untils.append(datetime.fromisoformat(said["keep_until"]))
    until = untils[0]
    name = f"{address.prefix}objects/{object_id[:2]}/{object_id}/{KEY}"
    if address.name == PLAIN:
        wire.store.backend.destroy(object_id)
        return
    held = seaweed.boto.get_object_retention(Bucket=address.name, Key=name)["Retention"]["RetainUntilDate"]
    assert abs(held - until) < timedelta(seconds=2)
    with pytest.raises(BackendFailed, match="AccessDenied"):
        wire.store.backend.destroy(object_id)
    await rotate(wire.store, progress=unseen)  # the key's new version is locked as long
    held = seaweed.boto.get_object_retention(Bucket=address.name, Key=name)["Retention"]["RetainUntilDate"]
    assert abs(held - until) < timedelta(seconds=2)


# --- a server that does wrong


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_a_backend_without_create_if_absent_is_refused_in_one_sentence(
    faulty: FaultyS3, tmp_path: Path, keys: Keys, command: str
):
    faulty.ignores_conditions = True
    settings = settings_on(faulty.address(), tmp_path / "store", keys)
    given = {
        "EVIDENCE_DATA": str(settings.data), "EVIDENCE_KEYS": str(settings.keys), "EVIDENCE_S3_BUCKET": "faulty",
        "EVIDENCE_S3_ENDPOINT": settings.s3_endpoint, "EVIDENCE_S3_KEY_ID": "key",
        "EVIDENCE_S3_SECRET_FILE": str(settings.s3_secret_file),
    }  # fmt: skip
    said = subprocess.run(
        [sys.executable, "-m", "evidence_store.cli", command], env=os.environ | given, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr.count("\n") == 1
    assert "If-None-Match is ignored" in said.stderr
    assert SECRET_LINE not in said.stderr
    assert faulty.objects == {}, "the probe was left"


async def test_while_the_bucket_fails_nothing_is_sealed_and_nothing_called_damaged(on_faulty: Wire, faulty: FaultyS3):
    wire, data, object_id = on_faulty, jpeg(50_000), signing.new_id()
    faulty.fails = True
    assert (await wire.put(object_id, data, status=503))["code"] == "backend_failed"
    async with wire.store.database.read() as db:
        assert [stored.state for stored in await list_sealing(db)] == [ObjectState.SEALING]
    assert await wire.lines(object_id) == []
    faulty.fails = False
    assert (await wire.put(object_id, data, status=200))["state"] == "received"
    faulty.fails = True
    await content(wire, object_id, 503)
    assert "damaged" not in [line["action"] for line in await wire.lines(object_id)]
    with pytest.raises(BackendFailed):
        await verify(wire.store)
    faulty.fails = False
    assert await content(wire, object_id) == data


async def test_a_bucket_that_gives_back_other_bytes_never_gets_an_object_called_sealed(
    on_faulty: Wire, faulty: FaultyS3
):
    wire, data, object_id = on_faulty, jpeg(50_000), signing.new_id()
    faulty.garbles = True
    assert "AnotherDigest" in (await wire.put(object_id, data, status=503))["detail"]
    assert await wire.lines(object_id) == []
    faulty.garbles = False
    async with wire.store.database.read() as db:
        (stored,) = await list_sealing(db)
    assert (await settle(wire.store, stored, actor="system:test")).state is ObjectState.RECEIVED
    assert await content(wire, object_id) == data
    assert (await verify(wire.store)).faults == []


@pytest.mark.parametrize("lost", [1, 2])
async def test_an_answer_lost_on_the_way_changes_nothing(on_faulty: Wire, faulty: FaultyS3, lost: int):
    wire, data, object_id = on_faulty, jpeg(50_000), signing.new_id()
    faulty.loses_answers = lost
    answers = [await _try(wire, object_id, data) for _ in range(2)]
    assert answers[-1] in {200, 201}
    assert await content(wire, object_id) == data
    faulty.loses_answers = lost
    assert (await rotate(wire.store, progress=unseen)).objects == 1
    assert (await verify(wire.store)).faults == []


async def _try(wire: Wire, object_id: str, data: bytes) -> int:
    given = wire.token() | {
        "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Evidence-Sha256": sha256(data),
        "Content-Type": "image/jpeg",
    }  # fmt: skip
    async with wire.http.put(f"/evidence/v1/objects/{object_id}", headers=given, data=data) as answer:
        return answer.status


def test_a_bucket_that_never_ends_holds_up_nobody_and_fills_no_memory(
    faulty: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    backend, object_id = S3Backend(tmp_path, faulty.address()), signing.new_id()
    faulty.objects[f"objects/{object_id[:2]}/{object_id}/key.json"] = bytes(5_000_000)
    assert len(backend.read_key(object_id)) == MOST_KEY_BYTES
    monkeypatch.setattr("evidence_store.backend.bucket._MOST_PAGES", 5)
    faulty.never_ends = True
    with pytest.raises(BackendFailed, match="TooManyPages"):
        backend.destroy(object_id)


@pytest.mark.parametrize("step", range(4))
def test_publishing_goes_on_after_it_died_at_any_request(
    faulty: FaultyS3, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
):
    backend: Backend = S3Backend(tmp_path / "node", faulty.address())
    backend.prepare()
    folder, data = backend.create_incoming("a"), os.urandom(50_000)
    write_whole(folder / "object" / DATA, data)
    write_whole(folder / "object" / KEY, b"a wrapped key")
    left = [step]

    def dies_at(real):  # type: ignore[no-untyped-def]
        def call(*args, **kwargs):  # type: ignore[no-untyped-def]
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*args, **kwargs)

        return call

    import obstore

    with monkeypatch.context() as patch:
        for name in ("put", "get"):
            patch.setattr(obstore, name, dies_at(getattr(obstore, name)))
        with pytest.raises(KeyboardInterrupt):
            backend.publish("a", "ab" * 16)
    assert (folder / "object" / DATA).exists()
    backend.publish("a", "ab" * 16)
    sealed = backend.open("ab" * 16)
    assert (sealed.read_at(0, len(data) + 1), backend.read_key("ab" * 16)) == (data, b"a wrapped key")
