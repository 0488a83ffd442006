"""The part of the form of access policies that says which users an application is for."""

from __future__ import annotations

from collections.abc import Mapping

from sso.clients.access_policy import OWN_ROLE
from sso.clients.metadata import ClientMetadata
from sso.http.admin.refused import RefusedAction
from sso.http.common.typed_forms import ticked
from sso.platform.permissions import ROLES

FIELD = "role "
"""What the names of the check boxes begin with, before the entry of ``allowed_roles``."""
OWN = f"{OWN_ROLE}:"
MAX_CHARS = 4000


def typed_users(fields: Mapping[str, str]) -> list[str]:
    """Return who may use an application: the roles that were ticked, of this service and of the application, and the
    units and groups that were written, one on each line."""
    known = [entry for entry in ticked(fields, FIELD) if entry in ROLES or entry.startswith(OWN)]
    written = [line.strip() for line in fields.get("allowed_groups", "")[:MAX_CHARS].split("\n")]
    return [*known, *(line for line in written if line)]


def allowed_users(metadata: ClientMetadata | None, refused: RefusedAction) -> dict[str, object]:
    """Return what the form shows: as it was typed, or as it is registered."""
    roles = metadata.application_roles if metadata is not None else {}
    chosen = list(metadata.allowed_roles) if metadata is not None else []
    if refused.name == "policies":
        chosen = typed_users(refused.fields)
    boxes = {entry for entry in chosen if entry in ROLES or entry.startswith(OWN)}
    return {
        "chosen_roles": boxes,
        "own_roles": {OWN + name: role for name, role in roles.items()},
        "allowed_groups": "\n".join(entry for entry in chosen if entry not in boxes),
    }
