"""What an application may register: OpenID Connect Dynamic Client Registration section 2, as far as it works here.

Strict by default. What relaxes a rule is a field of its own, named for what it relaxes, so that it is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sso.clients.access_policy import check_hours, check_network
from sso.clients.claims import COMES_WITH, SCOPE_OF, WITH_ANY
from sso.clients.profiles import RELAXATIONS, Profile, forbidden
from sso.clients.redirect_uris import ApplicationType, check_https_uri, check_redirect_uri
from sso.platform.permissions import PERMISSIONS, SCOPE_PREFIX, RoleName
from sso.platform.security.public_keys import check_key_set
from sso.platform.security.text import check_line, composed, one_line
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
    kept_sector: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[a-z0-9.+:-]+$")] | None = Field(
        None,
        description="The sector that pairwise subjects are made for, whatever the redirect URIs are now: the host that "
        "it had before, so that every `sub` stays. Only its own of until now.",
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
        problems = []
        for index, uri in enumerate(value):
            if _is_stored(info) and ":///" in uri:  # stored before this was refused
                continue
            try:
                check_redirect_uri(uri, kind, _loopback_allowed(info))
            except ValueError as error:
                problems.append(Problem(f"{uri!r} {error}", (index,)))
            if uri in value[:index]:
                problems.append(Problem("must not name an address twice", (index,)))
        if problems:
            raise Problems(problems)
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
    def _scope_tokens(cls, value: str, info: ValidationInfo) -> str:
        names = value.split()
        if "," in value and not _is_stored(info):
            separated = " ".join(name for name in value.replace(",", " ").split())
            raise ValueError(f"its names are separated by spaces, not by commas: {separated}")
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
        problems = [Problem(one) for one in _contradictions(self, _may_have_own_secret(info.context))]
        if problems:
            raise Problems(problems)
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
        """The host that pairwise subjects are made for (OpenID Connect Core section 8.1), or the one that was kept."""
        return self.kept_sector or _host(
            self.sector_identifier_uri or (self.redirect_uris[0] if self.redirect_uris else "")
        )

    @property
    def needs_encryption_key(self) -> bool:
        """Whether something is encrypted for it."""
        return bool(self.id_token_encrypted_response_alg or self.userinfo_encrypted_response_alg)

    def effective(self) -> dict[str, Any]:
        """Return the value of every field as it holds, written or not, names as in the specifications."""
        return self.model_dump(mode="json", by_alias=True)

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
    known = response_types if isinstance(response_types, list) and response_types else ["code"]
    words = {word for one in known for word in str(one).split()}
    grant_types = ["authorization_code", "refresh_token"] if "code" in words else []
    return [*grant_types, *(["implicit"] if words & {"id_token", "token"} else [])]


def _loopback_allowed(info: ValidationInfo) -> bool:
    return bool((info.context or {}).get("allow_http_loopback"))


class _Unreadable(Exception):
    """A rule asks for a field that cannot be read."""


class _Partial:
    """Metadata of which some fields cannot be read: a rule that asks for one of them is left out."""

    def __init__(self, readable: ClientMetadata, wrong: Collection[str]) -> None:
        self._readable, self._wrong = readable, wrong

    def __getattr__(self, name: str) -> Any:
        if name in self._wrong:
            raise _Unreadable(name)
        found = getattr(ClientMetadata, name, None)
        return found.fget(self) if isinstance(found, property) and found.fget else getattr(self._readable, name)


_FOLLOWS = {
    "type": ("grant_types", "response_types", "token_endpoint_auth_method", "subject_type", "require_pkce", "scope"),
    "first_party": ("subject_type",),
    "response_types": ("grant_types",),
    "profile": ("require_pkce",),
    "token_endpoint_auth_method": ("require_pkce",),
}
"""Which fields follow from another one where they are not written."""
_PLACEHOLDERS = {"type": "web", "client_name": "x"}


def contradictions_in(document: Mapping[str, Any], wrong: Collection[str], context: dict[str, Any]) -> list[str]:
    """Return what contradicts itself in metadata of which some fields cannot be read, as ``field: text``.

    Args:
        document: what was written.
        wrong: the names of the fields that cannot be read.
        context: with what it is checked.
    """
    names = {field.alias or name for name, field in ClientMetadata.model_fields.items()}
    readable = {name: value for name, value in document.items() if name in names and name not in wrong}
    unknown = {name for name in wrong if name in names}
    for name in wrong:
        unknown |= {one for one in _FOLLOWS.get(name, ()) if readable.get(one) is None}
    try:
        made = _Readable.model_validate({**_PLACEHOLDERS, **readable}, context=context)
    except ValidationError:
        return []
    return _contradictions(_Partial(made, unknown), _may_have_own_secret(context))


def _may_have_own_secret(context: Mapping[str, Any] | None) -> bool:
    """Tell whether the metadata are of an instance that registered itself, or were stored before."""
    return bool(context and (context.get("stored") or context.get("own_secret")))


def _contradictions(client: Any, own_secret: bool) -> list[str]:
    """Return every contradiction between fields. Each rule stands alone, so that one field that cannot be read hides no
    mistake in others."""
    found = []
    for rule in _RULES if own_secret else (*_RULES, _installed_keeps_no_secret):
        try:
            found += list(rule(client))
        except _Unreadable:
            continue
    for relaxation in RELAXATIONS:
        try:
            found += forbidden(relaxation, client)
        except _Unreadable:
            continue
    return found


def _our_scopes(client: ClientMetadata) -> list[str]:
    return [name for name in client.scope.split() if name.startswith(SCOPE_PREFIX)]


def _permissions_exist(client: ClientMetadata) -> Iterator[str]:
    known = {one.scope for one in PERMISSIONS.values()}
    for name in _our_scopes(client):
        if name not in known:
            yield f"scope: {name} is not a permission; see docs/api.md"


def _scope_reasons_are_of_scopes(client: ClientMetadata) -> Iterator[str]:
    for name in client.scope_reasons:
        if name not in client.scope.split():
            yield f"scope_reasons: {name} is not among the scopes"


def _claim_reasons_are_of_scopes(client: ClientMetadata) -> Iterator[str]:
    for name in client.claim_reasons:
        if name in COMES_WITH:
            yield f"claim_reasons: {name} comes with {COMES_WITH[name]}: give that the reason"
        elif name == WITH_ANY or SCOPE_OF.get(name) not in client.scope.split():
            yield f"claim_reasons: {name} is not a claim of the scopes"


def _permissions_are_for_first_parties(client: ClientMetadata) -> Iterator[str]:
    """What administrators may do, applications may only do that are the city's own."""
    ours = _our_scopes(client)
    if ours and not client.first_party:
        yield f"scope: {ours[0]} is only for the city's own: first_party: true"


