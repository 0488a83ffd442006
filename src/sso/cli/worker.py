"""``sso worker``: send notices and clear up, apart from the server."""

from __future__ import annotations

import asyncio
import signal
from importlib import import_module

from sso.cli.common import opened
from sso.jobs import run_jobs
from sso.logout.forgotten_ends import follow_ends
from sso.logs import configure_logging
from sso.platform.outbox import Worker
from sso.settings import Settings, load_settings


def worker() -> None:
    """Send notices and clear up, until it is stopped: for servers with SSO_RUN_WORKER=false. Any number may run."""
    settings = load_settings()
    configure_logging(settings)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    async with opened(settings, load=True, begins=True) as provider:
        handlers = import_module("sso.app").handlers  # wired there, where rooms come together; uvicorn finds it so too
        sender = Worker(provider.db, settings, handlers(provider))

        def ask_to_stop() -> None:
            stop.set()
            sender.stop()

        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, ask_to_stop)
        print("working; stop with SIGTERM or Ctrl-C", flush=True)
        await asyncio.gather(
            sender.run(),
            run_jobs(provider, stop, sender.nudge),
            provider.follow(stop),
            follow_ends(provider, stop, sender.nudge),
        )
        await provider.close()
