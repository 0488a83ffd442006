"""The languages of pages and messages, and names in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from babel import Locale, negotiate_locale

from sso.identity.users.codes import language_tag

LOCALES = ("id", "en")


def page_language(locale: str | None, default: str) -> str:
    """Return the language of pages and messages for a user with a locale (``id-ID``: ``id``); ``default`` where the
    locale is in neither language."""
    return negotiate([locale or ""]) or default


def negotiate(tags: Iterable[str]) -> str | None:
    """Return the first of our languages among language tags, best first."""
    return negotiate_locale((tag for text in tags for tag in _tags(text)), LOCALES, sep="-")


def _tags(text: str) -> Iterator[str]:
    """Give a language tag in its canonical form (RFC 5646 section 4.5: ``in_ID`` is ``id-ID``); nothing for no tag."""
    try:
        yield language_tag(text).value
    except ValueError:
        return


def territory_name(locale: str, code: str) -> str:
    """Return the name of a country in a language."""
    return str(Locale.parse(locale).territories.get(code, code))
