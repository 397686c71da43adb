"""Opening a wrapped key once more, slow and plain: HPKE base mode from RFC 9180, ML-KEM-768 from FIPS 203, X25519 from
RFC 7748, joined as MLKEM768-X25519 (KEM 0x647A, X-Wing's combiner).

Shares no line with the store: of libraries there are only hashlib's SHA-2 and SHA-3, HMAC, and AES inside the GCM of
`second_floe`. Not constant in time; for tests alone.
"""

import hashlib
import hmac

from tests.evidence.second_floe import Gcm

# --- ML-KEM-768 (FIPS 203); numbers in comments are its algorithms

Q, N, K, ETA, DU, DV = 3329, 256, 3, 2, 10, 4
Poly = list[int]


def _bit_reversed(value: int) -> int:
    return int(f"{value:07b}"[::-1], 2)


_ZETAS = [pow(17, _bit_reversed(i), Q) for i in range(128)]
_GAMMAS = [pow(17, 2 * _bit_reversed(i) + 1, Q) for i in range(128)]


def _bits(data: bytes) -> list[int]:  # 4
    return [byte >> bit & 1 for byte in data for bit in range(8)]


def _encode(poly: Poly, width: int) -> bytes:  # 5
    bits = [value >> bit & 1 for value in poly for bit in range(width)]
    return bytes(sum(bits[at + bit] << bit for bit in range(8)) for at in range(0, len(bits), 8))


def _decode(data: bytes, width: int) -> Poly:  # 6
    bits = _bits(data)
    found = [sum(bits[at + bit] << bit for bit in range(width)) for at in range(0, len(bits), width)]
    return [value % Q for value in found] if width == 12 else found


