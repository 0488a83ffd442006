"""Files of people: no structure is trusted, nothing is replaced, and a broken record costs itself alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sso.errors import Refusal
from sso.identity.users.readers import read_records, text
from sso.identity.users.records import Record

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN = st.from_regex(r"[a-zé][a-z ,;\"\n]{0,8}[a-z]", fullmatch=True)
"""What people write, with everything that must be quoted."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers") / "people"


def read(file: Path, data: bytes, **options: Any) -> list[Record]:
    file.write_bytes(data)
    return list(read_records(file, **options))


def rows(file: Path, data: bytes | str, **options: Any) -> list[tuple[int, dict[str, Any] | str]]:
    """Return each record with its line, as its values or as the reason why it cannot be read."""
    records = read(file, data.encode() if isinstance(data, str) else data, **options)
    return [(record.line, record.reason if record.row is None else record.row) for record in records]


def written(records: list[tuple[str, ...]], **form: Any) -> bytes:
    output = io.StringIO()
    csv.writer(output, **form).writerows([("a", "b", "c"), *records])
    return output.getvalue().encode()


def clean(records: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [record for record in records if any(cell.strip() for cell in record)]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL)]),
)
def test_any_text_in_a_cell_comes_back_the_same(
    file: Path, records: list[tuple[str, ...]], delimiter: str, form: tuple[str, Any]
) -> None:
    data = written(records, delimiter=delimiter, lineterminator=form[0], quoting=form[1])
    returned = read(file, data, encoding="utf-8")
    assert [tuple((record.row or {}).values()) for record in returned] == clean(records)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(PLAIN, PLAIN), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 2)), min_size=1, max_size=2),
)
def test_a_corrupt_byte_changes_no_other_row(
    file: Path, records: list[tuple[str, str]], changes: list[tuple[int, int, int]]
) -> None:
    """Bytes are changed, put in and taken away in one row; with its end, the next row is part of it."""
    good = [(f"r{n}", first, second) for n, (first, second) in enumerate(records)]
    lines = [written([row], lineterminator="\n").partition(b"\n")[2] for row in good]
    broken = changes[0][0] % len(lines)
    data = bytearray(lines[broken])
    for place, byte, way in changes:
        at = place % len(data) if data else 0
        data[at : at + (0 if way == 1 else 1)] = b"" if way == 2 else bytes([byte])
    touched = {broken} if data.endswith(b"\n") else {broken, broken + 1}
    returned = read(file, b"a,b,c\n" + b"".join([*lines[:broken], data, *lines[broken + 1 :]]), encoding="utf-8")
    whole = [tuple(record.row.values()) for record in returned if record.row is not None]
    for number, row in enumerate(good):
        assert number in touched or row in whole


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([b'"', b",", b"\n", b"\r\n", b"a", b'""', b'"\n', b',"', b"\xff"]), max_size=40))
def test_every_line_belongs_to_one_record(file: Path, parts: list[bytes]) -> None:
    """Whatever a file holds, each line with something in it is in exactly one record, read or refused."""
    data = b"".join(parts)
    records = read(file, b"a,b\n" + data, encoding="utf-8")
    covered = [line for record in records for line in range(record.line, record.line + record.lines)]
    assert covered == sorted(set(covered))
    for number, line in enumerate(data.split(b"\n"), start=2):
        assert number in covered or not line.strip(b'\r,"')


def test_quotation_marks_take_no_rows_away(file: Path) -> None:
    lines = [f"{n},Orang {n},o{n}@x.example" for n in range(3000)]
    lines[50] = '50,"Budi,budi@x.example'
    lines[90] = '90,"Tuti, S.Pd",tuti@x.example'
    lines[91] = '91,Toko "Maju",maju@x.example'
    outcomes = rows(file, "id,name,email\n" + "\n".join(lines))
    assert [line for line, row in outcomes if isinstance(row, str)] == [52, 93]
    assert len(outcomes) == 3000
    assert outcomes[90][1] == {"id": "90", "name": "Tuti, S.Pd", "email": "tuti@x.example"}
    assert [row for line, row in outcomes if line == 53] == [{"id": "51", "name": "Orang 51", "email": "o51@x.example"}]


def test_records_that_are_too_long_are_refused_in_bounded_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK", 1000)
    inside = "x,y\n" * 30_000
    outcomes = rows(file, f'a,b\n1,"{inside}"\n2,{"z" * 70_000}\n3,c\n')
    assert outcomes[-1] == (30_004, {"a": "3", "b": "c"})
    assert "64 KB" in str(outcomes[-2][1])
    assert len(outcomes) == 30_003
    assert all("stands between quotation marks" in str(row) for _, row in outcomes[:-2])
    one_line = json.dumps([{"a": n} for n in range(2000)] + [{"a": "z" * 70_000}, {"a": -1}])
    outcomes = rows(file, one_line)
    assert len(outcomes) == 2002
    assert outcomes[-2:] == [(1, "has more than 64 KB"), (1, {"a": -1})]


@pytest.mark.parametrize("name", ["x", "\xff", "x" * 70_000, "x\n\n", '""', ",", "\r"])
def test_what_stands_inside_a_value_is_never_a_row(file: Path, name: str) -> None:
    """Somebody who chose a name with a line break and a row of its own in the former application makes no person."""
    hostile = f"{name}\n9,wali@x.example,k\n{name}"
    for inside in (
        f'1,"{hostile}",k',
        f'1,k,"{hostile}"',
        f'1,"{hostile}","{hostile}"',
        f'1,"{"y" * 70_000}\n","{hostile}"',
    ):
        outcomes = rows(file, f"a,b,c\n{inside}\n2,b@x.example,k\n".encode("latin-1"), encoding="utf-8")
        assert [row["a"] for _, row in outcomes if isinstance(row, dict)] in (["2"], ["1", "2"])


