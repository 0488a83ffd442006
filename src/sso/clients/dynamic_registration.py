"""Applications that register and manage themselves (RFC 7591, RFC 7592, OpenID Connect Dynamic Client Registration).

They may say what the specifications let them say. What only the city may say (that it is the city's own, which rules it
is freed from, which resources it serves) is left out, as RFC 7591 section 2 has it for what a server does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import ValidationError
from sqlalchemy import ColumnElement, and_, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.metadata import FIRST_PARTY_SCOPES, OIDC_SCOPES, STANDARD_SCOPES, ClientMetadata
from sso.clients.models import SELF_REGISTERED, ClientRegistration, ClientRow, Invitation
from sso.clients.profiles import PROFILES, Profile
from sso.clients.registry import stored_metadata
from sso.clients.secrets import secret_row
from sso.clients.validation_errors import FieldMistake, mistakes_of, nearest_name, not_a_list, not_text
from sso.platform.audit import record
from sso.platform.db import bump_version, delete_batch, fetch, table_of
from sso.platform.security.encryption import SecretBox
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json
from sso.platform.security.outbound_errors import OutboundFailed, OutboundRefused, public_reason
from sso.platform.security.tokens import equal, random_token, token_hash

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound

_NOT_THEIRS = (
    "type", "profile", "group", "description", "description#en", "first_party", "access_token_format", "audience",
    "resource_identifier", "require_pkce", "scope_claims_in_id_token", "assertion_issuers", "scope_reasons",
    "claim_reasons", "allowed_roles", "listed_for", "allowed_networks", "allowed_hours", "access_token_seconds",
    "refresh_token_seconds", "application_roles", "groups_of_interest", "team_gives_roles", "end_session_on_role_loss",
    "end_unconfirmed_roles", "claim_mappers", "android_package", "android_certificate_fingerprints",
)  # fmt: skip
THEIRS = tuple(
    name
    for name in (field.alias or name for name, field in ClientMetadata.model_fields.items())
    if name not in _NOT_THEIRS
)
_NEVER_SENT = (
    "registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at",
)  # fmt: skip
_OF_THE_PROTOCOL = (*_NEVER_SENT, *_NOT_THEIRS, "client_id", "client_secret", "application_type", "software_id",
    "software_version", "software_statement", "client_name#id",
)  # fmt: skip
MAX_TEXT_CHARS = 1000
DEFAULT_ID_TOKEN_ALG = "RS256"
_WITH_RESPONSE_TYPES = ("authorization_code", "implicit")
"""The grant types that follow from the response types, whatever was said of them (RFC 7591 section 2.1)."""


class RegistrationRefused(Exception):
    """What was sent cannot be registered. ``error`` is one of RFC 7591 section 3.2.2, or ``invalid_token``."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration. ``secret`` and ``token`` are there only when they are new."""

    client_id: str
    metadata: ClientMetadata
    issued_at: int
    secret: str | None = None
    token: str | None = None


def read_registration(document: object, profile: Profile, allow_http_loopback: bool) -> ClientMetadata:
    """Return what an application says of itself.

    Args:
        document: the JSON that it sent.
        profile: which rules may be relaxed.
        allow_http_loopback: whether loopback addresses over http are allowed.

    Raises:
        RegistrationRefused: naming each field that is wrong, in words that a developer can act on.
    """
    if not isinstance(document, dict):
        raise RegistrationRefused("invalid_client_metadata", "Send a JSON object (RFC 7591 section 3.1).")
    sent = {name: value for name, value in document.items() if value is not None}
    known = {name: sent[name] for name in THEIRS if name in sent}
    fields = {**known, **_derived(sent, known), "profile": profile}
    if fields["token_endpoint_auth_method"] not in ("private_key_jwt", "client_secret_jwt"):
        fields.pop("token_endpoint_auth_signing_alg", None)  # libraries send it whatever the method is
    context = {"allow_http_loopback": allow_http_loopback, "own_secret": True}
    try:
        return ClientMetadata.model_validate(fields, context=context)
    except ValidationError as error:
        raise _refused(mistakes_of(fields, error, context), sent) from None


