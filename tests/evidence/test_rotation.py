"""Keys: rotation touches no object and survives kill -9; a security module locks keys; old keys go when told."""

import asyncio
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from evidence_store import ledger
from evidence_store.app import open_store, prepare
from evidence_store.config import load
from evidence_store.errors import CannotStart
from evidence_store.rotate import forget_old_keys, rotate
from evidence_store.sealing import signing
from evidence_store.sealing.floe import Forged
from evidence_store.sealing.hsm import Hsm
from evidence_store.sealing.keys import load_keys, make_keys
from evidence_store.verify import unseen, verify
from tests.evidence.conftest import INCIDENT, Process, Wire, both_databases, jpeg, sha256
from tests.evidence.test_ledger import change as change_rows


async def test_no_old_key_goes_while_something_lies_there_that_the_database_does_not_know(wire: Wire):
    object_id = signing.new_id()
    await wire.put(object_id, b"a few words", kind="text/plain")
    await change_rows(wire, f"UPDATE objects SET id = '{'0' * 32}' WHERE id = '{object_id}'")
    old = wire.store.keys.sealing.id
    await rotate(wire.store, progress=unseen)
    with pytest.raises(CannotStart, match="lies 1 object that the database does not know"):
        await forget_old_keys(wire.store)
    await change_rows(wire, f"UPDATE objects SET id = '{object_id}'")
    await rotate(wire.store, progress=unseen)
    assert old in await forget_old_keys(wire.store)
    assert (await verify(wire.store)).faults == []


def wrapped_to(folder: Path) -> set[str]:
    """Return which keys the objects of a data folder are wrapped to."""
    return {json.loads(path.read_bytes())["sealing_key"] for path in (folder / "objects").glob("*/*/key.json")}


def bytes_of(folder: Path) -> dict[str, str]:
    """Return a digest of every sealed file but the keys."""
    files = (folder / "objects").glob("*/*/data.floe")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


async def actions(wire: Wire) -> list[str]:
    async with wire.store.database.read() as db:
        return [entry.action for entry in await ledger.list_entries(db, after=0, limit=1000)]


@both_databases
async def test_rotation_wraps_every_key_anew_touches_no_object_and_is_followed_by_who_runs(wire: Wire):
    ids = [await wire.upload(jpeg(700 + n, n)) for n in range(5)]
    before, old = bytes_of(wire.store.backend.root), wire.store.keys.sealing.id
    other = open_store(wire.store.settings, load_keys(wire.store.keys.folder))  # another process rotates
    run = await rotate(other, progress=unseen)
    await other.close()
    assert (run.objects, run.faults, run.details["old"]) == (5, 0, old)
    assert wrapped_to(wire.store.backend.root) == {run.details["new"]} != {old}
    assert bytes_of(wire.store.backend.root) == before
    assert wire.store.keys.sealing.id == run.details["new"]  # the running store, which was told nothing
    ids.append(await wire.upload(jpeg(900, 9)))
    for object_id in ids:
        async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
            assert answer.status == 200
    assert wrapped_to(wire.store.backend.root) == {run.details["new"]}
    assert {"key rotation started", "key rotated"} <= set(await actions(wire))
    assert (await verify(wire.store)).faults == []


async def test_an_old_key_is_destroyed_only_when_nothing_needs_it(wire: Wire):
    object_id = await wire.upload(jpeg(700))
    old_file = wire.store.backend.read_key(object_id)
    run = await rotate(wire.store, progress=unseen)
    wire.store.backend.replace_key(object_id, old_file)
    with pytest.raises(CannotStart, match=run.details["old"]):
        await forget_old_keys(wire.store)
    again = await rotate(wire.store, progress=unseen)
    assert again.objects == 1
    assert await forget_old_keys(wire.store) == sorted([run.details["old"], run.details["new"]])
    assert wire.store.keys.ring.opening_ids == [again.details["new"]]
    assert (await actions(wire)).count("key destroyed") == 2
    assert (await verify(wire.store)).faults == []
    wire.store.backend.replace_key(object_id, old_file)
    assert "does not belong to an opening key" in (await verify(wire.store)).faults[0]


