"""Parameters of the protocol endpoints: known, unknown, repeated, and known but not supported."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.routing import Route
from tests.demands import demand
from tests.support import ISSUER, City, RelyingParty, query_of

from sso.http.protocol import endpoints as protocol
from sso.oidc.parameters import KNOWN

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
UNKNOWN = [("x_unknown", "a"), ("x_unknown", "b"), ("utm_source", "c"), ("utm_source", "c")]
UNSUPPORTED = [
    ({"resource": "https://elsewhere.example/api"}, "invalid_target"),
    ({"authorization_details": '[{"type":"payment"}]'}, "invalid_authorization_details"),
]


async def sent(party: RelyingParty, path: str, *pairs: tuple[str, str]) -> Any:
    """Send parameters, which may be repeated, with the client's authentication."""
    secret = party.city.secrets[party.client_id]
    async with party.city.client() as http:
        return await http.post(path, content=urlencode(pairs), headers=FORM, auth=(party.client_id, secret))


def a_request(party: RelyingParty, path: str, token: str) -> list[tuple[str, str]]:
    """Return the parameters of a request at an endpoint that is answered without an error."""
    by_path: dict[str, dict[str, str]] = {
        "/par": party.parameters(),
        "/token": {"grant_type": "refresh_token", "refresh_token": token},
        "/device_authorization": {"scope": "openid"},
        "/introspect": {"token": token},
        "/revoke": {"token": "unknown"},
    }
    return list(by_path[path].items())


def test_every_endpoint_has_a_list_of_its_parameters() -> None:
    """A new endpoint that takes a form cannot forget it."""
    forms = {
        route.path for route in protocol.router.routes if isinstance(route, Route) and "POST" in (route.methods or ())
    }
    assert set(KNOWN) == (forms | {"/authorize"}) - {"/userinfo"}


@demand("RFC 6749 3.2", "unknown parameters are ignored at every endpoint, repeated or not; known ones stand once")
@demand("RFC 6749 3.1", "unknown parameters are ignored, repeated or not")
async def test_unknown_parameters_are_ignored_and_known_ones_stand_once(city: City) -> None:
    party, device = city.relying_party("warga"), city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid offline_access")
        for path in KNOWN:
            if path == "/authorize":
                answer = await browser.open(f"{party.url()}&{urlencode(UNKNOWN)}")
                assert "code" in query_of(answer.headers["location"])
                continue
            parameters = a_request(device, path, tokens["refresh_token"])
            answer = await sent(party, path, *parameters, *UNKNOWN)
            device_refused = path == "/device_authorization"  # warga has no device grant: the parameters were read
            assert answer.status_code in (200, 201) or (device_refused and "device code" in answer.text), answer.text
            repeated = await sent(party, path, *parameters, parameters[0])
            assert (repeated.status_code, repeated.json()["error"]) == (400, "invalid_request"), path
            assert parameters[0][0] in repeated.json()["error_description"]


@demand(
    "RFC 8707 2", "a resource that is not the audience of the client's tokens is invalid_target, another is honoured"
)
@demand("RFC 9396 5", "authorization details of an unsupported type are invalid_authorization_details")
async def test_what_is_not_supported_has_an_error_of_its_own(city: City) -> None:
    party, api = city.relying_party("warga"), city.relying_party("api")
    async with city.browser() as browser:
        await browser.tokens(party)
        more = [({"dpop_jkt": "x" * 43}, "invalid_request"), ({"registration": "{}"}, "registration_not_supported")]
        for changes, error in [*UNSUPPORTED, *more]:
            answer = await browser.open(party.url(**changes))
            assert query_of(answer.headers["location"])["error"] == error
            assert query_of(answer.headers["location"])["state"] == party.state
            pushed = await sent(party, "/par", *party.parameters(**changes).items())
            assert (pushed.status_code, pushed.json()["error"]) == (400, error)
        for client, resource in ((party, ISSUER), (party, ISSUER + "/"), (api, "https://api.example/surat")):
            answer = await browser.open(f"{client.url(scope='openid')}&{urlencode({'resource': resource})}")
            code = query_of(answer.headers["location"])["code"]
            form = {"grant_type": "authorization_code", "code": code, "redirect_uri": client.redirect_uri}
            form["code_verifier"] = client.verifier
            for changes, error in UNSUPPORTED:
                refused = await sent(client, "/token", *form.items(), *changes.items())
                assert (refused.status_code, refused.json()["error"]) == (400, error), "and the code is not used up"
            token_response = await sent(client, "/token", *form.items(), ("resource", resource), ("resource", resource))
            assert token_response.status_code == 200, token_response.text
    machine = city.relying_party("mesin")
    audience = await sent(machine, "/token", ("grant_type", "client_credentials"), ("audience", "https://x.example"))
    assert audience.json()["error"] == "invalid_target"
    refused = await sent(party, "/device_authorization", ("scope", "openid"), *UNSUPPORTED[0][0].items())
    assert refused.json()["error"] == "invalid_target"


