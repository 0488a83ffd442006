"""How long each table keeps its rows. docs/reference/retention.md is made from it; a test compares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["time", "account", "application", "installation"]
KINDS: dict[Kind, tuple[str, str]] = {
    "time": ("Deleted by the jobs", "The jobs delete these rows when their time is over."),
    "account": ("Deleted with the account", "These rows belong to a user. Deleting the account deletes them."),
    "application": (
        "Deleted with the application",
        "These rows belong to an application. The jobs delete the rows of a removed application "
        "`SSO_DELIVERY_RETENTION` after it was removed.",
    ),
    "installation": (
        "Kept",
        "These rows are few, or they are the record that the installation keeps. Administrators delete what can be "
        "deleted.",
    ),
}


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a table keeps a row: ``kind`` says what deletes the row, ``duration`` how long it is kept."""

    kind: Kind
    duration: str


RETENTION: dict[str, Retention] = {
    "access_tokens": Retention("time", "Until the token expires, or its grant is deleted."),
    "bulk_revocations": Retention("time", "`SSO_ENDED_SESSION_RETENTION` after the end."),
    "cas_tickets": Retention(
        "time",
        "Until the session, or the part that the application takes in it, ends; at most 20 for each session and "
        "application.",
    ),
    "client_mistakes": Retention("time", "14 days after the last time; at most 100 for each application."),
    "client_requests": Retention("time", "7 days; at most 500 for each application."),
    "deliveries": Retention(
        "time",
        "`SSO_DELIVERY_RETENTION` after the delivery was finished or given up. A delivery that its receiver does not "
        "fetch is given up after the same time.",
    ),
    "device_codes": Retention(
        "time", "One day after the code expires. A code that nobody decided about: one hour after it expires."
    ),
    "ends": Retention("time", "15 minutes."),
    "gate_sessions": Retention("time", "Until the cookie expires (`session_seconds` of the application)."),
    "grants": Retention(
        "time",
        "Until the grant is revoked, with its session or alone, or until its code and its newest refresh token have "
        "expired.",
    ),
    "idempotency_keys": Retention("time", "24 hours."),
    "interactions": Retention("time", "Until it expires (`SSO_AUTHORIZATION_REQUEST_LIFETIME`)."),
    "invitations": Retention("time", "Until the initial access token expires."),
    "job_runs": Retention("installation", "One row for each job: its last run."),
    "pending_flows": Retention("time", "Until the sign-in, registration or recovery expires."),
    "processes": Retention("time", "One hour after the last report of the process."),
    "pushed_requests": Retention("time", "Until the pushed request expires."),
    "rate_counters": Retention("time", "Until the window of the counter ends."),
    "recoveries": Retention("time", "Until the recovery expires."),
    "refresh_tokens": Retention(
        "time",
        "A used token: until the grace for a retry (`SSO_REFRESH_TOKEN_GRACE_PERIOD`) is over. The token that can be "
        "used: as long as its grant. A used token of a release before 0015: until it expires.",
    ),
    "replay": Retention("time", "Until the JWT or the revoked token expires."),
    "session_clients": Retention("time", "As long as the session: it is the delivery report of the logout."),
    "sessions": Retention("time", "`SSO_ENDED_SESSION_RETENTION` after the end of the session."),
    "setup_links": Retention("time", "Until the link is used or expires (24 hours)."),
    "team_invitations": Retention("time", "Until the invitation expires."),
    "user_invitations": Retention(
        "time", "Until the user accepts, an administrator withdraws it, or it expires (`SSO_USER_INVITATION_LIFETIME`)."
    ),
    "usage_counts": Retention("time", "400 days; counts by five minutes 3 hours."),
    "agreements": Retention("account", "As long as the account."),
    "attribute_values": Retention(
        "account",
        "`retention_days` of the attribute after the last change of the value; at most as long as the account.",
    ),
    "consents": Retention("account", "Until the user withdraws the consent; at most as long as the account."),
    "credentials": Retention("account", "Until the user removes the credential; at most as long as the account."),
    "employments": Retention("account", "As long as the account, also ended ones."),
    "favourites": Retention("account", "Until the user removes the favourite; at most as long as the account."),
    "group_administrators": Retention("account", "Until an administrator takes the group away."),
    "identifiers": Retention("account", "Until the user removes the identifier; at most as long as the account."),
    "identity_checks": Retention("account", "As long as the account."),
    "local_accounts": Retention("account", "As long as the account, at most as long as the application."),
    "merge_proposals": Retention(
        "account", "As long as the account: a later import of the same row does not propose it again."
    ),
    "memberships": Retention(
        "account", "As long as the account, also ended ones; at most as long as the unit or group."
    ),
    "unit_administrators": Retention(
        "account", "Until an administrator removes the unit administrator; at most as long as the account."
    ),
    "pictures": Retention("account", "Until the user removes the picture; at most as long as the account."),
    "saved_searches": Retention(
        "account", "Until the administrator deletes the search; at most as long as the account."
    ),
    "user_roles": Retention("account", "Until an administrator takes the role away; at most as long as the account."),
    "client_privileges": Retention("application", "As long as the application, also revoked ones."),
    "client_registrations": Retention("application", "As long as the application."),
    "client_secrets": Retention("application", "Until the team removes the secret, or with the application."),
    "application_webhooks": Retention(
        "application",
        "Until the team removes the webhook, or `SSO_DELIVERY_RETENTION` after the application was retired.",
    ),
    "clients": Retention("application", "`SSO_DELIVERY_RETENTION` after the application was removed."),
    "event_stream_excluded": Retention("application", "As long as the stream, or the account."),
    "event_stream_excluded_names": Retention("application", "As long as the stream."),
    "event_streams": Retention("application", "Until the application deletes the stream."),
    "attribute_declarations": Retention("installation", "The newest 50 declarations."),
    "application_notes": Retention("installation", "As long as the application, whose history they are."),
    "group_ancestors": Retention("installation", "As long as the unit."),
    "groups": Retention("installation", "Until an administrator deletes the unit or group."),
    "role_assignments": Retention(
        "application", "As long as the application, also ended ones; at most as long as the user or the group."
    ),
    "access_reviews": Retention("application", "As long as the application."),
    "pending_access_changes": Retention("installation", "Until a job has told the applications: seconds."),
    "access_clock": Retention("installation", "Three rows."),
    "applications": Retention("installation", "Kept also after the application was removed."),
    "relying_party_checks": Retention("installation", "As long as the application."),
    "team_members": Retention("installation", "As long as somebody is a member, or has an account."),
    "audit_checkpoints": Retention("installation", "One row each time old audit events were deleted."),
    "audit_events": Retention(
        "installation", "`SSO_AUDIT_RETENTION`; with the default `0s` until `sso audit prune` deletes them."
    ),
    "import_runs": Retention("installation", "One row for each imported file."),
    "instance_secrets": Retention("installation", "A fixed number of rows."),
    "setting_changes": Retention("installation", "The newest 50 changes of each setting."),
    "stored_settings": Retention("installation", "Until an administrator takes the value back."),
    "signing_keys": Retention(
        "installation",
        "Retired keys are kept: they verify the ID tokens that applications send as `id_token_hint`. `sso keys "
        "withdraw` deletes a key.",
    ),
    "users": Retention("installation", "Of a deleted account only the id is kept, for the audit log."),
    "versions": Retention("installation", "A fixed number of rows."),
    "webhooks": Retention("installation", "Until an administrator deletes it."),
}


def reference() -> str:
    """Return docs/reference/retention.md."""
    lines = [
        "---", "kind: reference", "audience: operator", "---", "# Retention", "",
        "How long each table of the database keeps its rows. The source of this page is `src/sso/retention.py`: run",
        "`python scripts/reference.py`. A test fails for a missing table, and `tests/db/test_retention.py`",
        "shows that the tables shrink. Jobs run every five minutes, in one process at a time:",
        "[operations](../how-to/operations.md#jobs).",
    ]  # fmt: skip
    for kind, (title, text) in KINDS.items():
        lines += ["", f"## {title}", "", text, "", "| table | how long a row is kept |", "| --- | --- |"]
        lines += [f"| `{name}` | {rule.duration} |" for name, rule in sorted(RETENTION.items()) if rule.kind == kind]
    return "\n".join(lines) + "\n"
