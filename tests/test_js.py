"""The pure parts of the browser's code, by Node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(ROOT.glob("tests/js/*.test.js"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".test.js"))
def test_the_browsers_pure_code_does_what_it_says(file):
    node = shutil.which("node")
    assert node, "Node.js is needed, as `make check` says"
    ran = subprocess.run(
        [node, "--test", "--test-reporter=tap", str(file)], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\n# pass 0\n" not in ran.stdout, "a file without a test proves nothing"
