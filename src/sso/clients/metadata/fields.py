"""The fields of a client's metadata (OpenID Connect Dynamic Client Registration section 2), each checked alone.

The rules between the fields are in ``rules.py``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from sso.clients.mappers import ClaimMappers, usable_mappers
from sso.clients.metadata.gate import GateSettings, derived
from sso.clients.metadata.types import (
    DEFAULT_ENC,
    MAX_REDIRECT_URIS,
    AllowedText,
    AndroidPackage,
    AuthMethod,
    ClientType,
    ContentEncryption,
    Fingerprint,
    GrantType,
    Group,
    HoursText,
    HttpsUri,
    KeyManagementAlg,
    Name,
    NetworkText,
    Problem,
    Problems,
    RequestUri,
    ResponseType,
    Seconds,
    Text,
    UnsignedAlg,
    application_type,
    checked_keys,
    is_stored,
    loopback_allowed,
)
from sso.clients.profiles import Profile
from sso.clients.redirect_uris import ApplicationType, check_redirect_uri
from sso.clients.roles import ApplicationRole, Interest, RoleKey
from sso.settings import SigningAlg


class AssertionIssuer(BaseModel):
    """Somebody else whose JWTs this application may exchange for access tokens (RFC 7523 section 2.1)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^\S+$")]
    jwks: dict[str, object] | None = None
    jwks_uri: HttpsUri | None = None
    subject: Literal["user_id", "identifier"] = "identifier"

    @field_validator("jwks")
    @classmethod
    def _public_keys(cls, value: dict[str, object] | None, info: ValidationInfo) -> dict[str, object] | None:
        return value if is_stored(info) else checked_keys(value)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.jwks is None) == (self.jwks_uri is None):
            raise ValueError("needs either jwks or jwks_uri")
        return self


