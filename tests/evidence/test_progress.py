"""How progress is told."""

import io

from evidence_store.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_that_ends_when_the_task_does(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("evidence_store.clock.monotonic", lambda: now[0])
    out = _Terminal()
    progress = Progress(out)
    for done in range(0, 5001, 1000):
        now[0] += 0.25
        progress("ledger lines", done, 5000)
    lines = out.getvalue().split("\r")
    assert lines[2] == "1,000 of 5,000 ledger lines (20 %)"
    assert lines[-1] == "5,000 of 5,000 ledger lines (100 %)\n"


def test_a_file_sees_a_line_every_half_minute(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("evidence_store.clock.monotonic", lambda: now[0])
    out = io.StringIO()
    progress = Progress(out)
    for done in range(100):
        now[0] += 1
        progress("objects", done, 100)
    assert out.getvalue().splitlines() == [f"{n} of 100 objects ({n} %)" for n in (29, 59, 89)]
