"""Structured logs on standard error: one JSON object a line, or coloured text on a terminal.

Nothing personal is ever logged. Callers pass ids and codes; as a second fence every value that looks like a phone
number or a token is masked here, so that a careless line cannot leak one.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, cast

import structlog

_PHONE = re.compile(
    r"(?:(?:\+|%2B|\b00)44|(?<![\w.])(?<!\d[:-])0)\d?[\d ]{7,11}\d(?!\w)(?!\.\d)", re.IGNORECASE
)  # instants, addresses and ids stay readable
_TOKEN = re.compile(r"(/(?:j|g|track)/)[^/\s\"']+")
_FORBIDDEN_KEYS = frozenset(
    {"phone", "mobile", "number", "token", "password", "name", "body", "text", "cookie", "sdp", "offer", "answer"}
)


def mask(value: object) -> object:
    """Return `value` with phone numbers and link tokens replaced; other types pass unchanged."""
    if not isinstance(value, str):
        return value
    return _TOKEN.sub(r"\1…", _PHONE.sub("[number]", value))


def _mask_all(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in list(event):
        event[key] = "[withheld]" if key in _FORBIDDEN_KEYS else mask(event[key])
    return event


def configure(process: str, *, level: str = "INFO", stream: Any = None) -> None:
    """Set up logging for this process; `process` stands in every line."""
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _mask_all,
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if out.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared[:-1], structlog.stdlib.PositionalArgumentsFormatter(), _mask_all],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # its lines hold paths with tokens and addresses
    for chatty in ("alembic", "aioice", "aiortc", "apscheduler", "aiosqlite", "twilio", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger; call as `log.info("event_name", key=value)`."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))
