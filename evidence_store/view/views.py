"""All routes of the pages, and what the application needs for them."""

from aiohttp import web

from evidence_store.config import Settings
from evidence_store.view import (
    chosen,
    deeds,
    dispose,
    entry,
    giving,
    glass,
    keep,
    look,
    original,
    package,
    pages,
    player,
    quarantine,
    seen,
    work,
)


def add_pages(app: web.Application, settings: Settings) -> None:
    """Add the pages to an application."""
    app[pages.ENVIRONMENT] = pages.make_environment(settings)
    app[giving.SENDING] = giving.Sending()
    for views in (
        pages,
        entry,
        look,
        deeds,
        keep,
        dispose,
        original,
        work,
        chosen,
        package,
        player,
        quarantine,
        seen,
        glass,
        giving,
    ):
        app.add_routes(views.routes)
