"""Applications that a team looks after: from a draft to a sandbox, to production, and back.

A team writes what it wants (``document``). The sandbox follows at once; production only when an administrator has
approved it. What only administrators decide (``granted``) lies on top of it in both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.claims import SCOPE_OF
from sso.clients.metadata import ClientMetadata
from sso.clients.mistakes import mistakes_of, not_a_list, not_text, unknown_field
from sso.clients.models import HERE, REMOVED, SANDBOX, Application, ApplicationNote, ClientRow
from sso.clients.models import SANDBOX_END as SANDBOX_END
from sso.clients.privileges import OPERATOR, Authority, check_hold, check_registration, held_by
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError, secret_row
from sso.platform.audit import record
from sso.platform.db import bump_version
from sso.platform.permissions import is_restricted, restricted
from sso.platform.security.encryption import SecretBox
from sso.platform.security.json_documents import DocumentRefused, check_document
from sso.platform.security.tokens import random_token

State = Literal["draft", "sandbox", "submitted", "approved", "suspended", "retired"]
Kind = Literal["web", "single_page", "native", "service", "proxy"]
KINDS: dict[Kind, str] = {
    "web": "web",
    "single_page": "single_page",
    "native": "android",
    "service": "service",
    "proxy": "web",
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
    "kept_sector", "subject_type", "grant_types",
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
    "first_party", "profile", "require_pkce", "audience", "resource_identifier", "access_token_format", *POLICIES,
)  # fmt: skip
"""What only an administrator decides."""
IN_SANDBOX = ("profile", "require_pkce", "access_token_format", *POLICIES)
"""What of it holds in the sandbox too. A sandbox is registered without review: it is not the city's own, so people are
asked for consent there; it has no audience of others, and no privilege."""
TEAM_GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
LISTS = ("redirect_uris", "post_logout_redirect_uris", "contacts", "grant_types")
MAX_LISTED = 50
MAX_NOTE_CHARS = 2000


UNCHECKED = frozenset({
    "client_name", "client_name#en", "description", "description#en", "group", "client_uri", "logo_uri", "policy_uri",
    "tos_uri", "contacts", "scope_reasons", "claim_reasons", "first_party", *POLICIES,
})  # fmt: skip
"""What a relying-party check does not depend on: texts, and who may use the application. A change of anything else
needs a new check."""


class Unfinished(ClientError):
    """What is wanted cannot be registered: each of ``problems`` names a field and says why."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = dict(problems)


class Stale(ClientError):
    """Somebody else changed the application meanwhile."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a team wants.

    Args:
        kind: what kind of application it is.
        document: its metadata, by the names of the specifications; only what is in ``THEIRS``.
        sandbox: what differs in the sandbox; only what is in ``ADDRESSES``.
    """

    kind: Kind
    document: dict[str, Any] = field(default_factory=dict)
    sandbox: dict[str, Any] = field(default_factory=dict)

    def checked(self) -> Wanted:
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
        return Wanted(self.kind, _full(self.document), _full(self.sandbox))


def _foreign(name: str, known: tuple[str, ...]) -> str:
    """Return why a field is not among those that a team decides."""
    if name in GRANTED or (name in THEIRS and known is ADDRESSES):
        return "only an administrator decides this" if name in GRANTED else "is the same in the sandbox"
    return unknown_field(name, known)


def _shape_problem(name: str, value: Any) -> str:
    """Return what is wrong with the form of a value; nothing where it is of the form that its field has, so that a
    draft can be shown before it is right."""
    if value is None:
        return ""
    if name in LISTS:
        if not isinstance(value, list):
            return not_a_list(value)
        if len(value) > MAX_LISTED:
            return f"must have at most {MAX_LISTED} values"
        return next((not_text(one) for one in value if not isinstance(one, str)), "")
    if name in ("scope_reasons", "claim_reasons", "jwks"):
        if not isinstance(value, dict):
            return "must be fields with values"
        texts = () if name == "jwks" else value.values()
        return next((not_text(one) for one in texts if not isinstance(one, str)), "")
    return "" if isinstance(value, (str, int, bool)) else not_text(value, separated=name == "scope")


def _full(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value not in (None, "", [], {})}


def sandbox_id(application_id: str) -> str:
    """Return the client_id of an application's sandbox."""
    return application_id + SANDBOX_END


def suggested_id(name: str) -> str:
    """Return a client_id made of a name."""
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    return made if ID.fullmatch(made) else "aplikasi"


