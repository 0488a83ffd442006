"""A team registers an application that speaks CAS in the portal, and an administrator lets it into production."""

from __future__ import annotations

import pytest
from tests.cas.test_cas import arrive, ask, login, outcome
from tests.hostile.test_privileges import person, signed_in
from tests.support import City
from tests.web.test_developer import post

from sso.clients.metadata import ClientMetadata

SERVICE = "http://localhost:3000/masuk.php?app=parkir"


async def test_a_team_registers_an_application_with_cas(city: City) -> None:
    await person(city, "dimas", "developer")
    developer = await signed_in(city, "dimas")
    fields = {"client_name": "Parkir lama", "kind": "cas", "redirect_uri": SERVICE, "short": "1"}
    page = await post(developer, await developer.open("/developer/new"), "/developer/new", **fields)
    assert page.status_code == 200, page.text
    client = city.provider.registry.get("parkir-lama-sandbox")
    assert client is not None
    assert (client.meta.type, client.meta.redirect_uris) == ("cas", [SERVICE])
    path = "/developer/apps/parkir-lama"
    settings = await developer.open(f"{path}/settings")
    assert "cas_username" in settings.text
    assert 'name="ask offline_access"' not in settings.text
    form = {"ask preferred_username": "1", "reason preferred_username": "Nama pengguna lama.", "kind": "cas"}
    saved = await post(developer, settings, f"{path}/settings", cas_username="preferred_username", **form)
    assert saved.status_code == 200, saved.text
    client = city.provider.registry.get("parkir-lama-sandbox")
    assert client is not None
    assert client.meta.cas_username == "preferred_username", "it takes effect in the sandbox at once"
    for stack in ("phpcas", "apache_cas"):
        page = await developer.open(f"{path}/quick-start?stack={stack}")
        assert "{{" not in page.text
        assert "OIDC_CLIENT_SECRET" not in page.text
    for tab in ("try", "check", "secrets", "diagnosis", "requests", ""):
        assert (await developer.open(f"{path}/{tab}".rstrip("/"))).status_code == 200, tab
    page = await developer.open(login(SERVICE))
    answer = await developer.submit(page, choice="allow")
    ticket = answer.headers["location"].rpartition("ticket=")[2]
    assert outcome(await ask(city, ticket, SERVICE)) == "dimas"
    assert (await developer.http.get(f"{path}/first-sign-in")).json()["at"], "the portal sees the first sign-in"
    async with city.browser() as stranger:
        page = await arrive(stranger, login(SERVICE))
        assert "sandbox" in page.text, "only the team may try it"
        assert "location" not in page.headers
    await developer.http.aclose()


@pytest.mark.parametrize(
    ("fields", "mistake"),
    [
        ({"grant_types": ["authorization_code"], "response_types": ["code"]}, "grant_types"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "token_endpoint_auth_method"),
        ({"redirect_uris": []}, "redirect_uris"),
        ({"redirect_uris": ["https://a.example/?ticket=x"]}, "redirect_uris"),
        ({"redirect_uris": ["https://a.example/#x"]}, "redirect_uris"),
        ({"scope": "openid offline_access"}, "scope"),
        ({"scope": "openid", "cas_username": "email"}, "cas_username"),
        ({"scope": "openid sso:users:read", "first_party": True}, "scope"),
        ({"type": "web", "cas_username": "email"}, "cas_username"),
        ({"type": "web", "cas_logout_requests": False}, "cas_logout_requests"),
    ],
)
def test_what_contradicts_the_type(fields: dict[str, object], mistake: str) -> None:
    document = {"type": "cas", "client_name": "Lama", "redirect_uris": ["https://a.example/"], **fields}
    with pytest.raises(ValueError, match=mistake):
        ClientMetadata.model_validate(document)
