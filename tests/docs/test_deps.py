"""``make deps`` and ``make test`` say what is missing, each with the command that gets it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("tests/interop/openid_client", "tests/interop/relying_parties")


class Machine:
    """A copy of the script with a PATH that holds a shell's own programs and what a test adds."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin = root, root / "bin"
        self.bin.mkdir(parents=True)
        for name in ("sh", "sed", "dirname", "env", "mktemp", "ls"):
            (self.bin / name).symlink_to(shutil.which(name) or name)
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True)
            (root / folder / "package-lock.json").write_text("{}")
        (root / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/deps.sh", root / "scripts/deps.sh")
        self.program("id", "echo 1000")

    def program(self, name: str, does: str = "exit 0") -> None:
        file = self.bin / name
        file.write_text(f"#!{self.bin / 'sh'}\n{does}\n")
        file.chmod(0o755)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        places = {"APACHE": str(self.bin / "none"), "APACHE_MODULES": str(self.root), "TMPDIR": str(self.root)}
        places |= {
            "PHP_LIBRARIES": str(self.root),
            "SBIN": str(self.root / "sbin"),
            "LUA_LIBRARIES": str(self.root),
            "HAPROXY": str(self.bin / "none"),
            "WORDPRESS": str(self.root / "wordpress"),
            "DOKUWIKI": str(self.root / "dokuwiki"),
        }
        places["POSTGRESQL"] = str(self.root / "postgresql")
        return subprocess.run(
            [self.bin / "sh", self.root / "scripts/deps.sh", *options],
            env={"PATH": str(self.bin), **places}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def fill(machine: Machine) -> None:
    """Add every program that the tests need."""
    for name in (
        "python3",
        "chromium",
        "redis-server",
        "faketime",
        "pgbouncer",
        "prometheus",
        "promtool",
        "apache2",
        "nginx",
        "caddy",
        "haproxy",
        "systemd-analyze",
        "php",
        "mariadbd",
        "mariadb-install-db",
    ):
        machine.program(name)
    machine.program("node", "echo v22.1.0")
    machine.program("npm", f'for folder in {" ".join(FOLDERS)}; do mkdir -p $folder/node_modules; : '
                           f">$folder/node_modules/.package-lock.json; done")  # fmt: skip
    (machine.bin / "mkdir").symlink_to(shutil.which("mkdir") or "mkdir")
    (machine.root / "mod_auth_openidc.so").touch()
    symfony = [
        f"Symfony/{part}/autoload.php" for part in ("Bundle/FrameworkBundle", "Bundle/SecurityBundle", "Component/Yaml")
    ]
    php = [
        "PhpParser/autoload.php",
        "CAS/CAS.php",
        "socket.lua",
        "Illuminate/Foundation/Application.php",
        "sbin/php-fpm8.2",
        "wordpress/wp-load.php",
        "dokuwiki/doku.php",
    ]
    for library in (*php, *symfony):
        (machine.root / library).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / library).touch()
    (machine.root / "mod_auth_cas.so").touch()
    programs = machine.root / "postgresql/15/bin"
    programs.mkdir(parents=True)
    (programs / "initdb").symlink_to(machine.bin / "apache2")


def test_everything_that_is_missing_is_in_one_list_with_its_command(machine: Machine) -> None:
    machine.program("apt-get", "exit 1")
    done = machine.run("--no-sudo")
    assert done.returncode == 1
    for package in (
        "python3-venv",
        "chromium-headless-shell",
        "nodejs",
        "npm",
        "redis-server",
        "faketime",
        "prometheus",
        "apache2",
        "systemd",
        "postgresql",
        "libapache2-mod-auth-openidc",
        "libapache2-mod-auth-cas",
        "php-cas php-xml",
        "php-cli php-curl",
        "php-parser",
        "php-sqlite3",
        "php-fpm",
        "wordpress",
        "dokuwiki",
        "php-mysql",
        "mariadb-server-core",
        "nginx-light",
        "php-laravel-framework",
        "php-symfony-framework-bundle php-symfony-security-bundle php-symfony-yaml",
    ):
        assert f": sudo apt-get install {package}\n" in done.stdout
    for folder in FOLDERS:
        assert f"Node.js packages of {folder}: npm ci --prefix {folder}" in done.stdout
    assert done.stdout.count("Missing for the tests:") == 1
    assert "You are not root." in done.stdout


def test_a_machine_without_apt_learns_the_names_of_the_packages(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 1
    assert "not Debian or Ubuntu" in done.stdout
    assert "Redis or Valkey: install with your package manager; its name in Debian: redis-server" in done.stdout


def test_a_complete_machine_installs_nothing(machine: Machine) -> None:
    fill(machine)
    machine.program("apt-get", f"echo asked >>{machine.root}/asked; exit 1")
    first, again = machine.run(), machine.run()
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    assert (again.returncode, again.stdout) == (0, "")
    assert not (machine.root / "asked").exists()


def test_root_installs_what_is_missing_and_no_more(machine: Machine) -> None:
    fill(machine)
    (machine.bin / "redis-server").unlink()
    machine.program("id", "echo 0")
    for name in ("cp", "cat"):
        (machine.bin / name).symlink_to(shutil.which(name) or name)
    machine.program("apt-get", f'echo "$@" >>{machine.root}/asked; cp {machine.bin}/apache2 {machine.bin}/redis-server')
    done = machine.run("--no-sudo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installing: redis-server (log:" in done.stdout
    assert (machine.root / "asked").read_text().splitlines()[1].endswith("--no-install-recommends redis-server")


def test_an_old_node_is_named_with_its_version(machine: Machine) -> None:
    fill(machine)
    machine.program("node", "echo v18.19.0")
    machine.program("apt-get", "exit 1")
    done = machine.run("--no-sudo")
    assert done.returncode == 1
    assert "a newer Node.js (this is v18.19.0): download version 20 or newer" in done.stdout


def test_without_sudo_nobody_is_asked_for_a_password(machine: Machine) -> None:
    machine.program("apt-get", "exit 1")
    machine.program("sudo", f"echo asked >>{machine.root}/asked; exit 1")
    assert machine.run("--no-sudo").returncode == 1
    assert not (machine.root / "asked").exists()
    assert os.access(machine.bin / "sudo", os.X_OK)
