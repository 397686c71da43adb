"""Bytes on their way in: hashed, sealed and appended as they come, in constant memory.

Whole segments go straight into the file that becomes the object. What has been received behind the last whole segment
is kept, each time it is acknowledged, in a tail: a small FLOE file of its own, bound to the object and the offset.
So nothing acknowledged is ever unauthenticated on disk, and no position of the object is sealed twice with
what is kept.

Bytes may also be taken on trial (`trial.py`): then nothing of them counts before they are kept.

After a restart the file is read again from its beginning: each segment is opened and hashed, and hash and cipher go on
where it ends. A segment torn by the crash is cut off; losing anything that was acknowledged raises Damaged.

Blocking: used from one worker thread at a time.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from evidence_store.backend import DATA, begin_writing_back, flush_folder, write_all, write_whole
from evidence_store.errors import Damaged
from evidence_store.sealing import floe, trial
from evidence_store.sealing.buffers import SEGMENTS
from evidence_store.sealing.pending import Pending
from evidence_store.sealing.signing import new_sha256

SNIFF_BYTES = 512
"""How much of the beginning is kept at hand, to tell what kind of file this is."""

_WRITEBACK_BYTES = 8 << 20
_SLOW_TURN = threading.Lock()
"""Slow uploads fill their segments in turn: so many as there are, one of them has whole segments in memory."""
_PLAIN = floe.DEFAULT.plain_bytes
_SEGMENT = floe.SEGMENT_BYTES


def object_aad(object_id: str) -> bytes:
    """What an object's header is bound to."""
    return f"evidence-store/object/v1\n{object_id}".encode()


def _tail_aad(object_id: str, offset: int) -> bytes:
    return f"evidence-store/tail/v1\n{object_id}\n{offset}".encode()


