"""base64url has one writer and one reader, and one text for the same bytes (RFC 7515 section 2)."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from sso.platform.security.tokens import base64url, from_base64url

SOURCE = Path(__file__).parents[2] / "src/sso"
NAMES = {"urlsafe_b64decode", "urlsafe_b64encode", "base64url_decode", "base64url_encode", "b2a_base64", "a2b_base64"}
ELSEWHERE = {
    "platform/security/tokens.py",  # the two functions
    "identity/authn/factors.py",  # public keys of passkeys are stored with padding
}


def test_nothing_else_reads_or_writes_base64url() -> None:
    files = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        if not any(name in text for name in (*NAMES, "altchars")):
            continue
        for node in ast.walk(ast.parse(text)):
            name = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None)
            if name in NAMES or getattr(node, "arg", None) == "altchars":
                files.add(path.relative_to(SOURCE).as_posix())
    assert files == ELSEWHERE


def test_what_is_written_is_read() -> None:
    for size in range(70):
        data = os.urandom(size)
        assert from_base64url(base64url(data)) == data


@pytest.mark.parametrize("text", ["A", "AB", "AAB", "AA==", "AA=", "AA\n", "A A", "A+AA", "A/AA", "é", "\x00AA", "AA-"])
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        from_base64url(text)
