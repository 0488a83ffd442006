"""Log lines, as text for people or as JSON for machines. What they may hold: SECURITY, never a secret."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson

from sso.settings import Settings


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def configure_logging(settings: Settings) -> None:
    """Write log lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_Json() if settings.log_format == "json" else text)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # Libraries say at INFO and DEBUG what belongs to others: addresses with queries, tokens.
    for name in ("httpx", "httpcore", "authlib", "asyncio", "aiosqlite", "alembic", "multipart"):
        logging.getLogger(name).setLevel(logging.WARNING)
