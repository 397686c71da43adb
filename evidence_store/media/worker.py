"""The confined process: opens one stranger's file, says what it found, ends.

    python -I -m evidence_store.media.worker

It is started with no environment and nothing open but its two pipes, and before it is told anything it gives up
what could harm: memory, processor time and files are bounded, then the filter of `seccomp.py` is put on. It never
holds a key; plaintext reaches it piece by piece through the pipe, and nothing is ever on disk. What it says is as
untrusted as the file.

    in    one line of JSON: task, media_type, size_bytes; then the bytes it asked for
    out   "R" offset (8 bytes) length (4): asks for that many bytes   "F" length (4) JSON: facts
          "P" length (4) bytes: a picture      "V" length (4) bytes: something to play
          "E" length (4) words: the code of a `Problem`               "X" likewise: it could not be confined
          "D" length (4) digits: how many percent are done, each time more than before
"""

import gc
import json
import os
import resource
import struct
import sys
from typing import Any, BinaryIO

from evidence_store.media import exif, films, papers, pictures, seccomp
from evidence_store.media.model import FILMS, PAPERS, PICTURES, SOUNDS, NoPreview, Problem, Task, plain_type

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 60
_BLOCK_BYTES = 1 << 20
_BLOCKS_KEPT = 8


def main() -> None:
    """Do one task and end."""
    told, says = os.fdopen(0, "rb", buffering=0), os.fdopen(1, "wb", buffering=0)
    try:
        shut_in()
    except seccomp.CannotConfine as problem:
        _say(says, b"X", str(problem).encode())
        return
    asked = json.loads(_line(told))
    source = Source(told, says, int(asked["size_bytes"]))
    try:
        _do(Task(asked["task"]), plain_type(asked["media_type"]), source, says)
    except NoPreview as found:
        _say(says, b"E", found.problem.encode())
    except MemoryError:
        _say(says, b"E", Problem.CRASHED.encode())
    except Exception:  # noqa: BLE001 — a broken file breaks decoders in every way there is
        _say(says, b"E", Problem.BROKEN.encode())


def shut_in() -> None:
    """Give up, for good, what this process will not need. Raises CannotConfine."""
    seccomp.die_with_parent()
    os.nice(10)  # receiving comes first
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    seccomp.confine()


def _do(task: Task, media_type: str, source: "Source", says: BinaryIO) -> None:
    if task is Task.PLAY:
        if media_type not in FILMS | SOUNDS:
            raise NoPreview(Problem.KIND)
        _say(says, b"V", films.play(source, sound_only=media_type in SOUNDS, told=_Progress(says)))
        return
    if media_type in PICTURES:
        with pictures.opened(source) as picture:
            _say(says, b"F", _json(exif.facts_of_picture(picture)))
            gc.collect()
            _say(says, b"P", pictures.preview(picture))
    elif media_type in FILMS | SOUNDS:
        film = films.look(source)
        _say(says, b"F", _json(film.facts))
        if film.picture is not None:
            _say(says, b"P", film.picture)
    elif media_type in PAPERS:
        _say(says, b"P", papers.first_page(source))
    else:
        raise NoPreview(Problem.KIND)


class _Progress:
    """Says how far it is, once for each percent; the last of them is the preview itself."""

    def __init__(self, says: BinaryIO) -> None:
        self._says, self._percent = says, 0

    def __call__(self, share: float) -> None:
        percent = min(99, int(share * 100))
        if percent > self._percent:
            self._percent = percent
            _say(self._says, b"D", str(percent).encode())


def _json(facts: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in facts.items() if value is not None}).encode()


def _say(says: BinaryIO, what: bytes, content: bytes) -> None:
    message = what + struct.pack(">I", len(content)) + content
    sent = 0
    while sent < len(message):
        sent += says.write(message[sent:]) or 0


def _line(told: BinaryIO) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = told.read(1)
        if not piece:
            sys.exit(0)
        line += piece
    return line


class Source:
    """The file, read through the pipe; seekable, keeping the blocks used last. Has what decoders ask of a file."""

    def __init__(self, told: BinaryIO, says: BinaryIO, size_bytes: int) -> None:
        self._told, self._says, self.size_bytes = told, says, size_bytes
        self._at = 0
        self._blocks: dict[int, bytes] = {}

    def read(self, count: int = -1) -> bytes:
        """Return bytes from where it stands, fewer only at the end."""
        stop = self.size_bytes if count is None or count < 0 else min(self._at + count, self.size_bytes)
        parts = []
        while self._at < stop:
            number, within = divmod(self._at, _BLOCK_BYTES)
            part = self._block(number)[within : within + stop - self._at]
            parts.append(part)
            self._at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go elsewhere."""
        base = (0, self._at, self.size_bytes)[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Say where it stands."""
        return self._at

    def seekable(self) -> bool:
        """Say that one may go back."""
        return True

    def _block(self, number: int) -> bytes:
        block = self._blocks.pop(number, None)
        if block is None:
            start = number * _BLOCK_BYTES
            block = self._ask(start, min(_BLOCK_BYTES, self.size_bytes - start))
            while len(self._blocks) >= _BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = block
        return block

    def _ask(self, offset: int, length: int) -> bytes:
        self._says.write(b"R" + struct.pack(">QI", offset, length))
        parts, missing = [], length
        while missing:
            part = self._told.read(missing)
            if not part:
                sys.exit(0)  # nobody waits for the answer any more
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


if __name__ == "__main__":
    main()
