#!/usr/bin/env python3
"""Check a court package of an evidence store, and say in plain words what holds and what does not.

    python verify.py [PACKAGE] --key FINGERPRINT [--checkpoint FILE] [--proof FILE]

PACKAGE is the package's zip file, or the folder it was unpacked into; without it, the folder in which this file lies.
It is only read. Needed are Python 3.9 or later and the package `cryptography`; nothing is sent anywhere.

Two things must come to you another way than with the package, or nothing is shown about who made it:

  --key         the fingerprint of the ledger's key (64 hex digits), from the force's evidence unit by telephone or on
                paper; or the key itself, or a file with it
  --checkpoint  a checkpoint of the ledger that somebody else kept, if you have one: it shows that nothing before it was
                changed since. May be given several times. When the package cannot be compared with it, this program
                says which proof to ask for; give that with --proof.

Get this program itself from elsewhere too if you can: whoever changes a package can change the copy inside.

Exit code: 0 everything holds and the key was compared · 1 something does not hold · 2 nothing could be checked ·
3 everything fits together, but no --key was given, so it is not shown who made it.

This file shares no code with the store, and stands alone. The formats are in the store's README.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # a json.py put into the package must not run in place of Python's own
    _here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [place for place in sys.path if os.path.realpath(place) != _here]

import argparse
import base64
import binascii
import hashlib
import json
import re
import shutil
import struct
import textwrap
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.stderr.write("This needs the Python package 'cryptography': python -m pip install cryptography\n")
    sys.exit(2)

HOLDS, WRONG, NOTHING_CHECKED, KEY_NOT_COMPARED = 0, 1, 2, 3
FORMAT = "evidence-store court package v1"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
PIECE_BYTES = 1 << 20
MOST_MANIFEST_BYTES = 1 << 29
MOST_NOTE_BYTES = 100_000
MOST_CHARS_A_LINE = 4000
SAFE_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
HEX = re.compile(r"[0-9a-f]{64}")


class Unreadable(Exception):
    """Something does not have the form that it must have; the message says what."""


# --- saying what was found


class Report:
    """What was found, said as it is found; remembers how it stands."""

    def __init__(self) -> None:
        self.wrong = 0
        self.key_compared = False

    def head(self, text: str) -> None:
        say(text, apart=True)

    def holds(self, text: str) -> None:
        say(f"  holds   {text}")

    def fault(self, text: str) -> None:
        self.wrong += 1
        say(f"  WRONG   {text}")

    def note(self, text: str) -> None:
        say(f"  note    {text}")


def say(text: str, *, apart: bool = False) -> None:
    """Write one line, with an empty one before it where it stands apart.

    What a terminal might obey, or would hide, is written as its number in Unicode; so is the end of a line. On a
    terminal, what is too long for it goes on behind a mark: no word of a package stands where one of ours would.
    """
    shown = text if len(text) <= MOST_CHARS_A_LINE else text[:MOST_CHARS_A_LINE] + " [and more, not shown]"
    shown = "".join(c if c.isprintable() else f"[U+{ord(c):04X}]" for c in shown)
    if sys.stdout.isatty():
        width = max(40, shutil.get_terminal_size().columns - 1) // (1 if shown.isascii() else 2)  # some are two wide
        shown = textwrap.fill(shown, width, subsequent_indent="        | ", break_on_hyphens=False)
    sys.stdout.write(("\n" if apart else "") + shown + "\n")


# --- the package: a folder or a zip file, only ever read


class Folder:
    """An unpacked package."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, report: Report) -> set[str]:
        found = set()

        def unread(problem: OSError) -> None:
            where = os.path.relpath(problem.filename or "", self.root)
            report.fault(f"What lies in '{where[:200]}' cannot be seen ({problem.strerror}).")

        for folder, folders, files in os.walk(self.root, onerror=unread):
            for name in folders + files:
                path = Path(folder) / name
                try:
                    is_link = path.is_symlink()
                except OSError as problem:
                    unread(problem)
                    continue
                if is_link:
                    report.fault(f"'{path.relative_to(self.root).as_posix()}' only points elsewhere: it is no file.")
            found |= {(Path(folder) / name).relative_to(self.root).as_posix() for name in files}
        return found

    def open(self, name: str) -> BinaryIO:
        path = self.root / name
        if path.is_symlink() or not path.is_file():
            raise KeyError(name)
        return path.open("rb")


