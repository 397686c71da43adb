"""Wrapping an object's key: HPKE (RFC 9180) with the hybrid KEM ML-KEM-768 + X25519, HKDF-SHA-384, AES-256-GCM.

Whoever holds only the public half can seal and never open. The hybrid is chosen because evidence lives for decades:
breaking it needs both the lattice and the curve broken. `info` binds the wrapped key to its object and to its purpose
(sealed for good, or open while it arrives), so a key file moved beside another object does not open.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from evidence_store.sealing.floe import Forged
from evidence_store.sealing.signing import sha256_hex

FORMAT = 1
SUITE_NAME = "MLKEM768-X25519/HKDF-SHA384/AES-256-GCM"
PUBLIC_BYTES = 1184 + 32
PRIVATE_BYTES = 64 + 32

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA384, AEAD.AES_256_GCM)


@dataclass(frozen=True)
class PublicKey:
    """The half that seals: ML-KEM-768 public key (1184 bytes) ‖ X25519 public key (32)."""

    raw: bytes

    @cached_property
    def id(self) -> str:
        """First 64 bits of the SHA-256 of the key, as hex: names it in key files."""
        return sha256_hex(self.raw)[:16]

    @cached_property
    def _whole(self) -> MLKEM768X25519PublicKey:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.raw[:1184]), X25519PublicKey.from_public_bytes(self.raw[1184:])
        )

    def wrap(self, object_id: str, purpose: str, key: bytes) -> bytes:
        """Return the key file: JSON with the format, the object, the sealing key's id and the wrapped key."""
        return _render(object_id, purpose, self.id, _SUITE.encrypt(key, self._whole, info=_info(object_id, purpose)))


class Opener(Protocol):
    """What unwraps objects' keys: one private key, or a ring of them."""

    def unwrap(self, object_id: str, purpose: str, key_file: bytes) -> bytes:
        """Return the object's key. Raises Forged."""


@dataclass(frozen=True)
class PrivateKey:
    """The half that opens: ML-KEM-768 seed (64 bytes) ‖ X25519 private key (32)."""

    raw: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> "PrivateKey":
        """Make a new pair."""
        return cls(MLKEM768PrivateKey.generate().private_bytes_raw() + X25519PrivateKey.generate().private_bytes_raw())

    @cached_property
    def _halves(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        lattice = MLKEM768PrivateKey.from_seed_bytes(self.raw[:64])
        return lattice, X25519PrivateKey.from_private_bytes(self.raw[64:])

    @cached_property
    def public(self) -> PublicKey:
        """The half that may lie anywhere."""
        lattice, curve = self._halves
        return PublicKey(lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw())

    def unwrap(self, object_id: str, purpose: str, key_file: bytes) -> bytes:
        """Return the object's key. Raises Forged unless the file is, to the byte, one wrapped to this key for this."""
        try:
            wrapped = base64.b64decode(json.loads(key_file)["wrapped_key"], validate=True)
            if key_file != _render(object_id, purpose, self.public.id, wrapped):
                raise ValueError("written in another way, or about something else")
            return _SUITE.decrypt(wrapped, MLKEM768X25519PrivateKey(*self._halves), info=_info(object_id, purpose))
        except (InvalidTag, KeyError, TypeError, ValueError, binascii.Error, RecursionError):
            raise Forged("the key file does not belong to this object and sealing key, or was changed") from None


def _render(object_id: str, purpose: str, sealing_key: str, wrapped: bytes) -> bytes:
    document = {
        "format": FORMAT,
        "object": object_id,
        "purpose": purpose,
        "suite": SUITE_NAME,
        "sealing_key": sealing_key,
        "wrapped_key": base64.b64encode(wrapped).decode(),
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def sealing_key_of(key_file: bytes) -> str:
    """Return the id of the key that a key file says it is wrapped to. Raises Forged."""
    try:
        found = json.loads(key_file)["sealing_key"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Forged("the key file is damaged") from None
    if not isinstance(found, str):
        raise Forged("the key file is damaged")
    return found


def _info(object_id: str, purpose: str) -> bytes:
    return f"evidence-store/key/v{FORMAT}\n{purpose}\n{object_id}".encode()
