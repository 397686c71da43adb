"""Opening keys locked by a hardware security module (PKCS#11).

The opening key's file is encrypted with AES-256-GCM under a key that was made inside the module, cannot be taken out of
it, and works only while the module is there and unlocked with its PIN:

    opening/<id>.p11   {"format": 1, "opening_key": "<id>", "iv": "<12 bytes, hex>", "locked": "<base64>"}
                       locked: ciphertext ‖ tag (16); associated data: evidence-store/opening/v1\n<id>

What this gives: a stolen disk, key folder or backup of either opens nothing, now or after a later theft of the PIN.
What it does not give: while the store runs, the opening key is in its memory, so whoever takes over the running node
has it. A module that did every unwrapping itself would prevent that; the hybrid with ML-KEM is in none we can test.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass

from evidence_store.errors import CannotStart
from evidence_store.sealing.signing import new_iv

KEY_LABEL = "evidence-opening"
_FORMAT = 1


@dataclass(frozen=True)
class Hsm:
    """One token of one module, and where its PIN is read."""

    module: Path
    token: str
    pin_file: Path

    def make_key(self) -> None:
        """Make the key inside the token that locks opening keys, unless it is there. Raises CannotStart."""
        with self._session(writes=True) as session:
            if not list(session.get_objects({Attribute.LABEL: KEY_LABEL, Attribute.CLASS: ObjectClass.SECRET_KEY})):
                closed = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
                session.generate_key(KeyType.AES, 256, label=KEY_LABEL, store=True, template=closed)

    def lock(self, key_id: str, secret: bytes) -> bytes:
        """Return the file of a locked opening key. Raises CannotStart."""
        iv = new_iv()
        with self._session() as session:
            locked = _find_key(session).encrypt(
                secret, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(iv, _aad(key_id), 128)
            )
        document = {
            "format": _FORMAT,
            "opening_key": key_id,
            "iv": iv.hex(),
            "locked": base64.b64encode(locked).decode(),
        }
        return json.dumps(document, indent=1).encode() + b"\n"

    def unlock(self, key_id: str, file: bytes) -> bytes:
        """Return the opening key of a file. Raises CannotStart when it was changed or belongs to another module."""
        try:
            document = json.loads(file)
            if document["format"] != _FORMAT or document["opening_key"] != key_id:
                raise ValueError("another format or key")
            iv, locked = bytes.fromhex(document["iv"]), base64.b64decode(document["locked"], validate=True)
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise CannotStart(f"The locked opening key {key_id} is damaged: restore it from its backup.") from None
        with self._session() as session:
            try:
                params = GCMParams(iv, _aad(key_id), 128)
                return bytes(_find_key(session).decrypt(locked, mechanism=Mechanism.AES_GCM, mechanism_param=params))
            except pkcs11.PKCS11Error:
                raise CannotStart(
                    f"The locked opening key {key_id} does not open: it was changed, or locked by another token."
                ) from None

    @contextmanager
    def _session(self, *, writes: bool = False) -> Iterator[Any]:
        try:
            pin = self.pin_file.read_text("utf-8").strip()
            if self.pin_file.stat().st_mode & 0o077:
                raise CannotStart(f"The PIN {self.pin_file} can be read by others: run 'chmod 600 {self.pin_file}'.")
        except (OSError, UnicodeDecodeError) as problem:
            raise CannotStart(f"The PIN {self.pin_file} cannot be read ({problem}).") from None
        try:
            token = pkcs11.lib(str(self.module)).get_token(token_label=self.token)
            with token.open(rw=writes, user_pin=pin) as session:
                yield session
        except (pkcs11.PKCS11Error, RuntimeError) as problem:
            raise CannotStart(
                f"The security module's token '{self.token}' cannot be used ({type(problem).__name__}): "
                "see that it is connected, and that EVIDENCE_PKCS11, …_TOKEN and …_PIN_FILE are right."
            ) from None


def _find_key(session: Any) -> Any:
    try:
        return session.get_key(object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=KEY_LABEL)
    except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned):
        raise CannotStart(
            f"The security module holds no key '{KEY_LABEL}' (or several): run 'evidence-store init'."
        ) from None


def _aad(key_id: str) -> bytes:
    return f"evidence-store/opening/v{_FORMAT}\n{key_id}".encode()
