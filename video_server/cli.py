"""The `video-server` command. What is heavy is imported by the command that needs it, so that --help is quick."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from video_server.core.errors import CannotStart, Refusal

if TYPE_CHECKING:
    from video_server.accounts.model import Role
    from video_server.config import Settings
    from video_server.core.database import Database

T = TypeVar("T")

app = typer.Typer(
    help="Video appointments for victims of crime. Settings come from the environment (VIDEO_…) or --config FILE.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
staff_app = typer.Typer(help="Accounts of staff.", no_args_is_help=True)
app.add_typer(staff_app, name="staff")

Config = Annotated[Path | None, typer.Option("--config", help="File of VIDEO_NAME=value lines; the environment wins.")]
ParentPipe = Annotated[
    bool,
    typer.Option("--parent-pipe", help="Begin at a line on standard input, end when that ends (serve starts it so)."),
]


def main() -> None:
    """Run the command; what stops it is told in one sentence on standard error, with exit code 1."""
    os.umask(0o077)  # whatever we write is for this account alone
    try:
        app()
    except CannotStart as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(1)


@app.command()
def serve(
    config: Config = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Invented force, staff and victim; texts on a page. Never for real use.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [default: 8080]")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for database and sockets. [default: data]")] = None,
    tls: Annotated[
        str | None, typer.Option(help="'self-signed' (with --demo), or a folder with cert.pem and key.pem.")
    ] = None,
) -> None:
    """Run all of it on this machine: migrate, start relay, scheduler and web, bring back what dies."""
    from video_server import serve as everything

    everything.main(config, {"demo": demo or None, "host": host, "port": port, "data": data, "tls": tls})


@app.command()
def prepare(config: Config = None) -> None:
    """Migrate the database, and make the keys if it is a new one. serve does this itself."""
    from video_server import checks
    from video_server.prepare import prepare as prepare_all

    settings = _load(config)
    checks.make_data_folder(settings)
    asyncio.run(prepare_all(settings))


@app.command()
def doctor(
    config: Config = None,
    demo: Annotated[bool, typer.Option("--demo", help="Look at a demo's data folder.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder for database and sockets. [default: data]")] = None,
) -> None:
    """Look at every part, from settings to Twilio; say what is wrong and how to mend it."""
    from video_server import doctor as examination
    from video_server.config import load

    settings = load(config, demo=demo or None, data=data, texts="screen" if demo else None)
    findings = asyncio.run(examination.examine(settings))
    for finding in findings:
        typer.echo(f"{'well' if finding.is_well else 'WRONG':6} {finding.part:15} {finding.said}")
    if not all(finding.is_well for finding in findings):
        sys.exit(1)


@app.command()
def web(
    config: Config = None,
    parent_pipe: ParentPipe = False,
    socket: Annotated[
        int | None, typer.Option("--socket", help="Descriptor of a listening socket to use instead of host and port.")
    ] = None,
) -> None:
    """Run one web process: pages and sockets. The database must be migrated (prepare)."""
    settings = _load(config)
    from video_server import web_process

    _wait_for_parent(parent_pipe)
    web_process.main(settings, listening=socket, parent_pipe=parent_pipe)


@app.command()
def relay(
    config: Config = None,
    parent_pipe: ParentPipe = False,
    name: Annotated[str, typer.Option(help="Its name on this machine: 1, 2, ….")] = "1",
) -> None:
    """Run one relay process: it forwards sound and pictures, and knows no names. It needs no keys and no database."""
    from video_server.config import load

    settings = load(config)
    from video_server.relay import remote, server

    control: Path | remote.Listening = settings.relay_socket(name)
    if settings.relay_listen and settings.relay_tls is not None:
        where, secret = remote.parse_where(settings.relay_listen), settings.relay_secret.get_secret_value()
        control = remote.Listening(*where, secret, settings.relay_tls)
    else:
        settings.relay_socket(name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _wait_for_parent(parent_pipe)
    server.main(
        server.RelaySettings(
            control=control,
            udp_port=settings.media_port,
            addresses=settings.media_addresses,
            parent_pipe=parent_pipe,
            forwarder=settings.relay_forwarder,
            drains=settings.relay_drains(name),
        )
    )


@app.command()
def drain(
    name: Annotated[str, typer.Argument(help="The relay: 1, 2, …, or its name in VIDEO_RELAYS_ELSEWHERE.")],
    config: Config = None,
    off: Annotated[bool, typer.Option("--off", help="Let it take new calls again.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Come back when its last call has ended.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder for database and sockets. [default: data]")] = None,
) -> None:
    """Have a relay finish its calls and take no new ones, before it is stopped.

    One that dies comes back draining; one that was stopped and is started again takes calls.
    """
    from video_server import drain as draining
    from video_server.config import load

    for line in draining.run(load(config, data=data), name, on=not off, wait=wait):
        typer.echo(line)


@app.command()
def scheduler(config: Config = None, parent_pipe: ParentPipe = False) -> None:
    """Run one scheduler: it sends the texts that are due and tidies up. Several at once send nothing twice."""
    settings = _load(config)
    from video_server import scheduler as timed

    timed.main(settings, parent_pipe=parent_pipe)


@staff_app.command("add")
def add_staff(
    username: Annotated[str, typer.Argument(help="What the person types to sign in; lower case.")],
    name: Annotated[str, typer.Option(help="As victims see it, such as 'PC Smith'.")],
    role: Annotated[list[str], typer.Option(help="officer, call_handler, supervisor, …; may be repeated.")],
    collar_number: Annotated[str, typer.Option(help="Collar number, as victims see it.")] = "",
    ask: Annotated[bool, typer.Option("--ask", help="Ask for the password instead of making one.")] = False,
    config: Config = None,
) -> None:
    """Make an account and print its password once."""
    from video_server.accounts import passwords
    from video_server.accounts import service as accounts
    from video_server.core.clock import utc_now

    roles = _roles(role)
    if not 1 <= len(username) <= 60 or username != username.lower().strip() or " " in username:
        raise CannotStart("A username is 1 to 60 characters, lower case, without spaces.")
    if not 1 <= len(name) <= 80 or len(collar_number) > 20:
        raise CannotStart("A name is 1 to 80 characters, a collar number at most 20.")
    password = _password(ask=ask)

    async def add(database: "Database") -> None:
        password_hash = await passwords.hash_password(password)
        async with database.begin() as db:
            await accounts.add_staff(
                db,
                username=username,
                name=name,
                collar_number=collar_number,
                roles=roles,
                password_hash=password_hash,
                now=utc_now(),
            )

    _with_database(config, add)
    typer.echo(f"Added {username}." + ("" if ask else f" Password, shown once: {password}"))


@staff_app.command("list")
def list_staff(config: Config = None) -> None:
    """List accounts: username, name, collar number, roles."""
    from video_server.accounts import service as accounts

    async def read(database: "Database") -> list[str]:
        async with database.read() as db:
            return [
                "\t".join((person.username, person.name, person.collar_number, ",".join(sorted(person.roles))))
                for person in await accounts.list_staff(db)
            ]

    for line in _with_database(config, read):
        typer.echo(line)


@staff_app.command("password")
def set_password(
    username: Annotated[str, typer.Argument(help="Whose password.")],
    ask: Annotated[bool, typer.Option("--ask", help="Ask for the password instead of making one.")] = False,
    config: Config = None,
) -> None:
    """Give an account a new password, lift its lock-out, end its sessions; print the password once."""
    from video_server.accounts import passwords
    from video_server.accounts import service as accounts
    from video_server.core.clock import utc_now

    password = _password(ask=ask)

    async def change(database: "Database") -> None:
        password_hash = await passwords.hash_password(password)
        async with database.begin() as db:
            person = await accounts.find_by_username(db, username)
            if person is None:
                raise CannotStart(f"There is no account {username}: 'video-server staff list' shows those that exist.")
            await accounts.set_password(db, person.id, password_hash=password_hash, now=utc_now())

    _with_database(config, change)
    typer.echo(f"Changed {username}." + ("" if ask else f" Password, shown once: {password}"))


@staff_app.command("disable")
def disable_staff(
    username: Annotated[str, typer.Argument(help="Whose account.")],
    config: Config = None,
) -> None:
    """Let nobody sign in with an account any more, and end its sessions at once."""
    from video_server.accounts import service as accounts
    from video_server.core.clock import utc_now

    async def disable(database: "Database") -> None:
        async with database.begin() as db:
            person = await accounts.find_by_username(db, username)
            if person is None:
                raise CannotStart(f"There is no account {username}: 'video-server staff list' shows those that exist.")
            await accounts.disable(db, person.id, now=utc_now())

    _with_database(config, disable)
    typer.echo(f"Disabled {username}.")


def _load(config: Path | None) -> "Settings":
    from video_server import checks
    from video_server.config import load

    settings = load(config)
    checks.check_real_use(settings)
    return settings


def _wait_for_parent(parent_pipe: bool) -> None:
    if parent_pipe and not os.read(sys.stdin.fileno(), 64):
        sys.exit(0)


def _roles(names: list[str]) -> "list[Role]":
    from video_server.accounts.model import Role

    try:
        return [Role(name) for name in names]
    except ValueError:
        raise CannotStart(f"Roles are: {', '.join(Role)}.") from None


def _password(*, ask: bool) -> str:
    from video_server.core import keys

    if not ask:
        return keys.new_password()
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    if not 12 <= len(password) <= 200:
        raise CannotStart("A password is 12 to 200 characters.")
    return password


def _with_database(config: Path | None, act: "Callable[[Database], Awaitable[T]]") -> T:
    from video_server.config import load
    from video_server.core.database import Database, DatabaseFault

    url = load(config).database_url

    async def run() -> T:
        database = Database(url)
        try:
            return await act(database)
        finally:
            await database.dispose()

    try:
        return asyncio.run(run())
    except Refusal as refusal:
        raise CannotStart(refusal.public) from None
    except DatabaseFault:
        raise CannotStart("The database cannot be used: has 'video-server prepare' or 'serve' been run?") from None
