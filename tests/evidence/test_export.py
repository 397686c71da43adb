"""`evidence-store export`: whole or not at all, in constant memory, in words when something is in the way."""

import asyncio
import contextlib
import io
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evidence_store.court.export import Wanted, export
from evidence_store.court.package import Contents
from evidence_store.errors import CannotStart
from evidence_store.progress import Progress
from evidence_store.sealing import signing
from tests.evidence.conftest import INCIDENT, Wire, jpeg, sha256
from tests.evidence.court_support import VERIFIER, Bare
from tests.evidence_support import until

_SAID = ("--by", "Jo Smith 4021", "--for", "Crown Prosecution Service", "--reason", "Disclosure")


def wanted(**given: object) -> Wanted:
    said: dict[str, object] = {
        "objects": [], "incident": None, "marks": [], "by": "Jo Smith 4021", "recipient": "Crown Prosecution Service",
        "reason": "Disclosure", "quarantined": False, "checkpoints": [],
    }  # fmt: skip
    return Wanted(**said | given)  # type: ignore[arg-type]


def command(wire: Wire, *arguments: str) -> list[str]:
    where = ["--data", str(wire.store.settings.data), "--keys", str(wire.store.keys.folder)]
    return [sys.executable, "-m", "evidence_store.cli", "export", *arguments, *where]


async def run_to(wire: Wire, target: Path, **given: object) -> None:
    await export(wire.store, wanted(**given), target, progress=Progress(io.StringIO()))


async def test_the_command_writes_a_zip_file_or_a_folder_that_holds(wire: Wire, bare: Bare, tmp_path: Path):
    first, second = await wire.upload(jpeg(700)), await wire.upload(jpeg(800))
    for object_id, mark in ((first, "JS/1"), (second, "JS/2")):
        label = {"mark": mark, "description": "Photo", "maker": "Jo Smith"}
        await wire.ask("PUT", f"/objects/{object_id}/label", label)
    key = wire.store.keys.ledger.public.fingerprint
    for name, count, told in (("package.zip", 1, "1 exhibit is in"), ("package", 2, "2 exhibits are in")):
        marks = ["--mark", "JS/2"] if count == 1 else []
        asked = command(wire, str(tmp_path / name), "--incident", INCIDENT, *marks, *_SAID)
        done = await until_done(asked)
        assert done.returncode == 0, done.stderr
        assert told in done.stdout
        said = bare.verify(tmp_path / name, "--key", key)
        assert (said.code, said.text.count("\nExhibit ")) == (0, count), said.text
        assert "by cli:Jo Smith 4021 for Crown Prosecution Service. Reason: Disclosure" in said.text
    assert [line["action"] for line in await wire.lines(second)][-4:] == ["shared", "exported"] * 2
    assert named(tmp_path, ".part") == []


