"""The listener of its own that answers ``/metrics``, for all processes of ``sso serve`` or for ``sso worker``."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile

log = logging.getLogger(__name__)

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
REQUEST_SECONDS = 10
"""How long a connection may take to send its request: each has a thread of its own."""


def share_between_processes() -> None:
    """Make the directory through which the processes of a server share their metrics. Call this before the processes
    start and before the client library is imported. The directory is removed when this process ends."""
    directory = tempfile.mkdtemp(prefix="sso-metrics-")
    os.environ[DIRECTORY] = directory
    atexit.register(shutil.rmtree, directory, ignore_errors=True)


def listen(address: str, port: int) -> None:
    """Answer ``/metrics`` at a port, in a thread. Where the port is taken, the process works without."""
    from prometheus_client import start_http_server

    from sso.platform.metrics.prometheus import Everything

    try:
        server, _ = start_http_server(port, address, Everything())
    except OSError as error:
        log.error("no metrics at %s port %d: %s", address, port, error)
    else:
        server.RequestHandlerClass.timeout = REQUEST_SECONDS  # type: ignore[attr-defined]
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a traceback for each that is too slow
