"""Attributes that the city requires: a registration needs them, and a sign-in asks for those that are missing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.citizens import NEW_PASSWORD, SENDING, Authenticator, form_at, here, options_of, post
from tests.oidc.test_attributes import KK, declare, give, stored
from tests.support import PASSWORD, City, Statements, query_of
from tests.web.test_sign_up import MAIL, later, person, proven

from sso.accounts.attribute_file import DeclarationRefused, read_declaration

REQUIRED = """
scopes:
  city_profile: {title: Data warga, title#en: City data}
attributes:
  family_card_number:
    type: text
    title: Nomor Kartu Keluarga
    title#en: Family card number
    pattern: "[0-9]{16}"
    read: [user]
    write: [user, import]
    required_at_registration: true
    scope: city_profile
  household_size:
    {type: integer, title: Jumlah anggota, title#en: Size, minimum: 1, read: [user], write: [user]}
  service_area:
    type: choice
    title: Kecamatan
    title#en: District
    choices: {cpd: {title: Cipondoh, title#en: Cipondoh}, kwc: {title: Karawaci, title#en: Karawaci}}
    read: [user]
    write: [user, import]
    required_at_registration: true
"""
CARD, AREA = "attribute family_card_number", "attribute service_area"
STEP = "/more-data"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {**SENDING, "risk_based_second_factor": "none"}


async def values_of(city: City, lookup: str = MAIL) -> dict[str, str]:
    user = await person(city, lookup)
    assert user is not None
    city.users["baru"] = user.id
    return await stored(city, "baru")


async def test_a_registration_asks_for_what_is_required(city: City) -> None:
    await declare(city, REQUIRED)
    form = {"name": "Bayu Baru", "password": NEW_PASSWORD}
    async with city.browser() as browser:
        page = await proven(city, browser)
        assert "Nomor Kartu Keluarga" in page.text
        assert "Jumlah anggota" not in page.text, "it is not required"
        refused = await post(browser, "/signup", {**form, CARD: "12 <3>", AREA: ""}, page)
        assert refused.status_code == 400
        assert "Masukkan teks" in refused.text
        assert "Isi kolom ini: Kecamatan." in refused.text
        assert 'value="12 &lt;3&gt;"' in refused.text, "nothing typed is lost"
        assert 'value="Bayu Baru"' in refused.text
        assert await person(city) is None
        english = await browser.open(str(refused.url.path) + f"?c={form_at(refused, '/signup')['c']}&lang=en")
        assert "Family card number" in english.text
        extra = {"attribute household_size": "3", "attribute __class__": "x"}
        done = await post(browser, "/signup", {**form, CARD: KK, AREA: "cpd", **extra}, refused)
        assert done.url.path == "/welcome"
    assert await values_of(city) == {"family_card_number": f'"{KK}"', "service_area": '"cpd"'}


async def test_a_passkey_is_no_way_around(city: City) -> None:
    await declare(city, REQUIRED)
    device = Authenticator()
    async with city.browser() as browser:
        page = await proven(city, browser)
        credential = device.create(options_of(page, "create"))
        refused = await post(browser, "/signup", {"name": "Bayu", "credential": credential}, page)
        assert refused.status_code == 400
        assert await person(city) is None
        credential = device.create(options_of(refused, "create"))
        form = {"name": "Bayu", "credential": credential, CARD: KK, AREA: "kwc"}
        await post(browser, "/signup", form, refused)
    assert (await values_of(city))["service_area"] == '"kwc"'


async def test_a_sign_in_asks_for_what_is_missing_and_goes_on(city: City) -> None:
    party = city.relying_party("warga")
    await declare(city, REQUIRED)
    await give(city, {"service_area": "cpd"}, "siti")
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        assert page.url.path == STEP
        assert "Nomor Kartu Keluarga" in page.text
        assert "Kecamatan" not in page.text, "it is known"
        refused = await post(browser, STEP, {CARD: "123 "}, page)
        assert refused.status_code == 400
        assert 'value="123 "' in refused.text
        answer = await post(browser, STEP, {CARD: KK, AREA: "kwc"}, refused)
        assert "code" in query_of(answer.headers["location"]), "the application is answered"
    assert (await stored(city, "siti")) == {"family_card_number": f'"{KK}"', "service_area": '"cpd"'}
    async with city.browser() as browser:
        assert (await browser.sign_in(party)).is_redirect, "nothing is missing any more"


async def test_who_has_an_account_may_answer_later(city: City) -> None:
    """Also where an application asks for a new sign-in, and on pages of our own."""
    party = city.relying_party("warga")
    await declare(city, REQUIRED)
    async with city.browser() as browser:
        page = await browser.sign_in(party, prompt="login")
        assert page.url.path == STEP
        assert "code" in query_of((await later(browser, page)).headers["location"])
        assert (await browser.open(party.url())).is_redirect, "a session goes on"
    async with city.browser() as browser:
        page = await here(city, browser)
        assert page.url.path == STEP
        assert (await later(browser, page)).url.path == "/"
        stale = await browser.http.post(STEP, data={CARD: KK})
        assert stale.status_code == 400
    async with city.browser() as browser:
        assert (await browser.open(STEP)).url.path == "/login", "nobody is signed in"
    assert await stored(city, "siti") == {}


async def test_without_a_requirement_a_sign_in_reads_nothing_more(city: City) -> None:
    await declare(city, REQUIRED.replace("required_at_registration: true", ""))
    async with city.browser() as browser:
        page = await browser.open("/login")
        statements = Statements(city)
        await browser.submit(page, username="siti", password=PASSWORD)
        assert not [each for each in statements.take() if "attribute" in each]
        assert (await browser.open(STEP)).url.path != STEP


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ("write: [import]", "the user must be able to read and to write it"),
        ("read: [administrators]", "the user must be able to read and to write it"),
        ("personal_data: specific\n    scope: specific_x", "never required"),
    ],
)
def test_what_cannot_be_required(changed: str, text: str) -> None:
    name = changed.partition(":")[0]
    document = REQUIRED.replace("    scope: city_profile\n", "", 1) if "scope" in changed else REQUIRED
    lines = [line for line in document.splitlines() if not line.startswith(f"    {name}: [")]
    document = "\n".join(lines).replace("    required_at", f"    {changed}\n    required_at", 1)
    with pytest.raises(DeclarationRefused, match=text):
        read_declaration(document, "kota.yaml")
