"""The pages of the console: name, address, title, and the permission to see each."""

from __future__ import annotations

from sso.http.common.i18n import N_

DEVELOPER, ADMIN = "/developer", "/admin"
GROUPS = ADMIN + "/groups"

Entry = tuple[str, str, str, str]
ADMIN_PAGES: tuple[Entry, ...] = (
    ("admin", ADMIN, N_("Overview"), ""),
    ("people", ADMIN + "/people", N_("Users"), "users:read"),
    ("sessions", ADMIN + "/sessions", N_("Sessions"), "sessions:read"),
    ("groups", GROUPS, N_("Units and groups"), "groups:read"),
    ("applications", ADMIN + "/applications", N_("Applications"), "clients:read"),
    ("deliveries", ADMIN + "/deliveries", N_("Deliveries"), "deliveries:read"),
    ("audit", ADMIN + "/audit", N_("Audit log"), "audit:read"),
    ("keys", ADMIN + "/keys", N_("Keys"), "keys:read"),
    ("imports", ADMIN + "/imports", N_("Imports"), "users:merge"),
    ("mails", ADMIN + "/mails", N_("E-mails"), "mails:read"),
    ("system", ADMIN + "/system", N_("Settings and health"), "settings:read"),
)
"""The pages of administrators: the name, the address, the title, and the permission to see it; nothing: whoever has any
permission sees it."""
PAGE_TEXTS: dict[str, str] = {
    "people": N_("Find users, see their accounts, and invite new users."),
    "sessions": N_("See who is signed in, and where."),
    "groups": N_("See units and groups, and who belongs to them."),
    "applications": N_("See registered applications, and those that wait for approval."),
    "deliveries": N_("See messages to users and notices to applications, and which ones failed."),
    "audit": N_("See what happened, when, and who did it."),
    "keys": N_("See the keys that sign tokens."),
    "imports": N_("Decide about imported users who may have an account already."),
    "mails": N_("See the texts of e-mails and SMS."),
    "system": N_("See the settings in effect and the health of each server."),
    "developer": N_("Register applications, and see the applications of your teams."),
}
"""What each page is for."""
DEVELOPER_ENTRY: Entry = ("developer", DEVELOPER, N_("Developer portal"), "applications:create")
