"""Messages in the two languages: English is written in the code, Indonesian in the catalogue.

Pages choose a language for each request. Commands choose it once, from ``SSO_LANGUAGE``, ``LC_ALL``, ``LC_MESSAGES`` or
``LANG``: :func:`choose_language`. No catalogue is read for English.
"""

from __future__ import annotations

import gettext
import os
from pathlib import Path

from sso.errors import Refusal

LOCALE_DIR = Path(__file__).parents[1] / "http/common/locale"
DOMAIN = "sso"
VARIABLES = ("SSO_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""The environment variables that name the language of commands; the first that is set counts."""

_chosen = gettext.NullTranslations()


def N_(message: str) -> str:
    """Mark ``message`` for translation where it stands in a table; it is translated when it is shown."""
    return message


def translations(locale: str) -> gettext.NullTranslations:
    """Return the messages of ``locale``, read from its compiled catalogue.

    Raises:
        Refusal: when the catalogue is not compiled.
    """
    if locale == "en":
        return gettext.NullTranslations()
    try:
        return gettext.translation(DOMAIN, LOCALE_DIR, [locale])
    except FileNotFoundError:
        raise Refusal("the message catalogues are not compiled: run python scripts/compile_catalogues.py") from None


def choose_language() -> str:
    """Choose the language of this command and return it, ``id`` or ``en``. Where the Indonesian catalogue is not
    compiled, the command speaks English."""
    global _chosen
    named = next((text for name in VARIABLES if (text := os.environ.get(name))), "")
    _chosen = gettext.NullTranslations()
    if named.lower().partition("_")[0].partition(".")[0].partition("-")[0] != "id":
        return "en"
    try:
        _chosen = translations("id")
    except Refusal:
        return "en"
    # The library of commands translates its own words with the domain of the process.
    gettext.bindtextdomain(DOMAIN, str(LOCALE_DIR))
    gettext.textdomain(DOMAIN)
    os.environ["LANGUAGE"] = "id"
    return "id"


def _(message: str) -> str:
    """Return ``message`` in the language of this command."""
    return _chosen.gettext(message)


def is_english() -> bool:
    """Tell whether this command speaks English, the language of the code."""
    return type(_chosen) is gettext.NullTranslations