def checked_digest(application: Application) -> bytes:
    """Return the digest (SHA-256) of what a relying-party check is about: the addresses, keys, methods and rules of
    the sandbox and of production. A check holds for this alone."""
    parts = {"document": application.document, "sandbox": application.sandbox, "granted": application.granted}
    said = {name: {key: part[key] for key in part if key not in UNCHECKED} for name, part in parts.items()}
    return hashlib.sha256(orjson.dumps([application.kind, said], option=orjson.OPT_SORT_KEYS)).digest()


def wanted_of(application: Application) -> Wanted:
    """Return what is wanted of an application."""
    kind: Any = application.kind
    return Wanted(kind, dict(application.document), dict(application.sandbox))


def production_metadata(
    wanted: Wanted, granted: Mapping[str, Any], *, allow_http_loopback: bool = False
) -> ClientMetadata:
    """Return what is registered in production.

    Args:
        wanted: what the team wants.
        granted: what administrators decided.
        allow_http_loopback: whether loopback addresses over http are allowed: in the demo only.

    Raises:
        Unfinished: naming each field that is wrong.
    """
    values = {**wanted.document, **granted, "type": KINDS[wanted.kind]}
    made = valid_metadata(values, allow_http_loopback)
    problems = _team_problems(made)
    if problems:
        raise Unfinished(problems)
    return made


def sandbox_metadata(wanted: Wanted, granted: Mapping[str, Any], own_uri: str = "") -> ClientMetadata:
    """Return what is registered for the sandbox, where programs may run on the developer's own machine.

    Args:
        wanted: what the team wants.
        granted: what administrators decided.
        own_uri: an address of ours that is a redirect URI of every sandbox: where the portal tries it.

    Raises:
        Unfinished: naming each field that is wrong; those of ``sandbox`` begin with ``sandbox.``.
    """
    values = _without_privileges(
        {name: value for name, value in wanted.document.items() if name not in (*ADDRESSES, "kept_sector")}
    )
    kept = {name: value for name, value in granted.items() if name in IN_SANDBOX}
    values |= {**wanted.sandbox, **kept, "type": KINDS[wanted.kind]}
    if own_uri and wanted.kind != "service":
        for name in ("redirect_uris", "post_logout_redirect_uris"):
            values[name] = [*values.get(name, []), own_uri]
    hosts = {urlsplit(uri).hostname for uri in values.get("redirect_uris", []) if isinstance(uri, str)}
    if len(hosts) > 1:  # a subject per host cannot be had there: our own address is one more
        values["subject_type"] = "public"
    try:
        made = valid_metadata(values, allow_http_loopback=True)
    except Unfinished as error:
        named = {_in_sandbox(name): text for name, text in error.problems.items()}
        raise Unfinished(named) from None
    problems = _team_problems(made)
    if problems:
        raise Unfinished(problems)
    return made


def _without_privileges(values: dict[str, Any]) -> dict[str, Any]:
    """Return metadata without the scopes that are privileges, and the reasons for them."""
    said = {**values}
    if isinstance(said.get("scope"), str):
        said["scope"] = " ".join(name for name in said["scope"].split() if not is_restricted(name))
    for name, of in (("scope_reasons", lambda one: one), ("claim_reasons", lambda one: SCOPE_OF.get(one, ""))):
        if isinstance(said.get(name), dict):
            said[name] = {one: text for one, text in said[name].items() if not is_restricted(of(one))}
    return said


async def _check_privileges(session: AsyncSession, application_id: str, wanted: Wanted) -> None:
    """Check that what a team wants names no privilege that its application was not granted.

    Raises:
        Unfinished: when it does.
    """
    named = restricted(str(wanted.document.get("scope") or "").split())
    held = await held_by(session, application_id) if named else {}
    missing = [name for name in named if name not in held]
    if missing:
        raise Unfinished({"scope": f"{missing[0]} has not been granted to this application: ask an administrator"})


def _in_sandbox(name: str) -> str:
    return f"sandbox.{name}" if name in ADDRESSES else name


def valid_metadata(values: dict[str, Any], allow_http_loopback: bool) -> ClientMetadata:
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
        for one in mistakes_of(values, error, context):
            problems.setdefault(str(one.place[0]) if one.place else "", one.text)
        raise Unfinished(problems) from None