@demand(
    "RFC 6750 2.1", "with the token in the header the body of a userinfo request is not read, whichever type it has"
)
async def test_userinfo_with_a_header_reads_no_body(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser, city.client() as http:
        token = (await browser.tokens(party))["access_token"]
        for kind, body in (
            ("application/json", b"{}"),
            ("application/json", b'{"access_token": "\\u0000"}'),
            ("text/plain", b"x"),
            ("application/x-www-form-urlencoded", b"%ff=%00&schema=openid&schema=openid"),
            ("multipart/form-data; boundary=x", b"--x"),
            ("application/octet-stream", b"\xff\xfe"),
            ("", b""),
        ):
            headers = {"Authorization": f"Bearer {token}", **({"Content-Type": kind} if kind else {})}
            answer = await http.post("/userinfo", content=body, headers=headers)
            assert (answer.status_code, answer.json().get("name")) == (200, "Siti Rahmawati"), kind
        encoded = {"Authorization": f"Bearer {token}", "Content-Encoding": "gzip"}
        assert (await http.post("/userinfo", content=b"\x1f\x8b", headers=encoded)).status_code == 200
        wrong = await http.post("/userinfo", json={"access_token": token})
        assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_request"), "the token must be in a form"


@pytest.mark.parametrize("overrides", [{"client_registration": "open"}])
async def test_pages_of_applications_may_call_what_public_clients_use_and_nothing_else(city: City) -> None:
    """Every announced endpoint that takes ``none`` answers a browser, errors and preflight too; the others do not."""
    async with city.client() as http:
        document = (await http.get("/.well-known/openid-configuration")).json()
        names = ("token", "userinfo", "revocation", "pushed_authorization_request", "device_authorization")
        public = {document[f"{name}_endpoint"].removeprefix(ISSUER) for name in names}
        public |= {"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"}
        for path in public:
            asking = {"Origin": "https://peta.example", "Access-Control-Request-Method": "POST"}
            before = await http.options(path, headers={**asking, "Access-Control-Request-Headers": "authorization"})
            assert (before.status_code, before.headers["access-control-allow-origin"]) == (204, "*"), path
            assert "authorization" in before.headers["access-control-allow-headers"].lower()
            for answer in (
                await http.post(path, content=b"%ff", headers={**FORM, "Origin": "https://peta.example"}),
                await http.get(path, headers={"Origin": "https://peta.example"}),
                await http.delete(path),
            ):
                assert answer.headers["access-control-allow-origin"] == "*", (path, answer.status_code)
        for path in ("/introspect", "/register", "/authorize", "/logout", "/login", "/api/v1/users"):
            for answer in (await http.options(path), await http.post(path), await http.get(path)):
                assert "access-control-allow-origin" not in answer.headers, path
        peta = {"client_id": "peta", "token": "x"}
        revoked = await http.post("/revoke", data=peta, headers={"Origin": "https://peta.example"})
        assert (revoked.status_code, revoked.headers["access-control-allow-origin"]) == (200, "*")
