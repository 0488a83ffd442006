"""The way of an authorization request through pages: sign in, choose an account, consent, and back to the application.

What a request needs next is decided in ``oidc/authorize/decision.py``; here it is carried out. Every page posts to its
own address with the token of the waiting request, and :func:`proceed` is where all of them meet.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.notifications import not_me_token, notify
from sso.http.common.cookies import browser_of, read_cookie, with_browser, with_browser_state
from sso.http.common.counting import count_redirect_error
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields, form_pairs, query_pairs
from sso.http.common.i18n import N_, page_language
from sso.http.common.onward import Onward, application_named
from sso.http.common.pages import failure, page, territory_name, to_application
from sso.http.common.responses import to_wait
from sso.http.common.state import address_of, kept_address_of, request_id_of, site_of
from sso.http.sign_in.account_chooser import (
    MAX_ACCOUNTS,
    Account,
    AccountLocked,
    account_with,
    accounts_of,
    check_lock,
    locked_page,
    present_account,
    tokens_of,
    with_accounts,
)
from sso.http.sign_in.consent import asked_for, shown_digest
from sso.http.sign_in.proving import Proven, WrongCredentials, place_of, prove, with_device
from sso.http.sign_in.steps import UNVERIFIED, Options, begin_step
from sso.identity.authn.assurance import ACR_PASSWORD
from sso.identity.authn.authenticated import Authenticated
from sso.identity.authn.passwords import Busy
from sso.identity.sessions import service as sessions
from sso.identity.sessions import store as sessions_store
from sso.identity.sessions.devices import device_of
from sso.identity.sessions.reasons import EndReason
from sso.identity.test_users import MARK
from sso.identity.users.models import User
from sso.identity.users.store import Person
from sso.logout.end_sessions import end_sessions
from sso.oidc.authorize import request as flow
from sso.oidc.authorize import stored as requests
from sso.oidc.authorize.decision import (
    NOT_ALLOWED,
    NOT_INVITED,
    CheckIdentity,
    Consent,
    CreateAccount,
    Decision,
    Fail,
    NotAllowed,
    NotInvited,
    Progress,
    Respond,
    SelectAccount,
    SignIn,
    StepUp,
)
from sso.oidc.authorize.request import AuthorizationRequest, RedirectError, SignedIn
from sso.oidc.demands import Demand
from sso.oidc.device.service import normal_user_code
from sso.oidc.models import Interaction
from sso.platform.audit import record
from sso.platform.security.rate_limits import TooManyFailures

router = APIRouter()

MAX_TYPED_CHARS = 254

WRONG = N_("The name or the password is not right. Check both and try again.")
WRONG_OF_SEVERAL = N_(
    "The name or the password is not right. Check both and try again. Write a telephone number with its country code, "
    "such as +62 812 3456 7890."
)
BUSY = N_("Very many people are signing in just now. Please try again in a few seconds.")
WAIT = N_("There were too many wrong attempts. Please try again in %(minutes)d minutes, or ask for help.")
MISSING = N_("Type your e-mail, telephone number or user name, and your password.")
NOT_ALLOWED_TEXTS: dict[Demand, str] = {
    Demand.APPLICATION: N_("The city has suspended this application. Please try again later, or ask for help."),
    Demand.PERSON: N_("Your account is disabled. Contact the helpdesk."),
    Demand.LEAVING: N_("You asked us to delete your account. To keep the account, sign out and sign in again."),
    Demand.LOCKED: N_(
        "Your account is locked because a sign-in was reported as not yours. Recover your account to use applications "
        "again."
    ),
    Demand.TEST_USER: N_("You are signed in as a test user. Test users can only use sandboxes."),
    Demand.ROLE: N_("This application is only for certain people: your account has no role that it is for."),
    Demand.NETWORK: N_("This application can only be used from certain networks, such as that of the office."),
    Demand.HOURS: N_("This application can only be used at certain hours. Try again then."),
}
STALE = N_("This page was open for too long. Please try again.")
NOTHING_DONE = Progress()
THEN = {
    "sessions": "/account/sessions",
    "account": "/account",
    "profile": "/account/profile",
    "contacts": "/account/contacts",
    "security": "/account/security",
    "applications": "/account/applications",
    "activity": "/account/activity",
    "notifications": "/account/notifications",
    "data": "/account/data",
    "apps": "/apps",
}
"""Our own pages to which signing in may lead: no address from outside ever does."""
MAX_QUERY_CHARS = 1000
_CONSOLE = re.compile(
    r"/(admin|developer)(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,99}){0,4}"
    rf"(\?[A-Za-z0-9._~%=&+-]{{0,{MAX_QUERY_CHARS}}})?"
)


_OPEN = re.compile(r"/open/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,99}")


def address_after(then: str) -> str:
    """Return the page of ours that ``then`` names: by its name, one of developers or administrators by its path, with
    what is searched for there, or the one that opens an application; nothing where it names none."""
    if _OPEN.fullmatch(then):  # with a button: a form may not lead to another site (Content-Security-Policy)
        return f"{then}?ask=1"
    return THEN.get(then, "") or (then if _CONSOLE.fullmatch(then) else "")


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
    """The waiting request is unknown, over, or another browser's. ``token`` is what named it."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token