def _permissions_need_authentication(client: ClientMetadata) -> Iterator[str]:
    ours = _our_scopes(client)
    if ours and client.is_public:
        yield f"scope: {ours[0]} needs an application that can authenticate"


def _nik_is_for_first_parties(client: ClientMetadata) -> Iterator[str]:
    if "nik" in client.scope.split() and not client.first_party:
        yield "scope: nik is only for the city's own: first_party: true"


def _redirected(client: ClientMetadata) -> list[str]:
    return [kind for kind in ("authorization_code", "implicit") if kind in client.grant_types]


def _redirect_uri_is_there(client: ClientMetadata) -> Iterator[str]:
    redirected = _redirected(client)
    if redirected and not client.redirect_uris:
        yield f"redirect_uris: needs at least one for {redirected[0]}"


def _response_types_fit_grant_types(client: ClientMetadata) -> Iterator[str]:
    words = {word for one in client.response_types for word in one.split()}
    if ("authorization_code" in client.grant_types) != ("code" in words):
        yield "response_types: code goes together with the grant type authorization_code"
    if ("implicit" in client.grant_types) != bool(words & {"id_token", "token"}):
        yield "response_types: id_token and token go together with the grant type implicit"


def _refresh_tokens_have_a_source(client: ClientMetadata) -> Iterator[str]:
    if "refresh_token" in client.grant_types and not {"authorization_code", DEVICE_CODE} & set(client.grant_types):
        yield "grant_types: refresh_token needs authorization_code"


def _pairwise_has_one_sector(client: ClientMetadata) -> Iterator[str]:
    """OpenID Connect Core section 8.1."""
    hosts = {_host(uri) for uri in client.redirect_uris}
    if client.subject_type == "pairwise" and len(hosts) > 1 and client.sector_identifier_uri is None:
        yield "subject_type: pairwise needs redirect_uris on one host, or a sector_identifier_uri; otherwise use public"
    if client.kept_sector and client.subject_type != "pairwise":
        yield "kept_sector: only for subject_type: pairwise"


def _scope_holds_openid(client: ClientMetadata) -> Iterator[str]:
    if _redirected(client) and "openid" not in client.scope.split():
        yield "scope: must hold openid"


def _front_channel_is_at_a_redirect_origin(client: ClientMetadata) -> Iterator[str]:
    origins = map(_origin, client.redirect_uris)
    if client.frontchannel_logout_uri and _origin(client.frontchannel_logout_uri) not in origins:
        yield "frontchannel_logout_uri: must be at the origin of a redirect URI (Front-Channel Logout section 2)"


def _assertion_issuers_fit_grant_types(client: ClientMetadata) -> Iterator[str]:
    if (JWT_BEARER in client.grant_types) != bool(client.assertion_issuers):
        yield f"assertion_issuers: goes together with the grant type {JWT_BEARER}"


