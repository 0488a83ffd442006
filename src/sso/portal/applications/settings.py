"""The settings that a team requests for its application, and their shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sso.clients.metadata import ClientMetadata
from sso.clients.models import SANDBOX_END, Application
from sso.clients.privileges import ANDROID_LINK
from sso.clients.secrets import ClientError
from sso.clients.validation_errors import not_a_list, not_text, unknown_field
from sso.platform.security.json_documents import DocumentRefused, check_document
from sso.portal.choices import State as State

Kind = Literal["web", "single_page", "native", "service", "proxy", "cas", "gate"]
KINDS: dict[Kind, str] = {
    "web": "web",
    "single_page": "single_page",
    "native": "android",
    "service": "service",
    "proxy": "web",
    "cas": "cas",
    "gate": "gate",
}
"""What a team may choose, and the ``type`` that it is registered with."""

ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?")
ADDRESSES = (
    "redirect_uris", "post_logout_redirect_uris", "initiate_login_uri", "backchannel_logout_uri",
    "frontchannel_logout_uri",
)  # fmt: skip
"""What differs between the sandbox and production."""
THEIRS = (
    "client_name", "client_name#en", "description", "description#en", "group", "client_uri", "logo_uri", "policy_uri",
    "tos_uri", *ADDRESSES, "scope", "scope_reasons", "claim_reasons", "contacts", "token_endpoint_auth_method",
    "token_endpoint_auth_signing_alg", "jwks", "jwks_uri", "id_token_signed_response_alg", "minimum_acr",
    "minimum_identity", "default_max_age", "require_pushed_authorization_requests", "sector_identifier_uri",
    "kept_sector", "subject_type", "grant_types", "application_roles", "groups_of_interest", "team_gives_roles",
    "end_session_on_role_loss", "end_unconfirmed_roles", "cas_username", "cas_logout_requests", "gate",
)  # fmt: skip
"""What a team decides."""
TOGETHER = (
    frozenset({"scope", "scope_reasons", "claim_reasons"}),
    frozenset({"token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "jwks", "jwks_uri"}),
)
"""What makes sense only as a whole: from one hand."""
POLICIES = ("allowed_roles", "allowed_networks", "allowed_hours", "access_token_seconds", "refresh_token_seconds")
"""Who may use an application, from where and when, and how long its tokens are valid."""
GRANTED = (
    "first_party", "profile", "require_pkce", "audience", "resource_identifier", "access_token_format", "listed_for",
    *POLICIES, *ANDROID_LINK,
)  # fmt: skip
"""What only an administrator decides."""
IN_SANDBOX = ("profile", "require_pkce", "access_token_format", *POLICIES)
"""What of it holds in the sandbox too. A sandbox is registered without review: it is not the city's own, so people are
asked for consent there; it has no audience of others, and no privilege."""
TEAM_GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
LISTS = ("redirect_uris", "post_logout_redirect_uris", "contacts", "grant_types", "groups_of_interest")
MAX_LISTED = 50
MAX_NOTE_CHARS = 2000


class Unfinished(ClientError):
    """The settings cannot be registered: each of ``problems`` names a field and says why."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = dict(problems)


class Stale(ClientError):
    """Somebody else changed the application meanwhile."""


@dataclass(frozen=True, slots=True)
class RequestedSettings:
    """The settings that a team requests.

    Args:
        kind: what kind of application it is.
        document: its metadata, by the names of the specifications; only what is in ``THEIRS``.
        sandbox: what differs in the sandbox; only what is in ``ADDRESSES``.
    """

    kind: Kind
    document: Mapping[str, object] = field(default_factory=dict)
    sandbox: Mapping[str, object] = field(default_factory=dict)

    def checked(self) -> RequestedSettings:
        """Return the same without what is empty.

        Raises:
            Unfinished: when it holds what a team does not decide.
        """
        foreign = {name: _foreign(name, THEIRS) for name in self.document if name not in THEIRS}
        foreign |= {f"sandbox.{name}": _foreign(name, ADDRESSES) for name in self.sandbox if name not in ADDRESSES}
        if foreign:
            raise Unfinished(foreign)
        try:
            check_document([self.document, self.sandbox], several_lines=())
        except DocumentRefused as error:
            raise Unfinished({"": str(error)}) from None
        shapeless = {name: _shape_problem(name, value) for name, value in self.document.items()}
        shapeless |= {f"sandbox.{name}": _shape_problem(name, value) for name, value in self.sandbox.items()}
        shapeless = {name: text for name, text in shapeless.items() if text}
        if shapeless:
            raise Unfinished(shapeless)
        if self.kind not in KINDS:
            raise Unfinished({"kind": f"must be one of {', '.join(KINDS)}"})
        return RequestedSettings(self.kind, without_empty(self.document), without_empty(self.sandbox))