def on_gone(request: Request, error: Exception) -> Response:
    """Answer :class:`Gone`."""
    assert isinstance(error, Gone)
    client = requests.client_of_token(site_of(request).provider, error.token)
    return failure(request, "expired_interaction", 400, client=client)


def on_redirect_error(request: Request, error: Exception) -> Response:
    """Answer an error that the application is told of."""
    assert isinstance(error, RedirectError)
    count_redirect_error(request, error)
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
    try:
        who = await _who(request, asked)
    except AccountLocked:
        if "none" not in asked.prompt:
            raise
        return await _fail(request, Waiting(asked), Fail("login_required", "The account of the person is locked."))
    return await proceed(request, Waiting(asked), who)


@router.get("/login")
async def sign_in_page(request: Request) -> Response:
    """The page of a waiting request (``i``), or the sign-in page by itself."""
    token = request.query_params.get("i", "")
    if not token:
        _remember_alone(request, request.query_params)
        adding = request.query_params.get("add") == "1"
        who = await _who(request, None)
        again = who if request.query_params.get("again") == "1" and who and not is_recent(request, who) else None
        if who is not None and not adding and again is None:
            return RedirectResponse(_after_alone(request), 303)
        return sign_in_alone(request, None, again, adding=adding)
    waiting, who = await recall_waiting(request, token)
    return await proceed(request, waiting, who)


@router.post("/login")
async def sign_in(request: Request) -> Response:
    """Check a name and a password, start the session, and go on with the waiting request."""
    fields = await _fields(request)
    token = fields.get("i", "")
    if not read_cookie(request, "browser"):
        return failure(request, "no_cookies", 400)
    waiting: Waiting | None = None
    if token:
        waiting, who = await recall_waiting(request, token)
    else:
        _remember_alone(request, fields)
        who = await _who(request, None)
    if not has_valid_csrf_token(request, fields, "login"):
        return sign_in_alone(request, waiting, who, fields, STALE, 400)
    return await _check_password(request, fields, waiting, who)


@router.post("/select")
async def select_account(request: Request) -> Response:
    """Go on as one of those who are signed in at this browser, or as somebody else."""
    fields = await _fields(request)
    found = await _of_signed_in(request, fields, "select")
    if isinstance(found, Response):
        return found
    waiting, who = found
    if fields.get("choice") == "continue":
        return await proceed(request, await done_with(request, waiting, "select_account"), who)
    async with site_of(request).provider.db.read() as session:
        accounts = await accounts_of(request, session)
        chosen = account_with(accounts, fields.get("choice", ""))
        if chosen is None:
            return sign_in_alone(request, waiting, adding=True)
        check_lock(chosen.person)
        who = SignedIn(chosen.session, chosen.person, frozenset())
        who = await flow.with_consent(session, waiting.asked.client, who)
    request.scope["sso.session"] = chosen.token
    made = await proceed(request, await done_with(request, waiting, "select_account"), who)
    with_accounts(request, made, [chosen.token, *(one.token for one in accounts if one is not chosen)])
    return made


