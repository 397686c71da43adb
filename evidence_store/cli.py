"""Receive files as evidence, seal them, give them back unchanged, and prove it. Settings: EVIDENCE_…, or a file."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from evidence_store import cli_tokens, log
from evidence_store.admission.service import share_web_token
from evidence_store.app import make_app, open_store, running
from evidence_store.backup import backup, restore
from evidence_store.cli_nodes import nodes
from evidence_store.cli_parts import Data, File, KeysFolder, hsm_of, tell
from evidence_store.cli_parts import with_store as _with_store
from evidence_store.cli_rescreen import rescreen_command
from evidence_store.cli_webhooks import webhooks
from evidence_store.config import Settings, load
from evidence_store.court.export import Wanted, export
from evidence_store.doctor import Finding, Grade, examine
from evidence_store.errors import CannotStart
from evidence_store.mirrors.service import ask_mirrors
from evidence_store.plural import counted, pick
from evidence_store.progress import Progress
from evidence_store.rotate import forget_old_keys, rotate
from evidence_store.scrub import Pace, scrub
from evidence_store.sealing.keys import load_keys, make_keys
from evidence_store.store import Store
from evidence_store.verify import Report, note_verified, verify
from evidence_store.verify_ledger import Witness

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@cli.command()
def init(
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    share: Annotated[
        Path | None, typer.Option(help="The web server's key folder, for the shared grant.key and its evidence.token")
    ] = None,
    ledger_name: Annotated[
        str, typer.Option(help="Stands in every checkpoint, for good; such as police.example/evidence")
    ] = "",
) -> None:
    """Make the keys that are missing; harmless when all are there."""
    given = load(settings, data=data, keys=keys)
    make_keys(given.keys, share=share, ledger_name=ledger_name, hsm=hsm_of(given))
    if share is not None:
        _with_store(given, lambda store: share_web_token(store, share))
    typer.echo(
        f"Keys are in {given.keys}. Back up {given.keys}/opening apart: without it nothing sealed can be opened."
    )


@cli.command()
def serve(
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    listen: Annotated[str | None, typer.Option(help="unix:/path, or address:port")] = None,
    parent_pipe: Annotated[bool, typer.Option(help="End when standard input closes")] = False,
    first_share: Annotated[
        Path | None, typer.Option(help="On the very first start, while there is no data folder: init --share this")
    ] = None,
) -> None:
    """Run the store until it is told to end."""
    given = load(settings, data=data, keys=keys, listen=listen)
    is_first = not given.data.exists()
    if first_share is not None and is_first:
        make_keys(given.keys, share=first_share, hsm=hsm_of(given))
    log.configure("evidence-store", level=given.log_level)
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_serve(given, parent_pipe=parent_pipe, share=first_share if is_first else None))


async def _serve(settings: Settings, *, parent_pipe: bool, share: Path | None = None) -> None:
    store = open_store(settings, load_keys(settings.keys, hsm_of(settings)))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if parent_pipe:
        loop.add_reader(sys.stdin.fileno(), _watch_pipe, ended)
    async with running(make_app(store), settings) as address:
        if share is not None:
            await share_web_token(store, share)
        log.get_logger(__name__).info("listening", address=address)
        await ended.wait()


def _watch_pipe(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        ended.set()


@cli.command(name="verify")
def verify_command(
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    contents: Annotated[bool, typer.Option(help="Read and hash every object again")] = True,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="File with a checkpoint that was kept elsewhere; may be given several times"),
    ] = None,
) -> None:
    """Read ledger, what people set, and every object again; say what holds. Exit code 1 when something does not."""
    given = load(settings, data=data, keys=keys)
    witnesses = [_read_witness(path) for path in checkpoint or []]
    report = _with_store(given, lambda store: _verify(store, contents, witnesses))
    _tell(report)
    if report.holds and not report.checkpoints:
        typer.echo("Without a checkpoint from elsewhere a store put back whole to an older copy cannot be noticed.")
    raise typer.Exit(0 if report.holds else 1)


def _tell(report: Report) -> None:
    for fault in report.faults:
        tell(f"✗ {fault}")
    typer.echo(
        f"{counted(report.ledger_lines, 'ledger line')}, {_objects(report.objects, report.bytes_read)} and "
        f"{counted(report.checkpoints, 'checkpoint')} from elsewhere were checked: "
        + ("everything holds." if report.holds else f"{counted(len(report.faults), 'fault')}.")
    )


def _read_witness(path: Path) -> Witness:
    try:
        return Witness(f"in the file {path}", path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise CannotStart(f"The checkpoint {path} cannot be read ({problem}).") from None


async def _verify(store: Store, contents: bool, witnesses: Sequence[Witness]) -> Report:
    mirrored, unasked = await ask_mirrors(store.settings.mirror_places)
    found = await verify(store, read_contents=contents, witnesses=[*witnesses, *mirrored], progress=Progress())
    found.faults += unasked
    await note_verified(store, found, read_contents=contents)
    return found


@cli.command(name="export")
def export_command(
    target: Annotated[Path, typer.Argument(help="NAME.zip for a zip file, another name for a folder; must not exist")],
    by: Annotated[str, typer.Option(help="Who exports")],
    recipient: Annotated[str, typer.Option("--for", help="Whom it is for")],
    reason: Annotated[str, typer.Option(help="Why. All three stand in the ledger for good")],
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    objects: Annotated[list[str] | None, typer.Option("--object", help="Id; may be given several times")] = None,
    incident: Annotated[str | None, typer.Option(help="All exhibits of this incident")] = None,
    mark: Annotated[list[str] | None, typer.Option(help="Only this one of them; may be given several times")] = None,
    quarantined: Annotated[bool, typer.Option("--quarantined", help="Quarantined ones too")] = False,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="File with a checkpoint that the recipient holds, to compare with")
    ] = None,
) -> None:
    """Write exhibits, their history and all that is needed to check them into a court package."""
    given = load(settings, data=data, keys=keys)
    notes = [_read_witness(path).note for path in checkpoint or []]
    wanted = Wanted(objects or [], incident, mark or [], by, recipient, reason, quarantined, notes)
    package = _with_store(given, lambda store: export(store, wanted, target, progress=Progress()))
    exhibits = counted(len(package.exhibits), "exhibit is", "exhibits are")
    typer.echo(f"{exhibits} in {target} (package {package.order.package}).")
    typer.echo("Give its recipient the fingerprint of the ledger's key another way: 'evidence-store fingerprint'.")


@cli.command()
def fingerprint(settings: File = None, keys: KeysFolder = None) -> None:
    """Print the ledger's key and its fingerprint, for whoever is to check checkpoints and packages."""
    given = load(settings, keys=keys)
    key = load_keys(given.keys, hsm_of(given)).ledger.public
    typer.echo(f"{key}\n{key.fingerprint}")


