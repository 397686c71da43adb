"""`/healthz` (this process answers), `/readyz` (it can do its work), `/metrics` (Prometheus)."""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from video_server.core import events
from video_server.core.errors import NotFound, Refusal
from video_server.core.log import get_logger
from video_server.web import app_keys, guards

log = get_logger(__name__)

Check = Callable[[web.Application], Awaitable[None]]
CHECKS: web.AppKey[dict[str, Check]] = web.AppKey("checks")
"""Name of a part to a check that raises when the part cannot work."""
REGISTRY: web.AppKey[CollectorRegistry] = web.AppKey("registry")
"""What is collected for one application; the figures of the process stand in prometheus_client's own registry."""

routes = web.RouteTableDef()


@routes.get("/healthz", name="health.alive")
@guards.machine
async def alive(_request: web.Request) -> web.Response:
    """Say that this process answers."""
    return web.json_response({"status": "ok"})


@routes.get("/readyz", name="health.ready")
@guards.machine
async def ready(request: web.Request) -> web.Response:
    """Say whether each part works: 200, or 503 with the parts that do not."""
    parts: dict[str, str] = {}
    checks = request.app[CHECKS]
    for name, check in [("database", check_database), *checks.items()]:
        try:
            await check(request.app)
            parts[name] = "ok"
        except Refusal as refusal:  # what a part says of itself, at every start too: no fault of this process
            log.info("not_ready", part=name, code=refusal.code)
            parts[name] = "failed"
        except Exception:
            log.warning("not_ready", part=name, exc_info=True)
            parts[name] = "failed"
    fine = all(state == "ok" for state in parts.values())
    return web.json_response({"status": "ok" if fine else "failed", "parts": parts}, status=200 if fine else 503)


@routes.get("/metrics", name="health.metrics")
@guards.machine
async def metrics(request: web.Request) -> web.Response:
    """Give the figures of this process in Prometheus' text form; not found for who asks from the Internet.

    They tell when calls are held and how many: that is nobody's business outside.
    """
    if _is_of_the_internet(request.remote):
        raise NotFound
    body = generate_latest() + generate_latest(request.app[REGISTRY])
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _is_of_the_internet(address: str | None) -> bool:
    try:
        ip = ip_address(address or "")
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_global


async def check_database(app: web.Application) -> None:
    """Raise when the database cannot be read."""
    async with app[app_keys.DATABASE].read() as db:
        await events.newest(db)
