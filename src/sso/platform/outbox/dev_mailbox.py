"""For development: mails, SMS and WhatsApp messages are stored in the data directory instead of being sent."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import orjson

from sso.platform.db import new_id
from sso.settings import Settings

FOLDER = "outbox"
MAX_MESSAGES = 200


def keep(settings: Settings, message: Mapping[str, str]) -> None:
    """Store a message and delete the oldest ones. The file appears when it is complete: a page may list the messages
    at the same moment."""
    folder = settings.data_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    new_file = folder / f"{new_id()}.partial"
    new_file.write_bytes(orjson.dumps(message))
    new_file.replace(new_file.with_suffix(".json"))
    for old in sorted(folder.iterdir())[:-MAX_MESSAGES]:
        old.unlink(missing_ok=True)


def stored_messages(settings: Settings, limit: int = 50) -> list[dict[str, str]]:
    """Return the newest messages, the latest first."""
    folder: Path = settings.data_dir / FOLDER
    paths = sorted(folder.glob("*.json"), reverse=True)[:limit] if folder.is_dir() else []
    messages = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # another process has deleted it since
            messages.append(orjson.loads(path.read_bytes()))
    return messages
