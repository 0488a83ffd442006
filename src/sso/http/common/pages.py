"""Making pages: language, headers, and what every page shows; and the page, or the JSON, that says what went wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypedDict
from urllib.parse import parse_qsl, urlencode, urlsplit

from babel.numbers import format_decimal
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.languages import territory_name
from sso.clients.registry import Client
from sso.http.common.cookies import own_cookies, set_cookie, with_browser
from sso.http.common.csrf import csrf_token
from sso.http.common.dates import last_day_text, moment_text
from sso.http.common.failures import FAILURES as FAILURES
from sso.http.common.failures import OF_AN_APPLICATION, Failure
from sso.http.common.field_errors import FieldError
from sso.http.common.forms import query_by_gate
from sso.http.common.header import HeaderUser, remembered_user
from sso.http.common.i18n import LANGUAGE_NAMES, LOCALES, choose_locale, translations
from sso.http.common.icons import icon
from sso.http.common.monogram import monogram
from sso.http.common.responses import answer_form, json_error, problem_response
from sso.http.common.state import Site, request_id_of, site_of
from sso.http.common.tables import with_labels
from sso.http.common.template_code import TemplateCode
from sso.http.common.way_back import application_of_page, way_back
from sso.oidc.authorize.response import AuthorizationResponse
from sso.oidc.session_state import origin_of
from sso.settings import Settings, is_loopback_host

log = logging.getLogger("sso.pages")

NO_FIELDS: Mapping[str, str] = MappingProxyType({})
AREAS = ("common", "gate", "sign_in", "account", "console", "developer", "admin")
"""The packages of ``http`` that have pages: each keeps its templates beside its routes."""
RARE = ("admin_", "developer")
"""How the names of templates begin that are shown to a few people."""
LANG_COOKIE_SECONDS = 365 * 86400
CODES_PURPOSE = "recovery-codes"
"""What the form is for that downloads recovery codes, as its CSRF token says."""


class TemplateOptions(TypedDict):
    """The options on which the compiled code of templates depends."""

    trim_blocks: bool
    lstrip_blocks: bool
    extensions: list[str]


_TEMPLATE_OPTIONS: TemplateOptions = {
    "trim_blocks": True,
    "lstrip_blocks": True,
    "extensions": ["jinja2.ext.i18n"],
}
_TEMPLATE_CODE = TemplateCode({"autoescape": True, **_TEMPLATE_OPTIONS})
PLAIN_TEMPLATE_CODE = TemplateCode({"autoescape": False, **_TEMPLATE_OPTIONS})
"""For an overlay of an environment that renders plain text: its compiled code escapes nothing."""


@cache
def environment(locale: str) -> Environment:
    """Return what renders templates in a language."""
    created = Environment(
        # By their directories: a loader of packages would import the pages of every area.
        loader=FileSystemLoader([Path(__file__).parents[1] / area / "templates" for area in AREAS]),
        undefined=StrictUndefined,
        autoescape=True,
        auto_reload=False,
        bytecode_cache=_TEMPLATE_CODE,
        **_TEMPLATE_OPTIONS,
    )
    created.install_gettext_translations(translations(locale), newstyle=True)  # type: ignore[attr-defined]
    created.globals.update(icon=icon, monogram=monogram)
    return created


def prepare() -> None:
    """Read catalogues and the templates of citizens' pages, so that the first person does not wait for it. Those of
    the console and of developers are read when they are first shown, a few milliseconds each: they take 2 MB."""
    for locale in LOCALES:
        for name in environment(locale).list_templates(filter_func=lambda name: not name.startswith(RARE)):
            environment(locale).get_template(name)


def chosen_language(request: Request, fields: Mapping[str, str] = NO_FIELDS) -> str:
    """Return the language that was chosen on this very page, in its URL or its form; empty where none was."""
    read = query_by_gate(request)
    query: Mapping[str, str] = dict(read) if read is not None else request.query_params
    chosen = query.get("lang", "") or fields.get("lang", "")
    return chosen if chosen in LOCALES else ""


def locale_of(request: Request, ui_locales: str = "", fields: Mapping[str, str] = NO_FIELDS) -> str:
    """Return the language in which ``request`` is answered.

    Args:
        request: what is answered.
        ui_locales: the languages that the application asks for.
        fields: of the form that was sent.
    """
    return choose_locale(
        chosen_language(request, fields),
        ui_locales,
        own_cookies(request).language,
        request.headers.get("accept-language", ""),
        site_of(request).settings.default_locale,
    )


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    ui_locales: str = "",
    here: str = "",
    form_target: str = "",
    frames: Sequence[str] = (),
    display: str = "page",
    fields: Mapping[str, str] = NO_FIELDS,
    header: HeaderUser | None = None,
    errors: Sequence[FieldError] = (),
    **context: Any,
) -> Response:
    """Return a page. Where it has a form, the cookie that identifies the browser is set with it.

    Args:
        request: what is answered.
        template: the name of the template.
        status: the HTTP status.
        ui_locales: the languages that the application asks for.
        here: the address under which this page can be had again, in another language too.
        form_target: an address to which a form of the page may lead in the end.
        frames: addresses that the page frames: applications that are signed out through the browser.
        display: ``page``, ``popup`` or ``touch`` (OpenID Connect Core section 3.1.2.1).
        fields: of the form that was sent; they hold the language that was chosen on its page.
        header: the user who is signed in, where the page has read the session (``header_user``).
        errors: of the form that was sent, in the order of the page.
        context: what the template shows.
    """
    site, locale = site_of(request), locale_of(request, ui_locales, fields)
    settings = site.settings
    compiled = environment(locale).get_template(template)
    html = compiled.render(
        languages=[(code, LANGUAGE_NAMES[code], _in_language(request, here, code)) for code in LOCALES],
        chosen=chosen_language(request, fields),
        frames=frames,
        display=display,
        header=header,
        errors=errors or _one_error(context),
        **_on_every_page(request, site, locale),
        **context,
    )
    response = Response(with_labels(html), status, page_headers(settings, form_target, frames), "text/html")
    if chosen_language(request, fields):
        set_cookie(response, settings, "lang", locale, LANG_COOKIE_SECONDS)
    return with_browser(request, response) if header is not None or context.get("csrf_token") else response


def _one_error(context: Mapping[str, Any]) -> Sequence[FieldError]:
    """Return the error of a page that names one (``problem``, ``field``, ``values``); none where it names none."""
    problem = context.get("problem")
    return [FieldError(context.get("field", ""), problem, context.get("values", {}))] if problem else []


def _on_every_page(request: Request, site: Site, locale: str) -> dict[str, object]:
    """Return what every template may use."""
    settings, assets = site.settings, site.assets
    return {
        "locale": locale,
        "city": settings.city_name,
        "service": settings.service_name,
        "support": settings.support_contact,
        "help_address": help_address(settings),
        "support_phone": settings.support_phone,
        "support_whatsapp": settings.support_whatsapp,
        "has_session": bool(own_cookies(request).session_token),
        "sign_in_notice": (locale == "en" and settings.sign_in_notice_english) or settings.sign_in_notice,
        "number": partial(format_decimal, locale=locale),
        "territory": partial(territory_name, locale),
        "strength_token": partial(strength_token, request),
        "codes_token": partial(csrf_token, request, CODES_PURPOSE),
        "moment": partial(moment_text, locale=locale, zone=settings.time_zone),
        "last_day_of": partial(last_day_text, locale=locale, zone=settings.time_zone),
        "asset": assets.paths,
        "icon_type": assets.icon_type,
    }


def help_address(settings: Settings) -> str:
    """Return where the help for citizens is within the provider; empty where the city has none or its own."""
    own = settings.support_contact.startswith("https://")
    return "/help" if settings.help_pages in ("all", "citizen") and not own else ""


def strength_token(request: Request) -> str:
    """Return the token with which a page asks how strong a password is."""
    return csrf_token(request, "strength")


def page_headers(settings: Settings, form_target: str = "", frames: Sequence[str] = ()) -> dict[str, str]:
    """Return the headers of a page: nobody may frame it, store it or learn where it was.

    Pages are small and never compressed: they hold form tokens beside what a stranger may have written into the
    request, and compression would tell by its size when the two agree (BREACH).
    """
    framed = " ".join(sorted({origin_of(address) for address in frames}))
    return {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; "
        f"form-action {_form_action(settings, form_target)}; base-uri 'none'; frame-ancestors 'none'"
        + (f"; frame-src {framed}" if framed else ""),
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cache-Control": "no-store",
        "Vary": "Cookie, Accept-Language",
    }


def failure(
    request: Request,
    code: str,
    status: int,
    detail: str = "",
    here: str = "",
    values: Mapping[str, int] | None = None,
    *,
    client: Client | None = None,
    signing_in: bool = True,
    fields: Mapping[str, str] = NO_FIELDS,
    header: HeaderUser | None = None,
    **context: Any,
) -> Response:
    """Return the page, or where programs ask the JSON, that says what went wrong.

    Args:
        request: what is answered.
        code: one of ``FAILURES``.
        status: the HTTP status.
        detail: what developers need.
        here: the address under which the page can be had again.
        values: of the placeholders in the text.
        client: the application of the page; the token of a stale page names it.
        signing_in: whether somebody was signing in, not out.
        fields: of the form that was sent; the token in them names the application of a page that is stale.
        header: the user who is signed in; None: the user whose session the request has read, if any.
        context: what the template shows besides.
    """
    if (for_program := _failure_for_program(request, code, status, detail)) is not None:
        return for_program
    failed = FAILURES[code]
    client = client or (application_of_page(request, fields) if code in OF_AN_APPLICATION else None)
    _log_failure(request, code, detail)
    response = page(
        request,
        "error.html",
        status=status,
        here=here,
        **_failure_context(request, failed, values or {}, detail),
        client=client,
        back=way_back(client, signing_in=signing_in),
        fields=fields,
        header=header or remembered_user(request),
        **context,
    )
    response.headers.update(_retry_after(failed))
    return response


class FailureContext(TypedDict):
    """What the page of a failure shows of it."""

    title: str
    text: str
    values: Mapping[str, int]
    detail: str
    reference: str


def _failure_context(request: Request, failed: Failure, values: Mapping[str, int], detail: str) -> FailureContext:
    return {
        "title": failed.title,
        "text": failed.text,
        "values": values,
        "detail": detail,
        "reference": request_id_of(request),
    }


def _log_failure(request: Request, code: str, detail: str) -> None:
    printable = "".join(char if char.isprintable() else "?" for char in detail)
    log.info("%s: page %s: %s", request_id_of(request), code, printable)


def _retry_after(failed: Failure) -> dict[str, str]:
    return {"Retry-After": str(failed.retry_after)} if failed.retry_after else {}


def _failure_for_program(request: Request, code: str, status: int, detail: str) -> Response | None:
    """Return the JSON that says what went wrong, where programs ask; None: people do."""
    failed, form = FAILURES[code], answer_form(request.url.path)
    headers = _retry_after(failed)
    if form == "problem":
        return problem_response(request, status, code, detail or request.url.path, headers=headers)
    if form == "json":
        registers = code == "bad_text" and request.url.path.startswith("/register") and request.method != "GET"
        error = "invalid_client_metadata" if registers else failed.error  # RFC 7591 section 3.2.2
        return json_error(status, error, detail or failed.title + ".", headers)
    return None


def to_application(request: Request, answer: AuthorizationResponse, fields: Mapping[str, str] = NO_FIELDS) -> Response:
    """Return what carries the browser, with an answer, back to the application (RFC 6749 section 4.1.2): 303, so that a
    form that was posted is not posted there too (RFC 9700 section 4.12).

    Args:
        request: what is answered.
        answer: the answer to the application.
        fields: of the form that was sent; they hold the language of the page where the answer is a form.
    """
    if answer.refusal:
        return failure(request, "not_let_in", 403, answer.refusal, fields=fields)
    if answer.mode == "form_post":
        target = answer.redirect_uri
        parameters = answer.parameters
        return page(
            request, "onward_form.html", form_target=target, fields=fields, action=target, parameters=parameters
        )
    return Response(status_code=303, headers={"Location": answer.location, "Cache-Control": "no-store"})


def _in_language(request: Request, here: str, locale: str) -> str:
    if not here:
        query = request.url.query if request.method == "GET" else ""
        # One slash only: a path such as //elsewhere would be another host's address in a link.
        here = "/" + request.url.path.lstrip("/\\") + (f"?{query}" if query else "")
    parts = urlsplit(here)
    parameters = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "lang"]
    return f"{parts.path}?{urlencode([*parameters, ('lang', locale)])}"


def _form_action(settings: Settings, target: str) -> str:
    """Return where forms of a page may lead.

    Browsers hold the redirects after a form to this list too, those that the application makes itself included, and
    nobody knows them all: so any https address may follow where the registered one is https.
    """
    parts = urlsplit(target)
    if not parts.scheme:
        return "'self'"
    if parts.scheme != "http":
        return f"'self' {parts.scheme}:"
    host = parts.hostname or ""
    if settings.loopback and is_loopback_host(host):
        return "'self' http://localhost:* http://127.0.0.1:* https:"
    return f"'self' http://{f'[{host}]' if ':' in host else host}:*"
