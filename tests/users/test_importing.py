"""Taking people over: any form of file, bounded, able to go on, with every rejected row and why."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from passlib import hash as known
from sqlalchemy import func, select
from tests.support import City, query_of

from sso import clock
from sso.cli.imports import report_to
from sso.errors import Refusal
from sso.identity.authn.legacy_hashes import taken_over
from sso.identity.users import importing, store
from sso.identity.users.importing import Options, Progress, Report, import_file
from sso.identity.users.models import ImportRun, LocalAccount, MergeProposal, User
from sso.identity.users.rows import Note

OLD = "sandi lama 99"


class Stopped(Exception):
    """The machine was switched off."""


class Kept(Report):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, str]] = []
        self.notes: list[tuple[int, str, Note]] = []
        self.begun: list[int | None] = []

    def begin(self, line: int | None) -> None:
        self.begun.append(line)

    def rejected(self, line: int, local_user_id: str, reason: str) -> None:
        self.rows.append((line, local_user_id, reason))

    def noted(self, line: int, local_user_id: str, note: Note) -> None:
        self.notes.append((line, local_user_id, note))


async def run(
    city: City, path: Path, *, rejected: list[tuple[int, str, str]] | None = None, on_progress: Any = None, **given: Any
) -> Progress:
    rejections = rejected if rejected is not None else []
    options = Options(
        given.pop("client_id", "sehat"),
        frozenset(given.pop("verified", ())),
        given.pop("columns", {}),
        given.pop("format", "auto"),
        given.pop("encoding", None),
        given.pop("update", False),
    )
    done = await import_file(
        city.provider.db,
        city.provider.box,
        path,
        options,
        taken_over,
        reject=lambda *rejection: rejections.append(rejection),
        on_progress=on_progress or (lambda _: None),
        is_current=lambda stored: stored.startswith("$argon2id$"),
        **given,
    )
    assert done.rows == done.balance()
    return done


async def count(city: City, table: Any = User) -> int:
    async with city.provider.db.read() as session:
        return int((await session.execute(select(func.count()).select_from(table))).scalar_one())


def as_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("form", ["csv", "semicolons", "json lines", "with a mark"])
async def test_any_form_of_file(city: City, tmp_path: Path, form: str) -> None:
    rows = [{"username": f"lama{n}", "email": f"lama{n}@warga.example", "name": f"Lama, {n}"} for n in range(30)]
    path = tmp_path / "people"
    if form == "json lines":
        path.write_text("\n\n".join(json.dumps(row) for row in rows))
    else:
        as_csv(path, rows, ";" if form == "semicolons" else ",")
    if form == "with a mark":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    before = await count(city)
    done = await run(city, path)
    assert (done.rows, done.made, done.rejected) == (30, 30, 0)
    assert await count(city) == before + 30
    async with city.provider.db.read() as session:
        user = await store.find_user(session, "lama7@warga.example")
        assert user is not None
        assert user.name == "Lama, 7"


HASHES = {
    "bcrypt": known.bcrypt.using(rounds=4).hash(OLD).replace("$2b$", "$2y$"),
    "md5": hashlib.md5(OLD.encode()).hexdigest(),
    "sha1": hashlib.sha1(OLD.encode()).hexdigest(),
    "phpass": known.phpass.using(rounds=7).hash(OLD),
    "crypt": known.sha512_crypt.using(rounds=1000).hash(OLD),
    "django": known.django_pbkdf2_sha256.using(rounds=100).hash(OLD),
    "ldap": known.ldap_salted_sha1.hash(OLD),
    "argon2": known.argon2.using(rounds=1, memory_cost=1024).hash(OLD),
    "salted": hashlib.md5(b"garam" + OLD.encode()).hexdigest(),
}


async def test_one_signs_in_with_the_old_password_and_it_is_argon2id_from_then_on(city: City, tmp_path: Path) -> None:
    rows = [
        {"username": f"lama-{kind}", "name": kind, "password_hash": text, "password_salt": "garam" * (kind == "salted")}
        for kind, text in HASHES.items()
    ]
    await run(city, as_csv(tmp_path / "p.csv", rows))
    for kind in HASHES:
        for _ in range(2):
            async with city.browser() as browser:
                answer = await browser.sign_in(city.relying_party("warga"), f"lama-{kind}", OLD)
                assert "code" in query_of(answer.headers["location"]), kind
        async with city.browser() as browser:
            assert (await browser.sign_in(city.relying_party("warga"), f"lama-{kind}", "x" + OLD)).status_code == 400
        async with city.provider.db.read() as session:
            user = await store.find_user(session, f"lama-{kind}")
            assert user is not None
            assert (await store.credentials_of(session, user.id))[0].secret.startswith("$argon2id$")


async def test_every_rejected_row_is_named_with_the_reason(city: City, tmp_path: Path) -> None:
    lines = [
        '{"name": "Tanpa"}',
        "not json",
        '{"username": "a b", "name": "A", "local_user_id": "2"}',
        '{"username": "aa1", "name": "<b>"}',
        '{"username": "aa2", "name": "A", "password_hash": "plain"}',
        '{"username": "aa3", "name": "A", "nik": "3671"}',
        '{"username": "aa4", "name": "A", "email": "nobody"}',
        '{"username": "aa5", "name": "A", "birthdate": "kemarin"}',
        '{"username": "siti", "name": "A"}',
        '{"username": "baik", "name": "Baik", "local_user_id": "7"}',
        '{"username": "baik2", "name": "Baik", "local_user_id": "7"}',
        '["a"]',
    ]
    path, report = tmp_path / "p", Kept()
    path.write_text("\n".join(lines))
    done = await run(city, path, report=report)
    assert (done.rows, done.made, done.rejected) == (12, 5, 7)
    why = {line: reason for line, _, reason in report.rows}
    assert sorted(why) == [1, 2, 3, 4, 9, 11, 12]
    assert "to sign in with" in why[1]
    assert "cannot be read" in why[2]
    assert why[3].startswith("username:")
    assert "is taken" in why[9]
    assert "before" in why[11]
    assert (3, "2") in [(line, local) for line, local, _ in report.rows]
    left_out = {(line, note.kind, note.text.partition(":")[0]) for line, _, note in report.notes}
    assert left_out == {
        (line, "left out", column)
        for line, column in enumerate(("password_hash", "nik", "email", "birthdate"), start=5)
    }
    assert done.left_out == {"password_hash": 1, "nik": 1, "email": 1, "birthdate": 1}


async def test_duplicates_within_and_across_files_are_proposed(city: City, tmp_path: Path) -> None:
    first = [
        {"nik": "3671014104900001", "name": "Ani", "local_user_id": "1"},
        {"email": "ani@warga.example", "name": "Ani", "local_user_id": "2"},
        {"email": "ANI@warga.example", "nik": "3671 0141 0490 0001", "name": "Ani", "local_user_id": "3"},
    ]
    done = await run(city, as_csv(tmp_path / "a.csv", first), verified=["nik", "email"])
    assert (done.made, done.proposed) == (2, 1)
    second = [{"phone_number": "0812 3456 7890", "username": "siti", "name": "Siti", "local_user_id": "1"}]
    done = await run(city, as_csv(tmp_path / "b.csv", second), client_id="warga", verified=["phone"])
    assert (done.made, done.proposed) == (0, 1)
    async with city.provider.db.read() as session:
        proposals = (await session.execute(select(MergeProposal).order_by(MergeProposal.id))).scalars().all()
    assert [proposal.reasons for proposal in proposals] == [["nik", "email"], ["phone"]]
    assert proposals[1].user_id == city.users["siti"]


async def test_a_user_name_that_is_taken_is_no_reason_where_there_is_something_else(city: City, tmp_path: Path) -> None:
    row = {"username": "siti", "email": "siti.lain@warga.example", "name": "Siti Lain"}
    assert (await run(city, as_csv(tmp_path / "p.csv", [row]))).made == 1
    async with city.provider.db.read() as session:
        user = await store.find_user(session, "siti.lain@warga.example")
        assert user is not None
        assert [identifier.kind for identifier in await store.identifiers_of(session, user.id)] == ["email"]


async def test_it_goes_on_where_it_was_stopped(city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 10)
    rows: list[dict[str, Any]] = [{"username": f"lama{n}", "name": "Lama", "local_user_id": n} for n in range(35)]
    rows[3]["username"] = "x y"
    path, before = as_csv(tmp_path / "p.csv", rows), await count(city)

    def stop(progress: Progress) -> None:
        if progress.rows == 20:
            raise Stopped

    with pytest.raises(Stopped):
        await run(city, path, on_progress=stop)
    assert await count(city) == before + 19
    rejected: list[tuple[int, str, str]] = []
    done = await run(city, path, rejected=rejected)
    assert (done.rows, done.made, done.rejected, rejected) == (35, 34, 1, [])
    assert await count(city) == before + 34
    again = await run(city, path, rejected=rejected)
    assert (again.rows, again.made) == (35, 34)
    assert await count(city) == before + 34
    assert rejected == []


async def test_a_dry_run_changes_nothing(city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what the import says, also where rows of one person are in different batches."""
    monkeypatch.setattr(importing, "BATCH", 2)
    before = await count(city)
    row = {"username": "lama", "email": "lama@warga.example", "local_user_id": "1"}
    rows = [row, row | {"local_user_id": "2"}, row | {"local_user_id": "3"}, row]
    rows += [row | {"email": "", "local_user_id": "4"}, row | {"username": "baru", "email": "", "local_user_id": "5"}]
    trial, report = Kept(), Kept()
    path = as_csv(tmp_path / "p.csv", rows)
    tried = await run(city, path, dry_run=True, verified=["email"], report=trial)
    assert (await count(city), await count(city, ImportRun)) == (before, 0)
    done = await run(city, path, verified=["email"], report=report)
    assert (done.made, done.proposed, done.rejected) == (2, 2, 2)
    assert (tried.made, tried.proposed, tried.rejected) == (2, 2, 2)
    assert report.rows == trial.rows


