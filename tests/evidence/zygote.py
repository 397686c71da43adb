"""Forks stores quickly: a process that has imported everything once, and forks one real server per line of input.

Input lines are JSON settings; the answer to each is the child's process id. A child is the same program that
`evidence-store serve` runs, and dies by kill -9 like it; only the second of imports is spared. With `"rotate": "yes"`
it is `evidence-store rotate`. To prove that drills find it, under DRILL_WITHOUT_FSYNC=1 flushing does nothing, and
under DRILL_TOO_EARLY=1 bytes and objects are acknowledged some seconds before they are kept.
"""

import asyncio
import json
import os
import signal
import sys
import threading

from evidence_store import cli, log
from evidence_store.config import load
from evidence_store.model import StoredObject, UploadState
from evidence_store.rotate import rotate
from evidence_store.sealing.incoming import Incoming
from evidence_store.uploads.service import Uploads, _sealing
from evidence_store.verify import unseen

LATE_SECONDS = 5.0


def acknowledge_too_early() -> None:
    """Have `serve` say that bytes are durable before their tail is written, and that an upload is sealed too early."""
    checkpoint, give_digest = Incoming.checkpoint, Uploads.give_digest

    def tell_offset(self: Incoming, *, with_tail: bool = True) -> int:
        if not with_tail:
            return checkpoint(self, with_tail=False)
        threading.Timer(LATE_SECONDS, checkpoint, (self,)).start()
        return self.offset

    async def tell_sealed(self: Uploads, upload_id: str, sha256: str | None) -> StoredObject:
        upload = await self.get(upload_id)
        if upload.state is not UploadState.OPEN or upload.offset < upload.length:
            return await give_digest(self, upload_id, sha256)
        loop = asyncio.get_running_loop()
        loop.call_later(LATE_SECONDS, lambda: loop.create_task(give_digest(self, upload_id, sha256)))
        return _sealing(upload, sha256, now=upload.touched_at)

    Incoming.checkpoint, Uploads.give_digest = tell_offset, tell_sealed


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if os.environ.get("DRILL_WITHOUT_FSYNC"):
        os.fsync = os.fdatasync = lambda _descriptor: None
    if os.environ.get("DRILL_TOO_EARLY"):
        acknowledge_too_early()
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