def test_spreadsheets_are_read_as_they_write(file: Path) -> None:
    same = [(2, {"nama": "Renée, S.Pd", "surel": "a"}), (3, {"nama": "B", "surel": "b\r\nc"})]
    quoted = 'nama,surel\r\n"Renée, S.Pd",a\r\nB,"b\r\nc"\r\n,\r\n\r\n'
    assert rows(file, b"\xef\xbb\xbf" + quoted.encode()) == same
    tabs = quoted.replace("nama,", "nama\t").replace('Pd",', 'Pd"\t').replace('B,"', 'B\t"').replace("\n,", "\n\t")
    for encoding in ("utf-16", "utf-32"):
        assert rows(file, tabs.encode(encoding)) == same
    assert rows(file, tabs.encode("utf-16-le"), encoding="utf-16-le") == same
    assert rows(file, "sep=;\na;b\n1;2\n") == [(3, {"a": "1", "b": "2"})]
    assert rows(file, "a,b,\n1,2,\n3,4,5\n") == [
        (2, {"a": "1", "b": "2"}),
        (3, "has a value in column 3, which has no name"),
    ]
    assert rows(file, "id,b,id\n1,2,3\n") == [(2, {"id (column 1)": "1", "b": "2", "id (column 3)": "3"})]
    assert rows(file, 'a,b\r1,2\r3,"x\ry"\r') == [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": "x\ry"})]
    assert rows(file, "\n\na;b\n1,5;2\n\x1a") == [(4, {"a": "1,5", "b": "2"})]


def test_encodings_are_named_and_nothing_is_replaced(file: Path) -> None:
    windows = "a,b\n1,x\n2,Renée\n".encode("cp1252")
    with pytest.raises(Refusal, match=r"line 3 has byte 0xe9.*--encoding windows-1252.*'2,Renée'"):
        rows(file, windows)
    assert rows(file, windows, encoding="windows-1252")[1] == (3, {"a": "2", "b": "Renée"})
    outcomes = rows(file, windows, encoding="utf-8")
    assert outcomes[0] == (2, {"a": "1", "b": "x"})
    assert "is not utf-8" in str(outcomes[1][1])
    with pytest.raises(Refusal, match="give --encoding utf-16-le"):
        rows(file, "a,b\n1,2\n".encode("utf-16-le"))
    for encoding in ("utf-7", "hz", "iso-2022-jp", "cp037", "base64", "unknown"):
        with pytest.raises(Refusal, match=f"--encoding {encoding}"):
            rows(file, "a,b\n1,2\n", encoding=encoding)
    with pytest.raises(Refusal, match="mark of utf-8"):
        rows(file, b"\xef\xbb\xbfa,b\n", encoding="latin-1")
    assert rows(file, '[{"a": "é"}]'.encode("utf-16")) == [(1, {"a": "é"})]
    assert rows(file, '{"a": "é"}\n'.encode("latin-1"), encoding="latin-1") == [(1, {"a": "é"})]
    broken = b'[{"a": "\xff"}, {"a": 1}]'
    assert [type(row) for _, row in rows(file, broken, encoding="utf-8")] == [str, dict]


def test_json_is_strict_and_arrays_are_read(file: Path) -> None:
    array = [{"a": 1, "b": {"c": [1, 2]}}, {"a": 2**53 + 1}, {"a": "[{,"}]
    for data in (json.dumps(array), json.dumps(array, indent=2), "\n " + json.dumps(array) + "\n\n"):
        assert [row for _, row in rows(file, data)] == array
    assert rows(file, '[\n {"a": 1},\n {"b": 2, "b": 3},\n 5, NaN\n]') == [
        (2, {"a": 1}),
        (3, "has the member 'b' twice"),
        (4, "is not a JSON object"),
        (4, "has NaN"),
    ]
    lines = '{"a": 1}\nnull\n{"a": {"b": 1, "b": 2}}\n{"a": 1} {"a": 2}\n\n{"a": 1e999}\n{"a": "\\ud800"}\n{"a": 2}'
    outcomes = rows(file, lines)
    assert [line for line, row in outcomes if isinstance(row, str)] == [2, 3, 4, 6, 7]
    assert outcomes[-1] == (8, {"a": 2})
    for data in ('[{"a": 1}', '[{"a": 1},]', '[{"a": 1} {"a": 2}]', '[{"a": 1}]\n[]', "[" * 5000, '[{"a": 1}, x]'):
        with pytest.raises(Refusal, match="is not a JSON array: line"):
            rows(file, data)
    with pytest.raises(Refusal, match="one JSON object over several lines"):
        rows(file, json.dumps({"users": array}, indent=1))


def test_records_are_read_one_at_a_time(file: Path) -> None:
    with file.open("w") as out:
        out.write("username,name\n")
        out.writelines(f"lama{n},Lama\n" for n in range(100_000))
    records: Iterator[Record] = iter(read_records(file))
    assert next(records).row == {"username": "lama0", "name": "Lama"}
    assert next(records).read < file.stat().st_size / 2


@pytest.mark.parametrize("data", ["", "hello", "\x00\x01\x02", "\n\n", "sep=;\n"])
def test_what_is_no_such_file_is_refused(file: Path, data: str) -> None:
    with pytest.raises(Refusal):
        rows(file, data)
