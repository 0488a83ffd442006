"""The commands of the manuals of units, roles, employees and attributes work in the order of the pages, with the files
that the pages show."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path
from textwrap import dedent

from tests.cli.conftest import Cli, cli
from tests.docs.shell import return_to_the_time_of_the_documents

__all__ = ["cli"]
DOCS = Path(__file__).parents[2] / "docs" / "how-to"


def file_of(page: str, first_line: str) -> str:
    """Return the file that a page shows: from its first line to the first empty line or the end of the fence."""
    lines = (DOCS / page).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip() == first_line)
    after = takewhile(lambda line: line.strip() and not line.strip().startswith("```"), lines[start:])
    return dedent("\n".join(after)) + "\n"


def commands_of(page: str) -> list[str]:
    """Return the complete commands of a page, in its order: in blocks, and in the text between backticks."""
    text = (DOCS / page).read_text()
    commands = re.findall(r"^ *(?:\$ )?(sso .+)$|`(sso [^`…]+)`", text, re.MULTILINE)
    return [" ".join((block or inline).split()) for block, inline in commands]


def run(cli: Cli, command: str, **names: str) -> str:
    """Run a command of a page. Words in capitals are replaced by ``names``."""
    words = [names.get(word, word) for word in shlex.split(command)[1:]]
    answer = cli(*words)
    assert answer.code == 0, f"{command}: {answer.err}"
    return answer.out


def given(page: str, *commands: str) -> None:
    """Check that a page has these commands, in this order."""
    places = [commands_of(page).index(command) for command in commands]
    assert places == sorted(places), commands


def test_the_commands_of_the_manuals_work_in_their_order(cli: Cli, tmp_path: Path) -> None:
    return_to_the_time_of_the_documents()
    nip = "198703122011011004"
    (tmp_path / "unit.csv").write_text(file_of("groups.md", "code,name_id,name_en,parent_code,valid_from,valid_until"))
    (tmp_path / "unit.yaml").write_text(file_of("groups.md", "units:"))
    given(
        "groups.md", "sso groups import-csv unit.csv --dry-run", "sso groups apply unit.yaml --dry-run",
        "sso groups export", "sso groups members CODE --below",
    )  # fmt: skip
    assert "2 new" in run(cli, "sso groups import-csv unit.csv --dry-run")
    assert "2 new" in run(cli, 'sso groups import-csv unit.csv --reason "SOTK 2026"')
    assert "1 new" in run(cli, "sso groups apply unit.yaml --dry-run")
    run(cli, "sso groups apply unit.yaml")
    (tmp_path / "export.yaml").write_text(run(cli, "sso groups export"))
    assert "0 new, 0 changed, 0 moved, 3 unchanged" in run(cli, "sso groups apply export.yaml --dry-run")
    run(cli, "sso groups add-member PKM-CPD siti --position Staf --reason Tugas")
    assert "Siti" in run(cli, "sso groups members CODE --below", CODE="DINKES")
    run(cli, "sso groups administrators PKM-CPD siti --reason Tugas")
    run(cli, "sso groups end-member PKM-CPD siti --reason Pindah")

    (tmp_path / "antrean.yaml").write_text(file_of("roles.md", "catalogue: antrean"))
    (tmp_path / "roles.yaml").write_text(file_of("roles.md", "assignments:").replace("siti@warga.example", "siti"))
    given("roles.md", "sso clients apply antrean.yaml --dry-run", "sso roles show antrean")
    run(cli, "sso clients apply antrean.yaml --dry-run")
    run(cli, "sso clients apply antrean.yaml")
    assert "Petugas" in run(cli, "sso roles show antrean")
    give = next(command for command in commands_of("roles.md") if command.startswith("sso roles give"))
    assert "given" in run(cli, give.replace("siti@warga.example", "siti"))
    plan = run(cli, "sso roles apply roles.yaml --dry-run --end-others")
    for line in ("give: antrean: reader, group DINKES/*", "would give: 1, would change: 1, would end: 0"):
        assert line in plan
        assert line in (DOCS / "roles.md").read_text()
    run(cli, "sso roles apply roles.yaml --end-others")

    (tmp_path / "pegawai.csv").write_text(
        file_of("employees.md", "nip;name;employment_status;unit_code;position;grade;from")
    )
    imports = [command for command in commands_of("employees.md") if command.startswith("sso employees import")]
    assert len(imports) == 2
    assert "1 new accounts" in run(cli, imports[0])
    assert "1 new accounts" in run(cli, imports[0].replace(" --dry-run", ""))
    run(cli, "sso users proposals list")
    assert "1 unchanged" in run(cli, imports[1])
    assert "Perawat" in run(cli, "sso employees show NIP", NIP=nip)
    end = next(command for command in commands_of("employees.md") if command.startswith("sso employees end"))
    run(cli, end.replace("2026-12-31", "2099-12-31"), NIP=nip)

    (tmp_path / "attributes.yaml").write_text((DOCS.parent / "reference" / "attributes.example.yaml").read_text())
    given("../reference/attributes.md", "sso attributes apply attributes.yaml --dry-run", "sso attributes list")
    assert "+ attributes.blood_type" in run(cli, "sso attributes apply attributes.yaml --dry-run")
    run(cli, 'sso attributes apply attributes.yaml --reason "Perwal 12/2026"')
    assert "blood_type" in run(cli, "sso attributes list")
    run(cli, "sso attributes show NAME", NAME="blood_type")
    (tmp_path / "attributes.yaml").write_text(run(cli, "sso attributes export"))
    assert "+" not in run(cli, "sso attributes apply attributes.yaml --dry-run")
    (tmp_path / "mapped.yaml").write_text(
        (tmp_path / "antrean.yaml").read_text().replace("openid profile", "openid profile email")
        + "    " + file_of("../reference/attributes.md", "claim_mappers:").replace("\n", "\n    ").rstrip() + "\n"
    )  # fmt: skip
    run(cli, "sso clients apply mapped.yaml --dry-run")
