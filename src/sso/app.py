"""The composition root: the only module that wires the packages together."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp

from sso import clock
from sso.accounts.attributes import apply_attributes_file
from sso.accounts.services import AccountServices
from sso.errors import Refusal
from sso.gate.cas.request import check_cas_request
from sso.gate.check import GateMemory
from sso.http import account, cas, gate, protocol, sign_in
from sso.http.common import pages, routes
from sso.http.common.application import Application
from sso.http.common.assets import Assets
from sso.http.common.direct import DirectRoutes
from sso.http.common.errors import add_error_handler
from sso.http.common.images import Logos
from sso.http.common.late_areas import LateArea
from sso.http.common.mail_delivery import send_message, send_notice
from sso.http.common.middleware import Shell
from sso.http.common.state import RateLimits, Site
from sso.http.common.stopping import delay_stop
from sso.http.common.tracing import TracedRequests
from sso.identity.authn.passwords import Passwords
from sso.identity.notifications import MESSAGE, NOTICE
from sso.jobs import run_jobs, run_together
from sso.logout.end_sessions import BACKCHANNEL_LOGOUT, backchannel_logout
from sso.logout.lost_ends import follow_ends
from sso.logs import configure_logging
from sso.observability import observer_of, traces_of
from sso.oidc.discovery import Discovery
from sso.oidc.provider import Provider
from sso.oidc.server import ProviderServer
from sso.platform.db import Database, DatabaseUnavailable
from sso.platform.db.migrate import check_schema
from sso.platform.outbox import Worker
from sso.platform.outbox.models import DeliveryKind
from sso.platform.outbox.webhooks import WEBHOOK, send_webhook
from sso.platform.outbox.worker import Handler
from sso.platform.security.message_limits import MessageLimits
from sso.platform.security.rate_limits import Attempts, CountLimit, Counts, DatabaseStorage, storage_for
from sso.portal.webhooks.sending import send_application_webhook
from sso.settings import Settings, load_settings
from sso.ssf.events import PUSH, push_event

if TYPE_CHECKING:
    from sso.platform.traces import Traces

log = logging.getLogger("sso")


def _developer() -> tuple[APIRouter, ...]:
    from sso.http import developer

    return developer.routers


def _admin() -> tuple[APIRouter, ...]:
    from sso.http import admin

    return admin.routers


def _api() -> tuple[APIRouter, ...]:
    from sso.http import api

    return api.routers


# Routes are tried in their order: those of programs, which ask most, stand first.
EARLY_ROUTERS: tuple[APIRouter, ...] = (
    *protocol.routers,
    *gate.routers,
    *sign_in.routers,
    *cas.routers,
    routes.router,
    *account.routers,
)
LATE_AREAS: tuple[tuple[tuple[str, ...], Callable[[], tuple[APIRouter, ...]]], ...] = (
    (("/developer", "/check"), _developer),
    (("/admin", "/setup"), _admin),
    (("/api",), _api),
)
"""Areas that are imported at their first request: the first parts of their paths, and what imports them."""


def every_router() -> tuple[APIRouter, ...]:
    """Return the routers of every route, those of the late areas too; for tests."""
    return (*EARLY_ROUTERS, *(router for _, imported in LATE_AREAS for router in imported()))


RETRY_SECONDS = 1.0
STOP_SECONDS = 20.0
GC_THRESHOLDS = (10_000, 20, 20)
"""A request allocates some hundred objects that are freed without the collector: it looks less often."""
WATCHES_PER_MINUTE = 60
STRENGTHS_PER_MINUTE = 60
"""How often the strength of a password is computed for one IP address."""
RECEIPTS_PER_MINUTE = 3000
"""How many requests with delivery receipts one IP address may send. Meta repeats what is refused."""
SETUP_LINKS = 30
"""How many requests with a link of `sso setup`, right or wrong, one IP address may send within 15 minutes."""
DOWNLOADS_PER_DAY = 20
"""How many lists of the console an administrator may download within a day."""
LOOKUPS_PER_HOUR, LOOKUPS_PER_DAY = 30, 100
"""How many users who are not found a team member or an administrator of units may name."""
FLOWS_PER_HOUR = 20
"""How many second steps somebody may begin for one account from one network, or one known browser."""
CONTACT_CODES_PER_DAY = 30
"""How many codes somebody may have sent to contacts that they want to add."""
INVITATIONS_PER_RECIPIENT = 3
INVITATIONS_A_MONTH = 10
"""How many invitations one recipient gets within a day, and within 30 days."""
DECLINED_DAYS = 90
"""For how long a team cannot invite somebody again who has declined."""
DAY_MINUTES = 24 * 60


def create_app(settings: Settings, *, freeze: bool = False) -> FastAPI:
    """Return the application. It opens the database when it starts, and closes it when it ends.

    Args:
        settings: every setting.
        freeze: for a process that does nothing but serve: leave what is in memory after the start out of garbage
            collection, turn collection on, which ``sso serve`` turns off for the start, and stop as
            ``SSO_SHUTDOWN_DELAY`` says.

    Raises:
        WrongSchema: at start, where the schema is not current and the database is not the embedded one.
    """
    db = Database(settings)
    retry = settings.rate_limit_retry_interval
    memory, durable = Counts(storage_for(settings, db), retry), Counts(DatabaseStorage(db), retry)
    provider = Provider(settings, db)
    traces = traces_of(provider)
    site = _site(provider, memory, durable, traces)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tried, stop = asyncio.Event(), asyncio.Event()
        async with AsyncExitStack() as closing:  # the last is closed first, each also if another fails
            if traces is not None:
                closing.push_async_callback(asyncio.to_thread, traces.close)
            for service in (db, site.provider, memory):
                closing.push_async_callback(service.close)
            background = asyncio.create_task(_run(site, tried, stop))
            closing.push_async_callback(_finish, background)
            closing.callback(site.worker.stop)
            closing.callback(stop.set)
            await _wait_for_database(background, tried)
            if freeze:
                _begin_serving(site)
            yield

    def shell(app: FastAPI, routes: ASGIApp) -> ASGIApp:
        inner = Shell(routes, settings, DirectRoutes(app.router.routes, app.exception_handlers))
        return inner if traces is None else TracedRequests(inner, settings, traces)

    app = Application(site, lifespan, shell)
    # The routes themselves: an included router would be matched twice, and prepared anew for each application.
    for router in EARLY_ROUTERS:
        app.router.routes.extend(router.routes)
    loaded = gc.freeze if freeze else lambda: None
    app.router.routes.extend(LateArea(*area, loaded) for area in LATE_AREAS)
    add_error_handler(app, {**sign_in.error_pages, **account.error_pages})
    return app


def _site(provider: Provider, memory: Counts, durable: Counts, traces: Traces | None) -> Site:
    """Return the services of the process.

    Args:
        provider: the provider.
        memory: counters in the storage that the settings name.
        durable: counters in the database.
        traces: the traces; None: they are off.
    """
    settings = provider.settings
    server = ProviderServer(provider)
    server.check_cas_request = check_cas_request
    limits = _limits(settings, memory, durable)
    provider.attempts = limits.attempts
    provider.settings_followers.append(partial(_set_limits, limits, settings))
    assets, discovery = Assets(settings), Discovery(server)
    provider.settings_followers += [assets.follow, discovery.clear]
    passwords = Passwords(settings)
    worker = Worker(provider.db, settings, handlers(provider, traces), provider.usage)
    return Site(
        settings=settings,
        provider=provider,
        server=server,
        passwords=passwords,
        accounts=_account_services(provider, passwords, worker, limits),
        limits=limits,
        logos=Logos(lambda: provider.outbound),
        worker=worker,
        assets=assets,
        discovery=discovery,
        gate=GateMemory(),
        observer=observer_of(settings, provider, worker, passwords, memory.breaker),
    )


def _account_services(provider: Provider, passwords: Passwords, worker: Worker, limits: RateLimits) -> AccountServices:
    """Return the services of use cases about accounts."""
    return AccountServices(
        db=provider.db,
        changes=provider,
        passkeys=provider.passkeys,
        passwords=passwords,
        usage=provider.usage,
        worker=worker,
        attempts=limits.attempts,
        messages=limits.messages,
        new_flows=limits.sign_ups,
        contact_codes=limits.contact_codes,
    )


def _limits(settings: Settings, counts: Counts, durable: Counts) -> RateLimits:
    """Return every rate limit."""
    return RateLimits(
        attempts=Attempts(
            settings.sign_in_failures_per_account, settings.sign_in_failures_per_ip_address, counts, durable
        ),
        registrations=CountLimit(settings.client_registrations_per_ip_address, 60, counts, "registrations"),
        device_codes=CountLimit(settings.device_code_failures_per_ip_address, 15, counts, "device-codes"),
        new_device_codes=CountLimit(
            settings.device_codes_per_ip_address,
            15,
            counts,
            "new-device-codes",
            in_total=settings.pending_requests_total,
        ),
        sign_ups=CountLimit(
            settings.sign_ups_per_ip_address, 60, counts, "sign-ups", in_total=settings.pending_requests_total
        ),
        messages=MessageLimits(
            settings.one_time_codes_per_contact_per_hour,
            settings.one_time_codes_per_contact_per_day,
            settings.one_time_codes_per_ip_address,
            settings.sms_per_day,
            counts,
            durable,
        ),
        contact_codes=CountLimit(CONTACT_CODES_PER_DAY, DAY_MINUTES, counts, "contact-codes"),
        flows=CountLimit(FLOWS_PER_HOUR, 60, counts, "flows"),
        # In memory: nothing is stored for these requests, not even how many there were.
        waiting_requests=CountLimit(settings.pending_requests_per_ip_address, 15, None, "waiting"),
        stored_requests=CountLimit(
            settings.pending_requests_per_ip_address,
            15,
            counts,
            "stored-requests",
            in_total=settings.pending_requests_total,
        ),
        pushed_requests=CountLimit(settings.pushed_requests_per_client, 15, counts, "pushed"),
        inviters=CountLimit(settings.invitations_per_user, DAY_MINUTES, counts, "inviters"),
        invited_to=CountLimit(settings.invitations_per_user * 3 // 2, DAY_MINUTES, counts, "invited-to"),
        declined=CountLimit(1, DECLINED_DAYS * DAY_MINUTES, durable, "declined"),
        invited=CountLimit(INVITATIONS_PER_RECIPIENT, DAY_MINUTES, counts, "invited"),
        invited_lately=CountLimit(INVITATIONS_A_MONTH, 30 * DAY_MINUTES, counts, "invited-lately"),
        setup_links=CountLimit(SETUP_LINKS, 15, counts, "setup-links"),
        strengths=CountLimit(STRENGTHS_PER_MINUTE, 1, None, "strengths"),
        receipts=CountLimit(RECEIPTS_PER_MINUTE, 1, None, "receipts"),
        watches=CountLimit(WATCHES_PER_MINUTE, 1, None, "watches"),
        downloads=CountLimit(DOWNLOADS_PER_DAY, DAY_MINUTES, counts, "downloads"),
        lookups=CountLimit(LOOKUPS_PER_HOUR, 60, counts, "lookups", per_day=LOOKUPS_PER_DAY),
    )


def _set_limits(limits: RateLimits, settings: Settings) -> None:
    """Set the limits that administrators may change while the process runs."""
    limits.attempts.limit(settings.sign_in_failures_per_account, settings.sign_in_failures_per_ip_address)
    limits.sign_ups.limit(settings.sign_ups_per_ip_address)
    limits.messages.limit(
        settings.one_time_codes_per_contact_per_hour,
        settings.one_time_codes_per_contact_per_day,
        settings.one_time_codes_per_ip_address,
        settings.sms_per_day,
    )
    limits.inviters.limit(settings.invitations_per_user)
    limits.invited_to.limit(settings.invitations_per_user * 3 // 2)


def handlers(provider: Provider, traces: Traces | None = None) -> dict[str, Handler]:
    """Return what sends each kind of delivery; the outbox itself knows no kind."""
    by_kind: dict[str, Handler] = {
        BACKCHANNEL_LOGOUT: backchannel_logout(provider),
        PUSH: push_event(provider),
        WEBHOOK: send_webhook(provider.db, provider.box, lambda: provider.outbound),
        DeliveryKind.APPLICATION_WEBHOOK: send_application_webhook(provider),
        NOTICE: send_notice(provider),
        MESSAGE: send_message(provider),
    }
    return traces.watch_handlers(by_kind) if traces is not None else by_kind


def app_from_environment() -> FastAPI:
    """Return the application with settings from the environment: what uvicorn calls in each worker."""
    settings = load_settings()
    configure_logging(settings)
    return create_app(settings, freeze=True)


async def _wait_for_database(background: asyncio.Task[None], tried: asyncio.Event) -> None:
    """Wait until the database has answered, or has not: a process whose database is down starts too, and says "not
    ready" until the database is back."""
    waiting = asyncio.create_task(tried.wait())
    await asyncio.wait([background, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if background.done():
        background.result()


def _begin_serving(site: Site) -> None:
    """Leave what the start has made out of garbage collection, turn collection on, and delay the stop."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    delay_stop(site.provider.health, site.settings.shutdown_delay.total_seconds())


async def _finish(background: asyncio.Task[None]) -> None:
    """Wait until the work in the background has stopped; end what does not stop in time."""
    await asyncio.wait([background], timeout=STOP_SECONDS)
    background.cancel()
    await asyncio.gather(background, return_exceptions=True)


async def _run(site: Site, tried: asyncio.Event, stop: asyncio.Event) -> None:
    """Load what is kept in memory; then follow the database, deliver and run jobs until ``stop``.

    Args:
        site: the services.
        tried: set once the database has answered, or has not.
        stop: ends the work.
    """
    if not await _load(site, tried, stop):
        return
    tried.set()
    # The first visitor would wait for it; readiness need not.
    early = (asyncio.to_thread(prepare) for prepare in (pages.prepare, site.provider.prepare))
    for error in filter(None, await asyncio.gather(*early, return_exceptions=True)):
        log.error("something could not be prepared: %s", error)  # whoever needs it first tries again
    await _keep_working(site, stop)


async def _keep_working(site: Site, stop: asyncio.Event) -> None:
    """Follow the database, deliver and run jobs until ``stop``. If a part fails, which none should, all parts end and
    begin again: a process whose work has stopped in part would go on with what it knew then."""
    while not stop.is_set():
        try:
            await run_together(_work(site, stop))
        except* Exception:
            log.exception("the work in the background failed and begins again")
            await clock.pause(stop, RETRY_SECONDS)


def _work(site: Site, stop: asyncio.Event) -> list[Coroutine[object, None, None]]:
    """Return the parts of the work in the background; each ends soon after ``stop``."""
    work = [site.provider.follow(stop), site.provider.keep_usage(stop)]
    work.append(follow_ends(site.provider, stop, site.worker.nudge))
    if site.observer is not None:
        work.append(site.observer.keep(stop))
    if site.settings.run_worker:
        work += [site.worker.run(), run_jobs(site.provider, stop, site.worker.nudge)]
    return work


async def _load(site: Site, tried: asyncio.Event, stop: asyncio.Event) -> bool:
    while True:
        try:
            await check_schema(site.provider.db, site.settings)
            await site.provider.load()
            await apply_attributes_file(site.provider)
            log.info("ready: %d applications", len(site.provider.registry))
            return True
        except (DatabaseUnavailable, DBAPIError, OSError) as error:
            log.warning("waiting for the database: %s", error)
        except Refusal as error:  # an old schema, another secret key: it stops the start, but not what has started
            if not tried.is_set():
                raise
            log.error("waiting for the database to be put right: %s", error)
        tried.set()
        if await clock.pause(stop, RETRY_SECONDS):
            return False
