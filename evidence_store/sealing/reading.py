"""Opening sealed objects, whole or in part. Nothing that is not authenticated leaves here.

Before the first byte is given out the header (object and key), the length of the file, and the final segment are
checked; so a cut or lengthened file is refused even when only its middle is asked for.
"""

from collections.abc import Iterator
from types import TracebackType

from evidence_store.backend import Backend
from evidence_store.errors import Damaged
from evidence_store.sealing import floe
from evidence_store.sealing.incoming import object_aad
from evidence_store.sealing.signing import new_sha256
from evidence_store.sealing.wrapping import Opener

_PLAIN = floe.DEFAULT.plain_bytes
_SEGMENT = floe.SEGMENT_BYTES


class SealedObject:
    """One sealed object, open for reading; close it, or use it as a context. Blocking."""

    def __init__(self, backend: Backend, object_id: str, opening: Opener, *, size_bytes: int) -> None:
        """Open and check; `size_bytes` is what the database says. Raises Damaged, BackendFailed."""
        self.size_bytes = size_bytes
        try:
            self._file = backend.open(object_id)
        except OSError as problem:
            raise Damaged(f"object {object_id}: its file cannot be opened ({problem.strerror})") from None
        try:
            key = opening.unwrap(object_id, "sealed", backend.read_key(object_id))
            header = self._file.read_at(0, floe.HEADER_BYTES)
            self._cipher = floe.start_decryption(key, object_aad(object_id), header)
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
        final = position == self._shape.segments - 1
        segment = self._file.read_at(floe.HEADER_BYTES + position * _SEGMENT, _SEGMENT)
        return self._cipher.decrypt_segment(segment, position=position, final=final)

    def read(self, start: int, stop: int) -> bytes:
        """Return plaintext from `start` up to `stop`, at most to the end of the segment that holds `start`."""
        position = start // _PLAIN
        first = position * _PLAIN
        try:
            final = position == self._shape.segments - 1
            plaintext = self._final if final else self._open_segment(position)
        except floe.Forged as problem:
            raise Damaged(f"object {self._object_id}: {problem}") from None
        return plaintext[start - first : stop - first]

    def sha256_hex(self) -> str:
        """Read everything and return the SHA-256 of the plaintext."""
        digest = new_sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

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
