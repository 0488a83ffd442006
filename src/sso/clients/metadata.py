"""What an application may register: OpenID Connect Dynamic Client Registration section 2, as far as it works here.

Strict by default. What relaxes a rule is a field of its own, named for what it relaxes, so that it is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from sso.clients.claims import COMES_WITH, SCOPE_OF, WITH_ANY
from sso.clients.policy import check_hours, check_network
from sso.clients.profiles import Profile, forbidden_relaxations
from sso.clients.uris import ApplicationType, check_https_uri, check_redirect_uri
from sso.security.permissions import PERMISSIONS, SCOPE_PREFIX, RoleName
from sso.security.public_keys import check_key_set
from sso.security.text import check_line, composed, one_line
from sso.settings import SigningAlg

ClientType = Literal["web", "single_page", "service", "android"]
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
OIDC_SCOPES = (*STANDARD_SCOPES[:-1], "identity", "nik", "offline_access")
GROUPS = ("E-Pemerintahan", "E-Kesehatan", "E-Pendidikan", "E-Logistik", "E-Pengadaan")
MAX_REDIRECT_URIS = 20
MAX_SECONDS = 10**9
"""The longest time that can be registered: 31 years, with which dates can still be calculated."""

_ASYMMETRIC = ("RS256", "PS256", "ES256", "EdDSA")


def _https(value: str, info: ValidationInfo) -> str:
    check_https_uri(value, _loopback_allowed(info))
    return value


def _https_with_fragment(value: str, info: ValidationInfo) -> str:
    check_https_uri(value, _loopback_allowed(info), fragment=True)
    return value


def _shown(value: str, info: ValidationInfo) -> str:
    """Return text that people see. What was stored before there was this rule is made readable instead of refused: one
    such name must not keep every application from being loaded."""
    return (one_line(value) or "?") if _is_stored(info) else composed(check_line(value))


def _bounded(value: int, info: ValidationInfo) -> int:
    if value > MAX_SECONDS and not _is_stored(info):
        raise ValueError(f"must be at most {MAX_SECONDS} seconds")
    return min(value, MAX_SECONDS)


def _is_stored(info: ValidationInfo) -> bool:
    return bool((info.context or {}).get("stored"))


RequestUri = Annotated[str, AfterValidator(_https_with_fragment)]
"""An address of a request object. Its fragment changes when the object does (OpenID Connect Core section 6.2)."""
HttpsUri = Annotated[str, AfterValidator(_https)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f<>]+$"), AfterValidator(_shown)]
NetworkText = Annotated[str, Field(max_length=50), AfterValidator(check_network)]
HoursText = Annotated[str, Field(max_length=30), AfterValidator(check_hours)]
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f<>]+$"), AfterValidator(_shown)]
Seconds = Annotated[int, AfterValidator(_bounded)]
Group = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_shown)]


def checked_keys(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a key set with public keys that can be used (RFC 7517 section 5).

    Raises:
        ValueError: saying what is wrong.
    """
    if value is None:
        return None
    check_key_set(value)
    return value


