"""The room socket of this page."""

from aiohttp import web

routes = web.RouteTableDef()
