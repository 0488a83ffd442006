"""The listener of the metrics: a connection that sends nothing is closed."""

from __future__ import annotations

import socket

import pytest
from tests.ports import free_ports

from sso.platform.metrics import listener


def test_a_connection_that_sends_nothing_is_closed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 0.1)
    port = free_ports(1)
    listener.listen("127.0.0.1", port)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as silent:
        assert silent.recv(1) == b""
    assert "Traceback" not in capfd.readouterr().err
