"""One contract, held by every backend: the local folder, a real S3 server's bucket, and one with versions and locks."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import astuple
from pathlib import Path

import pytest

from evidence_store.app import open_store
from evidence_store.backend import DATA, KEY, Backend, Busy, write_whole
from evidence_store.backend.folder import FolderBackend
from evidence_store.backend.s3 import S3Backend
from evidence_store.config import load
from evidence_store.errors import CannotStart, Damaged
from evidence_store.sealing import signing
from evidence_store.sealing.keys import Keys
from tests.evidence import writers
from tests.evidence.seaweed import LOCKED, PLAIN, Seaweed

ID = "ab" + "0" * 30
LARGE = (17 << 20) + 5
"""More than one part of a bucket."""


@pytest.fixture
def prefix() -> str:
    return f"{signing.new_id()}/"


@pytest.fixture(params=["folder", PLAIN, LOCKED])
def make_backend(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Callable[[str], Backend]:
    """Open the backend as a node does; named nodes have their own folders, and a folder backend has one alone."""

    def make(node: str = "node") -> Backend:
        if request.param == "folder":
            return FolderBackend(tmp_path / "node")
        seaweed: Seaweed = request.getfixturevalue("seaweed")
        return S3Backend(tmp_path / node, seaweed.address(prefix, request.param))

    return make


@pytest.fixture
def backend(make_backend: Callable[[], Backend]) -> Iterator[Backend]:
    opened = make_backend()
    opened.prepare()
    return opened


def arrive(backend: Backend, name: str, data: bytes = b"sealed bytes" * 99, key: bytes = b"a wrapped key") -> bytes:
    """Lay an arrived object under incoming/, as sealing does; return its data."""
    folder = backend.create_incoming(name)
    write_whole(folder / "object" / DATA, data)
    write_whole(folder / "object" / KEY, key)
    return data


def read(backend: Backend, object_id: str = ID) -> bytes:
    with closing(backend.open(object_id)) as sealed:
        return b"".join(sealed.read_at(at, 1 << 20) for at in range(0, sealed.size_bytes, 1 << 20))


@pytest.mark.parametrize("size", [0, 1, 75, 8 << 20, LARGE])
def test_what_is_published_is_there_whole_and_listed(backend: Backend, size: int):
    data = arrive(backend, "a", random.Random(size).randbytes(size))
    assert list(backend.list_objects()) == []
    backend.publish("a", ID)
    assert read(backend) == data
    assert backend.read_key(ID) == b"a wrapped key"
    assert list(backend.list_objects()) == [ID]
    assert backend.keeps_any(ID)


def test_publishing_again_is_fine_also_when_nothing_is_left_of_the_arrival(backend: Backend):
    data = arrive(backend, "a")
    backend.publish("a", ID)
    backend.publish("a", ID)
    backend.drop_incoming("a")
    backend.publish("a", ID)
    assert read(backend) == data


def test_the_first_under_an_id_stays(backend: Backend):
    data = arrive(backend, "a")
    backend.publish("a", ID)
    arrive(backend, "b", b"other bytes", b"another key")
    with pytest.raises(FileExistsError):
        backend.publish("b", ID)
    assert (read(backend), backend.read_key(ID)) == (data, b"a wrapped key")


def test_what_is_not_there_is_said_not_to_be(backend: Backend):
    for act in (backend.open, backend.read_key, lambda object_id: backend.publish("a", object_id)):
        with pytest.raises(FileNotFoundError):
            act(ID)
    assert not backend.keeps_any(ID)
    assert list(backend.list_objects()) == []


@pytest.mark.parametrize("size", [10, 500_000])
def test_any_range_reads_as_the_bytes_that_were_sealed(backend: Backend, size: int):
    rng = random.Random(size)
    data = arrive(backend, "a", rng.randbytes(size))
    backend.publish("a", ID)
    spans = [(0, 74), (0, 1), (size - 1, 1), (size - 5, 100), (size, 1), (size + 9, 5), (73, 2), (74, 1), (3, 0)]
    spans += [(rng.randrange(size), rng.randrange(size)) for _ in range(10)]
    with closing(backend.open(ID)) as sealed:
        assert sealed.size_bytes == size
        for start, length in spans:
            assert sealed.read_at(start, length) == data[start : start + length], (start, length)
            out = bytearray(length)
            assert out[: sealed.read_into(out, start)] == data[start : start + length], (start, length)
            assert len(out) == length


def test_a_key_is_replaced_whole_and_the_bytes_stay(backend: Backend):
    data = arrive(backend, "a")
    backend.publish("a", ID)
    backend.replace_key(ID, b"wrapped anew")
    backend.replace_key(ID, b"wrapped anew")
    assert (read(backend), backend.read_key(ID)) == (data, b"wrapped anew")


def test_destroying_leaves_nothing_and_may_be_done_again(backend: Backend):
    for name, object_id in (("a", ID), ("b", ID[::-1])):
        arrive(backend, name, key=name.encode())
        backend.publish(name, object_id)
    backend.replace_key(ID, b"wrapped anew")
    backend.destroy(ID)
    backend.destroy(ID)
    assert not backend.keeps_any(ID)
    with pytest.raises(FileNotFoundError):
        backend.read_key(ID)
    assert list(backend.list_objects()) == [ID[::-1]]
    assert backend.read_key(ID[::-1]) == b"b"


def test_a_destruction_that_was_interrupted_behind_the_key_is_finished(backend: Backend, monkeypatch):
    arrive(backend, "a", bytes(LARGE))
    backend.publish("a", ID)
    key_gone = _die_behind_the_key(backend, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        backend.destroy(ID)
    assert key_gone()
    monkeypatch.undo()
    assert backend.keeps_any(ID)
    backend.destroy(ID)
    assert not backend.keeps_any(ID)


def _die_behind_the_key(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Have the destruction die at its second half; return a look whether the key is gone then."""

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    def key_is_gone() -> bool:
        try:
            backend.read_key(ID)
        except FileNotFoundError:
            return True
        return False

    if isinstance(backend, S3Backend):
        delete = backend._delete
        monkeypatch.setattr(backend, "_delete", lambda name: delete(name) if name.endswith(KEY) else die())
    else:
        monkeypatch.setattr("evidence_store.backend.folder.shutil.rmtree", die)
    return key_is_gone


