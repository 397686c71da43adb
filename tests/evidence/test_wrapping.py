"""Wrapped keys: a second implementation of HPKE opens them; nothing changed, cut, swapped or added does."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.sealing.floe import Forged
from evidence_store.sealing.keys import load_keys, make_keys
from evidence_store.sealing.wrapping import PrivateKey
from tests.evidence import second_hpke

PAIR = PrivateKey(bytes(range(96)))
ID = "a" * 32
KEY = bytes(range(100, 132))
INFO = f"evidence-store/key/v1\nsealed\n{ID}".encode()
FILE = PAIR.public.wrap(ID, "sealed", KEY)


def wrapped_of(file: bytes) -> bytes:
    return base64.b64decode(json.loads(file)["wrapped_key"])


def file_with(wrapped: bytes) -> bytes:
    """Return the key file as the store writes it, with this wrapped key in it and nothing else changed."""
    return FILE.replace(base64.b64encode(wrapped_of(FILE)), base64.b64encode(wrapped))


def test_the_store_reads_the_file_that_changes_are_made_to():
    assert file_with(wrapped_of(FILE)) == FILE
    assert PAIR.unwrap(ID, "sealed", FILE) == KEY


def test_the_second_implementation_has_the_same_public_key():
    public, _ = second_hpke.mlkem_keys(PAIR.raw[:64])
    curve = second_hpke.x25519(PAIR.raw[64:], (9).to_bytes(32, "little"))
    assert public + curve == PAIR.public.raw


@pytest.mark.parametrize("n", range(3))
def test_the_second_implementation_opens_what_the_store_wraps(n):
    pair, key = PrivateKey.generate(), bytes([n]) * 32
    wrapped = wrapped_of(pair.public.wrap(ID, "sealed", key))
    assert second_hpke.open_single_shot(pair.raw, wrapped, INFO) == key
    for private, data, info in (
        (PAIR.raw, wrapped, INFO),
        (pair.raw, wrapped, INFO.replace(b"sealed", b"ingest")),
        (pair.raw, wrapped[:50] + bytes([wrapped[50] ^ 1]) + wrapped[51:], INFO),
    ):
        with pytest.raises(ValueError, match="tag"):
            second_hpke.open_single_shot(private, data, info)


def test_the_curve_against_the_vectors_of_rfc_7748_section_5_2():
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    found = second_hpke.x25519(scalar, point)
    assert found.hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"


@settings(max_examples=300, deadline=None)
@given(st.integers(0), st.sampled_from(["flip", "cut", "insert", "swap", "append"]), st.integers(1, 255))
def test_no_changed_wrapped_key_opens(where, kind, by):
    wrapped = wrapped_of(FILE)
    at = where % len(wrapped)
    changed = {
        "flip": wrapped[:at] + bytes([wrapped[at] ^ by]) + wrapped[at + 1 :],
        "cut": wrapped[:at],
        "insert": wrapped[:at] + bytes([by]) + wrapped[at:],
        "swap": wrapped[:at] + wrapped[at + 1 : at + 2] + wrapped[at : at + 1] + wrapped[at + 2 :],
        "append": wrapped + bytes([by]),
    }[kind]
    if changed == wrapped:
        return
    with pytest.raises(Forged):
        PAIR.unwrap(ID, "sealed", file_with(changed))


def test_no_single_byte_of_a_wrapped_key_can_be_changed():
    wrapped = wrapped_of(FILE)
    for at in range(len(wrapped)):
        changed = wrapped[:at] + bytes([wrapped[at] ^ 1 << at % 8]) + wrapped[at + 1 :]
        with pytest.raises(Forged):
            PAIR.unwrap(ID, "sealed", file_with(changed))


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder)
    return load_keys(folder).ring


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_changed_key_file_opens(ring, data):
    file = ring.sealing.wrap(ID, "sealed", KEY)
    at, by = data.draw(st.integers(0, len(file) - 1)), data.draw(st.integers(1, 255))
    changed = {
        "flip": file[:at] + bytes([file[at] ^ by]) + file[at + 1 :],
        "cut": file[:at],
        "insert": file[:at] + bytes([by]) + file[at:],
        "append": file + bytes([by]),
        "space": file.replace(b'"format"', b' "format"'),
    }[data.draw(st.sampled_from(["flip", "cut", "insert", "append", "space"]))]
    if changed == file:
        return
    with pytest.raises(Forged):
        ring.unwrap(ID, "sealed", changed)


def test_a_key_file_nested_beyond_reason_is_refused(ring):
    with pytest.raises(Forged):
        ring.unwrap(ID, "sealed", b"[" * 100_000)
