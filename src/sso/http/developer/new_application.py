"""The page that creates an application: a name, a type and one redirect URI. Everything else has a default."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Registry
from sso.http.common.i18n import N_
from sso.http.console.access import Here, developer_page, token_for
from sso.http.developer.form import Typed
from sso.http.developer.form_advice import hosts_of_others
from sso.http.developer.form_context import chosen_kind
from sso.http.developer.form_texts import ADVICE, KIND_TEXTS, LABELS, OTHERWISE, PROBLEMS
from sso.portal.applications import Kind, RequestedSettings, sandbox_id, suggested_id
from sso.portal.redirect_uri_advice import advise, is_local

NO_KIND = N_("Choose the type of the application.")
NO_REDIRECT_URI = N_("Enter the redirect URI of your application.")
FIELDS = {"client_name": 100, "kind": 20, "redirect_uri": 2000, "client_id": 60}
"""The fields of the page, and how many characters each may have."""
REASON = "Menampilkan nama Anda di aplikasi."
"""The reason for the name of the user, in Indonesian as users read it. The team can change it."""
REASON_OF_USERNAME = "Mengenali akun Anda di aplikasi."
MAX_TRIES = 9


def read_new(fields: Mapping[str, str]) -> Typed:
    """Return the form as it was sent."""
    values = {name: fields.get(name, "")[:max_chars].strip() for name, max_chars in FIELDS.items()}
    return Typed(chosen_kind(values["kind"]) or "web", values)


def check_new(typed: Typed, registry: Registry) -> None:
    """Add everything that is missing or wrong, so that the page names all of it at once."""
    values = typed.values
    name, uri, kind = values["client_name"], values["redirect_uri"], chosen_kind(values["kind"])
    if not name or "<" in name or ">" in name:
        typed.mistakes["client_name"] = (PROBLEMS["client_name"], {})
    if kind is None:
        typed.mistakes["kind"] = (NO_KIND, {})
    if kind == "service":
        return
    if not uri:
        typed.mistakes["redirect_uri"] = (NO_REDIRECT_URI, {})
        return
    client_id = values["client_id"] or suggested_id(name)
    others = hosts_of_others(registry, (client_id, sandbox_id(client_id)))
    advised = advise(uri, "native" if kind == "native" else "web", True, others)
    if advised is not None:
        typed.advice["redirect_uri"] = [advised]


def settings_of_new(typed: Typed) -> RequestedSettings:
    """Return the settings of a new application: the redirect URI is for the sandbox, and also for production where it
    is not on the developer's own machine."""
    kind, uri = typed.kind, typed.values["redirect_uri"]
    document: dict[str, object] = {"client_name": typed.values["client_name"]}
    if kind == "service":
        return RequestedSettings(kind, document)
    if kind == "gate":
        gate = {"hosts": [_host_of(uri)], "headers": ["username", "name", "jwt"]}
        reasons = {"preferred_username": REASON_OF_USERNAME, "name": REASON}
        return RequestedSettings(kind, document | {"gate": gate, "claim_reasons": reasons})
    document |= {"scope": "openid profile", "claim_reasons": {"name": REASON}}
    if not is_local(uri):
        document["redirect_uris"] = [uri]
    return RequestedSettings(kind, document, {"redirect_uris": [uri], **_after_sign_out(kind, uri)})


def _host_of(uri: str) -> str:
    """Return the host of an address, with its port; what was entered where that is no address over https."""
    parts = urlsplit(uri)
    return parts.netloc.lower().removesuffix(":443") if parts.scheme == "https" and parts.netloc else uri


def _after_sign_out(kind: Kind, uri: str) -> dict[str, object]:
    """Return where the browser comes back to after signing out: the start page of the application."""
    try:
        parts = urlsplit(uri)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # the rules refuse the redirect URI
        return {}
    if kind == "native" or not parts.scheme or not parts.hostname:
        return {}
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return {"post_logout_redirect_uris": [f"{parts.scheme}://{host}{port}/"]}


def ids_for(typed: Typed) -> list[str]:
    """Return the client IDs to try: the one that was entered, or those made from the name."""
    entered = typed.values["client_id"]
    if entered:
        return [entered]
    suggestion = suggested_id(typed.values["client_name"])
    return [suggestion, *(f"{suggestion[:57]}-{number}" for number in range(2, MAX_TRIES + 1))]


def refuse_new(typed: Typed, problems: Mapping[str, str]) -> None:
    """Add what the rules say is wrong, at the fields that the page has."""
    for name, detail in problems.items():
        plain = name.removeprefix("sandbox.")
        if plain == "redirect_uris":
            typed.mistakes["redirect_uri"] = (OTHERWISE, {"detail": detail})
        elif plain == "gate.hosts":
            typed.mistakes["redirect_uri"] = (PROBLEMS[plain], {})
        else:
            typed.refuse({plain: detail})


async def new_page(request: Request, here: Here, typed: Typed | None = None, status: int = 200) -> Response:
    """Return the page that creates an application."""
    return await developer_page(
        request,
        here,
        "new",
        "developer_new.html",
        status,
        typed=typed or Typed("web", {**dict.fromkeys(FIELDS, ""), "kind": "web"}),
        kinds=KIND_TEXTS,
        labels={**LABELS, "kind": N_("Type"), "redirect_uri": N_("Redirect URI")},
        advice_texts=ADVICE,
        csrf_token=token_for(request, "settings new"),
    )
