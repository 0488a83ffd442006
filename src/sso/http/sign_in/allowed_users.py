"""Whom an application is for, in words: what ``allowed_roles`` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sso.clients.access_policy import GROUP, OWN_ROLE
from sso.clients.registry import Client
from sso.clients.roles import BELOW
from sso.http.common.i18n import N_
from sso.http.common.labels import ROLE_NAMES
from sso.identity.groups.models import Group

KINDS = {
    "": N_("Users with the role in the city: %(name)s"),
    "app": N_("Users with the role in this application: %(name)s"),
    "group": N_("Members of the group %(name)s"),
    "unit": N_("Members of %(name)s"),
    "below": N_("Members of %(name)s and of the units below it"),
}


@dataclass(frozen=True, slots=True)
class Needed:
    """One thing that is enough to use an application. ``text`` has a place for the name; ``is_text``: the name is a
    text to be translated; ``name_en``: the name in English."""

    text: str
    name: str
    is_text: bool = False
    name_en: str | None = None


def needed_for(client: Client, groups: Mapping[str, Group]) -> list[Needed]:
    """Return what a user needs to use an application.

    Args:
        client: the application.
        groups: the units and groups that it names, by code; of others the code is shown.
    """
    return [_needed(client, entry, groups) for entry in client.meta.allowed_roles]


def _needed(client: Client, entry: str, groups: Mapping[str, Group]) -> Needed:
    kind, separator, name = entry.partition(":")
    if not separator:
        return Needed(KINDS[""], ROLE_NAMES[entry], is_text=True)
    if kind == OWN_ROLE:
        role = client.meta.application_roles.get(name)
        return Needed(KINDS[OWN_ROLE], role.title, name_en=role.title_en) if role else Needed(KINDS[OWN_ROLE], name)
    text = KINDS[GROUP if kind == GROUP else "below" if name.endswith(BELOW) else "unit"]
    group = groups.get(name.removesuffix(BELOW))
    if group is None:
        return Needed(text, name.removesuffix(BELOW))
    return Needed(text, group.name_id, name_en=group.name_en)
