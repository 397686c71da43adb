"""Key files: written whole and flushed, readable by this account alone, destroyed by overwriting."""

import os
from pathlib import Path

from evidence_store.errors import CannotStart


def create_secret(path: Path, secret: bytes) -> None:
    """Write a file that only this account can read, flushed, unless it exists already (then it stays as it is)."""
    if path.exists():
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()
    _flush_folder(path.parent)


def create_mark(path: Path) -> None:
    """Make an empty file that only has to be there, flushed; that it is there already is fine."""
    path.touch(mode=0o600)
    _flush_folder(path.parent)


def destroy_secret(path: Path) -> None:
    """Overwrite and remove a key file; an absent one is fine. On flash the overwriting is a courtesy, no promise.

    Of a link only the link is removed: what it points to is none of ours.
    """
    try:
        if path.is_symlink():
            path.unlink()
            return
        with open(path, "r+b", opener=_not_by_a_link) as file:  # Path.open takes no opener
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return
    _flush_folder(path.parent)


def _not_by_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def read_key(path: Path, size: int | None = None) -> bytes:
    """Return a key. Raises CannotStart when it is missing, damaged, or a secret that others can read."""
    try:
        if path.suffix in {".key", ".p11"} and path.stat().st_mode & 0o077:
            raise CannotStart(f"The key {path} can be read by other accounts: run 'chmod 600 {path}'.")
        key = path.read_bytes()
    except OSError as problem:
        raise CannotStart(
            f"The key {path} cannot be read ({problem.strerror}): run 'evidence-store init', or restore its backup."
        ) from None
    if size is not None and len(key) != size:
        raise CannotStart(f"The key {path} is damaged: restore it from its backup.")
    return key


def read_secret(path: Path) -> str:
    """Return the one line of a file that an operator made. Raises CannotStart when others can read it, or nobody."""
    try:
        if path.stat().st_mode & 0o077:
            raise CannotStart(f"The secret {path} can be read by other accounts: run 'chmod 600 {path}'.")
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise CannotStart(f"The secret {path} cannot be read, or is not plain letters.") from None


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