def _team_problems(made: ClientMetadata) -> dict[str, str]:
    problems = {}
    other = [one for one in made.grant_types if one not in TEAM_GRANT_TYPES]
    if other:
        problems["grant_types"] = f"{other[0]} cannot be had here: ask an administrator"
    needed = [name for name in made.scope.split() if name != "openid"]
    explained = {*made.scope_reasons, *(SCOPE_OF[name] for name in made.claim_reasons)}
    missing = [name for name in needed if name not in explained]
    if missing:
        problems["scope_reasons"] = f"say what {missing[0]} is needed for"
    return problems


async def create_application(
    session: AsyncSession, application_id: str, wanted: Wanted, *, actor: str, request_id: str | None = None
) -> Application:
    """Begin an application: a draft, which nothing is registered of yet.

    Raises:
        Unfinished: when its name cannot be had, or it holds what a team does not decide.
    """
    wanted = wanted.checked()
    if not ID.fullmatch(application_id) or application_id.endswith(SANDBOX_END):
        raise Unfinished({"client_id": "must be made of a to z, 0 and 9 and single hyphens, 60 at the most"})
    for name in (application_id, sandbox_id(application_id)):
        if await store.get_client(session, name) is not None:
            raise Unfinished({"client_id": "is taken"})
    if await session.get(Application, application_id) is not None:
        raise Unfinished({"client_id": "is taken"})
    await _check_privileges(session, application_id, wanted)
    now = clock.now()
    made = Application(application_id=application_id, state="draft", kind=wanted.kind, revision=1)
    made.granted, made.created_at = {}, now
    _write(made, wanted)
    session.add(made)
    await session.flush()
    _note(session, made, "created", actor, "")
    record(session, "application.created", actor=actor, client_id=application_id, request_id=request_id)
    return made


async def adopt(session: AsyncSession, row: ClientRow, *, actor: str, authority: Authority = OPERATOR) -> Application:
    """Let an application that a catalogue file, the API or itself has registered have a team. Who looks after its
    configuration stays the same: of what is looked after here, the team does from then on.

    Raises:
        ClientError: when it is a sandbox, or another application has the name of its sandbox.
        PrivilegeRefused: when the application may do more than the actor.
    """
    beside = await store.get_client(session, sandbox_id(row.client_id))
    if row.client_id.endswith(SANDBOX_END) or (beside is not None and beside.status != REMOVED):
        raise ClientError(f"the name {row.client_id!r} and that of its sandbox are not both free for a team")
    await check_hold(session, row.client_id, authority)
    metadata, now = stored_metadata(row.metadata_), clock.now()
    made = Application(application_id=row.client_id, revision=1, created_at=now, approved_at=row.created_at)
    made.state = "approved" if row.status == "active" else "suspended"
    made.granted = {}
    _write(made, Wanted(_kind_of(metadata.type)))
    if not catalogue_of(row):
        said = metadata.stored()
        made.granted = {name: said[name] for name in GRANTED if name in said}
        _write(made, registered_as(made, metadata))
    made.name, made.group = metadata.client_name, metadata.group
    session.add(made)
    await session.flush()
    record(session, "application.adopted", actor=actor, client_id=row.client_id)
    return made


def registered_as(application: Application | None, metadata: ClientMetadata) -> Wanted:
    """Return what is registered as a team would want it: with the scopes of one that named none."""
    said = {"scope": metadata.scope, **metadata.stored()}
    return Wanted(_kind_for(application, metadata.type), {name: said[name] for name in THEIRS if name in said})


def _write(application: Application, wanted: Wanted) -> None:
    application.kind, application.document, application.sandbox = wanted.kind, wanted.document, wanted.sandbox
    application.name = str(wanted.document.get("client_name") or application.application_id)[:100]
    group = wanted.document.get("group")
    application.group = str(group)[:60] if group else None
    application.updated_at = clock.now()


async def lock_application(session: AsyncSession, application_id: str) -> Application | None:
    """Return an application as it is now, which nobody else changes until the transaction ends."""
    mine = select(Application).where(Application.application_id == application_id).with_for_update(key_share=True)
    return (await session.execute(mine.execution_options(populate_existing=True))).scalar_one_or_none()