@router.post("/accounts")
async def switch_account(request: Request) -> Response:
    """Make another account of this browser the present one, without an application."""
    fields = await _fields(request)
    await _who(request, None)
    if not has_valid_csrf_token(request, fields, "accounts", read_cookie(request, "session")):
        return RedirectResponse("/", 303)
    async with site_of(request).provider.db.read() as session:
        accounts = await accounts_of(request, session)
    chosen = account_with(accounts, fields.get("choice", ""))
    made = RedirectResponse("/", 303)
    if chosen is not None:
        with_accounts(request, made, [chosen.token, *(one.token for one in accounts if one is not chosen)])
        with_browser_state(request, made, site_of(request).provider.browser_state(chosen.session.id))
    return made


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
        await sessions_store.lock(session, *sessions_store.not_over([who.session.id]))
        await flow.allow(session, waiting.asked, who, kept_address_of(request), request_id_of(request))
        await _tell_of_consent(request, session, waiting, who)
        done = replace(waiting.progress, done=waiting.progress.done | {"consent"})
        who = replace(who, consented=who.consented | waiting.asked.permissions)
        who = await flow.with_standing(session, waiting.asked, who)
        decision = flow.next_step(site.provider, waiting.asked, who, done, address_of(request))
        if isinstance(decision, Respond):
            return await _respond(request, session, waiting, who)
    return await proceed(request, await done_with(request, waiting, "consent"), who)


async def _check_password(
    request: Request, fields: dict[str, str], waiting: Waiting | None, who: SignedIn | None
) -> Response:
    site = site_of(request)
    name, password = fields.get("username", "").strip(), fields.get("password", "")
    if not name or not password:
        return sign_in_alone(request, waiting, who, fields, MISSING, 400)
    wanted = flow.needed_level(waiting.asked) if waiting is not None else ACR_PASSWORD
    try:
        proven = await prove(request, name, password, wanted)
    except WrongCredentials as error:
        await _record_failure(request, waiting, error)
        return sign_in_alone(request, waiting, who, fields, WRONG_OF_SEVERAL if error.several else WRONG, 400)
    except TooManyFailures as error:
        site.provider.usage.count("sign_in_failed", label="too_many")
        return sign_in_later(request, waiting, who, fields, error)
    except Busy as error:
        return to_wait(sign_in_alone(request, waiting, who, fields, BUSY, 503), error.retry_after)
    options = _options(request, fields, waiting, proven.is_new)
    if proven.step is not None or proven.contact:
        step = await _begin_due(request, proven, options)
        if step is not None:
            return step
    return await signed_in(request, waiting, who, proven.proof, options)


async def _begin_due(request: Request, proven: Proven, options: Options) -> Response | None:
    """Begin what is due after a right password: the second step first; verifying the contact that was typed comes
    after it, and never in its place."""
    proof, contact = proven.proof, proven.contact
    if proven.step is not None:
        reason, level = proven.step
        step = await begin_step(request, proof, reason, level, options, contact=contact)
        if step is not None:
            return step
    if not contact:
        return None
    return await begin_step(request, proof, UNVERIFIED, proof.acr, options, contact=contact)


def _options(request: Request, fields: Mapping[str, str], waiting: Waiting | None, is_new: bool) -> Options:
    return Options(
        i=waiting.token if waiting is not None else "",
        remember=fields.get("remember") == "1",
        add=fields.get("add") == "1",
        then=_then(request),
        user_code=str(request.scope.get("sso.user_code", "")),
        is_new=is_new,
    )


async def signed_in(
    request: Request,
    waiting: Waiting | None,
    before: SignedIn | None,
    proof: Authenticated,
    options: Options,
    *,
    trust: bool = False,
    kept: bool = False,
) -> Response:
    """Start the session and, where nothing else is needed, answer the application in the same transaction.

    Args:
        request: where the last proof was given.
        waiting: the authorization request, if any.
        before: who was signed in at this browser.
        proof: who it is, and how that was proven.
        options: what was chosen on the sign-in page.
        trust: the person asks that this browser need no second step from now on.
        kept: somebody whose account was to be deleted has decided to keep it.
    """
    try:
        return await _signed_in(request, waiting, before, proof, options, trust=trust, kept=kept)
    except sessions.ReportFinished:
        return sign_in_alone(request, waiting, before, problem=WRONG, status=400)