async def until_done(asked: list[str], *, megabytes: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, perhaps with so much memory for its data and no more."""
    limit = ["sh", "-c", f'ulimit -d {megabytes << 10} && exec "$@"', "sh"] if megabytes else []
    return await asyncio.to_thread(subprocess.run, [*limit, *asked], capture_output=True, text=True, check=False)


def named(folder: Path, part: str) -> list[str]:
    return [one.name for one in folder.iterdir() if part in one.name]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Say which exhibits"),
        ({"objects": ["x"], "incident": "AP-1"}, "Say which exhibits"),
        ({"objects": ["x"], "marks": ["JS/1"]}, "say --incident too"),
        ({"objects": ["x"]}, "An id is 32"),
        ({"objects": ["0" * 32]}, "There is no sealed object"),
        ({"incident": "AP-1"}, "0 were found"),
        ({"incident": INCIDENT, "marks": ["ZZ/9"]}, "has no exhibit ZZ/9"),
        ({"incident": INCIDENT, "reason": " "}, "--reason is 1 to 500"),
        ({"incident": INCIDENT, "recipient": "two\nlines"}, "--for is 1 to 200"),
        ({"incident": INCIDENT, "checkpoints": ["x"]}, "was not signed by this ledger's key"),
    ],
)
async def test_what_cannot_be_exported_is_said_in_a_sentence_and_leaves_nothing(wire: Wire, tmp_path, given, words):
    object_id = await wire.upload(jpeg(700))
    with pytest.raises(CannotStart, match=words):
        await run_to(wire, tmp_path / "package.zip", **given)
    assert not (tmp_path / "package.zip").exists()
    assert [line["action"] for line in await wire.lines(object_id)] == ["upload opened", "received"]


async def test_nothing_is_written_over_nor_into_the_data_folder(wire: Wire, tmp_path: Path):
    await wire.upload(jpeg(700))
    (tmp_path / "there").mkdir()
    (tmp_path / "there.zip").write_bytes(b"mine")
    for place, words in (
        (tmp_path / "there", "is there already"), (tmp_path / "there.zip", "is there already"),
        (tmp_path / "nowhere" / "x.zip", "does not exist"), (wire.store.settings.data / "x", "inside the data folder"),
    ):  # fmt: skip
        with pytest.raises(CannotStart, match=words):
            await run_to(wire, place, incident=INCIDENT)
    assert (tmp_path / "there.zip").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["package.zip", "package"])
async def test_an_export_that_fails_half_way_leaves_no_package(wire: Wire, tmp_path: Path, monkeypatch, name: str):
    object_id = await wire.upload(jpeg(3_000_000))
    pieces = Contents.pieces

    async def failing(self: Contents):
        async for piece in pieces(self):
            yield piece[: len(piece) // 2]
            if len(piece) > 500_000:
                raise OSError(28, "No space left on device")

    monkeypatch.setattr(Contents, "pieces", failing)
    with pytest.raises(CannotStart, match="No space left"):
        await run_to(wire, tmp_path / name, incident=INCIDENT)
    assert named(tmp_path, "package") == []
    assert [line["action"] for line in await wire.lines(object_id)][-1] == "shared"


@pytest.mark.parametrize(("how", "name"), [(signal.SIGINT, "package.zip"), (signal.SIGKILL, "package")])
async def test_an_interrupted_export_leaves_no_half_package_under_its_name(
    wire: Wire, bare: Bare, tmp_path: Path, how: signal.Signals, name: str
):
    """Whenever the signal comes there is no package, or a whole one; after kill -9 the next try says what to do."""
    await wire.put(signing.new_id(), jpeg(60_000_000))
    target, part = tmp_path / name, tmp_path / f".{name}.part"
    asked = command(wire, str(target), "--incident", INCIDENT, *_SAID)
    process = await asyncio.create_subprocess_exec(*asked, stdout=DEVNULL, stderr=DEVNULL)

    async def begun() -> bool:
        return part.exists() or process.returncode is not None

    await until("the export to begin", begun)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(how)
    await process.wait()
    if target.exists():
        assert bare.verify(target, "--key", wire.store.keys.ledger.public.fingerprint).code == 0
    elif part.exists():
        assert how is signal.SIGKILL
        with pytest.raises(CannotStart, match="then remove it"):
            await run_to(wire, target, incident=INCIDENT)


async def test_a_large_exhibit_is_exported_and_checked_in_less_memory_than_it_has_bytes(
    wire: Wire, bare: Bare, tmp_path: Path
):
    """384 MB through an export that may have 256 MB, and through a verify.py that may have 64 MB, for everything."""
    object_id, piece = signing.new_id(), jpeg(1_000_000)
    headers = wire.token() | {
        "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Content-Type": "image/jpeg",
        "Evidence-Sha256": sha256(piece * 384),
    }  # fmt: skip

    async def body() -> AsyncIterator[bytes]:
        for _ in range(384):
            yield piece

    async with wire.http.put(f"/evidence/v1/objects/{object_id}", headers=headers, data=body()) as answer:
        assert answer.status == 201, await answer.text()
    for name in ("package.zip", "package"):
        done = await until_done(command(wire, str(tmp_path / name), "--object", object_id, *_SAID), megabytes=256)
        assert done.returncode == 0, done.stderr
        check = [str(bare.python), "-I", str(VERIFIER), str(tmp_path / name)]
        done = await until_done(check, megabytes=64)
        assert done.returncode == 3, done.stdout + done.stderr