class Incoming:
    """One object on its way in; `offset` is how many plaintext bytes it has taken."""

    def __init__(self, folder: Path, object_id: str, key: bytes, *, descriptor: int, cipher: floe.Cipher) -> None:
        self._folder, self._object_id, self._key = folder, object_id, key
        self._descriptor, self._cipher = descriptor, cipher
        self._turn = threading.RLock()  # so that closing never pulls the file away under a worker
        self._hash = new_sha256()
        self._pending = Pending(folder.parent)
        self._segments = 0
        self._durable = 0
        self._started_bytes = 0
        self._final_bytes = 0
        self._trial: trial.Trial | None = None
        self.head = b""
        self.finished = False

    @classmethod
    def create(cls, folder: Path, object_id: str, key: bytes) -> "Incoming":
        """Begin: the header is written and flushed when this returns."""
        cipher, header = floe.start_encryption(key, object_aad(object_id))
        path = folder / "object" / DATA
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.write(descriptor, header)
        os.fsync(descriptor)
        flush_folder(path.parent)
        return cls(folder, object_id, key, descriptor=descriptor, cipher=cipher)

    @classmethod
    def resume(cls, folder: Path, object_id: str, key: bytes, *, length: int, acknowledged: int) -> "Incoming":
        """Go on after a restart. Raises Damaged when fewer than the `acknowledged` bytes are sound."""
        try:
            descriptor = os.open(folder / "object" / DATA, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise Damaged("the file of an open upload is gone") from None
        try:
            cipher = floe.start_decryption(key, object_aad(object_id), os.pread(descriptor, floe.HEADER_BYTES, 0))
        except floe.Forged as problem:
            os.close(descriptor)
            raise Damaged(f"open upload: {problem}") from None
        self = cls(folder, object_id, key, descriptor=descriptor, cipher=cipher)
        self._read_again(length, trial.read_limit(folder, acknowledged=acknowledged))
        if self.offset < acknowledged:
            self.close()
            raise Damaged(f"open upload: only {self.offset} of {acknowledged} acknowledged bytes are sound")
        return self

    def _read_again(self, length: int, limit: int | None) -> None:
        segments, complete = _count_segments(os.fstat(self._descriptor).st_size, length, limit)
        for position in range(segments):
            try:
                self._note(self._open_segment(position, final=False))
            except floe.Forged:
                complete = False
                break
            self._segments += 1
        if complete:
            try:
                self._note(self._open_segment(self._segments, final=True))
                self.finished, self._final_bytes = True, length - self._segments * _PLAIN
                os.fsync(self._descriptor)
                self._durable = length
                return
            except floe.Forged:
                pass
        self._cut()
        trial.clear_mark(self._folder)
        tail = _read_tail(self._folder, self._object_id, self._key, self._segments)
        self._note(tail)
        self._pending.add(memoryview(tail))
        self._pending.rest()
        self._durable = self.offset

    def _note(self, plaintext: bytes | memoryview) -> None:
        self._hash.update(plaintext)
        if self._trial is not None and self._trial.checksum is not None:
            self._trial.checksum.update(plaintext)
        if len(self.head) < SNIFF_BYTES:
            self.head += bytes(plaintext[: SNIFF_BYTES - len(self.head)])

    def _open_segment(self, position: int, *, final: bool) -> bytes:
        segment = _pread_segment(self._descriptor, position)
        return self._cipher.decrypt_segment(segment, position=position, final=final)

    def _cut(self) -> None:
        end = floe.HEADER_BYTES + self._segments * _SEGMENT
        os.ftruncate(self._descriptor, end)
        os.fsync(self._descriptor)

    @property
    def offset(self) -> int:
        """Plaintext bytes taken so far."""
        return self._segments * _PLAIN + (self._final_bytes if self.finished else self._pending.size)

    def write(
        self, parts: Sequence[bytes | memoryview], *, rests: bool = False, buffer: bytearray | None = None
    ) -> bool:
        """Take bytes. Not durable before `checkpoint()` or `finish()` returns.

        rests    more may be long in coming: hold next to no memory until then
        buffer   a lent one whose beginning the bytes are
        Returns  whether the buffer was kept, to be given back from here
        """
        with self._turn:
            for part in parts:
                self._note(part)
            if not rests:
                return self._add(parts, buffer)
            if not self._pending.put_aside(parts):
                with _SLOW_TURN:
                    self._add(parts)
                    self._pending.rest()
            return False

    def _add(self, parts: Sequence[bytes | memoryview], buffer: bytearray | None = None) -> bool:
        for part in parts:
            view, start = memoryview(part), 0
            while start < len(view):
                if self._pending.size == _PLAIN:  # only now is it certain that this segment is not the final one
                    self._append(final=False)
                if buffer is not None and not start and self._pending.adopt(buffer, len(view)):
                    return True
                start += self._pending.add(view[start:])
        return False

    def _append(self, *, final: bool) -> None:
        out = SEGMENTS.borrow()
        plaintext = self._pending.whole()
        size = self._cipher.encrypt_segment_into(plaintext, out, position=self._segments, final=final)
        at = floe.HEADER_BYTES + self._segments * _SEGMENT
        write_all(self._descriptor, memoryview(out)[:size], at=at)
        SEGMENTS.give_back(out)
        if final:
            return
        self._segments += 1
        self._pending.clear()
        if at - self._started_bytes >= _WRITEBACK_BYTES:
            begin_writing_back(self._descriptor, self._started_bytes, at - self._started_bytes)
            self._started_bytes = at

    def start_trial(self, algorithm: str | None) -> None:
        """Take what follows on trial, perhaps with a checksum running over it; `end_trial` says what becomes of it."""
        with self._turn:
            if self.offset != self._durable:
                self.checkpoint()
            trial.write_mark(self._folder, self.offset)
            checksum = trial.new_checksum(algorithm) if algorithm is not None else None
            self._trial = trial.Trial(checksum, self._hash.copy(), self._pending.size, self._segments, self.head)

    def end_trial(self, *, whole: bool, expected: bytes) -> bool:
        """Keep what came on trial when it is `whole` and has the checksum, else drop it; say which. Raises Damaged."""
        with self._turn:
            before, self._trial = self._trial, None
            assert before is not None
            kept = whole and before.fits(expected)
            if not kept:
                self._go_back(before)
            trial.clear_mark(self._folder)
            return kept

    def _go_back(self, before: trial.Trial) -> None:
        self._hash, self._segments, self.head = before.hash, before.segments, before.head
        self._started_bytes = min(self._started_bytes, floe.HEADER_BYTES + self._segments * _SEGMENT)
        self._cut()
        tail = _read_tail(self._folder, self._object_id, self._key, self._segments)
        if len(tail) != before.pending_bytes:
            raise Damaged(f"open upload: only {len(tail)} of {before.pending_bytes} bytes of its tail are sound")
        self._pending.clear()
        self._pending.add(memoryview(tail))
        self._pending.rest()

    def checkpoint(self, *, with_tail: bool = True) -> int:
        """Make what was taken durable and return its offset; without the tail, whole segments only."""
        with self._turn:
            offset = self.offset if with_tail else self._segments * _PLAIN
            if with_tail and self._pending.size:
                cipher, header = floe.start_encryption(self._key, _tail_aad(self._object_id, offset))
                sealed = cipher.encrypt_segment(self._pending.whole(), position=0, final=True)
                write_whole(self._folder / f"tail.{offset}", header + sealed)
            os.fdatasync(self._descriptor)
            for path in self._folder.glob("tail.*"):  # only now are older tails covered
                if int(path.suffix[1:]) < offset:
                    path.unlink()
            if with_tail:
                self._durable = offset
                self._pending.rest()
            return offset

    def finish(self) -> str:
        """Seal the final segment, make everything durable and return the SHA-256 of the plaintext as hex."""
        with self._turn:
            if not self.finished:
                final_bytes = self._pending.size
                self._append(final=True)
                self._final_bytes, self.finished = final_bytes, True
                self._pending.close()
                os.fsync(self._descriptor)
            return self._hash.hexdigest()

    def close(self) -> None:
        """Close the file; what was not checkpointed is lost."""
        with self._turn:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
                self._pending.close()


def find_offset(folder: Path, object_id: str, key: bytes, *, length: int, acknowledged: int) -> int:
    """Return the durable offset of an upload that nobody writes, opening only what lies behind `acknowledged`.

    Raises Damaged when the file is gone or its header is not sound.
    """
    try:
        descriptor = os.open(folder / "object" / DATA, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise Damaged("the file of an open upload is gone") from None
    try:
        header = os.pread(descriptor, floe.HEADER_BYTES, 0)
        cipher = floe.start_decryption(key, object_aad(object_id), header)
        limit = trial.read_limit(folder, acknowledged=acknowledged)
        last, complete = _count_segments(os.fstat(descriptor).st_size, length, limit)
        position = min(acknowledged // _PLAIN, last)
        os.fsync(descriptor)
        try:
            while position < last:
                cipher.decrypt_segment(_pread_segment(descriptor, position), position=position, final=False)
                position += 1
            if complete:
                cipher.decrypt_segment(_pread_segment(descriptor, position), position=position, final=True)
                return length
        except floe.Forged:
            pass  # torn by the crash: the upload goes on before it
    except floe.Forged as problem:
        raise Damaged(f"open upload: {problem}") from None
    finally:
        os.close(descriptor)
    return position * _PLAIN + len(_read_tail(folder, object_id, key, position))


def _count_segments(size: int, length: int, limit: int | None) -> tuple[int, bool]:
    """Return how many segments in front of the final one may be in a file, and whether it may be complete.

    limit   what lies behind this offset was on trial and does not count
    """
    if limit is None and size == floe.sealed_size(length):
        return floe.shape_of(size).segments - 1, True
    segments = max(0, size - floe.HEADER_BYTES) // _SEGMENT
    return (segments if limit is None else min(segments, limit // _PLAIN)), False


def _pread_segment(descriptor: int, position: int) -> bytes:
    return os.pread(descriptor, _SEGMENT, floe.HEADER_BYTES + position * _SEGMENT)


def _read_tail(folder: Path, object_id: str, key: bytes, segments: int) -> bytes:
    """Return the longest sound tail behind so many whole segments; empty when there is none."""
    first, last = segments * _PLAIN, (segments + 1) * _PLAIN
    offsets = (int(path.suffix[1:]) for path in folder.glob("tail.*"))
    for offset in sorted((o for o in offsets if first < o <= last), reverse=True):
        sealed = (folder / f"tail.{offset}").read_bytes()
        try:
            cipher = floe.start_decryption(key, _tail_aad(object_id, offset), sealed[: floe.HEADER_BYTES])
            plaintext = cipher.decrypt_segment(sealed[floe.HEADER_BYTES :], position=0, final=True)
        except floe.Forged:
            continue
        if len(plaintext) == offset - first:
            return plaintext
    return b""
