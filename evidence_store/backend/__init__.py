"""What every backend is: a node's own folder for what arrives, and a place for what is sealed.

    incoming/<name>/object/                 what becomes the object: data.floe, key.json
    incoming/<name>/tail.<offset>           acknowledged bytes behind the last whole segment of an open upload
    incoming/<name>/ingest.json             the open upload's key, wrapped to its ingest key
    locks/<name>                            who writes: flock, and a nonce that tells whether somebody else wrote since

These lie on the node's disk whatever the backend; folders and files are flushed before anything that rests on them is
acknowledged. Where sealed objects lie is the backend's own: `folder.py`, `s3.py`.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from evidence_store.model import checked_file, is_file_name

WRITES_ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
"""No link is followed: whoever can write here could lead us to a key, and have it written over."""

DATA = "data.floe"
KEY = "key.json"
MOST_KEY_BYTES = 1 << 16
"""No wrapped key is that long: whoever can write files must not fill the memory of who reads them."""


class Busy(Exception):
    """Another connection, here or in another process, holds the lock."""


@dataclass
class Lock:
    """A held lock. `nonce` is what the last writer left; `sign` leaves ours."""

    descriptor: int
    path: Path

    @property
    def nonce(self) -> str:
        """Return what the last writer signed with; empty when nobody has."""
        return os.pread(self.descriptor, 64, 0).decode("ascii", "replace")

    def sign(self, nonce: str) -> None:
        """Leave our nonce, so that whoever held the file open before knows that it changed."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, nonce.encode(), 0)

    def release(self) -> None:
        """Let go; the file with its nonce stays."""
        os.close(self.descriptor)

    def finish(self) -> None:
        """Let go and leave no file: for locks that are held once, whose nonce nobody will ask for."""
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_ino == os.fstat(self.descriptor).st_ino:  # else it is the next holder's already
                self.path.unlink()
        os.close(self.descriptor)


class Sealed(Protocol):
    """The bytes of one sealed object, open for reading; close it. Raises OSError, BackendFailed."""

    size_bytes: int

    def read_at(self, start: int, length: int) -> bytes:
        """Return the bytes from `start`, at most `length`, fewer only at the end."""

    def read_into(self, out: bytearray, start: int) -> int:
        """Fill `out` with the bytes from `start`; return how many there were, fewer only at the end."""

    def close(self) -> None:
        """Let go of it; again is fine."""


@dataclass(frozen=True)
class Place:
    """What a backend says of itself, each a sentence: `good`, `notes` (could be better) and `bad` (mend it)."""

    good: list[str]
    notes: list[str]
    bad: list[str]


