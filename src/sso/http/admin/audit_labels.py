"""What the page of the audit log calls the types of events, and what events say besides.

Each table has a text for every value of its list; a test compares them, and looks for the types in the source. A value
without a text is shown as it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sso.http.account.activity import EVENTS
from sso.http.admin.sessions import REASONS
from sso.http.common.i18n import N_
from sso.http.common.labels import DOCUMENTS, FACTOR_TEXTS, ROLE_NAMES
from sso.http.common.labels import KIND_TEXTS as IDENTIFIER_TEXTS

EVENT_TEXTS: dict[str, str] = {
    **EVENTS,
    "session.started": N_("A user signed in"),
    "session.renewed": N_("A user signed in again"),
    "session.ended": N_("A session ended"),
    "application.adopted": N_("An application was handed to a team"),
    "application.approved": N_("An application was approved"),
    "application.changed": N_("The settings of an application were changed"),
    "application.check_begun": N_("A sign-in check was started"),
    "application.checked": N_("A sign-in check was finished"),
    "application.commented": N_("A comment was written about an application"),
    "application.created": N_("A draft of an application was created"),
    "application.sandbox_opened": N_("The sandbox of an application was opened"),
    "application.sent_back": N_("An application was sent back to its team"),
    "application.submitted": N_("An application was submitted for approval"),
    "application.first_sign_in": N_("A user signed in to an application for the first time"),
    "application.webhook_added": N_("A webhook was added to an application"),
    "application.webhook_removed": N_("A webhook of an application was removed"),
    "application.webhook_secret_rotated": N_("The secret of a webhook of an application was rotated"),
    "application.webhook_enabled": N_("A webhook of an application was enabled"),
    "application.webhook_disabled": N_("A webhook of an application was disabled after failures"),
    "application.withdrawn": N_("A team withdrew the submission of an application"),
    "access_review.started": N_("An access review of an application was started"),
    "access_review.finished": N_("An access review of an application is over"),
    "access_review.cancelled": N_("An access review of an application was cancelled"),
    "role.given": N_("A role of an application was given"),
    "role.changed": N_("The time of a role of an application was changed"),
    "role.ended": N_("A role of an application was ended"),
    "role.confirmed": N_("A role of an application was confirmed in an access review"),
    "attributes.applied": N_("The declaration of attributes was changed"),
    "audit.exported": N_("The audit log was exported"),
    "audit.pruned": N_("Old audit events were deleted"),
    "backup.created": N_("A backup of the database was created"),
    "backup.restored": N_("The database was restored from a backup"),
    "client.created": N_("An application was registered"),
    "client.deleted": N_("The registration of an application was deleted"),
    "client.event_stream": N_("The event stream of an application was changed"),
    "client.invited": N_("An initial access token to register an application was created"),
    "client.policies_set": N_("The policies of an application were changed"),
    "client.privilege_granted": N_("An application was granted a privilege"),
    "client.privilege_revoked": N_("A privilege of an application was revoked"),
    "client.registered": N_("An application registered itself"),
    "client.removed": N_("An application was retired"),
    "client.resumed": N_("An application was resumed"),
    "client.secret_made": N_("A client secret was created"),
    "client.secret_expires_soon": N_("A client secret expires soon"),
    "client.secret_revoked": N_("A client secret was revoked"),
    "client.settings_set": N_("An administrator changed the settings of an application"),
    "client.subjects_changed": N_("Users of an application got new identifiers (sub)"),
    "client.suspended": N_("An application was suspended"),
    "client.updated": N_("The registration of an application was changed"),
    "clients.applied": N_("A catalogue file was applied"),
    "delivery.given_up": N_("A delivery failed"),
    "delivery.retried": N_("A delivery was sent again"),
    "device.approved": N_("A device was allowed to sign in"),
    "device.denied": N_("A device was refused"),
    "ends.applied_again": N_("Sign-outs and revocations that a database failover had lost were applied again"),
    "employment.recorded": N_("An employment was recorded"),
    "employment.changed": N_("An employment was changed"),
    "employment.ended": N_("An employment ended"),
    "employees.imported": N_("Employees were imported"),
    "grant.asserted": N_("A token was issued for an assertion"),
    "group.created": N_("A unit or group was created"),
    "group.changed": N_("A unit or group was changed"),
    "group.moved": N_("A unit was moved"),
    "group.closed": N_("A unit or group was closed"),
    "group.reopened": N_("A unit or group was opened again"),
    "group.deleted": N_("A unit or group was deleted"),
    "group.administrators_set": N_("The administrators of a unit were changed"),
    "groups.imported": N_("A file of units was imported"),
    "keys.made": N_("Signing keys were created"),
    "keys.resealed": N_("Stored secrets were encrypted with the new key"),
    "keys.rotated": N_("The signing keys were rotated"),
    "keys.rotation_asked": N_("An administrator rotated the signing keys"),
    "messages.budget_alarm": N_("A daily budget of messages is almost used up"),
    "messages.budget_used_up": N_("A daily budget of messages is used up"),
    "keys.withdrawn": N_("A signing key was withdrawn"),
    "recovery.helpdesk_code_made": N_("The helpdesk created a recovery code"),
    "settings.changed": N_("A setting was changed"),
    "setup.administrator_created": N_("An administrator was created with a setup link"),
    "setup.link_created": N_("A setup link was created"),
    "session.part_ended": N_("The session at one application ended"),
    "sessions.ending": N_("A bulk revocation of sessions was started"),
    "sessions.ending_stopped": N_("A bulk revocation of sessions was stopped"),
    "team.invited": N_("A user was invited to a team"),
    "team.member_removed": N_("A member left a team"),
    "team.member_set": N_("A team has a new member or role"),
    "token.revoked": N_("A token was revoked"),
    "list.exported": N_("A list of the console was downloaded"),
    "search.saved": N_("A search was saved in the console"),
    "user.administered": N_("An administrator changed an account"),
    "user.deleted": N_("An account was deleted"),
    "user.disabled": N_("An account was disabled"),
    "user.enabled": N_("An account was enabled"),
    "user.factors_reset": N_("The two-step verification of an account was removed"),
    "user.groups_changed": N_("The application groups of an administrator were changed"),
    "user.identity_check_revoked": N_("The verification of an identity document was revoked"),
    "user.import_dropped": N_("An imported row was discarded"),
    "user.import_merged": N_("An imported row was merged into an account"),
    "user.import_separate": N_("An imported row became an account of its own"),
    "user.invitation_accepted": N_("A user accepted an invitation"),
    "user.invitation_sent_again": N_("An invitation was sent again"),
    "user.invitation_withdrawn": N_("An invitation was withdrawn"),
    "user.invited": N_("A user was invited"),
    "user.merged": N_("Two accounts were merged"),
    "user.password_required": N_("A new password was required"),
    "users.imported": N_("Users were imported"),
    "webhook.added": N_("A webhook was added"),
    "webhook.removed": N_("A webhook was removed"),
}


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Types of events that are filtered together. ``title``: what the group is about."""

    title: str
    types: tuple[str, ...]


_GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("sign_in", N_("Sign-in and sessions"), ("session", "sessions", "sign_in", "device", "ends")),
    (
        "accounts",
        N_("Users and accounts"),
        ("user", "users", "employment", "employees", "contact", "factor", "recovery"),
    ),
    ("groups", N_("Units and groups"), ("group", "groups", "membership")),
    ("consent", N_("Consents and tokens"), ("consent", "grant", "token")),
    (
        "applications",
        N_("Applications and teams"),
        ("access_review", "application", "client", "clients", "role", "team"),
    ),
    ("deliveries", N_("Deliveries and webhooks"), ("delivery", "messages", "webhook")),
    ("keys", N_("Keys"), ("keys",)),
    (
        "system",
        N_("Settings, audit log and backups"),
        ("attributes", "audit", "backup", "list", "search", "settings", "setup"),
    ),
)
EVENT_GROUPS: dict[str, EventGroup] = {
    name: EventGroup(title, tuple(type_ for type_ in EVENT_TEXTS if type_.partition(".")[0] in families))
    for name, title, families in _GROUPS
}
"""The groups of types by which the audit log is filtered; every type is in one of them."""


def group_of(type_: str) -> str:
    """Return the title of the group of a type; empty: it is in none."""
    return next((group.title for group in EVENT_GROUPS.values() if type_ in group.types), "")


