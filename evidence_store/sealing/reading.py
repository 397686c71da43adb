"""Opening sealed objects, whole or in part. Nothing that is not authenticated leaves here.

Before the first byte is given out the header (object and key), the length of the file, and the final segment are
checked; so a cut or lengthened file is refused even when only its middle is asked for.
"""

from collections.abc import Iterator
from types import TracebackType

from evidence_store.backend import Backend
from evidence_store.errors import Damaged
from evidence_store.sealing import floe, signing
from evidence_store.sealing.buffers import SEGMENTS
from evidence_store.sealing.incoming import object_aad
from evidence_store.sealing.wrapping import Opener

_PLAIN = floe.DEFAULT.plain_bytes
_SEGMENT = floe.SEGMENT_BYTES


class SealedObject:
    """One sealed object, open for reading; close it, or use it as a context. Blocking."""

    def __init__(
        self, backend: Backend, object_id: str, opening: Opener, *, size_bytes: int, header_sha256: str = ""
    ) -> None:
        """Open and check. Raises Damaged, BackendFailed.

        size_bytes, header_sha256   what the database says; empty: it does not know the header, which is told here
        """
        self.size_bytes = size_bytes
        try:
            self._file = backend.open(object_id)
        except OSError as problem:
            raise Damaged(f"object {object_id}: its file cannot be opened ({problem.strerror})") from None
        try:
            key = opening.unwrap(object_id, "sealed", backend.read_key(object_id))
            header = self._file.read_at(0, floe.HEADER_BYTES)
            self._cipher = floe.start_decryption(key, object_aad(object_id), header)
            self.header_sha256 = signing.sha256_hex(header)
            if header_sha256 and not signing.same(self.header_sha256, header_sha256):
                raise floe.Forged("the file was sealed anew by somebody else")
            self._shape = floe.shape_of(self._file.size_bytes)
            if self._shape.plain_bytes != size_bytes:
                raise floe.Forged("the file does not have the recorded length")
            self._final = self._open_segment(self._shape.segments - 1)
        except (floe.Forged, OSError) as problem:
            self.close()
            raise Damaged(f"object {object_id}: {problem}") from None
        except BaseException:
            self.close()
            raise
        self._object_id = object_id

    def _open_segment(self, position: int) -> bytes:
        out = bytearray(_PLAIN)
        return bytes(memoryview(out)[: self._open_segment_into(out, position)])

    def _open_segment_into(self, out: bytearray, position: int) -> int:
        sealed = SEGMENTS.borrow()
        try:
            size = self._file.read_into(sealed, floe.HEADER_BYTES + position * _SEGMENT)
            final = position == self._shape.segments - 1
            return self._cipher.decrypt_segment_into(memoryview(sealed)[:size], out, position=position, final=final)
        finally:
            SEGMENTS.give_back(sealed)

    def read(self, start: int, stop: int) -> bytes:
        """Return plaintext from `start` up to `stop`, at most to the end of the segment that holds `start`."""
        return bytes(self.read_into(bytearray(_PLAIN), start, stop))

    def read_into(self, out: bytearray, start: int, stop: int) -> memoryview:
        """Open the segment that holds `start` in `out` (a segment long) and return the part of it up to `stop`.

        Raises Damaged; what `out` holds then is not authentic.
        """
        position = start // _PLAIN
        first = position * _PLAIN
        try:
            if position == self._shape.segments - 1:
                size = len(self._final)
                out[:size] = self._final
            else:
                size = self._open_segment_into(out, position)
        except floe.Forged as problem:
            raise Damaged(f"object {self._object_id}: {problem}") from None
        return memoryview(out)[start - first : min(size, stop - first)]

    def pieces(self) -> Iterator[bytes]:
        """Yield the whole plaintext, segment by segment."""
        at = 0
        while at < self.size_bytes:
            piece = self.read(at, self.size_bytes)
            yield piece
            at += len(piece)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "SealedObject":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
