"""The command `evidence-store rescreen`."""

from typing import Annotated

import typer

from evidence_store.cli_parts import Data, File, KeysFolder, with_store
from evidence_store.config import load
from evidence_store.plural import counted, pick
from evidence_store.progress import Progress
from evidence_store.screening.rescreen import Bounds, rescreen
from evidence_store.scrub import Pace


def rescreen_command(
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    rate: Annotated[float, typer.Option(min=0, help="Megabytes a second at most; 0: as fast as it goes")] = 50,
    minutes: Annotated[float, typer.Option(min=0, help="Stop after so long; 0: when all is done")] = 0,
) -> None:
    """Screen for malware what never was, or was with older signatures; run again, it goes on where it stopped.

    What is infected goes into quarantine; what was there only because clamd could not tell, and is clean, comes out.
    Exit code 1 when something is infected or damaged.
    """
    given = load(settings, data=data, keys=keys)
    bounds = Bounds(
        pace=Pace(rate * 1e6) if rate else None,
        bytes_per_second=rate * 1e6 or float("inf"),
        seconds=minutes * 60 or float("inf"),
    )
    found = with_store(given, lambda store: rescreen(store, bounds=bounds, progress=Progress()))
    run, said = found.run, found.run.details
    for object_id in found.infected:
        typer.echo(f"✗ Object {object_id} is infected. It is in quarantine now.")
    typer.echo(
        f"{counted(run.objects, 'object')} ({counted(run.bytes, 'byte')}) {pick(run.objects, 'was', 'were')} screened "
        f"by {said['engine']}: {said['clean']} clean, "
        f"{said['infected']} infected, {said['unknown']} of which clamd could not tell; {said['quarantined']} went "
        f"into quarantine, {said['released']} came out. {run.faults} could not be read."
    )
    if found.left:
        typer.echo(f"{counted(found.left, 'object is', 'objects are')} left: run this again, it goes on from here.")
    raise typer.Exit(1 if run.faults or said["quarantined"] else 0)