async def change_application(
    session: AsyncSession,
    application: Application,
    wanted: Wanted,
    *,
    revision: int | None,
    own_uri: str,
    actor: str,
    request_id: str | None = None,
) -> None:
    """Write what is wanted. Its sandbox, where there is one, follows at once; production waits for approval.

    Raises:
        Stale: when somebody else changed it since ``revision``.
        Unfinished: when the sandbox cannot follow.
        ClientError: when it is a catalogue file's, waits for a decision, or is over.
    """
    await _ours(session, application)
    if revision is not None and revision != application.revision:
        raise Stale("somebody else changed it meanwhile")
    if application.state not in ("draft", "sandbox", "approved"):
        raise ClientError(f"it is {application.state}: it cannot be changed now")
    wanted = wanted.checked()
    await _check_privileges(session, application.application_id, wanted)
    before = {**application.document, "sandbox": application.sandbox}
    _write(application, wanted)
    application.revision += 1
    if application.state != "draft":
        metadata = sandbox_metadata(wanted, application.granted, own_uri)
        await _put_client(session, sandbox_id(application.application_id), metadata, SANDBOX)
    after = {**application.document, "sandbox": application.sandbox}
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    about = {"changed": changed}
    record(
        session,
        "application.changed",
        actor=actor,
        client_id=application.application_id,
        request_id=request_id,
        data=about,
    )


async def _ours(session: AsyncSession, application: Application) -> ClientRow | None:
    row = await store.get_client(session, application.application_id)
    if file := catalogue_of(row):
        raise ClientError(f"its configuration is looked after by the catalogue {file!r}: change it there")
    return row


def catalogue_of(row: ClientRow | None) -> str:
    """Return the catalogue file that looks after an application's configuration; nothing: its team does, here."""
    return "" if row is None or row.catalogue == HERE else row.catalogue


async def open_sandbox(
    session: AsyncSession,
    box: SecretBox,
    application: Application,
    *,
    own_uri: str,
    actor: str,
    request_id: str | None = None,
) -> str | None:
    """Register the sandbox of a draft, and return its secret, which is not shown again; None where it needs none.

    Raises:
        Unfinished: naming each field that is wrong.
        ClientError: when it is no draft.
    """
    if application.state != "draft":
        raise ClientError("it has a sandbox already")
    metadata = sandbox_metadata(wanted_of(application), application.granted, own_uri)
    client_id = sandbox_id(application.application_id)
    await _put_client(session, client_id, metadata, SANDBOX)
    secret = random_token() if metadata.needs_secret else None
    if secret is not None:
        session.add(secret_row(box, client_id, metadata, secret, created_by=actor))
    application.state, application.updated_at = "sandbox", clock.now()
    _note(session, application, "sandbox", actor, "")
    record(session, "application.sandbox_opened", actor=actor, client_id=client_id, request_id=request_id)
    return secret


async def submit(
    session: AsyncSession,
    application: Application,
    text: str,
    *,
    allow_http_loopback: bool,
    actor: str,
    request_id: str | None = None,
) -> None:
    """Ask that what is wanted be used in production.

    Raises:
        Unfinished: naming each field that is wrong.
        ClientError: when there is nothing to ask for.
    """
    await _ours(session, application)
    if application.state not in ("sandbox", "approved"):
        raise ClientError(f"it is {application.state}: it cannot be submitted now")
    metadata = production_metadata(wanted_of(application), application.granted, allow_http_loopback=allow_http_loopback)
    await _check_privileges(session, application.application_id, wanted_of(application))
    if not application.document.get("contacts"):
        raise Unfinished({"contacts": "name at least one"})
    if application.approved_at is not None and not await difference(session, application, metadata):
        raise ClientError("nothing differs from what is approved")
    application.state, application.submitted_at = "submitted", clock.now()
    _note(session, application, "submitted", actor, text)
    record(session, "application.submitted", actor=actor, client_id=application.application_id, request_id=request_id)


async def withdraw(
    session: AsyncSession, application: Application, *, actor: str, request_id: str | None = None
) -> None:
    """Take back what was submitted.

    Raises:
        ClientError: when nothing was.
    """
    _back(application)
    _note(session, application, "withdrawn", actor, "")
    record(session, "application.withdrawn", actor=actor, client_id=application.application_id, request_id=request_id)


async def send_back(
    session: AsyncSession, application: Application, text: str, *, actor: str, request_id: str | None = None
) -> None:
    """Tell the team what must be different before it can be approved.

    Raises:
        ClientError: when nothing was submitted, or nothing is said.
    """
    if not text.strip():
        raise ClientError("say what must be different")
    _back(application)
    _note(session, application, "sent_back", actor, text)
    record(
        session,
        "application.sent_back",
        actor=actor,
        client_id=application.application_id,
        request_id=request_id,
        data={"text": text[:500]},
    )


def _back(application: Application) -> None:
    if application.state != "submitted":
        raise ClientError("nothing waits for a decision")
    application.state = "approved" if application.approved_at else "sandbox"
    application.revision += 1  # whoever still looks at what was submitted decides about nothing that comes later
    application.updated_at = clock.now()


