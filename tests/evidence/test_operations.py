"""What operators run: scrub, backup, restore, doctor; on both databases, and through the command."""

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

from evidence_store import ledger, storage
from evidence_store.app import open_store, prepare
from evidence_store.backup import backup, restore
from evidence_store.cli import _tell, cli
from evidence_store.config import load
from evidence_store.doctor import Grade, examine
from evidence_store.errors import CannotStart
from evidence_store.model import RunKind, UploadState
from evidence_store.scrub import Pace, scrub
from evidence_store.sealing.keys import load_keys
from evidence_store.store import Store
from evidence_store.tokens import Scope
from evidence_store.verify import Report, unseen, verify
from tests.evidence.conftest import SEGMENT, Process, Wire, both_databases, jpeg
from tests.evidence.test_ledger import change
from tests.evidence.test_rotation import actions


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# --- scrub


@both_databases
async def test_a_scrub_reads_everything_and_the_ledger_says_what_it_found(wire: Wire):
    ids = [await wire.upload(jpeg(700 + n, n)) for n in range(4)]
    run, faults = await scrub(wire.store, pace=None, progress=unseen)
    assert (run.objects, run.bytes, run.faults, faults) == (4, 2806, 0, [])
    flip(wire.store.backend.object_folder(ids[2]) / "data.floe", 400)
    wire.clock.move(seconds=1)
    run, faults = await scrub(wire.store, pace=None, progress=unseen)
    assert (run.objects, run.faults, len(faults)) == (4, 1, 1)
    assert ids[2] in faults[0]
    assert (await actions(wire))[-3:] == ["verified", "damaged", "verified"]
    async with wire.store.database.read() as db:
        last = (await ledger.list_entries(db, after=0, limit=100))[-1]
    assert (last.details["objects"], last.details["faults"]) == (4, 1)
    async with wire.http.get("/metrics") as answer:
        assert 'evidence_run_faults{kind="scrub"} 1.0' in await answer.text()


async def test_an_interrupted_scrub_goes_on_where_it_was(wire: Wire, monkeypatch):
    monkeypatch.setattr("evidence_store.scrub._BATCH", 2)
    for n in range(6):
        await wire.upload(jpeg(700, n))
    read: list[int] = []

    def dies(_read_bytes: int) -> None:
        read.append(1)
        if len(read) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await scrub(wire.store, pace=dies, progress=unseen)
    run, faults = await scrub(wire.store, pace=lambda _: read.append(1), progress=unseen)
    assert (run.objects, faults) == (6, [])
    assert len(read) == 4 + 4  # the batch that was interrupted is read again, the one before is not


def test_a_pace_sleeps_what_it_is_ahead():
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(100, now=lambda: now[0], sleep=sleep)
    pace(50)
    now[0] += 10
    pace(900)
    assert slept == [0.5]  # 10.5 s have gone, and 950 bytes were due by 9.5 s
    pace(150)
    assert slept == [0.5, 0.5]


# --- backup and restore


async def restored(wire: Wire, source: Path, folder: Path) -> tuple[Store, list[str]]:
    """Bring a backup back into a new store of the same keys, on SQLite."""
    given = load(None, data=folder / "data", keys=wire.store.keys.folder)
    store = open_store(given, load_keys(given.keys), now=wire.clock)
    return store, (await restore(store, source, progress=unseen)).faults


@both_databases
async def test_what_was_backed_up_comes_back_whole_and_verified(wire: Wire, tmp_path: Path):
    ids = [await wire.upload(jpeg(700 + n, n)) for n in range(3)]
    path, auth = await wire.create(jpeg(5000))
    await wire.patch(path, auth, 0, jpeg(5000)[:100])
    run, faults = await backup(wire.store, tmp_path / "backup", progress=unseen)
    assert (run.objects, faults) == (3, [])
    late = await wire.upload(jpeg(900, 9))  # after the backup
    store, faults = await restored(wire, tmp_path / "backup", tmp_path / "new")
    assert faults == []
    async with store.database.read() as db:
        assert {found.id for found in await storage.list_objects_by_id(db, after="", limit=9)} == set(ids)
        entries = await ledger.list_entries(db, after=7, limit=9)
        upload = await storage.find_upload(db, path.rsplit("/", 1)[1])
    assert [entry.action for entry in entries] == ["upload expired", "restored"]
    assert entries[-1].details["lines"] == 7
    assert upload is not None
    assert upload.state is UploadState.EXPIRED
    assert late not in ids
    with pytest.raises(CannotStart, match="not empty"):
        await restore(store, tmp_path / "backup", progress=unseen)
    await prepare(store)
    assert (await scrub(store, pace=None, progress=unseen))[0].objects == 3
    await store.close()
    assert "backed up" in await actions(wire)


