"""From a fresh clone to a developer's first login: print the seconds of each step.

Run it with the Python of the virtual environment, after `make run` has printed its accounts:

    .venv/bin/python scripts/first_login.py http://localhost:8500 dimas PASSWORD

With `--start` instead, the script starts a fresh demo itself (`sso demo` with a temporary directory) and stops it at
the end. Exit status 1: the first login took longer than five minutes, or a step failed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx2 as httpx

LIMIT_SECONDS = 300
APPLICATION_PORT = 8597


class Forms(HTMLParser):
    """The forms of a page: action, fields, and the first button with a name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((values.get("action", ""), {}))
        elif self.forms and values.get("name") and tag in ("input", "button"):
            if values.get("type") in ("radio", "checkbox") and "checked" not in values:
                return
            self.forms[-1][1].setdefault(values["name"], values.get("value", ""))


def send(browser: httpx.Client, page: httpx.Response, action: str = "", **fields: str) -> httpx.Response:
    """Send the form of a page that leads to ``action``; the first where none is named."""
    forms = [form for form in Forms(page.text).forms if action in form[0]]
    if not forms:
        raise SystemExit(f"no form to {action or 'anywhere'} on {page.url}: {page.status_code}")
    return browser.post(urljoin(str(page.url), forms[0][0]), data={**forms[0][1], **fields})


def log_in(browser: httpx.Client, issuer: str, username: str, password: str) -> None:
    """Sign the developer in at the portal."""
    page = send(browser, browser.get(f"{issuer}/developer"), "/login", username=username, password=password)
    if not str(page.url).startswith(f"{issuer}/developer"):
        raise SystemExit(f"the developer cannot sign in: {page.url}")


def create(browser: httpx.Client, issuer: str, folder: Path) -> str:
    """Create an application, unpack its sample program, and return the path of its page in the portal."""
    uri = f"http://localhost:{APPLICATION_PORT}/callback"
    form = browser.get(f"{issuer}/developer/new")
    ready = send(browser, form, "/developer/new", client_name="Login pertama", kind="web", redirect_uri=uri)
    link = re.search(r'action="(/developer/apps/[^"]+)/sample"', ready.text)
    if not link:
        raise SystemExit("the application was not created")
    archive = zipfile.ZipFile(io.BytesIO(send(browser, ready, "/sample", choice="zip python").content))
    for name in archive.namelist():
        (folder / name.partition("/")[2]).write_bytes(archive.read(name))
    return link[1]


def wait_for(address: str) -> None:
    """Wait until something answers."""
    for _ in range(600):
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(address)
            return
        time.sleep(0.1)
    raise SystemExit(f"nothing answers at {address}")


@contextlib.contextmanager
def sample_program(folder: Path) -> Iterator[None]:
    """Run the sample program as its README says."""
    command = f"set -a; . ./.env; set +a; exec {sys.executable} app.py"
    with (folder / "program.log").open("w") as log:
        process = subprocess.Popen(["sh", "-c", command], cwd=folder, stdout=log, stderr=log)  # noqa: S603, S607
    try:
        wait_for(f"http://localhost:{APPLICATION_PORT}/")
        yield
    finally:
        process.terminate()
        process.wait(20)


def first_login(browser: httpx.Client, issuer: str, path: str) -> None:
    """Sign in to the sample program, and look whether the portal has noticed it."""
    page = browser.get(f"http://localhost:{APPLICATION_PORT}/login")
    if "/consent" in page.text or str(page.url).startswith(issuer):
        page = send(browser, page, choice="allow")
    if "Halo, " not in page.text:
        raise SystemExit(f"the sample program did not sign the developer in: {page.text[:300]}")
    if not browser.get(f"{issuer}{path}/first-sign-in").json()["at"]:
        raise SystemExit("the portal has not noticed the first sign-in")


@contextlib.contextmanager
def demo(port: int) -> Iterator[tuple[str, str, str]]:
    """Start a fresh demo, and return its address and the developer's account."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SSO_")}
        sso = str(Path(sys.executable).with_name("sso"))
        with log.open("w") as output:
            process = subprocess.Popen(  # noqa: S603
                [sso, "demo", "--port", str(port)],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            for _ in range(1200):
                account = re.search(r"^  dimas +(\S+)", log.read_text(), re.M)
                if account:
                    break
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.1)
            else:
                raise SystemExit(log.read_text())
            wait_for(f"http://localhost:{port}/readyz")
            yield f"http://localhost:{port}", "dimas", account[1]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(30)


def main() -> None:
    """Go through the steps and print the seconds of each."""
    parser = argparse.ArgumentParser(description="From a running instance to a developer's first login.")
    parser.add_argument("issuer", nargs="?", default="http://localhost:8500")
    parser.add_argument("username", nargs="?", default="dimas")
    parser.add_argument("password", nargs="?", default="")
    parser.add_argument("--start", type=int, metavar="PORT", help="start a fresh demo on this port (and two more)")
    chosen = parser.parse_args()
    begun = time.monotonic()

    def told(step: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {step}", flush=True)

    with contextlib.ExitStack() as stack:
        account = (chosen.issuer, chosen.username, chosen.password)
        if chosen.start:
            account = stack.enter_context(demo(chosen.start))
            told("the service runs")
        browser = stack.enter_context(httpx.Client(follow_redirects=True, timeout=30))
        log_in(browser, *account)
        told("the developer is signed in")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = create(browser, account[0], folder)
        told("the application is created and its sample program downloaded")
        stack.enter_context(sample_program(folder))
        told("the sample program runs")
        first_login(browser, account[0], path)
        told("first login, noticed by the portal")
    if time.monotonic() - begun > LIMIT_SECONDS:
        raise SystemExit(f"more than {LIMIT_SECONDS} seconds")


if __name__ == "__main__":
    main()
