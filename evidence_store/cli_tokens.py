"""`evidence-store token`: issue, list, revoke."""

from datetime import timedelta
from typing import Annotated

import typer
from typer.core import TyperGroup

from evidence_store import clock
from evidence_store.admission import service, storage
from evidence_store.admission.model import Issued
from evidence_store.cli_parts import Data, File, KeysFolder, tell, with_store
from evidence_store.config import load
from evidence_store.errors import BadRequest, CannotStart, NotFound
from evidence_store.model import parse_incident
from evidence_store.store import Store
from evidence_store.tokens import Scope

_MOST_REASON_CHARS = 500


class _Group(TyperGroup):
    """`token --scope …` is `token issue --scope …`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        is_short = bool(args) and args[0].startswith("-") and args[0] != "--help"
        return super().parse_args(ctx, ["issue", *args] if is_short else args)


cli = typer.Typer(
    cls=_Group, no_args_is_help=True, help="Issue, list and revoke API tokens. 'token --scope …' issues one."
)


@cli.command()
def issue(
    scope: Annotated[list[Scope], typer.Option(help="May be given several times")],
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    incident: Annotated[str | None, typer.Option(help="Only this incident")] = None,
    name: Annotated[str, typer.Option(help="Who holds it; stands in the ledger")] = "system",
    days: Annotated[float, typer.Option(min=0.001, max=3660, help="How long it is valid")] = 365,
    per_minute: Annotated[
        int | None, typer.Option(min=0, help="Requests a minute, in place of EVIDENCE_TOKEN_PER_MINUTE; 0: no limit")
    ] = None,
) -> None:
    """Print a new token. It is kept nowhere: only its id, name and scopes stand in the database and the ledger."""
    if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 40:
        raise CannotStart("A token's name is letters, digits, - and _, at most 40.")
    if incident is not None:
        try:
            parse_incident(incident)
        except BadRequest as problem:
            raise CannotStart(str(problem)) from None
    made = with_store(
        load(settings, data=data, keys=keys),
        lambda store: service.issue(
            store, scopes=scope, name=name, incident=incident, lasts=timedelta(days=days), per_minute=per_minute
        ),
    )
    typer.echo(made)


@cli.command(name="list")
def list_command(settings: File = None, data: Data = None, keys: KeysFolder = None) -> None:
    """Print every token that was issued, oldest first: id, state, end, name, incident, scopes.

    Says which have no secret: an earlier version issued them, and whoever steals token.key can make them too.
    """
    now = clock.utc_now()
    for issued in with_store(load(settings, data=data, keys=keys), _list):
        until = f"until {issued.expires_at:%Y-%m-%d}"
        where = issued.incident or "every incident"
        todo = "" if issued.secret_sha256 else "  (no secret: issue it anew, then revoke this one)"
        tell(f"{issued.id}  {issued.state(now):<7}  {until}  {issued.name}  {where}  {issued.scopes}{todo}")


async def _list(store: Store) -> list[Issued]:
    async with store.database.read() as db:
        return list(await storage.list_tokens(db))


@cli.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As 'token list' and the ledger name it")],
    reason: Annotated[str, typer.Option(help="Why; stands in the ledger for good: no names")],
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
) -> None:
    """Take a token's power away at once, in every process; it cannot be given back."""
    if not 1 <= len(reason.strip()) <= _MOST_REASON_CHARS or not reason.isprintable():
        raise CannotStart(
            f"--reason is 1 to {_MOST_REASON_CHARS} characters in one line: it stands in the ledger for good."
        )
    try:
        revoked = with_store(
            load(settings, data=data, keys=keys), lambda store: service.revoke(store, token_id, reason=reason)
        )
    except NotFound:
        raise CannotStart(f"No token {token_id} was issued here: 'evidence-store token list' shows them.") from None
    typer.echo(f"Token {revoked.id} ({revoked.name}) opens nothing any more.")
