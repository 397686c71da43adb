"""Court packages to test: made by a store in this process, checked by verify.py where nothing else can be imported."""

import contextlib
import io
import json
import os
import pty
import shutil
import subprocess
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import evidence_store.court

if TYPE_CHECKING:
    from tests.evidence.conftest import Wire

VERIFIER = Path(evidence_store.court.__file__).parent / "verify.py"
ORDER = {"recipient": "Crown Prosecution Service", "reason": "Disclosure in the case of the broken window"}
_NEEDED = ("cryptography", "cffi", "_cffi_backend*")


@dataclass(frozen=True)
class Said:
    """What verify.py answered."""

    code: int
    text: str


@dataclass(frozen=True)
class Bare:
    """A Python of its own in which only the standard library and cryptography can be imported."""

    python: Path

    def verify(self, package: Path, *arguments: str, program: Path = VERIFIER, on_terminal: bool = False) -> Said:
        """Run verify.py as somebody who has only that would."""
        command = [str(self.python), "-I", str(program), str(package), *arguments]
        if on_terminal:
            return _on_terminal(command)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONUTF8": "1"})
        assert not done.stderr, done.stderr
        return Said(done.returncode, done.stdout)

    def verify_inside(self, folder: Path, *arguments: str) -> Said:
        """Run the copy in an unpacked package as its README says: there, and with Python's usual search for modules."""
        command = [str(self.python), "verify.py", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"PYTHONUTF8": "1"})
        assert not done.stderr, done.stderr
        return Said(done.returncode, done.stdout)


def _on_terminal(command: Sequence[str]) -> Said:
    """Run a command as on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, env={"PYTHONUTF8": "1", "COLUMNS": "80"}) as running:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while part := os.read(ours, 1 << 16):
                said += part
    os.close(ours)
    return Said(running.returncode, said.decode().replace("\r\n", "\n"))


def make_bare(folder: Path) -> Bare:
    """Make a bare Python; its libraries are links to those here."""
    venv.create(folder, with_pip=False, symlinks=True)
    there = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    here = [Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")]
    for pattern in _NEEDED:
        for found in {one for place in here for one in place.glob(pattern)}:
            (there / found.name).symlink_to(found)
    return Bare(folder / "bin" / "python")


async def give_out(wire: "Wire", objects: Sequence[str], **more: object) -> bytes:
    """Return the zip file of a package."""
    body = ORDER | {"objects": list(objects)} | more
    async with wire.http.post("/evidence/v1/packages", headers=wire.token(), json=body) as answer:
        assert (answer.status, answer.content_type) == (200, "application/zip"), await answer.text()
        data = await answer.read()
        assert int(answer.headers["Content-Length"]) == len(data)
        return data


def unpack(data: bytes, folder: Path) -> Path:
    """Unpack a package and return its folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        file.extractall(folder)
    return folder


def copy_of(package: Path, folder: Path) -> Path:
    """Return a copy to spoil."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package, folder)
    return folder


_MANY = """
import contextlib, io, json, runpy, sys
for asked in sys.stdin:
    program, *sys.argv[1:] = json.loads(asked)
    out, code = io.StringIO(), "did not end"
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        except BaseException as problem:
            code = repr(problem)
    print(json.dumps([code, out.getvalue()]), flush=True)
"""


class Patient:
    """A bare Python that runs verify.py again and again: mutation tests would wait for its start most of the time."""

    def __init__(self, bare: Bare) -> None:
        self._process = subprocess.Popen(
            [str(bare.python), "-I", "-c", _MANY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={"PYTHONUTF8": "1"},
        )  # fmt: skip

    def verify(self, package: Path, *arguments: str) -> Said:
        """Run verify.py once more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(VERIFIER), str(package), *arguments]) + "\n")
        self._process.stdin.flush()
        code, text = json.loads(self._process.stdout.readline())
        assert code in {0, 1, 2, 3}, code
        return Said(code, text)

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def unzip(package: Path, folder: Path) -> Path:
    """Unpack a package by a program that is not Python's, and return its folder."""
    done = subprocess.run(["unzip", "-q", str(package), "-d", str(folder)], capture_output=True, check=True)
    assert not done.stderr
    return folder
