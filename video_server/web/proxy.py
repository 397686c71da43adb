"""Behind a reverse proxy: put the caller's own address and scheme in place before anything looks at them."""

from ipaddress import ip_address

from aiohttp import web

from video_server.web.guards import Handler


def nearest_address(forwarded_for: str) -> str | None:
    """Return the last address of X-Forwarded-For, the one our own proxy wrote; whoever calls can write the others."""
    last = forwarded_for.rpartition(",")[2].strip()
    try:
        return str(ip_address(last))
    except ValueError:
        return None


@web.middleware
async def forwarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Take X-Forwarded-For and X-Forwarded-Proto at their word. Installed only with VIDEO_BEHIND_PROXY."""
    address = nearest_address(",".join(request.headers.getall("X-Forwarded-For", [])))
    scheme = "https" if request.headers.get("X-Forwarded-Proto", "").lower() == "https" else request.scheme
    request = request.clone(remote=address or request.remote or "", scheme=scheme)  # one clone: a second forgets these
    return await handler(request)