class AssertionIssuer(BaseModel):
    """Somebody else whose JWTs this application may exchange for access tokens (RFC 7523 section 2.1)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^\S+$")]
    jwks: dict[str, Any] | None = None
    jwks_uri: HttpsUri | None = None
    subject: Literal["user_id", "identifier"] = "identifier"

    @field_validator("jwks")
    @classmethod
    def _public_keys(cls, value: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        return value if _is_stored(info) else checked_keys(value)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.jwks is None) == (self.jwks_uri is None):
            raise ValueError("needs either jwks or jwks_uri")
        return self


class ClientMetadata(BaseModel):
    """The configuration of one application.

    Validate with ``context={"allow_http_loopback": True}`` where loopback addresses over http are allowed, and with
    ``{"own_secret": True}`` where an installed application registers itself, or did, and may authenticate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, str_strip_whitespace=True)

    type: ClientType = Field(
        description="web: a server that keeps a secret; single_page: a browser application; "
        "service: a program without people; android: a native application."
    )
    profile: Profile = Field(
        "standard",
        description="Which strict rules may be relaxed; see below. Only what is written relaxes anything, but for "
        "`require_pkce`, which `legacy` and `certification` turn off; the `aud` of assertions, which with `legacy` may "
        "be a list of names of this provider; and request objects, which with `certification` may be unsigned where "
        "`request_object_signing_alg` is left out.",
    )
    group: Group | None = Field(None, description="The group it is listed in.")
    client_name: Name = Field(description="Its name, in Indonesian; `client_name#en` in English.")
    client_name_en: Name | None = Field(None, alias="client_name#en")
    description: Text | None = Field(None, description="What it is for; `description#en` in English.")
    description_en: Text | None = Field(None, alias="description#en")
    client_uri: HttpsUri | None = Field(None, description="Its home page.")
    policy_uri: HttpsUri | None = Field(None, description="Its privacy policy, shown on the sign-in and consent pages.")
    tos_uri: HttpsUri | None = Field(None, description="Its terms, shown on the sign-in and consent pages.")
    logo_uri: HttpsUri | None = Field(
        None, description="Its logo (PNG, JPEG, GIF or WebP), shown small on its pages; fetched and passed on by us."
    )
    initiate_login_uri: HttpsUri | None = Field(
        None, description="Where it begins a sign-in (OpenID Connect Core section 4): people open it from here."
    )
    contacts: list[Annotated[str, Field(max_length=254)]] = Field(default_factory=list, max_length=10)

    redirect_uris: list[str] = Field(default_factory=list, max_length=MAX_REDIRECT_URIS)
    post_logout_redirect_uris: list[str] = Field(default_factory=list, max_length=MAX_REDIRECT_URIS)
    grant_types: list[GrantType]
    response_types: list[ResponseType]
    scope: str = Field("openid profile email", description="Scopes it may ask for, separated by spaces.")
    scope_reasons: dict[Annotated[str, Field(max_length=100)], Text] = Field(
        default_factory=dict, max_length=50, description="What it needs each scope for, by the scope."
    )
    claim_reasons: dict[Annotated[str, Field(max_length=100)], Text] = Field(
        default_factory=dict,
        max_length=50,
        description="What it needs each claim for, by the claim. Of a scope of which claims are named here it receives "
        "these alone.",
    )
    token_endpoint_auth_method: AuthMethod
    token_endpoint_auth_signing_alg: Literal["RS256", "PS256", "ES256", "EdDSA", "HS256"] | None = None
    jwks: dict[str, Any] | None = Field(
        None, description="Its public keys: for private_key_jwt, signed request objects, and encryption for it."
    )
    jwks_uri: HttpsUri | None = Field(None, description="Where its public keys are; instead of `jwks`.")
    id_token_signed_response_alg: UnsignedAlg | None = None
    id_token_encrypted_response_alg: KeyManagementAlg | None = None
    id_token_encrypted_response_enc: ContentEncryption | None = None
    userinfo_signed_response_alg: SigningAlg | None = None
    userinfo_encrypted_response_alg: KeyManagementAlg | None = None
    userinfo_encrypted_response_enc: ContentEncryption | None = None
    request_object_signing_alg: UnsignedAlg | None = None
    request_object_encryption_alg: KeyManagementAlg | None = None
    request_object_encryption_enc: ContentEncryption | None = None
    request_uris: list[RequestUri] = Field(
        default_factory=list, max_length=MAX_REDIRECT_URIS, description="Where its request objects are: exactly these."
    )
    require_signed_request_object: bool = Field(
        False, description="Only signed request objects, and nothing that stands outside of them (RFC 9101 10.5)."
    )
    require_pushed_authorization_requests: bool = Field(
        False, description="Only requests that were pushed before (RFC 9126 section 6)."
    )
    subject_type: Literal["public", "pairwise"]
    sector_identifier_uri: HttpsUri | None = Field(
        None, description="A JSON list with every redirect URI, which lets several hosts share pairwise subjects."
    )
    default_max_age: Seconds | None = Field(None, ge=0, description="Seconds after which people sign in anew.")
    default_acr_values: list[Annotated[str, Field(max_length=200)]] = Field(
        default_factory=list, max_length=10, description="Which `acr` it asks for where a request names none."
    )
    minimum_acr: Literal["urn:sso:acr:code", "urn:sso:acr:mfa", "urn:sso:acr:passkey"] | None = Field(
        None, description="The least level of a sign-in: with a second step by code, by app, or a passkey."
    )
    minimum_identity: Literal["urn:sso:identity:contact-verified", "urn:sso:identity:counter-verified"] | None = Field(
        None, description="How surely it must be known who the person is: reached by mail or SMS, or seen at a counter."
    )
    allowed_roles: list[RoleName] = Field(
        default_factory=list, max_length=10, description="Only people with one of these roles may use it."
    )
    allowed_networks: list[NetworkText] = Field(
        default_factory=list,
        max_length=50,
        description="Only from these networks may people sign in, and programs get tokens for themselves, such as "
        "`10.20.0.0/16`.",
    )
    allowed_hours: list[HoursText] = Field(
        default_factory=list,
        max_length=14,
        description="Only then may people sign in, and tokens be had or used, in the city's time zone, such as "
        "`mon-fri 07:00-17:00`.",
    )
    access_token_seconds: int | None = Field(
        None,
        ge=30,
        le=86400,
        description="Seconds for which its access tokens are valid, where fewer than the city's.",
    )
    refresh_token_seconds: Seconds | None = Field(
        None, ge=60, description="Seconds for which its refresh tokens are valid, where fewer than the city's."
    )
    require_auth_time: bool = False
    backchannel_logout_uri: HttpsUri | None = None
    backchannel_logout_session_required: bool = True
    frontchannel_logout_uri: HttpsUri | None = None
    frontchannel_logout_session_required: bool = True

    first_party: bool = Field(False, description="The city's own: people are not asked for consent.")
    access_token_format: Literal["jwt", "opaque"] = "jwt"
    audience: Annotated[str, Field(max_length=255, pattern=r"^\S+$")] | None = Field(
        None, description="The `aud` of its access tokens; the issuer where none is named."
    )
    resource_identifier: Annotated[str, Field(max_length=255, pattern=r"^\S+$")] | None = Field(
        None, description="A resource server: it may introspect tokens of others whose `aud` is this."
    )
    require_pkce: bool = Field(True, description="false lets an old application send no code_challenge.")
    scope_claims_in_id_token: bool = Field(
        False, description="true puts what the scopes allow into the ID token too, for those that never ask userinfo."
    )
    assertion_issuers: list[AssertionIssuer] = Field(
        default_factory=list,
        max_length=10,
        description="Whose JWTs it may exchange for access tokens (RFC 7523): `issuer`, `jwks` or `jwks_uri`, and "
        "`subject`: whether `sub` is an `identifier` (user name, e-mail, telephone) or a `user_id`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_type(cls, data: Any) -> Any:
        return with_defaults(data) if isinstance(data, dict) else data

    @field_validator("redirect_uris", "post_logout_redirect_uris")
    @classmethod
    def _addresses(cls, value: list[str], info: ValidationInfo) -> list[str]:
        kind = application_type(info.data.get("type", "web"))
        for uri in value:
            if _is_stored(info) and ":///" in uri:  # stored before this was refused
                continue
            try:
                check_redirect_uri(uri, kind, _loopback_allowed(info))
            except ValueError as error:
                raise ValueError(f"{uri!r} {error}") from None
        if len(set(value)) != len(value):
            raise ValueError("must not name an address twice")
        return value

    @field_validator("response_types", mode="before")
    @classmethod
    def _in_order(cls, value: Any) -> Any:
        """The order of the words does not matter (OAuth 2.0 Multiple Response Types section 3)."""
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            return value
        return [" ".join(sorted(one.split())) for one in value]

    @field_validator("scope")
    @classmethod
    def _scope_tokens(cls, value: str) -> str:
        names = value.split()
        for name in names:
            if any(not ("\x21" <= c <= "\x7e" and c not in '"\\') for c in name):
                raise ValueError(f"{name!r} is not a scope (RFC 6749 section 3.3)")
        return " ".join(dict.fromkeys(names))

    @field_validator("jwks")
    @classmethod
    def _public_keys(cls, value: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        return value if _is_stored(info) else checked_keys(value)

    @model_validator(mode="after")
    def _whole(self, info: ValidationInfo) -> Self:
        for problem in _contradictions(self):
            raise ValueError(problem)
        if self.has_shared_secret and not (_is_stored(info) or (info.context or {}).get("own_secret")):
            raise ValueError(
                "token_endpoint_auth_method: must be none, because everybody who has the application can read what is "
                "in it (RFC 8252 section 8.5). An instance that registers itself may have a secret of its own "
                "(section 8.4)"
            )
        return self

    @property
    def has_shared_secret(self) -> bool:
        """Whether it is installed by people and authenticates: right only where each instance registered itself."""
        return self.type in ("single_page", "android") and not self.is_public

    @property
    def application_type(self) -> ApplicationType:
        """``native`` or ``web`` (Dynamic Client Registration section 2)."""
        return application_type(self.type)

    @property
    def is_public(self) -> bool:
        """Whether it cannot keep a secret (RFC 6749 section 2.1)."""
        return self.token_endpoint_auth_method == "none"

    @property
    def needs_secret(self) -> bool:
        """Whether it authenticates with a secret that we make."""
        return self.token_endpoint_auth_method.startswith("client_secret")

    @property
    def must_sign_requests(self) -> bool:
        """Whether it registered that it signs its request objects."""
        return self.require_signed_request_object or self.request_object_signing_alg not in (None, "none")

    @property
    def unsigned_requests_allowed(self) -> bool:
        """Whether its request objects may be unsigned: where it registered that, or, with the profile
        ``certification``, where it registered no algorithm and may use any (Dynamic Client Registration section 2)."""
        if self.request_object_signing_alg is None:
            return self.profile == "certification" and not self.require_signed_request_object
        return self.request_object_signing_alg == "none"

    @property
    def sector_identifier(self) -> str:
        """The host that pairwise subjects are made for (OpenID Connect Core section 8.1)."""
        return _host(self.sector_identifier_uri or (self.redirect_uris[0] if self.redirect_uris else ""))

    @property
    def needs_encryption_key(self) -> bool:
        """Whether something is encrypted for it."""
        return bool(self.id_token_encrypted_response_alg or self.userinfo_encrypted_response_alg)

    def stored(self) -> dict[str, Any]:
        """Return the form that is stored: only what differs from the default, names as in the specifications.

        So the previous release can read what does not use the newest fields.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def application_type(client_type: str) -> ApplicationType:
    """Return the specification's application type for one of ours."""
    return "native" if client_type == "android" else "web"


def with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """Fill in what follows from ``type`` and ``first_party`` where the application says nothing."""
    kind = data.get("type")
    service = kind == "service"
    public = kind in ("single_page", "android") or data.get("token_endpoint_auth_method") == "none"
    response_types = data.get("response_types")
    defaults: dict[str, Any] = {
        "grant_types": _grant_types_for(response_types) if not service else ["client_credentials"],
        "response_types": [] if service else ["code"],
        "token_endpoint_auth_method": "none" if public else "client_secret_basic",
        "subject_type": "public" if data.get("first_party") is True or service else "pairwise",
        "require_pkce": public or data.get("profile", "standard") == "standard",
    }
    if service:
        defaults["scope"] = ""
    for what in ("id_token", "userinfo"):
        if data.get(f"{what}_encrypted_response_alg"):
            defaults[f"{what}_encrypted_response_enc"] = DEFAULT_ENC
    if data.get("request_object_encryption_alg"):
        defaults["request_object_encryption_enc"] = DEFAULT_ENC
    return {**defaults, **{name: value for name, value in data.items() if value is not None}}


def _grant_types_for(response_types: Any) -> list[str]:
    """Return the grant types that go with response types (Dynamic Client Registration section 2)."""
    words = {word for one in response_types or ["code"] for word in str(one).split()}
    grant_types = ["authorization_code", "refresh_token"] if "code" in words else []
    return [*grant_types, *(["implicit"] if words & {"id_token", "token"} else [])]


def _loopback_allowed(info: ValidationInfo) -> bool:
    return bool((info.context or {}).get("allow_http_loopback"))


def _contradictions(client: ClientMetadata) -> list[str]:
    checks = (_scope_problems, _flow_problems, _secret_problems, _key_problems, _crypto_problems, forbidden_relaxations)
    return [problem for check in checks for problem in check(client)]


def _scope_problems(client: ClientMetadata) -> list[str]:
    """What administrators may do, applications may only do that are the city's own."""
    ours = [name for name in client.scope.split() if name.startswith(SCOPE_PREFIX)]
    known = {one.scope for one in PERMISSIONS.values()}
    problems = [f"scope: {name} is not a permission; see docs/api.md" for name in ours if name not in known]
    for name in client.scope_reasons:
        if name not in client.scope.split():
            problems.append(f"scope_reasons: {name} is not among the scopes")
    problems += [f"claim_reasons: {problem}" for problem in _claim_problems(client)]
    if ours and not client.first_party:
        problems.append(f"scope: {ours[0]} is only for the city's own: first_party: true")
    if ours and client.is_public:
        problems.append(f"scope: {ours[0]} needs an application that can authenticate")
    if "nik" in client.scope.split() and not client.first_party:
        problems.append("scope: nik is only for the city's own: first_party: true")
    return problems


def _claim_problems(client: ClientMetadata) -> Iterator[str]:
    for name in client.claim_reasons:
        if name in COMES_WITH:
            yield f"{name} comes with {COMES_WITH[name]}: give that the reason"
        elif name == WITH_ANY or SCOPE_OF.get(name) not in client.scope.split():
            yield f"{name} is not a claim of the scopes"


def _flow_problems(client: ClientMetadata) -> list[str]:
    problems = []
    words = {word for one in client.response_types for word in one.split()}
    redirected = [kind for kind in ("authorization_code", "implicit") if kind in client.grant_types]
    if redirected and not client.redirect_uris:
        problems.append(f"redirect_uris: needs at least one for {redirected[0]}")
    if ("authorization_code" in client.grant_types) != ("code" in words):
        problems.append("response_types: code goes together with the grant type authorization_code")
    if ("implicit" in client.grant_types) != bool(words & {"id_token", "token"}):
        problems.append("response_types: id_token and token go together with the grant type implicit")
    if "refresh_token" in client.grant_types and not {"authorization_code", DEVICE_CODE} & set(client.grant_types):
        problems.append("grant_types: refresh_token needs authorization_code")
    hosts = {_host(uri) for uri in client.redirect_uris}
    if client.subject_type == "pairwise" and len(hosts) > 1 and client.sector_identifier_uri is None:
        problems.append(
            "subject_type: pairwise needs redirect_uris on one host, or a sector_identifier_uri; otherwise use public"
        )
    if redirected and "openid" not in client.scope.split():
        problems.append("scope: must hold openid")
    if client.frontchannel_logout_uri and _origin(client.frontchannel_logout_uri) not in map(
        _origin, client.redirect_uris
    ):
        problems.append(
            "frontchannel_logout_uri: must be at the origin of a redirect URI (Front-Channel Logout section 2)"
        )
    if (JWT_BEARER in client.grant_types) != bool(client.assertion_issuers):
        problems.append(f"assertion_issuers: goes together with the grant type {JWT_BEARER}")
    return problems


def _secret_problems(client: ClientMetadata) -> list[str]:
    problems = []
    if client.is_public:
        for grant_type in ("client_credentials", JWT_BEARER):
            if grant_type in client.grant_types:
                problems.append(f"grant_types: {grant_type} needs a client that can authenticate")
        if not client.require_pkce:
            problems.append("require_pkce: a public client always needs it (RFC 9700 section 2.1.1)")
    return problems


def _key_problems(client: ClientMetadata) -> list[str]:
    method, alg = client.token_endpoint_auth_method, client.token_endpoint_auth_signing_alg
    problems = []
    has_keys = client.jwks is not None or client.jwks_uri is not None
    if client.jwks is not None and client.jwks_uri is not None:
        problems.append("jwks: either jwks or jwks_uri, not both (Dynamic Client Registration section 2)")
    if method == "private_key_jwt" and not has_keys:
        problems.append("jwks: token_endpoint_auth_method: private_key_jwt needs jwks or jwks_uri")
    if client.needs_encryption_key and not has_keys:
        problems.append("jwks: encryption for the application needs jwks or jwks_uri")
    if (client.request_object_signing_alg or "none") != "none" and not has_keys:
        problems.append("jwks: signed request objects need jwks or jwks_uri")
    if client.require_signed_request_object and (client.request_object_signing_alg == "none" or not has_keys):
        problems.append("require_signed_request_object: needs a signing algorithm and jwks or jwks_uri")
    if method == "private_key_jwt" and alg == "HS256":
        problems.append(f"token_endpoint_auth_signing_alg: must be one of {', '.join(_ASYMMETRIC)} for private_key_jwt")
    if method == "client_secret_jwt" and alg not in (None, "HS256"):
        problems.append("token_endpoint_auth_signing_alg: must be HS256 for client_secret_jwt")
    if alg and method not in ("private_key_jwt", "client_secret_jwt"):
        problems.append("token_endpoint_auth_signing_alg: only for private_key_jwt and client_secret_jwt")
    return problems


def _crypto_problems(client: ClientMetadata) -> list[str]:
    problems = []
    for alg, enc in (
        ("id_token_encrypted_response_alg", "id_token_encrypted_response_enc"),
        ("userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc"),
        ("request_object_encryption_alg", "request_object_encryption_enc"),
    ):
        if getattr(client, enc) is not None and getattr(client, alg) is None:
            problems.append(f"{enc}: needs {alg}")
    if client.id_token_signed_response_alg == "none" and any("id_token" in one for one in client.response_types):
        problems.append(
            "id_token_signed_response_alg: none only where no ID token comes from the authorization endpoint "
            "(Dynamic Client Registration section 2)"
        )
    return problems


def _origin(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.scheme, parts.netloc


def _host(uri: str) -> str:
    return urlsplit(uri).hostname or urlsplit(uri).scheme
