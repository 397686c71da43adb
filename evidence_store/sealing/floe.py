"""FLOE: random-access authenticated encryption of large files, exactly as c2sp.org/FLOE specifies it.

Parameters: AES-256-GCM, HKDF-Expand with SHA-384, a 32 byte IV; only the length of a segment may vary (1 MiB here).

    header    parameters (10) ‖ IV (32) ‖ header tag (32)                                            74 bytes
    segment   0xFFFFFFFF, or in the final one its own length (4) ‖ AES-GCM IV (12) ‖ ciphertext ‖ tag (16)

Every derived key is bound to the parameters, the IV, a purpose and the associated data, so a header opens under one key
and one `aad` only; every segment is bound to its position and to being final or not. Segments are encrypted under a
key that changes every 2^20 of them.

Pure: bytes in, bytes out; the caller says which position and whether it is the final one, and must take both from
the length of the whole ciphertext (`shape_of`), never from the segment itself.
"""

import hmac
import math
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES = 32
SEGMENT_BYTES = 1 << 20
MAX_SEGMENTS = 1 << 40
HEADER_BYTES = 74
OVERHEAD_BYTES = 32
"""What a segment is longer than its plaintext: length mark 4, IV 12, tag 16."""

_IV_BYTES = 32
_TAG_BYTES = 32
_AEAD_IV_BYTES = 12
_MESSAGE_KEY_BYTES = 48
_INTERNAL = 0xFFFFFFFF
_ROTATION_BITS = 20


class Forged(Exception):
    """Ciphertext, header, key and associated data do not belong together: changed, cut, moved or swapped."""


@dataclass(frozen=True)
class Parameters:
    """What a FLOE file is made with. `rotation_bits` differs from 20 only in published test vectors."""

    segment_bytes: int = SEGMENT_BYTES
    rotation_bits: int = _ROTATION_BITS

    @property
    def plain_bytes(self) -> int:
        """Plaintext in one full segment."""
        return self.segment_bytes - OVERHEAD_BYTES

    def encode(self) -> bytes:
        """AEAD id 0 ‖ KDF id 0 ‖ segment length ‖ IV length."""
        return b"\x00\x00" + self.segment_bytes.to_bytes(4, "big") + _IV_BYTES.to_bytes(4, "big")


DEFAULT = Parameters()


@dataclass
class Cipher:
    """One FLOE file under its key: encrypts and decrypts segments at any position, keeps no order of its own."""

    message_key: bytes = field(repr=False)
    iv: bytes
    aad: bytes
    parameters: Parameters
    _epoch: int = -1
    _aead: AESGCM | None = None

    def encrypt_segment_into(self, plaintext: bytes | bytearray | memoryview, out: bytearray | memoryview, *,
                             position: int, final: bool) -> int:  # fmt: skip
        """Encrypt one segment into `out` and return its length.

        A position is encrypted once with what is kept; all but the final one are exactly `plain_bytes` long.
        Raises ValueError when the length or position does not fit.
        """
        size = len(plaintext)
        if (size > self.parameters.plain_bytes) if final else (size != self.parameters.plain_bytes):
            raise ValueError("the plaintext does not fit the segment")
        if not 0 <= position < MAX_SEGMENTS - (not final):
            raise ValueError("the position is out of range")
        total = size + OVERHEAD_BYTES
        view = memoryview(out)
        view[:4] = (total if final else _INTERNAL).to_bytes(4, "big")
        iv = secrets.token_bytes(_AEAD_IV_BYTES)
        view[4 : 4 + _AEAD_IV_BYTES] = iv
        self._aead_for(position).encrypt_into(iv, plaintext, _segment_aad(position, final), view[16:total])
        return total

    def encrypt_segment(self, plaintext: bytes | memoryview, *, position: int, final: bool) -> bytes:
        """Return one encrypted segment."""
        out = bytearray(len(plaintext) + OVERHEAD_BYTES)
        self.encrypt_segment_into(plaintext, out, position=position, final=final)
        return bytes(out)

    def decrypt_segment(self, segment: bytes | memoryview, *, position: int, final: bool) -> bytes:
        """Return the plaintext of one segment; raises Forged when anything about it is not as it was written."""
        out = bytearray(max(0, len(segment) - OVERHEAD_BYTES))
        self.decrypt_segment_into(segment, out, position=position, final=final)
        return bytes(out)

    def decrypt_segment_into(self, segment: bytes | memoryview, out: bytearray | memoryview, *,
                             position: int, final: bool) -> int:  # fmt: skip
        """Decrypt one segment into `out` and return the plaintext's length.

        Raises Forged when anything about it is not as it was written; what `out` holds then must not be looked at.
        """
        size = len(segment)
        if final:
            fits = OVERHEAD_BYTES <= size <= self.parameters.segment_bytes
        else:
            fits = size == self.parameters.segment_bytes
        if not fits or int.from_bytes(segment[:4], "big") != (size if final else _INTERNAL):
            raise Forged(f"segment {position} has the wrong length")
        if not 0 <= position < MAX_SEGMENTS:
            raise Forged(f"segment {position} is out of range")
        plaintext = memoryview(out)[: size - OVERHEAD_BYTES]
        iv, sealed = segment[4 : 4 + _AEAD_IV_BYTES], memoryview(segment)[4 + _AEAD_IV_BYTES :]
        try:
            self._aead_for(position).decrypt_into(iv, sealed, _segment_aad(position, final), plaintext)
        except InvalidTag:
            raise Forged(f"segment {position} was changed") from None
        return len(plaintext)

    def _aead_for(self, position: int) -> AESGCM:
        epoch = position >> self.parameters.rotation_bits
        if self._aead is None or epoch != self._epoch:
            purpose = b"DEK:" + (epoch << self.parameters.rotation_bits).to_bytes(8, "big")
            key = _derive(self.message_key, self.parameters, self.iv, self.aad, purpose, KEY_BYTES)
            self._aead, self._epoch = AESGCM(key), epoch
        return self._aead


