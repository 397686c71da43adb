"""Child processes of `serve`: started with a pipe they watch, brought back when they die, ended with us."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress

from video_server.core.clock import monotonic
from video_server.core.log import get_logger

log = get_logger(__name__)

STOP_SECONDS = 5.0
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 10.0
_STEADY_SECONDS = 30.0
"""A child that lived so long before it died is brought back at once again."""


class Child:
    """One part of the server as a process of its own.

    It is in a session of its own, so that Ctrl+C in a terminal reaches only the parent, which then ends all in order;
    its standard input is a pipe that closes when the parent dies, however that happens. It imports what it needs at
    once, and begins its work when a line arrives on that pipe (`go`).
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
        program: Sequence[str] | None = None,
    ) -> None:
        """Describe the part `name`: the `video-server` command of its first word, or the Python module `program`."""
        self.name = name
        self.failed_early = asyncio.Event()
        self._command = (sys.executable, "-m", *(program or ("video_server", name.split()[0])), *arguments)
        self._environment = environment
        self._descriptors = tuple(descriptors)
        self._may_go = asyncio.Event()
        self._stopping = asyncio.Event()
        self._settled = False
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it, and from now on bring it back when it dies."""
        self._keeper = asyncio.create_task(self._keep(), name=f"keep-{self.name}")

    def go(self) -> None:
        """Let it begin its work, now and whenever it is brought back."""
        self._may_go.set()

    def settle(self) -> None:
        """The start is over: from now on a death is mended, not reported."""
        self._settled = True

    async def stop(self) -> None:
        """End it and wait for its end: by its pipe and SIGTERM, by SIGKILL when it does not go.

        The keeper is told, not cancelled: asyncio hangs when the making of a process is cancelled half-way.
        """
        self._stopping.set()
        if self._keeper is not None:
            await self._keeper

    async def _keep(self) -> None:
        wait_seconds = _FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            started = monotonic()
            code = await self._run_once()
            if self._stopping.is_set():
                return
            if not self._settled:
                self.failed_early.set()
                return
            if monotonic() - started > _STEADY_SECONDS:
                wait_seconds = _FIRST_WAIT_SECONDS
            log.error("child_died", part=self.name, code=code, back_in_seconds=wait_seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_seconds)
            wait_seconds = min(wait_seconds * 2, _LONGEST_WAIT_SECONDS)

    async def _run_once(self) -> int | str:
        """Start the process and see it to its end; return its code, or why it could not start."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                env=self._environment,
                pass_fds=self._descriptors,
                start_new_session=True,
            )
        except OSError as problem:
            return str(problem.strerror)
        log.debug("child_started", part=self.name, pid=process.pid)
        ended = asyncio.create_task(process.wait(), name=f"end-{self.name}")
        if await self._is_first(self._may_go, ended) and process.stdin is not None:
            process.stdin.write(b"go\n")
        if await self._is_first(self._stopping, ended):
            await self._end(process)
        return await ended

    async def _is_first(self, event: asyncio.Event, ended: asyncio.Task[int]) -> bool:
        """Wait for an event, the stop or the child's end; say whether it was the event and the child lives."""
        waiting = [asyncio.create_task(each.wait()) for each in {event, self._stopping}]
        try:
            await asyncio.wait([*waiting, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        return event.is_set() and not ended.done()

    async def _end(self, process: Process) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            log.error("child_killed", part=self.name)
            with suppress(ProcessLookupError):
                process.kill()