def _installed_keeps_no_secret(client: ClientMetadata) -> Iterator[str]:
    if client.has_shared_secret:
        yield (
            "token_endpoint_auth_method: must be none, because everybody who has the application can read what is "
            "in it (RFC 8252 section 8.5). An instance that registers itself may have a secret of its own "
            "(section 8.4)"
        )


def _grants_need_authentication(client: ClientMetadata) -> Iterator[str]:
    for grant_type in ("client_credentials", JWT_BEARER):
        if client.is_public and grant_type in client.grant_types:
            yield f"grant_types: {grant_type} needs a client that can authenticate"


def _public_needs_pkce(client: ClientMetadata) -> Iterator[str]:
    if client.is_public and not client.require_pkce:
        yield "require_pkce: a public client always needs it (RFC 9700 section 2.1.1)"


def _has_keys(client: ClientMetadata) -> bool:
    return client.jwks is not None or client.jwks_uri is not None


def _one_source_of_keys(client: ClientMetadata) -> Iterator[str]:
    if client.jwks is not None and client.jwks_uri is not None:
        yield "jwks: either jwks or jwks_uri, not both (Dynamic Client Registration section 2)"


def _keys_are_there(client: ClientMetadata) -> Iterator[str]:
    if client.token_endpoint_auth_method == "private_key_jwt" and not _has_keys(client):
        yield "jwks: token_endpoint_auth_method: private_key_jwt needs jwks or jwks_uri"


def _encryption_has_keys(client: ClientMetadata) -> Iterator[str]:
    if client.needs_encryption_key and not _has_keys(client):
        yield "jwks: encryption for the application needs jwks or jwks_uri"


def _request_objects_have_keys(client: ClientMetadata) -> Iterator[str]:
    if (client.request_object_signing_alg or "none") != "none" and not _has_keys(client):
        yield "jwks: signed request objects need jwks or jwks_uri"


def _signed_requests_can_be_signed(client: ClientMetadata) -> Iterator[str]:
    if client.require_signed_request_object and (client.request_object_signing_alg == "none" or not _has_keys(client)):
        yield "require_signed_request_object: needs a signing algorithm and jwks or jwks_uri"


def _assertion_alg_fits_method(client: ClientMetadata) -> Iterator[str]:
    method, alg = client.token_endpoint_auth_method, client.token_endpoint_auth_signing_alg
    if method == "private_key_jwt" and alg == "HS256":
        yield f"token_endpoint_auth_signing_alg: must be one of {', '.join(_ASYMMETRIC)} for private_key_jwt"
    if method == "client_secret_jwt" and alg not in (None, "HS256"):
        yield "token_endpoint_auth_signing_alg: must be HS256 for client_secret_jwt"
    if alg and method not in ("private_key_jwt", "client_secret_jwt"):
        yield "token_endpoint_auth_signing_alg: only for private_key_jwt and client_secret_jwt"


def _enc_has_alg(client: ClientMetadata) -> Iterator[str]:
    for alg, enc in (
        ("id_token_encrypted_response_alg", "id_token_encrypted_response_enc"),
        ("userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc"),
        ("request_object_encryption_alg", "request_object_encryption_enc"),
    ):
        if getattr(client, enc) is not None and getattr(client, alg) is None:
            yield f"{enc}: needs {alg}"


def _unsigned_id_tokens_only_from_the_token_endpoint(client: ClientMetadata) -> Iterator[str]:
    if client.id_token_signed_response_alg == "none" and any("id_token" in one for one in client.response_types):
        yield (
            "id_token_signed_response_alg: none only where no ID token comes from the authorization endpoint "
            "(Dynamic Client Registration section 2)"
        )


_RULES: tuple[Callable[[Any], Iterator[str]], ...] = (
    _permissions_exist,
    _scope_reasons_are_of_scopes,
    _claim_reasons_are_of_scopes,
    _permissions_are_for_first_parties,
    _permissions_need_authentication,
    _nik_is_for_first_parties,
    _redirect_uri_is_there,
    _response_types_fit_grant_types,
    _refresh_tokens_have_a_source,
    _pairwise_has_one_sector,
    _scope_holds_openid,
    _front_channel_is_at_a_redirect_origin,
    _assertion_issuers_fit_grant_types,
    _grants_need_authentication,
    _public_needs_pkce,
    _one_source_of_keys,
    _keys_are_there,
    _encryption_has_keys,
    _request_objects_have_keys,
    _signed_requests_can_be_signed,
    _assertion_alg_fits_method,
    _enc_has_alg,
    _unsigned_id_tokens_only_from_the_token_endpoint,
)


def _origin(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.scheme, parts.netloc


def _host(uri: str) -> str:
    return urlsplit(uri).hostname or urlsplit(uri).scheme


class _Readable(ClientMetadata):
    """The same fields, without the rules between them."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        return self
