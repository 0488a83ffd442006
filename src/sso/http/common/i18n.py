"""The two languages of the pages: English is written in the code and templates, Indonesian in the catalogue."""

from __future__ import annotations

from functools import lru_cache

from sso.accounts.languages import LOCALES as LOCALES
from sso.accounts.languages import negotiate
from sso.accounts.languages import page_language as page_language
from sso.platform.messages import LOCALE_DIR as LOCALE_DIR
from sso.platform.messages import N_ as N_
from sso.platform.messages import translations as translations

LANGUAGE_NAMES = {"id": "Bahasa Indonesia", "en": "English"}
MAX_KEPT_CHARS = 300
"""How long the languages that a browser asks for may be so that the choice is kept in memory."""


def choose_locale(chosen: str, ui_locales: str, cookie: str, accept_language: str, default: str) -> str:
    """Return the language of a page.

    Args:
        chosen: what the person chose on this page.
        ui_locales: what the application asks for, best first (OpenID Connect Core section 3.1.2.1).
        cookie: what the person chose before.
        accept_language: what the browser asks for (RFC 9110 section 12.5.4).
        default: the language where nobody asks for one that we have.
    """
    if len(ui_locales) + len(cookie) + len(accept_language) > MAX_KEPT_CHARS:
        return _choose(chosen, ui_locales, cookie, accept_language, default)
    return _kept_choice(chosen, ui_locales, cookie, accept_language, default)


def _choose(chosen: str, ui_locales: str, cookie: str, accept_language: str, default: str) -> str:
    tags = (chosen, *ui_locales.split()[:10], cookie, *_accepted(accept_language))
    return negotiate(tags) or default


_kept_choice = lru_cache(maxsize=1000)(_choose)
"""The same, kept: browsers send few different values."""


def _accepted(header: str) -> list[str]:
    """Return the language tags of an Accept-Language header, best first; those with ``q=0`` are left out."""
    weighted: list[tuple[float, str]] = []
    for part in header[:500].split(","):
        tag, _, parameters = part.strip().partition(";")
        try:
            quality = float(parameters.partition("=")[2]) if "q=" in parameters else 1.0
        except ValueError:
            continue
        if quality > 0:
            weighted.append((quality, tag))
    return [tag for _, tag in sorted(weighted, key=lambda entry: -entry[0])]
