"""`evidence-store webhooks`: how it goes with each destination; put back what was given up."""

from typing import Annotated

import typer

from evidence_store.cli_parts import Data, File, KeysFolder, tell, with_store
from evidence_store.config import load
from evidence_store.plural import counted
from evidence_store.store import Store
from evidence_store.webhooks import storage
from evidence_store.webhooks.model import Standing


def webhooks(
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    retry: Annotated[bool, typer.Option(help="Try again, from the beginning, what was given up")] = False,
) -> None:
    """Print what waits for each webhook and what was given up; exit code 1 when something was."""
    revived, standings = with_store(load(settings, data=data, keys=keys), lambda store: _look(store, retry=retry))
    if retry:
        typer.echo(f"{counted(revived, 'piece of news is', 'pieces of news are')} tried again.")
    if not standings:
        typer.echo("No webhook is listed: EVIDENCE_WEBHOOKS names no file, or an empty one.")
    for name, standing in sorted(standings.items()):
        waits = counted(standing.waiting, "waits", "wait")
        tell(f"{name}: {waits}, {standing.dead} given up. {standing.problem}".strip())
    raise typer.Exit(1 if any(standing.dead for standing in standings.values()) else 0)


async def _look(store: Store, *, retry: bool) -> tuple[int, dict[str, Standing]]:
    revived = 0
    if retry:
        async with store.database.begin() as db:
            revived = await storage.revive(db, now=store.clock())
    async with store.database.read() as db:
        return revived, {hook.name: Standing() for hook in store.hooks} | await storage.list_standings(db)
