"""`make bench-evidence`: what the evidence store costs and how fast it is, beside nginx, SeaweedFS and the floor.

One interleaved run: in each round every program takes the same file, in turn. Files lie in TMPDIR, whose disk is what
is measured; the source is in the page cache. QUICK=1 for a short look. The last line is one JSON object.

    python -m tests.bench.evidence [ingest|read|large|phones|photos|ledger ...]     only these parts
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.evidence_files import FULL, QUICK, Measured, Shape, make_source, measure_ingest, measure_reading, say
from tests.bench.evidence_memory import PHONES, SMALL_BYTES, measure_bucket, measure_large, measure_phones
from tests.bench.evidence_small import PHOTO_SENDERS, measure_ledger, measure_photos
from tests.bench.figures import MissingTool, Target, render_json, render_table

TARGETS = (
    Target("ingest_vs_nginx", "sealed ingest over HTTP to nginx' PUT + fsync, rate", 0.8, 1.2, more=True),
    Target("ingest_vs_nginx_tuned", "the same, nginx with 256 kB body buffers", 0, 0, more=True),
    Target("ingest_vs_seaweedfs", "sealed ingest to SeaweedFS' S3 PUT, rate", 2.5, 4, more=True),
    Target("ingest_floor_ratio", "CPU of sealed ingest to SHA-256 + AES-256-GCM in memory", 3, 1.9),
    Target("forwarder_vs_straight", "ingest through the web server's forwarder, rate", 0.5, 0.5, more=True),
    Target("patches_vs_one_request", "ingest as 64 MiB tus PATCHes to one request, rate", 0.8, 0.8, more=True),
    Target("read_vs_nginx", "reading it to nginx sending it plain, rate", 0.5, 0.8, more=True),
    Target("ingest_mb_per_s", "sealed ingest, MB/s", 0, 0, more=True),
    Target("nginx_mb_per_s", "nginx, default buffers, MB/s", 0, 0, more=True),
    Target("seaweedfs_mb_per_s", "SeaweedFS, MB/s", 0, 0, more=True),
    Target("floor_mb_per_s", "SHA-256 + AES-256-GCM in memory, one core, MB/s", 0, 0, more=True),
    Target("read_mb_per_s", "reading, MB/s", 0, 0, more=True),
    Target("range_first_byte_ms", "first byte of a random range of the large object, median, ms", 5, 5),
    Target("range_first_byte_p99_ms", "the same, p99, ms", 0, 0),
    Target("small_objects_per_s", f"objects of 20 kB a second, {PHOTO_SENDERS} senders", 0, 0, more=True),
    Target("small_objects_p99_ms", "the same, p99 of one, ms", 0, 0),
    Target("ledger_appends_per_s", "ledger lines a second, each durable by itself", 0, 0, more=True),
    Target("ledger_batched_per_s", "ledger lines a second, many in a transaction", 0, 0, more=True),
    Target("proof_p99_ms", "proofs in the large ledger, p99, ms", 5, 5),
    Target("verify_lines_per_s", "ledger lines verified a second", 0, 0, more=True),
    Target("memory_growth_mb", "peak memory of taking and giving the large object beyond 10 MB's", 20, 20),
    Target("bucket_memory_growth_mb", "peak memory of an object into a bucket and back beyond 10 MB's", 20, 20),
    Target("slow_phones_memory_mb", f"peak memory of {PHONES} slow uploads at once beyond 10 MB's", 20, 20),
)

PARTS: dict[str, Callable[[Shape, Path], Measured]] = {
    "ingest": lambda shape, folder: measure_ingest(shape, folder, make_source(folder, shape.size)),
    "read": lambda shape, folder: measure_reading(shape, folder, make_source(folder, shape.size)),
    "large": lambda shape, folder: measure_large(shape, folder, make_source(folder, shape.size)),
    "bucket": lambda shape, folder: measure_bucket(shape, folder, make_source(folder, SMALL_BYTES)),
    "phones": lambda shape, folder: measure_phones(shape, folder, make_source(folder, SMALL_BYTES)),
    "photos": measure_photos,
    "ledger": measure_ledger,
}


def main() -> int:
    """Run the bench; the exit status says whether it could be run, not what it found."""
    names = sys.argv[1:] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        print(f"There is no part {', '.join(sorted(unknown))}: {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that all is ended and removed
    shape = QUICK if os.environ.get("QUICK") else FULL
    say(shape.describe())
    measured: Measured = {}
    for name in names:
        say(f"{name}:")
        with tempfile.TemporaryDirectory(prefix="bench-evidence-", ignore_cleanup_errors=True) as folder:
            try:
                measured |= PARTS[name](shape, Path(folder))
            except MissingTool as missing:
                print(missing, file=sys.stderr)
                return 2
    reasons = {target.name: "not among the parts asked for" for target in TARGETS}
    say("")
    say(render_table(measured, reasons, TARGETS))
    say(render_json(measured, TARGETS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
