"""The ledger's check against a mutator: every change of a line, a node or a checkpoint is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store import ledger, merkle
from evidence_store.model import Action
from evidence_store.sealing.notes import LedgerKey
from evidence_store.verify_ledger import Line, TreeCheck, Witness

KEY = LedgerKey(b"\x05" * 32, "police.example/evidence")
SIZE = 13
_BEGAN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def build() -> tuple[list[Line], list[bytes], list[Witness]]:
    """Return a ledger as the store would have written it: lines, nodes, and checkpoints at three sizes."""
    tree, lines, nodes, notes = merkle.Tree(), [], [], []
    for n in range(SIZE):
        draft = ledger.Draft(
            _BEGAN + timedelta(minutes=n), f"officer {n % 3}", list(Action)[n], f"{n % 4:032x}", "d" * 64, "case review"
        )
        leaf = ledger.render_leaf(draft, n + 1)
        lines.append(Line(n + 1, draft.object_id, leaf))
        nodes += tree.append(ledger.leaf_hash(leaf))
        if tree.size in {4, 9, SIZE}:
            notes.append(Witness("on paper", KEY.sign(tree.size, tree.root())))
    return lines, nodes, notes


LINES, NODES, NOTES = build()


def faults(lines: list[Line], nodes: list[bytes | None], notes: list[Witness]) -> list[str]:
    return list(TreeCheck(KEY).take(lines, nodes, notes))


def test_what_was_written_holds():
    assert faults(LINES, list(NODES), NOTES) == []


def changed_text(data: st.DataObject, text: str) -> str:
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(codec="utf-8"))
    return data.draw(
        st.sampled_from([text[:at] + letter + text[at + 1 :], text[:at] + letter + text[at:], text[:at], text + letter])
    )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_change_of_a_line_is_told(data):
    lines, at = list(LINES), data.draw(st.integers(0, SIZE - 1))
    other = data.draw(st.integers(0, SIZE - 1))
    kind = data.draw(st.sampled_from(["leaf", "object", "sequence", "drop", "swap", "copy", "cut"]))
    if kind == "leaf":
        lines[at] = replace(lines[at], leaf=changed_text(data, lines[at].leaf))
    elif kind == "object":
        lines[at] = replace(lines[at], object=changed_text(data, lines[at].object))
    elif kind == "sequence":
        lines[at] = replace(lines[at], sequence=lines[other].sequence)
    elif kind == "drop":
        del lines[at]
    elif kind == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == "copy":
        lines.insert(at, lines[other])
    else:
        lines = lines[:at]
    assert bool(faults(lines, list(NODES), NOTES)) == (lines != LINES)


def test_no_single_character_of_a_line_or_checkpoint_can_be_changed():
    for at in (0, SIZE - 1):
        leaf = LINES[at].leaf
        for place, letter in enumerate(leaf):
            lines = list(LINES)
            lines[at] = replace(lines[at], leaf=f"{leaf[:place]}{chr(ord(letter) ^ 1)}{leaf[place + 1 :]}")
            assert faults(lines, list(NODES), []), (at, place)
    note = NOTES[0].note
    for place, letter in enumerate(note):
        changed = f"{note[:place]}{chr(ord(letter) ^ 1)}{note[place + 1 :]}"
        assert faults(LINES, list(NODES), [Witness("on paper", changed)]), place


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_line_rewritten_with_its_whole_tree_is_told_by_any_checkpoint_behind_it(data):
    at = data.draw(st.integers(0, SIZE - 1))
    entry = ledger.parse_leaf(LINES[at].leaf)
    forged = ledger.Draft(entry.at, "somebody else", Action(entry.action), entry.object, entry.digest, entry.purpose)
    lines = list(LINES)
    lines[at] = replace(lines[at], leaf=ledger.render_leaf(forged, at + 1))
    tree, nodes = merkle.Tree(), []
    for line in lines:
        nodes += tree.append(ledger.leaf_hash(line.leaf))
    assert faults(lines, list(nodes), []) == []
    for note in NOTES:
        behind = KEY.public.open(note.note).size > at
        assert bool(faults(lines, list(nodes), [note])) == behind


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_change_of_a_node_is_told(data):
    nodes: list[bytes | None] = list(NODES)
    at, other = data.draw(st.integers(0, len(nodes) - 1)), data.draw(st.integers(0, len(nodes) - 1))
    kind = data.draw(st.sampled_from(["flip", "drop", "missing", "swap"]))
    if kind == "flip":
        flipped = bytearray(NODES[at])
        flipped[data.draw(st.integers(0, 31))] ^= data.draw(st.integers(1, 255))
        nodes[at] = bytes(flipped)
    elif kind == "drop":
        del nodes[at]
    elif kind == "missing":
        nodes[at] = None
    else:
        nodes[at], nodes[other] = nodes[other], nodes[at]
    assert bool(faults(LINES, nodes, NOTES)) == (nodes != list(NODES))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_change_of_a_checkpoint_is_told(data):
    at = data.draw(st.integers(0, len(NOTES) - 1))
    note = changed_text(data, NOTES[at].note)
    found = faults(LINES, list(NODES), [Witness("on paper", note)])
    assert bool(found) == (note != NOTES[at].note)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, SIZE))
def test_every_truncation_is_told_by_a_checkpoint_from_behind_it(size):
    tree, nodes = merkle.Tree(), []
    for line in LINES[:size]:
        nodes += tree.append(ledger.leaf_hash(line.leaf))
    for note in NOTES:
        beyond = KEY.public.open(note.note).size > size
        assert bool(faults(LINES[:size], list(nodes), [note])) == beyond
