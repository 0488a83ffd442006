"""Follow the guides for Debian on an empty Debian: install, sign in over TLS in Chromium, back up, restore, upgrade.

    sudo .venv/bin/python scripts/install_guide.py      make install-guide: needs root, debootstrap, systemd-nspawn

An empty Debian is made with debootstrap and its systemd is started by systemd-nspawn, with a network of its own that
has a loopback interface only. Every command of the pages is typed there as root, in the order of ``GUIDES``. Packages
of Debian and Python are got over the network of this machine. A few blocks differ, as ``INSTEAD`` says. The link of
the first administrator is opened in Chromium. With ``--note``, the result is written into docs/how-to/install.md.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/how-to/install.md"
GUIDES = (PAGE, ROOT / "docs/how-to/backup-and-restore.md", ROOT / "docs/how-to/upgrade.md")
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates"
HOST = "masuk.kota.example"
BOOT_SECONDS = 60
RESULT = re.compile(r"(?<=<!-- result: begin -->\n).*?(?=<!-- result: end -->)", re.S)
INSTEAD = {
    "git clone": "true",  # the checkout of this script is copied to the same place
    "git -C": "true",  # and stands for the next release too
    "sso mail test": "true",  # there is no mail server in the empty Debian
}
NETWORK = ("apt-get ", "/pip install ")
"""Blocks with these words use the network of this machine: the others see loopback alone."""
PASSWORD = "perahu-kertas-di-sungai-88"


def blocks_module() -> ModuleType:
    """Return ``scripts/blocks.py``, wherever this file was loaded from."""
    if str(ROOT / "scripts") not in sys.path:
        sys.path.insert(0, str(ROOT / "scripts"))
    return importlib.import_module("blocks")


def commands(path: Path) -> list[str]:
    """Return what is typed for a page: its blocks ``sh``, and the lines after ``$`` of its blocks ``console``."""
    typed = []
    for block in blocks_module().blocks(path.read_text()):
        if block.language == "sh":
            typed.append(block.text)
        elif block.language == "console":
            typed.append("".join(line[2:] for line in block.text.splitlines(keepends=True) if line.startswith("$ ")))
    return typed


def digest() -> str:
    """Return a short hash of all that is typed, by which a test knows whether the noted result is about these pages."""
    return hashlib.sha256("\0".join(text for path in GUIDES for text in commands(path)).encode()).hexdigest()[:12]


def instead_of(block: str) -> str:
    """Return what is typed for a block: the block itself, or what ``INSTEAD`` says."""
    return next((other for begin, other in INSTEAD.items() if block.startswith(begin)), block)


def run(*command: object, **options: object) -> str:
    """Run a command and return its output; end with the output if the command fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **options)  # type: ignore[call-overload] # noqa: S603
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {shlex.join(words)[:300]}\n{done.stdout}{done.stderr}")
    return str(done.stdout)


