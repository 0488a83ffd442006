"""The version stands in ``src/sso/__init__.py`` alone, and everything that names a version names this one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sso import __version__
from sso.cli import main
from sso.http.api.openapi import description
from sso.http.common.manual import AUDIENCES, Audience, Page, pages

ROOT = Path(__file__).parents[2]
RELEASE = re.compile(r"^## \[?(\d+\.\d+\.\d+)\]? - \d{4}-\d{2}-\d{2}$", re.M)


def test_the_command_prints_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["sso", "--version"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"sso {__version__}\n"


def test_the_description_of_the_api_has_the_version() -> None:
    assert description("https://masuk.kota.example")["info"]["version"] == __version__
    assert json.loads((ROOT / "docs/reference/openapi.json").read_text())["info"]["version"] == __version__


def visible_pages(audience: Audience) -> set[Page]:
    return {*pages(audience, "en"), *pages(audience, "id")}


def test_the_wheel_has_the_version_and_the_documents_that_the_provider_shows(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.iterdir()
    assert wheel.name == f"sso-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as files:
        metadata = files.read(f"sso-{__version__}.dist-info/METADATA").decode()
        names = set(files.namelist())
    assert f"\nVersion: {__version__}\n" in metadata
    documents = {name.removeprefix("sso/_manual/") for name in names if name.startswith("sso/_manual/")}
    expected = {
        ("" if page.locale == "en" else "id/") + page.path for audience in AUDIENCES for page in visible_pages(audience)
    }
    assert {name for name in documents if name.endswith(".md")} == expected


def test_the_version_is_written_once() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project
    assert not re.search(r"^version\s*=", project, re.M)
    assignments = [
        file for file in (ROOT / "src").rglob("*.py") if re.search(r"^(__version__|VERSION) *=", file.read_text(), re.M)
    ]
    assert assignments == [ROOT / "src/sso/__init__.py"]


def test_the_version_follows_the_changelog() -> None:
    newest = RELEASE.findall((ROOT / "CHANGELOG.md").read_text())[0]
    if __version__.endswith(".dev0"):
        assert _parts(__version__.removesuffix(".dev0")) > _parts(newest)
    else:
        assert __version__ == newest


def test_every_version_of_the_changelog_has_upgrade_notes() -> None:
    versions = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]
    assert versions[0].startswith("[Unreleased]\n")
    assert versions[-1].startswith("[0.1.0] - ")
    for version in versions:
        headings = re.findall(r"^### (.+)$", version, re.M)
        assert headings[0] == "Upgrade notes"
        assert set(headings[1:]) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
