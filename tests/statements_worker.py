"""A sealing worker to be killed: for each line on standard input it forks a fresh one and prints its process id.

Arguments: database URL, the store's address, its token. Forking saves the seconds that imports take.
"""

import asyncio
import os
import sys
from datetime import timedelta

from evidence_store.client import StoreClient
from tests.patience import BUSY_MS
from video_server.core import database as core_database
from video_server.core.clock import utc_now
from video_server.core.database import Database
from video_server.core.log import configure
from video_server.statements.sealing import seal_due


async def work(url: str, where: str, token: str) -> None:
    core_database._BUSY_MS = BUSY_MS
    database = Database(url)
    async with StoreClient(where, token) as store:
        while True:
            await seal_due(database, store, clock=utc_now, lease=timedelta(seconds=0.2))
            await asyncio.sleep(0.005)


def main() -> None:
    configure("worker", stream=sys.stderr)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(work(*sys.argv[1:]))
        print(child, flush=True)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
