"""Sealed objects in the node's own folder: every name appears whole or not at all, and stays after a power cut.

    objects/ab/<id>/data.floe, key.json     `ab` is the id's first two digits

incoming/<name>/object/ becomes an object's folder by one rename, which never replaces a folder that holds something.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from evidence_store.backend import (
    DATA,
    KEY,
    MOST_KEY_BYTES,
    Backend,
    OpenFile,
    Place,
    Sealed,
    copy_out,
    flush_folder,
    write_whole,
)
from evidence_store.model import checked_file
from evidence_store.sealing.files import destroy_secret


class FolderBackend(Backend):
    """The folder of one store."""

    def prepare(self) -> None:
        """Make the folders and prove that create-if-absent holds here. Raises OSError."""
        super().prepare()
        for shelf in range(256):  # all at once, so that no object ever rests on a shelf that is not flushed yet
            (self.root / "objects" / f"{shelf:02x}").mkdir(parents=True, exist_ok=True, mode=0o700)
        flush_folder(self.root / "objects")
        flush_folder(self.root)
        self._prove_create_if_absent()

    def _prove_create_if_absent(self) -> None:
        probe, other = (self.root / "incoming" / f".probe-{os.getpid()}-{part}" for part in "ab")
        try:
            for place in (probe, other):
                place.mkdir(exist_ok=True)
                (place / DATA).write_bytes(b"probe")
            try:
                probe.rename(other)
            except OSError:
                return
            raise OSError(None, "this file system replaces folders that hold files; it cannot hold evidence")
        finally:
            for place in (probe, other):
                shutil.rmtree(place, ignore_errors=True)

    def object_folder(self, object_id: str) -> Path:
        """Where a sealed object lies."""
        return self.root / "objects" / checked_file(object_id)[:2] / object_id

    def publish(self, name: str, object_id: str) -> None:
        """Move an arrived object to its place in one step; see `Backend`."""
        source, target = self.incoming(name) / "object", self.object_folder(object_id)
        try:
            source.rename(target)
        except FileNotFoundError:
            if not target.exists():
                raise
        except OSError:
            if target.exists():
                raise FileExistsError(object_id) from None
            raise
        flush_folder(target.parent)
        if source.parent.exists():
            flush_folder(source.parent)

    def adopt(self, folder: Path, object_id: str) -> None:
        """Copy an object out of a backup's folder; see `Backend`."""
        target, source = self.object_folder(object_id), OpenFile(folder / DATA)
        try:
            copy_sealed(source, (folder / KEY).read_bytes(), target)
        finally:
            source.close()

    def open(self, object_id: str) -> Sealed:
        """Open an object's sealed bytes; see `Backend`."""
        return OpenFile(self.object_folder(object_id) / DATA)

    def read_key(self, object_id: str) -> bytes:
        """Return an object's wrapped key; see `Backend`."""
        with (self.object_folder(object_id) / KEY).open("rb") as file:
            return file.read(MOST_KEY_BYTES)

    def replace_key(self, object_id: str, wrapped: bytes) -> None:
        """Put another wrapping in place of the old one; see `Backend`."""
        write_whole(self.object_folder(object_id) / KEY, wrapped)

    def retain(self, object_id: str, until: datetime) -> None:
        """Do nothing: a folder has no way to refuse its owner."""

    def destroy(self, object_id: str) -> None:
        """Destroy an object's key, also one whose replacing was interrupted, then its bytes; see `Backend`."""
        folder = self.object_folder(object_id)
        for key in (folder / KEY, folder / f".{KEY}.part"):
            destroy_secret(key)
        if folder.exists():
            shutil.rmtree(folder)
            flush_folder(folder.parent)

    def keeps_any(self, object_id: str) -> bool:
        """Say whether anything of an object is still there."""
        return self.object_folder(object_id).exists()

    def list_objects(self) -> Iterator[str]:
        """Yield the ids of all sealed objects, in order, and the names of whatever else lies there."""
        for shelf in sorted((self.root / "objects").iterdir()):
            yield from sorted(entry.name for entry in shelf.iterdir()) if shelf.is_dir() else [shelf.name]

    def describe(self) -> Place:
        """Say where sealed objects lie."""
        return Place([f"Sealed objects lie in {self.root / 'objects'}, which never replaces what is there."], [], [])


def copy_sealed(data: Sealed, key: bytes, folder: Path) -> None:
    """Bring a copy of one object in a folder up to date, flushed: data only when its length is not there already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / DATA).exists() or (folder / DATA).stat().st_size != data.size_bytes:
        copy_out(data, folder / DATA)
    if not (folder / KEY).exists() or (folder / KEY).read_bytes() != key:
        write_whole(folder / KEY, key)
    for place in (folder.parent, folder.parent.parent):
        flush_folder(place)
