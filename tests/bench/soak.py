"""A relay under a high packet rate for long: make soak, SOAK_SECONDS=3600 of it.

Sequence numbers and the rollover counters of SRTP wrap again and again on the way in and out; what is not in step after
a wrap is not authentic any more, and a leak shows in the memory.
"""

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.callers import SOUND
from tests.bench.generator import Generator, take_precedence
from tests.bench.memory import read_own_mb
from tests.bench.relayed import OurRelay
from video_server.relay.transport import find_own_addresses

WRAP = 65536
FAST = replace(SOUND, per_second=625, packets=8, payload_bytes=40, sequence=WRAP - 500)
"""5,000 small packets a second, near to what the relay takes from one participant; a wrap every 13 seconds."""

SLICE_SECONDS = 2.0
ROOMS = 4
GROWTH_MB = 6.0
LOSS = 0.001


@dataclass
class Soaked:
    """What was seen. `wraps` counts those of each stream; `memory_mb` is the relay's own, slice by slice."""

    sent: int
    received: int
    not_authentic: int
    wraps: int
    memory_mb: list[float]
    dropped: dict[str, int]

    @property
    def growth_mb(self) -> float:
        """Return how much memory came to be used after the first fifth, in which buffers fill."""
        return self.memory_mb[-1] - max(self.memory_mb[: len(self.memory_mb) // 5 + 1])


async def soak(folder: Path, *, rooms: int, wraps: int, patience_seconds: float, first: bool = False) -> Soaked:
    """Let rooms of two talk, one of them fast, until every fast stream has wrapped so often. Raises TimeoutError.

    first   the relay runs before other programs, so that what is lost is its own doing
    """
    relay, generator = OurRelay(folder, host=find_own_addresses()[0], core=None), Generator()
    if first:
        take_precedence(relay.pid)
    await relay.start()
    callers = []
    try:
        for number in range(rooms):
            for place, (caller, _) in enumerate(await relay.make_room(2)):
                generator.add(caller.hand_over([FAST] if place == 0 else [SOUND]), phase=number / rooms)
                callers.append(caller)
        seen = Soaked(0, 0, 0, 0, [], {})
        deadline = time.monotonic() + patience_seconds
        while seen.wraps < wraps:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {seen.wraps} wraps of {wraps}")
            result = await generator.run(SLICE_SECONDS)
            seen.sent += result.sent
            seen.received += result.received
            seen.not_authentic += result.not_authentic
            fast = seen.received * FAST.per_second * FAST.packets
            fast /= rooms * (FAST.per_second * FAST.packets + SOUND.per_second)
            seen.wraps = int(fast) // WRAP
            seen.memory_mb.append(read_own_mb(relay.pid))
        seen.received += (await generator.run(0.5, sending=False)).received
        seen.dropped = (await relay.client.status())["counters"]["dropped"]
        return seen
    finally:
        generator.close()
        await asyncio.gather(*(caller.close() for caller in callers))
        await relay.stop()


def main() -> int:
    """Soak for SECONDS and say what was seen; the exit status says whether all was well."""
    seconds = float(os.environ.get("SOAK_SECONDS", "3600"))
    wraps = max(1, int(seconds * FAST.per_second * FAST.packets / WRAP))
    print(f"{ROOMS} rooms, {wraps} wraps of every fast stream, about {seconds / 60:.0f} minutes …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        seen = asyncio.run(soak(Path(folder), rooms=ROOMS, wraps=wraps, patience_seconds=3 * seconds + 60, first=True))
    loss = 1 - seen.received / seen.sent
    print(f"{seen.sent:,} packets sent, {loss:.4%} lost, {seen.not_authentic} not authentic, {seen.wraps} wraps each")
    print(f"memory {seen.memory_mb[0]:.1f} MB first, {seen.memory_mb[-1]:.1f} last, grown by {seen.growth_mb:.1f}")
    print(f"dropped by the relay: {seen.dropped or 'nothing'}")
    well = not seen.not_authentic and loss < LOSS and seen.growth_mb < GROWTH_MB
    print("all was well" if well else "NOT WELL")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
