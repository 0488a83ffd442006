"""Reading a CSV file of people to invite: what is accepted, and which mistake is named at which line."""

from __future__ import annotations

import pytest

from sso.accounts.user_files import MAX_BYTES, MAX_LINES, FileRefused, read_file
from sso.http.admin.invitation_files import REFUSED

pytestmark = pytest.mark.unit
HEADER = b"name,email,username,roles,locale\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (HEADER, "empty"),
        (b"x" * (MAX_BYTES + 1), "too_large"),
        ("name,email\nJos\u00e9,jose@kota.example\n".encode("latin-1"), "not_utf8"),
        ("name,email\nSiti,siti@kota.example\n".encode("utf-16"), "not_utf8"),
        (b'name,email\n"Siti,siti@kota.example\n', "not_csv"),
        (b"name\nSiti\n", "no_column"),
        (b"name,email,password\nSiti,siti@kota.example,x\n", "unknown_column"),
        (b"name,email,email\nSiti,a@kota.example,b@kota.example\n", "unknown_column"),
        (b"name,email\n" + b"Siti,siti@kota.example\n" * (MAX_LINES + 1), "too_many"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_reason(data: bytes, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        read_file(data)
    assert refused.value.code == code
    assert code in REFUSED


@pytest.mark.parametrize(
    ("line", "mistake", "field"),
    [
        ("Siti Rahmawati,SITI@Kota.example,,,id", "", ""),
        ("Siti,siti@kota.example,siti.r,citizen developer,en", "", ""),
        ("Siti,not-an-address,,,", "is not an e-mail address", "email"),
        (",siti@kota.example,,,", "missing", "name"),
        ("Siti,,,,", "missing", "email"),
        ("Siti,siti@kota.example,,king,", "no_role", "roles"),
        ("Siti,siti@kota.example,x,,", "must", "username"),
        ("Siti,siti@kota.example,,,tlh-tlh-tlh-tlh-tlh", "", "locale"),
        ("Siti,siti@kota.example,,", "columns", ""),
        ('"=HYPERLINK(""https://evil.example"")",siti@kota.example,,,', "must not begin", "name"),
        ("@SUM(A1),siti@kota.example,,,", "must not begin", "name"),
        ("<b>Siti</b>,siti@kota.example,,,", "", "name"),
        ("Siti\u202egnp.exe,siti@kota.example,,,", "must not", ""),
    ],
)
def test_a_mistake_is_named_with_its_line_and_column(line: str, mistake: str, field: str) -> None:
    (read,) = read_file(HEADER + line.encode() + b"\n")
    assert read.number == 2
    if not mistake and not field:
        assert read.person is not None
        assert read.person.email == read.person.email.lower()
    else:
        assert read.person is None
        assert mistake in read.mistake
        assert read.field == field


def test_the_second_of_two_lines_with_one_address_is_refused_and_names_the_first() -> None:
    text = "name;email\nSiti;siti@kota.example\nBudi;budi@kota.example\nSiti R;SITI@kota.example\n"
    first, second, third = read_file("\ufeff".encode() + text.encode())
    assert first.person is not None
    assert second.person is not None
    assert (third.person, third.mistake, third.field) == (None, "repeated", "2")
