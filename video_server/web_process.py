"""The web application as a process: listens, serves, ends within seconds and tells every open page."""

import asyncio
import functools
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from pathlib import Path

import uvloop
from aiohttp import web

from evidence_store.unreadable import Runner
from video_server import checks
from video_server.app import make_app
from video_server.config import Settings
from video_server.core.errors import CannotStart
from video_server.core.keys import load_keys, refuse_open
from video_server.core.log import configure, get_logger
from video_server.web import unreadable

SHUTDOWN_SECONDS = 3.0
_STUCK_SECONDS = 6.0
log = get_logger(__name__)


def main(settings: Settings, *, listening: int | None = None, parent_pipe: bool = False) -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent's pipe.

    listening     descriptor of a socket that already listens; it outlives a restart of this process, so that whoever
                  connects meanwhile waits instead of being refused
    parent_pipe   end when standard input ends, that is with the process that started us
    Raises        CannotStart
    """
    configure("web", level=settings.log_level)
    checks.check_built()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listening=listening, parent_pipe=parent_pipe))


async def _serve(settings: Settings, *, listening: int | None, parent_pipe: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # explicitly: a shell's background job inherits SIGINT ignored
        loop.add_signal_handler(number, stop.set)
    if parent_pipe:
        threading.Thread(target=_watch_parent, args=(loop, stop), name="parent-pipe", daemon=True).start()
    tls = tls_context(settings)
    key_ring = load_keys(settings.keys_folder, create=False)
    app = make_app(settings, key_ring)
    runner = Runner(
        app,
        functools.partial(unreadable.tell, app),
        access_log=None,
        logger=_server_log(),
        handler_cancellation=False,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        sock = checks.listen(settings) if listening is None else socket.socket(fileno=listening)
        await web.SockSite(runner, sock, ssl_context=tls).start()
        log.info("web_ready", port=settings.port)
        await stop.wait()
        log.info("web_stopping")
    finally:
        _end_even_if_stuck()
        await runner.cleanup()


def _server_log() -> logging.Logger:
    """Return the log of what reaches no handler of ours."""
    server = logging.getLogger("video_server.web.server")
    server.addFilter(_leave_out_whose)
    return server


def _leave_out_whose(record: logging.LogRecord) -> bool:
    """Whose request it is is never logged."""
    if record.args:
        record.msg = record.msg.replace(" from %s", "")
    record.args = ()
    return True


def tls_folder(settings: Settings) -> Path | None:
    """Return the folder with cert.pem and key.pem, None for plain HTTP."""
    if settings.tls == "self-signed":
        return settings.data / "demo" / "tls"
    return Path(settings.tls) if settings.tls else None


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what serves HTTPS, None for plain HTTP. Raises CannotStart."""
    folder = tls_folder(settings)
    if folder is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        refuse_open(folder / "key.pem", "The key")
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    except (OSError, ssl.SSLError) as problem:
        raise CannotStart(f"The certificate in {folder} cannot be used: cert.pem and key.pem must fit.") from problem
    return context


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)
    _end_even_if_stuck()


def _end_even_if_stuck() -> None:
    """Leave no process behind when the loop does not come back."""
    timer = threading.Timer(_STUCK_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
