"""Signed notes: nothing changed, cut, swapped or added passes as a checkpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.sealing.notes import LedgerKey, VerifierKey, new_ledger_name
from evidence_store.sealing.signing import NotGenuine

KEY = LedgerKey(b"\x05" * 32, "police.example/evidence")
NOTE = KEY.sign(20852163, bytes(range(32)))


def test_a_signed_checkpoint_opens_and_says_what_was_signed():
    checkpoint = KEY.public.open(NOTE)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (KEY.name, 20852163, bytes(range(32)))
    assert NOTE.startswith("police.example/evidence\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n— ")


def test_a_published_note_opens_with_its_published_key():
    # the example in the documentation of Go's package golang.org/x/mod/sumdb/note, where the format comes from
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    assert key.open_text(f"{text}\n— PeterNeumann {signature}\n") == text
    with pytest.raises(NotGenuine):  # signed, and no checkpoint
        key.open(f"{text}\n— PeterNeumann {signature}\n")


@given(st.integers(0), st.sampled_from(["flip", "cut", "insert", "swap", "double"]), st.characters(max_codepoint=300))
def test_no_changed_note_opens(where, kind, letter):
    at = where % len(NOTE)
    wrong = {
        "flip": NOTE[:at] + letter + NOTE[at + 1 :],
        "cut": NOTE[:at],
        "insert": NOTE[:at] + letter + NOTE[at:],
        "swap": NOTE[: at - 1] + NOTE[at : at + 1] + NOTE[at - 1 : at] + NOTE[at + 1 :] if at else NOTE + NOTE,
        "double": NOTE[:at] + NOTE[at:] * 2,
    }[kind]
    if wrong == NOTE:
        return
    with pytest.raises(NotGenuine):
        KEY.public.open(wrong)


def test_a_note_of_another_key_under_our_name_does_not_open():
    with pytest.raises(NotGenuine):
        KEY.public.open(LedgerKey(b"\x06" * 32, KEY.name).sign(1, bytes(32)))
    with pytest.raises(NotGenuine):
        KEY.public.open(LedgerKey(KEY.seed, "other.example/evidence").sign(1, bytes(32)))


def test_a_witness_may_sign_beside_us():
    beside = LedgerKey(b"\x06" * 32, "witness.example").sign(1, bytes(32)).splitlines()[-1]
    assert KEY.public.open(f"{NOTE}{beside}\n").size == 20852163


def test_the_key_is_known_by_its_name_and_text():
    assert VerifierKey.parse(str(KEY.public)) == KEY.public
    text = str(KEY.public)
    for bad in ("", "a+b", text[:-4], text.replace("police", "Police"), f"a b{text}", text.replace("+", "-")):
        with pytest.raises(ValueError, match=r"key|name"):
            VerifierKey.parse(bad)
    assert new_ledger_name(b"\x05" * 32) != new_ledger_name(b"\x06" * 32)