async def test_what_the_application_has_verified_is_verified_and_nothing_else(city: City, tmp_path: Path) -> None:
    rows = [
        {"email": "satu@warga.example", "phone_number": "0857 1111 0001", "email_verified": "", "name": "Satu"},
        {"email": "dua@warga.example", "phone_number": "0857 1111 0002", "email_verified": "ya", "name": "Dua"},
    ]
    path = as_csv(tmp_path / "p.csv", rows)
    await run(city, path, verified=["phone"])
    async with city.provider.db.read() as session:
        verified = {}
        for name in ("satu", "dua"):
            user = await store.find_user(session, f"{name}@warga.example")
            assert user is not None
            known_ = await store.identifiers_of(session, user.id)
            verified[name] = sorted(identifier.kind for identifier in known_ if identifier.verified_at)
    assert verified == {"satu": ["phone"], "dua": ["email", "phone"]}


async def test_columns_have_the_names_that_they_have_there(city: City, tmp_path: Path) -> None:
    path = as_csv(tmp_path / "p.csv", [{"surel": "a1@warga.example", "nama": "Andi", "sandi": HASHES["md5"]}])
    columns = {"email": "surel", "name": "nama", "password_hash": "sandi"}
    assert (await run(city, path, columns=columns)).made == 1


async def person(city: City, local_user_id: str) -> tuple[User, dict[str, tuple[str, bool]], list[str]]:
    """Return a person of ``sehat``, the identifiers with whether each is verified, and the kinds of passwords."""
    async with city.provider.db.read() as session:
        account = await session.get(LocalAccount, ("sehat", local_user_id))
        assert account is not None
        user = await session.get(User, account.user_id)
        assert user is not None
        identifiers = await store.identifiers_of(session, user.id)
        credentials = await store.credentials_of(session, user.id)
    by_kind = {identifier.kind: (identifier.value, identifier.verified_at is not None) for identifier in identifiers}
    return user, by_kind, [credential.secret for credential in credentials]