async def approve(
    session: AsyncSession,
    application: Application,
    text: str,
    granted: Mapping[str, Any],
    *,
    revision: int,
    own_uri: str,
    allow_http_loopback: bool,
    actor: str,
    authority: Authority = OPERATOR,
    request_id: str | None = None,
) -> None:
    """Let production be what was submitted.

    Args:
        session: the transaction.
        application: the application.
        text: what is said to the team.
        granted: what the administrator decides of ``GRANTED``; the rest stays.
        revision: of what was looked at.
        own_uri: our own redirect URI of every sandbox.
        allow_http_loopback: whether loopback addresses over http are allowed: in the demo only.
        actor: who decides.
        authority: what the actor may do. Each privilege that is asked for needs their decision, in every revision.
        request_id: the reference for log and audit.

    Raises:
        Stale: when it was changed, or taken back and submitted anew, meanwhile.
        Unfinished: when it cannot be registered like this.
        ClientError: when nothing was submitted.
        PrivilegeRefused: when this yields more than the actor may decide.
    """
    if application.state != "submitted":
        raise ClientError("nothing waits for a decision")
    if revision != application.revision:
        raise Stale("somebody else changed it meanwhile")
    foreign = [name for name in granted if name not in GRANTED]
    if foreign:
        raise Unfinished(dict.fromkeys(foreign, "cannot be granted"))
    decided = _full({**application.granted, **granted})
    wanted = wanted_of(application)
    metadata = production_metadata(wanted, decided, allow_http_loopback=allow_http_loopback)
    await store.lock_clients(session, [application.application_id, sandbox_id(application.application_id)])
    row = await _ours(session, application)
    await _check_privileges(session, application.application_id, wanted)
    present = stored_metadata(row.metadata_) if row is not None and row.status != REMOVED else None
    await check_registration(
        session,
        application.application_id,
        present,
        metadata,
        authority,
        actor=actor,
        decided=True,
        request_id=request_id,
    )
    await _put_client(session, application.application_id, metadata, row.status if row else "active")
    await _put_client(
        session, sandbox_id(application.application_id), sandbox_metadata(wanted, decided, own_uri), SANDBOX
    )
    now = clock.now()
    application.granted, application.state, application.approved_at, application.updated_at = (
        decided, "approved", now, now,
    )  # fmt: skip
    _note(session, application, "approved", actor, text)
    record(
        session,
        "application.approved",
        actor=actor,
        client_id=application.application_id,
        request_id=request_id,
        data={"granted": decided, "text": text[:500]},
    )


async def follow_client(
    session: AsyncSession, application: Application, before: ClientMetadata, after: ClientMetadata, *, own_uri: str
) -> None:
    """Let what is wanted have what an administrator changed in production by other means. What its team changed
    meanwhile, and has not submitted, stays, but for what belongs together with it (``TOGETHER``).

    Args:
        session: the transaction.
        application: what its team looks after.
        before: what was registered for production.
        after: what is registered now.
        own_uri: our own redirect URI of every sandbox.

    Raises:
        Unfinished: when the sandbox cannot follow.
    """
    granted = after.stored()
    application.granted = {name: granted[name] for name in GRANTED if name in granted}
    had, now = registered_as(application, before).document, registered_as(application, after)
    said = now.document
    changed = {name for name in THEIRS if had.get(name) != said.get(name)}
    changed |= {name for group in TOGETHER if changed & group for name in group}
    document = {name: value for name, value in application.document.items() if name not in changed}
    document |= {name: said[name] for name in THEIRS if name in changed and name in said}
    wanted = Wanted(now.kind, document, dict(application.sandbox))
    _write(application, wanted)
    application.revision += 1
    sandbox = sandbox_metadata(wanted, application.granted, own_uri)
    await _put_client(session, sandbox_id(application.application_id), sandbox, SANDBOX)


def _kind_for(application: Application | None, client_type: str) -> Kind:
    """Return the kind of what is registered with a ``type``: the one its team chose, where it fits."""
    chosen: Any = application.kind if application is not None else ""
    return chosen if KINDS.get(chosen) == client_type else _kind_of(client_type)


def _kind_of(client_type: str) -> Kind:
    return next(kind for kind, one in KINDS.items() if one == client_type)