def _derived(sent: dict[str, object], known: dict[str, object]) -> dict[str, object]:
    """Return what follows from the rest (Dynamic Client Registration section 2, RFC 7591 section 2)."""
    kind = sent.get("application_type", "web")
    if kind not in ("web", "native"):
        raise RegistrationRefused("invalid_client_metadata", "application_type: must be web or native.")
    grant_types = _texts("grant_types", sent.get("grant_types", ["authorization_code"]))
    default = ["code"] if set(grant_types) & set(_WITH_RESPONSE_TYPES) else []
    response_types = _texts("response_types", sent.get("response_types", default))
    words = {word for response_type in response_types for word in response_type.split()}
    needed = [
        name for name, of in (("authorization_code", {"code"}), ("implicit", {"id_token", "token"})) if words & of
    ]
    service = grant_types == ["client_credentials"]
    method = sent.get("token_endpoint_auth_method", "none" if kind == "native" else "client_secret_basic")
    name = sent.get("client_name", sent.get("client_name#id"))
    redirect_uris = _texts("redirect_uris", sent.get("redirect_uris", []))
    web = "single_page" if method == "none" else "web"
    return {
        "type": "service" if service else "android" if kind == "native" else web,
        "client_name": name or (urlsplit(redirect_uris[0]).hostname if redirect_uris else None) or "Aplikasi",
        "response_types": response_types,
        "grant_types": list(
            dict.fromkeys(
                [*needed, *(grant_type for grant_type in grant_types if grant_type not in _WITH_RESPONSE_TYPES)]
            )
        ),
        "token_endpoint_auth_method": method,
        "subject_type": sent.get("subject_type") or _subject_type(known, redirect_uris),
        "id_token_signed_response_alg": sent.get("id_token_signed_response_alg", DEFAULT_ID_TOKEN_ALG),
        "scope": _scope(sent.get("scope"), service),
    }


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list):
        raise RegistrationRefused("invalid_client_metadata", f"{name}: {not_a_list(value)}.")
    for item in value:
        if not isinstance(item, str):
            raise RegistrationRefused("invalid_client_metadata", f"{name}: {not_text(item)}.")
    return list(value)


def _subject_type(known: dict[str, object], redirect_uris: list[str]) -> str:
    hosts = {urlsplit(uri).hostname for uri in redirect_uris}
    return "pairwise" if len(hosts) < 2 or "sector_identifier_uri" in known else "public"


def _scope(scope: object, service: bool) -> str:
    """Return what may be asked for: of OpenID Connect's scopes those that were named. Others only the city gives."""
    if service:
        return ""
    if scope is None:
        return " ".join(STANDARD_SCOPES)
    if not isinstance(scope, str):
        raise RegistrationRefused("invalid_client_metadata", f"scope: {not_text(scope, separated=True)}.")
    if "," in scope:
        text = f"scope: its names are separated by spaces, not by commas: {' '.join(scope.replace(',', ' ').split())}."
        raise RegistrationRefused("invalid_client_metadata", text)
    return " ".join(
        dict.fromkeys(
            ["openid", *(name for name in scope.split() if name in OIDC_SCOPES and name not in FIRST_PARTY_SCOPES)]
        )
    )


def _refused(mistakes: list[FieldMistake], sent: Mapping[str, object]) -> RegistrationRefused:
    """Return the refusal of a registration: every mistake, and which unknown fields were probably meant otherwise. The
    others are ignored (RFC 7591 section 2)."""
    texts = [f"{mistake.field}: {mistake.text}" if mistake.field else mistake.text for mistake in mistakes]
    for name in sent:
        near = nearest_name(name, THEIRS) if name not in (*THEIRS, *_OF_THE_PROTOCOL) else ""
        if near and near not in sent:
            texts.append(f"{name}: is not known: {near} is probably meant")
    of_redirects = bool(mistakes) and mistakes[0].field.partition(".")[0] == "redirect_uris"
    error = "invalid_redirect_uri" if of_redirects else "invalid_client_metadata"
    return RegistrationRefused(error, "; ".join(texts)[:MAX_TEXT_CHARS].rstrip(".") + ".")


