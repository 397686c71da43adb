"""What `.ci/run` does with a browser's test that failed: run it again, and say so in the last lines.

Chromium and Firefox are other people's programs, and some runs of this suite met one of them that never answered.
Nothing else is run again: what fails without a browser is ours and stays failed.
"""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

TIMES = 3
"""A test that failed must pass so often in a row, alone, in browsers of its own."""

MOST = 2
"""More tests than these do not fail by a browser's mood."""

_BROWSER = re.compile(
    r"^(from|import) (playwright|tests\.(chromium|firefox|test_journeys))|\bopen_context\b", re.MULTILINE
)


@cache
def drives_browser(path: Path) -> bool:
    """Say whether a module's tests drive a browser."""
    return bool(_BROWSER.search(path.read_text()))


class Again:
    """Runs what failed once more when everything has run."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.unsteady = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what failed, in its set-up, its call or its end."""
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Let the run pass when all that failed are few, drive browsers and pass every time now."""
        root = session.config.rootpath
        if exitstatus != pytest.ExitCode.TESTS_FAILED or not 0 < len(self.failed) <= MOST:
            return
        if not all(drives_browser(root / name.partition("::")[0]) for name in self.failed):
            return
        if all(_passes(root, name) for name in sorted(self.failed) * TIMES):
            self.unsteady = True
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what only passed in the end: it wants mending all the same."""
        for name in sorted(self.failed) if self.unsteady else ():
            terminalreporter.write_line(f"UNSTEADY {name}: failed above, then passed {TIMES} times alone", yellow=True)


def _passes(root: Path, name: str) -> bool:
    print(f"\nAGAIN {name}", flush=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", name]
    return subprocess.run(command, cwd=root, env=environment).returncode == 0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --again."""
    parser.addoption("--again", action="store_true", help="run the tests of browsers that failed again (see .ci/run)")


def pytest_configure(config: pytest.Config) -> None:
    """Take part only where the run as a whole is decided, and when told to."""
    if config.getoption("again") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Again())