class Debian:
    """An empty Debian with systemd, below ``place``."""

    def __init__(self, place: Path) -> None:
        self.place, self.tree = place, place / "machine"
        self.leader = 0

    def make(self) -> None:
        """Make the tree: debootstrap once, then a copy."""
        base = self.place / "debian"
        if not (base / "usr/bin/systemctl").exists():
            run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, base, MIRROR)
        shutil.rmtree(self.tree, ignore_errors=True)
        run("cp", "-a", "--reflink=auto", base, self.tree)
        for folder in ("apt", "pip"):
            (self.place / folder).mkdir(exist_ok=True)
        files = run("git", "-C", ROOT, "ls-files", "-z").split("\0")
        target = self.tree / "usr/local/src/sso"
        for name in filter(None, files):
            if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target / name)
        quick = self.tree / "etc/dpkg/dpkg.cfg.d/quick"
        quick.write_text("force-unsafe-io\n")  # the tree is thrown away
        for name in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf"):
            if Path(name).exists():
                shutil.copy(name, self.tree / f".{name}", follow_symlinks=True)

    def start(self) -> subprocess.Popen[bytes]:
        """Start systemd, and wait until the machine is up."""
        shared = [
            f"--bind={self.place / 'apt'}:/var/cache/apt/archives",
            f"--bind={self.place / 'pip'}:/root/.cache/pip",
        ]
        if wheels := os.environ.get("PIP_FIND_LINKS"):
            shared += [f"--bind-ro={wheels}"]
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--boot"]
        log = (self.place / "console.log").open("wb")
        machine = subprocess.Popen(  # noqa: S603
            [*command, *shared, "--directory", str(self.tree)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        begun = time.monotonic()
        while not self._is_up(machine.pid):
            if machine.poll() is not None or time.monotonic() - begun > BOOT_SECONDS:
                machine.kill()
                sys.exit(f"systemd does not start: {(self.place / 'console.log').read_text()[-2000:]}")
            time.sleep(0.2)
        return machine

    def _is_up(self, pid: int) -> bool:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        if not self.leader and children.exists() and (pids := children.read_text().split()):
            self.leader = int(pids[0])
        if not self.leader:
            return False
        state = subprocess.run(  # noqa: S603
            self.inside("systemctl is-system-running"), capture_output=True, text=True, check=False
        )
        return state.stdout.strip() in ("running", "degraded")

    def inside(self, script: str, network: bool = False) -> list[str]:
        """Return the command that runs a script as root in the machine."""
        spaces = ["--mount", "--pid", "--uts", "--ipc", *([] if network else ["--net"])]
        settings = {name: value for name, value in os.environ.items() if network and name.startswith(("PIP_", "SSL_"))}
        plain = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
        }
        words = [
            f"{name}={value}" for name, value in {**plain, "DEBIAN_FRONTEND": "noninteractive", **settings}.items()
        ]
        return [
            "nsenter", "--target", str(self.leader), *spaces, "--root",
            "env", "-i", "--chdir=/", *words, "bash", "-euo", "pipefail", "-c", script,
        ]  # fmt: skip


def follow(debian: Debian, path: Path) -> str:
    """Type every block of a page, and return the link of the first administrator if one was printed."""
    link = ""
    for block in commands(path):
        typed = instead_of(block)
        begun = time.monotonic()
        print(f"--- {block.splitlines()[0][:100]}", flush=True)
        output = run(*debian.inside(typed, network=any(words in typed for words in NETWORK)))
        print("\n".join(output.splitlines()[-12:]), flush=True)
        print(f"    ({time.monotonic() - begun:.1f} s)", flush=True)
        match = re.search(rf"https://{HOST}/setup\?c=\S+", output)
        link = match[0] if match else link
    return link


def key_pin(certificate: Path) -> str:
    """Return the hash of the public key of a certificate, by which Chromium accepts this certificate and no other."""
    key = run("openssl", "x509", "-in", certificate, "-pubkey", "-noout")
    der = base64.b64decode("".join(key.split("\n")[1:-2]))
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def sign_in(link: str, pin: str) -> None:
    """Open the link in Chromium, create the administrator, sign out, and sign in with password and code."""
    import pyotp
    from playwright.sync_api import sync_playwright

    names = ("chromium-headless-shell", "chromium", "google-chrome")
    browser_path = os.environ.get("CHROMIUM") or next(path for name in names if (path := shutil.which(name)))
    options = [
        f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
        f"--ignore-certificate-errors-spki-list={pin}",
        "--no-sandbox",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=options)
        page = browser.new_page(locale="en-GB")
        page.goto(link)
        page.fill("#password", PASSWORD)
        page.locator("main form button").last.click()
        app = pyotp.TOTP(page.locator(".key").inner_text().replace(" ", ""))
        first = app.now()
        page.fill("#code", first)
        page.locator("main form button[type=submit], main form button:not([type])").first.click()
        page.locator("ol.codes li").first.wait_for()
        page.locator("main form button, main a[role=button]").last.click()
        page.locator("#checklist").wait_for()
        page.context.clear_cookies()
        while app.now() == first:  # a code works once
            time.sleep(1)
        page.goto(f"https://{HOST}/login")
        page.fill("#username", "ratna")
        page.fill("#password", PASSWORD)
        page.locator("main form button[type=submit], main form button:not([type])").first.click()
        page.fill("#code", app.now())
        page.locator("main form button[type=submit], main form button:not([type])").first.click()
        page.goto(f"https://{HOST}/admin")
        page.get_by_role("heading", level=1).wait_for()
        if not page.url.startswith(f"https://{HOST}/admin"):
            sys.exit(f"the administrator is not signed in: {page.url}")
        print(f"signed in over TLS: {page.url}: {page.locator('h1').inner_text()}", flush=True)
        browser.close()


def note(page: str, seconds: float) -> str:
    """Return the page with the result of this run."""
    text = (
        f"Last run: {datetime.now(UTC):%Y-%m-%d}, Debian {SUITE}: passed in {seconds:.0f} seconds. "
        f"Commands: `{digest()}`.\n"
    )
    return RESULT.sub(text, page)


def main() -> None:
    """Follow the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--place", type=Path, help="directory of the trees and packages, kept for the next time")
    parser.add_argument("--note", action="store_true", help="write the result into the page")
    parser.add_argument("--sign-in", nargs=2, metavar=("LINK", "PIN"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.sign_in:
        sign_in(*chosen.sign_in)
        return
    missing = [
        name for name in ("debootstrap", "systemd-nspawn", "nsenter", "git", "openssl") if shutil.which(name) is None
    ]
    if missing or os.geteuid() != 0:
        sys.exit(
            f"needs root and debootstrap, systemd-container, util-linux, git, openssl; missing: {', '.join(missing)}"
        )
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sso-install-") as temporary:
        place = (chosen.place or Path(temporary)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        debian = Debian(place)
        debian.make()
        machine = debian.start()
        try:
            link = follow(debian, PAGE)
            if not link:
                sys.exit("no command printed the link of the first administrator")
            pin = key_pin(debian.tree / "etc/ssl/certs/masuk.pem")
            network = ["nsenter", "--target", str(debian.leader), "--net"]
            print(run(*network, sys.executable, __file__, "--sign-in", link, pin), end="", flush=True)
            for path in GUIDES[1:]:
                follow(debian, path)
        finally:
            machine.terminate()
            machine.wait(60)
    seconds = time.monotonic() - begun
    print(f"the guides work, from an empty Debian to a sign-in over TLS: {seconds:.0f} s")
    if chosen.note:
        PAGE.write_text(note(PAGE.read_text(), seconds))


if __name__ == "__main__":
    main()
