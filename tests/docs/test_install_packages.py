"""``make run`` and ``make test`` install what the lock files name, and nothing that differs from its hash."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.docs.scripts import ROOT, script

LOCK = (ROOT / "requirements/dev.txt").read_text()


@pytest.mark.parametrize("parts", [1, 2, 3, 1000])
def test_each_package_is_in_one_part_with_its_hashes(parts: int) -> None:
    lists = script("install_packages").split(LOCK, parts)
    assert len(lists) == min(parts, len(re.findall(r"(?m)^\S+==", LOCK)))
    assert sorted("".join(lists).splitlines()) == sorted(line for line in LOCK.splitlines() if line[0] != "#")
    assert all(re.match(r"\S+==", text) and "--hash=sha256:" in text for text in lists)


@pytest.mark.parametrize("name", ["run", "dev"])
def test_a_lock_file_has_every_package_that_another_one_requires(name: str) -> None:
    """pip is told not to resolve: it would not notice a missing one."""
    locked = set(map(canonicalize_name, re.findall(r"(?m)^([\w.-]+)", (ROOT / f"requirements/{name}.txt").read_text())))
    assert len(locked) > 50
    missing, known = [], 0
    for package in locked:
        try:
            requirements = [Requirement(line) for line in requires(package) or []]
        except PackageNotFoundError:  # for another system, or another version of Python
            continue
        known += 1
        for requirement in requirements:
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and canonicalize_name(requirement.name) not in locked:
                missing.append(f"{package} requires {requirement}")
    assert known > len(locked) / 2
    assert not missing


def test_uv_installs_into_the_environment_that_runs_the_script() -> None:
    assert script("install_packages").UV[-3:] == ["--python", sys.executable, "--no-config"]


def test_uv_requires_nothing_else() -> None:
    assert re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements/uv.txt").read_text()) == ["uv"]


def test_a_package_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"no-such-package==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    command = [sys.executable, str(ROOT / "scripts/install_packages.py"), str(lock)]
    environment = {
        "PIP_NO_INDEX": "1",
        "PIP_TARGET": str(tmp_path / "packages"),
        "PATH": "/usr/bin:/bin",
        "PIP_QUIET": "1",
    }
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "pip is configured with no-index, which uv does not know: pip installs lock.txt" in ended.stderr
    assert "no-such-package==1.0" in ended.stderr


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("", {}),
        ("global.index-url='https://packages.example/simple'", {"UV_DEFAULT_INDEX": "https://packages.example/simple"}),
        ("global.index-url='https://a'\ninstall.index-url='https://b'", {"UV_DEFAULT_INDEX": "https://b"}),
        (":env:.index-url='https://c'\ninstall.index-url='https://b'", {"UV_DEFAULT_INDEX": "https://c"}),
        ("download.index-url='https://b'\nlist.format='json'", {}),
        (r"global.extra-index-url='https://a\n https://b'", {"UV_INDEX": "https://a https://b"}),
        ("global.find-links='/one https://two'", {"UV_FIND_LINKS": "/one,https://two"}),
        ("global.trusted-host='a.example b.example'", {"UV_INSECURE_HOST": "a.example b.example"}),
        (":env:.cert='/etc/own.pem'", {"SSL_CERT_FILE": "/etc/own.pem"}),
        (":env:.cert='/'", {"SSL_CERT_DIR": "/"}),
        ("global.client-cert='/me.pem'", {"SSL_CLIENT_CERT": "/me.pem"}),
        ("global.proxy='http://proxy:3128'", {"ALL_PROXY": "http://proxy:3128"}),
        ("global.timeout='60'\nglobal.retries='9'", {"UV_HTTP_TIMEOUT": "60", "UV_HTTP_RETRIES": "9"}),
        (":env:.disable-pip-version-check='1'\nglobal.progress-bar='off'", {}),
    ],
)
def test_uv_is_told_what_pip_is_told(listed: str, expected: dict[str, str]) -> None:
    installer = script("install_packages")
    variables = installer.hand_over(installer.read_configuration(listed))
    assert variables.pop("UV_INDEX_STRATEGY") == "unsafe-best-match", "as pip does: any of the indexes"
    assert variables == expected


@pytest.mark.parametrize("option", ["no-index", "target", "constraint", "user", "no-binary"])
def test_an_option_that_uv_does_not_know_is_named(option: str) -> None:
    installer = script("install_packages")
    with pytest.raises(ValueError, match=f"configured with {option},"):
        installer.hand_over(installer.read_configuration(f"global.{option}='1'"))


class Installer:
    """The script with programs of a test in place of pip and uv."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder, self._patch, self._script = folder, patch, script("install_packages")
        (folder / "lock.txt").write_text("one==1.0 \\\n    --hash=sha256:00\n")
        patch.setattr(sys, "argv", ["install_packages.py", str(folder / "lock.txt")])
        patch.setattr(sys, "prefix", str(folder))
        self.put("CONFIGURATION", "print(\"global.index-url='https://own'\")")
        self.put("INSTALL", "open('pip', 'a').write(' '.join(sys.argv[1:]) + '\\n')")
        self.put("UV", "import os, json; json.dump(dict(os.environ), open('uv', 'w'))")

    def put(self, name: str, text: str) -> None:
        text = f"import os, sys; os.chdir({str(self.folder)!r}); {text}"
        self._patch.setattr(self._script, name, [sys.executable, "-c", text])

    def run(self) -> int:
        code: int = self._script.main()
        return code

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Installer:
    return Installer(monkeypatch, tmp_path)