async def _signed_in(
    request: Request,
    waiting: Waiting | None,
    before: SignedIn | None,
    proof: Authenticated,
    options: Options,
    *,
    trust: bool,
    kept: bool,
) -> Response:
    site = site_of(request)
    if proof.user.delete_at is not None and not kept:
        step = await begin_step(request, proof, "deletion", proof.acr, options)
        if step is not None:
            return step
    request.scope["sso.choose"] = False
    if proof.user.preferences.get(MARK) and MARK not in proof.amr:  # however a test person got here
        proof = replace(proof, amr=[*proof.amr, MARK])
    remember = options.remember and bool(site.settings.remembered_session_lifetime)
    async with site.provider.db.write() as session:
        accounts = await _accounts_before(request, session, before)
        own = next((one for one in accounts if one.person.id == proof.user.id), None)
        adding = options.add
        over = [one for one in accounts if before and one.session.id == before.session.id and one != own and not adding]
        others = [one for one in accounts if one != own and one not in over]
        too_many = others[MAX_ACCOUNTS - 1 :]
        if own is not None and (over or too_many):
            ids = [one.session.id for one in (own, *over, *too_many)]
            await sessions_store.lock_for_renewal(session, proof.user.id, ids)
        started = await sessions.start(
            session,
            site.settings,
            proof,
            current=own.session if own else None,
            address=kept_address_of(request),
            user_agent=request.headers.get("user-agent", ""),
            request_id=request_id_of(request),
            remember=remember,
            place=place_of(request, trust=trust),
        )
        site.provider.usage.count("sign_in", label=proof.acr)
        await _end_what_is_over(request, session, proof, over, too_many, started.surplus)
        if options.is_new:
            _tell_of_device(request, session, proof.user, started.session.id)
        tokens = [started.token, *(one.token for one in others[: MAX_ACCOUNTS - 1])]
        remembered = [started.token] if remember else []
        person = Person(proof.user.id, proof.user.name, proof.user.locked_until, proof.user.delete_at is not None)
        who = SignedIn(started.session, person, frozenset())
        if waiting is not None and not person.locked:
            who = await flow.with_consent(session, waiting.asked.client, who)
            who = await flow.with_standing(session, waiting.asked, who)
            decision = flow.next_step(site.provider, waiting.asked, who, waiting.progress, address_of(request))
            if isinstance(decision, Respond):
                made = await _respond(request, session, waiting, who)
                with_accounts(request, made, tokens, remember=remembered)
                return with_device(request, made)
    if person.locked:
        made = locked_page(request, person, onward_of(request, waiting))
    elif waiting is None:
        request.scope["sso.then"], request.scope["sso.user_code"] = options.then, options.user_code
        made = RedirectResponse(_after_alone(request), 303)
        with_browser_state(request, made, site.provider.browser_state(who.session.id))
    else:
        request.scope["sso.session"] = started.token
        made = await proceed(request, waiting, who)
    with_accounts(request, made, tokens, remember=remembered)
    return with_device(request, made)


async def _tell_of_consent(request: Request, session: AsyncSession, waiting: Waiting, who: SignedIn) -> None:
    """Tell the person that an application may have more of their data now."""
    user = await session.get(User, who.user.id)
    if user is not None and not waiting.asked.permissions <= who.consented:
        what = waiting.asked.client.name(page_language(user.locale, site_of(request).settings.default_locale))
        notify(session, site_of(request).provider, user, "application_connected", what=what)
        site_of(request).worker.nudge()


def _tell_of_device(request: Request, session: AsyncSession, user: User, session_id: uuid.UUID) -> None:
    """Tell the person of a sign-in at a browser that is new, with a link to say that it was not them."""
    provider = site_of(request).provider
    country = provider.countries.of(address_of(request)) or ""
    device = device_of(request.headers.get("user-agent", "")).text or "?"
    token = not_me_token(provider, session_id)
    place = territory_name(page_language(user.locale, provider.settings.default_locale), country) if country else ""
    notify(session, provider, user, "new_device", device=device, place=place, token=token)
    site_of(request).worker.nudge()


