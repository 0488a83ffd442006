"""docs/reference/clients.md: every field of an application, from the schema itself."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from sso.clients.metadata import GROUPS, ClientMetadata
from sso.clients.profiles import RELAXATIONS

HEAD = f"""---
kind: reference
audience: developer, administrator
---
# Registering applications

A catalogue file (YAML) describes the applications of a city. `sso clients apply FILE` shows every change, then
registers and changes the applications as the file says. If one application has an error, nothing is changed.
`clients.example.yaml` is an example with 122 applications. This page is generated with `make docs`.

```yaml
catalogue: tangerang          # the file's own name; applications belong to one catalogue
defaults:                     # fields for every application that does not say otherwise
  contacts: [aplikasi@kota.example]
applications:
  - client_id: layanan-warga
    type: web
    group: E-Pemerintahan
    client_name: Layanan Warga
    client_name#en: Citizen Services
    first_party: true
    redirect_uris: [https://layanan-warga.kota.example/callback]
    post_logout_redirect_uris: [https://layanan-warga.kota.example/]
    backchannel_logout_uri: https://layanan-warga.kota.example/backchannel-logout
```

The file contains no client secrets: `sso clients secret ID` creates a client secret and prints it once. The groups of
the example are {", ".join(GROUPS)}; you can use other names. An application that you remove from the file is
suspended. With `--delete` the application is deleted, with its tokens and consents.

Administration scopes (`sso:...`) and restricted data (`nik`) that the file names for the city's own applications are
granted by `sso clients apply`, each shown on its own line: users who can run the command are full administrators. A
scope that was revoked stays revoked, and the plan says how to grant it again (`sso clients grant`). A scope that is
no longer in the file is revoked. See [privileges](api.md#privileges-of-applications).

What follows from `type`, where a field is left out:

| type | application | grant_types | token_endpoint_auth_method |
| --- | --- | --- | --- |
| web | a server that keeps a secret | authorization_code, refresh_token | client_secret_basic |
| gate | a program behind a proxy that asks about each request ([gate](../how-to/gate.md)) | authorization_code | none |
| single_page | a browser application | authorization_code, refresh_token | none |
| android | a native application: private-use schemes, loopback ports | authorization_code, refresh_token | none |
| service | a program without people | client_credentials | client_secret_basic |
| cas | a server that speaks [CAS](../how-to/cas.md) | none | none |

`subject_type` is `public` for the city's own applications (`first_party: true`) and services, `pairwise` otherwise.

## Before you change a host

A pairwise `sub` is made from the sector: the host of `sector_identifier_uri`, or of the redirect URIs. A change of
the sector, of `subject_type` or of `first_party` gives every user of the application a new `sub`, and the application
treats them as new users. `sso clients apply` says so with the number of users, and applies nothing until you decide:

- Keep every `sub`: write `kept_sector:` with the previous host, or put a JSON list of every redirect URI on that host
  and write its address as `sector_identifier_uri`.
- Accept new subjects: `sso clients apply FILE --accept-new-subjects ID`.

Redirect URIs on several hosts need a `sector_identifier_uri` in any case (OpenID Connect Core section 8.1).
[Why](../decisions/0043-a-new-sub-is-accepted-by-name.md).

## Mistakes in the file

Every mistake is reported in one run, with its line, its application and what to write instead. YAML reads some text as
something else: `12345`, `0123`, `1:30`, `yes`, `no`, `2024-01-01`. Write such text in quotes: `client_id: "12345"`.
Names in `scope` are separated by spaces. A name in `scope` that looks like a misspelt one, such as `emial`, is a
warning: a resource server of the city may have a scope of that name. The plan shows the values that will hold, also
those that follow from `type`, `first_party` and `profile`.

## Strict rules

Strict by default: PKCE with S256, the code flow only, exact redirect URIs over https. What relaxes a rule is a field
of its own, allowed only by the application's `profile`, and `sso doctor` and `sso clients show` name each one:

| relaxed | profiles that allow it | what it means |
| --- | --- | --- |
{{relaxations}}

| field | values | default | meaning |
| --- | --- | --- | --- |
| `client_id` | 1 to 100 letters, digits, `.`, `-`, `_` | required | The name by which the application is known. |
"""

_OF_SPECIFICATION = {
    "contacts": "E-mail addresses of the people who run it.",
    "redirect_uris": "Where answers may be sent: exactly these.",
    "post_logout_redirect_uris": "Where people may be sent after signing out: exactly these.",
    "grant_types": "What it may do at the token endpoint.",
    "response_types": "What it may ask for at the authorization endpoint.",
    "token_endpoint_auth_method": "How it proves who it is. Exactly this way.",
    "token_endpoint_auth_signing_alg": "The algorithm of its assertions.",
    "id_token_signed_response_alg": "The algorithm of its ID tokens; `SSO_SIGNING_ALG` where none is named.",
    "subject_type": "Whether all applications know a person by the same `sub`.",
    "require_auth_time": "Accepted without effect: every ID token contains `auth_time`.",
    "backchannel_logout_uri": "Where it is told of ended sessions (OpenID Connect Back-Channel Logout).",
    "backchannel_logout_session_required": "Accepted without effect: every logout token contains `sid`.",
    "id_token_encrypted_response_alg": "How the key of its encrypted ID tokens is managed; signed first (JWE).",
    "id_token_encrypted_response_enc": "How their content is encrypted; `A128CBC-HS256` where none is named.",
    "userinfo_signed_response_alg": "Userinfo answers with a signed JWT.",
    "userinfo_encrypted_response_alg": "Userinfo answers with an encrypted JWT.",
    "userinfo_encrypted_response_enc": "How its content is encrypted; `A128CBC-HS256` where none is named.",
    "request_object_signing_alg": "The algorithm of its request objects; any of ours but `none` where none is named.",
    "request_object_encryption_alg": "How the key of its encrypted request objects is managed.",
    "request_object_encryption_enc": "How their content is encrypted.",
    "frontchannel_logout_uri": "What its part of the signed-out page loads (OpenID Connect Front-Channel Logout).",
    "frontchannel_logout_session_required": "Accepted without effect: `iss` and `sid` are always sent.",
    "access_token_format": "`jwt` (RFC 9068), or `opaque` for those who must ask about every token.",
    "client_name_en": "Its name, in English.",
    "description_en": "What it is for, in English.",
}


def reference() -> str:
    """Return the page."""
    relaxed = "\n".join(f"| `{rule.name}` | {', '.join(rule.profiles)} | {rule.meaning} |" for rule in RELAXATIONS)
    return HEAD.replace("{relaxations}", relaxed) + "".join(
        field_row(name, field) for name, field in ClientMetadata.model_fields.items()
    )


def field_row(name: str, field: Any) -> str:
    """Return the row of a field in a table of a reference."""
    meaning = field.description or _OF_SPECIFICATION[name]
    default = "" if field.default is None else f"`{_plain(field.get_default(call_default_factory=True))}`"
    if field.is_required():
        follows = name in ("grant_types", "response_types", "token_endpoint_auth_method", "subject_type")
        default = "follows from `type`" if follows else "required"
    return f"| `{field.alias or name}` | {_values(field.annotation)} | {default} | {meaning} |\n"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _values(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if origin in (Union, types.UnionType):
        return _values(next(argument for argument in get_args(annotation) if argument is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    if origin is list:
        return f"list of {_values(get_args(annotation)[0])}"
    if origin is dict:
        return "mapping"
    name = str(annotation.__name__)
    return {"str": "text", "int": "integer", "bool": "`true`, `false`"}.get(name, name)
