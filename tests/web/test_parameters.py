"""Reading the parameters of a query or a form."""

from __future__ import annotations

import random
from urllib.parse import parse_qsl, urlencode

import pytest

from sso.http.common.request_checks import MAX_FIELDS, MAX_NAME_CHARS, Refused, check_fields, read_pairs
from sso.oidc.requests import with_parameters

PIECES = (
    "a", "scope", "=", "==", "&", "&&", "+", "%20", "%26", "%3D", "%2B", "%", "%4", "%zz", "%C3%A9", "%FF", "%00",
    "%0A", "%0a", "%7F", "%E2%80%AE", "%CC%81", "é", "\n", "\x7f", " ", ";", "/", "https://a.example/?b=c", "~",
    "password=%09", "text=a%0Ab", "x" * (MAX_NAME_CHARS + 1),
)  # fmt: skip


def read_one_by_one(data: bytes) -> list[tuple[str, str]] | None:
    """Return what the standard library reads, where every rule accepts it."""
    try:
        pairs = parse_qsl(data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
        check_fields(pairs)
    except (ValueError, Refused):
        return None
    return pairs


def read(data: bytes) -> list[tuple[str, str]] | None:
    try:
        return read_pairs(data)
    except Refused:
        return None


def test_parameters_are_those_of_the_standard_library() -> None:
    chosen = random.Random(19)
    accepted = 0
    for _ in range(5000):
        data = "".join(chosen.choices(PIECES, k=chosen.randrange(1, 9))).encode()
        assert read(data) == read_one_by_one(data), data
        accepted += read(data) is not None
    assert 1000 < accepted < 4000


@pytest.mark.parametrize("number", [MAX_FIELDS, MAX_FIELDS + 1])
def test_the_number_of_parameters_is_bounded(number: int) -> None:
    data = "&".join(["a=1"] * number).encode()
    assert read(data) == read_one_by_one(data) == ([("a", "1")] * number if number == MAX_FIELDS else None)


def test_parameters_are_written_as_the_standard_library_writes_them() -> None:
    chosen = random.Random(19)
    for _ in range(500):
        texts = ["".join(chosen.choices("aZ09_.~- +%&=/?#é☃\x00", k=chosen.randrange(6))) for _ in range(4)]
        pairs = [(texts[0], texts[1]), (texts[2], texts[3])]
        assert with_parameters("https://a.example/cb?x=1", pairs) == f"https://a.example/cb?x=1&{urlencode(pairs)}"
