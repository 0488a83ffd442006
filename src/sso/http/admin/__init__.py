"""Pages of administrators."""

from __future__ import annotations

from sso.http.admin import (
    application_actions,
    application_edit,
    application_page,
    applications,
    audit,
    dashboard,
    deliveries,
    imports,
    invitation_files,
    invitations,
    keys,
    list_tools,
    mails,
    selected,
    session_endings,
    sessions,
    settings,
    setup,
    setup_link,
    system,
    user_list,
    users,
)

routers = (
    selected.router,
    list_tools.router,
    user_list.router,
    invitation_files.router,
    invitations.router,
    applications.router,
    application_page.router,
    application_actions.router,
    application_edit.router,
    users.router,
    session_endings.router,
    sessions.router,
    dashboard.router,
    deliveries.router,
    audit.router,
    keys.router,
    imports.router,
    system.router,
    settings.router,
    setup.router,
    setup_link.router,
    mails.router,
)
"""The routers of these pages, in the order in which their routes are tried."""
