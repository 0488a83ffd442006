"""The demo says where it is once it is there, and ends its sample apps, however it is ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.cli.conftest import Cli
from tests.ports import free_ports
from tests.support import ISSUER

from sso.cli import demo
from sso.settings import Settings


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_second_demonstration_does_not_delete_the_data_of_the_first(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_demonstrate", lambda *_: pytest.fail("it started"))
    data = tmp_path / "var/demo"
    data.mkdir(parents=True, exist_ok=True)
    (data / "sso.db").write_text("first")
    with (data / demo.LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = cli("demo", "--port", str(free_ports(3)))
    assert (answer.code, answer.out) == (1, "")
    assert f"a demonstration runs in {data}: end it, or start this one in another directory" in answer.err
    assert (data / "sso.db").read_text() == "first"


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_sample_apps_too(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(["sleep", "60"], env=options["env"]))
        return started[-1]

    monkeypatch.setattr(demo, "configure_logging", lambda _: None)
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(demo, "_announce", lambda *_: None)
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: os.kill(os.getpid(), number))
    settings = Settings(issuer=ISSUER, secret_key=["a secret key of more than 32 characters"], database_url="sqlite://")
    secrets = dict.fromkeys(demo.APPS, "rahasia")
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        demo._serve(settings, [8000, 8001, 8002], demo._people(), secrets)
    assert len(started) == len(demo.APPS)
    assert all(process.poll() is not None for process in started)


class Starting:
    """A start that can be ended; while it waits, one more port begins to listen."""

    def __init__(self, sockets: list[socket.socket], *, ends: bool = False) -> None:
        self._silent = iter(sockets)
        self._ends = ends

    def wait(self, _seconds: float) -> bool:
        next(self._silent).listen()
        return self._ends


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Ports of which none listens yet: of the provider and of two sample apps."""
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in bound:
            each.bind(("127.0.0.1", 0))
        yield bound


@pytest.fixture
def apps() -> Iterator[list[subprocess.Popen[bytes]]]:
    running = [subprocess.Popen(["sleep", "60"]) for _ in demo.APPS]
    yield running
    for app in running:
        app.kill()
        app.wait()


Apps = list[subprocess.Popen[bytes]]


def announce(sockets: list[socket.socket], apps: Apps, starting: Starting) -> None:
    ports = [each.getsockname()[1] for each in sockets]
    demo._announce("here it is", ports, apps, starting)  # type: ignore[arg-type]


def test_addresses_are_printed_when_every_port_listens(
    sockets: list[socket.socket], apps: Apps, capsys: pytest.CaptureFixture[str]
) -> None:
    starting = Starting(sockets)
    announce(sockets, apps, starting)
    assert capsys.readouterr() == ("here it is\n", "")
    assert next(starting._silent, None) is None, "it waited for the last port"


def test_a_start_that_fails_prints_no_addresses(
    sockets: list[socket.socket], apps: Apps, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(sockets, apps, Starting(sockets, ends=True))
    assert capsys.readouterr().out == ""


def test_a_sample_app_that_does_not_start_is_named(
    sockets: list[socket.socket], apps: Apps, capsys: pytest.CaptureFixture[str]
) -> None:
    apps[1].kill()
    apps[1].wait()
    announce(sockets, apps, Starting(sockets[:2]))
    printed = capsys.readouterr()
    assert printed.out == "here it is\n"
    assert f"http://localhost:{sockets[2].getsockname()[1]} did not start" in printed.err


def test_a_start_that_takes_too_long_is_announced_all_the_same(
    sockets: list[socket.socket], apps: Apps, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "START_SECONDS", 0)
    announce(sockets, apps, Starting(sockets))
    assert capsys.readouterr().out == "here it is\n"