async def check_sector(outbound: Outbound, metadata: ClientMetadata) -> None:
    """Check that the document at ``sector_identifier_uri`` lists every redirect URI (Registration section 5).

    Raises:
        RegistrationRefused: when it does not, or cannot be had.
    """
    uri = metadata.sector_identifier_uri
    if uri is None:
        return
    try:
        listed = read_json(await outbound.get(uri))
    except (OutboundRefused, OutboundFailed) as error:
        text = f"sector_identifier_uri: cannot be read: {public_reason(uri, error)}."
        raise RegistrationRefused("invalid_client_metadata", text) from None
    except (NotJson, DocumentRefused) as error:
        text = f"sector_identifier_uri: cannot be read: {error}."
        raise RegistrationRefused("invalid_client_metadata", text) from None
    missing = [uri for uri in metadata.redirect_uris if not isinstance(listed, list) or uri not in listed]
    if missing:
        text = f"sector_identifier_uri: does not list {missing[0]} (OpenID Connect Registration section 5)."
        raise RegistrationRefused("invalid_client_metadata", text)


async def find_invitation(session: AsyncSession, token: str) -> Profile:
    """Return the profile that an initial access token allows.

    Raises:
        RegistrationRefused: when it is unknown, over, or used up.
    """
    profile = (await session.execute(select(Invitation.profile).where(_usable(token)))).scalar_one_or_none()
    return _profile(profile)


_i = table_of(Invitation).c
_USABLE_PROFILES = (
    select(_i.profile, _i.expires_at)
    .where(_i.expires_at > bindparam("now"), or_(_i.uses_left.is_(None), _i.uses_left > 0))
    .distinct()
)


async def usable_profiles(session: AsyncSession) -> list[tuple[Profile, datetime]]:
    """Return the profile that each usable initial access token allows, and when the token ends."""
    return [(_profile(row[0]), row[1]) for row in await fetch(session, _USABLE_PROFILES, {"now": clock.now()})]


async def use_invitation(session: AsyncSession, token: str) -> None:
    """Count one use of an initial access token. Of many callers at once no more than it allows succeed.

    Raises:
        RegistrationRefused: when it is unknown, over, or used up.
    """
    statement = update(Invitation).where(_usable(token)).values(uses_left=Invitation.uses_left - 1)
    _profile((await session.execute(statement.returning(Invitation.profile))).scalar_one_or_none())


def _usable(token: str) -> ColumnElement[bool]:
    left = or_(Invitation.uses_left.is_(None), Invitation.uses_left > 0)
    return and_(Invitation.token_hash == token_hash(token), Invitation.expires_at > clock.now(), left)


def _profile(stored: str | None) -> Profile:
    profile = next((profile for profile in PROFILES if profile == stored), None)
    if profile is None:
        raise RegistrationRefused("invalid_token", "The initial access token is unknown, over, or used up.")
    return profile


