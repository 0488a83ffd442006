"""What every page shares: the header, the footer, the rows of forms with their errors, icons and initials."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup
from tests.arranged import sign_in
from tests.citizens import SENDING
from tests.pages import mistakes_of
from tests.support import Browser, City, Statements, form_of, main_of

from sso import __version__
from sso.http.account.access import OwnVisit
from sso.http.common.assets import STATIC_DIR
from sso.http.common.field_errors import FieldError, errors_in_order, field_error
from sso.http.common.icons import icon, icons
from sso.http.common.monogram import COLOURS, monogram
from sso.http.common.pages import environment
from sso.platform.db import DatabaseUnavailable
from sso.settings import contrast

HTTP = Path(__file__).parents[2] / "src/sso/http"


async def signed_in(city: City, browser: Browser, name: str) -> None:
    await sign_in(city, browser, name)


def menu_of(text: str) -> list[str]:
    menu = text.partition('<details class="menu">')[2].partition("</details>")[0]
    return re.findall(r'<a href="([^"]*)"', menu)


async def test_the_header_names_the_user_and_its_menu_leads_where_the_user_may_go(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/login")
        assert '<a class="brand" href="/">' in page.text
        assert menu_of(page.text) == []
        assert 'class="sign-in"' not in page.text
        assert 'class="sign-in" href="/login"' in (await browser.open("/privacy")).text
        await signed_in(city, browser, "siti")
        home = await browser.open("/account")
        assert "Siti Rahmawati" in home.text.partition('<details class="menu">')[2].partition("</summary>")[0]
        assert menu_of(home.text) == ["/account", "/apps", "/login?add=1"]
        assert 'class="sign-in" href="/account"' in (await browser.open("/privacy")).text
        assert f"Versi {__version__}" not in home.text
        token = re.search(r'id="sign-out" hidden>\s*<input type="hidden" name="csrf_token" value="([^"]+)"', home.text)
        assert token is not None
        out = await browser.http.post("/logout", data={"csrf_token": token[1]})
        assert "Anda sudah keluar" in out.text
    async with city.browser() as browser:
        await signed_in(city, browser, "ratna")
        for path in ("/account", "/developer", "/admin", "/apps", "/"):
            page = await browser.open(path)
            assert menu_of(page.text) == ["/account", "/apps", "/developer", "/admin", "/login?add=1"], path
            assert f"Versi {__version__}" in page.text, path
            assert "Versi" not in main_of(page).partition("<nav")[0], path


PAGE = {"Accept": "text/html"}


async def test_error_pages_have_the_menu_where_the_session_was_read(city: City) -> None:
    log = Statements(city)
    async with city.browser() as browser:
        for path in ("/nothing-here", "/admin/nothing-here"):
            log.take()
            page = await browser.http.get(path, headers=PAGE)
            assert page.status_code == 404
            assert menu_of(page.text) == []
            assert 'class="sign-in" href="/login"' in page.text
            assert log.take() == [], "a stranger's 404 reads nothing"
        await signed_in(city, browser, "siti")
        unknown = "/authorize?client_id=nobody&response_type=code"
        for path, status in (
            ("/nothing-here", 404), ("/admin", 403), ("/developer/applications/none", 404), (unknown, 400),
        ):  # fmt: skip
            page = await browser.http.get(path, headers=PAGE)
            assert page.status_code == status, path
            assert menu_of(page.text) == ["/account", "/apps", "/login?add=1"], path
            assert "Siti Rahmawati" in page.text
        stale = await browser.http.post("/account/profile", data={"name": "X"})
        assert stale.status_code == 400
        assert menu_of(stale.text) == ["/account", "/apps", "/login?add=1"]
        log.take()
        picture = await browser.http.get("/static/nothing.png", headers={"Accept": "image/avif,*/*"})
        assert (picture.status_code, log.take()) == (404, []), "nothing is read for what is no page"


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_a_page_that_breaks_has_the_menu_and_never_waits_for_it(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city.browser() as browser:
        await signed_in(city, browser, "siti")

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("a test breaks this page")

        with monkeypatch.context() as patched:
            patched.setattr(OwnVisit, "page", broken)
            page = await browser.http.get("/account/profile", headers=PAGE)
        assert page.status_code == 500
        assert menu_of(page.text) == ["/account", "/apps", "/login?add=1"]

        def away(*_: object) -> None:
            raise DatabaseUnavailable("no route to host")

        with monkeypatch.context() as patched:
            patched.setattr(type(city.provider.db), "read", away)
            page = await browser.http.get("/nothing-here", headers=PAGE)
        assert page.status_code == 404, "the page does not depend on the database"
        assert menu_of(page.text) == []


@pytest.mark.parametrize(
    "overrides", [{"support_phone": "(021) 555-0123", "support_whatsapp": "+62 812-3456-7890"}], ids=["all"]
)
async def test_the_footer_has_help_and_the_documents_on_every_page(city: City) -> None:
    async with city.browser() as browser:
        for path in ("/login", "/nothing-here", "/accessibility", "/signup"):
            footer = (await browser.open(path)).text.partition("<footer>")[2]
            links = re.findall(r'<a href="([^"]*)"', footer)
            assert links == [
                "/help", "mailto:helpdesk@tangerang.example", "tel:0215550123", "https://wa.me/6281234567890",
                "/privacy", "/terms", "/accessibility",
            ], path  # fmt: skip


def rendered(template: str, **values: Any) -> str:
    names = "error_summary, field_error, text_field, textarea_field, select_field, checkbox, radio_field, code_field"
    source = f'{{% from "form.html" import {names}, new_password, buttons, empty_state, id_of %}}{template}'
    return environment("en").from_string(source).render(**values)


def test_errors_stand_in_the_summary_and_at_each_field_and_the_first_has_the_focus() -> None:
    errors = [
        FieldError("name", "Enter %(what)s", {"what": "<b>a name</b>"}),
        FieldError("urls.0", "Enter an https address"),
        FieldError("agree", "Agree first"),
        FieldError("", "Sign in again"),
    ]
    form = rendered(
        "{{ error_summary(errors) }}"
        "{{ text_field('mail', 'Mail', errors, value='a@b', help='Yours', focus=true, attrs={'maxlength': 9}) }}"
        "{{ text_field('name', 'Name', errors, help='In full') }}{{ textarea_field('urls.0', 'URLs', errors) }}"
        "{{ checkbox('agree', 'I agree', errors) }}{{ select_field('kind', 'Kind', [('a', 'A')], errors, 'a') }}"
        "{{ radio_field('how', 'How', [('a', 'A', ''), ('b', 'B', 'more')], errors, 'b') }}",
        errors=errors,
    )
    assert mistakes_of(form) == []
    summary = form.partition("</div>")[0]
    assert re.findall(r'<a href="#([^"]+)"', summary) == ["name", "urls-0", "agree"]
    assert "There is a problem" in summary
    assert "Sign in again" in summary
    assert "<b>a name" not in form
    assert re.findall(r'id="([^"]+)"[^>]*aria-invalid="true"', form) == ["name", "urls-0", "agree"]
    assert re.findall(r'id="([^"]+)"[^>]*\sautofocus', form) == ["name"]
    assert 'aria-describedby="name-help name-error"' in form
    assert 'maxlength="9"' in form


def test_a_form_without_errors_has_the_focus_where_it_says() -> None:
    form = rendered("{{ error_summary([]) }}{{ text_field('a', 'A') }}{{ text_field('b', 'B', focus=true) }}")
    assert mistakes_of(form) == []
    assert "problem" not in form
    assert "error" not in form
    assert re.findall(r'id="([^"]+)"[^>]*\sautofocus', form) == ["b"]


def test_codes_and_new_passwords_show_their_errors_too() -> None:
    for name, macro in (
        ("code", "{{ code_field('Code', 'Six digits', errors=errors) }}"),
        ("password", "{{ new_password('password', 'Password', 15, false, errors=errors) }}"),
    ):
        form = rendered("{{ error_summary(errors) }}" + macro, errors=field_error(name, "Wrong"))
        assert mistakes_of(form) == []
        assert f'id="{name}-error"' in form
        assert len(re.findall("autofocus", form)) == 1


def test_buttons_and_empty_states_say_what_comes_next() -> None:
    row = rendered("{% call buttons('Delete', cancel='/account', danger=true) %}<button>More</button>{% endcall %}")
    assert re.findall(r"<(?:button|a)[^>]*>([^<]*)<", row) == ["Delete", "More", "Cancel"]
    empty = rendered("{{ empty_state('apps', 'No applications yet', 'Create one.', '/new', 'Create application') }}")
    assert '<a href="/new" role="button">Create application</a>' in empty


def test_errors_of_a_form_are_in_the_order_of_its_page() -> None:
    assert field_error("name", "") == []
    ordered = errors_in_order({"b": "B", "z": "Z", "a": "A"}, ("a", "b"))
    assert [error.field for error in ordered] == ["a", "b", "z"]


def test_every_icon_that_a_page_names_is_vendored() -> None:
    named = {
        name
        for path in HTTP.glob("**/*.html")
        for name in re.findall(r"""\bicon\(\s*["']([a-z0-9-]+)["']""", path.read_text())
    }
    assert named
    assert named - set(icons()) == set(), "python scripts/icons.py add PACKAGE NAME"
    assert "<script" not in "".join(icons().values())
    assert icon("mail", 18).startswith(
        '<svg class="icon" width="18" height="18" viewBox="0 0 24 24" aria-hidden="true"'
    )
    assert isinstance(icon("mail"), Markup)


@pytest.mark.parametrize(
    ("name", "initials"),
    [("Siti Rahmawati", "SR"), ("Suharto", "SU"), ("e-KTP", "EK"), ("", "?"), ("👍", "?"), ("Ánh (baru) Öl", "ÁÖ")],
)
def test_initials_are_of_the_first_and_the_last_word(name: str, initials: str) -> None:
    assert monogram(name).initials == initials
    assert monogram(name, "id") == (initials, monogram("another", "id").tint)


def test_initials_can_be_read_on_every_colour() -> None:
    colours = dict(re.findall(r"\.tint-(\d) \{\s*background: (#[0-9a-f]{6})", (STATIC_DIR / "city.css").read_text()))
    assert set(colours) == {str(number) for number in range(COLOURS)}
    assert all(contrast("#ffffff", colour) >= 4.5 for colour in colours.values())


@pytest.mark.parametrize("overrides", [SENDING], ids=["with SMS"])
async def test_the_script_for_codes_of_sms_is_loaded_with_codes_of_sms_alone(city: City) -> None:
    async with city.browser() as browser:
        for contact, loads in (("0812 9999 0001", True), ("baru@warga.example", False)):
            form = form_of(await browser.open("/signup"))
            data = {**form.fields, "contact": contact, "agree": "1"}
            page = await browser._follow(await browser.http.post("/signup", data=data))
            assert 'autocomplete="one-time-code"' in page.text, page.text[:600]
            script = re.search(r'<script src="([^"]*otp[^"]*)" defer>', page.text)
            assert (script is not None) == loads, contact
            assert "'unsafe-inline'" not in page.headers["content-security-policy"]
        assert "otp." not in (await browser.open("/login")).text
