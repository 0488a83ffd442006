"""The page of one application, for administrators: what is registered, what would change, its team and its history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients import store as clients
from sso.clients.metadata import ClientMetadata
from sso.clients.models import (
    OF_NO_FILE,
    REMOVED,
    SANDBOX,
    SANDBOX_END,
    Application,
    ApplicationNote,
    ClientPrivilege,
    ClientRow,
    RelyingPartyCheck,
    TeamMember,
)
from sso.clients.privileges import PRIVILEGES, privilege_view
from sso.clients.profiles import RELAXATIONS
from sso.clients.registry import Client, Registry, stored_metadata
from sso.clients.sectors import SubjectChange
from sso.http.admin.allowed_users import allowed_users
from sso.http.admin.application_check import CHECK_STATES, check_view
from sso.http.admin.applications import APPLICATIONS, Sees
from sso.http.admin.metadata_lines import change_lines, lines, text_of
from sso.http.admin.refused import NOT_REFUSED, RefusedAction
from sso.http.common.errors import Interrupted
from sso.http.common.i18n import N_
from sso.http.common.labels import ROLE_TEXTS
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import Clients, CurrentSettings, Db
from sso.http.console.access import Here, admin_page, token_for
from sso.http.developer.application_page import NOTES, STATES
from sso.http.developer.form_texts import IDENTITIES, KEEP_SECTOR, LABELS, LEVELS, NEW_SUBJECTS, subject_change_texts
from sso.http.developer.rp_check import CASE_TEXTS, OUTCOMES
from sso.identity.sessions import store as sessions
from sso.identity.users.store import names_of
from sso.platform.db import Database
from sso.platform.permissions import GRANTING
from sso.portal import applications as apps
from sso.portal import teams
from sso.portal.administration import is_in_groups
from sso.portal.applications import Unfinished, catalogue_of, requested_settings_of
from sso.portal.approval import pending_subject_change
from sso.portal.rp_check.store import last_check
from sso.portal.webhooks.models import ApplicationWebhook
from sso.portal.webhooks.service import webhooks_of
from sso.settings import Settings

router = new_router()

COUNTED = 5000
"""How far sessions are counted while somebody waits."""
MAX_POLICY_CHARS = 4000
MEANINGS = {
    "require_pkce: false": N_("PKCE is optional: a stolen authorization code is easier to misuse."),
    "response_types: id_token, token": N_("Tokens are returned in the address of the browser."),
    "scope_claims_in_id_token: true": N_("The ID token contains the data of the user, and applications store it."),
    "id_token_signed_response_alg: none": N_("ID tokens are not signed. Only TLS protects them."),
    "request_object_signing_alg: none": N_("Request objects are not signed. Anybody can create them."),
}
TYPED_POLICIES = (
    "allowed_networks", "allowed_hours", "access_token_seconds", "refresh_token_seconds", "default_max_age",
    "minimum_acr", "minimum_identity", "listed_for",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ApplicationFacts:
    """What the database holds of an application.

    Args:
        row: the client; None: nothing is registered.
        application: what its team requests; None: it has no team.
        requested: (name, value) of the metadata that the team requests.
        changes: what an approval would change: before and after.
        unfinished: the fields that production still needs, each with the reason.
        subjects: how an approval would change the ``sub`` of every user; None: it would not.
        notes: the history.
        team: the members.
        client_sessions: the number of client sessions, up to ``COUNTED`` and one more.
        privileges: granted and revoked privileges.
        names: the names of users by their id.
        check: the last sign-in check; None: there was none.
        webhooks: the webhooks of its team.
    """

    row: ClientRow | None
    application: Application | None
    requested: list[tuple[str, str]]
    changes: dict[str, tuple[object, object]]
    unfinished: dict[str, str]
    subjects: SubjectChange | None
    notes: list[ApplicationNote]
    team: list[TeamMember]
    client_sessions: int
    privileges: list[ClientPrivilege]
    names: dict[str, str]
    check: RelyingPartyCheck | None
    webhooks: list[ApplicationWebhook]

    @property
    def metadata(self) -> ClientMetadata | None:
        """The registered metadata."""
        return stored_metadata(self.row.metadata_) if self.row is not None else None


@dataclass(frozen=True, slots=True)
class ApplicationView:
    """What the page of an application is made from, besides the application."""

    request: Request
    db: Database
    settings: Settings
    registry: Registry


async def _view(request: Request, db: Db, settings: CurrentSettings, known: Clients) -> ApplicationView:
    return ApplicationView(request, db, settings, known.registry)


View = Annotated[ApplicationView, Depends(_view)]


@router.get(APPLICATIONS + "/{client_id}")
async def application_page(client_id: str, here: Sees, view: View) -> Response:
    """Show one application."""
    return await show_application(view, client_id, here)


async def show_application(
    view: ApplicationView,
    client_id: str,
    here: Here,
    status: int = 200,
    refused: RefusedAction = NOT_REFUSED,
    subjects: SubjectChange | None = None,
) -> Response:
    """Return the page of an application.

    Args:
        view: what the page is made from.
        client_id: the client_id in production; of a sandbox: the answer leads to the application.
        here: the administrator.
        status: the HTTP status.
        refused: the action that was refused.
        subjects: how the ``sub`` of every user would change, where that was the reason.
    """
    if client_id.endswith(SANDBOX_END):
        return RedirectResponse(f"{APPLICATIONS}/{client_id.removesuffix(SANDBOX_END)}", 303)
    request = view.request
    facts = await _read(view, client_id, here)
    change = subjects or facts.subjects
    return admin_page(
        request,
        here,
        "applications",
        "admin_application.html",
        status,
        client_id=client_id,
        **_registered(view, client_id, facts),
        **_team(facts),
        **_privileges(here, facts, view.registry.get(client_id)),
        confirm_name=name_of(facts.row, facts.application, client_id),
        check=check_view(facts.application, facts.check, view.settings),
        subjects=subject_change_texts(change) if change is not None and change.users else None,
        policies=_policies(facts.metadata, refused),
        **allowed_users(facts.metadata, refused),
        **TEXTS,
        may_review=here.may("applications:review"),
        may_change=here.may("clients:write"),
        may_delete=here.may("clients:delete"),
        acted=refused.name,
        sent={name: text[: apps.MAX_NOTE_CHARS] for name, text in refused.fields.items()},
        typed=refused.fields.get("who", "") if refused.name == "owner" else "",
        problem=refused.problem,
        field=refused.field_name,
        values=refused.values,
        csrf_token=token_for(request, f"admin app {client_id}"),
    )


TEXTS: dict[str, object] = {
    "states": STATES,
    "labels": LABELS,
    "subject_texts": (NEW_SUBJECTS, KEEP_SECTOR),
    "note_texts": NOTES,
    "roles": ROLE_TEXTS,
    "levels": LEVELS,
    "identities": IDENTITIES,
    "check_states": CHECK_STATES,
    "case_texts": CASE_TEXTS,
    "outcome_texts": OUTCOMES,
}
"""The texts that the page looks names up in."""


async def _read(view: ApplicationView, client_id: str, here: Here) -> ApplicationFacts:
    async with view.db.read() as session:
        row, application = await find_both(view.request, session, client_id, here)
        requested, changes, unfinished = await _requested(view.settings, session, application)
        notes = await apps.notes_of(session, client_id)
        team = await teams.team_of(session, client_id)
        check = await last_check(session, client_id) if application is not None else None
        privileges = await clients.privileges_of(session, client_id) if row is not None else []
        users = [
            *(note.actor for note in notes),
            *(str(member.user_id) for member in team),
            *(name for grant in privileges for name in (grant.granted_by, grant.revoked_by) if name),
        ]
        return ApplicationFacts(
            row=row,
            application=application,
            requested=requested,
            changes=changes,
            unfinished=unfinished,
            subjects=await _subjects(view.settings, session, application),
            notes=list(notes),
            team=list(team),
            client_sessions=await sessions.count_client_sessions_up_to(session, client_id, COUNTED + 1),
            privileges=list(privileges),
            names=await names_of(session, users),
            check=check,
            webhooks=await webhooks_of(session, client_id) if application is not None else [],
        )


def _registered(view: ApplicationView, client_id: str, facts: ApplicationFacts) -> dict[str, object]:
    """Return the part of the page about the registered and the requested metadata."""
    application, metadata = facts.application, facts.metadata
    client = view.registry.get(client_id)
    name = client.name(locale_of(view.request)) if client is not None else client_id
    return {
        "name": application.name if application is not None else name,
        "app": application,
        "row": facts.row,
        "state": _state(facts.row, application),
        "kept_by": catalogue_of(facts.row),
        "of_a_file": facts.row is not None and facts.row.catalogue not in OF_NO_FILE,
        "registered": lines(metadata.stored()) if metadata is not None else [],
        "changes": change_lines(facts.changes),
        "requested": facts.requested,
        "unfinished": facts.unfinished,
        "relaxed": [(rule.name, MEANINGS[rule.name]) for rule in RELAXATIONS if client and rule.used(client.meta)],
        "parts": min(facts.client_sessions, COUNTED),
        "more_parts": facts.client_sessions > COUNTED,
    }


def _team(facts: ApplicationFacts) -> dict[str, object]:
    """Return the part of the page about the team and the history."""
    names = facts.names
    return {
        "webhooks": facts.webhooks,
        "team": [(member, names.get(str(member.user_id), "")) for member in facts.team],
        "notes": [
            {"kind": note.kind, "who": names.get(note.actor, note.actor), "text": note.text, "at": note.created_at}
            for note in facts.notes
        ],
    }


def name_of(row: ClientRow | None, application: Application | None, client_id: str) -> str:
    """Return the name of an application by which its retirement is confirmed."""
    if application is not None:
        return application.name
    return stored_metadata(row.metadata_).client_name if row is not None else client_id


def _privileges(here: Here, facts: ApplicationFacts, client: Client | None) -> dict[str, object]:
    """Return the part of the page about privileges."""
    return {
        "privileges": [_privilege(grant, client, facts.names) for grant in reversed(facts.privileges)],
        "holding": sorted(grant.privilege for grant in facts.privileges if grant.revoked_at is None),
        "grantable": PRIVILEGES,
        "may_grant": here.may(GRANTING) and facts.row is not None,
    }


def _privilege(grant: ClientPrivilege, client: Client | None, names: dict[str, str]) -> dict[str, object]:
    """Return a privilege as the page shows it."""
    return {
        **privilege_view(grant),
        "who": names.get(grant.granted_by, grant.granted_by),
        "revoked_who": names.get(grant.revoked_by or "", grant.revoked_by or ""),
        "used": client is not None and grant.privilege in client.scopes,
    }


async def find_both(
    request: Request, session: AsyncSession, client_id: str, here: Here
) -> tuple[ClientRow | None, Application | None]:
    """Return a client and its application; one of the two may be missing.

    Raises:
        Interrupted: when both are missing, or the administrator does not manage it.
    """
    row, application = await clients.get_client(session, client_id), await session.get(Application, client_id)
    row = row if row is not None and row.status != REMOVED else None
    check_manages(request, here, row, application)
    return row, application


def check_manages(request: Request, here: Here, row: ClientRow | None, application: Application | None) -> None:
    """Check that an application exists and the administrator manages it.

    Raises:
        Interrupted: when not.
    """
    if (row is None and application is None) or not is_in_groups(here.groups, row, application):
        raise Interrupted(failure(request, "not_found", 404))


async def _requested(
    settings: Settings, session: AsyncSession, application: Application | None
) -> tuple[list[tuple[str, str]], dict[str, tuple[object, object]], dict[str, str]]:
    """Return the requested metadata, the changes that an approval would bring, and the fields that are not valid."""
    if application is None or not application.document:
        return [], {}, {}
    requested = requested_settings_of(application)
    try:
        metadata = apps.production_metadata(requested, application.granted, allow_http_loopback=settings.loopback)
    except Unfinished as error:
        return lines(application.document), {}, error.problems
    return lines(metadata.stored()), await apps.difference(session, application, metadata), {}


async def _subjects(settings: Settings, session: AsyncSession, application: Application | None) -> SubjectChange | None:
    """Return how an approval would change the ``sub`` of every user; None: it would not."""
    if application is None or application.state != "submitted":
        return None
    return await pending_subject_change(session, application, allow_http_loopback=settings.loopback)


def _state(row: ClientRow | None, application: Application | None) -> str:
    if application is not None:
        return application.state
    return "approved" if row is not None and row.status in ("active", SANDBOX) else "suspended"


def _policies(metadata: ClientMetadata | None, refused: RefusedAction) -> dict[str, str]:
    """Return the policies as the form shows them: as they were typed, or as they are registered."""
    if refused.name == "policies":
        return typed_policies(refused.fields)
    if metadata is None:
        return dict.fromkeys(TYPED_POLICIES, "")
    stored = metadata.model_dump(mode="json")
    return {name: text_of(stored[name]) for name in TYPED_POLICIES}


def typed_policies(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the policies that were typed."""
    return {name: fields.get(name, "").strip()[:MAX_POLICY_CHARS] for name in TYPED_POLICIES}
