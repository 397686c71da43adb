"""A network path of one's own: a namespace joined by a cable whose rate and loss can be set. Needs root."""

import os
import shutil
import subprocess
from pathlib import Path

HERE, THERE = "10.213.77.1", "10.213.77.2"


def why_not() -> str | None:
    """Return why no path can be made here, None when one can."""
    if os.geteuid() != 0:
        return "needs root for a network namespace"
    missing = [tool for tool in ("ip", "tc", "iptables") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    made = subprocess.run(["ip", "netns", "add", "video-probe"], capture_output=True, check=False)
    if made.returncode:
        return "cannot make a network namespace"
    subprocess.run(["ip", "netns", "delete", "video-probe"], check=True)
    return None


class FarEnd:
    """The far end of a cable; programs run there by `wrapper`. One at a time on a machine."""

    name = "video-far"

    def __init__(self, folder: Path) -> None:
        self.close()
        for command in (
            f"ip netns add {self.name}",
            f"ip link add video-here type veth peer name video-there netns {self.name}",
            f"ip addr add {HERE}/30 dev video-here",
            "ip link set video-here up",
            f"ip -n {self.name} addr add {THERE}/30 dev video-there",
            f"ip -n {self.name} link set video-there up",
            f"ip -n {self.name} link set lo up",
            f"ip -n {self.name} route add default via {HERE}",
        ):
            subprocess.run(command.split(), check=True)
        self.wrapper = folder / "chromium-far"
        self.wrapper.write_text(f'#!/bin/sh\nexec ip netns exec {self.name} /usr/bin/chromium "$@"\n')
        self.wrapper.chmod(0o755)

    def shape(self, kilobits: int, *, loss: float = 0.0) -> None:
        """Both ways: so many kbit/s with a queue of 300 ms, and so many UDP packets lost at random."""
        for device, prefix in (("video-here", ()), ("video-there", ("ip", "netns", "exec", self.name))):
            subprocess.run(
                [*prefix, "tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", f"{kilobits}kbit",
                 "burst", "3000", "latency", "300ms"], check=True,
            )  # fmt: skip
        # Dropped where they arrive: whose own machine drops what it sends is told so, and a network tells nobody.
        if loss:
            for prefix, device in (((), "video-here"), (("ip", "netns", "exec", self.name), "video-there")):
                subprocess.run(
                    [*prefix, "iptables", "-t", "mangle", "-A", "PREROUTING", "-i", device, "-p", "udp", "-m",
                     "statistic", "--mode", "random", "--probability", str(loss), "-j", "DROP"], check=True,
                )  # fmt: skip

    def open_up(self) -> None:
        """Take all limits away."""
        for prefix, device in (((), "video-here"), (("ip", "netns", "exec", self.name), "video-there")):
            subprocess.run([*prefix, "tc", "qdisc", "delete", "dev", device, "root"], check=True)
        subprocess.run(["ip", "netns", "exec", self.name, "iptables", "-t", "mangle", "-F"], check=True)
        self._lose_nothing_here()

    def _lose_nothing_here(self) -> None:
        """Take away our own rules of this machine, and no others."""
        rules = subprocess.run(
            ["iptables", "-t", "mangle", "-S", "PREROUTING"], capture_output=True, text=True, check=True
        )
        for rule in rules.stdout.splitlines():
            if "-i video-here" in rule:
                subprocess.run(["iptables", "-t", "mangle", *rule.replace("-A", "-D", 1).split()], check=True)

    def close(self) -> None:
        """Remove cable and namespace, also those that a test which was killed left behind."""
        self._lose_nothing_here()
        subprocess.run(["ip", "link", "delete", "video-here"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)