class MetadataFields(BaseModel):
    """The fields of the metadata of a client. The rules between them are not checked; see ``ClientMetadata``."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        str_strip_whitespace=True,
        defer_build=True,  # only the subclass is ever made
    )

    type: ClientType = Field(
        description="web: a server that keeps a secret; single_page: a browser application; "
        "service: a program without people; android: a native application; cas: a server that speaks CAS instead of "
        "OpenID Connect, see docs/how-to/cas.md; gate: an application behind a proxy that asks this service about each "
        "request."
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
    claim_mappers: ClaimMappers = Field(
        default_factory=list,
        description="Claims that are made for it from others that it receives, each with `kind` and `claim`; see "
        "docs/reference/attributes.md.",
    )
    token_endpoint_auth_method: AuthMethod
    token_endpoint_auth_signing_alg: Literal["RS256", "PS256", "ES256", "EdDSA", "HS256"] | None = None
    jwks: dict[str, object] | None = Field(
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
        description="The sector of pairwise subjects, also when the redirect URIs change: the host that the "
        "application had before, so that every `sub` stays the same. Only a host of its own can be named.",
    )
    default_max_age: Seconds | None = Field(None, ge=0, description="Seconds after which users must sign in again.")
    default_acr_values: list[Annotated[str, Field(max_length=200)]] = Field(
        default_factory=list, max_length=10, description="Which `acr` it asks for where a request names none."
    )
    minimum_acr: Literal["urn:sso:acr:code", "urn:sso:acr:mfa", "urn:sso:acr:passkey"] | None = Field(
        None, description="The lowest level of a sign-in: a code as second factor, an authenticator app, or a passkey."
    )
    minimum_identity: Literal["urn:sso:identity:contact-verified", "urn:sso:identity:counter-verified"] | None = Field(
        None, description="The lowest identity assurance level: a verified contact, or a check at a counter."
    )
    allowed_roles: list[AllowedText] = Field(
        default_factory=list,
        max_length=30,
        description="Only users with one of these may use it: a role of this service (`officer`), a role that it "
        "defines (`app:operator`), a group (`group:CODE`), a unit (`unit:DINKES`), or a unit with those below it "
        "(`unit:DINKES/*`).",
    )
    listed_for: Literal["everyone", "staff"] = Field(
        "everyone",
        description="Who sees it in the list of applications: `everyone`, or `staff`: users with any role besides "
        "`citizen`, such as `employee`, and users who have used it before. It is no limit: `allowed_roles` is.",
    )
    application_roles: dict[RoleKey, ApplicationRole] = Field(
        default_factory=dict,
        max_length=50,
        description="The roles that it defines for its users, by the name that tokens have: `title` and `description`, "
        "and in English `title#en` and `description#en`; `units_give`: `limited` lets administrators of units give it "
        "for one of their units, `whole` without this limit too, `no` (the default) not at all.",
    )
    groups_of_interest: list[Interest] = Field(
        default_factory=list,
        max_length=100,
        description="The codes of the units and groups that it is told of; `DINKES/*` is a unit with those below it.",
    )
    team_gives_roles: bool = Field(
        False, description="true lets the members of its team give its roles to users, in the developer portal."
    )
    end_session_on_role_loss: bool = Field(
        False, description="true ends a user's session with it as soon as the user loses one of its roles or groups."
    )
    end_unconfirmed_roles: bool = Field(
        False, description="true ends the roles that nobody confirmed by the last day of an access review."
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
    android_package: AndroidPackage | None = Field(
        None,
        description="The package name of an Android application of the city. With its fingerprints it may open "
        "addresses of this service and use passwords and passkeys saved for it (`/.well-known/assetlinks.json`).",
    )
    android_certificate_fingerprints: list[Fingerprint] = Field(
        default_factory=list,
        max_length=5,
        description="The SHA-256 fingerprints of the certificates that sign the package, as `keytool` or the Play "
        "Console shows them.",
    )
    gate: GateSettings | None = Field(
        None,
        description="For `type: gate`: `hosts`, `public_paths`, `role_paths`, `headers`, `basic`, "
        "`session_seconds`, `idle_seconds` and `sign_out_path`; see docs/how-to/gate.md. Redirect URIs, grant type, "
        "scopes and authentication follow from it.",
    )
    require_pkce: bool = Field(True, description="false lets an old application send no code_challenge.")
    scope_claims_in_id_token: bool = Field(
        False, description="true puts what the scopes allow into the ID token too, for those that never ask userinfo."
    )
    assertion_issuers: list[AssertionIssuer] = Field(
        default_factory=list,
        max_length=10,
        description="Whose JWTs it may exchange for access tokens (RFC 7523): `issuer`, `jwks` or `jwks_uri`, and "
        "`subject`: whether `sub` is an `identifier` (username, e-mail address, phone number) or a `user_id`.",
    )

    cas_username: Literal["sub", "preferred_username", "email", "local_user_id"] = Field(
        "sub",
        description="For `type: cas`: the claim that is the username of the answer (`cas:user`). `email` is only told "
        "where it is verified. A user without it cannot sign in there.",
    )
    cas_logout_requests: bool = Field(
        True,
        description="For `type: cas`: false sends it no logout requests when a session ends, because it cannot read "
        "them.",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_type(cls, data: object) -> object:
        return with_defaults(data) if isinstance(data, dict) else data

    @field_validator("claim_mappers", mode="before")
    @classmethod
    def _usable_mappers(cls, value: object, info: ValidationInfo) -> object:
        return usable_mappers(value) if is_stored(info) else value

    @field_validator("redirect_uris", "post_logout_redirect_uris")
    @classmethod
    def _addresses(cls, value: list[str], info: ValidationInfo) -> list[str]:
        kind = application_type(info.data.get("type", "web"))
        problems = []
        for index, uri in enumerate(value):
            if is_stored(info) and ":///" in uri:  # stored before this was refused
                continue
            try:
                check_redirect_uri(uri, kind, loopback_allowed(info))
            except ValueError as error:
                problems.append(Problem(f"{uri!r} {error}", (index,)))
            if uri in value[:index]:
                problems.append(Problem("must not name an address twice", (index,)))
        if problems:
            raise Problems(problems)
        return value

    @field_validator("response_types", mode="before")
    @classmethod
    def _in_order(cls, value: object) -> object:
        """The order of the words does not matter (OAuth 2.0 Multiple Response Types section 3)."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return value
        return [" ".join(sorted(response_type.split())) for response_type in value]

    @field_validator("scope")
    @classmethod
    def _scope_tokens(cls, value: str, info: ValidationInfo) -> str:
        names = value.split()
        if "," in value and not is_stored(info):
            separated = " ".join(name for name in value.replace(",", " ").split())
            raise ValueError(f"its names are separated by spaces, not by commas: {separated}")
        for name in names:
            if any(not ("\x21" <= c <= "\x7e" and c not in '"\\') for c in name):
                raise ValueError(f"{name!r} is not a scope (RFC 6749 section 3.3)")
        return " ".join(dict.fromkeys(names))

    @field_validator("jwks")
    @classmethod
    def _public_keys(cls, value: dict[str, object] | None, info: ValidationInfo) -> dict[str, object] | None:
        return value if is_stored(info) else checked_keys(value)

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
        """Whether it has a secret that we make: to authenticate, or as the password that the gate sends it."""
        return self.token_endpoint_auth_method.startswith("client_secret") or self.sends_secret

    @property
    def sends_secret(self) -> bool:
        """Whether the gate sends it its secret, in Basic credentials."""
        return self.gate is not None and self.gate.basic is not None

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
        return self.kept_sector or host_of(
            self.sector_identifier_uri or (self.redirect_uris[0] if self.redirect_uris else "")
        )

    @property
    def needs_encryption_key(self) -> bool:
        """Whether something is encrypted for it."""
        return bool(self.id_token_encrypted_response_alg or self.userinfo_encrypted_response_alg)

    def effective(self) -> dict[str, object]:
        """Return the value of every field as it holds, written or not, names as in the specifications."""
        return self.model_dump(mode="json", by_alias=True)

    def stored(self) -> dict[str, object]:
        """Return the form that is stored: only what differs from the default, names as in the specifications.

        So the previous release can read what does not use the newest fields.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def with_defaults(data: dict[str, object]) -> dict[str, object]:
    """Fill in what follows from ``type`` and ``first_party`` where the application says nothing."""
    kind = data.get("type")
    service, cas = kind == "service", kind == "cas"
    public = kind in ("single_page", "android", "cas") or data.get("token_endpoint_auth_method") == "none"
    response_types = data.get("response_types")
    defaults: dict[str, object] = {
        "grant_types": ["client_credentials"] if service else [] if cas else _grant_types_for(response_types),
        "response_types": [] if service or cas else ["code"],
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
    written = {name: value for name, value in data.items() if value is not None}
    return {**defaults, **written, **(derived(data.get("gate")) if kind == "gate" else {})}


def _grant_types_for(response_types: object) -> list[str]:
    """Return the grant types that go with response types (Dynamic Client Registration section 2)."""
    known = response_types if isinstance(response_types, list) and response_types else ["code"]
    words = {word for item in known for word in str(item).split()}
    grant_types = ["authorization_code", "refresh_token"] if "code" in words else []
    return [*grant_types, *(["implicit"] if words & {"id_token", "token"} else [])]


def host_of(uri: str) -> str:
    """Return the host of a URI; of a private-use URI, which has no host, its scheme."""
    return urlsplit(uri).hostname or urlsplit(uri).scheme
