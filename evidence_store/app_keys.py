"""Typed names of what handlers find on the application and on a request."""

from aiohttp import web

from evidence_store.admission.limits import Limits
from evidence_store.breakglass.model import Glass
from evidence_store.media.service import Media
from evidence_store.nodes.passing import Passing
from evidence_store.nodes.service import Presence
from evidence_store.notify.service import Notifier
from evidence_store.reads import ReadLog
from evidence_store.screening.service import Screener
from evidence_store.store import Store
from evidence_store.tokens import Token
from evidence_store.uploads.service import Uploads

STORE = web.AppKey("store", Store)
UPLOADS = web.AppKey("uploads", Uploads)
NOTIFIER = web.AppKey("notifier", Notifier)
MEDIA = web.AppKey("media", Media)
SCREENER = web.AppKey("screener", Screener)
READS = web.AppKey("reads", ReadLog)
PRESENCE = web.AppKey("presence", Presence)
PASSING = web.AppKey("passing", Passing)
LIMITS = web.AppKey("limits", Limits)
TOKEN = web.RequestKey("token", Token)
GLASS = web.RequestKey("glass", Glass)
"""The broken glass by which something is seen that is not the holder's own."""
VOUCHED = web.RequestKey("vouched", bool)
"""Whether the signed ledger says of the object that was asked for what its row says; not there while it is sealed."""
BODY = web.RequestKey("body", bytes)
