"""How far a long task is, on standard error: a line with a bar, written over, on a terminal; else one now and then."""

import sys
from typing import TextIO

from evidence_store import clock
from evidence_store.plural import counted

_EVERY_SECONDS = 0.2
_EVERY_SECONDS_IN_A_FILE = 30.0
_BAR = 20
_SOON_SECONDS = 3.0
_MINUTE, _HOUR = 60, 3600


class Progress:
    """Call it with what is looked at, how much is done and how much there is; it speaks as often as is kind."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out, self._said_at, self._wide = out, clock.monotonic(), 0
        self._pause = _EVERY_SECONDS if out.isatty() else _EVERY_SECONDS_IN_A_FILE
        self._what, self._began_at, self._first = "", self._said_at, 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note; `what` is words of which more are said with an s, such as "ledger lines"."""
        now, ended = clock.monotonic(), done >= total and self._wide > 0
        if what != self._what:
            self._what, self._began_at, self._first = what, now, done
        if not ended and now - self._said_at < self._pause:
            return
        self._said_at = now
        line = f"{done:,} of {counted(total, what.removesuffix('s'))} ({100 * done // max(1, total)} %)"
        line += _left(now - self._began_at, done - self._first, total - done)
        if self._out.isatty():
            line = f"{_bar(done, total)} {line}"
            self._out.write(f"\r{line.ljust(self._wide)}")
            self._wide = len(line)
            if ended:
                self._out.write("\n")
                self._wide = 0
        else:
            self._out.write(f"{line}\n")
        self._out.flush()


def _bar(done: int, total: int) -> str:
    filled = min(_BAR, _BAR * done // max(1, total))
    return f"[{'#' * filled}{'.' * (_BAR - filled)}]"  # what every terminal can show


def _left(seconds: float, done: int, missing: int) -> str:
    """Return how long it will take yet, at the speed so far; nothing while that is a guess."""
    if seconds < _SOON_SECONDS or done < 1 or missing < 1:
        return ""
    left = seconds / done * missing
    if left < _MINUTE:
        return ", less than a minute left"
    return f", about {left / _MINUTE:.0f} min left" if left < _HOUR else f", about {left / _HOUR:.1f} h left"
