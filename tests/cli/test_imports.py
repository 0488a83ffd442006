"""What an administrator sees of ``sso users import``: options are checked first, a trial shows, the counts add up."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

from tests.cli.conftest import Cli

HASH = hashlib.md5(b"sandi lama").hexdigest()
FILE = f"""\
ID;Surel;Nama;username;birthdate;website;sandi;email_verified;catatan
1;lama1@warga.example;René;lama1;1990-04-21;https://x.example;{HASH};2024-01-01 10:00:00;a
2;lama2@warga.example;"Budi;budi b;;;;yes;
3;lama3@warga.example;=cmd();lama3;21-04-1990;http://x.example;*;no;
4;lama4@warga.example;Ani;lama4;;;;maybe;
"""
COLUMNS = [word for column in ("local_user_id=ID", "email=Surel", "name=Nama", "password_hash=sandi")
           for word in ("--column", column)]  # fmt: skip


def test_nothing_is_written_before_the_options_fit_the_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(FILE, encoding="cp1252")
    for words, message in (
        (COLUMNS, "--encoding windows-1252 if this is right: 'a1@warga.example;René;lama1;19'"),
        (["--encoding", "utf-7"], "--encoding utf-7"),
        (["--encoding", "cp1252", "--column", "emial=Surel"], "did you mean 'email'?"),
        (["--encoding", "cp1252", "--column", "email=Mail"], "the file has no column 'Mail'"),
        (["--encoding", "cp1252", "--column", "email"], "write OURS=THEIRS"),
        (["--encoding", "cp1252", "--column", "email=Surel", "--column", "email=ID"], "is given twice"),
        (["--encoding", "cp1252", "--verified", "phone", *COLUMNS], "the file has no column phone_number"),
        (["--encoding", "cp1252", "--update", *COLUMNS], "--update needs --from"),
        (["--encoding", "cp1252", "--format", "xlsx"], "'xlsx' is not a format"),
        (["--encoding", "cp1252", "--report", "p.csv"], "is the file that is imported"),
    ):
        answer = cli("users", "import", "p.csv", *words)
        assert (answer.code, message in answer.err) == (1, True), answer.err
    for name, text, message in (
        ("p.json", "[]", "holds no row that can be read"),
        ("p.json", '[{"email": "a@x.example"}', "is not a JSON array: line 1"),
        ("p.json", '{\n"users": [\n]\n}', "jq -c '.users[]'"),
        ("p.json", '{"surel": "a@x.example"}', "name it with --column"),
    ):
        (tmp_path / name).write_text(text)
        assert message in cli("users", "import", name).err
    assert sorted(path.name for path in tmp_path.glob("p.*")) == ["p.csv", "p.json"]
    assert "lama" not in cli("users", "list").out


def test_a_trial_shows_what_would_be_stored_and_the_counts_add_up(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(FILE, encoding="cp1252")
    words = ("users", "import", "p.csv", "--from", "warga", "--encoding", "cp1252", *COLUMNS)
    trial = cli(*words, "--dry-run").out
    for text in (
        "line 2, as it would be stored:", "name: René", "email: lama1@warga.example\n",
        "password: a hash of 32 characters", "local_user_id: 1", "lama3@warga.example (not verified)",
        "4 rows: 2 users would be created",
    ):  # fmt: skip
        assert text in trial, trial
    assert "lama1" not in cli("users", "show", "lama1").out

    for password, code, message in (("sandi lama", 0, "line 2: the password matches"), ("salah", 1, "does not match")):
        answer = cli(*words, "--check-password", "LAMA1", "--password-stdin", stdin=password)
        assert (answer.code, message in answer.out + answer.err) == (code, True)
    for who, message in (
        ("3", "line 4: password_hash:"),
        ("4", "would be rejected: email_verified:"),
        ("x", "no row of"),
    ):
        assert message in cli(*words, "--check-password", who, "--password-stdin").err
    assert cli("users", "show", "lama1").code == 1

    answer = cli(*words)
    assert answer.err.strip() == "Columns that are not read: catatan"
    assert answer.out.splitlines() == [
        "4 rows: 2 users were created",
        "2 rows were rejected; the reasons are in p.csv.rejected.csv",
        "3 values were left out (birthdate 1, password_hash 1, website 1); the reasons are in p.csv.rejected.csv",
        "email_verified: a time is read as yes (1 rows)",
        "4 rows read = 2 created + 0 proposed for merging + 2 rejected",
    ]
    with (tmp_path / "p.csv.rejected.csv").open() as file:
        listed = [(row["line"], row["kind"], row["reason"].partition(":")[0]) for row in csv.DictReader(file)]
    assert listed == [
        ("3", "rejected", "cannot be read"), ("4", "left out", "website"), ("4", "left out", "birthdate"),
        ("4", "left out", "password_hash"), ("5", "rejected", "email_verified"),
    ]  # fmt: skip
    assert "imported with these options" in cli(*words).out
    assert "Add --update" in cli(*words, "--verified", "email").err

    (tmp_path / "p.csv").write_text(
        FILE.replace('"Budi;budi b', "Budi;lama2").replace("maybe", "ya"), encoding="cp1252"
    )
    done = cli(*words, "--update", "--json").json
    counts = ("rows", "made", "updated", "unchanged", "proposed", "rejected")
    assert [done[name] for name in counts] == [4, 2, 0, 2, 0, 0]
    assert json.loads(cli("users", "show", "lama2").out)["identifiers"][0]["value"] == "lama2"
