"""A refusal as its asker reads it: problem+json (RFC 9457)."""

from aiohttp import web


def problem_response(status: int, code: str, title: str, detail: str) -> web.Response:
    """Return a refusal as problem+json. `code` is stable, `title` says what to do, `detail` may be empty."""
    body = {
        "type": f"urn:evidence-store:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return web.json_response(body, status=status, content_type="application/problem+json")