@cli.command(name="rotate")
def rotate_command(
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    forget_old: Annotated[
        bool, typer.Option(help="Destroy old opening keys that nothing here needs; older backups then open no more")
    ] = False,
) -> None:
    """Seal to a new key and wrap every object's key to it; run again, it goes on where it was interrupted."""
    given = load(settings, data=data, keys=keys)
    if forget_old:
        destroyed = _with_store(given, forget_old_keys)
        old = counted(len(destroyed), "old opening key")
        typer.echo(f"Destroyed {old}{': ' if destroyed else ''}{', '.join(destroyed)}.")
        return
    run = _with_store(given, lambda store: rotate(store, progress=Progress()))
    wrapped = counted(run.objects, "object's key was", "objects' keys were")
    typer.echo(
        f"{wrapped} wrapped to {run.details['new']}. The old key {run.details['old']} is kept, "
        "since backups made before need it: 'evidence-store rotate --forget-old' destroys it."
    )
    if run.faults:
        faults = counted(run.faults, "object's key", "objects' keys")
        typer.echo(f"✗ {faults} could not be wrapped: see the ledger. Run 'evidence-store verify'.")
        raise typer.Exit(1)


@cli.command(name="scrub")
def scrub_command(
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
    rate: Annotated[float, typer.Option(min=0, help="Megabytes a second at most; 0: as fast as it goes")] = 50,
) -> None:
    """Read every object again at a set pace and note in the ledger what came of it; interrupted, it goes on."""
    given = load(settings, data=data, keys=keys)
    pace = Pace(rate * 1e6) if rate else None
    run, faults = _with_store(given, lambda store: scrub(store, pace=pace, progress=Progress()))
    for fault in faults:
        tell(f"✗ {fault}")
    read = f"{_objects(run.objects, run.bytes)} {pick(run.objects, 'was', 'were')} read again"
    typer.echo(f"{read}: {_faults(run.faults)}.")
    if noted := run.details.get("headers"):
        typer.echo(f"Of {counted(noted, 'object')} that an earlier version sealed the header's digest is kept now.")
    raise typer.Exit(1 if run.faults else 0)


