"""A network path of one's own: a namespace joined by cables whose rate and loss can be set, or cut. Needs root."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE, THERE = "10.213.77.1", "10.213.77.2"
HERE_TOO, THERE_TOO = "10.213.78.1", "10.213.78.2"
"""The ends of the second cable, which stays unplugged until `move`."""


def why_not() -> str | None:
    """Return why no path can be made here, None when one can."""
    if os.geteuid() != 0:
        return "needs root for a network namespace"
    missing = [tool for tool in ("ip", "tc", "iptables") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    name = f"video-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return "cannot make a network namespace"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


class FarEnd:
    """The far end of two cables; programs run there by `wrapper`. One at a time on a machine: others wait."""

    name = "video-far"

    def __init__(self, folder: Path) -> None:
        self._turn = (Path(tempfile.gettempdir()) / f"{self.name}.lock").open("w")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        self._remove()
        _run(f"ip netns add {self.name}")
        self._there("ip link set lo up")
        for ours, theirs, here, there in (
            ("video-here", "video-there", HERE, THERE),
            ("video-here2", "video-there2", HERE_TOO, THERE_TOO),
        ):
            _run(f"ip link add {ours} type veth peer name {theirs} netns {self.name}")
            _run(f"ip addr add {here}/30 dev {ours}")
            self._there(f"ip addr add {there}/30 dev {theirs}")
            _run(f"ip link set {ours} up")
        self._there("ip link set video-there up")
        self._there(f"ip route add default via {HERE}")
        self.wrapper = folder / "chromium-far"
        self.wrapper.write_text(f'#!/bin/sh\nexec ip netns exec {self.name} /usr/bin/chromium "$@"\n')
        self.wrapper.chmod(0o755)

    def shape(self, kilobits: int, *, loss: float = 0.0) -> None:
        """Both ways: so many kbit/s with a queue of 300 ms, and so many UDP packets lost at random."""
        self.narrow_down(kilobits)
        self._there(_tbf("video-there", kilobits))
        if loss:
            self.lose(loss)

    def narrow_down(self, kilobits: int) -> None:
        """Only towards the far end: so many kbit/s with a queue of 300 ms."""
        _run(_tbf("video-here", kilobits))

    def lose(self, part: float) -> None:
        """Lose so many UDP packets at random, both ways."""
        self._drop(f"-p udp -m statistic --mode random --probability {part}")

    def cut(self) -> None:
        """Nothing passes the first cable any more, and nobody is told."""
        self._drop("")

    def _drop(self, what: str) -> None:
        # Dropped where they arrive: whose own machine drops what it sends is told so, and a network tells nobody.
        _run(f"iptables -t mangle -A PREROUTING -i video-here {what} -j DROP")
        self._there(f"iptables -t mangle -A PREROUTING -i video-there {what} -j DROP")

    def move(self) -> None:
        """Leave the first network for another one, with another address."""
        self._there("ip link set video-there2 up")
        self._there(f"ip route add default via {HERE_TOO} metric 50")
        self._there(f"ip route add {HERE}/32 via {HERE_TOO}")
        self._there("ip link set video-there down")

    def open_up(self) -> None:
        """Take all limits of the first cable away."""
        for run, device in ((_run, "video-here"), (self._there, "video-there")):
            run(f"tc qdisc delete dev {device} root", may_fail=True)
        self._there("iptables -t mangle -F")
        _lose_nothing_here()

    def close(self) -> None:
        """Remove cables and namespace, and let others have theirs."""
        self._remove()
        self._turn.close()

    def _remove(self) -> None:
        """Also what a test that was killed left behind."""
        _lose_nothing_here()
        for device in ("video-here", "video-here2"):
            _run(f"ip link delete {device}", may_fail=True)
        _run(f"ip netns delete {self.name}", may_fail=True)

    def _there(self, command: str, *, may_fail: bool = False) -> None:
        _run(f"ip netns exec {self.name} {command}", may_fail=may_fail)


def _run(command: str, *, may_fail: bool = False) -> None:
    subprocess.run(command.split(), check=not may_fail, capture_output=may_fail)


def _tbf(device: str, kilobits: int) -> str:
    return f"tc qdisc replace dev {device} root tbf rate {kilobits}kbit burst 3000 latency 300ms"


def _lose_nothing_here() -> None:
    """Take away our own rules of this machine, and no others."""
    rules = subprocess.run(["iptables", "-t", "mangle", "-S", "PREROUTING"], capture_output=True, text=True, check=True)
    for rule in rules.stdout.splitlines():
        if "-i video-here" in rule:
            _run(f"iptables -t mangle {rule.replace('-A', '-D', 1)}")
