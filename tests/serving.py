"""A real `video-server serve` in a process of its own, for tests that start, kill and stop it."""

import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.ports import find_free_port

COMMAND = (sys.executable, "-m", "video_server")
PATIENCE_SECONDS = 300.0  # only so that a broken build ends; nothing is measured here


def environment(**more: str) -> dict[str, str]:
    """The caller's environment without settings of ours, plus `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VIDEO_")} | more


def wait_for(what: str, look: Callable[[], object]) -> object:
    """Look again and again until there is something; what was waited for stands in the failure."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Serving:
    """One running server: the lines it printed, its children by name, the file its processes log to."""

    def __init__(
        self,
        data: Path,
        *options: str,
        port: int | None = None,
        demo: bool = True,
        ignore_sigint: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or find_free_port()
        self.data = data
        self.lines: list[str] = []
        self.log = data.parent / f"{data.name}.log"
        self.process = subprocess.Popen(
            [*COMMAND, "serve", *(["--demo"] if demo else []), "--port", str(self.port), "--data", str(data), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env=environment(**({"VIDEO_RELAYS": "1"} | dict(env or {}))),
            preexec_fn=_ignore_sigint if ignore_sigint else None,
        )

    def wait_until_ready(self) -> "Serving":
        """Read what it prints up to the line about the keys, which comes last and only when all is healthy."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "Keys" in line:
                return self
        raise AssertionError(f"it ended with {self.process.wait()} before it was ready: {self.lines}")

    def line(self, start: str) -> str:
        """Return what follows `start` in the lines printed."""
        return next(line.strip().removeprefix(start).strip() for line in self.lines if line.strip().startswith(start))

    def children(self) -> dict[str, int]:
        """Return pid by part."""
        found = {}
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if is_alive(int(pid)) and "-m" in words:
                module, part = words[words.index("-m") + 1 :][:2]
                found["evidence" if module.startswith("evidence_store") else part] = int(pid)
        return found

    def get(self, path: str, *, trust: ssl.SSLContext | None = None) -> tuple[int, str]:
        """GET a path; return status and text. Raises OSError when nothing answers."""
        address = path if "://" in path else f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS, context=trust) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as problem:
            return problem.code, problem.read().decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            if self.process.stdout is not None:
                self.process.stdout.close()


def run(
    *arguments: str, env: Mapping[str, str] | None = None, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a `video-server` command to its end."""
    return subprocess.run(
        [*before, *COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=environment(**(env or {})),
        check=False,
    )


def _ignore_sigint() -> None:
    """What a shell script's background job inherits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
