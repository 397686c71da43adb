"""Files that browsers fetch: ours under `/static/<build>/`, GOV.UK's script beside them. No fonts, no crown."""

from pathlib import Path

from aiohttp import web

from video_server.core.errors import NotFound
from video_server.web import guards
from video_server.web.pages import ROOT, build

routes = web.RouteTableDef()

_LIBRARIES = {
    "lib/govuk-frontend.min.js": "node_modules/govuk-frontend/dist/govuk/govuk-frontend.min.js",
    "lib/signature_pad.min.js": "node_modules/signature_pad/dist/signature_pad.min.js",
    "lib/tus.min.js": "node_modules/tus-js-client/dist/tus.min.js",
    **{f"lib/noble/{name}.js": f"node_modules/@noble/hashes/{name}.js" for name in ("sha2", "_md", "_u64", "utils")},
}
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".mp3": "audio/mpeg",
}


def find_file(path: str) -> Path | None:
    """Return the file for a path below `/static/<build>/`, or None; nothing outside the folder, no other type."""
    if path in _LIBRARIES:
        return ROOT / _LIBRARIES[path]
    folder = (ROOT / "static").resolve()
    try:
        file = (folder / path).resolve()
        return file if file.is_relative_to(folder) and file.is_file() and file.suffix in _TYPES else None
    except (OSError, ValueError):  # a name that is too long, or holds a NUL
        return None


@routes.get("/static/{build}/{path:.+}", name="static")
@guards.public
async def static(request: web.Request) -> web.StreamResponse:
    """Send a file; the address holds a digest of the build, so it may be kept for a year."""
    file = find_file(request.match_info["path"])
    if file is None:
        raise NotFound
    same = request.match_info["build"] == build()
    return web.FileResponse(
        file,
        headers={
            "Content-Type": f"{_TYPES[file.suffix]}{'; charset=utf-8' if file.suffix in {'.css', '.js'} else ''}",
            "Cache-Control": "public, max-age=31536000, immutable" if same else "no-cache",
            "X-Content-Type-Options": "nosniff",
        },
    )
