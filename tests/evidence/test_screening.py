"""Screening for malware by a real clamd with a signature of our own."""

import asyncio
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evidence_store.config import Settings, load
from evidence_store.doctor import Grade, examine
from evidence_store.errors import CannotStart
from evidence_store.model import ObjectState
from evidence_store.screening.clamd import (
    Clamd,
    Down,
    Verdict,
    encrypted_archive,
    encrypted_document,
    signatures_made_at,
)
from evidence_store.screening.rescreen import Bounds, rescreen
from evidence_store.sealing import signing
from evidence_store.storage import move_object
from evidence_store.tokens import Scope
from evidence_store.verify import unseen, verify
from evidence_store.webhooks.model import KINDS, Hook
from tests.evidence.conftest import Wire, both_databases, jpeg, sha256
from tests.evidence.test_media import become
from tests.evidence.view_support import person, words_of
from tests.product import until

WATCHFUL = ("AlertExceedsMax yes", "AlertEncrypted yes")
MALWARE = b"evidence store: this stands for malware in tests"
LATER = b"evidence store: this is malware that newer signatures know"
_CLAMD = shutil.which("clamd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_clamd = pytest.mark.skipif(_CLAMD is None, reason="clamd is not installed (Debian's clamav-daemon)")


class Daemon:
    """A private clamd on a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "clamd.sock"
        (folder / "db").mkdir(parents=True)
        (folder / "db" / "own.ndb").write_text(f"Own.Test:0:*:{MALWARE.hex()}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def learn(self, version: int, made_at: datetime, **signatures: bytes) -> None:
        """Have a database with a number and a date in place of the first one, as freshclam would bring it.

        A .cud is a .cvd that nobody signed: 512 bytes of header, then a tar file with a list of its members' digests.
        """
        head = f"ClamAV-VDB:{made_at:%d %b %Y %H-%M %z}:{version}:{len(signatures)}:77:{'0' * 32}:0:tests"
        head += f":{int(made_at.timestamp())}"
        lines = "".join(f"{name.replace('_', '.')}:0:*:{found.hex()}\n" for name, found in signatures.items()).encode()
        info = f"{head}\ndaily.ndb:{len(lines)}:{sha256(lines)}\n".encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in (("daily.info", info), ("daily.ndb", lines)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        (self.folder / "db" / "own.ndb").unlink(missing_ok=True)
        (self.folder / "db" / "daily.cud").write_bytes(head.encode().ljust(512) + packed.getvalue())

    def start(self, *more: str) -> None:
        lines = [
            f"LocalSocket {self.socket}", f"DatabaseDirectory {self.folder / 'db'}", "Foreground yes",
            f"TemporaryDirectory {self.folder}", "StreamMaxLength 3M", "MaxFileSize 2M", *more,
        ]  # fmt: skip
        (self.folder / "clamd.conf").write_text("\n".join(lines) + "\n")
        command = [str(_CLAMD), "--config-file", str(self.folder / "clamd.conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, "clamd")

    def _answers(self) -> bool:
        try:
            return "ClamAV" in Clamd(str(self.socket)).version()
        except Down:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self.socket.unlink(missing_ok=True)
            self._process = None


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    found = Daemon(tmp_path / "clamd")
    yield found
    found.stop()


@pytest.fixture
def evidence_settings(evidence_settings: Settings, daemon: Daemon) -> Settings:
    return evidence_settings.model_copy(update={"clamd": str(daemon.socket)})


async def become_state(wire: Wire, object_id: str, state: str) -> dict:
    async def there():
        found = await wire.ask("GET", f"/objects/{object_id}")
        return found if found["state"] == state else None

    return await become(there, state)


async def screened(wire: Wire, object_id: str) -> list[tuple[str, str]]:
    lines = await wire.lines(object_id)
    return [(one["details"]["verdict"], one["details"]["outcome"]) for one in lines if one["action"] == "screened"]


async def status(wire: Wire, object_id: str, *scopes: Scope) -> int:
    headers = wire.token(*scopes)
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=headers) as answer:
        await answer.read()
        return answer.status


@needs_clamd
@both_databases
async def test_what_is_clean_is_available_and_what_is_infected_is_kept_in_quarantine(wire: Wire, daemon: Daemon):
    daemon.start(*WATCHFUL)
    wire.store.hooks = (Hook("records", "https://records.example/", frozenset(KINDS), b"s" * 32),)
    clean = await wire.upload(jpeg(5000))
    found = await become_state(wire, clean, "received")
    assert found["screening"]["verdict"] == "clean"
    assert found["screening"]["engine"].startswith("ClamAV")
    assert await status(wire, clean, Scope.READ) == 200
    data = jpeg(5000, 2) + MALWARE
    infected = await wire.upload(data)
    found = await become_state(wire, infected, "quarantined")
    assert (found["screening"]["verdict"], found["screening"]["next_at"]) == ("infected", None)
    assert "Own.Test" in found["screening"]["reason"]
    assert await status(wire, infected, Scope.READ) == 409
    assert await status(wire, infected, Scope.READ, Scope.QUARANTINE) == 200
    assert await screened(wire, clean) == [("clean", "received")]
    assert await screened(wire, infected) == [("infected", "quarantined")]
    async with wire.store.database.read() as db:
        rows = (await db.exec_driver_sql("SELECT body FROM webhook_deliveries ORDER BY sequence")).all()
    told = [json.loads(row[0]) for row in rows]
    assert [one["type"] for one in told if one["object"] == clean] == ["received"]
    assert [one["type"] for one in told if one["object"] == infected] == ["received", "quarantined"]
    report = await verify(wire.store)
    assert report.holds, report.faults
    async with person(wire) as ann:
        page = words_of(await ann.get(f"/evidence/view/objects/{infected}"))
        assert "The screening for malware found Own.Test" in page
        assert "what is in quarantine is not opened" in page
        assert "nothing found" in words_of(await ann.get(f"/evidence/view/objects/{clean}"))


@needs_clamd
async def test_what_came_while_clamd_was_down_is_released_by_itself_when_found_clean(wire: Wire, daemon: Daemon):
    clean, infected = await wire.upload(jpeg(900)), await wire.upload(jpeg(900, 2) + MALWARE)
    for object_id in (clean, infected):
        found = await become_state(wire, object_id, "quarantined")
        assert found["screening"]["verdict"] == "unknown"
        assert "did not answer" in found["screening"]["reason"]
        async with person(wire) as ann:
            page = words_of(await ann.get(f"/evidence/view/objects/{object_id}"))
        assert "could not tell whether it is clean: clamd did not answer" in page
        assert "released when it is found clean" in page
    daemon.start(*WATCHFUL)
    wire.clock.move(minutes=2)
    await become_state(wire, clean, "received")
    assert await status(wire, clean, Scope.READ) == 200

    async def known():
        found = await wire.ask("GET", f"/objects/{infected}")
        return found if found["screening"]["verdict"] == "infected" else None

    assert (await become(known, "a verdict"))["state"] == "quarantined"
    assert await screened(wire, clean) == [("unknown", "quarantined"), ("clean", "released from quarantine")]
    assert await screened(wire, infected) == [("unknown", "quarantined"), ("infected", "unchanged")]
    report = await verify(wire.store)
    assert report.holds, report.faults


@needs_clamd
async def test_what_clamd_did_not_look_at_whole_is_not_called_clean(wire: Wire, daemon: Daemon):
    daemon.start(*WATCHFUL)
    for size, why in ((2_500_000, "limits"), (3_500_000, "StreamMaxLength")):
        object_id = await wire.upload(jpeg(size) + MALWARE)
        found = await become_state(wire, object_id, "quarantined")
        assert found["screening"]["verdict"] == "unknown"
        assert why in found["screening"]["reason"]
        assert found["screening"]["next_at"] is not None


@needs_clamd
@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ((), "AlertExceedsMax"),
        (("AlertExceedsMax yes",), "AlertEncryptedDoc"),
        (("AlertExceedsMax yes", "AlertEncryptedDoc yes"), "AlertEncryptedArchive"),
    ],
)
async def test_a_clamd_that_lets_pass_what_it_did_not_look_into_is_not_believed(
    wire: Wire, daemon: Daemon, options: tuple[str, ...], missing: str
):
    daemon.start(*options)
    object_id = await wire.upload(jpeg(900))
    found = await become_state(wire, object_id, "quarantined")
    assert f"lets pass what it cannot see ({missing})" in found["screening"]["reason"]
    findings = [finding async for finding in examine(wire.store)]
    assert any(one.grade is Grade.BAD and f"'{missing} yes'" in one.says for one in findings)
    daemon.stop()
    findings = [finding async for finding in examine(wire.store)]
    assert any(one.grade is Grade.BAD and "does not answer" in one.says for one in findings)


@needs_clamd
async def test_what_is_locked_with_a_password_is_neither_clean_nor_malware_and_one_person_may_release_it(
    wire: Wire, daemon: Daemon
):
    daemon.start(*WATCHFUL)
    object_id = signing.new_id()
    await wire.put(object_id, encrypted_document(), kind="application/pdf")
    found = await become_state(wire, object_id, "quarantined")
    assert found["screening"]["verdict"] == "unknown"
    assert "password" in found["screening"]["reason"]
    assert found["screening"]["next_at"] is not None, "a clamd may be given passwords"
    known = await wire.ask("GET", f"/objects/{object_id}/quarantine")
    assert ([one["code"] for one in known["causes"]], known["people"]) == (["unknown"], 1)
    assert "ask the sender for a copy without one" in known["causes"][0]["says"]
    asked = {"reason": "The bank locks its statements", "knowing": known["knowing"]}
    made = await wire.ask("POST", f"/objects/{object_id}/releases", asked, status=201)
    assert (made["state"], made["malware"]) == ("released", "")
    assert (await verify(wire.store)).holds
    both = signing.new_id()
    await wire.put(both, jpeg(900) + MALWARE + encrypted_archive())
    found = await become_state(wire, both, "quarantined")
    assert found["screening"]["verdict"] == "infected", "malware beside something locked is malware"


@needs_clamd
async def test_malware_in_a_polyglot_is_found(wire: Wire, daemon: Daemon):
    daemon.start(*WATCHFUL)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("program.exe", MALWARE * 5)
    object_id = signing.new_id()
    await wire.put(object_id, b"%PDF-1.4\n%%EOF\n" + packed.getvalue(), kind="application/pdf")
    found = await become_state(wire, object_id, "quarantined")
    assert found["screening"]["verdict"] == "infected"


async def unscreened(wire: Wire, *files: bytes) -> list[str]:
    """Receive files while no clamd is named; then name it."""
    given = wire.store.settings
    wire.store.settings = given.model_copy(update={"clamd": ""})
    ids = []
    for data in files:
        ids.append(signing.new_id())
        await wire.put(ids[-1], data)
    wire.store.settings = given
    return ids


async def states(wire: Wire, ids: list[str]) -> list[tuple[str, str]]:
    found = [await wire.ask("GET", f"/objects/{object_id}") for object_id in ids]
    return [(one["state"], one["screening"]["verdict"] if one["screening"] else "none") for one in found]


def finding(verdicts: dict, **expected: object) -> None:
    assert {name: verdicts[name] for name in expected} == expected


@needs_clamd
@both_databases
async def test_what_was_never_screened_or_with_older_signatures_is_given_to_clamd(wire: Wire, daemon: Daemon):
    wire.store.hooks = (Hook("records", "https://records.example/", frozenset(KINDS), b"s" * 32),)
    made_at = datetime(2026, 1, 5, 10, tzinfo=UTC)
    data = jpeg(900, 4)
    path, auth = await wire.create(data)
    ids = await unscreened(wire, jpeg(900), jpeg(900, 2) + MALWARE, jpeg(900, 3) + LATER, jpeg(2_500_000, 5))
    await wire.patch(path, auth, 0, data)
    await wire.digest(path, auth, sha256(b"another"))
    differs = path.rsplit("/", 1)[1]
    await become_verdict(wire, differs, "unknown")  # screened, though it stays whatever comes of it
    findings = [one.says async for one in examine(wire.store)]
    assert any("4 objects were never screened" in says for says in findings)
    daemon.learn(100, made_at, Own_Test=MALWARE)
    daemon.start(*WATCHFUL)
    shown: list[tuple[str, int, int]] = []
    found = await rescreen(wire.store, bounds=Bounds(), progress=lambda *step: shown.append(step))
    assert f"/100/{made_at:%a %b}" in found.run.details["engine"]
    finding(found.run.details, clean=3, infected=1, unknown=1, quarantined=1, released=0)
    assert (found.run.objects, found.run.faults, found.infected, found.left) == (5, 0, [ids[1]], 0)
    assert shown[-1] == ("objects", 5, 5)
    assert await states(wire, [*ids, differs]) == [
        ("received", "clean"), ("quarantined", "infected"), ("received", "clean"), ("received", "unknown"),
        ("quarantined", "clean"),
    ]  # fmt: skip
    assert await status(wire, ids[1], Scope.READ) == 409
    assert await screened(wire, ids[0]) == [("clean", "unchanged")]
    assert await screened(wire, ids[1]) == [("infected", "quarantined")]
    async with wire.store.database.read() as db:
        rows = (await db.exec_driver_sql("SELECT body FROM webhook_deliveries ORDER BY sequence")).all()
    news = [said["type"] for row in rows if (said := json.loads(row[0]))["object"] == ids[1]]
    assert news == ["received", "quarantined"]
    again = await rescreen(wire.store, bounds=Bounds(), progress=unseen)
    assert again.run.objects == 0, "by these signatures all is known"
    daemon.stop()
    wire.clock.move(seconds=1)
    daemon.learn(101, made_at + timedelta(days=1), Own_Test=MALWARE, Later_Test=LATER)
    daemon.start(*WATCHFUL)
    found = await rescreen(wire.store, bounds=Bounds(), progress=unseen)
    finding(found.run.details, clean=2, infected=2, unknown=1, quarantined=1, released=0)
    assert found.infected == [ids[2]]
    assert await screened(wire, ids[2]) == [("clean", "unchanged"), ("infected", "quarantined")]
    assert await screened(wire, ids[0]) == [("clean", "unchanged")], "no line for what is no news"
    ended = [line for line in await wire.lines() if line["action"] == "screened" and not line["object"]]
    assert [line["details"]["objects"] for line in ended] == [5, 0, 5]
    report = await verify(wire.store)
    assert report.holds, report.faults
    async with wire.http.get("/metrics") as answer:
        figures = await answer.text()
    assert 'evidence_rescreened{outcome="quarantined"} 1.0' in figures
    assert 'evidence_run_unfinished{kind="rescreen"} 0.0' in figures


async def become_verdict(wire: Wire, object_id: str, verdict: str) -> None:
    async def there():
        return (await wire.ask("GET", f"/objects/{object_id}"))["screening"]["verdict"] == verdict or None

    await become(there, verdict)


@needs_clamd
async def test_a_rescreen_frees_what_only_wanted_a_verdict_and_goes_on_where_it_was_broken_off(
    wire: Wire, daemon: Daemon
):
    waited = await wire.upload(jpeg(900))  # clamd is down
    await become_state(wire, waited, "quarantined")
    ids = await unscreened(wire, *(jpeg(900, seed) for seed in range(2, 6)))
    with pytest.raises(CannotStart, match="clamd does not answer"):
        await rescreen(wire.store, bounds=Bounds(), progress=unseen)
    daemon.start(*WATCHFUL)
    none = await rescreen(wire.store, bounds=Bounds(seconds=0), progress=unseen)
    assert (none.run.objects, none.left, none.run.finished_at) == (0, 5, None)
    read: list[int] = []

    def dies(read_bytes: int) -> None:
        read.append(read_bytes)
        if len(read) == 3:
            daemon.stop()

    with pytest.raises(CannotStart, match="it goes on from here"):
        await rescreen(wire.store, bounds=Bounds(pace=dies), progress=unseen)
    known = [verdict for _, verdict in await states(wire, [waited, *ids])]
    assert known.count("clean") == 2
    daemon.start(*WATCHFUL)
    found = await rescreen(wire.store, bounds=Bounds(), progress=unseen)
    assert (found.run.id, found.run.objects, found.left) == (none.run.id, 5, 0)
    assert await states(wire, [waited, *ids]) == [("received", "clean")] * 5
    assert ("clean", "released from quarantine") in await screened(wire, waited)
    report = await verify(wire.store)
    assert report.holds, report.faults


@needs_clamd
async def test_operators_rescreen_by_a_command_and_are_told_what_is_wrong(wire: Wire, daemon: Daemon):
    (infected,) = await unscreened(wire, jpeg(900) + MALWARE)
    settings = wire.store.settings
    command = [
        sys.executable, "-m", "evidence_store.cli", "rescreen", "--data", str(settings.data), "--keys",
        str(settings.keys),
    ]  # fmt: skip
    here = {name: value for name, value in os.environ.items() if not name.startswith("EVIDENCE_")}

    async def run(**given: str) -> tuple[int, str]:
        begun = await asyncio.create_subprocess_exec(
            *command, env=here | given, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        told, problem = await begun.communicate()
        assert begun.returncode is not None
        return begun.returncode, (told + problem).decode()

    code, said = await run()
    assert (code, "EVIDENCE_CLAMD" in said) == (2, True)
    daemon.start()
    code, said = await run(EVIDENCE_CLAMD=str(daemon.socket))
    assert (code, "AlertExceedsMax" in said) == (2, True)
    daemon.stop()
    daemon.start(*WATCHFUL)
    code, said = await run(EVIDENCE_CLAMD=str(daemon.socket))
    assert code == 1
    assert f"Object {infected} is infected." in said
    assert "1 object (" in said
    assert await states(wire, [infected]) == [("quarantined", "infected")]


async def test_the_sender_hears_received_before_screening_and_nobody_reads_until_after(wire: Wire, daemon: Daemon):
    with socket.socket(socket.AF_UNIX) as silent:  # takes calls and never answers
        silent.bind(str(daemon.socket))
        silent.listen()
        data = jpeg(900)
        path, auth = await wire.create(data)
        await wire.patch(path, auth, 0, data)
        assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"
        object_id = path.rsplit("/", 1)[1]
        assert (await wire.metadata(object_id))["state"] == "screening"
        assert await status(wire, object_id, Scope.READ) == 409
        assert await status(wire, object_id, Scope.READ, Scope.QUARANTINE) == 200
        assert (await verify(wire.store)).holds


async def test_an_object_moved_out_of_quarantine_in_the_database_alone_is_found(wire: Wire):
    object_id = await wire.upload(jpeg(900))
    await become_state(wire, object_id, "quarantined")  # no clamd answers
    out = {"before": [ObjectState.QUARANTINED], "after": ObjectState.RECEIVED}
    async with wire.store.database.begin() as db:
        assert not await move_object(db, object_id, **out)
        await db.exec_driver_sql("DROP TRIGGER objects_quarantined")  # whoever holds the database can
        assert await move_object(db, object_id, **out)
    assert any(object_id in fault for fault in (await verify(wire.store)).faults)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"stream: OK\0", Verdict.CLEAN),
        (b"stream: Some.Thing FOUND\0", Verdict.INFECTED),
        (b"stream: OK FOUND\0", Verdict.INFECTED),
        (b"OK and more\0", Verdict.UNKNOWN),
        (b"\0", Verdict.UNKNOWN),
        (b"", Verdict.UNKNOWN),
        (b"x" * 10_000, Verdict.UNKNOWN),
    ],
)
def test_only_a_plain_ok_is_clean(monkeypatch: pytest.MonkeyPatch, answer: bytes, verdict: Verdict):
    monkeypatch.setattr(Clamd, "version", lambda _self: "ClamAV 1")
    monkeypatch.setattr(Clamd, "lets_pass", lambda _self: "")
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(Clamd, "_connect", lambda _self: ours)
    with theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        assert Clamd("/nowhere").screen([b"data"]).verdict is verdict


def test_the_age_of_signatures_is_read():
    made_at = signatures_made_at("ClamAV 1.4.6/27456/Tue Nov 25 09:24:10 2026")
    assert made_at is not None
    assert made_at.isoformat() == "2026-11-25T09:24:10+00:00"
    assert signatures_made_at("ClamAV 1.4.6") is None


@pytest.mark.parametrize("where", ["clamav.example:3310", "10.0.0.7:3310", "relative.sock", "127.0.0.1"])
def test_evidence_is_sent_to_no_clamd_across_a_network(tmp_path: Path, where: str):
    with pytest.raises(CannotStart, match="EVIDENCE_CLAMD"):
        load(None, data=tmp_path / "data", keys=tmp_path / "keys", clamd=where)
