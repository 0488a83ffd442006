"""Settings in the database, with their history. Which ones, and with which bounds: ``sso.settings.changeable``."""

from sso.platform.stored_settings.service import (
    CHANGED,
    COUNTER,
    SettingChanged,
    SettingRefused,
    change_settings,
    earlier_value,
)
from sso.platform.stored_settings.store import KEPT_CHANGES, changes_of, stored_values

__all__ = [
    "CHANGED",
    "COUNTER",
    "KEPT_CHANGES",
    "SettingChanged",
    "SettingRefused",
    "change_settings",
    "changes_of",
    "earlier_value",
    "stored_values",
]