async def test_a_second_backup_copies_only_what_is_new_and_the_keys_that_changed(wire: Wire, tmp_path: Path):
    from evidence_store.rotate import rotate

    ids = [await wire.upload(jpeg(700 + n, n)) for n in range(2)]
    await backup(wire.store, tmp_path / "backup", progress=unseen)
    first = {path.parent.name: path.stat().st_ino for path in (tmp_path / "backup").glob("objects/*/*/data.floe")}
    await rotate(wire.store, progress=unseen)
    ids.append(await wire.upload(jpeg(900, 9)))
    run, faults = await backup(wire.store, tmp_path / "backup", progress=unseen)
    second = {path.parent.name: path.stat().st_ino for path in (tmp_path / "backup").glob("objects/*/*/data.floe")}
    assert (run.objects, faults) == (3, [])
    assert second.keys() == set(ids)
    assert first.items() <= second.items()
    for object_id in ids:
        copied = (tmp_path / "backup" / "objects" / object_id[:2] / object_id / "key.json").read_bytes()
        assert copied == wire.store.backend.read_key(object_id)


async def test_a_damaged_backup_is_told_at_the_restore(wire: Wire, tmp_path: Path):
    object_id = await wire.upload(jpeg(700))
    await backup(wire.store, tmp_path / "backup", progress=unseen)
    flip(tmp_path / "backup" / "objects" / object_id[:2] / object_id / "data.floe", 300)
    store, faults = await restored(wire, tmp_path / "backup", tmp_path / "new")
    await store.close()
    assert len(faults) == 1
    assert object_id in faults[0]


