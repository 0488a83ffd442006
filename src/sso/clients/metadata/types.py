"""The values that metadata of clients are made of, and what is checked of each value alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from sso.clients.access_policy import check_allowed, check_hours, check_network
from sso.clients.redirect_uris import ApplicationType, check_https_uri
from sso.platform.security.public_keys import check_key_set
from sso.platform.security.text import check_line, composed, one_line

ClientType = Literal["web", "single_page", "service", "android", "cas", "gate"]
AuthMethod = Literal["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"]
GrantType = Literal[
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "implicit",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
]
ResponseType = Literal["code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"]
UnsignedAlg = Literal["RS256", "ES256", "EdDSA", "PS256", "none"]
KeyManagementAlg = Literal["RSA-OAEP-256", "ECDH-ES"]
ContentEncryption = Literal["A128CBC-HS256", "A128GCM", "A256GCM"]

DEVICE_CODE: GrantType = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER: GrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEFAULT_ENC: ContentEncryption = "A128CBC-HS256"
"""The content encryption where only the key management is registered (Dynamic Client Registration section 2)."""

STANDARD_SCOPES = ("openid", "profile", "email", "address", "phone", "offline_access")
"""Those of OpenID Connect Core sections 5.4 and 11: what an application may ask for that says nothing."""
OIDC_SCOPES = (*STANDARD_SCOPES[:-1], "identity", "nik", "roles", "groups", "employee", "offline_access")
FIRST_PARTY_SCOPES = ("nik", "employee")
"""Scopes that only applications of the city may have."""
GROUPS = ("E-Pemerintahan", "E-Kesehatan", "E-Pendidikan", "E-Logistik", "E-Pengadaan")
MAX_REDIRECT_URIS = 20
MAX_SECONDS = 10**9
"""The longest time that can be registered: 31 years, with which dates can still be calculated."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``place``: where in the value it is, such as the index in a list."""

    text: str
    place: tuple[str | int, ...] = ()


class Problems(ValueError):
    """Several things that are wrong with one value. The message says the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0].text)
        self.problems = problems


def _https(value: str, info: ValidationInfo) -> str:
    check_https_uri(value, loopback_allowed(info))
    return value


def _https_with_fragment(value: str, info: ValidationInfo) -> str:
    check_https_uri(value, loopback_allowed(info), fragment=True)
    return value


def _readable(value: str, info: ValidationInfo) -> str:
    """Return text that people see. What was stored before there was this rule is made readable instead of refused: one
    such name must not keep every application from being loaded."""
    return (one_line(value) or "?") if is_stored(info) else composed(check_line(value))


def _fingerprint(value: str) -> str:
    digits = value.replace(":", "").upper()
    if len(value) > 95 or not re.fullmatch("[0-9A-F]{64}", digits):
        raise ValueError("must be a SHA-256 fingerprint: 32 bytes in hexadecimal, such as 14:6D:E9:…")
    return ":".join(digits[place : place + 2] for place in range(0, 64, 2))


def _bounded(value: int, info: ValidationInfo) -> int:
    if value > MAX_SECONDS and not is_stored(info):
        raise ValueError(f"must be at most {MAX_SECONDS} seconds")
    return min(value, MAX_SECONDS)


def is_stored(info: ValidationInfo) -> bool:
    """Tell whether the metadata that are validated come from the database."""
    return bool((info.context or {}).get("stored"))


RequestUri = Annotated[str, AfterValidator(_https_with_fragment)]
"""An address of a request object. Its fragment changes when the object does (OpenID Connect Core section 6.2)."""
HttpsUri = Annotated[str, AfterValidator(_https)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f<>]+$"), AfterValidator(_readable)]
NetworkText = Annotated[str, Field(max_length=50), AfterValidator(check_network)]
AllowedText = Annotated[str, Field(max_length=80), AfterValidator(check_allowed)]
HoursText = Annotated[str, Field(max_length=30), AfterValidator(check_hours)]
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f<>]+$"), AfterValidator(_readable)]
Seconds = Annotated[int, AfterValidator(_bounded)]
AndroidPackage = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$")]
"""The name of an Android package (application ID)."""
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
"""The SHA-256 fingerprint of a certificate: 32 bytes in hexadecimal, with colons."""
Group = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_readable)]


def checked_keys(value: dict[str, object] | None) -> dict[str, object] | None:
    """Return a key set with public keys that can be used (RFC 7517 section 5).

    Raises:
        ValueError: saying what is wrong.
    """
    if value is None:
        return None
    check_key_set(value)
    return value


def application_type(client_type: str) -> ApplicationType:
    """Return the specification's application type for one of ours."""
    return "native" if client_type == "android" else "web"


def loopback_allowed(info: ValidationInfo) -> bool:
    """Tell whether loopback addresses over http are allowed for what is validated."""
    return bool((info.context or {}).get("allow_http_loopback"))
