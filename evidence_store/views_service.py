"""For operators and tools: health, metrics, the OpenAPI document."""

import os

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from evidence_store import access, app_keys, ledger, storage
from evidence_store.admission import limits
from evidence_store.media import storage as media_storage
from evidence_store.mirrors import service as mirrors
from evidence_store.model import RunKind
from evidence_store.notify import storage as news
from evidence_store.openapi import document
from evidence_store.schemas import Health
from evidence_store.screening import storage as screening_storage
from evidence_store.screening.rescreen import OUTCOMES
from evidence_store.webhooks.model import Standing
from evidence_store.webhooks.storage import list_standings

routes = web.RouteTableDef()
REGISTRY = CollectorRegistry()
REQUESTS = Counter("evidence_requests_total", "Requests answered", ["route", "method", "status"], registry=REGISTRY)
SECONDS = Histogram("evidence_request_seconds", "How long requests took", ["route"], registry=REGISTRY)
_OPEN = Gauge("evidence_open_uploads", "Uploads open", registry=REGISTRY)
_WAITING = Gauge("evidence_waiting_events", "Events the web server has not taken", registry=REGISTRY)
_LEDGER = Gauge("evidence_ledger_lines", "Lines in the ledger", registry=REGISTRY)
_KEPT_AT = Gauge(
    "evidence_mirrored_lines", "Ledger lines that a mirror's checkpoint covers", ["mirror"], registry=REGISTRY
)
_MIRROR_FAILS = Gauge("evidence_mirror_failing", "1 while a mirror takes no checkpoint", ["mirror"], registry=REGISTRY)
_RUN_AT = Gauge(
    "evidence_run_finished_seconds", "When the last run of a kind ended (Unix)", ["kind"], registry=REGISTRY
)
_RUN_FAULTS = Gauge("evidence_run_faults", "Faults that the last run of a kind found", ["kind"], registry=REGISTRY)
_RUN_OPEN = Gauge(
    "evidence_run_unfinished", "1 while a run is under way, or was interrupted", ["kind"], registry=REGISTRY
)
_SCREENINGS_WAITING = Gauge(
    "evidence_screenings_waiting", "Objects without a verdict, some of them in quarantine for it", registry=REGISTRY
)
_SCREENED = Gauge("evidence_screened", "Verdicts since the start of this process", ["verdict"], registry=REGISTRY)
_RESCREENED = Gauge("evidence_rescreened", "What the last rescreen came to, by outcome", ["outcome"], registry=REGISTRY)
_LOOKS_WAITING = Gauge("evidence_looks_waiting", "Objects that wait to be looked into", registry=REGISTRY)
_PREVIEWS = Gauge("evidence_previews", "How looks for a preview ended, since the start", ["end"], registry=REGISTRY)
_PREVIEWS_OFF = Gauge("evidence_previews_off", "1 while no previews are made here", registry=REGISTRY)
_HOOK_WAITING = Gauge("evidence_webhook_waiting", "News that a webhook has not taken", ["webhook"], registry=REGISTRY)
_HOOK_DEAD = Gauge("evidence_webhook_given_up", "News given up for a webhook", ["webhook"], registry=REGISTRY)
_NOT_VOUCHED = Gauge(
    "evidence_not_vouched", "How often a row was met that the ledger does not vouch for, since the start",
    registry=REGISTRY,
)  # fmt: skip
_MIN_FREE_BYTES = 1 << 30


@routes.get("/healthz", name="service.health")
@access.public
async def health(_request: web.Request) -> web.Response:
    """Say that the process lives."""
    return web.json_response(Health(status="ok").model_dump())


@routes.get("/readyz", name="service.ready")
@access.public
async def ready(request: web.Request) -> web.Response:
    """Say whether evidence can be taken now: database, ledger, disk."""
    store = request.app[app_keys.STORE]
    problems = []
    try:
        async with store.database.read() as db:
            ledger.open_head(store.keys.ledger, await ledger.read_head(db))
    except ledger.HeadForged:
        problems.append("The ledger's head was not written by this store: run 'evidence-store verify'.")
    except Exception:  # noqa: BLE001 — whatever it is, the store is not ready
        problems.append("The database does not answer.")
    disk = os.statvfs(store.backend.root)
    if disk.f_bavail * disk.f_frsize < _MIN_FREE_BYTES:
        problems.append("Less than 1 GiB of disk is free.")
    answer = Health(status="failing" if problems else "ok", problems=problems)
    return web.json_response(answer.model_dump(), status=503 if problems else 200)


@routes.get("/metrics", name="service.metrics")
@access.public
async def metrics(request: web.Request) -> web.Response:
    """Return figures for Prometheus; the forwarder does not pass this path."""
    store = request.app[app_keys.STORE]
    for number, state in enumerate((await mirrors.states_of(store)).values(), start=1):
        _KEPT_AT.labels(number).set(state.size if state else 0)
        _MIRROR_FAILS.labels(number).set(bool(state and state.problem))
    media = request.app[app_keys.MEDIA]
    for verdict, count in request.app[app_keys.SCREENER].verdicts.items():
        _SCREENED.labels(verdict).set(count)
    _PREVIEWS_OFF.set(bool(media.why_off))
    _NOT_VOUCHED.set(store.not_vouched)
    for end, count in media.made.items():
        _PREVIEWS.labels(end).set(count)
    async with store.database.read() as db:
        standings = await list_standings(db)
        for name in {hook.name for hook in store.hooks} | standings.keys():
            standing = standings.get(name, Standing())
            _HOOK_WAITING.labels(name).set(standing.waiting)
            _HOOK_DEAD.labels(name).set(standing.dead)
        for kind in RunKind:
            last = await storage.find_newest_run(db, kind, finished=True)
            if last is not None and last.finished_at is not None:
                _RUN_AT.labels(kind.value).set(last.finished_at.timestamp())
                _RUN_FAULTS.labels(kind.value).set(last.faults)
                for outcome in OUTCOMES if kind is RunKind.RESCREEN else ():
                    _RESCREENED.labels(outcome).set(last.details[outcome])
            _RUN_OPEN.labels(kind.value).set(await storage.find_newest_run(db, kind, finished=False) is not None)
        _SCREENINGS_WAITING.set(await screening_storage.count_waiting(db))
        _LOOKS_WAITING.set(await media_storage.count_waiting(db))
        _OPEN.set(await storage.count_open_uploads(db))
        _WAITING.set(await news.count_waiting_events(db))
        _LEDGER.set((await ledger.read_head(db)).size)
    figures = b"".join(generate_latest(registry) for registry in (REGISTRY, limits.REGISTRY))
    return web.Response(body=figures, headers={"Content-Type": "text/plain; version=0.0.4"})


@routes.get("/evidence/v1/openapi.json", name="service.openapi")
@access.public
async def openapi(_request: web.Request) -> web.Response:
    """Return the API's description."""
    return web.json_response(document())
