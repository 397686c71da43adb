"""The layout of a zip file whose members are stored as they are (PKWARE's APPNOTE 6.3, with ZIP64 where it is needed).

Pure. Every length and CRC stands in front of the bytes it speaks of, so that any program can unpack it, also while it
is still arriving, and its whole length is known before its first byte is made. The same members give the same bytes.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

_LIMIT = 0xFFFFFFFF
_MANY = 0xFFFF
_UNIX_3_0 = 3 << 8 | 45
_PLAIN_FILE = 0o100600 << 16
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END_64, _LOCATOR_64 = b"PK\x06\x06", b"PK\x06\x07"


@dataclass(frozen=True)
class Member:
    """One file in a zip file. `name` is ASCII with forward slashes."""

    name: str
    size_bytes: int


class Zip:
    """Gives the bytes between the contents, in order: `begin` in front of each member's, `end` behind the last."""

    def __init__(self, made_at: datetime) -> None:
        at = made_at.astimezone(UTC)
        self._time = at.hour << 11 | at.minute << 5 | at.second // 2
        self._date = (at.year - 1980) << 9 | at.month << 5 | at.day
        self._offset, self._central = 0, bytearray()
        self._count = 0

    def begin(self, member: Member, crc: int) -> bytes:
        """Return what stands in front of a member's contents."""
        name, size = member.name.encode("ascii"), member.size_bytes
        big = struct.pack("<HHQQ", 1, 16, size, size) if size >= _LIMIT else b""
        shown = min(size, _LIMIT)
        version = 45 if big else 20
        about = struct.pack(
            "<HHHHHIIIHH", version, 0, 0, self._time, self._date, crc, shown, shown, len(name), len(big)
        )
        self._remember(name, about, size)
        header = _LOCAL + about + name + big
        self._offset += len(header) + size
        self._count += 1
        return header

    def _remember(self, name: bytes, about: bytes, size: int) -> None:
        wide = [value for value in (size, size, self._offset) if value >= _LIMIT]
        extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        version = struct.pack("<HH", _UNIX_3_0, 45 if wide else 20)
        lengths = struct.pack("<HHHHHII", len(name), len(extra), 0, 0, 0, _PLAIN_FILE, min(self._offset, _LIMIT))
        self._central += _CENTRAL + version + about[2:-4] + lengths + name + extra

    def end(self) -> bytes:
        """Return what stands behind the last member's contents."""
        size, start, count = len(self._central), self._offset, self._count
        far = b""
        if start >= _LIMIT or size >= _LIMIT or count >= _MANY:
            far = _END_64 + struct.pack("<QHHIIQQQQ", 44, _UNIX_3_0, 45, 0, 0, count, count, size, start)
            far += _LOCATOR_64 + struct.pack("<IQI", 0, start + size, 1)
        shown = (min(count, _MANY), min(count, _MANY), min(size, _LIMIT), min(start, _LIMIT))
        return bytes(self._central) + far + _END + struct.pack("<HHHHIIH", 0, 0, *shown, 0)


def measure(members: Iterable[Member]) -> int:
    """Return how long the zip file of these members is."""
    layout, total = Zip(datetime(1980, 1, 1, tzinfo=UTC)), 0
    for member in members:
        total += len(layout.begin(member, 0)) + member.size_bytes
    return total + len(layout.end())
