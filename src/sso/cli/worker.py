"""``sso worker``: send notices and clear up, apart from the server."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from importlib import import_module
from typing import TYPE_CHECKING

from sso.cli.common import opened_provider
from sso.platform.messages import _

if TYPE_CHECKING:
    from sso.observability import Observer
    from sso.settings import Settings


def worker() -> None:
    """Send deliveries and run background jobs until the process is stopped.

    For servers with SSO_RUN_WORKER=false.
    Any number of workers may run.
    """
    from sso.logs import configure_logging
    from sso.settings import load_settings

    settings = load_settings()
    configure_logging(settings)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    from sso.jobs import run_jobs, run_together
    from sso.logout.lost_ends import follow_ends
    from sso.observability import Observer, traces_of
    from sso.platform.outbox import Worker

    stop = asyncio.Event()
    async with opened_provider(settings, begins=True) as provider:
        handlers = import_module("sso.app").handlers  # wired there, where rooms come together; uvicorn finds it so too
        traces = traces_of(provider)
        sender = Worker(provider.db, settings, handlers(provider, traces), provider.usage)
        work = [sender.run(), run_jobs(provider, stop, sender.nudge), provider.follow(stop)]
        work.append(follow_ends(provider, stop, sender.nudge))
        if settings.worker_metrics_port:
            work.append(_metrics(settings, Observer(provider, sender)).keep(stop))

        def ask_to_stop() -> None:
            stop.set()
            sender.stop()

        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, ask_to_stop)
        print(_("worker started; stop it with SIGTERM or Ctrl-C"), flush=True)
        async with AsyncExitStack() as closing:
            if traces is not None:
                closing.push_async_callback(asyncio.to_thread, traces.close)
            closing.push_async_callback(provider.close)
            await run_together(work)  # if a part fails, all end; the supervisor starts the command anew


def _metrics(settings: Settings, observer: Observer) -> Observer:
    """Answer ``/metrics`` at a port of its own."""
    from sso.platform.metrics.listener import listen

    listen(settings.metrics_address, settings.worker_metrics_port)
    return observer
