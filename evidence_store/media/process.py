"""The other side of `worker.py`: start it, feed it, believe nothing it says, end it.

The process gets no environment, no working folder of ours, no descriptor but two pipes. Its time runs out by the
processor's clock (a limit it set itself) and by the wall's (ours).
"""

import asyncio
import contextlib
import json
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from evidence_store.media.model import NoPreview, Preview, Problem, Task
from evidence_store.media.schemas import Facts

Read = Callable[[int, int], Awaitable[bytes]]
"""Returns plaintext from an offset up to another, all of it."""

LOOK_SECONDS = 45.0
PLAY_SECONDS = 120.0
_MOST_ASKED_BYTES = 1 << 20
_MOST_ASKED = 2048
"""How often it may ask, 2 GiB in all: each time a segment is opened, however little of it is wanted."""
_MOST_SAID_BYTES = {b"F": 8_000, b"P": 4_000_000, b"V": 16_000_000, b"E": 20, b"X": 200, b"D": 2}
_COMMAND = ("-I", "-B", "-m", "evidence_store.media.worker")


class NotConfined(Exception):
    """The process could not be confined on this machine, so nothing was opened. Its words say why."""


@dataclass
class Outcome:
    """What came of one task; `problem` says why there is no preview."""

    facts: Facts | None = None
    preview: Preview | None = None
    problem: Problem | None = None
    percent: int = 0
    """How much is done while it is being made."""


async def examine(task: Task, media_type: str, size_bytes: int, read: Read, outcome: Outcome | None = None) -> Outcome:
    """Have one file opened in a process of its own. Raises NotConfined, and whatever `read` raises.

    outcome     is filled while the process works, for whoever looks on
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, *_COMMAND, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env={}, cwd="/", start_new_session=True,
    )  # fmt: skip
    outcome = outcome or Outcome()
    try:
        async with asyncio.timeout(LOOK_SECONDS if task is Task.LOOK else PLAY_SECONDS):
            asked = {"task": task.value, "media_type": media_type, "size_bytes": size_bytes}
            await _Talk(process, size_bytes, read).hold(asked, outcome)
            if await process.wait() != 0:
                outcome.problem = Problem.CRASHED
    except TimeoutError:
        outcome.problem = Problem.SLOW
    except (ConnectionError, asyncio.IncompleteReadError, _Strange):
        outcome.problem = Problem.CRASHED
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if outcome.preview is None and outcome.problem is None and task is Task.PLAY:
        outcome.problem = Problem.CRASHED
    return outcome


class _Strange(Exception):
    """The process says what it must not: it is not ours any more."""


class _Talk:
    def __init__(self, process: asyncio.subprocess.Process, size_bytes: int, read: Read) -> None:
        assert process.stdin is not None, "made with pipes"
        assert process.stdout is not None, "made with pipes"
        self._told, self._says, self._size_bytes, self._read = process.stdin, process.stdout, size_bytes, read
        self._heard: set[bytes] = set()

    async def hold(self, asked: Mapping[str, object], outcome: Outcome) -> None:
        """Answer what it asks for until it has said everything."""
        self._told.write(json.dumps(asked).encode() + b"\n")
        asked_for = 0
        while what := await self._says.read(1):
            if what == b"R":
                asked_for += 1
                if asked_for > _MOST_ASKED:
                    raise _Strange
                await self._give()
            else:
                self._take(what, await self._content(what), outcome)

    async def _give(self) -> None:
        offset, length = struct.unpack(">QI", await self._says.readexactly(12))
        if not 0 < length <= _MOST_ASKED_BYTES or offset + length > self._size_bytes:
            raise _Strange
        self._told.write(await self._read(offset, offset + length))
        await self._told.drain()

    async def _content(self, what: bytes) -> bytes:
        (length,) = struct.unpack(">I", await self._says.readexactly(4))
        if length > _MOST_SAID_BYTES.get(what, -1) or what in self._heard - {b"D"}:  # each once, but how far it is
            raise _Strange
        self._heard.add(what)
        return await self._says.readexactly(length)

    def _take(self, what: bytes, content: bytes, outcome: Outcome) -> None:
        if what == b"X":
            raise NotConfined(content.decode("ascii", "replace"))
        try:
            if what == b"F":
                outcome.facts = Facts.model_validate_json(content)
            elif what == b"D":
                if not outcome.percent < (percent := int(content)):
                    raise _Strange
                outcome.percent = percent
            elif what == b"E":
                outcome.problem = Problem(content.decode())
            else:
                outcome.preview = Preview("image/jpeg" if what == b"P" else "video/mp4", content)
        except (ValidationError, ValueError):
            raise _Strange from None


async def is_confined() -> str | None:
    """Say why nothing can be opened safely on this machine; None when all is well. For `doctor` and the start."""

    async def nothing(_start: int, _stop: int) -> bytes:
        return b""

    try:
        outcome = await examine(Task.LOOK, "text/plain", 0, nothing)
    except NotConfined as problem:
        return str(problem)
    return None if outcome.problem is Problem.KIND else "the confined process does not start"


def raise_for(outcome: Outcome) -> Preview:
    """Return the preview. Raises NoPreview."""
    if outcome.preview is None:
        raise NoPreview(outcome.problem or Problem.KIND)
    return outcome.preview
