"""What people sign in with, in the one form under which it is found."""

from __future__ import annotations

import pytest
from tests.support import City

from sso.users.identifiers import normalise
from sso.users.service import UserError, create_users, read_people


@pytest.mark.parametrize(
    ("typed", "kind", "value"),
    [
        ("Siti", "username", "siti"),
        ("  siti.r-2  ", "username", "siti.r-2"),
        ("Ｓiti", "username", "siti"),
        ("Siti@Warga.EXAMPLE", "email", "siti@warga.example"),
        ("siti@bücher.example", "email", "siti@xn--bcher-kva.example"),
        ("0812-3456-7890", "phone", "+6281234567890"),
        ("62 812 3456 7890", "phone", "+6281234567890"),
        ("+65 6123 4567", "phone", "+6561234567"),
    ],
)
def test_normal_forms(typed: str, kind: str, value: str) -> None:
    found = normalise(typed)
    assert (found.kind, found.value) == (kind, value)


@pytest.mark.parametrize(
    "typed", ["", " ", "ab", "a" * 300, "a b", "@", "a@", "@b", "a@b..c", "a@b c", "a@b@c", "a\x00bc", "../etc", "<b>x"]
)
def test_what_can_be_no_identifier(typed: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        normalise(typed)


async def test_an_identifier_belongs_to_one_person(city: City) -> None:
    people = read_people([b'{"username": "SITI", "name": "Lain"}', b'{"username": "baru", "name": "Baru"}'])
    with pytest.raises(UserError, match="siti is already used"):
        async with city.provider.db.write() as session:
            await create_users(session, people)
    twice = read_people([b'{"username": "dua", "name": "Dua"}', b'{"username": "DUA", "name": "Dua"}'])
    with pytest.raises(UserError, match="dua is already used"):
        async with city.provider.db.write() as session:
            await create_users(session, twice)


def test_every_mistake_of_an_import_is_named_with_its_line() -> None:
    lines = [
        b'{"username": "a"}',
        b"not json",
        b"",
        b'{"username": "budi", "name": "Budi", "email": "budi", "colour": "red"}',
        b'{"username": "ani", "name": "Ani", "password_hash": "md5"}',
    ]
    with pytest.raises(UserError) as caught:
        read_people(lines)
    text = "\n".join(caught.value.mistakes)
    expected = [
        "line 1: username:",
        "line 1: name:",
        "line 2: is not JSON",
        "line 4: email: looks like a username",
        "line 4: colour:",
        "line 5: password_hash: must be an argon2id hash",
    ]
    for mistake in expected:
        assert mistake in text
