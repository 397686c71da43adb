"""The Merkle tree once more, slow and plain: the recursive definitions of RFC 9162 section 2.1 as they stand.

Shares no line with the store. Everything is computed from all leaves, every time.
"""

import hashlib


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(leaves: list[bytes]) -> bytes:
    """MTH(D[n]), section 2.1.1."""
    if not leaves:
        return _sha256(b"")
    if len(leaves) == 1:
        return _sha256(b"\x00" + leaves[0])
    k = _largest_power_below(len(leaves))
    return _sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:]))


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]), section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = _largest_power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: list[bytes]) -> list[bytes]:
    """PROOF(m, D[n]), section 2.1.4.1."""
    return _subproof(m, leaves, True)


def _subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = _largest_power_below(len(leaves))
    if m <= k:
        return [*_subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*_subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def root_from_path(leaf: bytes, m: int, n: int, hashes: list[bytes]) -> bytes:
    """Walk a path up from the leaf, by the definition of PATH read backwards; ValueError when it does not fit."""
    if n == 1:
        if hashes:
            raise ValueError("too long")
        return _sha256(b"\x00" + leaf)
    k = _largest_power_below(n)
    *rest, last = hashes
    if m < k:
        return _sha256(b"\x01" + root_from_path(leaf, m, k, rest) + last)
    return _sha256(b"\x01" + last + root_from_path(leaf, m - k, n - k, rest))
