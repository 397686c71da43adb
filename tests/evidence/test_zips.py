"""The zip layout of packages, read back by other programs, beyond 4 GiB and 65,535 files too."""

import subprocess
import zipfile
import zlib
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.court.zips import Member, Zip, measure

AT = datetime(2026, 6, 30, 9, 30, 58, tzinfo=UTC)


def whole(files: dict[str, bytes]) -> bytes:
    layout, made = Zip(AT), bytearray()
    for name, data in files.items():
        made += layout.begin(Member(name, len(data)), zlib.crc32(data)) + data
    return bytes(made + layout.end())


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9.]{1,8}[a-z])?", fullmatch=True), st.binary(), max_size=6))
def test_another_program_reads_back_what_was_put_in(files):
    data = whole(files)
    assert len(data) == measure([Member(name, len(content)) for name, content in files.items()])
    with zipfile.ZipFile(BytesIO(data)) as file:
        assert file.testzip() is None
        assert {one.filename: file.read(one) for one in file.infolist()} == files
        assert all(one.date_time == (2026, 6, 30, 9, 30, 58) for one in file.infolist())
    assert whole(files) == data


def test_files_beyond_4_gib_and_behind_them_are_found_by_other_programs(tmp_path: Path):
    """The large contents are holes in a sparse file; only their places and lengths are looked at."""
    members = [
        Member("a", 3), Member("b", 0xFFFFFFFE), Member("c", 0xFFFFFFFF), Member("d", 20_000_000_000), Member("e", 3)
    ]  # fmt: skip
    layout, at, path = Zip(AT), 0, tmp_path / "large.zip"
    with path.open("wb") as file:
        for member in members:
            begun = layout.begin(member, zlib.crc32(b"abc") if member.size_bytes == 3 else 0)
            file.seek(at)
            file.write(begun + b"abc" if member.size_bytes == 3 else begun)
            at += len(begun) + member.size_bytes
        file.seek(at)
        file.write(layout.end())
    assert path.stat().st_size == measure(members)
    with zipfile.ZipFile(path) as read:
        assert [(one.filename, one.file_size) for one in read.infolist()] == [(m.name, m.size_bytes) for m in members]
        assert (read.read("a"), read.read("e")) == (b"abc", b"abc")
    listed = subprocess.run(["unzip", "-l", str(path)], capture_output=True, text=True, check=True).stdout
    assert "20000000000" in listed
    kept = subprocess.run(["unzip", "-p", str(path), "e"], capture_output=True, check=True)
    assert (kept.stdout, kept.stderr) == (b"abc", b"")


def test_more_files_than_a_plain_zip_file_can_count_are_found():
    names = [f"{n}" for n in range(0x10000)]
    with zipfile.ZipFile(BytesIO(whole(dict.fromkeys(names, b"")))) as file:
        assert file.namelist() == names
