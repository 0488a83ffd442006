"""Backups of the whole database: encrypted, verified in a scratch database, and restored."""

from __future__ import annotations

from sso.platform.backup.manifest import Manifest
from sso.platform.backup.service import Restored, check, check_scratch, create, restore

__all__ = ["Manifest", "Restored", "check", "check_scratch", "create", "restore"]