class Zip:
    """A package as one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
            raise Unreadable(f"{path} is no zip file that can be read ({problem})") from None

    def names(self, report: Report) -> set[str]:
        names = [member.filename for member in self.file.infolist()]
        for name in sorted({name for name in names if names.count(name) > 1} if len(names) < 5000 else set()):
            report.fault(f"'{name}' is in the zip file more than once.")
        if len(names) >= 5000 and len(set(names)) < len(names):
            report.fault("Files are in the zip file more than once.")
        if not self.is_plain():
            report.fault(
                "The zip file is not written as the store writes one: other programs may take other files out of"
            )
            report.note("it than are checked here. If it was only packed anew, check the folder that it unpacks to.")
        return set(names)

    def open(self, name: str) -> BinaryIO:
        return self.file.open(name)  # type: ignore[return-value]

    def is_plain(self) -> bool:
        """Say whether all that is not a file's contents is, to the byte, what the store writes for these files.

        A zip file tells each name, length and place twice or more. Programs differ in which they believe; here each is
        told one way only, so all take out the same.
        """
        members, at, directory = self.file.infolist(), 0, bytearray()
        with self.path.open("rb") as raw:
            raw.seek(10)
            stamp = raw.read(4)
            for member in members:
                name = member.orig_filename  # as it stands there: `filename` ends at a NUL, and on Windows has no \
                if member.compress_size != member.file_size or not SAFE_PATH.fullmatch(name):
                    return False
                head, entry = _zip_heads(member, at, stamp)
                raw.seek(at)
                if raw.read(len(head)) != head:
                    return False
                at += len(head) + member.file_size
                directory += entry
            end = bytes(directory) + _zip_end(len(members), len(directory), at)
            raw.seek(at)
            return raw.read(len(end) + 1) == end


_ZIP_LIMIT = 0xFFFFFFFF


def _zip_heads(member: zipfile.ZipInfo, at: int, stamp: bytes) -> tuple[bytes, bytes]:
    """Return what stands in front of a file's contents, and its entry in the directory (APPNOTE 6.3, 4.3.7, 4.3.12)."""
    name, size = member.orig_filename.encode("ascii"), member.file_size
    shown = struct.pack("<III", member.CRC, min(size, _ZIP_LIMIT), min(size, _ZIP_LIMIT))
    big = struct.pack("<HHQQ", 1, 16, size, size) if size >= _ZIP_LIMIT else b""
    head = struct.pack("<4sHHH", b"PK\x03\x04", 45 if big else 20, 0, 0) + stamp + shown
    wide = [value for value in (size, size, at) if value >= _ZIP_LIMIT]
    more = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    entry = struct.pack("<4sHHHH", b"PK\x01\x02", 3 << 8 | 45, 45 if wide else 20, 0, 0) + stamp + shown
    entry += struct.pack("<HHHHHII", len(name), len(more), 0, 0, 0, 0o100600 << 16, min(at, _ZIP_LIMIT)) + name + more
    return head + struct.pack("<HH", len(name), len(big)) + name + big, entry


def _zip_end(count: int, size: int, at: int) -> bytes:
    """Return what stands behind the directory of so many files and bytes, which begins at `at` (4.3.14 to 4.3.16)."""
    far = b""
    if at >= _ZIP_LIMIT or size >= _ZIP_LIMIT or count >= 0xFFFF:
        far = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 3 << 8 | 45, 45, 0, 0, count, count, size, at)
        far += struct.pack("<4sIQI", b"PK\x06\x07", 0, at + size, 1)
    shown = (min(count, 0xFFFF), min(count, 0xFFFF), min(size, _ZIP_LIMIT), min(at, _ZIP_LIMIT))
    return far + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, *shown, 0)


