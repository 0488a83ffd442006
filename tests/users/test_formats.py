"""Exports of other systems: every person of a file is made or rejected with the reason, and nobody gets a right."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import City, query_of
from tests.users import exports
from tests.users.exports import FIREBASE, KINDS, OLD

from sso.authn.legacy import taken_over, verify_imported
from sso.errors import Refusal
from sso.users import store
from sso.users.importing import Options, Report, check_file, import_file
from sso.users.readers import FORMATS, read_records
from sso.users.records import Record
from sso.users.rows import Note, read_row

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
    found = records(path, format)
    made = {str(one.row.get("username") or one.row.get("email") or "f4"): one for one in found if one.row is not None}
    reasons = [one.reason for one in found if one.row is None]
    assert not any(key for one in found if one.row for key in one.row if "role" in key or "group" in key)
    assert not any("budi" in name or "guest" in name for name in made)
    budi = [reason for reason in reasons if "there (" in reason]
    assert budi or "budi" not in path.read_text(), reasons
    options = check_file(path, Options(format=format)).options
    right = 0
    for one in made.values():
        row = read_row(one.line, one.row or {}, options, take_hash, one.notes)
        if row.password:
            assert verify_imported([OLD], row.password), (row, one)
            assert not verify_imported(["x" + OLD], row.password)
            right += 1
    assert right == 2
    citra = next(one for name, one in made.items() if "citra" in name)
    expects = ("admin", "Pengelola", "google.com") if "ldif" not in kind and "moodle" not in kind else ("",)
    assert any(word in note for word in expects for note in (*citra.notes, "" if expects == ("",) else "-")), (
        citra.notes
    )


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
            assert any("there (" in one for one in report.reasons), (kind, report.reasons)
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


def test_a_realm_of_other_shapes(tmp_path: Path) -> None:
    path = tmp_path / "realm-users-0.json"
    realm = json.loads(exports.keycloak(path).read_text())
    path.write_text(json.dumps({"realm": "kota", "users": realm["users"][:1]}))
    assert [one.row["username"] for one in records(path, "keycloak") if one.row] == ["kc.ani"]
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


def rows(found: list[Record]) -> list[dict[str, Any]]:
    return [one.row for one in found if one.row is not None]


def test_values_of_sql_dumps(tmp_path: Path) -> None:
    head = "-- MySQL dump\n"
    found = dump(
        tmp_path,
        head + "INSERT INTO `users` (`a`,`b``c`) VALUES ('it\\'s','x''y'),(NULL,0x616263),(_binary 'é\\\\\\n',-1.5e3),"
        "(TRUE,now()),\n  ( X'6162' , 'q' ) ;\nINSERT IGNORE INTO kota.users (a, `b``c`) VALUES ('1',DEFAULT);",
    )
    assert rows(found) == [
        {"a": "it's", "b`c": "x'y"},
        {"a": None, "b`c": "abc"},
        {"a": "é\\\n", "b`c": "-1.5e3"},
        {"a": True, "b`c": None},
        {"a": "ab", "b`c": "q"},
        {"a": "1", "b`c": None},
    ]
    assert found[3].notes == ("b`c: is the expression now()",)
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
    assert [one.reason for one in standard if one.row is None] == [
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
    found = dump(tmp_path, broken)
    assert [one["id"] for one in rows(found)] == [
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
    (reason,) = [one.reason for one in found if one.row is None]
    assert "line 4" in reason
    lines = "-- MySQL dump\nINSERT INTO `users` (`id`,`name`) VALUES\n(1,'a'),\n(2,'b),\n(3,'c'),\n(4,'d');\n"
    found = dump(tmp_path, lines + "INSERT INTO `users` (`id`,`name`) VALUES (5,'e');\n")
    assert [one["id"] for one in rows(found)] == ["1", "5"]
    assert sum(one.row is None for one in found) == 1
    large = "-- MySQL dump\nINSERT INTO `users` (`id`,`name`) VALUES (1,'" + "x" * 100_000 + "'),(2,'b');\n"
    found = dump(tmp_path, large)
    assert [one["id"] for one in rows(found)] == ["2"]
    assert "64 KB" in found[0].reason
    raw = b"-- MySQL dump\nINSERT INTO `users` (`id`,`name`) VALUES (1,'\xff'),(2,'b');\n"
    (tmp_path / "d").write_bytes(raw)
    assert [one.row is None for one in read_records(tmp_path / "d", "sql:users", "utf-8")] == [True, False]


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
        found = list(read_records(Path(file.name), "sql:users"))
    assert [(one.row["a"], one.row["b"]) for one in found if one.row] == [*values, ("end", "end")]
    assert all(one.row is not None for one in found)


def test_a_large_dump_is_read_in_bounded_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "dump.sql"
    with path.open("w") as file:
        file.write("-- MySQL dump\n")
        for start in range(0, 15_000, 5000):
            lists = ",".join(f"({n},'nama {n}','lain')" for n in range(start, start + 5000))
            file.write(f"INSERT INTO `users` (`id`,`name`,`x`) VALUES {lists};\n")
    tracemalloc.start()
    count = sum(1 for _ in read_records(path, "sql:users"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 15_000
    assert peak < 4_000_000


def test_every_format_refuses_what_is_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "people"
    for text in ("", "plain text\n", '{"users": 7}', "\x00\x01", "[[[[", "a,b\n1,2\n"):
        path.write_text(text)
        for format in [*FORMATS, "sql:users", "sql"]:
            found: list[Record] = []
            with suppress(Refusal):
                found = list(read_records(path, format))
            assert all(
                one.row is None or format in ("csv", "jsonl", "json", "wordpress", "moodle", "laravel") for one in found
            )


def test_entries_of_a_directory(tmp_path: Path) -> None:
    found = records(exports.ldif(tmp_path / "people.ldif"), "ldif")
    by_name = {one.row["username"]: one for one in found if one.row}
    assert list(by_name) == ["ld.ani", "ld.citra", "ld.dewi"]
    ani = by_name["ld.ani"]
    assert ani.row is not None
    assert ani.row["email"] == "ld.ani@warga.example"
    assert ani.row["local_user_id"] == "11111111-2222-3333-4444-555555555555"
    assert any("cn=admins" in note for note in ani.notes)
    assert any("further value" in note for note in ani.notes)
    assert [one.reason for one in found if one.row is None] == [
        "the account is disabled there (nsaccountlock is TRUE); an imported account could be used at once",
        "is the record of a change (delete), not an entry",
        "cn: is broken base64",
    ]
