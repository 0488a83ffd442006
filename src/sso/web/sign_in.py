"""The way of an authorization request through pages: sign in, choose an account, consent, and back to the application.

What a request needs next is decided in ``oidc/interaction.py``; here it is carried out. Every page posts to its own
address with the token of the waiting request, and :func:`_proceed` is where all of them meet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.audit import record
from sso.authn.passwords import Busy
from sso.authn.service import Authenticated, WrongCredentials, sign_in_with_password
from sso.clients.metadata import OIDC_SCOPES
from sso.clients.registry import Client
from sso.oidc import authorize as flow
from sso.oidc import waiting as requests
from sso.oidc.authorize import AuthorizationRequest, RedirectError, SignedIn
from sso.oidc.device import normal_user_code
from sso.oidc.ending import end_sessions
from sso.oidc.interaction import Consent, Fail, Progress, Respond, SelectAccount, SignIn
from sso.oidc.models import Interaction
from sso.security.limits import TooManyFailures
from sso.sessions import service as sessions
from sso.sessions import store as session_store
from sso.users.store import Person
from sso.web.http import (
    browser_of,
    form_fields,
    form_pairs,
    form_token,
    is_our_form,
    query_pairs,
    read_cookie,
    set_cookie,
    with_browser,
    with_browser_state,
)
from sso.web.i18n import N_
from sso.web.pages import failure, page, to_application
from sso.web.site import Site, address_of, request_id_of, site_of

router = APIRouter()

MAX_TYPED_CHARS = 254

WRONG = N_("The name or the password is not right. Check both and try again.")
BUSY = N_("Very many people are signing in just now. Please try again in a few seconds.")
WAIT = N_("There were too many wrong attempts. Please try again in %(minutes)d minutes, or ask for help.")
MISSING = N_("Type your e-mail, telephone number or user name, and your password.")
STALE = N_("This page was open for too long. Please try again.")
NOTHING_DONE = Progress()


@dataclass(frozen=True, slots=True)
class Waiting:
    """An authorization request on its way: what was asked, where it is stored (if it is), what has been done."""

    asked: AuthorizationRequest
    token: str = ""
    stored: Interaction | None = None
    progress: Progress = NOTHING_DONE

    @property
    def here(self) -> str:
        """The address under which its page can be had again."""
        return f"/login?{urlencode({'i': self.token})}"


class Gone(Exception):
    """The waiting request is unknown, over, or another browser's."""


def on_gone(request: Request, _: Exception) -> Response:
    """Answer :class:`Gone`."""
    return failure(request, "expired_interaction", 400)


def on_redirect_error(request: Request, error: Exception) -> Response:
    """Answer an error that the application is told of."""
    assert isinstance(error, RedirectError)
    return to_application(request, flow.error_answer(site_of(request).provider, error))


@router.api_route("/authorize", methods=["GET", "POST"])
async def authorize(request: Request) -> Response:
    """The authorization endpoint (RFC 6749 section 3.1, OpenID Connect Core section 3.1.2.1)."""
    site = site_of(request)
    parameters = await form_pairs(request) if request.method == "POST" else query_pairs(request)
    asked = await flow.read_request(site.server, parameters)
    cookie = read_cookie(request, "session")
    if request.method == "POST" and not cookie:
        return await _once_more_by_get(request, asked)
    who = await _who(site, cookie, asked.client)
    return await _proceed(request, Waiting(asked), who)


@router.get("/login")
async def sign_in_page(request: Request) -> Response:
    """The page of a waiting request (``i``), or the sign-in page by itself."""
    site, token = site_of(request), request.query_params.get("i", "")
    cookie = read_cookie(request, "session")
    if not token:
        _remember_device(request, request.query_params.get("user_code", ""))
        if await _who(site, cookie, None) is not None:
            return RedirectResponse(_after_alone(request), 303)
        return _sign_in_page(request, None)
    waiting, who = await _recall(request, token, cookie)
    return await _proceed(request, waiting, who)


