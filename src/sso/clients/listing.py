"""Which applications a user sees in the list of applications: pure decisions from what is registered and the roles."""

from __future__ import annotations

from sso.clients.access_policy import RolesAndGroups, may_use
from sso.clients.metadata import ClientMetadata
from sso.clients.metadata.types import DEVICE_CODE
from sso.platform.permissions import is_staff


def signs_users_in(meta: ClientMetadata) -> bool:
    """Tell whether users sign in to an application; a program that works for itself has nothing to open."""
    return meta.type != "service" and bool(meta.response_types or DEVICE_CODE in meta.grant_types)


def is_listed(meta: ClientMetadata, held: RolesAndGroups, *, used: bool = False) -> bool:
    """Tell whether an application is in the list of a user.

    The list is an offer, not a permission: what ``listed_for`` hides can still be opened by its address, and a sign-in
    is refused by ``allowed_roles`` alone.

    Args:
        meta: the metadata of the application.
        held: the roles and groups of the user.
        used: whether the user has used the application before. It stays in the list then, as long as the roles allow
            it: a teacher without a role for it finds the application again that a link led to.
    """
    if not signs_users_in(meta) or not may_use(meta.allowed_roles, meta.application_roles, held):
        return False
    return meta.listed_for == "everyone" or used or is_staff(held.roles)
