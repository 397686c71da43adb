"""What a system is answered: a model as JSON. Refusals are `problems.py`'s, pages `view/pages.py`'s."""

from aiohttp import web
from pydantic import BaseModel


def answer(model: BaseModel, *, status: int = 200) -> web.Response:
    """Return a model as JSON."""
    return web.Response(text=model.model_dump_json(), status=status, content_type="application/json")