# --- reading strictly: one way only to write a thing


def parse_json(raw: bytes) -> Any:
    """Return what JSON says. Raises Unreadable; a name given twice in one object is refused."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise Unreadable("a name stands twice in one object")
        return dict(pairs)

    def never(value: str) -> Any:
        raise Unreadable(f"{value} is no number")

    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=once, parse_constant=never)
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None


def take(holder: Any, name: str, kind: type) -> Any:
    """Return a value of an object. Raises Unreadable unless it is there and of its kind."""
    if not isinstance(holder, dict) or name not in holder:
        raise Unreadable(f"'{name}' is missing")
    value = holder[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Unreadable(f"'{name}' is of the wrong kind")
    return value


def take_hashes(holder: Any, name: str) -> list[bytes]:
    """Return a list of hashes. Raises Unreadable."""
    found = take(holder, name, list)
    if not all(isinstance(one, str) and HEX.fullmatch(one) for one in found):
        raise Unreadable(f"'{name}' holds something that is no hash")
    return [bytes.fromhex(one) for one in found]


def canonical(value: Any) -> str:
    """Return JSON as RFC 8785 writes it, for the values that a ledger holds."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def unbase64(text: str) -> bytes:
    """Return decoded bytes. Raises Unreadable for any but the one way to write them."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("it is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise Unreadable("it is not base64 as it must be written")
    return raw


# --- keys, signed notes, checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint)


class Key:
    """The ledger's public key with its name: <name>+<id, 8 hex digits>+<base64 of 01 and the Ed25519 key>."""

    def __init__(self, text: str) -> None:
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not _is_plain(text.strip()):
            raise Unreadable("a key is written <name>+<id>+<base64>")
        self.text, self.name = text.strip(), parts[0]
        raw = unbase64(parts[2])
        if len(raw) != 33 or raw[0] != 1:
            raise Unreadable("the key is not of Ed25519")
        self.fingerprint = hashlib.sha256(self.name.encode() + b"\n" + raw).hexdigest()
        if parts[1] != self.fingerprint[:8]:
            raise Unreadable("the key's id is not its own")
        self.public = Ed25519PublicKey.from_public_bytes(raw[1:])

    def open_note(self, note: str) -> str:
        """Return the text that a note says, signed by this key. Raises Unreadable."""
        text, blank, signatures = note.rpartition("\n\n")
        if not blank or not signatures.endswith("\n") or not _is_plain(note):
            raise Unreadable("it is no signed note")
        text += "\n"
        found = []
        for line in signatures[:-1].split("\n"):
            parts = line.split(" ")
            if len(parts) != 3 or parts[0] != "\u2014":
                raise Unreadable("it has a signature line that is none")
            raw = unbase64(parts[2])
            if parts[1] == self.name and raw[:4].hex() == self.fingerprint[:8]:
                found.append(raw[4:])
        if len(found) != 1:
            raise Unreadable("it is not signed by this key")
        try:
            self.public.verify(found[0], text.encode())
        except InvalidSignature:
            raise Unreadable("its signature is not genuine") from None
        return text

    def open_checkpoint(self, note: str) -> tuple[int, bytes]:
        """Return number of lines and root that a checkpoint says. Raises Unreadable."""
        lines = self.open_note(note).split("\n")
        if len(lines) != 4 or lines[0] != self.name or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
            raise Unreadable("it is no checkpoint of this ledger")
        root = unbase64(lines[2])
        if len(root) != 32:
            raise Unreadable("its root is no hash")
        return int(lines[1]), root


