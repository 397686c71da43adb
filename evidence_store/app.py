"""The application: routes, the answer to every refusal, what runs beside the requests, start and end."""

import asyncio
import contextlib
import math
import os
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from evidence_store import (
    app_keys,
    clock,
    heads,
    ledger,
    migrations,
    refusals,
    repeats,
    storage,
    views_ledger,
    views_service,
)
from evidence_store.access import Handler
from evidence_store.admission.limits import Limits
from evidence_store.admission.storage import forget_repeats
from evidence_store.backend import Backend
from evidence_store.backend.folder import FolderBackend
from evidence_store.breakglass import views as breakglass_views
from evidence_store.clock import Clock
from evidence_store.config import Settings
from evidence_store.court import views as court_views
from evidence_store.custody import views as custody_views
from evidence_store.database import Database
from evidence_store.errors import BackendFailed, CannotStart, Refusal, StoreError
from evidence_store.intake import direct
from evidence_store.keeping import service as keeping
from evidence_store.keeping import storage as keeping_storage
from evidence_store.keeping import views as keeping_views
from evidence_store.log import get_logger
from evidence_store.media import views as media_views
from evidence_store.media.service import Media
from evidence_store.mirrors.service import Checkpointer
from evidence_store.nodes.passing import Passing
from evidence_store.nodes.service import Presence, read_node_id
from evidence_store.notify.service import Notifier
from evidence_store.objects import service as objects
from evidence_store.objects import views as objects_views
from evidence_store.problems import problem_response
from evidence_store.quarantine import views as quarantine_views
from evidence_store.reads import ReadLog
from evidence_store.screening.service import Screener
from evidence_store.sealing.files import read_secret
from evidence_store.sealing.keys import Keys
from evidence_store.store import Store
from evidence_store.unreadable import Runner
from evidence_store.uploads import views as uploads_views
from evidence_store.uploads.service import Uploads
from evidence_store.view import pages
from evidence_store.view.views import add_pages
from evidence_store.waiting import begin_seals
from evidence_store.webhooks.config import load_hooks
from evidence_store.webhooks.service import Postman

log = get_logger(__name__)
_SWEEP_SECONDS = 5.0
_VIEWS = (
    uploads_views,
    objects_views,
    custody_views,
    keeping_views,
    quarantine_views,
    breakglass_views,
    court_views,
    media_views,
    views_ledger,
    views_service,
)
_FAILED = "The store failed. Nothing was acknowledged."


def open_store(settings: Settings, keys: Keys, *, now: Clock = clock.utc_now) -> Store:
    """Return a store on the settings' folder, which is made and tried. Raises CannotStart."""
    try:
        backend = _open_backend(settings)
        backend.prepare()
        node = read_node_id(settings.data)
    except OSError as problem:
        raise CannotStart(f"The data folder {settings.data} cannot be used ({problem.strerror}).") from None
    except BackendFailed as problem:
        raise CannotStart(f"{problem} See EVIDENCE_S3_… in the README.") from None
    return Store(
        settings, Database(settings.database_url), backend, keys, now, load_hooks(settings.webhooks), node=node
    )


def _open_backend(settings: Settings) -> Backend:
    if not settings.s3_bucket or settings.s3_secret_file is None:
        return FolderBackend(settings.data)
    from evidence_store.backend import (
        bucket,  # 30 MB that only a bucket needs
        s3,
    )

    secret = read_secret(settings.s3_secret_file)
    return s3.S3Backend(
        settings.data,
        bucket.Address(
            settings.s3_endpoint.rstrip("/"), settings.s3_bucket, settings.s3_region, settings.s3_prefix,
            settings.s3_key_id, secret, settings.s3_ca,
        ),
    )  # fmt: skip


async def prepare(store: Store) -> None:
    """Bring the tables to this program's version and begin the ledger, where it is missing."""
    await migrations.upgrade(store.database)
    async with store.database.begin() as db:
        await ledger.prepare(db, store.keys.ledger)
        await keeping_storage.prepare(db)
    await begin_seals(store)


def make_app(store: Store) -> web.Application:
    """Return the application of one process."""
    app = web.Application(middlewares=[_answer_refusals], client_max_size=1 << 16)
    app[app_keys.STORE] = store
    app[app_keys.UPLOADS] = Uploads(store)
    app[app_keys.NOTIFIER] = Notifier(store)
    app[app_keys.MEDIA] = Media(store)
    app[app_keys.SCREENER] = Screener(store)
    app[app_keys.READS] = ReadLog(store)
    app[app_keys.LIMITS] = Limits()
    app[app_keys.PRESENCE], app[app_keys.PASSING] = Presence(store), Passing(store)
    for views in _VIEWS:
        app.add_routes(views.routes)
    add_pages(app, store.settings)
    app.on_response_prepare.append(_harden)
    app.cleanup_ctx.append(_run_beside)
    return app