async def test_an_update_changes_what_nobody_has_used(city: City, tmp_path: Path) -> None:
    """A second run with other options is refused and offers --update; what people did here since stays."""
    old, new = hashlib.md5(b"lama").hexdigest(), HASHES["md5"]
    row = {"nama": "", "sandi": old, "telepon": "", "local_user_id": "", "username": "", "email": ""}
    rows = [
        row | {"local_user_id": n, "nama": f"Lama {n}", "username": f"lama{n}", "email": f"lama{n}@warga.example"}
        for n in range(4)
    ]
    path = as_csv(tmp_path / "p.csv", rows)
    plain = {"name": "nama", "password_hash": "sandi"}
    assert (await run(city, path, columns=plain)).made == 4
    again = await run(city, path, columns=plain)
    assert (again.made, again.before is not None) == (4, True)
    with pytest.raises(Refusal, match=r"other options \(--column name=nama .*now --verified email .*\).*--update"):
        await run(city, path, columns=plain, verified=["email"])
    with pytest.raises(Refusal, match="--update needs --from"):
        await run(city, path, columns=plain, update=True, client_id=None)
    done = await run(city, path, columns=plain, update=True)
    assert (done.updated, done.unchanged, done.made, done.rejected) == (0, 4, 0, 0)

    async with city.browser() as browser:  # one signs in, one changes the profile
        answer = await browser.sign_in(city.relying_party("warga"), "lama0", "lama")
        assert "code" in query_of(answer.headers["location"])
    user, _, _ = await person(city, "1")
    async with city.provider.db.write() as session:
        await store.mark_changed(session, user.id, clock.now())
    rows = [
        earlier | {"nama": f"Baru {n}", "sandi": new, "telepon": f"0812345678{n}0"} for n, earlier in enumerate(rows)
    ]
    rows[3]["telepon"] = "8.12E+11"
    rows += [rows[2] | {"nama": "Dua kali"}, row | {"local_user_id": 9, "username": "lama9", "nama": "Baru"}]
    path, report = as_csv(tmp_path / "p.csv", rows), Kept()
    options = {"columns": plain | {"phone_number": "telepon"}, "verified": ["email"], "update": True}
    assert (await run(city, path, dry_run=True, **options)).updated == 3
    done = await run(city, path, report=report, **options)
    assert (done.updated, done.unchanged, done.made, done.rejected) == (3, 1, 1, 1)
    assert report.rows == [(6, "2", "local_user_id: stands twice in this file")]
    kept_fields = {(line, note.text.partition(":")[0]) for line, _, note in report.notes if note.kind == "kept"}
    assert kept_fields == {(2, "email"), (2, "phone"), (3, "name"), (3, "email"), (3, "phone")}
    assert [(line, note.kind) for line, _, note in report.notes if note.text.startswith("phone_number")] == [
        (5, "left out")
    ]
    for number, name, mail, passwords in (
        ("0", "Baru 0", False, ["$argon2id$"]), ("1", "Lama 1", False, [old]),
        ("2", "Baru 2", True, [new]), ("3", "Baru 3", True, [new]),
    ):  # fmt: skip
        user, identifiers, secrets = await person(city, number)
        assert (user.name, identifiers["email"][1]) == (name, mail)
        assert ("phone" in identifiers) == (number == "2")
        assert all(secret.startswith(beginning) for secret, beginning in zip(secrets, passwords, strict=True))
    for name, secret in (("lama0", "lama"), ("lama1", "lama"), ("lama2", OLD), ("lama3@warga.example", OLD)):
        async with city.browser() as browser:
            answer = await browser.sign_in(city.relying_party("warga"), name, secret)
            assert "code" in query_of(answer.headers["location"]), name


