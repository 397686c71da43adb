"""verify.py against a mutator: every change of a package is reported, by the program that a court would run."""

import json
import os
import random
import shutil
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.court.manifest import Order, sign_manifest
from evidence_store.sealing import signing
from evidence_store.sealing.notes import LedgerKey
from tests.evidence.conftest import Wire, jpeg
from tests.evidence.court_support import Bare, Patient, copy_of, give_out, unpack

LABEL = {"mark": "JS/1", "description": "Photo of the broken window", "maker": "Jo Smith"}


@dataclass
class Made:
    """A package that holds, the key of the ledger it came from, and a place for a spoilt copy."""

    zipped: Path
    folder: Path
    key: LedgerKey
    spoilt: Path
    kept: Path

    @property
    def trust(self) -> list[str]:
        return ["--key", self.key.public.fingerprint]


@pytest.fixture
async def made(wire: Wire, tmp_path: Path) -> Made:
    """Two exhibits, one of them labelled and looked for; a checkpoint kept meanwhile."""
    first, second = await wire.upload(jpeg(3000)), signing.new_id()
    async with wire.http.get("/evidence/v1/ledger/checkpoint", headers=wire.token()) as answer:
        (tmp_path / "kept.txt").write_text(await answer.text())
    await wire.put(second, jpeg(100, 2))
    await wire.put(signing.new_id(), jpeg(100, 3), **{"Evidence-Incident": "AP-0000-0001"})
    await wire.ask("PUT", f"/objects/{first}/label", LABEL)
    await wire.ask("GET", "/objects")
    kept = [(tmp_path / "kept.txt").read_text()]
    data = await give_out(wire, [first, second], checkpoints=kept)
    (tmp_path / "package.zip").write_bytes(data)
    folder = unpack(data, tmp_path / "package")
    return Made(tmp_path / "package.zip", folder, wire.store.keys.ledger, tmp_path / "spoilt", tmp_path / "kept.txt")


@pytest.fixture
def patient(bare: Bare) -> Iterator[Patient]:
    runner = Patient(bare)
    yield runner
    runner.close()


def paths_of(folder: Path) -> list[str]:
    return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())


