"""Who may call a route. Every handler carries exactly one guard, or says out loud that it is public.

The application refuses to start with a handler that has none (`check_routes`), and a test looks as well.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Guard = Callable[[Handler], Handler]
Admit = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Look at the request; return None to let it in, a response to answer instead, or raise a Refusal."""


def guard(name: str, admit: Admit) -> Guard:
    """Make a decorator that lets a request through to the handler only when `admit` does."""

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            instead = await admit(request)
            return await handler(request) if instead is None else instead

        guarded.guard = name  # type: ignore[attr-defined]
        return guarded

    return decorate


def public(handler: Handler) -> Handler:
    """Anybody may call this; state-changing methods still have the cross-site check."""
    handler.guard = "public"  # type: ignore[attr-defined]
    return handler


def machine(handler: Handler) -> Handler:
    """Called by other systems, not browsers: no cross-site check; the handler authenticates the caller itself."""
    handler.guard = "machine"  # type: ignore[attr-defined]
    return handler


def guard_of(handler: Any) -> str | None:
    """Return the name of the guard a handler carries."""
    return getattr(handler, "guard", None)


def check_routes(app: web.Application) -> None:
    """Raise RuntimeError naming every route without a guard."""
    open_routes = [
        f"{route.method} {route.resource.canonical if route.resource else '?'}"
        for route in app.router.routes()
        if guard_of(route.handler) is None and not isinstance(route.resource, web.StaticResource)
    ]
    if open_routes:
        raise RuntimeError(f"routes without a guard: {', '.join(open_routes)}")
