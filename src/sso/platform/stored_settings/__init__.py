"""Settings in the database, with their history. Which ones, and with which bounds: ``sso.settings.changeable``."""

from sso.platform.stored_settings.service import (
    CHANGED,
    COUNTER,
    ChangedMeanwhile,
    SettingChanged,
    SettingRefused,
    change_settings,
    earlier_value,
)
from sso.platform.stored_settings.store import (
    KEPT_CHANGES,
    change_of,
    changes_of,
    newest_change,
    recent_changes,
    stored_values,
)

__all__ = [
    "CHANGED",
    "COUNTER",
    "KEPT_CHANGES",
    "ChangedMeanwhile",
    "SettingChanged",
    "SettingRefused",
    "change_of",
    "change_settings",
    "changes_of",
    "earlier_value",
    "newest_change",
    "recent_changes",
    "stored_values",
]