async def test_an_object_whose_key_does_not_open_is_told_and_the_others_are_rotated(wire: Wire):
    ids = [await wire.upload(jpeg(700 + n, n)) for n in range(3)]
    wire.store.backend.replace_key(ids[1], b"{}")
    run = await rotate(wire.store, progress=unseen)
    assert (run.objects, run.faults) == (2, 1)
    assert (await actions(wire))[-2:] == ["damaged", "key rotated"]


async def test_a_rotation_that_was_interrupted_goes_on_to_the_same_key(wire: Wire, monkeypatch):
    for n in range(4):
        await wire.upload(jpeg(700 + n, n))
    replace_key, left = wire.store.backend.replace_key, [2]

    def dies(object_id: str, wrapped: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        replace_key(object_id, wrapped)

    monkeypatch.setattr(wire.store.backend, "replace_key", dies)
    with pytest.raises(KeyboardInterrupt):
        await rotate(wire.store, progress=unseen)
    monkeypatch.undo()
    with pytest.raises(CannotStart, match="interrupted"):
        await forget_old_keys(wire.store)
    new = wire.store.keys.sealing.id
    assert len(wrapped_to(wire.store.backend.root)) == 2
    assert (await verify(wire.store)).faults == []  # half rotated, everything opens
    run = await rotate(wire.store, progress=unseen)
    assert run.details["new"] == new
    assert wrapped_to(wire.store.backend.root) == {new}


def test_a_rotation_survives_kills_while_the_store_receives(process: Process):
    rng = random.Random(5)

    def put(n: int) -> None:
        data = jpeg(600 + n, n)
        headers = process.token() | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Content-Type": "image/jpeg",
            "Evidence-Sha256": sha256(data),
        }  # fmt: skip
        url = f"{process.url}/evidence/v1/objects/{signing.new_id()}"
        assert requests.put(url, data=data, headers=headers, timeout=300).status_code == 201

    for n in range(60):
        put(n)
    data = Path(process.settings["data"])
    before = bytes_of(data)
    where = ["--data", str(data), "--keys", process.settings["keys"]]
    command = [sys.executable, "-m", "evidence_store.cli", "rotate", *where]
    for n in range(4):
        opening = len(list((process.folder / "keys" / "opening").iterdir()))
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and len(list((process.folder / "keys" / "opening").iterdir())) == opening == 1:
            time.sleep(0.005)  # the first one: until it has begun
        time.sleep(rng.uniform(0, 0.1))
        child.kill()
        child.wait()
        put(100 + n)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    (new,) = wrapped_to(data)
    assert new in {path.stem for path in (process.folder / "keys" / "opening").iterdir()}
    assert before.items() <= bytes_of(data).items()
    verified = process.verify()
    assert verified.returncode == 0, verified.stdout


