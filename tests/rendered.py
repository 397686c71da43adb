"""Every template is rendered by a test: counted while the suite runs, told at its end; and each is compiled once.

Only a run of the whole suite can tell, so a run of some tests says nothing. Pages that a server in another process
renders are not counted: each template has a test that asks for it in this one.
"""

from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
import pytest
from jinja2.bccache import Bucket

ROOT = Path(__file__).parent.parent
TEMPLATES = (ROOT / "templates", ROOT / "evidence_store/view/templates")
_seen: set[str] = set()
_missing: list[str] = []
_TOLD = "templates seen"
_load = jinja2.FileSystemLoader.get_source


class _Compiled(jinja2.BytecodeCache):
    """What this process has compiled: each test has an application of its own, and all have the same templates."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key, bucket.checksum] = bucket.code


_compiled = _Compiled()


def _remember(
    self: jinja2.FileSystemLoader, environment: jinja2.Environment, template: str
) -> tuple[str, str, Callable[[], bool]]:
    environment.bytecode_cache = _compiled  # the loader looks there next
    found = _load(self, environment, template)
    _seen.add(str(Path(found[1]).relative_to(ROOT)) if found[1].startswith(str(ROOT)) else template)
    return found


def pytest_configure() -> None:
    """Watch the loader; parents and included parts are loaded through it as well."""
    jinja2.FileSystemLoader.get_source = _remember  # type: ignore[method-assign]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take what another process of the same run has seen (hook of pytest-xdist)."""
    _seen.update(getattr(node, "workeroutput", {}).get(_TOLD, ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a whole, otherwise successful run when a template was left out."""
    config = session.config
    if hasattr(config, "workeroutput"):  # one of several processes: the first of them judges
        config.workeroutput[_TOLD] = sorted(_seen)
        return
    asked_for_some = config.option.keyword or config.option.markexpr or config.args != config.getini("testpaths")
    stopped = session.shouldstop or session.shouldfail or config.option.collectonly
    if asked_for_some or stopped or config.option.deselect or getattr(config.option, "lf", False):
        return
    there = {str(file.relative_to(ROOT)) for folder in TEMPLATES for file in folder.rglob("*.html")}
    _missing[:] = sorted(there - _seen)
    if _missing and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out."""
    for name in _missing:
        terminalreporter.write_line(f"{name}:1: no test renders this template", red=True)
