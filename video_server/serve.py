"""`video-server serve`: all of it on one machine. This process prepares, then only looks after the others.

serve ─┬─ evidence    the evidence store, a program of its own, unless VIDEO_EVIDENCE_URL names another
       ├─ relay × n   packets, one for each core; they outlive a restart of web
       ├─ scheduler   texts and other timed work
       └─ web         pages and sockets; the listening socket is held here, so a restart refuses nobody
"""

import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import typer

from video_server import checks
from video_server.children import Child
from video_server.config import Settings, load
from video_server.core.clock import monotonic, utc_now
from video_server.core.errors import CannotStart
from video_server.core.keys import make_certificate
from video_server.core.log import configure, get_logger

HEALTHY_WITHIN_SECONDS = 180.0
"""Long, for a busy or a small machine is only slow; what has ended ends the start at once."""

_LOOK_EVERY_SECONDS = 0.05
log = get_logger(__name__)


def main(config: Path | None, given: Mapping[str, object]) -> None:
    """Run everything until SIGTERM or SIGINT. `given` are the settings of the command line. Raises CannotStart."""
    settings = complete(load(config, **given))
    configure("serve", level=settings.log_level)
    checks.check_real_use(settings)
    checks.check_built()
    checks.check_relays(settings)
    checks.make_data_folder(settings)
    lock = checks.lock_data_folder(settings)
    for name in settings.relay_names:
        settings.relay_drains(name).unlink(missing_ok=True)  # a machine that lost its power was stopped, too
    listening = checks.listen(settings)
    try:
        asyncio.run(_run(settings, config, listening))
    finally:
        listening.close()
        os.close(lock)


def complete(settings: Settings) -> Settings:
    """Fill in what a demo means where nothing else was asked for, and an absolute data folder."""
    more: dict[str, object] = {"data": settings.data.absolute()}
    if settings.demo:
        if "texts" not in settings.model_fields_set:
            more["texts"] = "screen"
        if settings.tls and not settings.public_url and settings.host in {"0.0.0.0", "::"}:  # noqa: S104 (compared)
            more["public_url"] = f"https://{own_addresses()[0]}:{settings.port}"  # a phone must reach it
    return settings.model_copy(update=more)


def own_addresses() -> list[str]:
    """Return this machine's IPv4 addresses, those that other machines may reach first."""
    import ifaddr

    found = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return sorted(found, key=lambda address: (checks.is_loopback(address), address.startswith("172."))) or ["127.0.0.1"]


