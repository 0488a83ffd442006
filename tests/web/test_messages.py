"""Two languages, complete."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from scripts.messages import main, used_messages

from sso.http.common.i18n import LOCALE_DIR, choose_locale

one_worker = pytest.mark.group("messages")
"""For tests that read every message of the code, which is done once."""


def messages() -> set[str]:
    return {message if isinstance(message, str) else message[0] for message in used_messages()}


@one_worker
@pytest.mark.parametrize("path", sorted(LOCALE_DIR.glob("*/LC_MESSAGES/sso.po")), ids=lambda path: path.parts[-3])
def test_a_catalogue_has_every_message_and_no_other(path: Path) -> None:
    catalogue = read_po(BytesIO(path.read_bytes()))
    translated = {message.id for message in catalogue if message.id and message.string and not message.fuzzy}
    assert translated == messages()
    for message in catalogue:
        assert not list(message.check(catalogue)), message.id


@one_worker
def test_the_catalogues_are_in_canonical_order() -> None:
    assert main(["--check"]) == 0


@one_worker
def test_messages_are_found_at_all() -> None:
    assert {"Sign in", "Hello, %(person)s", "This application is not registered"} <= messages()


@pytest.mark.parametrize(
    ("chosen", "ui_locales", "cookie", "accept", "expected"),
    [
        ("en", "id", "id", "id", "en"),
        ("", "en id", "id", "id", "en"),
        ("", "fr-CA en-GB", "id", "", "en"),
        ("", "", "en", "id", "en"),
        ("", "", "", "en-US,en;q=0.9,id;q=0.8", "en"),
        ("", "", "", "en;q=0.1, id;q=0.9", "id"),
        ("", "", "", "en;q=0", "id"),
        ("", "", "", "fr, de;q=x", "id"),
        ("xx", "yy", "zz", "", "id"),
    ],
)
def test_the_language_of_a_page(chosen: str, ui_locales: str, cookie: str, accept: str, expected: str) -> None:
    assert choose_locale(chosen, ui_locales, cookie, accept, "id") == expected
