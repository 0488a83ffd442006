"""For development: mails and SMS that are kept on this machine instead of being sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from sso.platform.db import new_id
from sso.settings import Settings

FOLDER = "outbox"
MAXIMUM = 200


def keep(settings: Settings, message: dict[str, Any]) -> None:
    """Keep a message."""
    folder = settings.data_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{new_id()}.json").write_bytes(orjson.dumps(message))
    for old in sorted(folder.glob("*.json"))[:-MAXIMUM]:
        old.unlink(missing_ok=True)


def kept(settings: Settings, limit: int = 50) -> list[dict[str, Any]]:
    """Return the newest messages, the last first."""
    folder: Path = settings.data_dir / FOLDER
    found = sorted(folder.glob("*.json"), reverse=True)[:limit] if folder.is_dir() else []
    return [orjson.loads(one.read_bytes()) for one in found]
