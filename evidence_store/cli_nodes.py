"""`evidence-store nodes`: which nodes there are and how it goes with them; give up one that is gone for good."""

from typing import Annotated

import typer

from evidence_store.cli_parts import Data, File, KeysFolder, tell, with_store
from evidence_store.config import load
from evidence_store.nodes.service import forget, survey
from evidence_store.plural import counted, pick

_RUNS = {True: "runs", False: "is away", None: "cannot be asked"}


def nodes(
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    gone: Annotated[
        str | None, typer.Option("--forget", help="Id of a node whose disk is gone: expire what was arriving there")
    ] = None,
) -> None:
    """Print each node, whether it runs, and what lies on its disk alone."""
    given = load(settings, data=data, keys=keys)
    if gone is not None:
        expired, lost = with_store(given, lambda store: forget(store, gone))
        typer.echo(
            f"{counted(expired, 'upload was', 'uploads were')} expired. "
            f"{counted(lost, 'object was', 'objects were')} complete and not sealed: the ledger names "
            f"{pick(lost, 'it', 'them')}."
        )
    for standing in with_store(given, survey):
        tell(
            f"{standing.node.id}: {_RUNS[standing.runs]}, seen {standing.node.seen_at:%d %B %Y %H:%M} UTC; "
            f"{counted(standing.uploads, 'upload is', 'uploads are')} open there, "
            f"{counted(standing.sealing, 'object')} being sealed."
        )
