"""Documents at well-known addresses: status, type, caching and content."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support import ISSUER, City

from sso import clock
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE
from sso.clients.secrets import create_client
from sso.http.protocol.well_known import security_contacts
from sso.platform.actor import Actor
from sso.portal.lifecycle import suspend_client
from sso.settings import Settings, SettingsError

TEXT, JSON = "text/plain; charset=utf-8", "application/json"
FINGERPRINT = ":".join(["AB"] * 32)


async def test_each_document_is_public_and_cached_and_says_where_things_are(city: City) -> None:
    kinds = {
        "/.well-known/passkey-endpoints": JSON,
        "/.well-known/security.txt": TEXT,
        "/.well-known/assetlinks.json": JSON,
        "/robots.txt": TEXT,
    }
    async with city.client() as http:
        for path, kind in kinds.items():
            answer, head, posted = await http.get(path), await http.head(path), await http.post(path)
            assert (answer.status_code, answer.headers["content-type"]) == (200, kind), path
            assert answer.headers["cache-control"].startswith("public, max-age="), path
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert "set-cookie" not in answer.headers, path
            assert (head.status_code, posted.status_code) == (200, 405), path
        passkeys = (await http.get("/.well-known/passkey-endpoints")).json()
        password = await http.get("/.well-known/change-password")
        to_sign_in = await http.get(password.headers["location"])
        other = await http.get("/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200")
        security = lines_of((await http.get("/.well-known/security.txt")).text)
        robots = (await http.get("/robots.txt")).text.splitlines()
        page = await http.get("/accessibility")
    assert passkeys == {"enroll": f"{ISSUER}/account/security", "manage": f"{ISSUER}/account/security"}
    assert (password.status_code, password.headers["location"]) == (302, "/account/security")
    assert to_sign_in.headers["location"] == "/login?then=security"
    assert other.status_code == 404
    expires = datetime.fromisoformat(security.pop("Expires"))
    assert timedelta(days=30) < expires - clock.now() < timedelta(days=365)  # RFC 9116 section 2.5.5
    assert security == {
        "Contact": "mailto:helpdesk@tangerang.example",
        "Preferred-Languages": "id, en",
        "Canonical": f"{ISSUER}/.well-known/security.txt",
    }
    assert robots == ["User-agent: *", "Allow: /.well-known/", "Disallow: /"]  # RFC 9309 section 2.2
    assert '<meta name="robots" content="noindex">' in page.text
    assert "Pernyataan aksesibilitas" in page.text


def lines_of(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines())


@pytest.mark.parametrize(
    ("values", "contacts"),
    [
        ({"support_contact": "https://kota.example/bantuan"}, ["https://kota.example/bantuan"]),
        ({"security_contact": "aman@kota.example"}, ["mailto:aman@kota.example"]),
        ({"security_contact": "https://kota.example/aman"}, ["https://kota.example/aman"]),
        ({"support_contact": "Loket 3, Balai Kota"}, []),
    ],
)
def test_the_contact_for_vulnerabilities_is_a_uri(values: dict[str, str], contacts: list[str]) -> None:
    assert security_contacts(Settings(**values)) == contacts


async def register(city: City, client_id: str, **values: Any) -> None:
    document = {"type": "android", "client_name": client_id, "redirect_uris": [f"id.{client_id}:/masuk"], **values}
    async with city.provider.db.write() as session:
        metadata = ClientMetadata.model_validate(document)
        await create_client(session, city.provider.box, client_id, metadata, catalogue=HERE, actor=Actor("test"))
    await city.provider.refresh()


async def test_android_applications_of_the_city_are_linked_while_they_are_enabled(city: City) -> None:
    linked = {"android_package": "id.satu", "android_certificate_fingerprints": [FINGERPRINT], "first_party": True}
    await register(city, "satu", **linked)
    await register(city, "lain", first_party=True)
    async with city.client() as http:
        (statement,) = (await http.get("/.well-known/assetlinks.json")).json()
        assert statement["target"] == {
            "namespace": "android_app",
            "package_name": "id.satu",
            "sha256_cert_fingerprints": [FINGERPRINT],
        }
        assert "delegate_permission/common.handle_all_urls" in statement["relation"]
        async with city.provider.db.write() as session:
            await suspend_client(session, city.provider, "satu", actor=Actor("test"))
        await city.provider.refresh()
        assert (await http.get("/.well-known/assetlinks.json")).json() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"support_phone": "call me"}, {"support_phone": "021"[:1]}, {"support_whatsapp": "0812 3456 7890"},
        {"support_whatsapp": "+62 812 <b>"}, {"security_contact": "http://kota.example"}, {"security_contact": "kota"},
    ],
)  # fmt: skip
def test_contacts_of_another_form_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises((SettingsError, ValueError)):
        Settings(**wrong)