async def invite(
    session: AsyncSession, profile: Profile, note: str, *, days: int, uses: int | None, actor: str = "cli"
) -> str:
    """Make an initial access token and return it: it is not shown again.

    Args:
        session: the transaction.
        profile: which rules the applications may be freed from.
        note: for whom it is.
        days: how long it can be used.
        uses: how many applications may be registered with it; None: any number.
        actor: who asks.
    """
    token, now = random_token(), clock.now()
    await bump_version(session, "clients")  # discovery says what the profile permits
    session.add(
        Invitation(
            token_hash=token_hash(token),
            profile=profile,
            note=note,
            uses_left=uses,
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
    )
    record(session, "client.invited", actor=actor, data={"profile": profile, "note": note, "uses": uses})
    return token


async def register(
    session: AsyncSession, box: SecretBox, metadata: ClientMetadata, *, address: str | None
) -> Registered:
    """Register an application within the transaction of ``session``."""
    client_id, token, now = random_token()[:22].replace("-", "x").replace("_", "y"), random_token(), clock.now()
    row = {
        "client_id": client_id,
        "catalogue": SELF_REGISTERED,
        "status": "active",
        "metadata": metadata.stored(),
        "version": await bump_version(session, "clients"),
        "created_at": now,
        "updated_at": now,
    }
    await store.insert_clients(session, [row])
    session.add(ClientRegistration(client_id=client_id, token_hash=token_hash(token), created_at=now))
    secret = _new_secret(session, box, client_id, metadata)
    record(session, "client.registered", client_id=client_id, address=address, data={"profile": metadata.profile})
    return Registered(client_id, metadata, int(now.timestamp()), secret, token)


async def find_registered(session: AsyncSession, client_id: str, token: str) -> Registered:
    """Return the registration that ``token`` manages (RFC 7592 section 2.1).

    Raises:
        RegistrationRefused: when it manages none, or another.
    """
    statement = select(ClientRow, ClientRegistration.token_hash).join(
        ClientRegistration, ClientRegistration.client_id == ClientRow.client_id
    )
    row = (await session.execute(statement.where(ClientRow.client_id == client_id))).first()
    if row is None or not equal(row[1], token_hash(token)) or row[0].status != "active":
        raise RegistrationRefused("invalid_token", "The registration access token does not manage this application.")
    return Registered(client_id, stored_metadata(row[0].metadata_), int(row[0].created_at.timestamp()))


def check_update(present: Registered, document: object, secret_is: Callable[[str], bool]) -> None:
    """Check what RFC 7592 section 2.2 demands of an update besides the metadata.

    Args:
        present: the registration.
        document: what was sent.
        secret_is: tells whether a text is the application's secret.

    Raises:
        RegistrationRefused: when it holds what it must not, or is not about this application.
    """
    if not isinstance(document, dict):
        raise RegistrationRefused("invalid_client_metadata", "Send a JSON object (RFC 7592 section 2.2).")
    sent = [name for name in _NEVER_SENT if name in document]
    if sent:
        raise RegistrationRefused("invalid_client_metadata", f"{sent[0]}: must not be sent (RFC 7592 section 2.2).")
    if document.get("client_id") != present.client_id:
        raise RegistrationRefused("invalid_client_metadata", "client_id: must be the application's own.")
    secret = document.get("client_secret")
    if secret is not None and not (isinstance(secret, str) and secret_is(secret)):
        raise RegistrationRefused("invalid_client_metadata", "client_secret: must be the present one, or left out.")


async def replace_registration(
    session: AsyncSession, box: SecretBox, present: Registered, metadata: ClientMetadata, *, address: str | None
) -> Registered:
    """Put ``metadata`` in place of what is registered; make a secret where one is needed and there was none."""
    await store.lock_clients(session, [present.client_id])
    before, secret = present.metadata, None
    if before.token_endpoint_auth_method != metadata.token_endpoint_auth_method:
        for old in await store.secrets_of(session, present.client_id):
            await session.delete(old)
        await session.flush()
        secret = _new_secret(session, box, present.client_id, metadata)
    version = await bump_version(session, "clients")
    values: dict[str, object] = {"metadata_": metadata.stored()}
    await store.update_client(session, present.client_id, version, clock.now(), **values)
    record(session, "client.updated", client_id=present.client_id, actor="registration", address=address)
    return Registered(present.client_id, metadata, present.issued_at, secret)


async def remove_registration(session: AsyncSession, present: Registered, *, address: str | None) -> None:
    """Remove an application (RFC 7592 section 2.3)."""
    await store.remove_clients(session, [present.client_id], clock.now())
    record(session, "client.deleted", client_id=present.client_id, actor="registration", address=address)


def information(registered: Registered, registration_client_uri: str, token: str) -> dict[str, object]:
    """Return the client information response (RFC 7591 section 3.2.1, RFC 7592 section 3).

    Args:
        registered: the registration.
        registration_client_uri: where it is managed.
        token: the registration access token.
    """
    meta = registered.metadata
    stored = meta.model_dump(mode="json", by_alias=True, exclude_none=True)
    unchanged = {name: value for name, value in stored.items() if name in THEIRS and value != []}
    answer: dict[str, object] = {
        "client_id": registered.client_id,
        "client_id_issued_at": registered.issued_at,
        "registration_client_uri": registration_client_uri,
        "registration_access_token": token,
        "application_type": meta.application_type,
        **unchanged,
    }
    if registered.secret is not None:
        answer |= {"client_secret": registered.secret}
    if meta.needs_secret:
        answer |= {"client_secret_expires_at": 0}
    return answer


def _new_secret(session: AsyncSession, box: SecretBox, client_id: str, metadata: ClientMetadata) -> str | None:
    if not metadata.needs_secret:
        return None
    secret = random_token()
    session.add(secret_row(box, client_id, metadata, secret))
    return secret


async def delete_expired_invitations(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete initial access tokens that have expired, at most ``limit``; return how many."""
    return await delete_batch(session, Invitation, Invitation.expires_at, limit, Invitation.expires_at <= now)
