"""How the suite is shared among processes (`make test`)."""

import re
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

DRIVES_A_BROWSER = re.compile(r"\bplaywright\b|\btest_journeys\b")


class OneWithBrowsers(LoadScopeScheduling):
    """Keep a module on one process, and all that drive a browser on the same: two at once starve each other.

    Groups by marks (`--dist loadgroup`) would say it in fewer words, and do nothing with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "browsers" if DRIVES_A_BROWSER.search(Path(self.config.rootpath, path).read_text()) else path

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


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneWithBrowsers:
    """Choose how the suite is shared."""
    return OneWithBrowsers(config, log)
