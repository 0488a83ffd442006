"""The two languages of the pages: English is written in the code and templates, Indonesian in the catalogue."""

from __future__ import annotations

import gettext
import io
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from sso.accounts.languages import LOCALES as LOCALES
from sso.accounts.languages import page_language as page_language
from sso.identity.users.codes import primary_language

LOCALE_DIR = Path(__file__).parent / "locale"
LANGUAGE_NAMES = {"id": "Bahasa Indonesia", "en": "English"}


def N_(message: str) -> str:
    """Mark ``message`` for translation where it stands in a table; it is translated when it is shown."""
    return message


def translations(locale: str) -> gettext.NullTranslations:
    """Return the messages of ``locale``, read from its catalogue."""
    if locale == "en":
        return gettext.NullTranslations()

    compiled = io.BytesIO()
    with (LOCALE_DIR / locale / "LC_MESSAGES" / "sso.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=locale))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def choose_locale(chosen: str, ui_locales: str, cookie: str, accept_language: str, default: str) -> str:
    """Return the language of a page.

    Args:
        chosen: what the person chose on this page.
        ui_locales: what the application asks for, best first (OpenID Connect Core section 3.1.2.1).
        cookie: what the person chose before.
        accept_language: what the browser asks for (RFC 9110 section 12.5.4).
        default: the language where nobody asks for one that we have.
    """
    for wanted in (chosen, *ui_locales.split()[:10], cookie):
        primary = primary_language(wanted)
        if primary in LOCALES:
            return primary
    return _accepted(accept_language) or default


def _accepted(header: str) -> str | None:
    wanted: list[tuple[float, str]] = []
    for part in header[:500].split(","):
        tag, _, parameters = part.strip().partition(";")
        try:
            quality = float(parameters.partition("=")[2]) if "q=" in parameters else 1.0
        except ValueError:
            continue
        primary = primary_language(tag)
        if primary in LOCALES and quality > 0:
            wanted.append((quality, primary))
    return max(wanted, key=lambda one: one[0])[1] if wanted else None