@router.post("/login")
async def sign_in(request: Request) -> Response:
    """Check a name and a password, start the session, and go on with the waiting request."""
    site, fields = site_of(request), await _fields(request)
    cookie, token = read_cookie(request, "session"), fields.get("i", "")
    if not read_cookie(request, "browser"):
        return failure(request, "no_cookies", 400)
    waiting: Waiting | None = None
    if token:
        waiting, who = await _recall(request, token, cookie)
    else:
        _remember_device(request, fields.get("user_code", ""))
        who = await _who(site, cookie, None)
    if not is_our_form(request, fields, "login"):
        return _sign_in_page(request, waiting, who, fields, STALE, 400)
    return await _check_password(request, fields, waiting, who)


@router.post("/select")
async def select_account(request: Request) -> Response:
    """Go on as who one is, or as somebody else."""
    fields = await _fields(request)
    found = await _of_signed_in(request, fields, "select")
    if isinstance(found, Response):
        return found
    waiting, who = found
    if fields.get("choice") != "continue":
        return _sign_in_page(request, waiting)
    return await _proceed(request, await _done(request, waiting, "select_account"), who)


@router.post("/consent")
async def consent(request: Request) -> Response:
    """Allow an application what it asks for, or refuse."""
    site, fields = site_of(request), await _fields(request)
    found = await _of_signed_in(request, fields, "consent")
    if isinstance(found, Response):
        return found
    waiting, who = found
    if fields.get("choice") != "allow":
        return await _fail(request, waiting, Fail("access_denied", "The person refused."))
    async with site.provider.db.write() as session:
        await flow.allow(session, waiting.asked, who, address_of(request), request_id_of(request))
        done = replace(waiting.progress, done=waiting.progress.done | {"consent"})
        who = replace(who, consented=who.consented | waiting.asked.consent_scopes)
        decision = flow.next_step(site.provider, waiting.asked, who, done)
        if isinstance(decision, Respond):
            return await _respond(request, session, waiting, who)
    return await _proceed(request, await _done(request, waiting, "consent"), who)