async def _accounts_before(request: Request, session: AsyncSession, before: SignedIn | None) -> list[Account]:
    """Return who was signed in at this browser. No statement where that is known already."""
    tokens = tokens_of(request)
    if len(tokens) > 1:
        return await accounts_of(request, session)
    return [Account(tokens[0], before.session, before.user)] if before is not None else []


async def _end_what_is_over(
    request: Request,
    session: AsyncSession,
    proof: Authenticated,
    over: Sequence[Account],
    too_many_here: Sequence[Account],
    too_many: Sequence[uuid.UUID],
) -> None:
    """End the session of whoever was here before, and those that are too many: in this browser, or of this person."""
    other_person = [one.session.id for one in over]
    surplus = [*(one.session.id for one in too_many_here), *too_many]
    if other_person and surplus:
        await sessions_store.lock(session, *sessions_store.not_over([*other_person, *surplus]))
    for session_ids, reason in ((other_person, EndReason.OTHER_PERSON), (surplus, EndReason.TOO_MANY)):
        if session_ids:
            await end_sessions(
                session,
                site_of(request).provider,
                session_ids,
                reason,
                actor=str(proof.user.id),
                address=kept_address_of(request),
                request_id=request_id_of(request),
            )


async def proceed(request: Request, waiting: Waiting, who: SignedIn | None) -> Response:
    """Do what the request needs next. Where nobody is signed in (any more), the browser's state says so."""
    made = await _next(request, waiting, who)
    return made if who is not None else with_browser_state(request, made, "")


async def _next(request: Request, waiting: Waiting, who: SignedIn | None) -> Response:
    site = site_of(request)
    if who is not None and waiting.asked.wants_more:
        async with site.provider.db.read() as session:
            who = await flow.with_standing(session, waiting.asked, who)
    decision = flow.next_step(site.provider, waiting.asked, who, waiting.progress, address_of(request))
    if isinstance(decision, (Respond, Consent, NotAllowed)) and _must_choose(request, waiting):
        silent = "none" in waiting.asked.prompt
        text = "The person must choose an account."
        decision = Fail("account_selection_required", text) if silent else SelectAccount()
    if isinstance(decision, Fail):
        return await _fail(request, waiting, decision)
    if isinstance(decision, Respond):
        assert who is not None
        async with site.provider.db.write() as session:
            return await _respond(request, session, waiting, who)
    if not waiting.token:
        waiting = await _remember(request, waiting)
    if isinstance(decision, CreateAccount):
        return with_browser(request, RedirectResponse(f"/signup?{urlencode({'i': waiting.token})}", 303))
    if isinstance(decision, SignIn):
        return sign_in_alone(request, waiting, who if decision.again else None)
    assert who is not None
    return await _for_signed_in(request, waiting, who, decision)


async def _for_signed_in(request: Request, waiting: Waiting, who: SignedIn, decision: Decision) -> Response:
    """Return the page that somebody needs who is signed in."""
    site = site_of(request)
    if isinstance(decision, StepUp):
        return await _step_up(request, waiting, who, decision)
    if isinstance(decision, NotAllowed):
        text = NOT_ALLOWED_TEXTS.get(decision.why, "")
        return _request_page(request, "not_allowed.html", waiting, who, "identity", level=decision.why, text=text)
    if isinstance(decision, NotInvited):
        return _request_page(request, "not_allowed.html", waiting, who, "identity", level="not_invited")
    if isinstance(decision, CheckIdentity):
        return _request_page(request, "identity_needed.html", waiting, who, "identity", level=decision.level)
    if isinstance(decision, SelectAccount):
        async with site.provider.db.read() as session:
            accounts = await accounts_of(request, session)
        others = [one for one in accounts if one.session.id != who.session.id]
        return _request_page(request, "select.html", waiting, who, "select", others=others)
    assert isinstance(decision, Consent)
    purpose = _consent_purpose(waiting)
    return _request_page(request, "consent.html", waiting, who, purpose, new=decision.scopes - who.consented)


