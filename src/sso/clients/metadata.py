"""What an application may register: OpenID Connect Dynamic Client Registration section 2, as far as it works here.

Strict by default. What relaxes a rule is a field of its own, named for what it relaxes, so that it is seen.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import jwt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from sso.clients.uris import ApplicationType, check_https_uri, check_redirect_uri
from sso.settings import SigningAlg

ClientType = Literal["web", "single_page", "service", "android"]
AuthMethod = Literal["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"]
GrantType = Literal["authorization_code", "refresh_token", "client_credentials"]

OIDC_SCOPES = ("openid", "profile", "email", "address", "phone", "offline_access")
GROUPS = ("E-Pemerintahan", "E-Kesehatan", "E-Pendidikan", "E-Logistik", "E-Pengadaan")
MAX_REDIRECT_URIS = 20

_ASYMMETRIC = ("RS256", "PS256", "ES256", "EdDSA")


def _https(value: str, info: ValidationInfo) -> str:
    check_https_uri(value, _loopback_allowed(info))
    return value


HttpsUri = Annotated[str, AfterValidator(_https)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f<>]+$")]
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f<>]+$")]


class ClientMetadata(BaseModel):
    """The configuration of one application.

    Validate with ``context={"allow_http_loopback": True}`` where loopback addresses over http are allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, str_strip_whitespace=True)

    type: ClientType = Field(
        description="web: a server that keeps a secret; single_page: a browser application; "
        "service: a program without people; android: a native application."
    )
    group: str | None = Field(None, min_length=1, max_length=60, description="The group it is listed in.")
    client_name: Name = Field(description="Its name, in Indonesian; `client_name#en` in English.")
    client_name_en: Name | None = Field(None, alias="client_name#en")
    description: Text | None = Field(None, description="What it is for; `description#en` in English.")
    description_en: Text | None = Field(None, alias="description#en")
    client_uri: HttpsUri | None = Field(None, description="Its home page.")
    policy_uri: HttpsUri | None = Field(None, description="Its privacy policy, shown on the sign-in and consent pages.")
    tos_uri: HttpsUri | None = Field(None, description="Its terms, shown on the sign-in and consent pages.")
    initiate_login_uri: HttpsUri | None = Field(
        None, description="Where the application begins a sign-in. Kept, not used yet."
    )
    contacts: list[Annotated[str, Field(max_length=254)]] = Field(default_factory=list, max_length=10)

    redirect_uris: list[str] = Field(default_factory=list, max_length=MAX_REDIRECT_URIS)
    post_logout_redirect_uris: list[str] = Field(default_factory=list, max_length=MAX_REDIRECT_URIS)
    grant_types: list[GrantType]
    response_types: list[Literal["code"]]
    scope: str = Field("openid profile email", description="Scopes it may ask for, separated by spaces.")
    token_endpoint_auth_method: AuthMethod
    token_endpoint_auth_signing_alg: Literal["RS256", "PS256", "ES256", "EdDSA", "HS256"] | None = None
    jwks: dict[str, Any] | None = Field(None, description="Its public keys, for private_key_jwt.")
    id_token_signed_response_alg: SigningAlg | None = None
    subject_type: Literal["public", "pairwise"]
    default_max_age: int | None = Field(None, ge=0, description="Seconds after which people sign in anew.")
    require_auth_time: bool = False
    backchannel_logout_uri: HttpsUri | None = None
    backchannel_logout_session_required: bool = True

    first_party: bool = Field(False, description="The city's own: people are not asked for consent.")
    access_token_format: Literal["jwt", "opaque"] = "jwt"
    audience: Annotated[str, Field(max_length=255, pattern=r"^\S+$")] | None = Field(
        None, description="The `aud` of its access tokens; the issuer where none is named."
    )
    resource_identifier: Annotated[str, Field(max_length=255, pattern=r"^\S+$")] | None = Field(
        None, description="A resource server: it may introspect tokens of others whose `aud` is this."
    )
    require_pkce: bool = Field(True, description="false lets an old application send no code_challenge.")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_type(cls, data: Any) -> Any:
        return with_defaults(data) if isinstance(data, dict) else data

    @field_validator("redirect_uris", "post_logout_redirect_uris")
    @classmethod
    def _addresses(cls, value: list[str], info: ValidationInfo) -> list[str]:
        kind = application_type(info.data.get("type", "web"))
        for uri in value:
            try:
                check_redirect_uri(uri, kind, _loopback_allowed(info))
            except ValueError as error:
                raise ValueError(f"{uri!r} {error}") from None
        if len(set(value)) != len(value):
            raise ValueError("must not name an address twice")
        return value

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
    def _public_keys(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is None:
            return None
        keys = value.get("keys")
        if not isinstance(keys, list) or not 1 <= len(keys) <= 10:
            raise ValueError("must have 1 to 10 keys")
        for key in keys:
            if not isinstance(key, dict) or key.get("kty") not in ("RSA", "EC", "OKP"):
                raise ValueError("must hold RSA, EC or OKP keys")
            if any(member in key for member in ("d", "p", "q", "dp", "dq", "qi", "k")):
                raise ValueError("must hold public keys only: take the private members (d, p, q...) out")
            try:
                jwt.PyJWK(key)
            except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
                raise ValueError(f"holds a key that cannot be used: {error}") from None
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for problem in _contradictions(self):
            raise ValueError(problem)
        return self

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
    def sector_identifier(self) -> str:
        """The host that pairwise subjects are made for (OpenID Connect Core section 8.1)."""
        uri = self.redirect_uris[0] if self.redirect_uris else ""
        return urlsplit(uri).hostname or urlsplit(uri).scheme

    def stored(self) -> dict[str, Any]:
        """Return the form that is stored: only what is not empty, names as in the specifications."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def application_type(client_type: str) -> ApplicationType:
    """Return the specification's application type for one of ours."""
    return "native" if client_type == "android" else "web"


def with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """Fill in what follows from ``type`` and ``first_party`` where the application says nothing."""
    kind = data.get("type")
    service = kind == "service"
    public = kind in ("single_page", "android")
    defaults: dict[str, Any] = {
        "grant_types": ["client_credentials"] if service else ["authorization_code", "refresh_token"],
        "response_types": [] if service else ["code"],
        "token_endpoint_auth_method": "none" if public else "client_secret_basic",
        "subject_type": "public" if data.get("first_party") is True or service else "pairwise",
    }
    if service:
        defaults["scope"] = ""
    return {**defaults, **{name: value for name, value in data.items() if value is not None}}


def _loopback_allowed(info: ValidationInfo) -> bool:
    return bool((info.context or {}).get("allow_http_loopback"))


def _contradictions(client: ClientMetadata) -> list[str]:
    return [problem for check in (_flow_problems, _secret_problems, _key_problems) for problem in check(client)]


def _flow_problems(client: ClientMetadata) -> list[str]:
    problems = []
    has_code = "authorization_code" in client.grant_types
    if has_code and not client.redirect_uris:
        problems.append("redirect_uris: needs at least one for authorization_code")
    if has_code != ("code" in client.response_types):
        problems.append("response_types: code goes together with the grant type authorization_code")
    if "refresh_token" in client.grant_types and not has_code:
        problems.append("grant_types: refresh_token needs authorization_code")
    if client.subject_type == "pairwise" and len({_host(uri) for uri in client.redirect_uris}) > 1:
        problems.append("subject_type: pairwise needs redirect_uris on one host; otherwise use public")
    if has_code and "openid" not in client.scope.split():
        problems.append("scope: must hold openid")
    return problems


def _secret_problems(client: ClientMetadata) -> list[str]:
    problems = []
    if client.type in ("single_page", "android") and not client.is_public:
        problems.append("token_endpoint_auth_method: must be none, because what is installed cannot keep a secret")
    if client.is_public and "client_credentials" in client.grant_types:
        problems.append("grant_types: client_credentials needs a client that can authenticate")
    if client.is_public and not client.require_pkce:
        problems.append("require_pkce: a public client always needs it (RFC 9700 section 2.1.1)")
    return problems


def _key_problems(client: ClientMetadata) -> list[str]:
    method, alg = client.token_endpoint_auth_method, client.token_endpoint_auth_signing_alg
    problems = []
    if (method == "private_key_jwt") != (client.jwks is not None):
        problems.append("jwks: goes together with token_endpoint_auth_method: private_key_jwt")
    if method == "private_key_jwt" and alg == "HS256":
        problems.append(f"token_endpoint_auth_signing_alg: must be one of {', '.join(_ASYMMETRIC)} for private_key_jwt")
    if method == "client_secret_jwt" and alg not in (None, "HS256"):
        problems.append("token_endpoint_auth_signing_alg: must be HS256 for client_secret_jwt")
    if alg and method not in ("private_key_jwt", "client_secret_jwt"):
        problems.append("token_endpoint_auth_signing_alg: only for private_key_jwt and client_secret_jwt")
    return problems


def _host(uri: str) -> str:
    return urlsplit(uri).hostname or urlsplit(uri).scheme
