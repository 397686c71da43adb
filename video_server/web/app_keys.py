"""What every handler may need, put on the application once by `app.py`."""

from aiohttp import web

from video_server.core.clock import Clock
from video_server.core.database import Database
from video_server.core.events import Bus
from video_server.core.force import Force
from video_server.core.keys import KeyRing

DATABASE = web.AppKey("database", Database)
CLOCK: web.AppKey[Clock] = web.AppKey("clock")
BUS = web.AppKey("bus", Bus)
FORCE = web.AppKey("force", Force)
KEYS = web.AppKey("keys", KeyRing)
PUBLIC_URL = web.AppKey("public_url", str)
"""Origin under which people reach the server, without a trailing slash, as it stands in texts."""
DEMO = web.AppKey("demo", bool)
"""Started with --demo: the on-screen outbox and demo accounts exist."""