OUTCOME_TEXTS = {"success": N_("succeeded"), "failure": N_("failed")}
ACTOR_TEXTS = {"cli": N_("command line"), "system": N_("the system")}
ACT_TEXTS = {
    "edit": N_("name or identifiers changed"),
    "disable": N_("account disabled"),
    "enable": N_("account enabled"),
    "new_password": N_("new password required"),
    "reset_factors": N_("two-step verification removed"),
    "unlock": N_("lock removed"),
    "roles": N_("roles changed"),
    "attributes": N_("attributes changed"),
    "end_sessions": N_("all sessions ended"),
    "recovery": N_("recovery code created"),
    "stop_recovery": N_("recovery stopped"),
    "check": N_("identity document verified"),
    "uncheck": N_("verification of the identity document revoked"),
    "employ": N_("employment recorded"),
    "end_employment": N_("employment ended"),
    "create": N_("account created"),
    "merge": N_("accounts merged"),
    "delete": N_("account deleted"),
}
METHOD_TEXTS = {
    "password": N_("wrong identifier or password"),
    "too_many": N_("too many attempts"),
    "totp": N_("wrong code of the authenticator app"),
    "email": N_("wrong code from an e-mail"),
    "phone": N_("wrong code from an SMS"),
    "recovery_code": N_("wrong recovery code"),
    "passkey": N_("passkey not accepted"),
}
KIND_TEXTS = {
    **IDENTIFIER_TEXTS,
    **FACTOR_TEXTS,
    "access_token": N_("access token"),
    "refresh_token": N_("refresh token"),
    "authorization_code": N_("authorization code"),
    "unit": N_("unit"),
    "group": N_("group"),
}
TEAM_ROLE_TEXTS = {"owner": N_("owner"), "member": N_("member")}
AMR_TEXTS = {
    "pwd": N_("password"),
    "otp": N_("one-time code"),
    "mfa": N_("two-step verification"),
    "hwk": N_("passkey"),
    "swk": N_("passkey"),
    "pop": N_("passkey"),
    "user": N_("user presence"),
    "sms": N_("SMS"),
    "kba": N_("recovery code"),
}
"""How somebody signed in (RFC 8176)."""
STATE_TEXTS = {"active": N_("active"), "next": N_("next"), "retired": N_("retired, still published")}
YES_NO = {True: N_("yes"), False: N_("no")}

