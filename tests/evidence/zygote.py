"""Forks stores quickly: a process that has imported everything once, and forks one real server per line of input.

Input lines are JSON settings; the answer to each is the child's process id. A child is the same program that
`evidence-store serve` runs, and dies by kill -9 like it; only the second of imports is spared.
"""

import asyncio
import json
import os
import signal
import sys

from evidence_store import cli, log
from evidence_store.config import load


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            settings = load(None, **json.loads(line))
            log.configure("evidence-store", level="INFO")
            asyncio.run(cli._serve(settings, parent_pipe=False))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
