"""The product as an operator starts it: `video-server serve --demo` in a process of its own, on a free port."""

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from tests.ports import find_free_port

ANY_HOUR = {  # journeys run at any time of day, and with as many relays on every machine
    "VIDEO_RELAYS": "2",
    "VIDEO_DIARY_OPENS": "00:00",
    "VIDEO_DIARY_CLOSES": "23:45",
    "VIDEO_APPOINTMENT_MINUTES": "15",
    "VIDEO_NOTICE_MINUTES": "0",
    "VIDEO_ROOM_OPENS_MINUTES": "1440",
}


ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE  # the demo makes its own


PATIENCE_SECONDS = 300.0  # only so that a broken build ends; nothing is measured here


def until(found, what: str, seconds: float = PATIENCE_SECONDS):
    """Call `found` until it returns something true, and return that; generous, because machines are slow."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def is_ready(url: str) -> bool:
    """Say whether every part of the server at `url` works."""
    try:
        with urlopen(f"{url}/readyz", timeout=30, context=ANY_CERTIFICATE) as answer:
            return answer.status == 200
    except OSError:
        return False


@dataclass
class Product:
    """A running server; `said` is what it printed, `log` the file its processes log to."""

    data: Path
    port: int = field(default_factory=find_free_port)
    environment: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"

    def start(self) -> "Product":
        """Start and wait until it has said where everything is."""
        self.log = self.data.parent / f"{self.data.name}.log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "video_server", "serve", "--demo",
             "--host", self.host, "--port", str(self.port), "--data", self.data],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env={**os.environ, **ANY_HOUR, **self.environment},
        )  # fmt: skip
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.lstrip().startswith("Keys"):
                break
        self.said = "".join(lines)
        assert self.process.poll() is None, self.log.read_text()
        return self

    @property
    def url(self) -> str:
        scheme = "https" if "VIDEO_TLS" in self.environment else "http"
        return f"{scheme}://{self.host}:{self.port}"

    def password_of(self, username: str) -> str:
        """Return the password that was printed for a demo account."""
        return re.search(rf"sign in as: {username}\s+password: (\S+)", self.said)[1]

    @property
    def demo_link(self) -> str:
        """Return the demo victim's join link."""
        return re.search(r"http\S+/j/\S+", self.said)[0]

    def children(self, command: str, name: str | None = None) -> list[int]:
        """Return the ids of this server's processes that run a subcommand ("web", "relay" of a name, "scheduler")."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError):
                continue  # it ended while we looked
            named = name is None or name.encode() in words
            if parent == self.process.pid and command.encode() in words and named:
                found.append(int(folder.name))
        return found

    def kill(self, command: str, name: str | None = None) -> None:
        """Kill a child as a crash would, and wait until another one has taken its place."""
        [before] = self.children(command, name)
        os.kill(before, signal.SIGKILL)
        until(lambda: [pid for pid in self.children(command, name) if pid != before], f"a new {command}")

    def kill_together(self, *commands: str) -> None:
        """Kill all children of several kinds at once, and wait until others have taken their places."""
        before = {command: self.children(command) for command in commands}
        for pid in [pid for pids in before.values() for pid in pids]:
            os.kill(pid, signal.SIGKILL)
        for command, gone in before.items():
            until(
                lambda c=command, g=gone: len([pid for pid in self.children(c) if pid not in g]) == len(g),
                f"a new {command}",
            )

    def read(self, path: str) -> str:
        """Return what a page of the server says to somebody who is not signed in."""
        with urlopen(f"{self.url}{path}", timeout=PATIENCE_SECONDS) as answer:
            return str(answer.read().decode())

    def run(self, *words: str) -> str:
        """Run another command beside the server, with the same settings; return what it prints."""
        return subprocess.run(
            [sys.executable, "-m", "video_server", *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            env={**os.environ, **ANY_HOUR, **self.environment},
        ).stdout

    @contextmanager
    def another_web(self) -> Iterator[str]:
        """Run one more web process beside the server's own, on the same database and relay; yield its address."""
        port = find_free_port()
        settings = {"DEMO": "true", "DATA": str(self.data), "PORT": str(port), "TEXTS": "screen"}
        process = subprocess.Popen(
            [sys.executable, "-m", "video_server", "web"],
            stdin=subprocess.DEVNULL,
            stderr=self.log.open("a"),
            env={**os.environ, **ANY_HOUR, **self.environment, **{f"VIDEO_{k}": v for k, v in settings.items()}},
        )
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: is_ready(url), "the other web process")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_SECONDS)

    def is_ready(self) -> bool:
        """Say whether every part works."""
        return is_ready(self.url)

    def stop(self) -> None:
        """Stop as an operator would."""
        self.process.terminate()
        self.process.wait(timeout=PATIENCE_SECONDS)
        self.process.stdout.close()