DATA_TEXTS = {
    "act": N_("Action"),
    "added": N_("Added"),
    "alg": N_("Algorithm"),
    "amr": N_("Signed in with"),
    "attributes": N_("Attributes"),
    "changed": N_("Changed"),
    "channel": N_("Channel"),
    "client_id": N_("Application"),
    "clients": N_("Applications"),
    "count": N_("Number"),
    "counts": N_("Numbers"),
    "create": N_("created:"),
    "delete": N_("retired:"),
    "document": N_("Document"),
    "end_sessions": N_("Sessions ended"),
    "error": N_("Error"),
    "events": N_("Events"),
    "grant": N_("Grant"),
    "granted": N_("Granted"),
    "groups": N_("Groups"),
    "filters": N_("Filters"),
    "hint": N_("Ends with"),
    "identifiers": N_("Identifiers"),
    "kept": N_("Account that stays"),
    "kid": N_("Key"),
    "kids": N_("Keys"),
    "kind": N_("Kind"),
    "list": N_("List"),
    "made": N_("Created"),
    "method": N_("Reason"),
    "name": N_("Name"),
    "note": N_("Reason"),
    "overlap_seconds": N_("Overlap in seconds"),
    "parent": N_("Parent unit"),
    "passed": N_("Check passed"),
    "place": N_("Place"),
    "position": N_("Position"),
    "prefix": N_("Prefix"),
    "privilege": N_("Privilege"),
    "profile": N_("Profile"),
    "proposal": N_("Proposal"),
    "proposed": N_("Waiting for a decision"),
    "assignment": N_("Role assignment"),
    "review": N_("Access review"),
    "group": N_("Unit or group"),
    "unconfirmed": N_("Not confirmed"),
    "ended": N_("Ended"),
    "beside": N_("There was an administrator already"),
    "from": N_("Before"),
    "to": N_("After"),
    "reason": N_("Reason"),
    "reasons": N_("Reasons"),
    "removed": N_("Removed"),
    "role": N_("Role"),
    "roles": N_("Roles"),
    "roles_left": N_("Roles that were not removed"),
    "resume": N_("resumed:"),
    "scope": N_("Scopes"),
    "scopes": N_("Scopes"),
    "sessions": N_("Sessions"),
    "since": N_("From"),
    "source": N_("Source"),
    "status": N_("State"),
    "stream": N_("Stream"),
    "move": N_("moved:"),
    "suspend": N_("suspended:"),
    "terms": N_("Version of the terms"),
    "text": N_("Text"),
    "used": N_("Used"),
    "through": N_("Through entry"),
    "through_row": N_("Through line"),
    "total": N_("Total"),
    "unchanged": N_("unchanged:"),
    "unit": N_("Unit or group"),
    "until": N_("Until"),
    "update": N_("changed:"),
    "url": N_("Address"),
    "user_id": N_("Account"),
    "uses": N_("Uses"),
    "valid_days": N_("Valid for days"),
    "webhook": N_("Webhook"),
    "what": N_("What"),
    "why": N_("Reason"),
    "with": N_("Registered with"),
    "with_units_below": N_("With the units below"),
    "without_person": N_("Also without a user"),
}
"""What audit events say besides, by the key."""
VALUE_TEXTS: Mapping[str, Mapping[str, str]] = {
    "act": ACT_TEXTS,
    "added": ROLE_NAMES,
    "removed": ROLE_NAMES,
    "roles": ROLE_NAMES,
    "role": {**ROLE_NAMES, **TEAM_ROLE_TEXTS},
    "amr": AMR_TEXTS,
    "kind": KIND_TEXTS,
    "with": KIND_TEXTS,
    "method": METHOD_TEXTS,
    "reason": REASONS,
    "reasons": KIND_TEXTS,
    "document": DOCUMENTS,
    "status": STATE_TEXTS,
    "events": EVENT_TEXTS,
}
"""The texts of values, by the key of what an audit event says besides."""

CHAIN_TEXTS = {
    "altered": N_("Entry %(at)s was altered."),
    "missing": N_("Entry %(at)s is missing."),
    "checkpoint": N_("The checkpoint at entry %(at)s was altered."),
}

Words = Callable[[str], str]


def value_text(key: str, value: object, words: Words, texts: Mapping[str, Mapping[str, str]] = VALUE_TEXTS) -> str:
    """Return a value of an audit event in the language of a page.

    Args:
        key: its name.
        value: what is stored: text, a number, a list or an object.
        words: translates a text.
        texts: the texts of values, by their key.
    """
    if isinstance(value, bool):
        return words(YES_NO[value])
    if isinstance(value, list):
        return ", ".join(value_text(key, item, words, texts) for item in value)
    if isinstance(value, dict):
        pairs = ((name, value_text(name, item, words, texts)) for name, item in value.items())
        return ", ".join(f"{words(DATA_TEXTS.get(str(name), str(name)))} {text}" for name, text in pairs)
    text = "" if value is None else str(value)
    table = texts.get(key)
    known = table.get(text) if table is not None else None
    return words(known) if known else text
