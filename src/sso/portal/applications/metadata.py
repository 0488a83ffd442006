"""The metadata that the settings of an application give: in production, and in the sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlsplit

import orjson
from pydantic import ValidationError

from sso.clients.claims import SCOPE_OF
from sso.clients.metadata import ClientMetadata
from sso.clients.metadata.gate import GateSettings, derived
from sso.clients.models import Application
from sso.clients.validation_errors import FieldMistake, mistakes_of
from sso.platform.permissions import is_restricted
from sso.portal.applications.settings import (
    ADDRESSES,
    IN_SANDBOX,
    KINDS,
    POLICIES,
    TEAM_GRANT_TYPES,
    RequestedSettings,
    Unfinished,
    texts_in,
)

UNCHECKED = frozenset({
    "client_name", "client_name#en", "description", "description#en", "group", "client_uri", "logo_uri", "policy_uri",
    "tos_uri", "contacts", "scope_reasons", "claim_reasons", "first_party", "application_roles", "groups_of_interest",
    "team_gives_roles", "end_session_on_role_loss", "end_unconfirmed_roles", *POLICIES,
})  # fmt: skip
"""What a relying-party check does not depend on: texts, and who may use the application. A change of anything else
needs a new check."""


def checked_digest(application: Application) -> bytes:
    """Return the digest (SHA-256) of what a relying-party check is about: the addresses, keys, methods and rules of
    the sandbox and of production. A check holds for this alone."""
    parts = {"document": application.document, "sandbox": application.sandbox, "granted": application.granted}
    typed_parts = {name: {key: part[key] for key in part if key not in UNCHECKED} for name, part in parts.items()}
    return hashlib.sha256(orjson.dumps([application.kind, typed_parts], option=orjson.OPT_SORT_KEYS)).digest()


def production_metadata(
    requested: RequestedSettings, granted: Mapping[str, object], *, allow_http_loopback: bool = False
) -> ClientMetadata:
    """Return what is registered in production.

    Args:
        requested: what the team wants.
        granted: what administrators decided.
        allow_http_loopback: whether loopback addresses over http are allowed: in the demo only.

    Raises:
        Unfinished: naming each field that is wrong.
    """
    values = {**requested.document, **granted, "type": KINDS[requested.kind]}
    metadata = valid_metadata(values, allow_http_loopback)
    problems = _team_problems(metadata)
    if problems:
        raise Unfinished(problems)
    return metadata


def sandbox_metadata(requested: RequestedSettings, granted: Mapping[str, object], own_uri: str = "") -> ClientMetadata:
    """Return what is registered for the sandbox, where programs may run on the developer's own machine.

    Args:
        requested: what the team wants.
        granted: what administrators decided.
        own_uri: an address of ours that is a redirect URI of every sandbox: where the portal tries it.

    Raises:
        Unfinished: naming each field that is wrong; those of ``sandbox`` begin with ``sandbox.``.
    """
    values = _without_privileges(
        {name: value for name, value in requested.document.items() if name not in (*ADDRESSES, "kept_sector")}
    )
    sandbox_values = {name: value for name, value in granted.items() if name in IN_SANDBOX}
    values |= {**requested.sandbox, **sandbox_values, "type": KINDS[requested.kind]}
    if own_uri and requested.kind not in ("service", "cas", "gate"):
        for name in ("redirect_uris", "post_logout_redirect_uris"):
            values[name] = [*texts_in(values.get(name)), own_uri]
    addresses = (
        derived(values.get("gate"))["redirect_uris"] if requested.kind == "gate" else values.get("redirect_uris")
    )
    hosts = {urlsplit(uri).hostname for uri in texts_in(addresses)}
    if len(hosts) > 1:  # a subject per host cannot be had there: our own address is one more
        values["subject_type"] = "public"
    try:
        metadata = valid_metadata(values, allow_http_loopback=True)
    except Unfinished as error:
        named = {_in_sandbox(name): text for name, text in error.problems.items()}
        raise Unfinished(named) from None
    problems = _team_problems(metadata)
    if problems:
        raise Unfinished(problems)
    return metadata


def _without_privileges(values: Mapping[str, object]) -> dict[str, object]:
    """Return metadata without the scopes that are privileges, and the reasons for them."""
    unrestricted, scope = {**values}, values.get("scope")
    scope_reasons, claim_reasons = values.get("scope_reasons"), values.get("claim_reasons")
    if isinstance(scope, str):
        unrestricted["scope"] = " ".join(name for name in scope.split() if not is_restricted(name))
    gate = values.get("gate")
    if isinstance(gate, dict):
        unrestricted["gate"] = _without_nip(gate)
        if isinstance(scope_reasons, dict):
            scope_reasons = {name: text for name, text in scope_reasons.items() if name != "employee"}
    if isinstance(scope_reasons, dict):
        unrestricted["scope_reasons"] = {name: text for name, text in scope_reasons.items() if not is_restricted(name)}
    if isinstance(claim_reasons, dict):
        unrestricted["claim_reasons"] = {
            claim: text for claim, text in claim_reasons.items() if not is_restricted(SCOPE_OF.get(claim, ""))
        }
    return unrestricted


def _without_nip(gate: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of a gate without employee numbers: neither as a header nor as a username."""
    headers, basic = gate.get("headers"), gate.get("basic")
    fields = {**gate}
    if isinstance(headers, list):
        fields["headers"] = [name for name in headers if name != "nip"]
    if isinstance(basic, dict) and basic.get("username") == "nip":
        del fields["basic"]
    return fields


def _in_sandbox(name: str) -> str:
    return f"sandbox.{name}" if name in ADDRESSES else name


def valid_metadata(values: Mapping[str, object], allow_http_loopback: bool) -> ClientMetadata:
    """Return metadata that was checked.

    Args:
        values: by the names of the specifications.
        allow_http_loopback: whether loopback addresses over http are allowed.

    Raises:
        Unfinished: naming each field that is wrong.
    """
    context = {"allow_http_loopback": allow_http_loopback}
    try:
        return ClientMetadata.model_validate(values, context=context)
    except ValidationError as error:
        problems: dict[str, str] = {}
        for mistake in mistakes_of(values, error, context):
            problems.setdefault(_field_of(mistake), mistake.text)
        if any(name.startswith("gate.") for name in problems):
            problems = {name: text for name, text in problems.items() if name not in derived({})}
        raise Unfinished(problems) from None


def _field_of(mistake: FieldMistake) -> str:
    """Return the name of the field that a mistake is about; of a gate, whose fields are one field, ``gate.NAME``."""
    if not mistake.place or mistake.place[0] != "gate":
        return str(mistake.place[0]) if mistake.place else ""
    named = str(mistake.place[1]) if len(mistake.place) > 1 else mistake.text.partition(":")[0]
    return f"gate.{named if named in GateSettings.model_fields else 'hosts'}"


def _team_problems(metadata: ClientMetadata) -> dict[str, str]:
    problems = {}
    other = [grant_type for grant_type in metadata.grant_types if grant_type not in TEAM_GRANT_TYPES]
    if other:
        problems["grant_types"] = f"{other[0]} cannot be had here: ask an administrator"
    needed = [name for name in metadata.scope.split() if name != "openid"]
    explained = {*metadata.scope_reasons, *(SCOPE_OF[name] for name in metadata.claim_reasons)}
    missing = [name for name in needed if name not in explained]
    if missing:
        problems["scope_reasons"] = f"say what {missing[0]} is needed for"
    return problems
