"""Forks stores quickly: a process that has imported everything once, and forks one real server per line of input.

Input lines are JSON settings; the answer to each is the child's process id. A child is the same program that
`evidence-store serve` runs, and dies by kill -9 like it; only the second of imports is spared. With `"rotate": "yes"`
it is `evidence-store rotate`. Under DRILL_WITHOUT_FSYNC=1 flushing does nothing, to prove that a drill finds that.
"""

import asyncio
import json
import os
import signal
import sys

from evidence_store import cli, log
from evidence_store.config import load
from evidence_store.rotate import rotate
from evidence_store.verify import unseen


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if os.environ.get("DRILL_WITHOUT_FSYNC"):
        os.fsync = os.fdatasync = lambda _descriptor: None
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            given = json.loads(line)
            rotates = given.pop("rotate", "")
            settings = load(None, **given)
            log.configure("evidence-store", level="INFO")
            if rotates:
                cli._with_store(settings, lambda store: rotate(store, progress=unseen))
            else:
                asyncio.run(cli._serve(settings, parent_pipe=False))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
