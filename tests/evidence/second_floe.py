"""FLOE decryption once more, slow and plain, from the text of c2sp.org/FLOE and NIST SP 800-38D.

Shares no line with the store: HKDF-Expand by hand, GCM from AES in counter mode and a GHASH of our own.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def hkdf_expand_sha384(prk: bytes, info: bytes, length: int) -> bytes:
    out, block, n = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([n]), hashlib.sha384).digest()
        out, n = out + block, n + 1
    return out[:length]


def _times_x(value: int) -> int:
    return (value >> 1) ^ (0xE1 << 120 if value & 1 else 0)


class Gcm:
    """AES-256-GCM, decryption only."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        power = int.from_bytes(self._aes_ctr(bytes(16), bytes(16)), "big")
        powers = []
        for _ in range(128):
            powers.append(power)
            power = _times_x(power)
        self.tables = []
        for position in range(16):
            table = [0] * 256
            for byte in range(256):
                for bit in range(8):
                    if byte & (0x80 >> bit):
                        table[byte] ^= powers[position * 8 + bit]
            self.tables.append(table)

    def _aes_ctr(self, counter: bytes, data: bytes) -> bytes:
        worker = Cipher(algorithms.AES(self.key), modes.CTR(counter)).encryptor()
        return worker.update(data) + worker.finalize()

    def _ghash(self, aad: bytes, ciphertext: bytes) -> int:
        padded = b"".join(part + bytes(-len(part) % 16) for part in (aad, ciphertext))
        padded += (len(aad) * 8).to_bytes(8, "big") + (len(ciphertext) * 8).to_bytes(8, "big")
        y = 0
        for at in range(0, len(padded), 16):
            block = (y ^ int.from_bytes(padded[at : at + 16], "big")).to_bytes(16, "big")
            y = 0
            for table, byte in zip(self.tables, block, strict=True):
                y ^= table[byte]
        return y

    def open(self, iv: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
        mask = int.from_bytes(self._aes_ctr(iv + b"\x00\x00\x00\x01", bytes(16)), "big")
        if (self._ghash(aad, ciphertext) ^ mask).to_bytes(16, "big") != tag:
            raise ValueError("tag")
        return self._aes_ctr(iv + b"\x00\x00\x00\x02", ciphertext)


def decrypt(key: bytes, aad: bytes, data: bytes, *, segment_bytes: int = 1 << 20, rotation_bits: int = 20) -> bytes:
    """Return the plaintext of a whole FLOE file; ValueError when anything about it is wrong."""
    parameters = b"\x00" + b"\x00" + segment_bytes.to_bytes(4, "big") + (32).to_bytes(4, "big")
    if data[:10] != parameters:
        raise ValueError("parameters")
    iv, header_tag = data[10:42], data[42:74]
    if hkdf_expand_sha384(key, parameters + iv + b"HEADER_TAG:" + aad, 32) != header_tag:
        raise ValueError("header tag")
    message_key = hkdf_expand_sha384(key, parameters + iv + b"MESSAGE_KEY:" + aad, 48)
    plain, rest, position, gcms = b"", data[74:], 0, {}
    while True:
        final = int.from_bytes(rest[:4], "big") != 0xFFFFFFFF
        length = int.from_bytes(rest[:4], "big") if final else segment_bytes
        segment, rest = rest[:length], rest[length:]
        if len(segment) != length or length < 32 or (final and rest):
            raise ValueError("length")
        masked = position >> rotation_bits << rotation_bits
        if masked not in gcms:
            info = parameters + iv + b"DEK:" + masked.to_bytes(8, "big") + aad
            gcms[masked] = Gcm(hkdf_expand_sha384(message_key, info, 32))
        segment_aad = position.to_bytes(8, "big") + (b"\x01" if final else b"\x00")
        plain += gcms[masked].open(segment[4:16], segment[16:-16], segment[-16:], segment_aad)
        position += 1
        if final:
            return plain
