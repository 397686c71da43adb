"""`video-server drain`: have one relay finish its calls and take no new ones."""

import asyncio
from collections.abc import Iterator

from video_server.config import Settings
from video_server.core.errors import CannotStart
from video_server.relay.client import Control, RelayClient, RelayLost

_LOOK_SECONDS = 1.0


def run(settings: Settings, name: str, *, on: bool, wait: bool) -> Iterator[str]:
    """Do it and yield what to say. Raises CannotStart."""
    control = settings.relay_controls.get(name)
    if control is None:
        raise CannotStart(f"There is no relay {name}. There are: {', '.join(settings.relay_controls) or 'none'}.")
    rooms = asyncio.run(_tell(control, name, on=on))
    if not on:
        yield f"Relay {name} takes new calls again."
        return
    yield f"Relay {name} takes no new calls; it has {rooms} under way."
    if wait:
        asyncio.run(_wait(control, name))
        yield f"Relay {name} has no call any more and may be stopped."


async def _tell(control: Control, name: str, *, on: bool) -> int:
    client = await _connect(control, name)
    try:
        await client.drain(on=on)
        return int((await client.status())["rooms"])
    except RelayLost:
        raise CannotStart(f"Relay {name} did not answer.") from None
    finally:
        await client.close()


async def _wait(control: Control, name: str) -> None:
    """Return when the relay has no room any more; one that has ended has none either."""
    try:
        client = await _connect(control, name)
        while (await client.status())["rooms"]:  # noqa: ASYNC110 — the relay tells when people go, not when it is empty
            await asyncio.sleep(_LOOK_SECONDS)
        await client.close()
    except (RelayLost, CannotStart):
        return


async def _connect(control: Control, name: str) -> RelayClient:
    try:
        return await RelayClient.connect(control, on_event=lambda _event: None, on_lost=lambda: None)
    except RelayLost as problem:
        raise CannotStart(f"Relay {name} does not answer ({problem}): is it running?") from None
