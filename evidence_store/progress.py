"""How far a long task is, on standard error: one line written over on a terminal, now and then a line elsewhere."""

import sys
from typing import TextIO

from evidence_store import clock

_EVERY_SECONDS = 0.2
_EVERY_SECONDS_IN_A_FILE = 30.0


class Progress:
    """Call it with what is looked at, how much is done and how much there is; it speaks as often as is kind."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out, self._said_at, self._wide = out, clock.monotonic(), 0
        self._pause = _EVERY_SECONDS if out.isatty() else _EVERY_SECONDS_IN_A_FILE

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note; `what` is plural words, such as "ledger lines"."""
        ended = done >= total and self._wide > 0
        if not ended and clock.monotonic() - self._said_at < self._pause:
            return
        self._said_at = clock.monotonic()
        line = f"{done:,} of {total:,} {what} ({100 * done // max(1, total)} %)"
        if self._out.isatty():
            self._out.write(f"\r{line.ljust(self._wide)}")
            self._wide = len(line)
            if ended:
                self._out.write("\n")
                self._wide = 0
        else:
            self._out.write(f"{line}\n")
        self._out.flush()
