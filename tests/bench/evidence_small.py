"""Many small things in the evidence store: photos, and lines of the ledger."""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.evidence_files import Measured, Shape, ending
from tests.bench.stores import EvidenceStore, new_path, put_headers
from tests.bench.transfer import Connection

PHOTO_BYTES = 20_000
PHOTO_SENDERS = 4


def measure_photos(shape: Shape, folder: Path) -> Measured:
    """Measure many small objects from several senders."""
    photo = b"\xff\xd8\xff\xe0" + os.urandom(PHOTO_BYTES - 4)
    with ending(EvidenceStore(folder / "store")) as store:
        headers = put_headers(store.folder / "keys", hashlib.sha256(photo).hexdigest())

        def send(count: int) -> list[float]:
            with Connection(store.port) as connection:
                taken = []
                for _ in range(count):
                    began = time.monotonic()
                    connection.ask("PUT", new_path(), headers, body=photo)
                    taken.append(time.monotonic() - began)
                return taken

        began = time.monotonic()
        with ThreadPoolExecutor(PHOTO_SENDERS) as threads:
            taken = [s for many in threads.map(send, [shape.photos // PHOTO_SENDERS] * PHOTO_SENDERS) for s in many]
        rate = len(taken) / (time.monotonic() - began)
    return {"small_objects_per_s": [rate], "small_objects_p99_ms": [1000 * statistics.quantiles(taken, n=100)[98]]}


def measure_ledger(shape: Shape, folder: Path) -> Measured:
    """Run the ledger's own bench and take its figures."""
    command = [sys.executable, "-m", "tests.bench.ledger"]
    environment = os.environ | {"LINES": str(shape.lines), "TMPDIR": str(folder)}  # so that it goes with the folder
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    found = json.loads(said.splitlines()[-1])
    names = {
        "ledger_appends_per_s": "append_single_per_s", "ledger_batched_per_s": "append_many_per_s",
        "proof_p99_ms": "proof_p99_ms", "verify_lines_per_s": "verify_lines_per_s",
    }  # fmt: skip
    return {ours: [found[theirs]] for ours, theirs in names.items()}
