"""The clients of a Keycloak realm as a catalogue of ours, with a warning for everything that has no equivalent.

Nothing that a realm export says relaxes a rule or gives a right: ``first_party``, administration scopes and ``nik`` are
never written. What the strict profile refuses is left out with a warning, so that the catalogue can be applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sso.clients.catalogue import CLIENT_ID
from sso.clients.metadata import DEVICE_CODE, STANDARD_SCOPES, ClientMetadata
from sso.errors import validation_message
from sso.platform.security.json_documents import several
from sso.settings import SIGNING_ALGS

BUILT_IN = frozenset(
    {"account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console"}
)
_METHODS = {
    "client-secret": "client_secret_basic",
    "client-secret-jwt": "client_secret_jwt",
    "client-jwt": "private_key_jwt",
}
_OURS_OF_ATTRIBUTE = {
    "backchannel.logout.url": "backchannel_logout_uri",
    "frontchannel.logout.url": "frontchannel_logout_uri",
    "logoUri": "logo_uri",
    "policyUri": "policy_uri",
    "tosUri": "tos_uri",
    "id.token.signed.response.alg": "id_token_signed_response_alg",
    "user.info.response.signature.alg": "userinfo_signed_response_alg",
    "sectorIdentifierUri": "sector_identifier_uri",
}
_QUIET = re.compile(
    r"(post\.logout|pkce\.|backchannel\.logout|frontchannel\.logout|client\.secret\.creation|realm_client$|oauth2\.device"
    r"|display\.on\.consent|use\.refresh\.tokens|use\.jwks|jwks\.|require\.pushed|request\.|access\.token\.lifespan$"
    r"|oidc\.ciba|acr\.loa|exclude\.session|tls\.client|saml|login_theme|default\.acr|token\.endpoint\.auth\.signing"
    r"|standard\.token\.exchange|dpop\.bound|token\.response\.type|client\.use\.lightweight|logout\.confirmation)"
)
_QUIET_SCOPES = frozenset({"web-origins", "roles", "acr", "basic", "microprofile-jwt", "role_list", "service_account"})


@dataclass(slots=True)
class Converted:
    """The entries of the catalogue, the warnings of each client, and the clients that are left out with the reason."""

    entries: list[dict[str, object]] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def convert(clients: Iterable[Mapping[str, object]], *, allow_http_loopback: bool = False) -> Converted:
    """Return the clients of a realm as entries of a catalogue.

    Args:
        clients: the elements of ``clients`` of a realm export.
        allow_http_loopback: whether redirect URIs such as ``http://localhost:9000/callback`` are allowed.
    """
    converted = Converted()
    seen: set[str] = set()
    for client in clients:
        name = str(client.get("clientId", ""))
        if reason := _reason_to_leave_out(client, name, seen):
            converted.left_out.append((name, reason))
            continue
        warnings: list[str] = []
        refused: list[str] = []
        entry = _checked(_entry(client, name, warnings), refused, allow_http_loopback)
        if entry is None:
            lost = [warning for warning in warnings if warning.startswith("redirect URI ")]
            converted.left_out.append((name, "; ".join([*refused, *lost]) or "cannot be registered here"))
            continue
        seen.add(name)
        converted.entries.append(entry)
        converted.warnings[name] = [*warnings, *refused]
    return converted


def as_yaml(converted: Converted, catalogue: str) -> str:
    """Return a catalogue file; the warnings are comments at the entries they are about."""
    lines = [
        '# Converted from a realm export of Keycloak. Look at every comment before "sso clients apply".',
        '# Secrets are not taken over: "sso clients secret ID" makes one. Subjects (sub) are other ones than those of',
        "# Keycloak: an application finds its users by the claim local_user_id, or by verified e-mail addresses.",
        f"catalogue: {catalogue}",
        "",
    ]
    for name, reason in converted.left_out:
        lines.append(_comment(f"Left out: {name or 'a client without clientId'}: {reason}"))
    lines += ["", "applications:" if converted.entries else "applications: []", ""]
    for entry in converted.entries:
        lines += [_comment(f"  {warning}", "  ") for warning in converted.warnings[str(entry["client_id"])]]
        text = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=110)
        lines += [f"  {line}" for line in text.splitlines()]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _comment(text: str, indent: str = "") -> str:
    return f"{indent}# {' '.join(text.split())}"


def _reason_to_leave_out(client: Mapping[str, object], name: str, seen: set[str]) -> str:
    if name in BUILT_IN or name.endswith("-realm"):
        return "is part of Keycloak itself"
    if client.get("protocol") not in (None, "openid-connect"):
        return f"speaks {client.get('protocol')}, not OpenID Connect"
    if not CLIENT_ID.fullmatch(name):
        return "its clientId must have 1 to 100 letters, digits, dots, hyphens or underscores here"
    if name in seen:
        return "stands twice"
    if client.get("enabled") is False:
        return "is disabled in Keycloak; add the application by hand if users need it"
    if client.get("bearerOnly") is True:
        return "only receives tokens: name it as resource_identifier of a service that introspects, or as audience"
    flows = ("standardFlowEnabled", "implicitFlowEnabled", "serviceAccountsEnabled")
    if not any(client.get(flow) is True for flow in flows) and not _has_device(client):
        return "uses no flow that exists here"
    return ""


def _has_device(client: Mapping[str, object]) -> bool:
    return _attributes(client).get("oauth2.device.authorization.grant.enabled") == "true"


def _attributes(client: Mapping[str, object]) -> dict[str, str]:
    given = client.get("attributes")
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, Mapping) else {}


def _entry(client: Mapping[str, object], name: str, warnings: list[str]) -> dict[str, object]:
    attributes = _attributes(client)
    redirected = client.get("standardFlowEnabled") is True or client.get("implicitFlowEnabled") is True
    uris = _redirect_uris(client, warnings) if redirected else []
    kind = _type(client, uris, redirected)
    client_name = str(client.get("name") or "")
    if "${" in client_name or not client_name:
        client_name = name
    entry: dict[str, object] = {"client_id": name, "type": kind, "client_name": " ".join(client_name.split())[:100]}
    if client.get("description"):
        entry["description"] = " ".join(str(client["description"]).split())[:500]
    base = _absolute(client, str(client.get("baseUrl") or ""))
    if base.startswith("https://") and "*" not in base:
        entry["client_uri"] = base
    if redirected:
        entry["redirect_uris"] = uris
    if after := _after_logout(client, attributes, uris, warnings):
        entry["post_logout_redirect_uris"] = after
    entry |= _grants(client, kind, redirected, warnings)
    if kind != "service":
        entry["scope"] = _scope(client, warnings)
    entry |= _authentication(client, attributes, warnings)
    entry |= _from_attributes(attributes, warnings)
    _warn_of_the_rest(client, attributes, warnings)
    return entry


def _type(client: Mapping[str, object], uris: Iterable[str], redirected: bool) -> str:
    if not redirected and client.get("serviceAccountsEnabled") is True:
        return "service"
    if client.get("publicClient") is not True:
        return "web"
    native = any(not uri.startswith("https://") and not uri.startswith("http://localhost") for uri in uris)
    return "android" if native or not redirected else "single_page"


def _absolute(client: Mapping[str, object], uri: str) -> str:
    root = str(client.get("rootUrl") or "")
    try:
        is_whole = bool(urlsplit(uri).scheme)
    except ValueError:
        is_whole = True  # the check of the entry says what is wrong
    if not uri or not root or is_whole or "${" in root:
        return uri
    return urljoin(root.rstrip("/") + "/", uri.lstrip("/"))


def _redirect_uris(client: Mapping[str, object], warnings: list[str]) -> list[str]:
    """Return the addresses that can be registered: whole and exact (RFC 9700 section 2.1)."""
    exact = []
    for given in several(client.get("redirectUris")):
        uri = _absolute(client, str(given))
        if "*" in uri:
            warnings.append(f"redirect URI {given}: wildcards do not exist here; write the exact addresses")
        elif uri.startswith("/") or not uri:
            warnings.append(f"redirect URI {given}: is not whole, and the client has no root URL")
        else:
            exact.append(uri)
    return list(dict.fromkeys(exact))


def _after_logout(
    client: Mapping[str, object], attributes: Mapping[str, str], uris: list[str], warnings: list[str]
) -> list[str]:
    text = attributes.get("post.logout.redirect.uris", "")
    registered: list[str] = []
    for written in text.split("##") if text and text != "-" else ():
        uri = _absolute(client, written)
        if written == "+":
            registered += uris
        elif "*" in uri:
            warnings.append(f"address after sign-out {written}: wildcards do not exist here; write the exact addresses")
        else:
            registered.append(uri)
    return list(dict.fromkeys(registered))


def _grants(client: Mapping[str, object], kind: str, redirected: bool, warnings: list[str]) -> dict[str, object]:
    if client.get("implicitFlowEnabled") is True:
        warnings.append("the implicit flow is not taken over: let the application use the code flow with PKCE")
    if client.get("directAccessGrantsEnabled") is True:
        warnings.append(
            "direct access grants (a password in the token request) do not exist here (RFC 9700 section 2.4)"
        )
    if kind == "service":
        return {}
    grants = ["authorization_code", "refresh_token"] if redirected else ["refresh_token"]
    if client.get("serviceAccountsEnabled") is True:
        grants.append("client_credentials")
    if _has_device(client):
        grants.append(DEVICE_CODE)
    usual = grants == ["authorization_code", "refresh_token"]
    return {} if usual else {"grant_types": grants, **({} if redirected else {"response_types": []})}


def _scope(client: Mapping[str, object], warnings: list[str]) -> str:
    given = [*several(client.get("defaultClientScopes")), *several(client.get("optionalClientScopes"))]
    known = [scope for scope in STANDARD_SCOPES[1:] if scope in given]
    others = [str(scope) for scope in given if scope not in STANDARD_SCOPES and scope not in _QUIET_SCOPES]
    if others:
        warnings.append(f"client scopes {', '.join(others)}: have no equivalent")
    if client.get("consentRequired") is not True:
        warnings.append("people are asked for consent here; if it is the city's own application, set first_party: true")
    return " ".join(["openid", *known])


def _authentication(
    client: Mapping[str, object], attributes: Mapping[str, str], warnings: list[str]
) -> dict[str, object]:
    fields: dict[str, object] = {}
    if attributes.get("use.jwks.url") == "true" and attributes.get("jwks.url"):
        fields["jwks_uri"] = attributes["jwks.url"]
    if client.get("publicClient") is True:
        return fields
    given = str(client.get("clientAuthenticatorType") or "client-secret")
    method = _METHODS.get(given)
    if method is None:
        warnings.append(f"client authentication {given}: has no equivalent; client_secret_basic is written")
        method = "client_secret_basic"
    if method == "private_key_jwt" and "jwks_uri" not in fields:
        warnings.append(
            "private_key_jwt: write its keys as jwks or jwks_uri; client_secret_basic is written until then"
        )
        method = "client_secret_basic"
    if method.startswith("client_secret"):
        warnings.append(f"make a secret with: sso clients secret {client.get('clientId')}")
    fields["token_endpoint_auth_method"] = method
    alg = attributes.get("token.endpoint.auth.signing.alg")
    if alg and method.endswith("_jwt"):
        fields["token_endpoint_auth_signing_alg"] = alg
    return fields


def _from_attributes(attributes: Mapping[str, str], warnings: list[str]) -> dict[str, object]:
    entry: dict[str, object] = {
        ours: attributes[theirs] for theirs, ours in _OURS_OF_ATTRIBUTE.items() if attributes.get(theirs)
    }
    for name in ("id_token_signed_response_alg", "userinfo_signed_response_alg"):
        if name in entry and entry[name] not in SIGNING_ALGS:
            warnings.append(f"{name} {entry.pop(name)}: does not exist here")
    if attributes.get("require.pushed.authorization.requests") == "true":
        entry["require_pushed_authorization_requests"] = True
    lifespan = attributes.get("access.token.lifespan", "")
    if lifespan.isascii() and lifespan.isdigit() and int(lifespan[:9]) > 0:
        entry["access_token_seconds"] = int(lifespan[:9])
    return entry


def _warn_of_the_rest(client: Mapping[str, object], attributes: Mapping[str, str], warnings: list[str]) -> None:
    mappers = [
        str(mapper.get("name")) for mapper in several(client.get("protocolMappers")) if isinstance(mapper, Mapping)
    ]
    if mappers:
        warnings.append(
            f"protocol mappers {', '.join(mappers[:20])}: no equivalent; see claim_reasons, docs/reference/clients.md"
        )
    if client.get("authorizationSettings"):
        warnings.append("authorization services (policies, permissions) have no equivalent")
    if client.get("authenticationFlowBindingOverrides"):
        warnings.append("its own authentication flow has no equivalent; see minimum_acr")
    origins = [str(origin) for origin in several(client.get("webOrigins")) if origin not in ("+", "")]
    if origins and client.get("publicClient") is not True:
        warnings.append(f"web origins {', '.join(origins[:5])}: are not needed here")
    others = sorted(name for name in attributes if name not in _OURS_OF_ATTRIBUTE and not _QUIET.match(name))
    if others:
        warnings.append(f"attributes {', '.join(others[:20])}: have no equivalent")


def _checked(entry: dict[str, object], warnings: list[str], allow_http_loopback: bool) -> dict[str, object] | None:
    """Return the entry without what is not valid here; None: it cannot be valid."""
    context = {"allow_http_loopback": allow_http_loopback}
    for _ in range(len(entry) + 40):
        fields = {name: value for name, value in entry.items() if name != "client_id"}
        try:
            ClientMetadata.model_validate(fields, context=context)
        except ValidationError as error:
            if not _without(entry, error.errors()[0], warnings):
                return None
        else:
            return entry
    return None


def _without(entry: dict[str, object], problem: ErrorDetails, warnings: list[str]) -> bool:
    """Leave out what a problem is about. False: the entry needs it."""
    message = validation_message(problem)
    name = str(problem["loc"][0]) if problem["loc"] else message.partition(":")[0]
    quoted = re.match(r"'([^']*)' ", message)
    if name == "subject_type" and "subject_type" not in entry:
        entry["subject_type"] = "public"
        warnings.append("its redirect URIs are on several hosts: subject_type public is written")
        return True
    if name in ("redirect_uris", "post_logout_redirect_uris") and quoted and quoted[1] in several(entry.get(name)):
        warnings.append(f"{name}: {message}")
        entry[name] = [value for value in several(entry[name]) if value != quoted[1]]
        if name == "post_logout_redirect_uris" and not entry[name]:
            del entry[name]
        return True
    warnings.append(f"{name}: {message.removeprefix(f'{name}: ')}")
    if name in ("redirect_uris", "type", "client_name", "client_id") or name not in entry:
        return False
    del entry[name]
    return True
