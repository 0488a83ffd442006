"""SIGTERM: readiness says 503 for a while before the listener closes."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from types import FrameType

from sso.platform.health import Health

log = logging.getLogger(__name__)


def delay_stop(health: Health, seconds: float) -> None:
    """Let the process serve for ``seconds`` after SIGTERM while it is not ready; then the server stops. Meanwhile each
    answer closes its connection.

    Call it in the event loop of the server, after the server has installed its own handler of the signal. More signals
    meanwhile change nothing: systemd sends one to each process, and the parent process sends another. SIGINT stops at
    once.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop, stop = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    if not callable(stop):
        return
    from sso.http.common.server_protocol import BoundedProtocol  # only a server has loaded it

    def ask(number: int, frame: FrameType | None) -> None:
        if health.stopping:
            return
        health.stopping = BoundedProtocol.stopping = True
        log.info("asked to stop: not ready, and serving for %.1f seconds more", seconds)
        loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)

    signal.signal(signal.SIGTERM, ask)