def _is_plain(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


# --- the ledger's tree (RFC 9162, section 2.1)


def leaf_hash(leaf: str) -> bytes:
    return hashlib.sha256(b"\x00" + leaf.encode()).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_by_inclusion(index: int, size: int, hashed: bytes, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a proof leads to from leaf `index`, None when the proof has the wrong length (2.1.3.2)."""
    if not 0 <= index < size:
        return None
    place, last = index, size - 1
    for step in path:
        if last == 0:
            return None
        if place % 2 == 1 or place == last:
            hashed = node_hash(step, hashed)
            while place % 2 == 0 and place != 0:
                place, last = place // 2, last // 2
        else:
            hashed = node_hash(hashed, step)
        place, last = place // 2, last // 2
    return hashed if last == 0 else None


def only_grew(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Say whether a proof shows that the larger ledger begins with the smaller one (2.1.4.2)."""
    if first == second:
        return not path and first_root == second_root
    if not 0 < first < second or not path:
        return False
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    place, last = first - 1, second - 1
    while place % 2 == 1:
        place, last = place // 2, last // 2
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if place % 2 == 1 or place == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while place % 2 == 0 and place != 0:
                place, last = place // 2, last // 2
        else:
            new = node_hash(new, step)
        place, last = place // 2, last // 2
    return last == 0 and old == first_root and new == second_root


# --- the checks, in the order in which they are told


def check_key(report: Report, key: Key, given: str | None) -> None:
    """Compare the package's key with the one that came another way."""
    report.head("Whose key")
    report.note(f"The package names the ledger '{key.name}'. The fingerprint of its key is")
    report.note(key.fingerprint)
    if given is None:
        report.note(
            "NOT SHOWN: who made this package. Anybody could have, with a key of their own. Get the fingerprint"
        )
        report.note("another way (the force's evidence unit, by telephone or on paper) and run this with --key.")
        return
    wanted = read_given_key(given)
    if wanted == key.fingerprint:
        report.key_compared = True
        report.holds("The key is the one that you gave.")
    else:
        report.fault(f"The key is NOT the one that you gave, which has the fingerprint {wanted}")


def read_given_key(given: str) -> str:
    """Return the fingerprint that --key means. Raises Unreadable."""
    bare = re.sub(r"[\s:]", "", given).lower()
    if HEX.fullmatch(bare):
        return bare
    if given.count("+") >= 2 and "/" not in given.partition("+")[2].partition("+")[0]:
        return Key(given).fingerprint
    return Key(read_small(Path(given))).fingerprint


def read_small(path: Path) -> str:
    """Return a small text file. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_NOTE_BYTES + 1)
        if len(raw) > MOST_NOTE_BYTES:
            raise Unreadable(f"{path} is too long")
        return raw.decode("utf-8")
    except (OSError, ValueError):
        raise Unreadable(f"{path} cannot be read") from None


def check_signature(report: Report, key: Key, manifest: Any, raw: bytes, note: str) -> None:
    """Check the signature over the manifest."""
    report.head("The list of contents (manifest.json)")
    try:
        said = key.open_note(note)
    except Unreadable as problem:
        report.fault(f"The manifest's signature does not hold: {problem}.")
        return
    wanted = f"{FORMAT}\n{take(manifest, 'package', str)}\n{len(raw)}\n{hashlib.sha256(raw).hexdigest()}\n"
    if said == wanted:
        report.holds("It is signed with the ledger's key, and is as it was signed, to the byte.")
    else:
        report.fault("The signature is of another manifest, or the manifest was changed.")


def check_checkpoint(report: Report, key: Key, manifest: Any) -> tuple[int, bytes] | None:
    """Check the checkpoint that every proof leads to, and that the ledger only grew up to it."""
    report.head("The ledger's checkpoint")
    try:
        size, root = key.open_checkpoint(take(manifest, "checkpoint", str))
    except Unreadable as problem:
        report.fault(f"The checkpoint does not hold: {problem}.")
        return None
    report.holds(f"It is signed with the ledger's key. The ledger had {size} lines.")
    for earlier in take(manifest, "consistency", list):
        note, first = earlier.get("checkpoint") if isinstance(earlier, dict) else None, take(earlier, "size", int)
        path = take_hashes(earlier, "path")
        if note is None:
            continue  # of use only with a checkpoint that somebody else kept
        try:
            said, first_root = key.open_checkpoint(note if isinstance(note, str) else "")
        except Unreadable as problem:
            report.fault(f"The earlier checkpoint at line {first} does not hold: {problem}.")
            continue
        if said == first and only_grew(first, size, first_root, root, path):
            report.holds(f"Between line {first} and line {size} the ledger only grew.")
        else:
            report.fault(f"The ledger of {size} lines does not follow from its checkpoint at line {first}.")
    return size, root


def check_kept(report: Report, key: Key, manifest: Any, here: tuple[int, bytes], kept: str, proofs: list[Any]) -> None:
    """Hold the package against a checkpoint that somebody else kept."""
    size = here[0]
    try:
        other, other_root = key.open_checkpoint(read_small(Path(kept)))
    except Unreadable as problem:
        report.fault(f"The checkpoint in {kept} is not of this ledger: {problem}.")
        return
    first, second = sorted([(other, other_root), here])
    paths = [take_hashes(one, "path") for one in manifest["consistency"] if one["size"] == other and other <= size]
    between = (first[0], second[0])
    paths += [take_hashes(one, "path") for one in proofs if (one.get("first"), one.get("second")) == between]
    if other == size:
        paths = [[]]
    if any(only_grew(first[0], second[0], first[1], second[1], path) for path in paths):
        report.holds(
            f"It fits the checkpoint in {kept}, which was kept at line {other}: nothing before it was changed."
        )
    elif paths:
        report.fault(f"It does NOT fit the checkpoint in {kept}: the ledger was not the same when that was kept.")
    else:
        report.fault(
            f"It could not be compared with the checkpoint in {kept}, kept at line {other}. Ask the store for "
            f"/evidence/v1/ledger/consistency?first={first[0]}&second={second[0]} and give the answer with --proof."
        )


def check_files(report: Report, source: Any, manifest: Any) -> dict[str, str]:
    """Check that every file is there and as it was, and no other is; return path and digest of the good ones."""
    report.head("The files")
    listed: dict[str, Any] = {}
    for file in take(manifest, "files", list):
        path = take(file, "path", str)
        if not SAFE_PATH.fullmatch(path) or path in listed or path in {MANIFEST, SIGNATURE}:
            report.fault(f"The manifest lists '{path}', which no package does.")
        listed[path] = file
    there, good = source.names(report), {}
    for path, file in listed.items():
        fault = compare_file(source, path, file) if path in there else "is missing"
        if fault:
            report.fault(f"'{path}' {fault}.")
        else:
            good[path] = take(file, "sha256", str)
            report.holds(f"'{path}' is there, as long as it was and with the digest that it had.")
    added = sorted(there - listed.keys() - {MANIFEST, SIGNATURE})
    for path in added:
        report.fault(f"'{path}' was added: the manifest does not list it.")
    if not added:
        report.holds("Nothing was added.")
    return good


def compare_file(source: Any, path: str, file: Any) -> str:
    """Return what is wrong with a file, or nothing."""
    wanted, length, size, digest = take(file, "sha256", str), take(file, "size_bytes", int), 0, hashlib.sha256()
    try:
        with source.open(path) as opened:
            for piece in iter(lambda: opened.read(PIECE_BYTES), b""):
                size += len(piece)
                digest.update(piece)
                if size > length:
                    return f"is longer than the {length} bytes that it had"
    except (KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as problem:
        return f"cannot be read ({problem})"
    if size != length:
        return f"has {size} bytes and had {length}"
    return "" if digest.hexdigest() == wanted else f"was changed: its SHA-256 is {digest.hexdigest()}, and was {wanted}"


# --- exhibits: each one's history


def check_exhibit(
    report: Report, manifest: Any, exhibit: Any, good: dict[str, str], here: tuple[int, bytes] | None
) -> None:
    """Check one exhibit's file against its lines, and its lines against the checkpoint."""
    label = exhibit.get("label") if isinstance(exhibit, dict) else None
    name = take(label, "mark", str) if label is not None else take(exhibit, "object", str)
    path, sha256 = take(exhibit, "path", str), take(exhibit, "sha256", str)
    report.head(f"Exhibit {name} ({path})")
    if path not in good:
        report.fault("Its file is not as it was, or not there: see above.")
    elif good[path] != sha256:
        report.fault("Manifest and exhibit name different digests.")
    before, lines = report.wrong, []
    for line in take(exhibit, "lines", list):
        said = check_line(report, line, here)
        lines += [said] if said is not None else []
    order = [take(line, "sequence", int) for line in exhibit["lines"]]
    if order != sorted(set(order)):
        report.fault("Its lines are not in the order of the ledger, or one stands twice.")
    if here is not None and report.wrong == before:
        report.holds(f"{len(order)} lines of the ledger speak of it. Each is in the ledger of the checkpoint.")
    if len(lines) < len(order):
        report.note(
            f"{len(order) - len(lines)} of them name other objects too: of these only the hash is here. "
            "The store has them whole."
        )
    for fault in [*custody_faults(manifest, exhibit, sha256, lines), *label_faults(label, lines)]:
        report.fault(fault)
    for remark in custody_notes(lines):
        report.note(remark)


def check_line(report: Report, line: Any, here: tuple[int, bytes] | None) -> dict[str, Any] | None:
    """Check that a line is in the ledger; return what it says, None when it is not here whole."""
    sequence, path = take(line, "sequence", int), take_hashes(line, "path")
    leaf = line.get("leaf")
    said = None
    if leaf is None:
        hashed = bytes.fromhex(take(line, "leaf_hash", str)) if HEX.fullmatch(take(line, "leaf_hash", str)) else b""
    else:
        leaf = take(line, "leaf", str)
        try:
            hashed = leaf_hash(leaf)
        except UnicodeEncodeError:
            raise Unreadable(f"line {sequence} holds what is no text") from None
        said = parse_json(leaf.encode())
        if canonical(said) != leaf or take(said, "v", int) != 1 or take(said, "sequence", int) != sequence:
            report.fault(f"Line {sequence} is no line as the ledger writes it.")
        for field in ("at", "actor", "purpose", "action", "object", "digest"):
            take(said, field, str)
        take(said, "details", dict)
    if here is not None and root_by_inclusion(sequence - 1, here[0], hashed, path) != here[1]:
        report.fault(f"Line {sequence} is NOT in the ledger of the checkpoint: it, or its proof, was changed.")
    return said


def custody_faults(manifest: Any, exhibit: Any, sha256: str, lines: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is missing in an exhibit's history, or speaks against it."""
    mine, incident = take(exhibit, "object", str), take(exhibit, "incident", str)
    for line in lines:
        listed = [value for value in line["details"].values() if isinstance(value, list)]
        named = line["details"].get("incident") == incident or any(mine in value for value in listed)
        if line["object"] != mine and (line["object"] or not named):
            yield f"Line {line['sequence']} speaks of something else."
        if line["digest"] not in {"", sha256}:
            yield f"Line {line['sequence']} ({line['action']}) names another digest."
    own = [line for line in lines if line["object"] == mine]
    arrived = [line for line in own if line["action"] in {"received", "quarantined"}]
    if len(arrived) != 1:
        yield f"CUSTODY HAS A GAP: there are {len(arrived)} lines that say that it was received; there must be one."
    for line in arrived:
        if line["digest"] != sha256:
            yield "What was received had another digest."
        for field in ("size_bytes", "incident", "kind", "media_type"):
            if line["details"].get(field) != exhibit.get(field):
                yield f"What was received had another {field.replace('_', ' ')} than the manifest says."
        if line["details"].get("received_at", exhibit.get("received_at")) != exhibit.get("received_at"):
            yield "It was received at another time than the manifest says."
        before = [one for one in own if one["sequence"] < line["sequence"]]
        if take(exhibit, "source", str) == "upload" and not any(one["action"] == "upload opened" for one in before):
            yield "CUSTODY HAS A GAP: it came as an upload, and no line says that the upload was opened."
    handed = [
        line for line in own if line["action"] == "shared" and line["details"].get("package") == manifest["package"]
    ]
    wanted = tuple(take(manifest, name, str) for name in ("made_by", "reason", "recipient"))
    if [(line["actor"], line["purpose"], line["details"].get("recipient")) for line in handed] != [wanted]:
        yield "CUSTODY HAS A GAP: no line says that it was given out in this package, by whom, for whom and why."
    if any(line["action"] == "disposed" for line in own):
        yield "The ledger says that it was disposed of."


def label_faults(label: Any, lines: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what does not fit between an exhibit's label and the ledger, which holds a commitment to its words."""
    set_by = [line for line in lines if line["action"] == "annotated" and line["details"].get("what") == "label"]
    if label is None:
        if set_by:
            yield "The ledger says that it has a label, and the package has none."
        return
    words = {name: label.get(name) for name in ("nonce", "mark", "description", "maker", "signed_at", "signed_how")}
    commitment = hashlib.sha256(canonical(words).encode("utf-8", "replace")).hexdigest()
    if not set_by or set_by[-1]["details"].get("commitment") != commitment:
        yield "Its label (mark, description, maker, signature) is not the one that the ledger knows."


def custody_notes(lines: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what somebody should know, and decide about."""
    last = ""
    for line in lines:
        if line["at"] < last:
            yield f"Line {line['sequence']} is dated before the line in front of it: the store's clock was put back."
        last = line["at"]
        when = shown_time(line["at"])
        if line["action"] == "damaged":
            yield f"At {when} the store found its stored bytes damaged. The bytes here are those received."
        elif line["action"] == "quarantined":
            yield f"At {when} it was received into quarantine: the sender's own digest was another one."
        elif line["action"] == "screened":
            yield f"At {when} {say_screened(line['details'])}"
        elif line["action"] == "quarantine reviewed":
            yield f"At {when} {say_quarantine(line['details'])}"
        elif line["action"] == "received":
            same = line["details"].get("client_digest") == "equal"
            yield f"At {when} it was received. The sender's own digest was {'the same' if same else 'not given'}."


def say_screened(details: dict[str, Any]) -> str:
    """Return what a screening for malware came to, in a sentence; what is not known is told as it stands."""
    verdict, reason, outcome = (str(details.get(name)) for name in ("verdict", "reason", "outcome"))
    found = {
        "clean": "nothing was found",
        "infected": f"this was found: {reason}. OPEN THE EXHIBIT ONLY ON A MACHINE THAT IS MEANT FOR THAT",
        "unknown": f"it could not be told whether it is clean ({reason})",
    }.get(verdict, f"{verdict} {reason}")
    went = {
        "received": "It was made available",
        "quarantined": "It was put in quarantine",
        "released from quarantine": "It was released from quarantine, where it was only for want of this",
        "unchanged": "It stayed where it was",
    }.get(outcome, f"Outcome: {outcome}")
    return f"it was screened for malware: {found}. {went}."


def say_quarantine(details: dict[str, Any]) -> str:
    """Return what people decided about an exhibit in quarantine, and knowing what, in a sentence."""
    outcome, verdict, found = (str(details.get(name)) for name in ("outcome", "verdict", "found"))
    went = {
        "released": "it was released from quarantine",
        "proposed": "a person proposed to release it from quarantine, which needs a second one",
        "rejected": "a second person refused to release it from quarantine",
    }.get(outcome, f"people decided about it in quarantine: {outcome}")
    if outcome == "released":
        went += " by two people" if details.get("proposed_by") else " by one person"
    knew = {
        "": "it was not screened for malware",
        "clean": "no malware was found in it",
        "infected": f"this was found in it: {found}",
        "unknown": f"it could not be told whether it holds malware ({found})",
    }.get(verdict, f"{verdict} {found}")
    other = "the sender's own digest was another one, and " if details.get("client_digest") == "different" else ""
    return f"{went}. What they knew: {other}{knew}."


def shown_time(at: str) -> str:
    """Return an instant as people read it."""
    try:
        return datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z").strftime("%d %B %Y, %H:%M:%S UTC")
    except ValueError:
        return at


# --- all of it


def verify(source: Any, given: argparse.Namespace) -> int:
    """Check everything and return the exit code. Raises Unreadable when the package has not the form of one."""
    report = Report()
    raw, note = read_part(source, MANIFEST, MOST_MANIFEST_BYTES), read_part(source, SIGNATURE, MOST_NOTE_BYTES)
    manifest = parse_json(raw)
    if take(manifest, "format", str) != FORMAT:
        raise Unreadable(f"it is of the format '{manifest['format']}', which this program does not know")
    key = Key(take(manifest, "ledger_key", str))
    say(f"Court package {take(manifest, 'package', str)}, made {shown_time(take(manifest, 'made_at', str))}")
    made_by, recipient, reason = (take(manifest, name, str) for name in ("made_by", "recipient", "reason"))
    say(f"by {made_by} for {recipient}. Reason: {reason}")
    check_key(report, key, given.key)
    check_signature(report, key, manifest, raw, note.decode("utf-8", "replace"))
    here = check_checkpoint(report, key, manifest)
    proofs = [parse_json(read_small(Path(path)).encode()) for path in given.proof]
    if not all(isinstance(proof, dict) for proof in proofs):
        raise Unreadable("what --proof names is no proof")
    for kept in given.checkpoint if here is not None else []:
        check_kept(report, key, manifest, here, kept, proofs)  # type: ignore[arg-type]
    good = check_files(report, source, manifest)
    exhibits = take(manifest, "exhibits", list)
    for exhibit in exhibits:
        check_exhibit(report, manifest, exhibit, good, here)
    others = {path for path in good if path.startswith("exhibits/")} - {take(one, "path", str) for one in exhibits}
    for path in sorted(others):
        report.fault(f"'{path}' lies among the exhibits and is none.")
    return tell(report)


def read_part(source: Any, name: str, most: int) -> bytes:
    """Return a part without which nothing can be checked. Raises Unreadable."""
    try:
        with source.open(name) as file:
            raw = b"".join(_up_to(file, most + 1))
    except (KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError):
        raise Unreadable(f"it has no {name} that can be read") from None
    if len(raw) > most:
        raise Unreadable(f"its {name} is too long")
    return raw


def _up_to(file: BinaryIO, most: int) -> Iterator[bytes]:
    while most > 0 and (piece := file.read(min(most, PIECE_BYTES))):
        most -= len(piece)
        yield piece


def tell(report: Report) -> int:
    """Say what it all comes to; return the exit code."""
    if report.wrong:
        say(f"RESULT: {report.wrong} THINGS DO NOT HOLD (marked WRONG above). Do not rely on this package.", apart=True)
        return WRONG
    if not report.key_compared:
        say("RESULT: everything fits together, BUT IT IS NOT SHOWN WHO MADE IT: run this again with --key.", apart=True)
        return KEY_NOT_COMPARED
    say("RESULT: EVERYTHING HOLDS. The files are those that the store received, and the lines about them", apart=True)
    say("are those of its ledger, provided that the fingerprint came to you another way than with this package.")
    say("Not shown by this: what happened to a file before it was received; that no further lines speak of it.")
    return HOLDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    words = (__doc__ or "").split("\n\n")
    parser = argparse.ArgumentParser(description=words[0], epilog="\n\n".join(words[2:]),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("package", nargs="?", help="zip file or folder; default: where this program lies")
    parser.add_argument("--key", help="fingerprint of the ledger's key, or the key, or a file with it")
    parser.add_argument("--checkpoint", action="append", default=[], help="file with a checkpoint kept elsewhere")
    parser.add_argument("--proof", action="append", default=[], help="file with a consistency proof from the store")
    given = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    place = Path(given.package) if given.package else Path(__file__).resolve().parent
    try:
        if given.key is not None:
            read_given_key(given.key)
        if not place.exists():
            raise Unreadable(f"{place} does not exist")
        return verify(Folder(place) if place.is_dir() else Zip(place), given)
    except (Unreadable, RecursionError, MemoryError) as problem:
        say(f"RESULT: NOTHING IS SHOWN. This could not be checked: {problem}.", apart=True)
        return NOTHING_CHECKED


if __name__ == "__main__":
    sys.exit(main())
