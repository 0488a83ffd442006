"""``sso attributes``: plan, dry run, apply, list, show, export."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli

EXAMPLE = (Path(__file__).parents[2] / "docs" / "reference" / "attributes.example.yaml").read_text()


def test_a_file_is_planned_applied_and_exported(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "kota.yaml"
    file.write_text(EXAMPLE)
    assert cli("attributes", "apply").code != 0, "no file is named"
    trial = cli("attributes", "apply", str(file), "--dry-run")
    assert trial.code == 0, trial.err
    assert "+ attributes.blood_type" in trial.out
    assert cli("attributes", "list", "--json").json == []
    assert cli("attributes", "apply", str(file), "--reason", "Perwal 12/2026").code == 0
    assert "Nothing to change." in cli("attributes", "apply", str(file)).out
    listed = {row["name"]: row for row in cli("attributes", "list", "--json").json}
    assert listed["blood_type"]["claim"] == "bloodType"
    assert listed["neighbourhood_guard"]["claim"] is None
    assert "specific_health" in cli("attributes", "list").out
    assert '"title#en": "Blood type"' in cli("attributes", "show", "blood_type").out
    assert cli("attributes", "show", "nothing").code != 0
    again = tmp_path / "again.yaml"
    again.write_text(cli("attributes", "export").out)
    assert "Nothing to change." in cli("attributes", "apply", str(again)).out
    file.write_text(EXAMPLE.replace("type: date", "type: text").replace("type: boolean", "type: bool"))
    wrong = cli("attributes", "apply", str(file))
    assert wrong.code == 1
    assert "kota.yaml:" in wrong.err
    assert "attributes.neighbourhood_guard.type: must be one of" in wrong.err
    file.write_text("{}")
    assert "- attributes.blood_type" in cli("attributes", "apply", str(file)).out
    assert cli("attributes", "list", "--json").json == []