async def _run_beside(app: web.Application) -> AsyncIterator[None]:
    """Finish what a crash interrupted, then sweep and notify until the end."""
    store = app[app_keys.STORE]
    await prepare(store)
    await app[app_keys.PRESENCE].enter()
    await _finish_sealing(store)
    await keeping.finish_disposals(store)
    beside = (
        app[app_keys.NOTIFIER], Checkpointer(store), app[app_keys.MEDIA], app[app_keys.SCREENER], Postman(store),
        app[app_keys.PRESENCE],
    )  # fmt: skip
    works = [_sweep(app), *(part.run() for part in beside)]
    tasks = [asyncio.create_task(work) for work in works]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await app[app_keys.PASSING].close()
    await app[app_keys.PRESENCE].leave()
    await store.close()


async def _finish_sealing(store: Store) -> None:
    async with store.database.read() as db:
        waiting = await storage.list_sealing(db, store.node)
    for stored in waiting:
        try:
            await objects.settle(store, stored, actor="system:start", waits=False)
        except (StoreError, OSError) as problem:  # one broken object must not keep the others from being received
            log.error("object_not_settled", object=stored.id, problem=type(problem).__name__)


async def _sweep(app: web.Application) -> None:
    store = app[app_keys.STORE]
    while True:  # at once: what a kill just behind the sealing left, an ingest key too, must not live on
        try:
            if not store.is_fenced:
                await _finish_sealing(store)
                await app[app_keys.UPLOADS].sweep()
            await keeping.finish_disposals(store)
            async with store.database.begin() as db:
                await forget_repeats(db, before=store.clock() - repeats.KEPT)
        except Exception:
            log.exception("sweep_failed")
        await asyncio.sleep(_SWEEP_SECONDS)


@web.middleware
async def _answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    started = clock.monotonic()
    try:
        heads.check_head(request.headers)
        response = await handler(request)
    except Refusal as refusal:
        await refusals.note(request, refusal)
        response = _tell(request, refusal.status, refusal.code, refusal.title, refusal.detail)
        response.headers.update(refusal.headers)
        if refusal.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if refusal.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(math.ceil(refusal.retry_after_seconds))
    except web.HTTPException as refusal:
        response = _tell(request, refusal.status, refusal.reason.lower().replace(" ", "_"), refusal.reason, "")
        if "Allow" in refusal.headers:  # which methods there are (RFC 9110, 15.5.6)
            response.headers["Allow"] = refusal.headers["Allow"]
    except StoreError as problem:
        log.error("request_failed", problem=str(problem))
        response = _tell(request, 500, "failed", _FAILED, "")
    except Exception:
        log.exception("request_failed")
        response = _tell(request, 500, "failed", _FAILED, "")
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unknown"
    views_service.REQUESTS.labels(route, request.method, response.status).inc()
    views_service.SECONDS.labels(route).observe(clock.monotonic() - started)
    return response


def _tell(request: web.Request, status: int, code: str, title: str, detail: str) -> web.Response:
    """Tell a refusal to whoever asked: a page to a person, problem+json to a program."""
    told = pages.tell(request, status, code, title, detail) if pages.is_page(request) else None
    return told or problem_response(status, code, title, detail)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
    if direct.TAKEN_OVER in request:
        response.force_close()
        response.headers["Connection"] = "close"
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    if request.path.startswith("/evidence/files/"):
        response.headers.setdefault("Tus-Resumable", "1.0.0")


@contextlib.asynccontextmanager
async def running(app: web.Application, settings: Settings) -> AsyncIterator[str]:
    """Listen where the settings say; give the address. Raises CannotStart."""
    runner = Runner(
        app,
        access_log=None,
        handler_cancellation=False,  # bytes of a broken connection are still made durable
        shutdown_timeout=10,
        lingering_time=5,  # how long a refused body is read, so that its sender sees the refusal
        read_bufsize=1 << 14,  # what of a body may wait until it is taken up; `inlet.py` widens it for large ones
    )
    await runner.setup()
    context = None
    try:
        if settings.tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(settings.tls / "cert.pem", settings.tls / "key.pem")
        if settings.listen.startswith("unix:"):
            path = settings.listen.removeprefix("unix:")
            site: web.BaseSite = web.UnixSite(runner, path, ssl_context=context)
        else:
            host, _, port = settings.listen.rpartition(":")
            site = web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=context)
        await site.start()
        if isinstance(site, web.UnixSite):
            os.chmod(settings.listen.removeprefix("unix:"), 0o600)
    except OSError as problem:
        await runner.cleanup()
        raise CannotStart(f"The store cannot listen on {settings.listen} ({problem.strerror}).") from None
    try:
        if isinstance(site, web.TCPSite):
            host, port_used = runner.addresses[0][:2]
            yield f"{host}:{port_used}"
        else:
            yield settings.listen
    finally:
        await runner.cleanup()
