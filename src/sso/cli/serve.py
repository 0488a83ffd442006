"""``sso serve``: the server."""

from __future__ import annotations

import asyncio
import gc
import signal
from datetime import timedelta
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from sso.logs import configure_logging
from sso.settings import Settings, load_settings

GRACE_SECONDS = 20
BACKLOG = 2048


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 8000,
    workers: Annotated[
        int, typer.Option(help="Number of processes; one for each processor core is a good number.", min=1, max=64)
    ] = 1,
) -> None:
    """Start the server. Put a reverse proxy with TLS in front of it; see docs/how-to/deployment.md."""
    gc.disable()  # see application()
    import uvicorn

    settings = load_settings()
    configure_logging(settings)
    settings.secrets()  # made once, before several processes would
    asyncio.run(_check(settings))
    _offer_metrics(settings, workers)
    # uvicorn raises the signal that ended it once more, for whoever started it: a stop that was asked for is a success.
    signal.signal(signal.SIGTERM, _stop)
    uvicorn.run(
        "sso.cli.serve:application",
        factory=True,
        host=host,
        port=port,
        workers=workers if workers > 1 else None,
        loop="uvloop",
        http="sso.http.common.server_protocol:BoundedProtocol",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def application() -> object:
    """Return the application: what uvicorn calls in each process.

    Nothing is collected as garbage until the application has started: nearly all of it stays until the end, and looking
    through it again and again is a fifth of the start. The application turns the collector on again.
    """
    gc.disable()
    return import_module("sso.app").app_from_environment()


def _offer_metrics(settings: Settings, workers: int) -> None:
    """Prepare what several processes need for common metrics, and answer ``/metrics`` at a port of its own."""
    if not settings.metrics:
        return
    from sso.platform.metrics.listener import listen, share_between_processes

    if workers > 1:
        share_between_processes()
    if settings.metrics_port:
        listen(settings.metrics_address, settings.metrics_port)


async def _check(settings: Settings) -> None:
    """Say in one line what would keep every process from starting. A database that is away is no such thing."""
    from sso.platform.db import Database, DatabaseUnavailable
    from sso.platform.db.migrate import check_schema
    from sso.platform.keys.ring import KeyRing
    from sso.platform.security.encryption import SecretBox

    db = Database(settings)
    try:
        await check_schema(db, settings)
        async with db.read() as session:
            await KeyRing(SecretBox(settings.secrets()), timedelta(0)).load(session)
    except (DatabaseUnavailable, OSError):
        pass
    finally:
        await db.close()


def _stop(*_: object) -> NoReturn:
    raise SystemExit(0)
