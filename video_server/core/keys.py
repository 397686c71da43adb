"""Keys, tokens and digests: the one place of this package that handles secrets.

The key folder is apart from the data folder and must be backed up apart: whoever has both can write valid join links.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from video_server.core.errors import CannotStart

_ALPHABET = "23456789BCDFGHJKMNPQRSTVWXYZ"  # no vowels, no look-alikes: nothing offensive, readable over the phone
_LINK_KEY_BYTES = 32
_TOKEN_BYTES = 16  # 128 bits


@dataclass(frozen=True)
class KeyRing:
    """The secrets of a running server. `link` makes join tokens: change it and every open link dies."""

    link: bytes

    def link_token(self, appointment_id: str, generation: int) -> str:
        """Return the join token: first 128 bits of HMAC-SHA256(link key, id ‖ generation), 22 base64url characters.

        The same input gives the same token, so that a reminder can write a link again that the table holds only as
        a digest.
        """
        message = f"join\x00{appointment_id}\x00{generation}".encode()
        digest = hmac.new(self.link, message, hashlib.sha256).digest()[:_TOKEN_BYTES]
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def load_keys(folder: Path, *, create: bool) -> KeyRing:
    """Read the key folder; with `create`, make what is missing (mode 0600, flushed to disk).

    Raises CannotStart when a key is missing, readable by others, or damaged.
    """
    path = folder / "link.key"
    if create and not path.exists():
        _create_key(path, _LINK_KEY_BYTES)
    try:
        if path.stat().st_mode & 0o077:
            raise CannotStart(f"The key {path} can be read by other accounts: run 'chmod 600 {path}'.")
        key = path.read_bytes()
    except OSError as problem:
        raise CannotStart(f"The key {path} cannot be read ({problem.strerror}): restore it from its backup.") from None
    if len(key) != _LINK_KEY_BYTES:
        raise CannotStart(f"The key {path} is damaged: restore it from its backup.")
    return KeyRing(link=key)


def _create_key(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(f".{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(part, path)  # two first starts at once: one key wins and both use it
    except FileExistsError:
        pass
    finally:
        part.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def new_id() -> str:
    """Return a new random id, 128 bits as 32 hex digits; fit for a URL that needs a guard anyway."""
    return secrets.token_hex(16)


def new_secret() -> str:
    """Return a new 256-bit secret for a cookie or a password, base64url."""
    return secrets.token_urlsafe(32)


def new_code(length: int) -> str:
    """Return a random code a person can say on the phone."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret as hex; tables keep this, never the secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def choose(options: Sequence[str]) -> str:
    """Return one of the options, each as likely as the next and nobody able to foresee it."""
    return secrets.choice(options)