def test_uv_installs_and_keeps_nothing_where_it_should_not(
    installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_NO_CACHE", "1")
    assert installer.run() == 0
    assert installer.read("pip") == f"{ROOT}/requirements/uv.txt --only-binary=:all:\n", "pip installs uv and no more"
    environment = json.loads(installer.read("uv"))
    assert (environment["VIRTUAL_ENV"], environment["UV_DEFAULT_INDEX"]) == (str(installer.folder), "https://own")
    assert "UV_NO_CACHE" not in environment
    assert Path(environment["UV_CACHE_DIR"]).parent == installer.folder
    assert not Path(environment["UV_CACHE_DIR"]).exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [("UV", "sys.exit(2)"), ("INSTALL", "'uv.txt' in sys.argv[1] and sys.exit(1); open('pip', 'a').write('did')")],
)
def test_pip_installs_where_uv_cannot(
    installer: Installer, capfd: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    installer.put(name, text)
    assert installer.run() == 0
    assert "uv is not to be had here, or could not: pip installs lock.txt" in capfd.readouterr().err
    assert installer.read("pip").splitlines()[-1].endswith(("0.txt --force-reinstall", "did"))


@pytest.mark.parametrize("name", ["UV_SYSTEM_PYTHON", "UV_PYTHON", "UV_LINK_MODE", "UV_INDEX", "UV_CONFIG_FILE"])
def test_what_else_uv_is_told_changes_nothing(installer: Installer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert installer.run() == 0
    assert name not in json.loads(installer.read("uv"))


def test_pip_says_what_it_is_told_however_quiet_it_is(installer: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_QUIET", "3")
    installer.put("CONFIGURATION", "assert 'PIP_QUIET' not in os.environ")
    assert installer.run() == 0
    assert "UV_DEFAULT_INDEX" not in json.loads(installer.read("uv"))


def test_make_makes_an_environment_anew_whose_installation_was_interrupted(tmp_path: Path) -> None:
    """uv and pip take half of a package, which an interruption leaves, for a whole one."""
    for name in ("Makefile", "pyproject.toml", "requirements/dev.txt", "src/sso/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/install_packages.py").write_text("raise SystemExit(1)")
    old, new = tmp_path / ".venv/old", [shutil.which("make") or "make", ".venv/dev.stamp", "PIP=true"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    assert subprocess.run(new, cwd=tmp_path, env=environment, capture_output=True, check=False).returncode != 0
    old.touch()
    (tmp_path / "scripts/install_packages.py").write_text("")
    assert subprocess.run(new, cwd=tmp_path, env=environment, capture_output=True, check=False).returncode == 0
    assert not old.exists()
    assert not (tmp_path / ".venv/installing").exists()
    old.touch()
    (tmp_path / ".venv/dev.stamp").unlink()
    assert subprocess.run(new, cwd=tmp_path, env=environment, capture_output=True, check=False).returncode == 0
    assert old.exists(), "one that was whole is kept"


def test_a_lock_file_without_packages_is_an_error(installer: Installer) -> None:
    (installer.folder / "lock.txt").write_text("")
    assert installer.run() == 1
