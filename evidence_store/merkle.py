"""The Merkle tree of RFC 9162 section 2.1, kept so that it grows by appending and every proof is O(log n).

    hash of a leaf   SHA-256(0x00 ‖ leaf)
    hash of a node   SHA-256(0x01 ‖ left ‖ right)

A subtree over 2^level leaves never changes once they are there. Such nodes are numbered in the order in which they
become complete: a leaf, then every node that it completes, from below; so a tree is a list of hashes that only grows,
and n leaves have 2n - popcount(n) of them. What a tree of any size has beside them, along its right edge, is folded
when it is asked for.

Pure: no clock, no storage, no key. Indexes of leaves count from 0; hashes are 32 bytes; a proof is a list of hashes
in the order of the RFC.
"""

from collections.abc import Iterator, Mapping, Sequence

from evidence_store.sealing.signing import sha256

HASH_BYTES = 32
Range = tuple[int, int]
"""Leaves from the first number up to, and without, the second."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\x00" + leaf)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node from those of its children."""
    return sha256(b"\x01" + left + right)


EMPTY_ROOT = sha256(b"")
"""The root of a tree without leaves."""


def count_nodes(size: int) -> int:
    """Return how many complete nodes a tree of so many leaves has."""
    return 2 * size - size.bit_count()


def position_of(level: int, index: int) -> int:
    """Return the number of the complete node over leaves index·2^level up to (index+1)·2^level."""
    last = ((index + 1) << level) - 1
    return count_nodes(last) + level


class Tree:
    """A growing tree, of which only the complete subtrees at its right edge are held: log n hashes, largest first."""

    def __init__(self, size: int = 0, edge: Sequence[bytes] = ()) -> None:
        """Go on from a size and its edge. Raises ValueError when they do not belong together."""
        if size < 0 or len(edge) != size.bit_count():
            raise ValueError("the tree's edge does not have the length that its size asks for")
        self.size, self.edge = size, list(edge)

    def append(self, leaf: bytes) -> list[bytes]:
        """Take the hash of the next leaf; return every node that became complete, itself first."""
        made, size = [leaf], self.size
        while size & 1:
            made.append(node_hash(self.edge.pop(), made[-1]))
            size >>= 1
        self.edge.append(made[-1])
        self.size += 1
        return made

    def root(self) -> bytes:
        """Return the root as the tree stands."""
        return fold(self.edge) if self.edge else EMPTY_ROOT


def fold(edge: Sequence[bytes]) -> bytes:
    """Return the hash over neighbouring complete subtrees, largest first."""
    found = edge[-1]
    for left in reversed(edge[:-1]):
        found = node_hash(left, found)
    return found


def complete_parts(leaves: Range) -> Iterator[int]:
    """Yield the numbers of the complete nodes that together cover a range, largest first.

    The range begins where a subtree at least as large as it begins, as those of proofs do.
    """
    start, stop = leaves
    while start < stop:
        level = (stop - start).bit_length() - 1
        yield position_of(level, start >> level)
        start += 1 << level


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the ranges whose hashes prove that leaf `index` is in the tree of `size` (RFC 9162, 2.1.3.1).

    Raises ValueError when there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    found: list[Range] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            found.append((middle, stop))
            stop = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(first: int, second: int) -> list[Range]:
    """Return the ranges whose hashes prove that the tree of `second` begins with that of `first` (RFC 9162, 2.1.4.1).

    Raises ValueError when `first` is 0 or larger than `second`.
    """
    if not 0 < first <= second:
        raise ValueError(
            f"a proof leads from a size of at least 1 to one that is not smaller, not from {first} to {second}"
        )
    found: list[Range] = []
    start, stop, whole = 0, second, True
    while first - start < stop - start:
        middle = start + _split(stop - start)
        if first <= middle:
            found.append((middle, stop))
            stop = middle
        else:
            found.append((start, middle))
            start, whole = middle, False
    return ([] if whole else [(start, stop)]) + found[::-1]


def needed_positions(ranges: Sequence[Range]) -> list[int]:
    """Return the numbers of all complete nodes that these ranges are folded from."""
    return [position for leaves in ranges for position in complete_parts(leaves)]


def hashes_of(ranges: Sequence[Range], nodes: Mapping[int, bytes]) -> list[bytes]:
    """Return the hash of each range. Raises KeyError when a node is missing."""
    return [fold([nodes[position] for position in complete_parts(leaves)]) for leaves in ranges]


def root_of(size: int, nodes: Mapping[int, bytes]) -> bytes:
    """Return the root of the tree of `size`. Raises KeyError when a node is missing."""
    return hashes_of([(0, size)], nodes)[0] if size else EMPTY_ROOT


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Say whether the proof leads from the hash of leaf `index` to this root of `size` leaves (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    found, here, last = leaf, index, size - 1
    for step in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = node_hash(step, found)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, step)
        here, last = here >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Say whether the proof shows that the larger tree begins with the smaller one (RFC 9162, 2.1.4.2)."""
    if first == second:
        return not proof and first_root == second_root
    if not 0 < first < second or not proof:
        return False
    steps = list(proof)
    if first & (first - 1) == 0:
        steps.insert(0, first_root)
    here, last = first - 1, second - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            new = node_hash(new, step)
        here, last = here >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """Return the largest power of two that is smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1