async def test_an_update_takes_nothing_from_others_and_replaces_nothing_verified(city: City, tmp_path: Path) -> None:
    first = [
        {"local_user_id": "1", "username": "lama1", "email": "lama1@warga.example", "email_verified": "yes"},
        {"local_user_id": "2", "username": "lama2", "email": "lama2@warga.example", "email_verified": "no"},
        {"local_user_id": "3", "email": "siti@warga.example", "email_verified": "yes", "username": ""},
    ]
    done = await run(city, as_csv(tmp_path / "p.csv", first))
    assert (done.made, done.proposed) == (2, 1)
    second = [
        first[0] | {"email": "lain@warga.example", "username": "siti"},
        first[1] | {"email": "lama1@warga.example", "email_verified": "yes", "username": "lama3"},
        first[2] | {"username": "siti3"},
    ]
    path, report = as_csv(tmp_path / "p.csv", second), Kept()
    done = await run(city, path, update=True, report=report)
    assert (done.updated, done.unchanged, done.rejected) == (2, 1, 0)
    assert {note.text.partition(":")[0] for _, _, note in report.notes} == {"email", "username"}
    assert (await person(city, "1"))[1] == {"username": ("lama1", True), "email": ("lama1@warga.example", True)}
    assert (await person(city, "2"))[1] == {"username": ("lama3", True), "email": ("lama2@warga.example", False)}