def start_encryption(key: bytes, aad: bytes, parameters: Parameters = DEFAULT) -> tuple[Cipher, bytes]:
    """Begin a new file: return its cipher and its header. `key` is 32 random bytes."""
    _check_key(key)
    iv = secrets.token_bytes(_IV_BYTES)
    tag = _derive(key, parameters, iv, aad, b"HEADER_TAG:", _TAG_BYTES)
    return _cipher(key, aad, iv, parameters), parameters.encode() + iv + tag


def start_decryption(key: bytes, aad: bytes, header: bytes, parameters: Parameters = DEFAULT) -> Cipher:
    """Open a file by its header; raises Forged when header, key, associated data or parameters differ."""
    _check_key(key)
    encoded = parameters.encode()
    if len(header) != HEADER_BYTES or header[: len(encoded)] != encoded:
        raise Forged("the header is not of this format")
    iv, tag = header[len(encoded) : -_TAG_BYTES], header[-_TAG_BYTES:]
    if not hmac.compare_digest(tag, _derive(key, parameters, iv, aad, b"HEADER_TAG:", _TAG_BYTES)):
        raise Forged("the header does not belong to this object and key")
    return _cipher(key, aad, iv, parameters)


@dataclass(frozen=True)
class Shape:
    """How a whole ciphertext is cut: `segments` of them, the last of `final_bytes`, `plain_bytes` of plaintext."""

    segments: int
    final_bytes: int
    plain_bytes: int


def shape_of(cipher_bytes: int, parameters: Parameters = DEFAULT) -> Shape:
    """Return how a ciphertext of this length (header included) is cut; raises Forged when no file has this length."""
    body = cipher_bytes - HEADER_BYTES
    segments = math.ceil(body / parameters.segment_bytes)
    final = body - (segments - 1) * parameters.segment_bytes
    if body < OVERHEAD_BYTES or final < OVERHEAD_BYTES:
        raise Forged("the file was cut")
    return Shape(segments, final, body - segments * OVERHEAD_BYTES)


def sealed_size(plain_bytes: int, parameters: Parameters = DEFAULT) -> int:
    """Return the ciphertext length, header included, of so much plaintext."""
    return HEADER_BYTES + plain_bytes + max(1, math.ceil(plain_bytes / parameters.plain_bytes)) * OVERHEAD_BYTES


def _cipher(key: bytes, aad: bytes, iv: bytes, parameters: Parameters) -> Cipher:
    return Cipher(_derive(key, parameters, iv, aad, b"MESSAGE_KEY:", _MESSAGE_KEY_BYTES), iv, aad, parameters)


def _derive(key: bytes, parameters: Parameters, iv: bytes, aad: bytes, purpose: bytes, length: int) -> bytes:
    return HKDFExpand(SHA384(), length, parameters.encode() + iv + purpose + aad).derive(key)


def _segment_aad(position: int, final: bool) -> bytes:
    return position.to_bytes(8, "big") + (b"\x01" if final else b"\x00")


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError("a FLOE key is 32 bytes")
