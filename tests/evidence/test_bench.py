"""The bench of the evidence store leaves nothing behind when it is told to end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.product import until


def test_a_bench_that_is_told_to_end_ends_its_servers_and_removes_its_files(tmp_path: Path):
    bench = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.evidence", "phones"], stdout=subprocess.DEVNULL,
        env=os.environ | {"QUICK": "1", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    tasks = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
    try:
        until(lambda: list(tmp_path.glob("*/store/data/incoming/*/object/data.floe")), "an upload")
        [store] = [int(pid) for pid in tasks.read_text().split()]
        bench.send_signal(signal.SIGTERM)
        assert bench.wait(timeout=240) == 128 + signal.SIGTERM
    finally:
        bench.kill()
        bench.wait()
    assert not Path(f"/proc/{store}").exists()
    assert list(tmp_path.iterdir()) == []
