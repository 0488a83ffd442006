"""Wiring: the only place where the rooms come together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, IntegrityError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sso import clock
from sso.accounts.notifications import MESSAGE, NOTICE
from sso.accounts.power import TooPowerful
from sso.clients.privileges import PrivilegeRefused
from sso.errors import Refusal
from sso.http.account import applications as apps
from sso.http.account import home, legal, security, sessions
from sso.http.account import profile as account
from sso.http.admin import application_edit as admin_edit
from sso.http.admin import applications as admin_apps
from sso.http.admin import mails as admin_mails
from sso.http.admin import sessions as admin_sessions
from sso.http.admin import system as admin_system
from sso.http.admin import users as admin_people
from sso.http.api import openapi as about
from sso.http.api.common import (
    PREFIX,
    Problem,
    on_conflict,
    on_invalid,
    on_privilege_refused,
    on_problem,
    on_too_powerful,
)
from sso.http.api.routers import routers as api_routers
from sso.http.common import images as logos
from sso.http.common import pages
from sso.http.common.assets import Assets, static
from sso.http.common.mail_texts import send_message, send_notice
from sso.http.common.middleware import Shell, TooLarge, TooSlow
from sso.http.common.state import Site
from sso.http.console import access as console
from sso.http.developer import (
    applications as developer,
)
from sso.http.developer import (
    diagnosis as developer_diagnosis,
)
from sso.http.developer import (
    playground,
    quick_start,
    rp_check,
)
from sso.http.developer import (
    team as developer_team,
)
from sso.http.protocol import check_session, health, registration
from sso.http.protocol import endpoints as protocol
from sso.http.protocol import ssf as shared_signals
from sso.http.sign_in import (
    account_chooser as accounts,
)
from sso.http.sign_in import (
    authorize as sign_in,
)
from sso.http.sign_in import (
    device,
    sign_up,
)
from sso.http.sign_in import (
    logout as sign_out,
)
from sso.http.sign_in import (
    recovery as recover,
)
from sso.http.sign_in import (
    second_factor as second_step,
)
from sso.identity.authn.passwords import Busy, Passwords
from sso.jobs import run_jobs
from sso.logout.end_sessions import BACKCHANNEL_LOGOUT, backchannel_logout
from sso.logs import configure_logging
from sso.oidc.authorize.request import PageError, RedirectError
from sso.oidc.discovery import Discovery
from sso.oidc.provider import Provider
from sso.oidc.server import ProviderServer
from sso.oidc.token.bearer import TokenRefused
from sso.platform.db import Database, DatabaseUnavailable
from sso.platform.db.migrate import check_schema
from sso.platform.outbox import Worker
from sso.platform.outbox.webhooks import WEBHOOK, send_webhook
from sso.platform.outbox.worker import Handler
from sso.platform.security.message_limits import MessageLimits
from sso.platform.security.rate_limits import (
    Attempts,
    CountLimit,
    Counts,
    DatabaseStorage,
    TooManyFailures,
    storage_for,
)
from sso.settings import Settings, load_settings
from sso.ssf.events import PUSH, push_event
from sso.ssf.streams import StreamRefused

log = logging.getLogger("sso")

ROOMS = (
    protocol, sign_in, second_step, sign_up, recover, sign_out, check_session, device, registration, logos, home, apps,
    account, security, sessions, legal, shared_signals, developer, developer_team, developer_diagnosis,
    quick_start, playground, rp_check,
    admin_apps, admin_edit, admin_people,
    admin_sessions, admin_system, admin_mails, health,
)  # fmt: skip
RETRY_SECONDS = 1.0
STRENGTHS_PER_MINUTE = 60
"""How often the strength of a password is computed for one address."""
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
STOP_SECONDS = 20.0


def create_app(settings: Settings) -> FastAPI:
    """Return the application. It opens the database when it starts, and closes it when it ends.

    Args:
        settings: every setting.

    Raises:
        WrongSchema: at start, where the schema is not current and the database is not the embedded one.
    """
    db = Database(settings)
    provider = Provider(settings, db)
    server = ProviderServer(provider)
    worker = Worker(db, settings, handlers(provider))
    passwords = Passwords(settings)
    counts, durable = Counts(storage_for(settings, db)), Counts(DatabaseStorage(db))
    provider.attempts = Attempts(
        settings.sign_in_failures_per_account, settings.sign_in_failures_per_ip_address, counts, durable
    )
    site = Site(
        settings=settings,
        provider=provider,
        server=server,
        passwords=passwords,
        limits=provider.attempts,
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
        codes=MessageLimits(
            settings.one_time_codes_per_contact_per_hour,
            settings.one_time_codes_per_contact_per_day,
            settings.one_time_codes_per_ip_address,
            settings.sms_per_day,
            counts,
        ),
        contact_codes=CountLimit(CONTACT_CODES_PER_DAY, DAY_MINUTES, counts, "contact-codes"),
        flows=CountLimit(FLOWS_PER_HOUR, 60, counts, "flows"),
        waiting_requests=CountLimit(
            settings.pending_requests_per_ip_address, 15, counts, "waiting", in_total=settings.pending_requests_total
        ),
        pushed_requests=CountLimit(settings.pushed_requests_per_client, 15, counts, "pushed"),
        inviters=CountLimit(settings.invitations_per_user, DAY_MINUTES, counts, "inviters"),
        invited_to=CountLimit(settings.invitations_per_user * 3 // 2, DAY_MINUTES, counts, "invited-to"),
        declined=CountLimit(1, DECLINED_DAYS * DAY_MINUTES, durable, "declined"),
        invited=CountLimit(INVITATIONS_PER_RECIPIENT, DAY_MINUTES, counts, "invited"),
        invited_lately=CountLimit(INVITATIONS_A_MONTH, 30 * DAY_MINUTES, counts, "invited-lately"),
        strengths=CountLimit(STRENGTHS_PER_MINUTE, 1, None, "strengths"),
        logos=logos.Logos(provider),
        worker=worker,
        assets=Assets(settings),
        discovery=Discovery(server),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tried, stop = asyncio.Event(), asyncio.Event()
        living = asyncio.create_task(_live(site, tried, stop))
        try:
            # A database that is away does not keep the process from starting: it says "not ready" until it is back.
            waiting = asyncio.create_task(tried.wait())
            await asyncio.wait([living, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if living.done():
                living.result()
            yield
        finally:
            stop.set()
            worker.stop()
            await asyncio.wait([living], timeout=STOP_SECONDS)
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            await counts.close()
            await provider.close()
            await db.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.site = site
    # The routes themselves: an included router would be matched twice, and prepared anew for each application.
    for router in _routers():
        app.router.routes.extend(router.routes)
    app.add_route("/static/{name}", static, methods=["GET"])
    app.add_exception_handler(HTTPException, _http_failure)
    app.add_exception_handler(PageError, pages.on_page_error)
    app.add_exception_handler(TooManyFailures, pages.on_too_many)
    app.add_exception_handler(Busy, pages.on_busy)
    app.add_exception_handler(RedirectError, sign_in.on_redirect_error)
    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(TooPowerful, _too_powerful)
    app.add_exception_handler(PrivilegeRefused, _on_privilege_refused)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(IntegrityError, on_conflict)
    app.add_exception_handler(accounts.AccountLocked, accounts.on_account_locked)
    app.add_exception_handler(account.VisitOver, account.on_visit_over)
    app.add_exception_handler(sign_in.Gone, sign_in.on_gone)
    app.add_exception_handler(StreamRefused, shared_signals.on_stream_refused)
    app.add_exception_handler(console.Interrupted, console.on_interrupted)
    app.add_exception_handler(TokenRefused, shared_signals.on_token_refused)
    app.add_middleware(Shell, settings=settings)
    return app


def handlers(provider: Provider) -> dict[str, Handler]:
    """Return what sends each kind of delivery: the outbox knows none itself."""
    return {
        BACKCHANNEL_LOGOUT: backchannel_logout(provider),
        PUSH: push_event(provider),
        WEBHOOK: send_webhook(provider.db, provider.box, lambda: provider.outbound),
        NOTICE: send_notice(provider),
        MESSAGE: send_message(provider),
    }


def app_from_environment() -> FastAPI:
    """Return the application with settings from the environment: what uvicorn calls in each worker."""
    settings = load_settings()
    configure_logging(settings)
    return create_app(settings)


async def _live(site: Site, tried: asyncio.Event, stop: asyncio.Event) -> None:
    """Load what is kept in memory, and then follow the database, send and clear up until ``stop``.

    ``tried`` is set once the database has answered, or has not.
    """
    if not await _load(site, tried, stop):
        return
    # What the first person would otherwise wait for, and readiness need not.
    quick = (asyncio.to_thread(prepare) for prepare in (pages.prepare, site.provider.prepare))
    work = [site.provider.follow(stop), site.provider.keep_usage(stop), site.passwords.prepare(), *quick]
    if site.settings.run_worker:
        work += [site.worker.run(), run_jobs(site.provider, stop, site.worker.nudge)]
    tasks = [asyncio.create_task(one) for one in work]
    tried.set()
    await asyncio.gather(*tasks)


async def _load(site: Site, tried: asyncio.Event, stop: asyncio.Event) -> bool:
    while True:
        try:
            await check_schema(site.provider.db, site.settings)
            await site.provider.load()
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


def _routers() -> list[APIRouter]:
    return [*(room.router for room in ROOMS), *api_routers, about.public]


def _methods_at(request: Request) -> list[str]:
    """Return what can be done at an address (RFC 9110 section 15.5.6): each way is a route of its own."""
    path = request.url.path
    routes = [route for router in _routers() for route in router.routes if isinstance(route, Route)]
    return sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()})


async def _too_powerful(request: Request, error: Exception) -> Response:
    if request.url.path.startswith(f"{PREFIX}/"):
        return on_too_powerful(request, error)
    return pages.failure(request, "no_permission", 403, str(error))


async def _on_privilege_refused(request: Request, error: Exception) -> Response:
    answer = on_privilege_refused if request.url.path.startswith(PREFIX) else console.on_privilege_refused
    return answer(request, error)


async def _http_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400 and error.__cause__ is not None:  # reading the body failed: the shell says why
        if isinstance(error.__cause__, (TooLarge, TooSlow)):
            raise error.__cause__
        return pages.failure(request, "unreadable", 400)
    if error.status_code == 405:
        made = pages.failure(request, "wrong_method", 405)
        made.headers["Allow"] = ", ".join(_methods_at(request)) or (error.headers or {}).get("Allow", "")
        return made
    return pages.failure(request, "not_found", error.status_code)