def _foreign(name: str, known: tuple[str, ...]) -> str:
    """Return why a field is not among those that a team decides."""
    if name in GRANTED or (name in THEIRS and known is ADDRESSES):
        return "only an administrator decides this" if name in GRANTED else "is the same in the sandbox"
    return unknown_field(name, known)


def _shape_problem(name: str, value: object) -> str:
    """Return what is wrong with the form of a value; nothing where it is of the form that its field has, so that a
    draft can be shown before it is right."""
    if value is None:
        return ""
    if name in LISTS:
        if not isinstance(value, list):
            return not_a_list(value)
        if len(value) > MAX_LISTED:
            return f"must have at most {MAX_LISTED} values"
        return next((not_text(element) for element in value if not isinstance(element, str)), "")
    if name == "application_roles":
        if not isinstance(value, dict) or not all(isinstance(role, dict) for role in value.values()):
            return "must be roles by their names, each with title and description"
        texts_of_roles = (text for role in value.values() for text in role.values() if not isinstance(text, str))
        return next((not_text(text) for text in texts_of_roles), "")
    if name == "gate":
        return "" if isinstance(value, dict) else "must be fields with values"
    if name in ("scope_reasons", "claim_reasons", "jwks"):
        if not isinstance(value, dict):
            return "must be fields with values"
        texts = () if name == "jwks" else value.values()
        return next((not_text(text) for text in texts if not isinstance(text, str)), "")
    return "" if isinstance(value, (str, int, bool)) else not_text(value, separated=name == "scope")


def without_empty(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values that are not empty."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def texts_in(value: object) -> list[str]:
    """Return the texts of a list in a document; none where it is no list."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def named_texts_in(value: object) -> dict[str, str]:
    """Return the texts of an object in a document, by name; none where it is no object."""
    if not isinstance(value, dict):
        return {}
    return {str(name): text if isinstance(text, str) else "" for name, text in value.items()}


def sandbox_id(application_id: str) -> str:
    """Return the client_id of an application's sandbox."""
    return application_id + SANDBOX_END


def suggested_id(name: str) -> str:
    """Return a client_id made of a name."""
    suggestion = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    return suggestion if ID.fullmatch(suggestion) else "aplikasi"


def requested_settings_of(application: Application) -> RequestedSettings:
    """Return the settings that the team of an application requests."""
    return RequestedSettings(kind_of(application), dict(application.document), dict(application.sandbox))


def registered_as(application: Application | None, metadata: ClientMetadata) -> RequestedSettings:
    """Return what is registered as a team would want it: with the scopes of one that named none."""
    registered = {"scope": metadata.scope, **metadata.stored()}
    document = {name: registered[name] for name in THEIRS if name in registered}
    return RequestedSettings(_kind_for(application, metadata.type), document)


def _kind_for(application: Application | None, client_type: str) -> Kind:
    """Return the kind of what is registered with a ``type``: the one its team chose, where it fits."""
    chosen = kind_of(application) if application is not None else None
    return chosen if chosen is not None and KINDS[chosen] == client_type else kind_of_type(client_type)


def kind_of(application: Application) -> Kind:
    """Return the stored kind as the type of the form."""
    return next(kind for kind in KINDS if kind == application.kind)


def kind_of_type(client_type: str) -> Kind:
    """Return the first kind that is registered with a ``type``."""
    return next(kind for kind, registered_type in KINDS.items() if registered_type == client_type)
