"""Pages of this slice."""

from aiohttp import web

routes = web.RouteTableDef()