async def test_what_was_reported_before_a_stop_is_reported_once(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is on the disk before the rows are committed; a run that goes on takes out what comes again."""
    monkeypatch.setattr(importing, "BATCH", 10)
    rows = [{"username": f"lama{n}", "name": "Lama", "gender": "x" * 300 * (n % 4 == 0)} for n in range(35)]
    path, listed = as_csv(tmp_path / "p.csv", rows), tmp_path / "report.csv"

    with report_to(listed) as report, monkeypatch.context() as patched, pytest.raises(Stopped):
        flush = report.flush

        def stopping() -> None:
            flush()
            if listed.exists() and len(listed.read_text().splitlines()) > 6:
                raise Stopped

        patched.setattr(report, "flush", stopping)
        await run(city, path, report=report)
    assert len(listed.read_text().splitlines()) == 9
    with report_to(listed) as report:
        done = await run(city, path, report=report)
    assert (done.made, done.rejected) == (35, 0)
    with listed.open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["line"]) for line in lines] == list(range(2, 37, 4))
    assert {line["kind"] for line in lines} == {"left out"}


async def test_where_a_batch_ends_makes_no_difference(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rejected row does not take its ``local_user_id``, and a proposal is replaced once in a run."""
    rows = [
        {"local_user_id": "1", "username": "budi"}, {"local_user_id": "1", "username": "lama1"},
        {"local_user_id": "2", "email": "siti@warga.example", "name": "Dua"},
        {"local_user_id": "3", "username": "lama3"}, {"local_user_id": "3", "username": "lama4"},
        {"local_user_id": "2", "email": "siti@warga.example", "name": "Lain"},
    ]  # fmt: skip
    path, reported = as_csv(tmp_path / "p.csv", rows), []
    expected = [
        (2, "1", "username: is taken, and there is nothing else to sign in with"),
        (6, "3", "local_user_id: was taken over before; --update brings the person up to date"),
        (7, "2", "local_user_id: was taken over before; --update brings the person up to date"),
    ]
    for size, dry_run in ((1, True), (2, True), (1000, True), (2, False)):
        monkeypatch.setattr(importing, "BATCH", size)
        report = Kept()
        await run(city, path, verified=["email"], report=report, dry_run=dry_run)
        reported.append(report.rows)
    assert reported == [expected] * 4
    for size in (1000, 1):
        monkeypatch.setattr(importing, "BATCH", size)
        report = Kept()
        done = await run(city, path, verified=["email"], report=report, update=True)
        assert (done.made, done.updated, done.unchanged) == (0, 0, 3), size
        assert report.rows == [
            (3, "1", "local_user_id: stands twice in this file"), (6, "3", "local_user_id: stands twice in this file"),
            (7, "2", "local_user_id: stands twice in this file"),
        ]  # fmt: skip


async def test_counts_that_do_not_add_up_write_nothing(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(*arguments: Any) -> None:
        arguments[2].rows.pop()
        await decide(*arguments)

    decide, before = importing._decide, await count(city)
    monkeypatch.setattr(importing, "_decide", forget)
    rows = [{"username": f"lama{n}", "name": "Lama"} for n in range(3)]
    with pytest.raises(Refusal, match="3 rows were read, and 2 have an outcome"):
        await run(city, as_csv(tmp_path / "p.csv", rows))
    assert await count(city) == before
    assert await count(city, ImportRun) == 0


async def test_a_line_break_makes_nobody(city: City, tmp_path: Path) -> None:
    """A name with a line break that was written to look like a row of its own becomes no person."""
    lines = ["local_user_id,name,email,address", '1,Ani,a@x.example,"Jalan 1\r\nJakarta"', '2,"Budi', "3,Wali,w@x.id,"]
    lines += ['4,x",b@x.example,', "5,Rina,r@x.example,"]
    path, report = tmp_path / "p.csv", Kept()
    path.write_text("\n".join(lines), newline="")
    done = await run(city, path, report=report, verified=["email"])
    assert (done.made, done.rejected) == (2, 3)
    assert [line for line, _, _ in report.rows] == [4, 5, 6]
    assert (await person(city, "1"))[0].profile == {"address": {"formatted": "Jalan 1\r\nJakarta"}}
