"""Shapes of files that other systems write, tried from the documentation alone."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest
from passlib import hash as known
from tests.cli.conftest import Cli, cli

from sso.errors import Refusal
from sso.identity.authn.hash_schemes import read_hash
from sso.identity.users.identifiers import normalise_as
from sso.identity.users.importing import check_file, rows_of
from sso.identity.users.readers import read_records
from sso.identity.users.rows import Options, Row, as_typed, fit_columns, read_row, yes_or_no

__all__ = ["cli"]


def rows(path: Path, data: str | bytes, format: str = "auto") -> list[Row | str]:
    """Return the rows of a file, and why the others are refused."""
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    checked = check_file(path, Options(format=format))
    return [
        read_row(record.line, record.row, checked.options, lambda text, **_: text, record.notes)
        if record.row
        else record.reason
        for record in rows_of(path, checked.options)
    ]


def test_rows_of_one_line_are_told_apart_in_the_report(cli: Cli, tmp_path: Path) -> None:
    """A JSON array in one line, and the long INSERT of mysqldump: a rejected row hides nothing about its neighbours."""
    people = [
        {"email": "satu@warga.example", "birthdate": "21-04-1990"}, {"email": {"a": 1}},
        {"email": "tiga@warga.example", "website": "http://x.example", "email_verified": "2024-01-01"},
    ]  # fmt: skip
    (tmp_path / "p.json").write_text(json.dumps(people))
    answer = cli("users", "import", "p.json")
    assert "2 values were left out (birthdate 1, website 1)" in answer.out, answer.out
    assert "email_verified: a time is read as yes (1 rows)" in answer.out
    with (tmp_path / "p.json.rejected.csv").open() as file:
        listed = [(entry["row"], entry["line"], entry["kind"]) for entry in csv.DictReader(file)]
    assert listed == [("1", "1", "left out"), ("2", "1", "rejected"), ("3", "1", "left out")]
    assert cli("users", "import", "missing.csv").err.strip() == "missing.csv: there is no such file"
    trial = cli("users", "import", "p.json", "--verified", "email", "--update", "--from", "warga", "--dry-run")
    assert "the file has no column local_user_id" in trial.err
    (tmp_path / "q.json").write_text(json.dumps([{"email": "tiga@warga.example", "email_verified": True}]))
    trial = cli("users", "import", "q.json", "--dry-run")
    assert "1 rows may belong to users who have an account; the import would propose to merge them" in trial.out, (
        trial.out
    )


def test_names_of_columns_differ_by_letters_and_digits_alone() -> None:
    options, unread = fit_columns(Options(), ["E-Mail", "User Name", "PhoneNumber", "LOCAL_USER-ID", "x"])
    assert dict(options.columns) == {
        "email": "E-Mail", "username": "User Name", "phone_number": "PhoneNumber", "local_user_id": "LOCAL_USER-ID",
    }  # fmt: skip
    assert unread == ["x"]
    with pytest.raises(Refusal, match="several such columns"):
        fit_columns(Options(), ["E-Mail", "e mail"])
    assert as_typed({"format": "sql:pengguna"}) == "--format sql --table pengguna"


def test_times_of_nothing_are_no_and_bits_are_bits(tmp_path: Path) -> None:
    zero = ("1970-01-01 07:00:00", "1970-01-01T00:00:00Z", "1969-12-31 19:00", "1900-01-01 00:00:00", "1899-12-30")
    for text in zero:
        assert yes_or_no("email_verified", text) == (False, True), text
    assert yes_or_no("email_verified", "1999-01-01") == (True, True)
    assert [yes_or_no("email_verified", text)[0] for text in ("\x01", "\x00")] == [True, False]
    dump = (
        "INSERT INTO `users` (`id`,`email`,`password`,`is_active`) VALUES "
        "(1,'a@x.example','x',_binary '\x01'),(2,'b@x.example','x',_binary '\\0');"
    )
    active, inactive = rows(tmp_path / "d.sql", dump, "laravel")
    assert isinstance(active, Row)
    assert "not active" in str(inactive)


def test_what_is_no_text_is_refused_with_what_to_do(tmp_path: Path) -> None:
    dump = "INSERT INTO `users` (`id`,`email`) VALUES (1,'a@x.example');"
    for data, advice in (
        (gzip.compress(b'{"email":"a@x.example"}'), "gunzip"),
        (b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0", "save the sheet as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "save the sheet as CSV UTF-8"),
        (b"PGDMP\x01\x0e\0", "pg_restore -f dump.sql"),
        (b"SQLite format 3\0\x10\0", "sqlite3"),
        (dump.encode(), "--format sql --table users"),
        (b'{"users":[{"email":"a@x.example"}]}', "jq -c '.users[]'"),
    ):
        with pytest.raises(Refusal) as refused:
            rows(tmp_path / "f", data)
        assert advice in str(refused.value), refused.value
    realms = json.dumps([{"realm": "master", "enabled": True, "users": [{"username": "budi", "enabled": True}]}])
    with pytest.raises(Refusal, match="is the realm 'master', not a user"):
        rows(tmp_path / "r.json", realms, "keycloak")
    # A column that is named like the beginning of a statement is a column.
    (row,) = rows(tmp_path / "s.csv", "Set;email\n1;a@x.example\n")
    assert isinstance(row, Row)


def test_a_file_of_one_column_is_read(tmp_path: Path) -> None:
    for text in ("email\na@x.example\nb@x.example\n", '\ufeff"E-mail"\r\n"a@x.example"\r\n"b@x.example"\r\n'):
        people = rows(tmp_path / "p.csv", text)
        assert [person.identifiers[0][1] for person in people if isinstance(person, Row)] == [
            "a@x.example",
            "b@x.example",
        ]
    for text in ("<html>\n", "a@x.example\nb@x.example\n"):
        with pytest.raises(Refusal):
            rows(tmp_path / "p.csv", text)


def test_an_insert_that_is_not_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "d.sql").write_text(
        "INSERT INTO pengguna (email) VALUES ('a@x.example');\nINSERT INTO pengguna SET email = 'b@x.example';\n"
        "REPLACE INTO pengguna SELECT * FROM lama;\nINSERT INTO lain SET email = 'c@x.example';\n"
    )
    dumped = list(read_records(tmp_path / "d.sql", "sql:pengguna"))
    assert [(record.line, "without VALUES" in record.reason) for record in dumped] == [(1, False), (2, True), (3, True)]


def test_further_values_of_a_directory_are_named(tmp_path: Path) -> None:
    entry = "dn: uid=budi,dc=x\nobjectClass: person\nuid: budi\nmail: a@x.example\nmail: b@x.example\n"
    (row,) = rows(tmp_path / "d.ldif", entry, "ldif")
    assert isinstance(row, Row)
    assert [note.text for note in row.notes] == ["email: b@x.example is a further value; the first one is taken"]


def test_a_phone_context_may_have_hyphens() -> None:
    """RFC 3966 section 3: a global number in ``phone-context`` may have visual separators."""
    for context in ("+1-202", "+1(202)", "+1202"):
        assert normalise_as("phone", f"tel:456-0100;phone-context={context}").value == "+12024560100"
    with pytest.raises(ValueError, match="phone number"):
        normalise_as("phone", "tel:456-0100;phone-context=example.com")


def test_an_address_is_never_the_address_of_somebody_else() -> None:
    """Letters that only compare as equal are other letters: \u00df is not ss, in the mailbox and in the domain."""
    assert normalise_as("email", "Wei\u00df@Warga.example").value == "wei\u00df@warga.example"
    assert normalise_as("email", "b@M\u00dcnchen.example").value == "b@xn--mnchen-3ya.example"
    for domain in ("fa\u00df.example", "\u03b2\u03cc\u03bb\u03bf\u03c2.example"):
        with pytest.raises(ValueError, match="xn--"):
            normalise_as("email", f"b@{domain}")


def test_a_person_who_is_not_taken_over_was_read_nevertheless(cli: Cli, tmp_path: Path) -> None:
    users = [{"username": "budi9", "enabled": True, "id": "1"}, {"username": "ani9", "enabled": False, "id": "2"}]
    (tmp_path / "r.json").write_text(json.dumps({"realm": "kota", "users": users}))
    cli("users", "import", "r.json", "--format", "keycloak", "--dry-run")
    assert ',"the account is disabled there' in (tmp_path / "r.json.dry-run.csv").read_text().replace(",the", ',"the')


def test_a_slow_scheme_is_bounded_by_time() -> None:
    """BSDi's crypt is computed in Python: 2 seconds for 65,536 rounds."""
    read_hash(known.bsdi_crypt.using(rounds=101).hash("x"))
    with pytest.raises(ValueError, match="costs too much"):
        read_hash("_" + "..E." + "abcd" + "a" * 11)