async def _step_up(request: Request, waiting: Waiting, who: SignedIn, decision: StepUp) -> Response:
    """Ask for the second step alone, of somebody who is signed in; go on without it where it was only wished for, and
    the person has none."""
    provider, live = site_of(request).provider, who.session
    async with provider.db.read() as session:
        user = await session.get(User, who.user.id)
    assert user is not None
    proof = Authenticated(user, live.acr, live.amr, live.auth_time)
    reason = "wished" if decision.wished else "asked"
    step = await begin_step(request, proof, reason, decision.level, Options(i=waiting.token))
    if step is not None:
        return step
    done = waiting.progress.done | {"step_up"}
    return await proceed(request, replace(waiting, progress=replace(waiting.progress, done=done)), who)


@router.post("/identity")
async def identity_needed(request: Request) -> Response:
    """Tell the application that it is not known surely enough who the person is."""
    fields = await _fields(request)
    found = await _of_signed_in(request, fields, "identity")
    if isinstance(found, Response):
        return found
    texts = {"not_invited": NOT_INVITED, **{str(why): text for why, text in NOT_ALLOWED.items()}}
    if (why := fields.get("why", "")) in texts:
        return await _fail(request, found[0], Fail("access_denied", texts[why]))
    text = "It is not known surely enough who the person is."
    return await _fail(request, found[0], Fail("unmet_authentication_requirements", text))


def _must_choose(request: Request, waiting: Waiting) -> bool:
    """Tell whether the present account's session is over, and nobody has said that another one is meant instead; or a
    sandbox is tried at a browser with several accounts, of which one may be a test person's."""
    several = waiting.asked.client.sandbox and len(tokens_of(request)) > 1 and "none" not in waiting.asked.prompt
    return (several or bool(request.scope.get("sso.choose"))) and "select_account" not in waiting.progress.done


async def _respond(request: Request, session: AsyncSession, waiting: Waiting, who: SignedIn) -> Response:
    """Answer the application with a code, within the transaction of ``session``."""
    site, now = site_of(request), clock.now()
    if now - who.session.last_seen_at >= site.settings.session_last_seen_interval:
        await sessions.touch(session, site.settings, who.session.id, now)
    answer = await flow.respond(session, waiting.asked, who, address_of(request))
    site.provider.usage.count("authorize", waiting.asked.client.client_id)
    if waiting.asked.redirect_uri in waiting.asked.client.meta.redirect_uris:
        site.provider.usage.count("returned", waiting.asked.client.client_id, waiting.asked.redirect_uri)
    if waiting.stored is not None:
        await requests.delete_request(session, waiting.stored)
    made = to_application(request, answer)
    return with_browser_state(request, made, site.provider.browser_state(who.session.id))


async def _fail(request: Request, waiting: Waiting, decision: Fail) -> Response:
    """Tell the application that it cannot have what it asked for."""
    site = site_of(request)
    if waiting.stored is not None:
        async with site.provider.db.write() as session:
            await requests.delete_request(session, waiting.stored)
    return to_application(request, flow.error_answer(site.provider, (waiting.asked, decision)))


async def _once_more_by_get(request: Request, asked: AuthorizationRequest) -> Response:
    """A form that another site posts brings no cookie (SameSite=Lax): store the request and look again by GET."""
    waiting = await _remember(request, Waiting(asked))
    return with_browser(request, RedirectResponse(waiting.here, 303, {"Cache-Control": "no-store"}))


async def _remember(request: Request, waiting: Waiting) -> Waiting:
    """Store a request that waits.

    Raises:
        TooManyFailures: when too many were stored because of this address.
    """
    site = site_of(request)
    await site.waiting_requests.take(address_of(request))
    async with site.provider.db.write() as session:
        token = await requests.remember_request(site.provider, session, waiting.asked, browser_of(request))
    return replace(waiting, token=token)