def _compress(poly: Poly, width: int) -> Poly:
    return [((value << width) + Q // 2) // Q % (1 << width) for value in poly]


def _decompress(poly: Poly, width: int) -> Poly:
    return [(value * Q + (1 << width - 1)) >> width for value in poly]


def _sample_ntt(seed: bytes) -> Poly:  # 7
    stream, at, found = hashlib.shake_128(seed).digest(168 * 8), 0, []
    while len(found) < N:
        a, b, c = stream[at : at + 3]
        found += [value for value in (a + 256 * (b % 16), b // 16 + 16 * c) if value < Q]
        at += 3
    return found[:N]


def _sample_noise(seed: bytes, nonce: int) -> Poly:  # 8
    bits = _bits(hashlib.shake_256(seed + bytes([nonce])).digest(64 * ETA))
    pairs = [bits[2 * i * ETA : 2 * (i + 1) * ETA] for i in range(N)]
    return [(sum(pair[:ETA]) - sum(pair[ETA:])) % Q for pair in pairs]


def _ntt(poly: Poly) -> Poly:  # 9
    f, i, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = _ZETAS[i] * f[j + length]
                f[j], f[j + length] = (f[j] + t) % Q, (f[j] - t) % Q
            i += 1
        length //= 2
    return f


def _inverse_ntt(poly: Poly) -> Poly:  # 10
    f, i, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                f[j], f[j + length] = (f[j] + f[j + length]) % Q, _ZETAS[i] * (f[j + length] - f[j]) % Q
            i -= 1
        length *= 2
    return [value * 3303 % Q for value in f]


def _times(f: Poly, g: Poly) -> Poly:  # 11, 12
    found = []
    for i, gamma in enumerate(_GAMMAS):
        (a0, a1), (b0, b1) = f[2 * i : 2 * i + 2], g[2 * i : 2 * i + 2]
        found += [(a0 * b0 + a1 * b1 * gamma) % Q, (a0 * b1 + a1 * b0) % Q]
    return found


def _plus(*polys: Poly) -> Poly:
    return [sum(values) % Q for values in zip(*polys, strict=True)]


def _minus(f: Poly, g: Poly) -> Poly:
    return [(a - b) % Q for a, b in zip(f, g, strict=True)]


def _dot(left: list[Poly], right: list[Poly]) -> Poly:
    return _plus(*(_times(a, b) for a, b in zip(left, right, strict=True)))


def _matrix(rho: bytes) -> list[list[Poly]]:
    return [[_sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def mlkem_keys(seed: bytes) -> tuple[bytes, list[Poly]]:
    """Return the encapsulation key and the secret of a 64 byte seed (13, 16)."""
    expanded = hashlib.sha3_512(seed[:32] + bytes([K])).digest()
    rho, sigma = expanded[:32], expanded[32:]
    secret = [_ntt(_sample_noise(sigma, i)) for i in range(K)]
    noise = [_ntt(_sample_noise(sigma, K + i)) for i in range(K)]
    t = [_plus(_dot(row, secret), e) for row, e in zip(_matrix(rho), noise, strict=True)]
    return b"".join(_encode(poly, 12) for poly in t) + rho, secret


def _encrypt(public: bytes, message: bytes, randomness: bytes) -> bytes:  # 14
    t = [_decode(public[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    a = _matrix(public[-32:])
    y = [_ntt(_sample_noise(randomness, i)) for i in range(K)]
    columns = [[a[j][i] for j in range(K)] for i in range(K)]
    u = [_plus(_inverse_ntt(_dot(columns[i], y)), _sample_noise(randomness, K + i)) for i in range(K)]
    mu = _decompress(_decode(message, 1), 1)
    v = _plus(_inverse_ntt(_dot(t, y)), _sample_noise(randomness, 2 * K), mu)
    return b"".join(_encode(_compress(poly, DU), DU) for poly in u) + _encode(_compress(v, DV), DV)


def mlkem_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """Return the shared secret of a ciphertext (15, 18)."""
    public, secret = mlkem_keys(seed)
    u = [_decompress(_decode(ciphertext[320 * i : 320 * (i + 1)], DU), DU) for i in range(K)]
    v = _decompress(_decode(ciphertext[320 * K :], DV), DV)
    w = _minus(v, _inverse_ntt(_dot(secret, [_ntt(poly) for poly in u])))
    message = _encode(_compress(w, 1), 1)
    expanded = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()
    if _encrypt(public, message, expanded[32:]) != ciphertext:
        return hashlib.shake_256(seed[32:] + ciphertext).digest(32)
    return expanded[:32]


# --- X25519 (RFC 7748, section 5)

_P = 2**255 - 19


def x25519(scalar: bytes, point: bytes) -> bytes:
    """Return scalar · point, both 32 bytes, little-endian."""
    k = int.from_bytes(scalar, "little") & ~7 & ~(1 << 255) | 1 << 254
    x = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swapped = 1, 0, x, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swapped ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % _P, x * (da - cb) ** 2 % _P
        x2, z2 = aa * bb % _P, e * (aa + 121665 * e) % _P
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _P - 2, _P) % _P).to_bytes(32, "little")


_BASE = (9).to_bytes(32, "little")

# --- HPKE (RFC 9180, sections 4 and 5), base mode, HKDF-SHA384, AES-256-GCM

_SUITE = b"HPKE" + bytes.fromhex("647a00020002")
_XWING_LABEL = b"\\.//^\\"


def _extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.new(salt or bytes(48), b"HPKE-v1" + _SUITE + label + ikm, hashlib.sha384).digest()


def _expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    said = length.to_bytes(2, "big") + b"HPKE-v1" + _SUITE + label + info
    return hmac.new(prk, said + b"\x01", hashlib.sha384).digest()[:length]  # never more than one block here


def decapsulate(private: bytes, encapsulated: bytes) -> bytes:
    """Return the KEM's shared secret; `private` is ML-KEM seed (64) ‖ X25519 private key (32)."""
    of_lattice = mlkem_decapsulate(private[:64], encapsulated[:1088])
    of_curve = x25519(private[64:], encapsulated[1088:])
    joined = of_lattice + of_curve + encapsulated[1088:] + x25519(private[64:], _BASE)
    return hashlib.sha3_256(joined + _XWING_LABEL).digest()


def open_single_shot(private: bytes, wrapped: bytes, info: bytes) -> bytes:
    """Return what was sealed; ValueError when anything about it is wrong."""
    encapsulated, ciphertext = wrapped[:1120], wrapped[1120:]
    context = b"\x00" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", info)
    secret = _extract(decapsulate(private, encapsulated), b"secret", b"")
    key, nonce = _expand(secret, b"key", context, 32), _expand(secret, b"base_nonce", context, 12)
    return Gcm(key).open(nonce, ciphertext[:-16], ciphertext[-16:], b"")
