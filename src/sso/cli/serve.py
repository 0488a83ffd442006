"""``sso serve``: the server."""

from __future__ import annotations

from typing import Annotated

import typer

from sso.logs import configure_logging
from sso.settings import load_settings

GRACE_SECONDS = 20
BACKLOG = 2048


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes; one for each core is a good number.", min=1, max=64)] = 1,
) -> None:
    """Serve. Put a reverse proxy with TLS in front of it; see docs/deployment.md."""
    import uvicorn

    settings = load_settings()
    configure_logging(settings)
    settings.secrets()  # made once, before several processes would
    uvicorn.run(
        "sso.app:app_from_environment",
        factory=True,
        host=host,
        port=port,
        workers=workers if workers > 1 else None,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=32768,
    )