async def recall_waiting(request: Request, token: str) -> tuple[Waiting, SignedIn | None]:
    """Return a waiting request of this browser and who is signed in.

    Raises:
        Gone: when there is no such request.
        PageError, RedirectError: when it is not valid any more: the application was changed meanwhile.
    """
    site = site_of(request)
    async with site.provider.db.read() as session:
        stored = await requests.recall_request(session, token, read_cookie(request, "browser"))
        if stored is None:
            raise Gone(token)
        who = await present_account(request, session, stored.client_id)
    asked = await requests.stored_request(site.server, stored)
    who = await _as_hinted(request, asked, who)
    return Waiting(asked, token, stored, requests.progress_of(stored)), who


async def _of_signed_in(request: Request, fields: dict[str, str], purpose: str) -> tuple[Waiting, SignedIn] | Response:
    """Return the waiting request and the person of a form; where the form is not of this session, the page that is
    right now, and nothing done: somebody else signed in, or nobody is."""
    waiting, who = await recall_waiting(request, fields.get("i", ""))
    if purpose == "consent":
        purpose = _consent_purpose(waiting)
    cookie = str(request.scope.get("sso.session") or read_cookie(request, "session"))
    if who is None or not has_valid_csrf_token(request, fields, purpose, cookie):
        return await proceed(request, waiting, who)
    return waiting, who


def _consent_purpose(waiting: Waiting) -> str:
    """Return what the form of a consent page is for: this request, and exactly what is asked on the page. Where the
    application was changed since, so that it would receive something else, the page is shown again."""
    asked = waiting.asked
    return f"consent {waiting.token} {shown_digest(asked.client, asked.permissions, asked.redirect_uri)}"


async def done_with(request: Request, waiting: Waiting, step: str) -> Waiting:
    """Remember that a page of the waiting request is done."""
    assert waiting.stored is not None
    done = waiting.progress.done | {step}
    async with site_of(request).provider.db.write() as session:
        await requests.remember_progress(session, waiting.stored, done)
    return replace(waiting, progress=replace(waiting.progress, done=done))


async def _who(request: Request, asked: AuthorizationRequest | None) -> SignedIn | None:
    """Return who is signed in at this browser: the present account, or the one that the request names."""
    if not read_cookie(request, "session"):
        return None
    async with site_of(request).provider.db.read() as session:
        who = await present_account(request, session, asked.client.client_id if asked else None)
    return await _as_hinted(request, asked, who) if asked is not None else who


async def _as_hinted(request: Request, asked: AuthorizationRequest, who: SignedIn | None) -> SignedIn | None:
    """Return the account of this browser that id_token_hint, or the claims parameter, names; otherwise ``who``."""
    wanted = asked.named_sub
    if wanted is None or len(tokens_of(request)) < 2:
        return who
    provider = site_of(request).provider
    if who is not None and provider.subject(asked.client, who.user.id) == wanted:
        return who
    async with provider.db.read() as session:
        for one in await accounts_of(request, session):
            if provider.subject(asked.client, one.person.id) == wanted:
                check_lock(one.person)
                request.scope["sso.session"], request.scope["sso.choose"] = one.token, False
                return await flow.with_consent(session, asked.client, SignedIn(one.session, one.person, frozenset()))
    return who


def is_recent(request: Request, who: SignedIn) -> bool:
    """Tell whether somebody signed in recently enough for what opens the account to be changed."""
    return clock.now() - who.session.auth_time <= site_of(request).settings.reauthentication_age


async def who_is_here(request: Request, said: Mapping[str, str]) -> SignedIn | None:
    """Return who is signed in at this browser, where no application asked; ``said`` is kept for afterwards."""
    _remember_alone(request, said)
    return await _who(request, None)


async def _record_failure(request: Request, waiting: Waiting | None, error: WrongCredentials) -> None:
    site_of(request).provider.usage.count("sign_in_failed", label="password")
    tried: Sequence[uuid.UUID | None] = error.user_ids or [None]
    async with site_of(request).provider.db.write() as session:
        for user_id in tried:
            record(
                session,
                "sign_in.failed",
                outcome="failure",
                subject=str(user_id) if user_id else None,
                client_id=waiting.asked.client.client_id if waiting else None,
                address=kept_address_of(request),
                request_id=request_id_of(request),
            )


def _remember_alone(request: Request, said: Mapping[str, str]) -> None:
    """Keep for what somebody signs in where no application asked for it: a device's code, or one of our pages."""
    request.scope["sso.user_code"] = normal_user_code(said.get("user_code", ""))
    request.scope["sso.then"] = said.get("then", "") if address_after(said.get("then", "")) else ""


