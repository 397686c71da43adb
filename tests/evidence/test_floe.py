"""FLOE: published known answers, a second implementation, and everything that must not open."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.sealing import floe
from evidence_store.sealing.wrapping import PrivateKey
from tests.evidence import second_floe

_FILE = json.loads((Path(__file__).parent / "floe_vectors.json").read_text())
_KEY, _AAD = bytes(range(32)), b"object 1"
_SMALL = floe.Parameters(segment_bytes=64, rotation_bits=1)


def seal(plaintext: bytes, parameters: floe.Parameters = _SMALL) -> bytes:
    cipher, out = floe.start_encryption(_KEY, _AAD, parameters)
    size = parameters.plain_bytes
    pieces = [plaintext[at : at + size] for at in range(0, len(plaintext), size)] or [b""]
    for position, piece in enumerate(pieces):
        out += cipher.encrypt_segment(piece, position=position, final=position == len(pieces) - 1)
    return out


def unseal(data: bytes, parameters: floe.Parameters = _SMALL, key: bytes = _KEY, aad: bytes = _AAD) -> bytes:
    cipher = floe.start_decryption(key, aad, data[:74], parameters)
    shape, size = floe.shape_of(len(data), parameters), parameters.segment_bytes
    segments = [data[74 + n * size : 74 + (n + 1) * size] for n in range(shape.segments)]
    last = shape.segments - 1
    return b"".join(cipher.decrypt_segment(s, position=n, final=n == last) for n, s in enumerate(segments))


@pytest.mark.parametrize("vector", _FILE["vectors"], ids=lambda vector: vector["name"])
def test_published_known_answers_open(vector):
    parameters = floe.Parameters(vector["segment_bytes"], vector["rotation_bits"])
    data, plaintext = bytes.fromhex(vector["ciphertext"]), bytes.fromhex(vector["plaintext"])
    assert unseal(data, parameters, bytes(32), b"This is AAD") == plaintext
    same = second_floe.decrypt(
        bytes(32), b"This is AAD", data, segment_bytes=parameters.segment_bytes,
        rotation_bits=parameters.rotation_bits,
    )  # fmt: skip
    assert same == plaintext


@given(st.binary(max_size=300))
def test_the_second_implementation_opens_what_the_store_seals(plaintext):
    data = seal(plaintext)
    assert len(data) == floe.sealed_size(len(plaintext), _SMALL)
    assert unseal(data) == plaintext
    assert second_floe.decrypt(_KEY, _AAD, data, segment_bytes=64, rotation_bits=1) == plaintext


def test_the_second_implementation_opens_segments_of_full_size():
    plaintext = bytes(range(256)) * 5000
    data = seal(plaintext, floe.DEFAULT)
    assert second_floe.decrypt(_KEY, _AAD, data) == plaintext


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0), st.integers(1, 255))
def test_no_changed_byte_opens(plaintext, where, flip):
    data = bytearray(seal(plaintext))
    data[where % len(data)] ^= flip
    with pytest.raises(floe.Forged):
        unseal(bytes(data))


def test_no_single_bit_of_header_or_segments_can_be_flipped_and_no_byte_cut_off():
    data = seal(bytes(range(70)))  # header, two full segments and a short one
    assert unseal(data) == bytes(range(70))
    changed = [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for at in range(len(data)) for bit in range(8)]
    for one in [*changed, *(data[:at] for at in range(len(data))), *(data[at:] for at in range(1, len(data)))]:
        with pytest.raises(floe.Forged):
            unseal(one)


@given(st.binary(min_size=33, max_size=200), st.integers(1))
def test_nothing_cut_or_lengthened_opens(plaintext, by):
    data = seal(plaintext)
    with pytest.raises(floe.Forged):
        unseal(data[: -(by % len(data)) or -1])
    with pytest.raises(floe.Forged):
        unseal(data + bytes(1 + by % 200))


def test_segments_do_not_change_places():
    data = seal(bytes(96))
    first, second, rest = data[74:138], data[138:202], data[202:]
    with pytest.raises(floe.Forged):
        unseal(data[:74] + second + first + rest)


def test_a_file_opens_under_its_own_key_and_associated_data_only():
    data = seal(b"statement")
    with pytest.raises(floe.Forged):
        unseal(data, key=bytes(32))
    with pytest.raises(floe.Forged):
        unseal(data, aad=b"object 2")


def test_a_wrapped_key_opens_for_its_own_object_purpose_and_private_key_only():
    private, other = PrivateKey.generate(), PrivateKey.generate()
    wrapped = private.public.wrap("a" * 32, "sealed", _KEY)
    assert private.unwrap("a" * 32, "sealed", wrapped) == _KEY
    for holder, object_id, purpose in [
        (private, "b" * 32, "sealed"),
        (private, "a" * 32, "ingest"),
        (other, "a" * 32, "sealed"),
    ]:
        with pytest.raises(floe.Forged):
            holder.unwrap(object_id, purpose, wrapped)
