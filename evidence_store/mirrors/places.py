"""Where checkpoints are kept outside the store: a folder, or a URL that takes PUT and gives the newest back by GET.

    <place>/<size, 19 digits>.checkpoint     one for each checkpoint that was sent; never written over
    <place>/latest.checkpoint                at a URL only, which cannot be listed: the newest, written over

Neither is trusted: what comes back counts for what its signature is worth, and answers are bounded.
"""

import asyncio
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import aiohttp
from yarl import URL

from evidence_store.backend import write_whole

T = TypeVar("T")
_TRY_SECONDS = 10
_MAX_NOTE_BYTES = 100_000
_MOST_READ = 10_000
_LATEST = "latest.checkpoint"
_NAME = re.compile(r"[0-9]{19}\.checkpoint")


class MirrorFailed(Exception):
    """A place could not be asked, or did not take what it was sent; the message says why, without secrets."""


class Mirror(Protocol):
    """One place. `where` says in words where it is, without a password."""

    where: str

    async def newest(self) -> str | None:
        """Return the newest checkpoint kept there, None when there is none. Raises MirrorFailed."""

    async def all(self) -> list[str]:
        """Return every checkpoint that can be had back, at most the newest ten thousand. Raises MirrorFailed."""

    async def put(self, size: int, note: str) -> None:
        """Keep a checkpoint there; once more the same is fine. Raises MirrorFailed."""


def open_mirror(place: str) -> Mirror:
    """Return the mirror for one entry of EVIDENCE_MIRRORS."""
    return FolderMirror(Path(place)) if place.startswith("/") else UrlMirror(URL(place))


def _name_for(size: int) -> str:
    return f"{size:019}.checkpoint"


class FolderMirror:
    """A folder, best on another machine or on storage that can be written only once."""

    def __init__(self, folder: Path) -> None:
        self.where, self._folder = f"in the folder {folder}", folder

    async def newest(self) -> str | None:
        """See Mirror."""
        found = await self._do(lambda: self._read(self._names()[-1:]))
        return found[0] if found else None

    async def all(self) -> list[str]:
        """See Mirror."""
        return await self._do(lambda: self._read(self._names()[-_MOST_READ:]))

    async def put(self, size: int, note: str) -> None:
        """See Mirror."""

        def write() -> None:
            path = self._folder / _name_for(size)
            if not path.exists():
                write_whole(path, note.encode())

        await self._do(write)

    def _names(self) -> list[str]:
        return sorted(entry.name for entry in self._folder.iterdir() if _NAME.fullmatch(entry.name))

    def _read(self, names: list[str]) -> list[str]:
        found = []
        for name in names:
            with (self._folder / name).open("rb") as file:
                found.append(file.read(_MAX_NOTE_BYTES).decode("utf-8", "replace"))
        return found

    async def _do(self, work: Callable[[], T]) -> T:
        """Do file work in a thread of its own: a share that hangs must hold up nothing, not even the end."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                found = work()
            except OSError as problem:
                told = MirrorFailed(f"the folder cannot be used ({problem.strerror})")
                _tell(loop, done, lambda: done.set_exception(told))
            else:
                _tell(loop, done, lambda: done.set_result(found))

        threading.Thread(target=run, name="mirror", daemon=True).start()
        try:
            return await asyncio.wait_for(done, _TRY_SECONDS)
        except TimeoutError:
            raise MirrorFailed("the folder does not answer") from None


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], act: Callable[[], None]) -> None:
    """Hand a result to the loop, unless nobody waits any more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: None if done.done() else act())


async def _read_note(stream: aiohttp.StreamReader) -> bytes:
    """Return the whole body, or as much as a note may have: one read gives no more than has arrived."""
    note = b""
    while len(note) < _MAX_NOTE_BYTES and (piece := await stream.read(_MAX_NOTE_BYTES - len(note))):
        note += piece
    return note


class UrlMirror:
    """A URL of the operator's own choosing; redirects are not followed. A name and password in it are sent as Basic."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self.where = f"at {url.with_user(None)}"

    async def newest(self) -> str | None:
        """See Mirror."""
        try:
            async with self._session() as web, web.get(self._url / _LATEST, allow_redirects=False) as answer:
                if answer.status in {404, 410}:
                    return None
                if answer.status != 200:
                    raise MirrorFailed(f"it answers {answer.status}")
                return (await _read_note(answer.content)).decode("utf-8", "replace")
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            raise MirrorFailed(f"it does not answer ({type(problem).__name__})") from None

    async def all(self) -> list[str]:
        """See Mirror."""
        found = await self.newest()
        return [] if found is None else [found]

    async def put(self, size: int, note: str) -> None:
        """See Mirror."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        try:
            async with self._session() as web:
                for name in (_name_for(size), _LATEST):
                    async with web.put(
                        self._url / name, data=note.encode(), headers=headers, allow_redirects=False
                    ) as answer:
                        if not 200 <= answer.status < 300:
                            raise MirrorFailed(f"it answers {answer.status} when it is sent a checkpoint")
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            raise MirrorFailed(f"it does not answer ({type(problem).__name__})") from None

    def _session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=_TRY_SECONDS)
        return aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