async def _run(settings: Settings, config: Path | None, listening: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # explicitly: a shell's background job inherits SIGINT ignored
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    children = make_children(settings, config, listening)
    starting = asyncio.create_task(_start(settings, children), name="start")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            for line in starting.result():
                _say(line)
            for child in children:
                child.settle()
            await stopping
        log.debug("stopping")
    finally:
        starting.cancel()
        stopping.cancel()
        with suppress(asyncio.CancelledError, Exception):  # told above, or we are stopping anyway
            await starting
        await asyncio.gather(*(child.stop() for child in children))


def make_children(settings: Settings, config: Path | None, listening: socket.socket) -> Sequence[Child]:
    """Return the parts, those first that others need, not yet started."""
    told = ["--parent-pipe", *(["--config", str(config.absolute())] if config else [])]
    environment = os.environ | {
        f"VIDEO_{name.upper()}": value
        for name, value in {
            "demo": str(settings.demo).lower(),
            "data": str(settings.data),
            "host": settings.host,
            "port": str(settings.port),
            "tls": str(settings.tls),
            "texts": settings.texts,
            "public_url": settings.public_url,
            "relays": str(len(settings.relay_names)),
            "relay_listen": "",
        }.items()
    }
    descriptor = listening.fileno()
    store = () if settings.evidence_url else (make_store(settings),)
    return (
        *store,
        *make_relays(settings, told, environment),
        Child("scheduler", told, environment=environment),
        Child("web", [*told, "--socket", str(descriptor)], environment=environment, descriptors=[descriptor]),
    )


def make_relays(settings: Settings, told: Sequence[str], environment: Mapping[str, str]) -> Sequence[Child]:
    """Return this machine's relays; the k-th has the k-th port from VIDEO_MEDIA_PORT on, where that is set."""
    return [
        Child(
            f"relay {name}",
            [*told, "--name", name],
            environment={
                **environment,
                "VIDEO_MEDIA_PORT": str(settings.media_port + order if settings.media_port else 0),
            },
        )
        for order, name in enumerate(settings.relay_names)
    ]


def make_store(settings: Settings) -> Child:
    """Return the evidence store as a part. Its own settings (EVIDENCE_…) win, but for where it listens.

    It does not wait for its turn: it has ground of its own. Its keys are made on the very first start only.
    """
    own = {
        "EVIDENCE_DATA": str(settings.data / "evidence"),
        "EVIDENCE_KEYS": str(evidence_keys(settings)),
        "EVIDENCE_LOG_LEVEL": settings.log_level,
        "EVIDENCE_FORCE_NAME": settings.force_name,
        "EVIDENCE_TIMEZONE": settings.timezone,
        **notify(settings),
    }
    if settings.demo:
        own["EVIDENCE_BREAK_GLASS_ROLES"] = "officer"  # a force decides this; the demo shows it
    environment = own | os.environ | {"EVIDENCE_LISTEN": settings.evidence_where}
    return Child(
        "evidence",
        ["serve", "--parent-pipe", "--first-share", str(settings.keys_folder.absolute())],
        environment=environment,
        program=["evidence_store.cli"],
    )


def evidence_keys(settings: Settings) -> Path:
    """Return the store's key folder, beside ours and apart from it: web never holds what opens evidence."""
    ours = settings.keys_folder.absolute()
    return ours.with_name(f"{ours.name}-evidence")


def notify(settings: Settings) -> dict[str, str]:
    """Return where the store tells web its news; nothing where it could only be told in the clear.

    Without news web still learns: the phone says when it has sent everything, and web asks the store.
    """
    if settings.tls == "self-signed":
        host = "localhost" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 (compared, not bound)
        trusted = str(settings.data / "demo" / "tls" / "cert.pem")
        return {
            "EVIDENCE_NOTIFY_URL": f"https://{host}:{settings.port}/evidence-events",
            "EVIDENCE_NOTIFY_CA": trusted,
        }
    if settings.tls:
        return {"EVIDENCE_NOTIFY_URL": f"{settings.origin}/evidence-events"}
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 (compared, not bound)
    if not checks.is_loopback(host):
        return {}
    return {"EVIDENCE_NOTIFY_URL": f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/evidence-events"}


async def _start(settings: Settings, children: Sequence[Child]) -> list[str]:
    """Prepare, start every child, wait until all is healthy; return the lines to print. Raises CannotStart."""
    if settings.tls == "self-signed":
        make_certificate(settings.data / "demo" / "tls", hosts=["localhost", *own_addresses()], now=utc_now())
    for child in children:
        child.start()  # they import while the ground is made ready, and begin when told to
    from video_server.prepare import prepare  # late: SQLAlchemy and alembic are heavy

    key_ring = await prepare(settings)
    lines = []
    if settings.demo:
        from video_server import demo

        lines = demo.say(settings, await demo.ensure(settings, key_ring, now=utc_now()))
    for child in children:
        child.go()
    await _wait_until_healthy(settings, children)
    return [*lines, *_tell(settings)]


def _tell(settings: Settings) -> list[str]:
    folders = [settings.keys_folder.absolute(), *([] if settings.evidence_url else [evidence_keys(settings)])]
    keys = f"  Keys             {' and '.join(map(str, folders))}: back up apart from the data folder"
    if not settings.demo:
        return [f"Video appointments are running at {settings.origin}", keys]
    if not settings.tls and not checks.is_loopback(settings.host):
        return [
            keys,
            "  Over plain HTTP, browsers on other machines can neither sign in nor use a camera: to try one, start "
            "again with TLS=self-signed.",
        ]
    return [keys]


async def _wait_until_healthy(settings: Settings, children: Sequence[Child]) -> None:
    until = monotonic() + HEALTHY_WITHIN_SECONDS
    trust = None
    if settings.tls:
        from video_server.web_process import tls_folder

        trust = _trust(tls_folder(settings))
    said = "no answer"
    while monotonic() < until:
        if failed := [child.name for child in children if child.failed_early.is_set()]:
            raise CannotStart(f"The {failed[0]} process could not start; the line above says why.")
        with suppress(OSError, http.client.HTTPException, ValueError):
            status, answer = await asyncio.to_thread(_ask, settings, trust)
            if status == 200 and all(_answers(settings.relay_socket(name)) for name in settings.relay_names):
                return
            said = ", ".join(name for name, state in answer.get("parts", {}).items() if state != "ok") or f"{status}"
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    raise CannotStart(f"The server did not become healthy within {HEALTHY_WITHIN_SECONDS:.0f} seconds ({said}).")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _ask(settings: Settings, trust: ssl.SSLContext | None) -> tuple[int, dict[str, dict[str, str]]]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 (compared, not bound)
    connection: http.client.HTTPConnection
    if trust is not None:
        connection = http.client.HTTPSConnection(host, settings.port, timeout=2, context=trust)
    else:
        connection = http.client.HTTPConnection(host, settings.port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read(65_536))
    finally:
        connection.close()


def _trust(folder: Path | None) -> ssl.SSLContext | None:
    """Return a client context that trusts our own certificate alone, whatever name it bears."""
    if folder is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(folder / "cert.pem")
    except (OSError, ssl.SSLError) as problem:
        raise CannotStart(f"The certificate in {folder} cannot be read: cert.pem must be there.") from problem
    return context


def _say(line: str) -> None:
    """Print at once; nobody may be listening."""
    with suppress(OSError):
        typer.echo(line)
