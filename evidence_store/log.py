"""Structured logs on standard error: one JSON object a line, or coloured text on a terminal.

Only ids, codes and route names are logged: never a path, a header, a cookie, a file's name or content.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, cast

import structlog

_WITHHELD = frozenset({"authorization", "cookie", "token", "bearer", "grant", "filename", "name", "path", "headers"})


def _withhold(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in _WITHHELD & event.keys():
        event[key] = "[withheld]"
    return event


def configure(process: str, *, level: str = "INFO") -> None:
    """Set up logging for this process; `process` stands in every line."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _withhold,
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared[:-1], structlog.stdlib.PositionalArgumentsFormatter(), _withhold],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp.access").disabled = True  # its lines hold paths and addresses
    for chatty in ("aiosqlite", "alembic", "asyncpg", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger; call as `log.info("event_name", key=value)`."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))
