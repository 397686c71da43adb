"""The suite itself: what a test that ends its process, because it hung or crashed, costs the others."""

import subprocess
import sys
from pathlib import Path

ENDS = """
import os

def test_before(): pass

def test_ends(): os._exit(1)

def test_after(): pass
"""


def test_a_test_that_ends_its_process_fails_alone_and_is_not_run_again(tmp_path):
    root, module = Path(__file__).parents[1], tmp_path / "test_ending.py"
    module.write_text(ENDS)
    options = ["-p", "tests.sharing", "-c", root / "pyproject.toml", "--rootdir", tmp_path]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-n", "1", "--dist", "loadscope", module],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert "1 failed, 2 passed" in run.stdout, run.stdout + run.stderr
    assert "crashed while running 'test_ending.py::test_ends'" in run.stdout
