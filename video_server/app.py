"""The wiring: the only place that puts slices, engines, gateways and subscriptions together."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Iterable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry

from video_server.accounts import views as accounts_views
from video_server.appointments import views as appointments_views
from video_server.booth import actions as booth_actions
from video_server.booth import evidence as booth_evidence
from video_server.booth import people as booth_people
from video_server.booth import statement as booth_statement
from video_server.booth import views as booth_views
from video_server.booth import ws as booth_ws
from video_server.calls.presence import SEATS, Seats
from video_server.calls.relay_metrics import RelayCollector
from video_server.calls.relays import RELAYS, Relays
from video_server.calls.turn import TURN, Turn
from video_server.config import Settings
from video_server.core import clock as wall
from video_server.core.clock import Clock
from video_server.core.database import Database
from video_server.core.events import Bus
from video_server.core.keys import KeyRing
from video_server.desk import views as desk_views
from video_server.evidence import views as evidence_views
from video_server.evidence.link import STORE, StoreLink
from video_server.phone import doors as phone_doors
from video_server.phone import evidence as phone_evidence
from video_server.phone import guests as phone_guests
from video_server.phone import interpreting as phone_interpreting
from video_server.phone import statement as phone_statement
from video_server.phone import views as phone_views
from video_server.phone import ws as phone_ws
from video_server.statements.printing import PRINTER, Printer
from video_server.texts import views as texts_views
from video_server.web import app_keys, guards, health, limits, middleware, pages, proxy, sockets, static

MAX_FORM_BYTES = 256 * 1024

ROUTES: Sequence[Iterable[web.AbstractRouteDef]] = (
    static.routes,
    health.routes,
    accounts_views.routes,
    texts_views.routes,
    appointments_views.routes,
    desk_views.routes,
    phone_doors.routes,
    phone_views.routes,
    phone_ws.routes,
    phone_guests.routes,
    phone_statement.routes,
    phone_interpreting.routes,
    phone_evidence.routes,
    booth_views.routes,
    booth_actions.routes,
    booth_ws.routes,
    booth_people.routes,
    booth_statement.routes,
    booth_evidence.routes,
    evidence_views.routes,
)


def make_app(settings: Settings, key_ring: KeyRing, *, clock: Clock = wall.utc_now) -> web.Application:
    """Make the web application of one process. Its database must be migrated."""
    ahead = (proxy.forwarded,) if settings.behind_proxy else ()
    app = web.Application(middlewares=(*ahead, *middleware.MIDDLEWARES), client_max_size=MAX_FORM_BYTES)
    force = settings.force()
    database = Database(settings.database_url)
    app[app_keys.DATABASE] = database
    app[app_keys.CLOCK] = clock
    app[app_keys.BUS] = Bus(database)
    app[app_keys.FORCE] = force
    app[app_keys.KEYS] = key_ring
    app[app_keys.PUBLIC_URL] = settings.origin
    app[app_keys.DEMO] = settings.demo
    app[limits.TRIES] = limits.Tries()
    app[texts_views.TWILIO_TOKEN] = settings.twilio_token.get_secret_value()
    app[pages.ENVIRONMENT] = pages.make_environment(force, demo=settings.demo)
    app[sockets.SOCKETS] = weakref.WeakKeyDictionary()
    app[sockets.RESTARTING] = asyncio.Event()
    app[health.CHECKS] = {"relay": lambda app: app[RELAYS].check(), "evidence": lambda app: app[STORE].check()}
    app[PRINTER] = Printer(force.name, settings.signing_identity(now=clock()), force.declarations)
    app[STORE] = StoreLink(settings.evidence_where, settings.keys_folder)
    app[RELAYS] = Relays(settings.relay_controls, database, clock)
    app[health.REGISTRY] = CollectorRegistry()
    app[health.REGISTRY].register(RelayCollector(app[RELAYS].links))
    app[SEATS] = Seats(database, clock)
    app[TURN] = Turn(settings.turn_urls, settings.turn_secret.get_secret_value())
    for table in ROUTES:
        app.add_routes(table)
    app.on_response_prepare.append(middleware.remove_server_header)
    app.on_shutdown.append(sockets.close_all)
    app.cleanup_ctx.append(_database)
    app.cleanup_ctx.append(_bus)
    app.cleanup_ctx.append(_evidence)
    app.cleanup_ctx.append(_relays)
    app.cleanup_ctx.append(_seats)
    guards.check_routes(app)
    return app


async def _database(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[app_keys.DATABASE].dispose()


async def _bus(app: web.Application) -> AsyncIterator[None]:
    async with app[app_keys.BUS].running():
        yield


async def _evidence(app: web.Application) -> AsyncIterator[None]:
    async with app[STORE].running():
        yield


async def _relays(app: web.Application) -> AsyncIterator[None]:
    async with app[RELAYS].running():
        yield


async def _seats(app: web.Application) -> AsyncIterator[None]:
    async with app[SEATS].running():
        yield
