"""Applications that teams manage: from a draft to a sandbox, to production, and back.

``settings``: what a team requests; ``metadata``: its metadata in production and in the sandbox; ``registration``: the
registered clients; ``service``: begin, change, open the sandbox; ``review``: submit, withdraw, send back, approve;
``history``: notes and audit events; ``store``: SQL.
"""

from sso.clients.models import SANDBOX_END
from sso.portal.applications.history import mark, mark_changed
from sso.portal.applications.metadata import checked_digest, production_metadata, sandbox_metadata, valid_metadata
from sso.portal.applications.registration import catalogue_of
from sso.portal.applications.review import approve, difference, outlook, send_back, submit, withdraw
from sso.portal.applications.service import (
    adopt,
    change_application,
    comment,
    create_application,
    follow_client,
    open_sandbox,
)
from sso.portal.applications.settings import (
    GRANTED,
    KINDS,
    MAX_NOTE_CHARS,
    POLICIES,
    THEIRS,
    Kind,
    RequestedSettings,
    Stale,
    State,
    Unfinished,
    kind_of,
    named_texts_in,
    registered_as,
    requested_settings_of,
    sandbox_id,
    suggested_id,
    texts_in,
)
from sso.portal.applications.store import count_waiting, lock_application, notes_of, page_of_applications

__all__ = [
    "GRANTED",
    "KINDS",
    "MAX_NOTE_CHARS",
    "POLICIES",
    "SANDBOX_END",
    "THEIRS",
    "Kind",
    "RequestedSettings",
    "Stale",
    "State",
    "Unfinished",
    "adopt",
    "approve",
    "catalogue_of",
    "change_application",
    "checked_digest",
    "comment",
    "count_waiting",
    "create_application",
    "difference",
    "follow_client",
    "kind_of",
    "lock_application",
    "mark",
    "mark_changed",
    "named_texts_in",
    "notes_of",
    "open_sandbox",
    "outlook",
    "page_of_applications",
    "production_metadata",
    "registered_as",
    "requested_settings_of",
    "sandbox_id",
    "sandbox_metadata",
    "send_back",
    "submit",
    "suggested_id",
    "texts_in",
    "valid_metadata",
    "withdraw",
]