@cli.command(name="backup")
def backup_command(
    target: Annotated[Path, typer.Argument(help="Folder on another disk; given again, it is brought up to date")],
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
) -> None:
    """Copy database and objects, consistent while the store runs. Keys are not in it: keep those apart."""
    given = load(settings, data=data, keys=keys)
    run, faults = _with_store(given, lambda store: backup(store, target, progress=Progress()))
    for fault in faults:
        tell(f"✗ {fault}")
    copied = f"{_objects(run.objects, run.bytes)} {pick(run.objects, 'is', 'are')} in {target}"
    typer.echo(f"{copied}: {_faults(run.faults)}. Keys are not.")
    raise typer.Exit(1 if run.faults else 0)


@cli.command(name="restore")
def restore_command(
    source: Annotated[Path, typer.Argument(help="Folder of a backup")],
    settings: File = None,
    data: Data = None,
    keys: KeysFolder = None,
) -> None:
    """Bring a backup back into an empty database, and verify all of it. Exit code 1 when something does not hold."""
    given = load(settings, data=data, keys=keys)
    report = _with_store(given, lambda store: restore(store, source, progress=Progress()), prepared=False)
    _tell(report)
    typer.echo("Mirrors may know of lines written after the backup: 'evidence-store verify' says so, from now on.")
    raise typer.Exit(0 if report.holds else 1)


@cli.command(name="doctor")
def doctor_command(settings: File = None, data: Data = None, keys: KeysFolder = None) -> None:
    """Say what is well, what is not and how to mend it; exit code 1 when something is not."""
    given = load(settings, data=data, keys=keys)
    findings = _with_store(given, _examine, prepared=False)
    for finding in findings:
        tell(f"{finding.grade.value} {finding.says}")
    raise typer.Exit(1 if any(finding.grade is Grade.BAD for finding in findings) else 0)


async def _examine(store: Store) -> list[Finding]:
    return [finding async for finding in examine(store)]


def _faults(count: int) -> str:
    return "nothing is wrong" if not count else counted(count, "fault")


def _objects(count: int, size_bytes: int) -> str:
    return f"{counted(count, 'object')} ({counted(size_bytes, 'byte')})"


cli.add_typer(cli_tokens.cli, name="token")
cli.command(name="webhooks")(webhooks)
cli.command(name="nodes")(nodes)
cli.command(name="rescreen")(rescreen_command)


def main() -> None:
    """Run the command; what cannot start says why in one sentence."""
    os.umask(0o077)  # whatever we write is for this account alone
    try:
        cli()
    except CannotStart as problem:
        typer.echo(str(problem), err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
