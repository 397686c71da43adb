"""Argon2id password hashes; hashing takes about 100 ms on purpose and runs in a thread."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

_hasher = PasswordHasher()  # argon2-cffi's defaults are RFC 9106's second recommendation
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$RWqrUBIr0yqh9jKdcRS/fMaCFvvG9XJNyNNJ1ICtRuI"


async def hash_password(password: str) -> str:
    """Return the encoded Argon2id hash of a password."""
    return await asyncio.to_thread(_hasher.hash, password)


async def matches(password_hash: str | None, password: str) -> bool:
    """Say whether the password fits; without a hash (unknown user) the same work is done, so timing tells nothing."""

    def verify() -> bool:
        try:
            return _hasher.verify(password_hash or _NOBODY, password) and password_hash is not None
        except (VerifyMismatchError, InvalidHashError):
            return False

    return await asyncio.to_thread(verify)
