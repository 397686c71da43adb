"""Writing a package out: as a zip file that streams, or into a file or folder that is there whole or not at all."""

import os
import shutil
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import BinaryIO

from evidence_store.backend import flush_folder
from evidence_store.court.package import Package, contents_of
from evidence_store.court.zips import Member, Zip, measure
from evidence_store.errors import CannotStart
from evidence_store.store import Store

Told = Callable[[int], None]
"""Told of the bytes that were gone through since the last time."""


def zip_bytes(package: Package) -> int:
    """Return how long the package's zip file is."""
    return measure(Member(member.path, member.size_bytes) for member in package.members)


async def zip_pieces(store: Store, package: Package, told: Told) -> AsyncGenerator[bytes, None]:
    """Yield the zip file; an exhibit is read once to be checked, once to be given out. Raises DamagedHere."""
    layout = Zip(package.order.made_at)
    for member in package.members:
        async with contents_of(store, package, member) as contents:
            crc = await contents.crc(told)
            yield layout.begin(Member(member.path, member.size_bytes), crc)
            async for piece in contents.pieces():
                yield piece
                told(len(piece))
    yield layout.end()


async def write_zip(store: Store, package: Package, target: Path, told: Told) -> None:
    """Write the package as one file, durable and under its name only when it is whole."""
    part = _part_of(target)
    try:
        with await store.run(part.open, "xb") as file:
            async for piece in zip_pieces(store, package, told):
                await store.run(file.write, piece)
            await store.run(_flush, file)
        await store.run(_publish, part, target)
    finally:
        part.unlink(missing_ok=True)


async def write_folder(store: Store, package: Package, target: Path, told: Told) -> None:
    """Write the package as a folder, durable and under its name only when it is whole."""
    part = _part_of(target)
    try:
        await store.run((part / "exhibits").mkdir, 0o700, parents=True)
        for member in package.members:
            async with contents_of(store, package, member) as contents:
                with await store.run((part / member.path).open, "xb") as file:
                    async for piece in contents.pieces():
                        await store.run(file.write, piece)
                        told(len(piece))
                    await store.run(_flush, file)
        await store.run(flush_folder, part / "exhibits")
        await store.run(_publish, part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_target(store: Store, target: Path) -> None:
    """Pass when a package can be written there. Raises CannotStart."""
    if target.exists() or target.is_symlink():
        raise CannotStart(f"{target} is there already. Nothing is ever written over: name another place.")
    if _part_of(target).exists():
        raise CannotStart(f"{_part_of(target)} is of an export that is running, or was interrupted: then remove it.")
    if not target.parent.is_dir():
        raise CannotStart(f"The folder {target.parent} does not exist.")
    if target.absolute().is_relative_to(store.settings.data.absolute()):
        raise CannotStart("A package inside the data folder would be taken for a part of it: name another place.")


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(part: Path, target: Path) -> None:
    """Give what is whole its name. No link, which would never replace anything: sticks and discs have none."""
    if part.is_dir():
        flush_folder(part)
    if target.exists():
        raise FileExistsError(17, "it appeared meanwhile", str(target))
    part.rename(target)
    flush_folder(target.parent)
