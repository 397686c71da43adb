"""The Merkle tree against a second implementation, published known answers, and everything that must not prove."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store import merkle
from tests.evidence import second_merkle

# Known answers published for Certificate Transparency's tree, which RFC 9162 keeps: eight inputs, the eight roots.
_INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def grow(leaves: list[bytes]) -> tuple[dict[int, bytes], list[bytes]]:
    """Return all complete nodes by number, and the root at every size from 0."""
    tree, nodes, roots = merkle.Tree(), {}, [merkle.EMPTY_ROOT]
    for leaf in leaves:
        for found in tree.append(merkle.leaf_hash(leaf)):
            nodes[len(nodes)] = found
        roots.append(tree.root())
    return nodes, roots


def test_published_known_answers():
    _, roots = grow([bytes.fromhex(text) for text in _INPUTS])
    assert [root.hex() for root in roots[1:]] == _ROOTS


def test_every_root_and_proof_up_to_seventy_leaves_is_that_of_the_second_implementation():
    leaves = [b"line %d" % n for n in range(70)]
    nodes, roots = grow(leaves)
    assert len(nodes) == merkle.count_nodes(70)
    for size in range(71):
        assert roots[size] == second_merkle.mth(leaves[:size]) == merkle.root_of(size, nodes)
    for size in (1, 2, 3, 7, 8, 9, 31, 32, 33, 63, 64, 65, 70):
        for n in range(size):
            proof = merkle.hashes_of(merkle.inclusion_ranges(n, size), nodes)
            assert proof == second_merkle.path(n, leaves[:size])
            assert merkle.is_included(merkle.leaf_hash(leaves[n]), n, size, proof, roots[size])
            assert second_merkle.root_from_path(leaves[n], n, size, proof) == roots[size]
            first = n + 1
            proof = merkle.hashes_of(merkle.consistency_ranges(first, size), nodes)
            assert proof == second_merkle.proof(first, leaves[:size])
            assert merkle.is_consistent(first, size, proof, roots[first], roots[size])


@given(st.integers(1, 1 << 40), st.data())
def test_a_proof_needs_a_logarithmic_number_of_nodes(size, data):
    ranges = merkle.inclusion_ranges(data.draw(st.integers(0, size - 1)), size)
    assert len(merkle.needed_positions(ranges)) <= 2 * size.bit_length()
    ranges = merkle.consistency_ranges(data.draw(st.integers(1, size)), size)
    assert len(merkle.needed_positions(ranges)) <= 2 * size.bit_length() + 1


_LEAVES = [b"line %d" % n for n in range(40)]
_NODES, _GROWN = grow(_LEAVES)


def changed(data: st.DataObject, proof: list[bytes]) -> list[bytes]:
    """Return a proof with one thing wrong: a flipped bit, a hash left out, added, doubled or in another place."""
    wrong = list(proof)
    kind = data.draw(st.sampled_from(["flip", "drop", "add", "swap"]))
    at = data.draw(st.integers(0, max(0, len(wrong) - 1)))
    if kind == "flip" and wrong:
        flipped = bytearray(wrong[at])
        flipped[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
        wrong[at] = bytes(flipped)
    elif kind == "drop" and wrong:
        del wrong[at]
    elif kind == "swap" and len(wrong) > 1:
        wrong[at], wrong[at - 1] = wrong[at - 1], wrong[at]
    else:
        wrong.insert(at, data.draw(st.sampled_from(list(_NODES.values()))))
    return wrong


@given(st.integers(1, 40), st.data())
def test_no_changed_inclusion_proof_proves(size, data):
    n = data.draw(st.integers(0, size - 1))
    proof, leaf = merkle.hashes_of(merkle.inclusion_ranges(n, size), _NODES), merkle.leaf_hash(_LEAVES[n])
    assert not merkle.is_included(leaf, n, size, changed(data, proof), _GROWN[size])
    other = data.draw(st.integers(0, 39).filter(lambda m: m != n))
    assert not merkle.is_included(merkle.leaf_hash(_LEAVES[other]), n, size, proof, _GROWN[size])
    assert not merkle.is_included(leaf, n, size, proof, _GROWN[size - 1])
    if other < size:
        assert not merkle.is_included(leaf, other, size, proof, _GROWN[size])


@given(st.integers(1, 40), st.data())
def test_no_changed_consistency_proof_proves(second, data):
    first = data.draw(st.integers(1, second))
    proof = merkle.hashes_of(merkle.consistency_ranges(first, second), _NODES)
    assert not merkle.is_consistent(first, second, changed(data, proof), _GROWN[first], _GROWN[second])
    other = data.draw(st.integers(0, 40).filter(lambda m: m not in {first, second}))
    assert not merkle.is_consistent(first, second, proof, _GROWN[other], _GROWN[second])
    assert not merkle.is_consistent(first, second, proof, _GROWN[first], _GROWN[other])


def test_a_tree_does_not_go_on_from_an_edge_of_another_size():
    with pytest.raises(ValueError, match="edge"):
        merkle.Tree(3, [bytes(32)])


def test_the_web_server_may_check_proofs_without_loading_a_cipher():
    import subprocess
    import sys

    code = "import sys, evidence_store.merkle; assert not {'cryptography', 'sqlalchemy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