def _alone(request: Request, adding: bool) -> str:
    """Return the address of the sign-in page without an application."""
    kept = {
        "add": "1" if adding else "",
        "user_code": request.scope.get("sso.user_code", ""),
        "then": request.scope.get("sso.then", ""),
        "again": "1" if request.query_params.get("again") == "1" else "",
    }
    said = {name: value for name, value in kept.items() if value}
    return f"/login?{urlencode(said)}" if said else "/login"


def _after_alone(request: Request) -> str:
    """Return where signing in without an application leads."""
    user_code = request.scope.get("sso.user_code", "")
    return f"/device?{urlencode({'user_code': user_code})}" if user_code else address_after(_then(request)) or "/"


def _then(request: Request) -> str:
    return str(request.scope.get("sso.then", ""))


async def _fields(request: Request) -> dict[str, str]:
    fields = await form_fields(request)
    request.scope["sso.lang"] = fields.get("lang", "")
    return fields


def sign_in_alone(
    request: Request,
    waiting: Waiting | None,
    again: SignedIn | None = None,
    fields: dict[str, str] | None = None,
    problem: str = "",
    status: int = 200,
    *,
    adding: bool = False,
    **values: int,
) -> Response:
    """Return the sign-in page; what was typed is kept, but for the password. ``adding``: besides who is signed in."""
    asked, adding = waiting.asked if waiting else None, adding or (fields or {}).get("add") == "1"
    onward = onward_of(request, waiting)
    named = application_named(request, onward)
    hint = asked.login_hint if asked else ""
    return page(
        request,
        "sign_in.html",
        status=status,
        ui_locales=asked.ui_locales if asked else "",
        here=waiting.here if waiting else _alone(request, adding),
        form_target=asked.redirect_uri if asked else "",
        display=asked.display if asked else "page",
        user_code=request.scope.get("sso.user_code", ""),
        then=_then(request),
        client=asked.client if asked else named,
        i=waiting.token if waiting else "",
        recover_at=onward.address("/recover"),
        sign_up_at=onward.address("/signup"),
        csrf_token=csrf_token(request, "login"),
        username=((fields or {}).get("username") or hint)[:MAX_TYPED_CHARS],
        again=again.user.name if again and not adding else "",
        adding=adding,
        remember=(fields or {}).get("remember") == "1",
        can_remember=bool(site_of(request).settings.remembered_session_lifetime),
        passkey=site_of(request).provider.passkeys.request_options(browser_of(request)),
        can_sign_up=bool(site_of(request).settings.sign_up_kinds),
        can_recover=any(map(site_of(request).settings.can_send, ("email", "phone"))),
        problem=problem,
        values=values,
    )


def onward_of(request: Request, waiting: Waiting | None) -> Onward:
    """Return where somebody wants to go who is asked to sign in."""
    if waiting is not None:
        return Onward(i=waiting.token, client_id=waiting.asked.client.client_id)
    return Onward(then=_then(request), user_code=str(request.scope.get("sso.user_code", "")))


def sign_in_later(
    request: Request, waiting: Waiting | None, again: SignedIn | None, fields: dict[str, str], error: TooManyFailures
) -> Response:
    """Return the sign-in page where there were too many wrong attempts: it says how long to wait."""
    made = sign_in_alone(request, waiting, again, fields, WAIT, 429, minutes=error.minutes)
    return to_wait(made, error.retry_after)


def _request_page(
    request: Request,
    template: str,
    waiting: Waiting,
    who: SignedIn,
    purpose: str,
    new: frozenset[str] = frozenset(),
    others: Sequence[Account] = (),
    level: str = "",
    text: str = "",
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
        asked=asked_for(waiting.asked.client, waiting.asked.permissions),
        new=new,
        others=others,
        level=level,
        text=text,
        i=waiting.token,
        recover_at=onward_of(request, waiting).address("/recover"),
        csrf_token=csrf_token(request, purpose, session_cookie),
        select_token=csrf_token(request, "select", session_cookie),
    )
