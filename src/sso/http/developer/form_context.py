"""What the template of the settings form needs: the choices, in the language of the page."""

from __future__ import annotations

from collections.abc import Collection

from starlette.requests import Request

from sso.clients.registry import Registry
from sso.http.common.i18n import translations
from sso.http.common.pages import locale_of
from sso.http.developer.form import Typed
from sso.http.developer.form_texts import (
    ADVICE,
    IDENTITIES,
    KIND_TEXTS,
    LABELS,
    LEVELS,
    METHODS,
    USERNAMES,
    data_offered,
    groups_offered,
)
from sso.http.developer.gate_fields import BASIC_TEXTS, HEADER_TEXTS, REASON_OF, header_field, reason_field
from sso.http.developer.role_fields import visible_rows
from sso.portal.applications import Kind


def form_context(
    request: Request, registry: Registry, typed: Typed, groups: Collection[str] | None = None
) -> dict[str, object]:
    """Return what the form of an application needs: what was typed, and what can be chosen, in the language of the
    page: of ``groups``, where they are given, these alone. A way to authenticate that is not among them, such as of an
    older registration, stays one."""
    if groups is None:
        groups = groups_offered(_groups_in_use(registry))
    words = translations(locale_of(request))
    method = typed.values["token_endpoint_auth_method"]
    known = METHODS if method in ("", *METHODS) else {**METHODS, method: method}
    texts = {
        "methods": known, "levels": LEVELS, "identities": IDENTITIES, "usernames": USERNAMES, "basics": BASIC_TEXTS,
    }  # fmt: skip
    options = {
        name: [(value, words.gettext(text)) for value, text in choices.items()] for name, choices in texts.items()
    }
    return {
        "role_rows": visible_rows(typed.values),
        "gate_headers": [
            (header_field(name), text, reason_field(name), REASON_OF.get(name, ""))
            for name, text in HEADER_TEXTS.items()
        ],
        "asks": data_offered(typed.offered, registry.city, locale_of(request)),
        "typed": typed, "kinds": KIND_TEXTS, "labels": LABELS, "advice_texts": ADVICE,
        "groups": [(group, group) for group in groups], "opened": request.query_params.get("open", ""), **options,
    }  # fmt: skip


def _groups_in_use(registry: Registry) -> set[str]:
    """Return the groups of the applications that people see."""
    return {client.meta.group for client in registry.listed() if client.meta.group}


def chosen_kind(text: str) -> Kind | None:
    """Return the kind that a form or an address names; None: it is none."""
    return next((kind for kind in KIND_TEXTS if kind == text), None)
