"""Log lines, as text for people or as JSON for machines. What they may hold: SECURITY, never a secret."""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

from sso.settings import Settings

_NOT_IN_A_LINE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_CONTEXT: ContextVar[dict[str, str] | None] = ContextVar("log_context", default=None)


def begin_context(request_id: str) -> None:
    """Name the request whose task this is in every log line that the task writes from now on."""
    _CONTEXT.set({"request_id": request_id})


def note(name: str, value: str) -> None:
    """Add a field to the log lines of the present request.

    Args:
        name: ``client_id`` or another name of docs/how-to/monitoring.md.
        value: a value that the provider knows, such as the id of a registered application; never a secret.
    """
    fields = _CONTEXT.get()
    if fields is not None:
        fields[name] = value


def noted() -> dict[str, str]:
    """Return the fields of the log lines of the present request."""
    return _CONTEXT.get() or {}


class _Json(logging.Formatter):
    """One JSON object for each line. ``fields`` of a record adds fields; those of the request are added to each."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _whole(record.getMessage()),
            **(_CONTEXT.get() or {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = _whole(self.formatException(record.exc_info))
        return orjson.dumps(line).decode()


class _Text(logging.Formatter):
    """A message stays on its line, whatever somebody wrote into what it tells: nobody can make a line up."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _NOT_IN_A_LINE.sub("?", super().formatMessage(record))


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def configure_logging(settings: Settings) -> None:
    """Write log lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    text = _Text("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_Json() if settings.log_format == "json" else text)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # Libraries say at INFO and DEBUG what belongs to others: addresses with queries, tokens.
    for name in ("httpx2", "httpcore2", "authlib", "asyncio", "aiosqlite", "alembic", "multipart"):
        logging.getLogger(name).setLevel(logging.WARNING)