def test_an_object_comes_back_from_a_backup_as_it_was(backend: Backend, tmp_path: Path):
    (tmp_path / "backup").mkdir()
    data = random.Random(5).randbytes(LARGE)
    write_whole(tmp_path / "backup" / DATA, data)
    write_whole(tmp_path / "backup" / KEY, b"key of then")
    for _ in range(2):
        backend.adopt(tmp_path / "backup", ID)
        assert (read(backend), backend.read_key(ID)) == (data, b"key of then")


def test_a_folder_whose_file_system_replaces_what_is_there_is_refused_at_the_start(tmp_path: Path, keys, monkeypatch):
    def replace_what_is_there(source: Path, target: Path) -> Path:
        shutil.rmtree(target, ignore_errors=True)
        source.replace(target)
        return target

    monkeypatch.setattr(Path, "rename", replace_what_is_there)
    settings = load(None, data=tmp_path / "data", keys=keys.folder)
    with pytest.raises(CannotStart, match="replaces folders that hold files; it cannot hold evidence"):
        open_store(settings, keys)
    monkeypatch.undo()
    open_store(settings, keys)


def test_an_object_has_one_writer_at_a_time(backend: Backend, make_backend: Callable[[], Backend]):
    lock, neighbour = backend.lock(ID), make_backend()
    with pytest.raises(Busy):
        neighbour.lock(ID)
    lock.finish()
    neighbour.lock(ID).finish()
    assert list((backend.root / "locks").iterdir()) == []


def test_letting_go_never_takes_away_the_next_ones_lock(backend: Backend):
    first = backend.lock(ID)
    backend.drop_incoming(ID)  # what settling does while it holds the lock
    second = backend.lock(ID)
    first.finish()
    with pytest.raises(Busy):
        backend.lock(ID)
    second.finish()


def test_a_backend_says_where_it_keeps_objects(backend: Backend):
    place = backend.describe()
    assert "Sealed objects lie in" in place.good[0]
    assert not place.bad


def test_eight_processes_that_write_one_id_have_one_winner(
    backend: Backend, tmp_path: Path, request: pytest.FixtureRequest, prefix: str
):
    is_bucket = isinstance(backend, S3Backend)
    roots = [str(tmp_path / f"node-{n}") for n in range(8)] if is_bucket else [str(backend.root)]
    address = list(astuple(backend._address)) if isinstance(backend, S3Backend) else None
    said = json.dumps({"object": ID, "writers": 8, "roots": roots, "address": address})
    race = subprocess.Popen(
        [sys.executable, "-m", "tests.evidence.writers", said], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert race.stdout is not None
    assert [race.stdout.readline() for _ in range(8)] == ["ready\n"] * 8
    outcomes = json.loads(race.communicate("go\n")[0])
    assert sorted(outcomes) == [0] + [3] * 7
    winner = outcomes.index(0)
    assert (read(backend), backend.read_key(ID)) == (writers.data_of(winner), writers.key_of(winner))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../objects", "../opening/ab", "/etc", "a/b", ".hidden", "a\0", "A", "a" * 65]
)
def test_what_is_no_name_of_the_stores_names_no_file(tmp_path: Path, keys: Keys, name: str):
    folder = FolderBackend(tmp_path / "data")
    folder.prepare()
    for act in (folder.incoming, folder.drop_incoming, folder.lock, folder.destroy, folder.keeps_any, keys.ingest_key):
        with pytest.raises(Damaged):
            act(name)


def test_no_link_in_the_data_folder_has_a_key_written_over(tmp_path: Path):
    """Whoever can write in the data folder, and nowhere else, points from there to a key of the key folder."""
    backend, key = FolderBackend(tmp_path / "data"), tmp_path / "a.key"
    backend.prepare()
    key.write_bytes(b"the opening key")
    arrive(backend, "a")
    backend.publish("a", ID)
    (backend.root / "locks" / ID).symlink_to(key)
    with pytest.raises(OSError, match="symbolic link"):
        backend.lock(ID).sign(signing.new_id())
    (backend.root / "locks" / f"{ID}.wanted").symlink_to(tmp_path / "made")
    with pytest.raises(OSError, match="symbolic link"):
        backend.ask_to_let_go(ID)
    (backend.object_folder(ID) / f".{KEY}.part").symlink_to(key)
    with pytest.raises(OSError, match="symbolic link"):
        backend.replace_key(ID, b"another wrapping")
    (backend.object_folder(ID) / KEY).unlink()
    (backend.object_folder(ID) / KEY).symlink_to(key)
    backend.destroy(ID)
    assert not backend.keeps_any(ID)
    assert key.read_bytes() == b"the opening key"
    assert not (tmp_path / "made").exists()
