"""Power cuts: the file system under a running store is shut down in the middle of its writes, and mounted again.

A loop device holds ext4 or XFS; FS_IOC_SHUTDOWN (xfs_io's `shutdown`, without flushing the log) drops whatever was not
on the device yet, data and names alike. What the device had taken is kept: a disk that lies about its own cache is not
tried. The suite cuts a few times; `make drills` (DRILL_WRITES=1000) until a thousand writes were acknowledged.
"""

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from sqlalchemy.exc import DBAPIError
from tusclient.exceptions import TusCommunicationError

from evidence_store.sealing import signing
from tests.evidence.conftest import INCIDENT, Process, forking, jpeg, sha256
from tests.evidence.test_kills import _LOST, _PATCH, content_of, create
from tests.product import until

WRITES = int(os.environ.get("DRILL_WRITES", "40"))
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
WRITES_BEFORE_A_CUT = 40
FILE_SYSTEMS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}


class Disk:
    """A file system of its own, whose power can be cut."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._image, self.place = folder / f"{kind}.image", folder / kind
        with self._image.open("wb") as image:
            image.truncate(400 << 20)
        _run(*FILE_SYSTEMS[kind], str(self._image))
        self.place.mkdir()
        self.is_mounted = False

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.place))
        self.is_mounted = True

    def cut(self) -> None:
        _run("xfs_io", "-x", "-c", "shutdown", str(self.place))

    def unmount(self) -> None:
        if self.is_mounted:
            until(lambda: subprocess.run(["umount", self.place], capture_output=True, check=False).returncode == 0,
                  "the end of all use of the disk")  # fmt: skip
        self.is_mounted = False


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": PATH})
    assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.fixture(params=FILE_SYSTEMS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A mounted disk of each kind; skipped, with a clear line, where nobody may make one."""
    needed = ["xfs_io", "losetup", "mount", FILE_SYSTEMS[request.param][0]]
    missing = [tool for tool in needed if shutil.which(tool, path=PATH) is None]
    if os.getuid() != 0 or missing:
        pytest.skip(f"no power is cut here: that needs root, and {', '.join(missing) or 'all tools are here'}")
    made = Disk(tmp_path, request.param)
    try:
        made.mount()
    except AssertionError as problem:
        pytest.skip(f"no power is cut here: there are no loop devices, or no {request.param} ({problem})")
    yield made
    made.unmount()


class Writers:
    """Four senders that write until the power goes; what was acknowledged to them is in `kept` and `offsets`."""

    def __init__(self, process: Process, seed: int) -> None:
        self._process, self._seed, self._turn = process, seed, threading.Lock()
        self.acknowledged = 0
        self.kept: dict[str, bytes] = {}
        self.offsets: dict[str, tuple[dict[str, str], int]] = {}
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(random.Random(4 * seed + n),)) for n in range(4)]
        for thread in self._threads:
            thread.start()

    def _write(self, rng: random.Random) -> None:
        with contextlib.suppress(*_LOST, TusCommunicationError, KeyError):  # KeyError: a refusal, as the disk is gone
            while not self._ended.is_set():
                (self._put if rng.random() < 0.6 else self._upload)(rng)

    def _count(self) -> None:
        with self._turn:
            self.acknowledged += 1

    def _put(self, rng: random.Random) -> None:
        object_id, data = signing.new_id(), jpeg(rng.randrange(500, 40_000), rng.randrange(1 << 30))
        headers = self._process.token() | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Content-Type": "image/jpeg",
            "Evidence-Sha256": sha256(data),
        }  # fmt: skip
        url = f"{self._process.url}/evidence/v1/objects/{object_id}"
        if requests.put(url, data=data, headers=headers, timeout=300).status_code == 201:
            self.kept[object_id] = data
            self._count()

    def _upload(self, rng: random.Random) -> None:
        data, at = jpeg(rng.randrange(2000, 2_500_000), rng.randrange(1 << 30)), 0
        url, bearer = create(self._process, data)
        self.offsets[url] = (bearer, 0)
        self._count()
        while at < len(data):
            piece = data[at : at + rng.randrange(1000, 1_200_000)]
            headers = bearer | _PATCH | {"Upload-Offset": str(at)}
            answer = requests.patch(url, data=piece, headers=headers, timeout=300)
            at = int(answer.headers["Upload-Offset"]) if answer.status_code == 204 else len(data) + 1
            if at <= len(data):
                self.offsets[url] = (bearer, at)
                self._count()
        if at == len(data):
            said = requests.post(f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300)
            if said.status_code == 200:
                self.kept[url.rsplit("/", 1)[1]] = data
                self._count()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def cut_once(disk: Disk, process: Process, writes: int, seed: int) -> tuple[int, list[str]]:
    """Write, cut, mount, start; return how many writes were acknowledged and a sentence for each that is lost."""
    writers = Writers(process, seed)
    until(lambda: writers.acknowledged >= writes, f"{writes} acknowledged writes")
    time.sleep(random.Random(seed).uniform(0, 0.05))  # somewhere between two writes
    disk.cut()
    process.kill()
    writers.end()
    disk.unmount()
    disk.mount()
    process.start()
    lost = []
    for object_id, data in writers.kept.items():
        with contextlib.suppress(AssertionError):
            if content_of(process, object_id) == data:
                continue
        lost.append(f"object {object_id} was acknowledged and is not there")
    for url, (bearer, offset) in writers.offsets.items():
        answer = requests.head(url, headers=bearer | _PATCH, timeout=300)
        if answer.status_code != 200 or int(answer.headers["Upload-Offset"]) < offset:
            lost.append(f"upload {url} stood at {offset}, and now answers {answer.status_code}")
    return writers.acknowledged, lost


def test_no_acknowledged_write_is_lost_when_the_power_is_cut(
    disk: Disk, fork_store: Callable[[dict[str, str]], int], request: pytest.FixtureRequest
):
    process = Process(disk.place / "store", fork_store)
    os.sync()  # the keys are the operator's, made long before
    process.start()
    acknowledged, cuts, lost = 0, 0, list[str]()
    try:
        while acknowledged < WRITES:
            told, gone = cut_once(disk, process, min(WRITES, WRITES_BEFORE_A_CUT), cuts)
            acknowledged, cuts, lost = acknowledged + told, cuts + 1, lost + gone
        verified = process.verify()
    finally:
        process.kill()
    print(f"{disk.place.name}: {cuts} power cuts, {len(lost)} of {acknowledged} acknowledged writes lost")
    assert lost == []
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_store_that_does_not_flush_is_found_out(disk: Disk):
    with forking(DRILL_WITHOUT_FSYNC="1") as start:
        process = Process(disk.place / "store", start)
        os.sync()
        process.start()
        try:
            _, lost = cut_once(disk, process, 20, 1)
            damaged = process.verify().returncode != 0
        except (
            AssertionError,
            DBAPIError,
            requests.RequestException,
        ) as problem:  # it does not even run on what is left
            lost, damaged = [str(problem)], True
        finally:
            process.kill()
    assert lost or damaged
