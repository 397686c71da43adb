"""How progress is told."""

import io

import pytest

from evidence_store.plural import counted
from evidence_store.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch) -> list[float]:
    held = [0.0]
    monkeypatch.setattr("evidence_store.clock.monotonic", lambda: held[0])
    return held


def test_a_terminal_sees_one_line_with_a_bar_that_ends_when_the_task_does(now):
    out = _Terminal()
    progress = Progress(out)
    for done in range(0, 5001, 1000):
        now[0] += 0.25
        progress("ledger lines", done, 5000)
    lines = out.getvalue().split("\r")
    assert lines[2] == "[####................] 1,000 of 5,000 ledger lines (20 %)"
    assert lines[-1] == "[####################] 5,000 of 5,000 ledger lines (100 %)\n"


def test_one_of_a_thing_is_told_of_as_one(now):
    out = _Terminal()
    progress = Progress(out)
    now[0] += 1
    progress("ledger lines", 1, 1)
    assert out.getvalue() == "\r[####################] 1 of 1 ledger line (100 %)"
    told = [counted(count, "object is", "objects are") for count in (0, 1, 2, 1000)]
    assert told == ["0 objects are", "1 object is", "2 objects are", "1,000 objects are"]
    assert [counted(count, "fault") for count in (0, 1, 2)] == ["0 faults", "1 fault", "2 faults"]


def test_how_long_it_takes_yet_is_told_by_the_speed_of_what_is_under_way(now):
    out = _Terminal()
    progress = Progress(out)
    progress("ledger lines", 1, 1)
    for seconds, done in ((0, 0), (2, 1), (2, 4), (100, 10), (1, 190)):
        now[0] += seconds
        progress("objects", done, 4000)
    told = [line.partition(" %)")[2].strip() for line in out.getvalue().split("\r")[1:]]
    assert told == ["", ", about 1.1 h left", ", about 11.5 h left", ", about 35 min left"]


def test_a_file_sees_a_line_every_half_minute(now):
    out = io.StringIO()
    progress = Progress(out)
    for done in range(100):
        now[0] += 1
        progress("objects", done, 100)
    assert out.getvalue().splitlines() == [
        "29 of 100 objects (29 %), about 1 min left",
        "59 of 100 objects (59 %), less than a minute left",
        "89 of 100 objects (89 %), less than a minute left",
    ]
