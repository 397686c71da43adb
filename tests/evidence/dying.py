"""`evidence-store`, killed with -9 just behind one call of what `restore` is made of: the first argument names it."""

import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from evidence_store import backup
from tests.evidence.verifying import main


def kill_behind(path: str) -> None:
    """Replace a function, named as `evidence_store.backup` knows it, by one that does not return."""
    *parts, name = path.split(".")
    owner: Any = backup
    for part in parts:
        owner = getattr(owner, part)
    setattr(owner, name, _dying(getattr(owner, name)))


def _dying(work: Callable[..., Any]) -> Callable[..., Any]:
    async def wait(*given: object, **named: object) -> None:
        await work(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    def do(*given: object, **named: object) -> None:
        work(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return wait if inspect.iscoroutinefunction(work) else do


if __name__ == "__main__":
    kill_behind(sys.argv.pop(1))
    main()
