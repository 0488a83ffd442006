"""The languages of pages and messages, and names in them."""

from __future__ import annotations

from babel import Locale

from sso.identity.users.codes import primary_language

LOCALES = ("id", "en")


def page_language(locale: str | None, default: str) -> str:
    """Return the language of pages and messages for a user with a locale (``id-ID``: ``id``); ``default`` where the
    locale is in neither language."""
    primary = primary_language(locale or "")
    return primary if primary in LOCALES else default


def territory_name(locale: str, code: str) -> str:
    """Return the name of a country in a language."""
    return str(Locale.parse(locale).territories.get(code, code))
