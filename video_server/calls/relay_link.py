"""This web process's line to one relay: kept open, its figures read every second, its death told at once."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from video_server.calls.placement import Load
from video_server.core.log import get_logger
from video_server.relay.client import Control, RelayClient, RelayEvent, RelayLost

log = get_logger(__name__)

RETRY_SECONDS = 0.05
RETRY_AFAR_SECONDS = 0.5
LOOK_SECONDS = 1.0
ANSWER_SECONDS = 3.0
MOST_UNANSWERED = 2
"""A relay that leaves so many questions in a row unanswered hangs, and counts as dead."""


class RelayLink:
    """The line to the relay `name`.

    client     None while it does not answer
    instance   id of the relay process's life, of the last one while it does not answer
    status     the figures it gave last, empty before the first
    answer_seconds   how long a question may stay unanswered
    """

    def __init__(
        self,
        name: str,
        control: Control,
        *,
        on_event: Callable[["RelayLink", RelayEvent], None],
        on_change: Callable[[str, bool], None],
    ) -> None:
        """on_change is called with the relay's instance, and whether it is there."""
        self.name = name
        self.client: RelayClient | None = None
        self.instance = ""
        self.status: Mapping[str, Any] = {}
        self.tried = asyncio.Event()  # whether it is there is known
        self.promised = 0
        self.answer_seconds = ANSWER_SECONDS
        self._control = control
        self._on_event, self._on_change = on_event, on_change

    @property
    def load(self) -> Load | None:
        """Return what placing needs to know, None while it does not answer."""
        if self.client is None:
            return None
        told = self.status
        return Load(
            self.instance,
            int(told["participants"]),
            int(told["packets_per_second"]),
            bool(told["draining"]),
            self.promised,
        )

    async def keep(self) -> None:
        """Connect, and again whenever the line is lost; until cancelled."""
        while True:
            gone = asyncio.Event()
            try:
                client = await RelayClient.connect(
                    self._control, on_event=lambda event: self._on_event(self, event), on_lost=gone.set
                )
            except RelayLost as problem:
                if not self.tried.is_set():
                    log.warning("relay_not_found", which=self.name, why=str(problem))
                self.tried.set()
                await asyncio.sleep(RETRY_SECONDS if isinstance(self._control, Path) else RETRY_AFAR_SECONDS)
                continue
            self.instance = client.instance
            try:
                await self._hold(client, gone)
            finally:
                self.client = None
                await client.close()

    async def _hold(self, client: RelayClient, gone: asyncio.Event) -> None:
        try:
            self.status = await client.status()
        except RelayLost:
            return
        self.client, self.promised = client, 0
        log.info("relay_found", which=self.name, relay=self.instance)
        self._on_change(self.instance, True)
        self.tried.set()
        try:
            await self._look_until(client, gone)
        finally:
            self.client = None
        log.warning("relay_lost", which=self.name, relay=self.instance)
        self._on_change(self.instance, False)

    async def _look_until(self, client: RelayClient, gone: asyncio.Event) -> None:
        unanswered = 0
        while not gone.is_set() and unanswered < MOST_UNANSWERED:
            promised = self.promised
            try:
                async with asyncio.timeout(self.answer_seconds):
                    self.status = await client.status()
                self.promised -= promised
                unanswered = 0
            except TimeoutError:
                unanswered += 1
                continue
            except RelayLost:
                return
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await gone.wait()
            except TimeoutError:
                pass
