"""What pages call roles and permissions, in words that are translated. A test compares them with the lists."""

from __future__ import annotations

from collections.abc import Collection

from sso.http.common.i18n import N_
from sso.platform.permissions import PERMISSIONS

ROLE_TEXTS = {
    "citizen": N_("citizen"),
    "employee": N_("employee: sees applications for staff"),
    "developer": N_("developer: registers applications"),
    "helpdesk": N_("helpdesk: finds users and helps them recover their account"),
    "officer": N_("counter officer: verifies identity documents"),
    "group_admin": N_("group administrator: manages the applications of some groups"),
    "auditor": N_("auditor: reads everything and changes nothing"),
    "admin": N_("administrator: everything"),
}
ROLE_NAMES = {
    "citizen": N_("citizen"),
    "employee": N_("employee"),
    "developer": N_("developer"),
    "helpdesk": N_("helpdesk"),
    "officer": N_("counter officer"),
    "group_admin": N_("group administrator"),
    "auditor": N_("auditor"),
    "admin": N_("administrator"),
}
DOCUMENTS = {
    "ktp": N_("identity card (KTP)"),
    "passport": N_("passport"),
    "kk": N_("family card (KK)"),
    "other": N_("another document"),
}
SPANS = {"hour": N_("1 hour"), "day": N_("24 hours"), "week": N_("7 days"), "month": N_("30 days")}
LEVEL_TEXTS = {
    "urn:sso:acr:password": N_("Password"),
    "urn:sso:acr:code": N_("Password and code"),
    "urn:sso:acr:mfa": N_("Password and authenticator app"),
    "urn:sso:acr:passkey": N_("Passkey"),
}
GRANTS = {
    "authorization_code": N_("sign-ins"),
    "refresh_token": N_("renewals"),
    "client_credentials": N_("programs"),
}
KIND_TEXTS = {
    "email": N_("E-mail"),
    "phone": N_("Phone number"),
    "username": N_("Username"),
    "nik": "NIK",
    "nip": "NIP",
}
EMPLOYMENT_STATUS_TEXTS = {
    "pns": N_("Civil servant (PNS)"),
    "cpns": N_("Candidate civil servant (CPNS)"),
    "pppk": N_("Employee with a work agreement (PPPK)"),
    "honorer": N_("Contract worker (honorer)"),
    "other": N_("Other employee"),
}
EMPLOYMENT_STATE_TEXTS = {"planned": N_("not begun"), "active": N_("active"), "ended": N_("ended")}
EMPLOYMENT_SOURCE_TEXTS = {"import": N_("import of the personnel office"), "manual": N_("recorded by an officer")}
FACTOR_TEXTS = {
    "password": N_("Password"),
    "passkey": N_("Passkey"),
    "totp": N_("Authenticator app"),
    "recovery_code": N_("Recovery code"),
}
PERMISSION_TEXTS = {
    "sessions:read": N_("See sessions and their sign-out reports"),
    "sessions:end": N_("End one session"),
    "sessions:end_many": N_("End all sessions of a user, of an application, or of everybody"),
    "users:read": N_("Find users, and see their identifiers and roles"),
    "users:write": N_("Create, change, disable and enable accounts"),
    "users:delete": N_("Delete users"),
    "users:roles": N_("Give and remove roles"),
    "users:recover": N_("Create a recovery code for a user who lost every way to sign in"),
    "users:export": N_("Download lists with personal data"),
    "users:check_identity": N_("Record that the identity document of a user was verified at a counter"),
    "users:merge": N_("Decide about imported users who seem to have an account already"),
    "groups:read": N_("See units and groups, and their members"),
    "groups:write": N_("Change units and groups, and their members"),
    "assignments:read": N_("See which users have which roles of applications"),
    "assignments:write": N_("Give and remove roles of applications"),
    "mails:read": N_("See the texts of e-mails and SMS"),
    "clients:read": N_("See registered applications"),
    "clients:write": N_("Register, change, suspend and resume applications; create client secrets"),
    "clients:delete": N_("Retire applications"),
    "clients:grant": N_("Grant applications administration permissions and restricted data, and revoke them"),
    "applications:create": N_("Register applications in the developer portal"),
    "applications:review": N_("Approve applications of teams, or send them back"),
    "statistics:read": N_("See statistics"),
    "keys:read": N_("See the signing keys"),
    "keys:rotate": N_("Rotate the signing keys"),
    "settings:read": N_("See the settings in effect and the health of each server"),
    "settings:write": N_("Change the settings that are kept in the database"),
    "grants:read": N_("See which data users allowed applications to receive"),
    "grants:revoke": N_("Revoke what was granted to applications"),
    "deliveries:read": N_("See notices to applications and users, and which ones failed"),
    "deliveries:retry": N_("Send failed notices again"),
    "webhooks:read": N_("See which servers receive webhooks"),
    "webhooks:write": N_("Decide which servers receive webhooks"),
    "audit:read": N_("Read the audit log"),
}


def permission_texts(permissions: Collection[str]) -> list[tuple[str, str]]:
    """Return the name and the text of each of some permissions, in the order of the list of all."""
    return [(name, PERMISSION_TEXTS.get(name, name)) for name in PERMISSIONS if name in permissions]