# --- a security module


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """SoftHSM with an empty token folder of its own; the module reads its settings once for a process."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    for label in ("evidence", "other"):
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "4321", "--so-pin", "8765"]
        subprocess.run(command, check=True, capture_output=True)
    (folder / "pin").write_text("4321\n")
    (folder / "pin").chmod(0o600)
    yield folder
    del os.environ["SOFTHSM2_CONF"]


def module_of(folder: Path, token: str = "evidence") -> Hsm:
    (found,) = [path for path in map(Path, _MODULES) if path.exists()][:1]
    return Hsm(found, token, folder / "pin")


_MODULES = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
]


def test_a_security_module_locks_the_opening_key_and_it_opens_only_there(softhsm: Path, tmp_path: Path):
    hsm = module_of(softhsm)
    make_keys(tmp_path, hsm=hsm)
    make_keys(tmp_path, hsm=hsm)
    keys = load_keys(tmp_path, hsm)
    assert keys.opening is not None
    wrapped = keys.sealing.wrap("a" * 32, "sealed", bytes(32))
    assert keys.opening.unwrap("a" * 32, "sealed", wrapped) == bytes(32)
    (file,) = (tmp_path / "opening").iterdir()
    assert file.suffix == ".p11"
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CannotStart, match="EVIDENCE_PKCS11"):
        load_keys(tmp_path)
    module_of(softhsm, "other").make_key()
    with pytest.raises(CannotStart, match="another token"):
        load_keys(tmp_path, module_of(softhsm, "other"))
    with pytest.raises(CannotStart, match="NoSuchToken"):
        load_keys(tmp_path, module_of(softhsm, "absent"))
    (tmp_path / "pin").write_text("0000")
    (tmp_path / "pin").chmod(0o600)
    with pytest.raises(CannotStart, match="PinIncorrect"):
        load_keys(tmp_path, Hsm(hsm.module, "evidence", tmp_path / "pin"))


def test_no_changed_file_of_a_locked_key_opens(softhsm: Path):
    hsm = module_of(softhsm)
    hsm.make_key()
    locked = hsm.lock("0123456789abcdef", b"s" * 96)
    document = json.loads(locked)
    body = document["locked"]
    for change in (
        {"opening_key": "fedcba9876543210"}, {"iv": "00" * 12}, {"format": 2}, {"locked": body[4:]},
        {"locked": body[:10] + ("A" if body[10] != "A" else "B") + body[11:]}, {"locked": body + "AAAA"}, {"iv": 7},
    ):  # fmt: skip
        with pytest.raises(CannotStart):
            hsm.unlock("0123456789abcdef", json.dumps(document | change).encode())
    with pytest.raises(CannotStart):
        hsm.unlock("fedcba9876543210", locked)
    assert hsm.unlock("0123456789abcdef", locked) == b"s" * 96


async def test_a_store_moves_into_a_security_module_by_rotating(softhsm: Path, wire: Wire):
    object_id = await wire.upload(jpeg(700))
    module_of(softhsm).make_key()
    keys = load_keys(wire.store.keys.folder, module_of(softhsm))
    moved = open_store(wire.store.settings, keys)
    await prepare(moved)
    run = await rotate(moved, progress=unseen)
    assert await forget_old_keys(moved) == [run.details["old"]]
    assert [path.name for path in (keys.folder / "opening").iterdir()] == [f"{run.details['new']}.p11"]
    assert (await verify(moved)).faults == []
    await moved.close()
    assert b"sealing_key" in wire.store.backend.read_key(object_id)


def test_settings_for_a_security_module_are_complete_or_refused(tmp_path: Path):
    with pytest.raises(CannotStart, match="EVIDENCE_PKCS11_TOKEN"):
        load(None, data=tmp_path / "data", keys=tmp_path / "keys", pkcs11=tmp_path / "module.so")


async def test_a_node_that_only_receives_does_not_rotate_and_follows_the_key_it_is_given(wire: Wire):
    shutil.copytree(wire.store.keys.folder, wire.store.keys.folder.with_name("ingest-only"))
    shutil.rmtree(wire.store.keys.folder.with_name("ingest-only") / "opening")
    keys = load_keys(wire.store.keys.folder.with_name("ingest-only"))
    assert keys.opening is None
    node = open_store(wire.store.settings, keys)
    with pytest.raises(CannotStart, match="holds no opening key"):
        await rotate(node, progress=unseen)
    await node.close()
    run = await rotate(wire.store, progress=unseen)
    await asyncio.to_thread(shutil.copy, wire.store.keys.folder / "sealing.pub", keys.folder)
    assert keys.sealing.id == run.details["new"]
    wrapped = keys.sealing.wrap("a" * 32, "sealed", bytes(32))
    with pytest.raises(Forged):
        keys.ring.unwrap("a" * 32, "sealed", wrapped)


def test_a_process_seals_to_the_key_that_another_made_after_it_began(tmp_path):
    make_keys(tmp_path)
    began_first, other = load_keys(tmp_path).ring, load_keys(tmp_path).ring
    made = other.add_opening_key()
    began_first.seal_to(made)
    assert began_first.sealing.id == other.sealing.id == made
