"""The fields of the settings form about the gate, and the one field of CAS that is no text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sso.clients.claims import SCOPE_OF
from sso.clients.metadata.gate import BASIC_NAMES, HEADERS, HeaderName
from sso.gate.headers import CLAIMS
from sso.http.common.i18n import N_
from sso.portal.applications import named_texts_in, texts_in

HOSTS, PUBLIC, ROLES = "gate.hosts", "gate.public_paths", "gate.role_paths"
TIMES = ("gate.session_seconds", "gate.idle_seconds")
SIGN_OUT, BASIC, ACCOUNT = "gate.sign_out_path", "gate.basic", "gate.account"
FIELDS = (HOSTS, PUBLIC, ROLES, SIGN_OUT, *TIMES, BASIC, ACCOUNT)
LOGOUT_REQUESTS = "cas_logout_requests"
HEADER_TEXTS: dict[HeaderName, str] = {
    "username": N_("Username"),
    "name": N_("Name"),
    "email": N_("E-mail address, if it is verified"),
    "phone": N_("Phone number, if it is verified"),
    "nip": N_("Employee number (NIP)"),
    "local_user_id": N_("User ID in the application, from an import"),
    "roles": N_("Roles of the user in this application"),
    "groups": N_("Units and groups of the user, of those that the application asks about"),
    "sub": N_("Identifier that never changes (sub)"),
    "acr": N_("Level of the sign-in"),
    "jwt": N_("The same values, signed (JWT)"),
}
BASIC_TEXTS = {
    "": N_("No Basic credentials"),
    "username": N_("Username"),
    "local_user_id": N_("User ID in the application, from an import"),
    "nip": N_("Employee number (NIP)"),
    "email": N_("E-mail address, if it is verified"),
    "sub": N_("Identifier that never changes (sub)"),
    "account": N_("One technical account for everybody"),
}
LABELS = {
    HOSTS: N_("Hosts"),
    PUBLIC: N_("Public paths"),
    ROLES: N_("Paths that need a role"),
    SIGN_OUT: N_("Sign-out path"),
    TIMES[0]: N_("Seconds until the next sign-in"),
    TIMES[1]: N_("Seconds without a request"),
    BASIC: N_("Username of the Basic credentials"),
    ACCOUNT: N_("Technical account"),
    "gate.headers": N_("Headers"),
}
PROBLEMS = {
    HOSTS: N_(
        "Enter at least one host name in small letters, such as arsip.kota.example, one on each line, without https:// "
        "and without a path."
    ),
    PUBLIC: N_("Enter plain paths that begin with /, such as /assets, one on each line."),
    ROLES: N_(
        "Enter a path and its roles on each line, such as /admin app:operator, officer. Define the roles of the "
        "application first."
    ),
    SIGN_OUT: N_("Enter a plain path that begins with /, such as /logout.php."),
    TIMES[0]: N_("Enter a whole number of seconds from 60 to 2592000."),
    TIMES[1]: N_("Enter a whole number of seconds from 60 to 2592000, or leave the field empty."),
    BASIC: N_("Choose what the username is."),
    ACCOUNT: N_("Enter the name of the technical account, without a colon."),
    "gate.headers": N_(
        "The employee number is only for applications of the city. An administrator decides which these are."
    ),
}
REASON_OF: dict[HeaderName, str] = {
    name: "employee" if name == "nip" else claim for name, claim in CLAIMS.items() if claim in SCOPE_OF
}
"""For each header that needs a scope: the claim that the team gives a reason for, or the scope of a privilege."""


@dataclass(frozen=True, slots=True)
class GateRead:
    """What the fields of the gate request. ``wrong``: the fields that cannot be read."""

    settings: dict[str, object]
    wrong: list[str]


def header_field(name: str) -> str:
    return f"gate.header {name}"


def reason_field(name: HeaderName) -> str:
    """Return the name of the field with the reason for a header; empty: it needs none."""
    return f"reason {REASON_OF[name]}" if name in REASON_OF else ""


def gate_fields(document: Mapping[str, object]) -> dict[str, str]:
    """Return the fields of the form as they show what is requested."""
    registered = document.get("gate")
    gate: Mapping[str, object] = registered if isinstance(registered, dict) else {}
    paths, basic = gate.get("role_paths"), gate.get("basic")
    headers = texts_in(gate.get("headers")) if "headers" in gate else ["username", "name", "email", "jwt"]
    pair: Mapping[str, object] = basic if isinstance(basic, dict) else {}
    values = {
        HOSTS: "\n".join(texts_in(gate.get("hosts"))),
        PUBLIC: "\n".join(texts_in(gate.get("public_paths"))),
        ROLES: "\n".join(
            f"{path} {', '.join(texts_in(roles))}" for path, roles in (paths if isinstance(paths, dict) else {}).items()
        ),
        SIGN_OUT: str(gate.get("sign_out_path") or ""),
        TIMES[0]: str(gate.get("session_seconds") or ""),
        TIMES[1]: str(gate.get("idle_seconds") or ""),
        BASIC: "account" if pair.get("account") else str(pair.get("username") or ""),
        ACCOUNT: str(pair.get("account") or ""),
    }
    values |= {header_field(name): "1" if name in headers else "" for name in HEADERS}
    values["gate.headers"] = ""  # a place for what is wrong with them
    values["reason employee"] = named_texts_in(document.get("scope_reasons")).get("employee", "")
    values[LOGOUT_REQUESTS] = "" if document.get(LOGOUT_REQUESTS) is False else "1"
    return values


def gate_from(values: Mapping[str, str], before: Mapping[str, object]) -> GateRead:
    """Return what the fields request.

    Args:
        values: of the form.
        before: the metadata until now: what the form does not show of ``gate`` stays.
    """
    registered = before.get("gate")
    gate: dict[str, object] = dict(registered) if isinstance(registered, dict) else {}
    wrong = []
    gate["hosts"], gate["public_paths"] = _lines(values[HOSTS]), _lines(values[PUBLIC])
    paths: dict[str, object] = {}
    for line in _lines(values[ROLES]):
        path, _, roles = line.partition(" ")
        entries = [role.strip() for role in roles.split(",") if role.strip()]
        if not entries or path in paths:
            wrong.append(ROLES)
        paths[path] = entries
    gate["role_paths"] = paths
    gate["headers"] = [name for name in HEADERS if values[header_field(name)] == "1"]
    gate["sign_out_path"] = values[SIGN_OUT].strip() or None
    for name in TIMES:
        text = values[name].strip()
        if text and not (text.isascii() and text.isdigit() and len(text) < 10):
            wrong.append(name)
        gate[name.removeprefix("gate.")] = int(text) if text and name not in wrong else None
    gate["basic"] = _basic(values, wrong)
    return GateRead({name: value for name, value in gate.items() if value is not None}, wrong)


def _basic(values: Mapping[str, str], wrong: list[str]) -> dict[str, str] | None:
    chosen, account = values[BASIC].strip(), values[ACCOUNT].strip()
    if not chosen:
        return None
    if chosen == "account":
        if not account:
            wrong.append(ACCOUNT)
        return {"account": account} if account else None
    if chosen not in BASIC_NAMES:
        wrong.append(BASIC)
    return {"username": chosen}


def requested_claims(values: Mapping[str, str]) -> set[str]:
    """Return the claims that the headers and the username of the Basic credentials need, and ``employee``."""
    names = {name for name in HEADERS if values[header_field(name)] == "1"}
    names |= {name for name in BASIC_NAMES if values[BASIC] == name}
    return {REASON_OF[name] for name in names if name in REASON_OF}


def _lines(text: str) -> list[str]:
    return list(dict.fromkeys(line.strip() for line in text.split("\n") if line.strip()))
