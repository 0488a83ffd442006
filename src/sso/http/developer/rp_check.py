"""The relying-party check: the page from which a team begins it, and the endpoints of the provider that plays false."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.clients.secrets import ClientError
from sso.http.common.forms import protocol_request
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.responses import OPEN, json_error
from sso.http.common.services import Checks, Clients
from sso.http.common.typed_forms import FormModel, Sent, cut
from sso.http.console.access import OwnForm, There
from sso.http.developer.application_page import APPS, CANNOT, Member, Reader, application_page, present
from sso.oidc.token.client_auth import authenticates
from sso.portal.applications import sandbox_id
from sso.portal.rp_check import fake_provider
from sso.portal.rp_check.endpoints import note_call, published_key
from sso.portal.rp_check.results import findings_of, passed, passes_now
from sso.portal.rp_check.runner import begin_check, start
from sso.portal.rp_check.store import last_check
from sso.portal.services import CheckServices

router = new_router()

CASE_TEXTS = {
    "honest": (N_("Valid sign-in"), N_("Every value is correct. The application must sign the user in.")),
    "wrong_nonce": (N_("Wrong nonce"), N_("The ID token belongs to another sign-in (OpenID Connect Core 3.1.3.7).")),
    "wrong_audience": (N_("Wrong audience"), N_("The ID token is for another application: check aud.")),
    "wrong_issuer": (N_("Wrong issuer"), N_("The ID token names another issuer: check iss.")),
    "expired": (N_("Expired ID token"), N_("The ID token expired an hour ago: check exp.")),
    "alg_none": (
        N_("Not signed (alg none)"),
        N_("The ID token has no signature: accept only the registered algorithm."),
    ),
    "foreign_key": (
        N_("Unknown key"),
        N_("The ID token is signed with a key that is not in our key set: check the signature."),
    ),
    "tampered_signature": (
        N_("Changed after signing"),
        N_("The claims were changed after signing: check the signature."),
    ),
    "missing_state": (
        N_("Missing state"),
        N_("The response has no state: another person may have started the sign-in."),
    ),
    "foreign_state": (N_("Unknown state"), N_("The response has a state that this browser did not send.")),
    "mixed_up_issuer": (
        N_("Wrong issuer in the response"),
        N_("The response names another issuer (iss, RFC 9207). The application must not use the code."),
    ),
    "replayed_code": (
        N_("Replayed response"),
        N_("The redirect URI with the same code is opened again in another browser."),
    ),
    "forged_logout_token": (
        N_("Forged logout token"),
        N_("The logout token has a wrong signature (Back-Channel Logout 2.6). No user must be signed out."),
    ),
    "honest_again": (
        N_("Valid sign-ins between the tests"),
        N_("After each test, a valid sign-in must still work."),
    ),
}
OUTCOMES = {
    "refused": N_("Refused (correct)"),
    "accepted": N_("Accepted (wrong)"),
    "passed": N_("Signed in (correct)"),
    "failed": N_("Failed"),
    "not_applicable": N_("Not applicable"),
    "unclear": N_("Unclear"),
}
DETAILS = {
    "no_nonce": N_("The application sends no nonce. PKCE protects the sign-in, but a nonce is recommended."),
    "no_state": N_(
        "The application sends no state. An attacker can make a browser complete a sign-in that it did not start."
    ),
    "no_pkce": N_("The application sends no code_challenge. Enable PKCE."),
    "no_backchannel": N_("The application has no back-channel logout URL."),
    "no_token": N_(
        "The application did not request the tokens as registered: with this issuer, client ID, client "
        "authentication, redirect URI and code_verifier."
    ),
    "not_redeemed": N_("The application did not request the ID token, so it did not check the token."),
    "not_signed_in": N_("A valid sign-in failed during this test, so the result is unclear."),
    "dead": N_("Valid sign-ins also failed after this test."),
    "old_keys": N_(
        "The application uses an old copy of our key set. Fetch jwks_uri again when a token has an unknown kid "
        "(OpenID Connect Core 10.1.1)."
    ),
    "callback_fails": N_("The redirect URI answered a valid sign-in with an error."),
    "page_fails": N_("The page that shows the signed-in user answered with an error."),
    "logout_fails": N_("The application also refuses valid logout tokens."),
    "changed": N_("The application changed during the check. Run the check again."),
    "looks_the_same": N_(
        "The page looks the same before and after sign-in. Enter a page that shows the signed-in user."
    ),
}


class CheckForm(FormModel):
    """The page that the check opens; empty: the page where a sign-in begins."""

    page: Annotated[str, cut(2000)] = ""


Beginning = Annotated[Sent[CheckForm], Depends(OwnForm(CheckForm, "check {application_id}"))]


@router.get(APPS + "/{application_id}/check")
async def check_page(request: Request, there: Reader, services: Checks) -> Response:
    """How to be checked, and what the last check found."""
    return await _page(request, there, services)


async def _page(
    request: Request, there: There, services: CheckServices, problem: str = "", status: int = 200, **values: str
) -> Response:
    async with services.db.read() as session:
        last = await last_check(session, there.application_id)
    client = services.registry.enabled(there.sandbox_id)
    findings = findings_of(last)
    running = last is not None and last.status == "running"
    stale = (
        running and last is not None and (clock.now() - last.created_at).total_seconds() > fake_provider.MINUTES * 60
    )
    return await application_page(
        request,
        there,
        "check",
        "developer_check.html",
        status,
        purpose="check",
        client=client,
        issuer=fake_provider.issuer_of(services.settings.issuer, there.application_id),
        last=last,
        findings=findings,
        remaining=[case for case in fake_provider.CASES if case not in {finding["case"] for finding in findings}],
        running=running and not stale,
        passed=passed(last),
        outdated=last is not None and not passes_now(last, there.application),
        required=services.settings.relying_party_check == "required",
        case_texts=CASE_TEXTS,
        outcomes=OUTCOMES,
        details=DETAILS,
        seen=(last.results.get("page", "") if last is not None else ""),
        problem=problem,
        values=values,
    )


@router.post(APPS + "/{application_id}/check")
async def begin(request: Request, there: Member, sent: Beginning, services: Checks, clients: Clients) -> Response:
    """Begin a check; the page shows how far it is."""
    await clients.look()  # the sandbox may have been changed a moment ago
    try:
        async with services.db.write() as session:
            application = await present(request, session, there.application_id)
            check = await begin_check(
                session,
                services.registry,
                services.settings,
                application,
                sent.form.page,
                actor=there.here.as_actor,
            )
    except ClientError as error:
        return await _page(request, there, services, CANNOT, 409, detail=str(error))
    start(services, check)
    return RedirectResponse(f"{APPS}/{there.application_id}/check", 303)


# The provider that plays false. Its issuer lives while a check runs, and its keys are of that check alone.

CHECK = fake_provider.PATH + "{application_id}"


@router.get(CHECK + "/.well-known/openid-configuration")
async def discovery(request: Request, application_id: str, services: Checks) -> Response:
    """What it says of itself: also between checks, so that the application can be configured."""
    client = await services.client(sandbox_id(application_id))
    if client is None or not client.enabled or not client.sandbox:
        return failure(request, "not_found", 404)
    issuer = fake_provider.issuer_of(services.settings.issuer, application_id)
    return _json(fake_provider.metadata(issuer, client, services.id_token_alg(client)))


@router.get(CHECK + "/jwks")
async def jwks(application_id: str, services: Checks) -> Response:
    """The key of the check that runs, or that ran last."""
    await note_call(services, application_id, "jwks")
    published = await published_key(services, application_id)
    return _json(fake_provider.public_jwks(*published) if published is not None else {"keys": []})


@router.post(CHECK + "/token")
async def token(request: Request, application_id: str, services: Checks, clients: Clients) -> Response:
    """Tokens, right or wrong, as the case has it."""
    token_request = await protocol_request(request)
    playing = await note_call(services, application_id, "token")
    if playing is None:
        return json_error(400, "invalid_grant", "No check of this application is running.", {})
    play, client, alg = playing
    issuer = fake_provider.issuer_of(services.settings.issuer, application_id)
    audiences = (issuer, f"{issuer}/token")
    if not await authenticates(token_request, client, audiences):
        await clients.look()  # the secret may have been made a moment ago
        client = clients.registry.enabled(client.client_id) or client
        if not await authenticates(token_request, client, audiences):
            return json_error(401, "invalid_client", "Client authentication failed.", {})
    if not fake_provider.is_redemption(play, token_request.form):
        text = "This is not the code of the check that is running, with its redirect_uri and code_verifier."
        return json_error(400, "invalid_grant", text, {})
    await note_call(services, application_id, "token", redeemed=play.code)
    return _json(fake_provider.token_answer(play, issuer, client, alg))


@router.api_route(CHECK + "/userinfo", methods=["GET", "POST"])
async def userinfo(request: Request, application_id: str, services: Checks) -> Response:
    """Who signs in: nobody real."""
    playing = await note_call(services, application_id, "userinfo")
    if playing is None or request.headers.get("authorization", "") != f"Bearer check-{playing[0].code}":
        return json_error(401, "invalid_token", "This is not the token of the check that is running.", {})
    return _json(fake_provider.userinfo(playing[0]))


@router.get(CHECK + "/authorize")
async def authorize(request: Request) -> Response:
    """Where only the check itself comes: a person who is sent here learns why nothing happens."""
    return failure(request, "check_only", 400, here="/")


def _json(body: object) -> Response:
    return Response(orjson.dumps(body), headers={"Cache-Control": "no-store", **OPEN}, media_type="application/json")
