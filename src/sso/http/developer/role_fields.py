"""The fields of the settings form about roles and groups: a row of fields for each role."""

from __future__ import annotations

from collections.abc import Mapping

from sso.clients.roles import check_role_name
from sso.http.common.i18n import N_
from sso.portal.applications import texts_in

NAME_WRONG = N_("Enter a name of small letters, digits, dots, hyphens and underscores. It begins with a letter.")
NAME_TWICE = N_("Another role has this name. Enter another name.")
TITLE_MISSING = N_("Enter a title in Indonesian.")
MAX_ROLES = 50
EMPTY_ROWS = 2
"""How many empty rows the form shows after the defined roles."""
PARTS = ("name", "title", "title#en", "description", "description#en", "units_give")
SWITCHES = ("team_gives_roles", "end_session_on_role_loss", "end_unconfirmed_roles")
INTEREST = "groups_of_interest"


def field_of(number: int, part: str) -> str:
    """Return the name of a field of a row."""
    return f"role-{number}-{part}"


def role_fields(document: Mapping[str, object]) -> dict[str, str]:
    """Return the fields of the form as they show what is requested."""
    roles = document.get("application_roles")
    rows = list(roles.items())[:MAX_ROLES] if isinstance(roles, dict) else []
    values: dict[str, str] = {}
    for number in range(MAX_ROLES):
        name, role = rows[number] if number < len(rows) else ("", {})
        texts = role if isinstance(role, dict) else {}
        for part in PARTS:
            values[field_of(number, part)] = str(name if part == "name" else texts.get(part) or "")
    values[INTEREST] = "\n".join(texts_in(document.get(INTEREST)))
    for name in SWITCHES:
        values[name] = "1" if document.get(name) is True else ""
    return values


def roles_from(values: Mapping[str, str]) -> dict[str, object]:
    """Return what the fields request. A row without a name is left out."""
    roles: dict[str, object] = {}
    for number in range(MAX_ROLES):
        row = {part: values[field_of(number, part)].strip() for part in PARTS}
        name = row.pop("name")
        if row["units_give"] == "no":
            row["units_give"] = ""
        if name:
            roles[name] = {part: text for part, text in row.items() if text}
    interest = [line.strip() for line in values[INTEREST].split("\n") if line.strip()]
    switches: dict[str, object] = {name: True if values[name] == "1" else None for name in SWITCHES}
    return {"application_roles": roles, INTEREST: list(dict.fromkeys(interest)), **switches}


def row_mistakes(values: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with the rows of roles, by the field that is wrong."""
    wrong: dict[str, str] = {}
    names: set[str] = set()
    for number in range(MAX_ROLES):
        name, title = (values[field_of(number, part)].strip() for part in ("name", "title"))
        if not any(values[field_of(number, part)] for part in PARTS):
            continue
        if not _is_role_name(name):
            wrong[field_of(number, "name")] = NAME_WRONG
        elif name in names:
            wrong[field_of(number, "name")] = NAME_TWICE
        if not title:
            wrong[field_of(number, "title")] = TITLE_MISSING
        names.add(name)
    return wrong


def _is_role_name(name: str) -> bool:
    try:
        check_role_name(name)
    except ValueError:
        return False
    return True


def visible_rows(values: Mapping[str, str]) -> list[int]:
    """Return the numbers of the rows that the form shows: those with something in them, and some that are empty."""
    used = [number for number in range(MAX_ROLES) if any(values[field_of(number, part)] for part in PARTS)]
    first = max(used, default=-1) + 1
    return [*used, *range(first, min(first + EMPTY_ROWS, MAX_ROLES))]
