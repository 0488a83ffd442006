"""Whom an application is for, in words: what ``allowed_roles`` asks for."""

from __future__ import annotations

from dataclasses import dataclass

from sso.clients.access_policy import GROUP, OWN_ROLE
from sso.clients.registry import Client
from sso.clients.roles import BELOW
from sso.http.common.i18n import N_
from sso.http.common.labels import ROLE_NAMES

KINDS = {
    "": N_("Role in the city: %(name)s"),
    "app": N_("Role in this application: %(name)s"),
    "group": N_("Member of the group %(name)s"),
    "unit": N_("Member of the unit %(name)s"),
    "below": N_("Member of the unit %(name)s or of a unit below it"),
}


@dataclass(frozen=True, slots=True)
class Needed:
    """One thing that is enough to use an application. ``text`` has a place for the name; ``is_text``: the name is a
    text to be translated; ``name_en``: the name in English."""

    text: str
    name: str
    is_text: bool = False
    name_en: str | None = None


def needed_for(client: Client) -> list[Needed]:
    """Return what a user needs to use an application: one of these is enough."""
    return [_needed(client, entry) for entry in client.meta.allowed_roles]


def _needed(client: Client, entry: str) -> Needed:
    kind, separator, name = entry.partition(":")
    if not separator:
        return Needed(KINDS[""], ROLE_NAMES[entry], is_text=True)
    if kind == OWN_ROLE:
        role = client.meta.application_roles.get(name)
        return Needed(KINDS[OWN_ROLE], role.title, name_en=role.title_en) if role else Needed(KINDS[OWN_ROLE], name)
    if kind == GROUP:
        return Needed(KINDS[GROUP], name)
    return Needed(KINDS["below" if name.endswith(BELOW) else "unit"], name.removesuffix(BELOW))
