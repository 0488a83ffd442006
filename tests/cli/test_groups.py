"""``sso groups``: units from files, lists, and members."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli

YAML = """units:
  - {code: KOTA, name_id: Kota}
  - {code: DINKES, name_id: Dinas Kesehatan, name_en: Health Office, parent: KOTA}
groups:
  - {code: PANITIA, name_id: Panitia}
"""


def test_units_come_from_files_and_are_shown(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "unit.yaml"
    path.write_text(YAML)
    plan = cli("groups", "apply", str(path), "--dry-run")
    assert "3 new, 0 changed, 0 moved, 0 unchanged; nothing was changed" in plan.out
    assert cli("groups", "list").out.splitlines()[1:] == []
    assert "3 new" in cli("groups", "apply", str(path), "--reason", "SOTK").out
    assert "3 unchanged" in cli("groups", "apply", str(path)).out
    csv = tmp_path / "unit.csv"
    csv.write_text("code;name_id;parent_code\nPKM-1;Puskesmas 1;DINKES\nDINKES;Dinas Kesehatan;\n")
    applied = cli("groups", "import-csv", str(csv), "--json").json
    assert (applied["applied"], applied["create"], applied["move"]) == (True, 1, 1)
    csv.write_text("code;name_id;parent_code\nA;Dinas A;B\nC;;\n")
    refused = cli("groups", "import-csv", str(csv))
    assert refused.code == 1
    assert "line 2: parent_code: No unit has the code B" in refused.err
    assert "line 3: name_id: The value is missing." in refused.err
    assert cli("groups", "tree").out == "DINKES  Dinas Kesehatan\n  PKM-1  Puskesmas 1\nKOTA  Kota\n"
    assert cli("groups", "tree", "DINKES").out.startswith("DINKES")
    unit = cli("groups", "show", "PKM-1").json
    assert (unit["path"], unit["name_id"]) == (["DINKES"], "Puskesmas 1")
    assert [group["code"] for group in cli("groups", "list", "--search", "pusk", "--json").json] == ["PKM-1"]
    exported = tmp_path / "lagi.yaml"
    exported.write_text(cli("groups", "export").out)
    assert "4 unchanged" in cli("groups", "apply", str(exported), "--dry-run").out
    assert cli("groups", "show", "X").code == 1


def test_members_and_administrators_are_set_with_a_reason(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "unit.yaml"
    path.write_text(YAML)
    cli("groups", "apply", str(path))
    add = ("groups", "add-member", "DINKES", "siti", "--position", "Perawat")
    assert "Write the reason" in cli(*add).err
    assert cli(*add, "--until", "2095-12-31", "--reason", "SK 1").code == 0
    assert cli(*add, "--reason", "SK 1").code == 1
    (member,) = cli("groups", "members", "KOTA", "--below", "--json").json
    assert (member["name"], member["unit"], member["position"]) == ("Siti Rahmawati", "DINKES", "Perawat")
    assert "Siti Rahmawati" in cli("groups", "members", "DINKES").out
    assert cli("groups", "end-member", "DINKES", "siti", "--reason", "mutasi").code == 0
    assert cli("groups", "end-member", "DINKES", "siti", "--reason", "mutasi").code == 1
    assert cli("groups", "members", "DINKES", "--status", "ended", "--json").json[0]["name"] == "Siti Rahmawati"
    assert cli("groups", "administrators", "DINKES", "siti", "--reason", "SK 2").code == 0
    assert cli("groups", "show", "DINKES").json["administrators"][0]["name"] == "Siti Rahmawati"
