"""The floor: a forwarder in C that neither decrypts nor encrypts, in place of a relay. What it carries the generator
can drive; what a packet takes through it no relay can undercut.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pylibsrtp

from tests.bench.callers import CALL, SEND_TIME_ID, TRANSPORT_CC_ID, get_pointer
from tests.bench.generator import Participant, forward_bare


class Floor:
    """The forwarder's process on one core."""

    name = "floor"

    def __init__(self, *, host: str, core: int) -> None:
        """Bind its port; it starts with `run`."""
        self.host, self.core = host, core
        self._port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._port.bind((host, 0))
        self._key = secrets.token_bytes(44)
        self._rooms: list[list[tuple[str, int]]] = []
        self._process: subprocess.Popen[bytes] | None = None

    def make_room(self, size: int) -> list[Participant]:
        """Return participants that share one key: what one encrypts the others decrypt."""
        made = [self._make(number) for number in range(size)]
        self._rooms.append([each.socket.getsockname() for each in made])
        return made

    def _make(self, number: int) -> Participant:
        port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port.setblocking(False)
        port.bind((self.host, 0))
        port.connect(self._port.getsockname())
        profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM
        kinds = (pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        sessions = [pylibsrtp.Session(pylibsrtp.Policy(self._key, kind, srtp_profile=profile)) for kind in kinds]
        return Participant(
            socket=port,
            protect=get_pointer(sessions[0]),
            unprotect=get_pointer(sessions[1]),
            transport_cc=TRANSPORT_CC_ID,
            send_time=SEND_TIME_ID,
            on_other=lambda data: None,
            streams=tuple(replace(stream, ssrc=stream.ssrc + (number << 4)) for stream in CALL),
            keep=[sessions],
        )

    def run(self) -> int:
        """Start forwarding among the rooms made so far; return the process' id."""
        self._process = subprocess.Popen(
            ["taskset", "-c", str(self.core), sys.executable, "-m", "tests.bench.floor", str(self._port.fileno())],
            stdin=subprocess.PIPE, pass_fds=[self._port.fileno()],
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._rooms).encode())
        self._process.stdin.close()
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._port.close()


if __name__ == "__main__":
    forward_bare(socket.socket(fileno=int(sys.argv[1])), [[(h, p) for h, p in room] for room in json.load(sys.stdin)])