def spoil(draw: Callable[..., Any], folder: Path) -> None:
    """Change one thing about the files of a package."""
    paths = paths_of(folder)
    path, other = folder / draw(st.sampled_from(paths)), folder / draw(st.sampled_from(paths))
    data = path.read_bytes()
    at = draw(st.integers(0, len(data) - 1))
    kind = draw(st.sampled_from(["flip", "cut", "append", "insert", "drop", "swap", "copy", "remove", "add", "rename"]))
    if kind == "flip":
        path.write_bytes(data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :])
    elif kind == "cut":
        path.write_bytes(data[:at])
    elif kind in {"append", "insert"}:
        more = draw(st.binary(min_size=1, max_size=9))
        path.write_bytes(data + more if kind == "append" else data[:at] + more + data[at:])
    elif kind == "drop":
        path.write_bytes(data[:at] + data[at + 1 :])
    elif kind == "swap":
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
    elif kind == "copy":
        path.write_bytes(other.read_bytes())
    elif kind == "remove":
        path.unlink()
    elif kind == "add":
        (folder / draw(st.sampled_from(["new.txt", ".DS_Store", "exhibits/003_x.jpg", "a/b/c"]))).parent.mkdir(
            parents=True, exist_ok=True
        )
        (folder / draw(st.sampled_from(["new.txt", ".DS_Store", "exhibits/003_x.jpg"]))).write_bytes(data)
    else:
        path.rename(path.with_name(path.name + "x"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path in paths_of(folder)}


async def test_every_change_of_a_file_is_reported(made: Made, patient: Patient):
    whole = contents(made.folder)
    assert patient.verify(made.folder, *made.trust).code == 0

    @settings(max_examples=250, deadline=None)
    @given(st.data())
    def change(data: st.DataObject) -> None:
        spoil(data.draw, copy_of(made.folder, made.spoilt))
        said = patient.verify(made.spoilt, *made.trust)
        assert (said.code == 0) == (contents(made.spoilt) == whole), said.text
        assert said.code == 0 or "RESULT: EVERYTHING" not in said.text

    change()


async def test_every_byte_of_the_small_signed_files_counts(made: Made, patient: Patient):
    for name, step in (("manifest.sig", 1), ("manifest.json", 97)):
        data = (made.folder / name).read_bytes()
        for at in range(0, len(data), step):
            spoilt = copy_of(made.folder, made.spoilt)
            (spoilt / name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert patient.verify(spoilt, *made.trust).code in {1, 2}, at


async def test_a_zip_file_that_was_changed_is_reported_or_holds_the_very_same_files(made: Made, patient: Patient):
    data, whole = made.zipped.read_bytes(), contents(made.folder)
    directory = data.index(b"PK\x01\x02")
    assert patient.verify(made.zipped, *made.trust).code == 0

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def change(drawn: st.DataObject) -> None:
        at = drawn.draw(st.one_of(st.integers(0, len(data) - 1), st.integers(directory, len(data) - 1)))
        kind = drawn.draw(st.sampled_from(["flip", "append", "prepend", "insert", "cut"]))
        more = drawn.draw(st.binary(min_size=1, max_size=50))
        made.spoilt.write_bytes(
            {
                "flip": data[:at] + bytes([data[at] ^ drawn.draw(st.integers(1, 255))]) + data[at + 1 :],
                "append": data + more, "prepend": more + data, "insert": data[:at] + more + data[at:], "cut": data[:at],
            }[kind]
        )  # fmt: skip
        said = patient.verify(made.spoilt, *made.trust)
        if kind != "flip":
            assert said.code in {1, 2}, (kind, at, said.text)
        elif said.code == 0:  # such as a date: nothing that is evidence
            with zipfile.ZipFile(made.spoilt) as file:
                assert {name: file.read(name) for name in file.namelist()} == whole

    change()


async def test_a_zip_file_with_a_name_twice_is_reported(made: Made, patient: Patient):
    shutil.copyfile(made.zipped, made.spoilt)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(made.spoilt, "a") as file:
        file.writestr("audit.pdf", b"%PDF-another")
    said = patient.verify(made.spoilt, *made.trust)
    assert said.code == 1
    assert "'audit.pdf' is in the zip file more than once." in said.text


def other_names(member: zipfile.ZipInfo) -> None:
    """Name files differently for the programs that know the extra field 0x7075 (APPNOTE 4.6.9)."""
    name = member.filename.encode()
    other = name.replace(b"s/00", b"s/not-00")
    member.extra = struct.pack("<HHBI", 0x7075, 5 + len(other), 1, zlib.crc32(name)) + other


def compress(member: zipfile.ZipInfo) -> None:
    member.compress_type = zipfile.ZIP_DEFLATED


def remark(member: zipfile.ZipInfo) -> None:
    member.comment = b"exhibit 2 is a copy"


def link(member: zipfile.ZipInfo) -> None:
    member.external_attr = 0o120777 << 16


def end_early(member: zipfile.ZipInfo) -> None:
    """Name files so that programs which stop at a NUL see other names than those which do not."""
    member.filename += "\0.exe"


@pytest.mark.parametrize("trick", [other_names, compress, remark, link, end_early, None])
async def test_a_zip_file_out_of_which_others_might_take_something_else_is_reported(
    made: Made, patient: Patient, trick
):
    with zipfile.ZipFile(made.zipped) as good, zipfile.ZipFile(made.spoilt, "w") as file:
        for member in good.infolist():
            again = zipfile.ZipInfo(member.filename, member.date_time)
            again.external_attr, again.create_version, again.extract_version = member.external_attr, 45, 20
            if trick is not None:
                trick(again)
            file.writestr(again, good.read(member))
        if trick is None:
            file.writestr("exhibits/READ_ME_FIRST/", b"")
    said = patient.verify(made.spoilt, *made.trust)
    assert said.code == 1
    assert "The zip file is not written as the store writes one" in said.text
    if trick is compress:  # nothing was changed, so what it unpacks to holds
        assert patient.verify(unpack(made.spoilt.read_bytes(), made.folder.with_name("again")), *made.trust).code == 0


async def test_what_lies_too_deep_to_be_seen_is_not_passed_over(made: Made, bare: Bare):
    folder = copy_of(made.folder, made.spoilt)
    at = os.open(folder, os.O_RDONLY)
    for _ in range(20):  # more than a path may have
        os.mkdir("d" * 250, dir_fd=at)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("hidden.exe", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    said = bare.verify(folder, *made.trust)
    shutil.rmtree(folder)
    assert said.code == 1, said.text
    assert "cannot be seen" in said.text


LIE = "RESULT: EVERYTHING HOLDS. The files are those that the store received."


async def test_no_word_of_a_package_stands_where_one_of_the_program_would(made: Made, patient: Patient, bare: Bare):
    forger = LedgerKey(b"\x07" * 32, made.key.name)
    for before in ("x\n\n", "x\r\n\x85\u2028", "x" * 37, "x" * 78, "x " * 100, "\u6587" * 39):
        for field in ("format", "reason", "package", "ledger_key"):
            folder = resign(made, _with(field, f"{before}{LIE}"), forger)
            told = [patient.verify(folder, *made.trust)]
            if field in {"format", "reason"}:
                told.append(bare.verify(folder, *made.trust, on_terminal=True))
                assert all(_wide(line) <= 80 for line in told[-1].text.splitlines()), told[-1].text
            for said in told:
                assert said.code in {1, 2}
                assert not [line for line in said.text.splitlines() if line.startswith("RESULT: EVERY")], said.text


def _with(field: str, value: str) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest.update({field: value})


def _wide(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


# --- what is signed anew: by a forger with another key, or by a store that lies


def resign(made: Made, change: Callable[[dict[str, Any]], None], key: LedgerKey | None = None) -> Path:
    """Return a copy of the package whose manifest was changed and signed again."""
    folder = copy_of(made.folder, made.spoilt)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    change(manifest)
    write_signed(folder, manifest, key or made.key)
    return folder


def write_signed(folder: Path, manifest: Any, key: LedgerKey) -> None:
    raw = json.dumps(manifest, ensure_ascii=False).encode("utf-8", "surrogatepass")
    package = manifest.get("package") if isinstance(manifest, dict) else ""
    order = Order(str(package).encode("utf-8", "replace").decode(), "", "", "", None)  # type: ignore[arg-type]
    (folder / "manifest.json").write_bytes(raw)
    (folder / "manifest.sig").write_bytes(sign_manifest(key, order, raw))


def line_of(manifest: dict[str, Any], action: str) -> int:
    lines = manifest["exhibits"][0]["lines"]
    return next(n for n, line in enumerate(lines) if f'"action":"{action}"' in line.get("leaf", ""))


def without(action: str) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["exhibits"][0]["lines"].pop(line_of(manifest, action))


def changed(action: str, old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        line = manifest["exhibits"][0]["lines"][line_of(manifest, action)]
        assert old in line["leaf"]
        line["leaf"] = line["leaf"].replace(old, new)

    return change


def in_exhibit(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["exhibits"][0].update(values)


def swap_proofs(manifest: dict[str, Any]) -> None:
    lines = manifest["exhibits"][0]["lines"]
    lines[0]["path"], lines[1]["path"] = lines[1]["path"], lines[0]["path"]


def swap_lines(manifest: dict[str, Any]) -> None:
    lines = manifest["exhibits"][0]["lines"]
    lines[0], lines[1] = lines[1], lines[0]


def move_lines(manifest: dict[str, Any]) -> None:
    first, second = manifest["exhibits"]
    first["lines"], second["lines"] = second["lines"], first["lines"]


def swap_files(manifest: dict[str, Any]) -> None:
    first, second = manifest["exhibits"]
    for name in ("path", "sha256", "size_bytes"):
        first[name], second[name] = second[name], first[name]


def set_hash_of_withheld(manifest: dict[str, Any]) -> None:
    next(line for line in manifest["exhibits"][0]["lines"] if "leaf_hash" in line)["leaf_hash"] = "0" * 64


def bend_consistency(manifest: dict[str, Any]) -> None:
    next(one for one in manifest["consistency"] if one["checkpoint"])["path"][0] = "0" * 64


def drop_file(manifest: dict[str, Any]) -> None:
    manifest["files"] = [one for one in manifest["files"] if one["path"] != "audit.pdf"]


def drop_exhibit(manifest: dict[str, Any]) -> None:
    manifest["exhibits"].pop()


LIES = {
    "a line in the wrong words": (changed("received", '"actor":"upload', '"actor":"another'), "is NOT in the ledger"),
    "proofs of each other's lines": (swap_proofs, "is NOT in the ledger"),
    "a hash for another withheld line": (set_hash_of_withheld, "is NOT in the ledger"),
    "lines in another order": (swap_lines, "not in the order of the ledger"),
    "no line that it was received": (without("received"), "CUSTODY HAS A GAP: there are 0 lines"),
    "no line that the upload was opened": (without("upload opened"), "no line says that the upload was opened"),
    "no line that it was given out": (without("shared"), "no line says that it was given out in this package"),
    "the lines of another exhibit": (move_lines, "speaks of something else"),
    "the file of another exhibit": (swap_files, "names another digest"),
    "another mark": (lambda m: m["exhibits"][0]["label"].update(mark="JS/2"), "Its label"),
    "no label": (in_exhibit(label=None), "the package has none"),
    "another incident": (in_exhibit(incident="AP-1"), "another incident than the manifest says"),
    "another kind": (in_exhibit(media_type="image/png"), "another media type than the manifest says"),
    "another recipient": (lambda m: m.update(recipient="Somebody else"), "no line says that it was given out"),
    "another reason": (lambda m: m.update(reason="Another"), "no line says that it was given out"),
    "an earlier ledger that does not lead here": (bend_consistency, "does not follow from its checkpoint"),
    "a file that is not listed": (drop_file, "'audit.pdf' was added"),
    "an exhibit without a history": (drop_exhibit, "lies among the exhibits and is none"),
}


async def test_a_store_that_signs_something_untrue_is_found_out(made: Made, patient: Patient):
    for name, (change, words) in LIES.items():
        said = patient.verify(resign(made, change), *made.trust)
        assert said.code == 1, name
        assert words in said.text, (name, said.text)


async def test_a_package_signed_by_another_key_does_not_pass_for_ours(made: Made, patient: Patient):
    forger = LedgerKey(b"\x07" * 32, made.key.name)

    def forge(manifest: dict[str, Any]) -> None:
        size, root = (
            made.key.public.open(manifest["checkpoint"]).size,
            made.key.public.open(manifest["checkpoint"]).root,
        )
        manifest["checkpoint"], manifest["consistency"] = forger.sign(size, root), []
        manifest["ledger_key"] = str(forger.public)

    folder = resign(made, forge, forger)
    said = patient.verify(folder, *made.trust)
    assert said.code == 1
    assert "NOT the one that you gave" in said.text
    assert "NOT SHOWN: who made this package" in patient.verify(folder).text
    assert patient.verify(folder).code == 3


async def test_checkpoints_kept_elsewhere_are_compared(made: Made, patient: Patient, wire: Wire, tmp_path: Path):
    said = patient.verify(made.folder, *made.trust, "--checkpoint", str(made.kept))
    assert (said.code, "nothing before it was changed" in said.text) == (0, True)
    for n in range(5):
        await wire.put(signing.new_id(), jpeg(100, 10 + n))
    async with wire.http.get("/evidence/v1/ledger/checkpoint", headers=wire.token()) as answer:
        (tmp_path / "later.txt").write_text(await answer.text())
    later = [*made.trust, "--checkpoint", str(tmp_path / "later.txt")]
    said = patient.verify(made.folder, *later)
    assert (said.code, "It could not be compared" in said.text) == (1, True)
    size = made.key.public.open(json.loads((made.folder / "manifest.json").read_bytes())["checkpoint"]).size
    proof = await wire.ask("GET", f"/ledger/consistency?first={size}")
    (tmp_path / "proof.json").write_text(json.dumps(proof))
    assert patient.verify(made.folder, *later, "--proof", str(tmp_path / "proof.json")).code == 0
    root = made.key.public.open(made.kept.read_text()).root
    (tmp_path / "other.txt").write_text(made.key.sign(made.key.public.open(made.kept.read_text()).size, root[::-1]))
    said = patient.verify(made.folder, *made.trust, "--checkpoint", str(tmp_path / "other.txt"))
    assert (said.code, "It does NOT fit" in said.text) == (1, True)


async def test_the_key_may_be_given_as_fingerprint_key_or_file(made: Made, patient: Patient, tmp_path: Path):
    key = made.key.public
    (tmp_path / "ledger.pub").write_text(f"{key}\n")
    spaced = " ".join(key.fingerprint[at : at + 4] for at in range(0, 64, 4)).upper()
    for given_key in (key.fingerprint, spaced, str(key), str(tmp_path / "ledger.pub")):
        assert patient.verify(made.folder, "--key", given_key).code == 0
    for given_key in ("", "nowhere", "0" * 63, str(key)[:-4]):
        assert patient.verify(made.folder, "--key", given_key).code == 2
    assert patient.verify(made.folder, "--key", "0" * 64).code == 1


async def test_nonsense_signed_by_the_right_key_ends_in_a_sentence_and_never_in_a_crash(made: Made, patient: Patient):
    manifest = json.loads((made.folder / "manifest.json").read_bytes())
    folder = copy_of(made.folder, made.spoilt)
    values = st.sampled_from(
        [None, True, -1, 0, 10**30, 1.5, "", "x", "\ud800", [], [[]], {}, {"a": 1}, "../x", "0" * 64, ["0" * 64]]
    )

    def walk(value: Any) -> Iterator[tuple[Any, Any]]:
        for at in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            yield value, at
            yield from walk(value[at])

    @settings(max_examples=250, deadline=None)
    @given(st.integers(0, 2**32), values, st.booleans())
    def change(seed: int, value: Any, drop: bool) -> None:
        spoilt = json.loads(json.dumps(manifest))
        holder, at = random.Random(seed).choice(list(walk(spoilt)))
        if drop:
            del holder[at]
        else:
            holder[at] = value
        write_signed(folder, spoilt, made.key)
        said = patient.verify(folder, *made.trust)
        assert "RESULT: " in said.text

    change()
    for whole in ([], None, 1, "x", {}):
        write_signed(folder, whole, made.key)
        assert patient.verify(folder, *made.trust).code == 2
    for raw in (b"", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}', b'{"a":NaN}'):
        (folder / "manifest.json").write_bytes(raw)
        assert patient.verify(folder, *made.trust).code == 2
