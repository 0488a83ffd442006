"""Exports of other systems: every person of a file is made or rejected with the reason, and nobody gets a right."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import argon2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import City, query_of
from tests.users import exports
from tests.users.exports import FIREBASE, KINDS, OLD

from sso.errors import Refusal
from sso.identity.authn import yescrypt
from sso.identity.authn.legacy_hashes import taken_over, verify_imported
from sso.identity.users import store
from sso.identity.users.importing import Options, Report, check_file, import_file
from sso.identity.users.readers import FORMATS, read_records
from sso.identity.users.records import Record
from sso.identity.users.rows import KNOWN, Note, RowRefused, read_row

take_hash = partial(taken_over, parameters=FIREBASE)


def records(path: Path, format: str) -> list[Record]:
    return list(read_records(path, format))


class Kept(Report):
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.notes: list[str] = []

    def rejected(self, line: int, local_user_id: str, reason: str) -> None:
        self.reasons.append(reason)

    def noted(self, line: int, local_user_id: str, note: Note) -> None:
        self.notes.append(note.text)


@pytest.mark.parametrize("kind", list(KINDS))
def test_people_of_an_export(tmp_path: Path, kind: str) -> None:
    format, write, _ = KINDS[kind]
    path = write(tmp_path / "export")
    all_records = records(path, format)
    by_name = {
        str(record.row.get("username") or record.row.get("email") or "f4"): record
        for record in all_records
        if record.row is not None
    }
    reasons = [record.reason for record in all_records if record.row is None]
    assert not any(key for record in all_records if record.row for key in record.row if "role" in key or "group" in key)
    assert not any("budi" in name or "guest" in name for name in by_name)
    budi = [reason for reason in reasons if "there (" in reason]
    assert budi or "budi" not in path.read_text(), reasons
    options = check_file(path, Options(format=format)).options
    right = 0
    for record in by_name.values():
        row = read_row(record.line, record.row or {}, options, take_hash, record.notes)
        if row.password:
            assert verify_imported([OLD], row.password), (row, record)
            assert not verify_imported(["x" + OLD], row.password)
            right += 1
    assert right == 2
    noted = next(record for name, record in by_name.items() if ("ani" if kind == "ldif" else "citra") in name)
    words = {"django": "is_superuser", "ldif": "cn=admins", "moodle": "idnumber"}
    assert any(words.get(kind.partition(",")[0], "admin") in note for note in noted.notes), noted.notes


async def test_everybody_signs_in_with_the_old_password_and_has_no_rights(city: City, tmp_path: Path) -> None:
    """All kinds into one provider, then over HTTP."""
    for kind in ("keycloak", "auth0", "firebase", "django", "ldif", "wordpress", "moodle", "laravel"):
        format, write, people = KINDS[kind]
        report = Kept()
        vouched = frozenset({"email"}) if kind in ("auth0", "django", "moodle", "wordpress") else frozenset()
        options = Options("sehat" if kind == "ldif" else None, vouched, format=format)
        path = write(tmp_path / kind)
        done = await import_file(city.provider.db, city.provider.box, path, options, take_hash, report=report)
        assert done.rows == done.made + done.proposed + done.rejected, kind
        assert done.made >= 3, (kind, report.reasons)
        assert report.reasons or kind == "wordpress", kind
        if kind not in ("wordpress", "laravel"):
            assert any("there (" in reason for reason in report.reasons), (kind, report.reasons)
        for name in people:
            async with city.provider.db.read() as session:
                user = await store.find_user(session, name)
                assert user is not None, name
                assert await store.roles_of(session, user.id) == ["citizen"], name
            async with city.browser() as browser:
                answer = await browser.sign_in(city.relying_party("warga"), name, OLD)
                assert answer.status_code == 303, (kind, name, answer.text)
                assert "code" in query_of(answer.headers["location"]), (kind, name)
    async with city.provider.db.read() as session:
        assert await store.find_user(session, "kc.budi") is None
        ani = await store.find_user(session, "ld.ani")
        assert ani is not None
        assert ani.name == "Añi Wijaya"


@pytest.mark.programs  # ctypes looks for a library with ldconfig
async def test_hashes_of_current_systems_open_the_account_over_http(city: City, tmp_path: Path) -> None:
    """One file with many schemes: who has a password signs in, who has none does not, and an odd scheme is told."""
    secret, path = OLD.encode(), tmp_path / "people.jsonl"
    base384 = exports.b64(hashlib.sha384(secret).digest()).encode()
    md5 = hashlib.md5(secret).hexdigest()
    scrypt = hashlib.scrypt(secret, salt=b"garam", n=32768, r=8, p=1, maxmem=2**27).hex()
    blob = b"\x01" + (2).to_bytes(4, "big") + (9).to_bytes(4, "big") + (16).to_bytes(4, "big") + b"s" * 16
    good: dict[str, dict[str, str]] = {
        "codeigniter": {"password_hash": exports.php(base384), "password_scheme": "codeigniter"},
        "shield": {"password_hash": exports.php(base384)},
        "ion-auth": {"password_hash": "0123456789" + hashlib.sha1(b"0123456789" + secret).hexdigest()[:30]},
        "md5-md5": {"password_hash": hashlib.md5(md5.encode()).hexdigest().upper(), "password_scheme": "md5(md5)"},
        "sha1-md5": {"password_hash": hashlib.sha1(md5.encode()).hexdigest()},
        "flask": {"password_hash": f"scrypt:32768:8:1$garam${scrypt}"},
        "aspnet": {"password_hash": exports.b64(blob + hashlib.pbkdf2_hmac("sha512", secret, b"s" * 16, 9, 32))},
        "openldap": {"password_hash": "{ssha}" + exports.b64(hashlib.sha1(secret + b"ga").digest() + b"ga")},
        "argon": {"password_hash": argon2.PasswordHasher(1, 64, 1).hash(OLD)},
    }
    if yescrypt.available():
        good["debian"] = {"password_hash": yescrypt._compute(secret, "$y$j75$abcdefghijklmnop")}
    marks = {
        f"tanpa{n}": {"password_hash": mark} for n, mark in enumerate(("!", "*", "!$6$x$y", "{SASL}a@b", "x", "!!"))
    }
    wrong = {
        "mahal": {"password_hash": "$argon2id$v=19$m=4194304,t=9,p=1$" + "$".join(["Z2dnZ2dnZ2dnZ2dn"] * 2)},
        "rusak": {"password_hash": "$2y$10$terpotong"},
        "aneh": {"password_hash": md5, "password_scheme": "md5md5"},
    }
    lines = [{"username": name, "name": name, **row} for name, row in {**good, **marks, **wrong}.items()]
    path.write_text("\n".join(map(json.dumps, lines)))
    report = Kept()
    done = await import_file(city.provider.db, city.provider.box, path, Options(), taken_over, report=report)
    assert (done.made, done.rejected) == (len(lines) - 1, 1)
    assert "'md5md5' is not known" in report.reasons[0]
    assert sum("no password opens the account" in note for note in report.notes) == len(marks)
    assert any("costs too much" in note for note in report.notes)
    for name in (*good, *marks, *wrong):
        async with city.browser() as browser:
            answer = await browser.sign_in(city.relying_party("warga"), name, OLD)
            assert answer.status_code == (303 if name in good else 400), name


def test_a_realm_of_other_shapes(tmp_path: Path) -> None:
    path = tmp_path / "realm-users-0.json"
    realm = json.loads(exports.keycloak(path).read_text())
    path.write_text(json.dumps({"realm": "kota", "users": realm["users"][:1]}))
    assert [record.row["username"] for record in records(path, "keycloak") if record.row] == ["kc.ani"]
    old = {"hashedSaltedValue": "AAAA", "salt": "AAAA", "hashIterations": 1, "algorithm": "pbkdf2", "type": "password"}
    path.write_text(
        json.dumps({"users": [{"username": "a", "enabled": True, "credentials": [old]}, 7, {"username": "b"}]})
    )
    first, number, disabled = records(path, "keycloak")
    assert first.row is not None
    assert first.row["password_scheme"] == "keycloak"
    assert "not a JSON object" in number.reason
    assert "disabled there" in disabled.reason
    for text in (
        '{"realm": "kota", "clients": []}',
        '{"users": [{]}',
        "[",
        "plain",
        '{"users": [',
        '{"a": "',
        '{"a": [1',
    ):
        path.write_text(text)
        with pytest.raises(Refusal):
            records(path, "keycloak")


def dump(tmp_path: Path, text: str, table: str = "users", encoding: str | None = None) -> list[Record]:
    path = tmp_path / "dump.sql"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_records(path, f"sql:{table}", encoding))


def rows(all_records: list[Record]) -> list[dict[str, Any]]:
    return [record.row for record in all_records if record.row is not None]


def test_values_of_sql_dumps(tmp_path: Path) -> None:
    head = "-- MySQL dump\n"
    mysql = dump(
        tmp_path,
        head + "INSERT INTO `users` (`a`,`b``c`) VALUES ('it\\'s','x''y'),(NULL,0x616263),(_binary 'é\\\\\\n',-1.5e3),"
        "(TRUE,now()),\n  ( X'6162' , 'q' ) ;\nINSERT IGNORE INTO kota.users (a, `b``c`) VALUES ('1',DEFAULT);",
    )
    assert rows(mysql) == [
        {"a": "it's", "b`c": "x'y"},
        {"a": None, "b`c": "abc"},
        {"a": "é\\\n", "b`c": "-1.5e3"},
        {"a": True, "b`c": None},
        {"a": "ab", "b`c": "q"},
        {"a": "1", "b`c": None},
    ]
    assert mysql[3].notes == ("b`c: is the expression now()",)
    standard = dump(
        tmp_path,
        "INSERT INTO public.\"users\" (a, b) VALUES ('back\\slash', E'new\\nline'),('2024-01-01'::date, '{}'::jsonb);\n"
        "INSERT INTO users VALUES (1);\nCOPY public.users (a, b) FROM stdin;\nx\\ty\t\\N\nonly one\nü\\\\\t1\n\\.\n"
        "INSERT INTO other (a) VALUES ('\nINSERT INTO users (a, b) VALUES (''evil'', ''1'');\n');\n",
    )
    assert rows(standard) == [
        {"a": "back\\slash", "b": "new\nline"},
        {"a": "2024-01-01", "b": "{}"},
        {"a": "x\ty", "b": None},
        {"a": "ü\\", "b": "1"},
    ]
    assert [record.reason for record in standard if record.row is None] == [
        "the statement cannot be read from here to line 2: the dump does not say the columns of users: there is no "
        "CREATE TABLE before",
        "has 1 values for 2 columns",
    ]
    server = dump(
        tmp_path,
        "USE [kota]\r\nGO\r\nCREATE TABLE [dbo].[Users](\r\n\t[Id] [int] NOT NULL,\r\n\t[Name] [nvarchar](50)\r\n)\r\n"
        "GO\r\nINSERT [dbo].[Log] ([Text]) VALUES (N'\r\nINSERT [dbo].[Users] ([Id], [Name]) VALUES (9, N''x'')')\r\n"
        "INSERT [dbo].[Users] ([Id], [Name]) VALUES (1, N'O''Neil')\r\nINSERT [dbo].[Users] ([Id], [Name]) VALUES "
        "(2, CAST(N'2024' AS DateTime2))\r\nGO\r\n",
    )
    assert rows(server) == [{"Id": "1", "Name": "O'Neil"}, {"Id": "2", "Name": None}]
    with pytest.raises(Refusal, match=r"no table orang; .*users"):
        dump(tmp_path, head + "INSERT INTO `users` (`a`) VALUES (1);", "orang")


def test_a_broken_statement_rejects_what_it_holds_and_reading_goes_on(tmp_path: Path) -> None:
    text = "-- MySQL dump\n" + "".join(
        f"INSERT INTO `users` (`id`,`name`) VALUES ({n},'satu'),({n}1,'dua'),({n}2,'tiga');\n" for n in range(1, 6)
    )
    broken = text.replace("(31,'dua')", "(31,'dua)")
    dumped = dump(tmp_path, broken)
    assert [row["id"] for row in rows(dumped)] == [
        "1",
        "11",
        "12",
        "2",
        "21",
        "22",
        "3",
        "4",
        "41",
        "42",
        "5",
        "51",
        "52",
    ]
    (reason,) = [record.reason for record in dumped if record.row is None]
    assert "line 4" in reason
    lines = "-- MySQL dump\nINSERT INTO `users` (`id`,`name`) VALUES\n(1,'a'),\n(2,'b),\n(3,'c'),\n(4,'d');\n"
    dumped = dump(tmp_path, lines + "INSERT INTO `users` (`id`,`name`) VALUES (5,'e');\n")
    assert [row["id"] for row in rows(dumped)] == ["1", "5"]
    assert sum(record.row is None for record in dumped) == 1
    large = "-- MySQL dump\nINSERT INTO `users` (`id`,`name`) VALUES (1,'" + "x" * 100_000 + "'),(2,'b');\n"
    dumped = dump(tmp_path, large)
    assert [row["id"] for row in rows(dumped)] == ["2"]
    assert "64 KB" in dumped[0].reason
    raw = b"-- MySQL dump\nINSERT INTO `users` (`id`,`name`) VALUES (1,'\xff'),(2,'b');\n"
    (tmp_path / "d").write_bytes(raw)
    assert [record.row is None for record in read_records(tmp_path / "d", "sql:users", "utf-8")] == [True, False]


def test_a_broken_statement_of_another_table_takes_no_people_away_in_silence(tmp_path: Path) -> None:
    people = "".join(f"INSERT INTO `users` (`id`,`name`) VALUES ({n},'nama');\n" for n in range(1, 9))
    dumped = dump(tmp_path, f"-- MySQL dump\nINSERT INTO `log` VALUES (1,'tidak ditutup);\n{people}")
    assert [row["id"] for row in rows(dumped)] == [str(n) for n in range(1, 9)]
    assert [record.reason for record in dumped if record.row is None] == [
        "the statement cannot be read, to line 2: a text that begins in line 2 is not closed before line 3"
    ]
    standard = people.replace("`", "")
    dumped = dump(tmp_path, f"INSERT INTO log VALUES (1, 'tidak ditutup);\n{standard}")
    assert [row["id"] for row in rows(dumped)] == [str(n) for n in range(2, 9)]
    assert "to line 2: a text is followed by" in dumped[0].reason
    dumped = dump(tmp_path, f"{standard}INSERT INTO log VALUES (1, E'it\\'s', 'tidak ditutup);\n")
    assert len(rows(dumped)) == 8
    assert "does not end" in dumped[-1].reason


WORDS = st.text(alphabet="a'\"`\\;(),-/*#\n\t$é GO", max_size=12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5), st.booleans())
def test_what_a_dump_holds_is_what_was_written(values: list[tuple[str, str]], mysql: bool) -> None:
    import tempfile

    def quoted(text: str) -> str:
        if mysql:
            for char, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n")):
                text = text.replace(char, escaped)
            return f"'{text}'"
        return "'" + text.replace("'", "''") + "'"

    lists = ",".join(f"({quoted(a)},{quoted(b)})" for a, b in values)
    others = ";\n".join(f"INSERT INTO other VALUES ({quoted(a)})" for a, _ in values)
    text = f"{'-- MySQL dump' if mysql else '-- SQL'}\n{others};\nINSERT INTO users (a,b) VALUES {lists};\n{others};\n"
    text += "INSERT INTO users (a,b) VALUES ('end','end');\n"
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_text(text)
        dumped = list(read_records(Path(file.name), "sql:users"))
    assert [(record.row["a"], record.row["b"]) for record in dumped if record.row] == [*values, ("end", "end")]
    assert all(record.row is not None for record in dumped)


def test_a_large_dump_is_read_in_bounded_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "dump.sql"
    with path.open("w") as file:
        file.write("-- MySQL dump\n")
        for start in range(0, 6000, 2000):
            lists = ",".join(f"({n},'nama {n}','lain')" for n in range(start, start + 2000))
            file.write(f"INSERT INTO `users` (`id`,`name`,`x`) VALUES {lists};\n")
    tracemalloc.start()
    count = sum(1 for _ in read_records(path, "sql:users"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 6000
    assert peak < 3_000_000


TABLE, OBJECT = "a,b\n1,2\n", '{"users": 7}'
READS_LINES = ("jsonl", "auth0", "firebase", "django")
"""An empty file of these has no lines."""


@pytest.mark.parametrize("text", ["", "plain text\n", OBJECT, "\x00\x01", "[[[[", TABLE])
@pytest.mark.parametrize("format", [*FORMATS, "sql:users", "sql"])
def test_every_format_refuses_what_is_no_such_file(tmp_path: Path, format: str, text: str) -> None:
    path = tmp_path / "people"
    path.write_text(text)
    is_such_a_file = text == (OBJECT if format == "jsonl" else TABLE) and format in (
        "csv", "jsonl", "wordpress", "moodle", "laravel",
    )  # fmt: skip
    refusals, all_records = list[Refusal](), list[Record]()
    try:
        all_records = list(read_records(path, format))
    except Refusal as refusal:
        refusals.append(refusal)
    assert sum(record.row is not None for record in all_records) == is_such_a_file
    assert refusals or all_records or (not text and format in READS_LINES)


def test_entries_of_a_directory(tmp_path: Path) -> None:
    entries = records(exports.ldif(tmp_path / "people.ldif"), "ldif")
    by_name = {entry.row["username"]: entry for entry in entries if entry.row}
    assert list(by_name) == ["ld.ani", "ld.citra", "ld.dewi"]
    ani = by_name["ld.ani"]
    assert ani.row is not None
    assert ani.row["email"] == "ld.ani@warga.example"
    assert ani.row["local_user_id"] == "11111111-2222-3333-4444-555555555555"
    assert any("cn=admins" in note for note in ani.notes)
    assert any("further value" in note for note in ani.notes)
    assert [entry.reason for entry in entries if entry.row is None] == [
        "the account is disabled there (nsaccountlock is TRUE); an imported account could be used at once",
        "is the record of a change (delete), not an entry",
        "cn: is broken base64",
    ]


LETTERS = st.characters(exclude_characters="{}[]")
"""A name that is text in brackets is that name; the test looks for a list or an object that was written out."""
ODD = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(LETTERS, max_size=5),
                st.lists(st.integers() | st.text(LETTERS, max_size=3), max_size=2),
                st.just({"a": [{"b": 1}]}))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["keycloak", "auth0, array", "firebase", "django"]), st.data())
def test_a_value_of_another_type_costs_at_most_its_row(kind: str, data: st.DataObject) -> None:
    import tempfile

    format, write, _ = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export"
        document = json.loads(SAMPLES.setdefault(kind, write(path).read_text()))
        people = document["users"] if isinstance(document, dict) else document
        for person in people:
            inside = person["fields"] if "fields" in person and data.draw(st.booleans()) else person
            inside[data.draw(st.sampled_from(sorted(inside)))] = data.draw(ODD)
        path.write_text(json.dumps(document))
        all_records = records(path, format)
    options = Options(format=format, columns={name: name for name in KNOWN})
    for record in all_records:
        assert (record.row is None) == bool(record.reason)
        if record.row is not None:
            with suppress(RowRefused):
                row = read_row(record.line, record.row, options, take_hash, record.notes)
                assert not re.search(r"[{}\[\]]|None|True|False", row.name), row.name
                assert row.roles == ["citizen"]


SAMPLES: dict[str, str] = {}


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(list(KINDS)), st.integers(0, 3000), st.integers(0, 60), st.binary(max_size=4))
def test_a_damaged_file_is_read_as_far_as_it_can_be(kind: str, at: int, cut: int, put: bytes) -> None:
    """Nothing but a refusal of the file, or of a record, may come of damage."""
    import tempfile

    format, write, _ = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export"
        whole = WHOLE.setdefault(kind, write(path).read_bytes())
        at %= len(whole)
        path.write_bytes(whole[:at] + put + whole[at + cut :])
        all_records: list[Record] = []
        with suppress(Refusal):
            all_records = list(read_records(path, format, "utf-8"))
    assert all((record.row is None) == bool(record.reason) for record in all_records)
    assert all(record.lines >= 1 and record.line >= 1 for record in all_records)


WHOLE: dict[str, bytes] = {}


def test_a_rejected_account_is_named_in_the_report(tmp_path: Path) -> None:
    rejected = [
        record
        for name, (format, write, _) in KINDS.items()
        for record in records(write(tmp_path / name), format)
        if record.row is None and "disabled there" in record.reason
    ]
    assert len(rejected) >= len(KINDS) / 2
    assert [record for record in rejected if not record.rejected_id] == []
