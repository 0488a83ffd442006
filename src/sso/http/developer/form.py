"""The settings form of an application: what was typed, and what is wrong, by the name of each field."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import orjson

from sso.clients.metadata.gate import derived
from sso.http.developer.form_texts import ADVICE, NO_HOST_SHARED, OFFERED, OTHERWISE, PROBLEMS, PROBLEMS_OF_SERVICES
from sso.http.developer.gate_fields import LOGOUT_REQUESTS, gate_fields, gate_from, requested_claims
from sso.http.developer.requested_data import Offered, kept_data, requested_data, requested_data_fields
from sso.http.developer.role_fields import INTEREST, SWITCHES, role_fields, roles_from, row_mistakes
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json
from sso.portal.applications import KINDS, Kind, RequestedSettings, texts_in
from sso.portal.redirect_uri_advice import Advice

WITHOUT_SECRET: tuple[Kind, ...] = ("single_page", "native", "cas", "gate")
"""Kinds of applications that do not authenticate."""
SANDBOX_FIELDS = ("redirect_uris", "post_logout_redirect_uris", "initiate_login_uri", "backchannel_logout_uri")
LINES = ("redirect_uris", "post_logout_redirect_uris", "contacts")
SINGLE = (
    "client_name", "client_name#en", "description", "description#en", "group", "client_uri", "logo_uri", "policy_uri",
    "tos_uri", "initiate_login_uri", "backchannel_logout_uri", "jwks_uri", "token_endpoint_auth_method", "minimum_acr",
    "minimum_identity", "sector_identifier_uri", "kept_sector", "cas_username",
)  # fmt: skip


@dataclass(slots=True)
class Typed:
    """What was typed, as it was, and what is wrong with it, by the name of the field."""

    kind: Kind
    values: dict[str, str] = field(default_factory=dict)
    mistakes: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    advice: dict[str, list[Advice]] = field(default_factory=dict)
    offered: Offered = field(default_factory=lambda: OFFERED)
    saved: bool = False
    """What is wrong was saved all the same: it is needed later, and nothing was refused."""

    def refuse(self, problems: Mapping[str, str]) -> None:
        """Add what the rules say is wrong, in words for the page."""
        for field_name, detail in problems.items():
            name = "scope_reasons" if field_name == "claim_reasons" else field_name  # they are one part of the form
            if self.advice_of(name) or name in self.mistakes:
                continue
            if self.kind == "gate" and name == "scope":  # of the header with the employee number
                name = "gate.headers"
            plain = name.removeprefix("sandbox.")
            if name == "application_roles" and (rows := row_mistakes(self.values)):
                self.mistakes.update({row: (text, {}) for row, text in rows.items()})
            elif plain == "subject_type":
                self.mistakes["gate.hosts" if self.kind == "gate" else "redirect_uris"] = (NO_HOST_SHARED, {})
            elif name in PROBLEMS_OF_SERVICES or (plain in PROBLEMS and self.kind != "service"):
                self.mistakes[name] = (PROBLEMS[plain], {"detail": detail})
            else:
                self.mistakes[name if self.shows(name) else ""] = (OTHERWISE, {"detail": f"{plain}: {detail}"})

    def shows(self, name: str) -> bool:
        """Tell whether the form has a field with this name that can be seen, beside which a mistake can be said."""
        plain = name.removeprefix("sandbox.")
        of_addresses = plain in (
            *SANDBOX_FIELDS, "scope_reasons", "minimum_acr", "minimum_identity", "application_roles", INTEREST,
            *SWITCHES,
        )  # fmt: skip
        of_authentication = plain in ("token_endpoint_auth_method", "jwks_uri", "jwks")
        if (of_addresses and self.kind == "service") or (of_authentication and self.kind in WITHOUT_SECRET):
            return False
        if self.kind == "gate" and plain in SANDBOX_FIELDS:
            return False
        return name in self.values or name in ("scope_reasons", "application_roles")

    @property
    def problems(self) -> list[tuple[str, list[tuple[str, dict[str, str]]]]]:
        """What is wrong, in the order of the form: the name of the field, and each text with its values. A mistake of
        no field that the form shows comes first, with an empty name."""
        names = ["", *self.values, "scope_reasons", "application_roles"]
        shown_problems = []
        for name in names:
            texts = [self.mistakes[name]] if name in self.mistakes else []
            texts += [
                (ADVICE[advice.code], {"uri": advice.uri, "other": advice.detail, "detail": advice.detail})
                for advice in self.advice_of(name)
            ]
            if texts:
                shown_problems.append((name if name == "" or self.shows(name) else "", texts))
        return shown_problems

    @property
    def without_reason(self) -> str:
        """The first field of a reason that is missing; nothing where none is."""
        requested_claims = [
            field_name.removeprefix("ask ")
            for field_name in self.values
            if field_name.startswith("ask ") and self.values[field_name] == "1"
        ]
        return next(
            (f"reason-{name}" for name in requested_claims if not self.values[f"reason {name}"].strip()), "scopes"
        )

    def any_wrong(self, names: Collection[str]) -> bool:
        """Tell whether something is wrong with any of these fields."""
        return any(name in self.mistakes or self.advice_of(name) for name in names)

    def advice_of(self, name: str) -> list[Advice]:
        """Return what is refused of the addresses in a field."""
        return [advice for advice in self.advice.get(name, []) if advice.refused]

    @property
    def wrong(self) -> bool:
        """Whether anything is refused."""
        return bool(self.mistakes) or any(self.advice_of(name) for name in self.advice)


def typed_from(kind: Kind, requested: RequestedSettings, client_id: str = "", offered: Offered = OFFERED) -> Typed:
    """Return the form as it shows what is requested."""
    values = {"client_id": client_id}
    document = requested.document
    if kind == "gate" and "gate" in document:
        document = {**document, "scope": derived(document["gate"])["scope"]}
    for name in SINGLE:
        values[name] = str(document.get(name) or "")
    for name in LINES:
        values[name] = "\n".join(texts_in(document.get(name)))
    for name in SANDBOX_FIELDS:
        value = requested.sandbox.get(name) or ""
        values[f"sandbox.{name}"] = "\n".join(value) if isinstance(value, list) else str(value)
    values |= requested_data_fields(document, offered)
    values |= role_fields(document)
    values |= gate_fields(document)
    values["jwks"] = orjson.dumps(document["jwks"], option=orjson.OPT_INDENT_2).decode() if document.get("jwks") else ""
    return Typed(kind, values, offered=offered)


def read_typed(kind: Kind, fields: Mapping[str, str], offered: Offered = OFFERED) -> Typed:
    """Return the form as it was sent, cut to what fields may hold."""
    empty = typed_from(kind, RequestedSettings(kind), offered=offered)
    values = {name: fields.get(name, "")[:8000].replace("\r\n", "\n") for name in empty.values}
    return Typed(kind, values, offered=offered)


def requested_from(typed: Typed, before: RequestedSettings) -> RequestedSettings:
    """Return what is requested; what the form does not show stays as it was. What cannot be read is a mistake of it."""
    values, document = typed.values, dict(before.document)
    for name in SINGLE:
        document[name] = values[name].strip()
    for name in LINES:
        document[name] = _lines(values[name])
    if typed.kind == "gate":
        _read_gate(typed, document)
    if typed.kind == "service":
        requested = kept_data(before.document, OFFERED)
    else:
        requested = requested_data(values, before.document, typed.offered)
    document.update(requested)
    if typed.kind == "gate":
        document["scope"] = derived(document["gate"])["scope"]
        document["scope_reasons"] = _with_reason_of_employee(values, requested["scope_reasons"])
    if typed.kind == "cas":
        document[LOGOUT_REQUESTS] = None if values[LOGOUT_REQUESTS] == "1" else False
    if typed.kind != "service":
        document.update(roles_from(values))
    document["jwks"] = _json(typed, values["jwks"])
    method = values["token_endpoint_auth_method"].strip()
    if method == "private_key_jwt" or KINDS[typed.kind] != "web":
        document["token_endpoint_auth_method"] = _method(typed.kind, method)
    sandbox: dict[str, object] = dict(before.sandbox)
    for name in SANDBOX_FIELDS:
        text = values[f"sandbox.{name}"]
        sandbox[name] = _lines(text) if name in LINES else text.strip()
    return RequestedSettings(
        typed.kind,
        {name: value for name, value in document.items() if value not in ("", [], {}, None)},
        {name: value for name, value in sandbox.items() if value},
    )


def _read_gate(typed: Typed, document: dict[str, object]) -> None:
    """Read what is requested of the gate, and of which claims that takes."""
    read = gate_from(typed.values, document)
    document["gate"] = read.settings
    for name in read.wrong:
        typed.mistakes[name] = (PROBLEMS[name], {})
    requested = requested_claims(typed.values)
    for name in typed.values:
        if name.startswith("ask "):
            typed.values[name] = "1" if name.removeprefix("ask ") in requested else ""


def _with_reason_of_employee(values: Mapping[str, str], reasons: Mapping[str, str]) -> dict[str, str]:
    """Return the reasons with the one for the scope ``employee``, which the form offers to gates alone."""
    others, reason = {**reasons}, values["reason employee"].strip()
    others.pop("employee", None)
    return {**others, "employee": reason} if "employee" in requested_claims(values) and reason else others


def _method(kind: Kind, chosen: str) -> str:
    return "" if kind in WITHOUT_SECRET else chosen


def _json(typed: Typed, text: str) -> object:
    if not text.strip():
        return None
    try:
        return read_json(text)
    except (NotJson, DocumentRefused):
        typed.mistakes["jwks"] = (PROBLEMS["jwks"], {})
        return None


def _lines(text: str) -> list[str]:
    return list(dict.fromkeys(line.strip() for line in text.split("\n") if line.strip()))