async def test_an_interrupted_restore_can_be_begun_again(wire: Wire, tmp_path: Path, monkeypatch):
    await wire.upload(jpeg(700))
    await backup(wire.store, tmp_path / "backup", progress=unseen)

    def dies(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evidence_store.storage.expire_open_uploads", dies)
    with pytest.raises(KeyboardInterrupt):
        await restored(wire, tmp_path / "backup", tmp_path / "new")
    monkeypatch.undo()
    store, faults = await restored(wire, tmp_path / "backup", tmp_path / "new")
    await store.close()
    assert faults == []


async def test_a_backup_is_not_made_into_the_data_folder_nor_restored_from_half_of_one(wire: Wire, tmp_path: Path):
    with pytest.raises(CannotStart, match="inside the data folder"):
        await backup(wire.store, wire.store.backend.root / "backup", progress=unseen)
    await backup(wire.store, tmp_path / "backup", progress=unseen)
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(CannotStart, match="no complete backup"):
        await restored(wire, tmp_path / "backup", tmp_path / "new")


async def test_uploads_go_on_while_a_backup_is_made(wire: Wire, tmp_path: Path):
    async def send() -> None:
        for n in range(6):
            await wire.upload(jpeg(2 * SEGMENT + n, n))

    sending = asyncio.create_task(send())
    for _ in range(3):
        _, faults = await backup(wire.store, tmp_path / "backup", progress=unseen)
        assert faults == []
    await sending
    store, faults = await restored(wire, tmp_path / "backup", tmp_path / "new")
    await store.close()
    assert faults == []


# --- doctor


async def said(store: Store) -> dict[Grade, str]:
    found: dict[Grade, str] = dict.fromkeys(Grade, "")
    async for finding in examine(store):
        found[finding.grade] += f"{finding.says}\n"
    return found


@both_databases
async def test_the_doctor_of_a_healthy_store_has_notes_only(wire: Wire, monkeypatch):
    monkeypatch.setattr("evidence_store.doctor._MIN_FREE_BYTES", 0)
    await wire.upload(jpeg(700))
    found = await said(wire.store)
    assert found[Grade.BAD] == ""
    for words in ("set EVIDENCE_MIRRORS", "There was no scrub yet", "There was no backup yet"):
        assert words in found[Grade.NOTE]
    await scrub(wire.store, pace=None, progress=unseen)
    assert "The last scrub was on 02 March 2026: 1 object, 0 faults" in (await said(wire.store))[Grade.GOOD]
    wire.clock.move(days=40)
    assert "That is long ago" in (await said(wire.store))[Grade.NOTE]


@both_databases
async def test_the_doctor_names_what_is_wrong_and_how_to_mend_it(wire: Wire, tmp_path: Path):
    await wire.upload(jpeg(700))
    given = wire.store.settings.model_copy(
        update={"mirrors": str(tmp_path / "absent"), "notify_url": "http://127.0.0.1:9/x"}
    )
    store = replace(wire.store, settings=given)
    wire.clock.move(minutes=11)
    found = await said(store)
    assert "cannot be asked: the folder cannot be used (No such file or directory)" in found[Grade.BAD]
    assert "see that EVIDENCE_NOTIFY_URL answers" in found[Grade.BAD]
    wire.clock.move(days=-1)
    assert "The clock is behind" in (await said(store))[Grade.BAD]
    await change(wire, "UPDATE ledger_head SET size = 1")
    assert "run 'evidence-store verify' and keep everything" in (await said(store))[Grade.BAD]


async def test_the_doctor_sees_a_faulty_scrub_a_full_disk_and_a_receiving_node(wire: Wire, monkeypatch):
    object_id = await wire.upload(jpeg(700))
    flip(wire.store.backend.object_folder(object_id) / "data.floe", 300)
    await scrub(wire.store, pace=None, progress=unseen)
    monkeypatch.setattr("evidence_store.doctor._MIN_FREE_BYTES", 1 << 60)
    found = await said(wire.store)
    assert "1 object, 1 fault. Run 'evidence-store verify': it names it." in found[Grade.BAD]
    assert "make room" in found[Grade.BAD]
    shutil.rmtree(wire.store.keys.folder / "opening")
    (wire.store.keys.folder / "opening").mkdir()
    found = await said(replace(wire.store, keys=load_keys(wire.store.keys.folder)))
    assert "only receives" in found[Grade.NOTE]


async def test_a_run_that_never_was_has_no_newest(wire: Wire):
    async with wire.store.database.read() as db:
        assert await storage.find_newest_run(db, RunKind.SCRUB) is None
    assert (await verify(wire.store)).faults == []


# --- the command


def test_the_commands_work_beside_a_running_store(process: Process, tmp_path: Path):
    from tests.evidence.test_kills import create

    url, bearer = create(process, jpeg(800))
    headers = bearer | {
        "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0",
    }  # fmt: skip
    assert requests.patch(url, data=jpeg(800), headers=headers, timeout=300).status_code == 204
    assert requests.post(f"{url}/digest", json={"sha256": "0" * 64}, headers=bearer, timeout=300).status_code == 200
    where = ["--data", process.settings["data"], "--keys", process.settings["keys"]]

    def run(*command: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, [*command, *where])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout

    assert run("scrub", "--rate", "100") == (0, "1 object (800 bytes) was read again: nothing is wrong.\n")
    code, words = run("backup", str(tmp_path / "backup"))
    assert (code, "1 object (800 bytes) is in" in words) == (0, True)
    assert json.loads((tmp_path / "backup" / "backup.json").read_bytes())["objects"] == 1
    assert "1 object's key was wrapped to" in run("rotate")[1]
    assert run("rotate", "--forget-old")[1].startswith("Destroyed 1 old opening key: ")
    assert "The last backup was on" in run("doctor")[1]
    assert run("verify")[0] == 0
    told = requests.get(f"{process.url}/evidence/v1/ledger", headers=process.token(Scope.LEDGER), timeout=300).json()
    last = told["entries"][-1]
    assert (last["action"], last["actor"], last["details"]["objects"]) == ("verified", "system:verify", 1)
    given = ["--data", str(tmp_path / "new"), "--keys", process.settings["keys"]]
    result = CliRunner().invoke(cli, ["restore", str(tmp_path / "backup"), *given])
    assert result.exit_code == 1  # wrapped to the key that was destroyed: said, and nothing hidden
    assert "does not belong to an opening key" in result.stdout


def test_words_out_of_a_changed_database_are_told_and_not_obeyed(capsys):
    _tell(Report(faults=["Hold \x1b[2J\n8 ledger lines were checked: everything holds.\r: the database has it"]))
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\r" not in said
    assert [line[:1] for line in said.splitlines()] == ["✗", "0"]