class Backend(ABC):
    """One store's node folder and its sealed objects. Every method is blocking: call it in a worker thread.

    Sealed objects: BackendFailed where their place does not answer (nothing is known then); FileNotFoundError where an
    object is not there; OSError for any other fault of a disk.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the node's folders and prove that create-if-absent holds. Raises OSError, CannotStart."""
        for name in ("incoming", "locks"):
            (self.root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.root, self.root.parent):
            flush_folder(folder)

    # --- what is arriving

    def incoming(self, name: str) -> Path:
        """Where something on its way in lies. Raises Damaged for what is no name."""
        return self.root / "incoming" / checked_file(name)

    def create_incoming(self, name: str) -> Path:
        """Make the folder of something new, clearing what a crash left under this name; hold its lock."""
        folder = self.incoming(name)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "object").mkdir(parents=True)
        flush_folder(folder)
        flush_folder(folder.parent)
        return folder

    def drop_incoming(self, name: str) -> None:
        """Remove a folder and its lock; an absent one is fine."""
        shutil.rmtree(self.incoming(name), ignore_errors=True)
        self.clear_wanted(name)
        with contextlib.suppress(FileNotFoundError):
            self._lock_file(name).unlink()

    def list_incoming(self) -> list[str]:
        """Return the names of everything on its way in."""
        return sorted(entry.name for entry in (self.root / "incoming").iterdir() if is_file_name(entry.name))

    # --- one writer

    def lock(self, name: str) -> Lock:
        """Take the lock. Raises Busy. It is let go by `release()` and when the process dies, however it dies."""
        path = self._lock_file(name)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return Lock(descriptor, path)
            except BlockingIOError:
                os.close(descriptor)
                raise Busy(name) from None
            except FileNotFoundError:
                pass  # removed between opening and locking: take the new one
            os.close(descriptor)

    def ask_to_let_go(self, name: str) -> None:
        """Ask whoever holds the lock, here or in another process, to let go."""
        write_flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        os.close(os.open(self._lock_file(name, ".wanted"), write_flags, 0o600))

    def is_wanted(self, name: str) -> bool:
        """Say whether somebody waits for this lock."""
        return self._lock_file(name, ".wanted").exists()

    def clear_wanted(self, name: str) -> None:
        """Forget the asking: done by whoever got the lock."""
        with contextlib.suppress(FileNotFoundError):
            self._lock_file(name, ".wanted").unlink()

    def _lock_file(self, name: str, more: str = "") -> Path:
        return self.root / "locks" / f"{checked_file(name)}{more}"

    # --- what is sealed

    @abstractmethod
    def publish(self, name: str, object_id: str) -> None:
        """Put an arrived object in its place, whole or not at all; hold the object's lock. Done before is fine.

        Its files are flushed already. When this returns both survive whatever happens to this node; what lies under
        incoming/ may be gone or not. Raises FileExistsError when the place is another object's, FileNotFoundError.
        """

    @abstractmethod
    def adopt(self, folder: Path, object_id: str) -> None:
        """Copy an object out of a backup's folder into its place; data of the right length that is there counts."""

    @abstractmethod
    def open(self, object_id: str) -> Sealed:
        """Open an object's sealed bytes. Raises FileNotFoundError."""

    @abstractmethod
    def read_key(self, object_id: str) -> bytes:
        """Return an object's wrapped key. Raises FileNotFoundError."""

    @abstractmethod
    def replace_key(self, object_id: str, wrapped: bytes) -> None:
        """Put another wrapping of an object's key in place of the old one, whole or not at all; hold its lock."""

    @abstractmethod
    def retain(self, object_id: str, until: datetime) -> None:
        """Have the place itself refuse to delete an object before `until` (aware), where it offers that."""

    @abstractmethod
    def destroy(self, object_id: str) -> None:
        """Destroy an object's key, then its bytes; hold its lock. What is gone is fine."""

    @abstractmethod
    def keeps_any(self, object_id: str) -> bool:
        """Say whether anything of an object is still there."""

    @abstractmethod
    def list_objects(self) -> Iterator[str]:
        """Yield the ids of all sealed objects."""

    @abstractmethod
    def describe(self) -> Place:
        """Say where sealed objects lie and what that place offers."""


class OpenFile:
    """A sealed object in a file. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size_bytes = os.fstat(self._descriptor).st_size

    def read_at(self, start: int, length: int) -> bytes:
        """Return the bytes from `start`, at most `length`, fewer only at the end."""
        return os.pread(self._descriptor, length, start)

    def read_into(self, out: bytearray, start: int) -> int:
        """Fill `out` with the bytes from `start`; return how many there were, fewer only at the end."""
        return os.preadv(self._descriptor, [out], start)

    def close(self) -> None:
        """Close the file; again is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole and flushed, or not there."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, WRITES_ANEW, 0o600)
    try:
        write_all(descriptor, memoryview(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.rename(path)
    flush_folder(path.parent)


def write_all(descriptor: int, data: memoryview, *, at: int | None = None, piece: int = 1 << 18) -> None:
    """Write everything, from offset `at` or where the file stands, in pieces that the page cache takes fastest."""
    done = 0
    while done < len(data):
        rest = data[done : done + piece]
        done += os.write(descriptor, rest) if at is None else os.pwrite(descriptor, rest, at + done)


_LIBC = ctypes.CDLL(None)
_SYNC_FILE_RANGE_WRITE = 2


def begin_writing_back(descriptor: int, start: int, length: int) -> None:
    """Have the kernel begin to write a range of a file to the disk, without waiting: so the last flush is short.

    Nothing rests on it, so what it answers does not matter; where it is unknown nothing happens.
    """
    if hasattr(_LIBC, "sync_file_range"):
        offsets = ctypes.c_int64(start), ctypes.c_int64(length)
        _LIBC.sync_file_range(ctypes.c_int(descriptor), *offsets, ctypes.c_uint(_SYNC_FILE_RANGE_WRITE))


def flush_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_out(sealed: Sealed, target: Path, *, piece: int = 1 << 20) -> None:
    """Write a sealed object's bytes into a file that appears whole and flushed, in constant memory."""
    part = target.with_name(f".{target.name}.part")
    descriptor = os.open(part, WRITES_ANEW, 0o600)
    try:
        for start in range(0, sealed.size_bytes, piece):
            write_all(descriptor, memoryview(sealed.read_at(start, piece)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.rename(target)
    flush_folder(target.parent)