async def _check_password(
    request: Request, fields: dict[str, str], waiting: Waiting | None, who: SignedIn | None
) -> Response:
    site = site_of(request)
    name, password = fields.get("username", "").strip(), fields.get("password", "")
    if not name or not password:
        return _sign_in_page(request, waiting, who, fields, MISSING, 400)
    try:
        proof = await sign_in_with_password(
            site.provider.db, site.passwords, site.limits, name, password, address_of(request)
        )
    except WrongCredentials as error:
        await _record_failure(request, waiting, error)
        return _sign_in_page(request, waiting, who, fields, WRONG, 400)
    except TooManyFailures as error:
        made = _sign_in_page(request, waiting, who, fields, WAIT, 429, minutes=-(-error.retry_after // 60))
        made.headers["Retry-After"] = str(error.retry_after)
        return made
    except Busy as error:
        made = _sign_in_page(request, waiting, who, fields, BUSY, 503)
        made.headers["Retry-After"] = str(error.retry_after)
        return made
    return await _signed_in(request, waiting, who, proof)


async def _signed_in(
    request: Request, waiting: Waiting | None, before: SignedIn | None, proof: Authenticated
) -> Response:
    """Start the session and, where nothing else is needed, answer the application in the same transaction."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        if before is not None and before.user.id != proof.user.id:
            await end_sessions(
                session,
                site.provider,
                [before.session.id],
                "other_person",
                actor=str(proof.user.id),
                address=address_of(request),
                request_id=request_id_of(request),
            )
        started, cookie = await sessions.start(
            session,
            site.settings,
            proof,
            current=before.session if before else None,
            address=address_of(request),
            user_agent=request.headers.get("user-agent", ""),
            request_id=request_id_of(request),
        )
        who = SignedIn(started, Person(proof.user.id, proof.user.name), frozenset())
        if waiting is not None:
            who = await flow.with_consent(session, waiting.asked.client, who)
            if isinstance(flow.next_step(site.provider, waiting.asked, who, waiting.progress), Respond):
                made = await _respond(request, session, waiting, who)
                set_cookie(made, site.settings, "session", cookie)
                return made
    if waiting is None:
        made = RedirectResponse(_after_alone(request), 303)
        with_browser_state(request, made, site.provider.browser_state(who.session.id))
    else:
        request.scope["sso.session"] = cookie
        made = await _proceed(request, waiting, who)
    set_cookie(made, site.settings, "session", cookie)
    return made


async def _proceed(request: Request, waiting: Waiting, who: SignedIn | None) -> Response:
    """Do what the request needs next. Where nobody is signed in (any more), the browser's state says so."""
    made = await _next(request, waiting, who)
    return made if who is not None else with_browser_state(request, made, "")


async def _next(request: Request, waiting: Waiting, who: SignedIn | None) -> Response:
    site = site_of(request)
    decision = flow.next_step(site.provider, waiting.asked, who, waiting.progress)
    if isinstance(decision, Fail):
        return await _fail(request, waiting, decision)
    if isinstance(decision, Respond):
        assert who is not None
        async with site.provider.db.write() as session:
            return await _respond(request, session, waiting, who)
    if not waiting.token:
        waiting = await _remember(request, waiting)
    if isinstance(decision, SignIn):
        return _sign_in_page(request, waiting, who if decision.again else None)
    assert who is not None
    if isinstance(decision, SelectAccount):
        return _request_page(request, "select.html", waiting, who, "select")
    assert isinstance(decision, Consent)
    return _request_page(request, "consent.html", waiting, who, "consent", new=decision.scopes - who.consented)


async def _respond(request: Request, session: AsyncSession, waiting: Waiting, who: SignedIn) -> Response:
    """Answer the application with a code, within the transaction of ``session``."""
    site, now = site_of(request), clock.now()
    if (now - who.session.last_seen_at).total_seconds() >= site.settings.session_touch_seconds:
        await session_store.touch(session, who.session.id, now)
    answer = await flow.respond(session, waiting.asked, who.session)
    if waiting.stored is not None:
        await requests.forget_request(session, waiting.stored)
    made = to_application(request, answer)
    return with_browser_state(request, made, site.provider.browser_state(who.session.id))


async def _fail(request: Request, waiting: Waiting, decision: Fail) -> Response:
    """Tell the application that it cannot have what it asked for."""
    site = site_of(request)
    if waiting.stored is not None:
        async with site.provider.db.write() as session:
            await requests.forget_request(session, waiting.stored)
    return to_application(request, flow.error_answer(site.provider, (waiting.asked, decision)))


async def _once_more_by_get(request: Request, asked: AuthorizationRequest) -> Response:
    """A form that another site posts brings no cookie (SameSite=Lax): store the request and look again by GET."""
    waiting = await _remember(request, Waiting(asked))
    return with_browser(request, RedirectResponse(waiting.here, 303, {"Cache-Control": "no-store"}))


async def _remember(request: Request, waiting: Waiting) -> Waiting:
    site = site_of(request)
    async with site.provider.db.write() as session:
        token = await requests.remember_request(site.provider, session, waiting.asked, browser_of(request))
    return replace(waiting, token=token)


async def _recall(request: Request, token: str, cookie: str) -> tuple[Waiting, SignedIn | None]:
    """Return a waiting request of this browser and who is signed in.

    Raises:
        Gone: when there is no such request.
        PageError, RedirectError: when it is not valid any more: the application was changed meanwhile.
    """
    site = site_of(request)
    async with site.provider.db.read() as session:
        stored = await requests.recall_request(session, token, read_cookie(request, "browser"))
        if stored is None:
            raise Gone
        who = await flow.signed_in(site.provider, session, cookie, stored.client_id)
    asked = requests.stored_request(site.server, stored)
    return Waiting(asked, token, stored, requests.progress_of(stored)), who


async def _of_signed_in(request: Request, fields: dict[str, str], purpose: str) -> tuple[Waiting, SignedIn] | Response:
    """Return the waiting request and the person of a form; where the form is not of this session, the page that is
    right now, and nothing done: somebody else signed in, or nobody is."""
    cookie = read_cookie(request, "session")
    waiting, who = await _recall(request, fields.get("i", ""), cookie)
    if who is None or not is_our_form(request, fields, purpose, cookie):
        return await _proceed(request, waiting, who)
    return waiting, who


async def _done(request: Request, waiting: Waiting, step: str) -> Waiting:
    """Remember that a page of the waiting request is done."""
    assert waiting.stored is not None
    done = waiting.progress.done | {step}
    async with site_of(request).provider.db.write() as session:
        await requests.remember_progress(session, waiting.stored, done)
    return replace(waiting, progress=replace(waiting.progress, done=done))


async def _who(site: Site, cookie: str, client: Client | None) -> SignedIn | None:
    if not cookie:
        return None
    async with site.provider.db.read() as session:
        return await flow.signed_in(site.provider, session, cookie, client.client_id if client else None)


async def _record_failure(request: Request, waiting: Waiting | None, error: WrongCredentials) -> None:
    async with site_of(request).provider.db.write() as session:
        record(
            session,
            "sign_in.failed",
            outcome="failure",
            subject=str(error.user_id) if error.user_id else None,
            client_id=waiting.asked.client.client_id if waiting else None,
            address=address_of(request),
            request_id=request_id_of(request),
        )


def _remember_device(request: Request, typed: str) -> None:
    """Keep the code of the device for which somebody signs in, where no application asked for it."""
    request.scope["sso.user_code"] = normal_user_code(typed)


def _alone(request: Request) -> str:
    """Return the address of the sign-in page without an application."""
    user_code = request.scope.get("sso.user_code", "")
    return f"/login?{urlencode({'user_code': user_code})}" if user_code else "/login"


def _after_alone(request: Request) -> str:
    """Return where signing in without an application leads."""
    user_code = request.scope.get("sso.user_code", "")
    return f"/device?{urlencode({'user_code': user_code})}" if user_code else "/"


async def _fields(request: Request) -> dict[str, str]:
    fields = await form_fields(request)
    request.scope["sso.lang"] = fields.get("lang", "")
    return fields


def _sign_in_page(
    request: Request,
    waiting: Waiting | None,
    again: SignedIn | None = None,
    fields: dict[str, str] | None = None,
    problem: str = "",
    status: int = 200,
    **values: int,
) -> Response:
    """Return the sign-in page; what was typed is kept, but for the password."""
    asked = waiting.asked if waiting else None
    hint = asked.login_hint if asked else ""
    return page(
        request,
        "sign_in.html",
        status=status,
        ui_locales=asked.ui_locales if asked else "",
        here=waiting.here if waiting else _alone(request),
        form_target=asked.redirect_uri if asked else "",
        display=asked.display if asked else "page",
        user_code=request.scope.get("sso.user_code", ""),
        client=asked.client if asked else None,
        i=waiting.token if waiting else "",
        form_token=form_token(request, "login"),
        username=((fields or {}).get("username") or hint)[:MAX_TYPED_CHARS],
        again=again.user.name if again else "",
        problem=problem,
        values=values,
    )


def scope_place(scope: str) -> tuple[int, str]:
    """Put the standard scopes first, in the order of the specification."""
    return (OIDC_SCOPES.index(scope) if scope in OIDC_SCOPES else len(OIDC_SCOPES), scope)


def _request_page(
    request: Request,
    template: str,
    waiting: Waiting,
    who: SignedIn,
    purpose: str,
    new: frozenset[str] = frozenset(),
) -> Response:
    session_cookie = str(request.scope.get("sso.session") or read_cookie(request, "session"))
    return page(
        request,
        template,
        ui_locales=waiting.asked.ui_locales,
        here=waiting.here,
        form_target=waiting.asked.redirect_uri,
        client=waiting.asked.client,
        person=who.user.name,
        display=waiting.asked.display,
        scopes=sorted(waiting.asked.consent_scopes, key=scope_place),
        new=new,
        i=waiting.token,
        form_token=form_token(request, purpose, session_cookie),
    )
