"""How the suite is shared among processes (`make test`)."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

CALLS = "calls"
_OWN_NICENESS = os.nice(0)
_LATER = 5


@cache
def holds_calls(path: Path) -> bool:
    """Say whether the tests of a module hold calls between browsers."""
    text = f"{path}\n{path.read_text()}"
    return "test_journeys" in text or ("playwright" in text and "tests.relay" in text)


class CallsOnOne(LoadScopeScheduling):
    """Keep a module on one process, and all that hold calls on the same: two at once starve each other.

    Groups by marks (`--dist loadgroup`) would say it in fewer words, and do nothing with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return CALLS if holds_calls(Path(self.config.rootpath, path)) else path

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Begin with the calls, which take longest."""
        if CALLS in self.workqueue:
            self.workqueue.move_to_end(CALLS, last=False)
        super()._assign_work_unit(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """Give others what a process that ended had left, without the test it ended in, which is returned.

        xdist itself gives them that one too: a test that hangs would end each process that takes the place of the last.
        """
        units = self.assigned_work.pop(node)
        left = [(unit, test) for unit in units.values() for test, is_done in unit.items() if not is_done]
        if not left:
            return None
        unit, ended_in = left[0]
        unit[ended_in] = True
        self.workqueue.update({scope: unit for scope, unit in units.items() if not all(unit.values())})
        for other in self.assigned_work:
            self._reschedule(other)
        return ended_in


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> CallsOnOne:
    """Choose how the suite is shared."""
    return CallsOnOne(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the processor serve calls first: other tests only take longer for it, and moving pictures would stop."""
    if hasattr(item.config, "workerinput") and os.nice(0) == _OWN_NICENESS and not holds_calls(item.path):
        os.nice(_LATER)