async def comment(
    session: AsyncSession, application: Application, text: str, *, actor: str, request_id: str | None = None
) -> None:
    """Say something about an application, to its team and to the administrators.

    Raises:
        ClientError: when nothing is said.
    """
    if not text.strip():
        raise ClientError("say something")
    _note(session, application, "comment", actor, text)
    record(session, "application.commented", actor=actor, client_id=application.application_id, request_id=request_id)


def mark(session: AsyncSession, application: Application, state: State, actor: str, text: str = "") -> None:
    """Write that an application was suspended, works again (``approved`` or ``sandbox``), or is over."""
    kind = "resumed" if state in ("approved", "sandbox") else state
    application.state, application.updated_at = state, clock.now()
    _note(session, application, kind, actor, text)


def mark_changed(session: AsyncSession, application: Application, actor: str, text: str) -> None:
    """Write for its team that an administrator changed an application, and why."""
    _note(session, application, "changed", actor, text)


async def difference(
    session: AsyncSession, application: Application, metadata: ClientMetadata
) -> dict[str, tuple[Any, Any]]:
    """Return what would change in production: for each field that differs, what is and what would be."""
    row = await store.get_client(session, application.application_id)
    present = stored_metadata(row.metadata_).effective() if row is not None and row.status != REMOVED else {}
    after = metadata.effective()
    names = [name for name in after if _shown(present.get(name)) != _shown(after[name])]
    if not present:  # of a new application what it does not do is no change
        names = [name for name in names if after[name] is not False]
    return {name: (present.get(name), after.get(name)) for name in names}


def _shown(value: Any) -> Any:
    """Return a value as it is compared: what is empty is nothing."""
    return None if value in ("", [], {}) else value


async def outlook(
    session: AsyncSession, application: Application, *, allow_http_loopback: bool
) -> tuple[dict[str, tuple[Any, Any]], dict[str, str]]:
    """Return what would change in production (see :func:`difference`); and what production still needs, by the name of
    the field. One of the two is empty."""
    try:
        wanted = wanted_of(application)
        metadata = production_metadata(wanted, application.granted, allow_http_loopback=allow_http_loopback)
    except Unfinished as error:
        return {}, error.problems
    return await difference(session, application, metadata), {}


async def notes_of(session: AsyncSession, application_id: str, limit: int = 100) -> list[ApplicationNote]:
    """Return what happened and was said, the newest first."""
    mine = select(ApplicationNote).where(ApplicationNote.application_id == application_id)
    return list((await session.execute(mine.order_by(ApplicationNote.id.desc()).limit(limit))).scalars())


async def page_of_applications(
    session: AsyncSession,
    *,
    states: tuple[str, ...] = (),
    ids: list[str] | None = None,
    groups: list[str] | None = None,
    after: str = "",
    limit: int = 50,
) -> list[Application]:
    """Return applications by client_id, from after ``after`` on: of some states, some ids, some groups, or all."""
    statement = select(Application).where(Application.application_id > after)
    if states:
        statement = statement.where(Application.state.in_(states))
    if ids is not None:
        statement = statement.where(Application.application_id.in_(ids))
    if groups is not None:
        statement = statement.where(Application.group.in_(groups))
    return list((await session.execute(statement.order_by(Application.application_id).limit(limit))).scalars())


async def count_waiting(session: AsyncSession, groups: list[str] | None = None) -> int:
    """Return how many applications wait for a decision."""
    statement = select(func.count()).select_from(Application).where(Application.state == "submitted")
    if groups is not None:
        statement = statement.where(Application.group.in_(groups))
    return int((await session.execute(statement)).scalar_one())


async def _put_client(session: AsyncSession, client_id: str, metadata: ClientMetadata, status: str) -> None:
    row = await store.lock_client(session, client_id)
    if row is not None and status == SANDBOX and row.status == "active":
        raise ClientError(f"another application has the name {client_id!r}")
    version, now = await bump_version(session, "clients"), clock.now()
    if row is None:
        made = {"client_id": client_id, "catalogue": HERE, "status": status, "metadata": metadata.stored()}
        await store.insert_clients(session, [{**made, "version": version, "created_at": now, "updated_at": now}])
        return
    row.metadata_, row.status, row.version, row.updated_at = metadata.stored(), status, version, now
    if not metadata.needs_secret:
        for old in await store.secrets_of(session, client_id):
            await session.delete(old)
    await session.flush()


def _note(session: AsyncSession, application: Application, kind: str, actor: str, text: str) -> None:
    said = text.strip()[:MAX_NOTE_CHARS]
    session.add(
        ApplicationNote(
            application_id=application.application_id, kind=kind, actor=actor, text=said, created_at=clock.now()
        )
    )
