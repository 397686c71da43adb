"""The memory of a process."""

from pathlib import Path


def read_own_mb(pid: int) -> float:
    """Return the memory that is a process' own, in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_")) / 1024
