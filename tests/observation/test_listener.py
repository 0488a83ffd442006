"""The listener of the metrics: a connection that sends nothing is closed, and processes start and end meanwhile."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ports import free_ports

from sso.platform.metrics import listener, prometheus


def test_a_connection_that_sends_nothing_is_closed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 0.1)
    port = free_ports(1)
    listener.listen("127.0.0.1", port)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as silent:
        assert silent.recv(1) == b""
    assert "Traceback" not in capfd.readouterr().err


def test_an_empty_file_of_a_process_that_starts_or_was_killed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "from prometheus_client import Counter; Counter('calls', 'Calls.').inc()"
    environment = {**os.environ, prometheus.DIRECTORY: str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    (tmp_path / "counter_1.db").touch()
    monkeypatch.setenv(prometheus.DIRECTORY, str(tmp_path))
    assert b"calls_total 1.0" in prometheus.text()


def test_two_processes_delete_the_gauges_of_a_dead_one_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    gauge = tmp_path / f"gauge_livesum_{ended.pid}.db"
    gauge.touch()
    remove = os.remove

    def remove_after_the_other(path: str) -> None:
        gauge.unlink()
        remove(path)

    monkeypatch.setenv(prometheus.DIRECTORY, str(tmp_path))
    monkeypatch.setattr("prometheus_client.multiprocess.os.remove", remove_after_the_other)
    prometheus.exposed()
    assert not gauge.exists()
