"""Our own pages to which signing in may lead. A URL from outside never is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

from sso.accounts.sign_in.destination import Destination
from sso.http.common.destination import read_destination

THEN = {
    "sessions": "/account/sessions",
    "account": "/account",
    "profile": "/account/profile",
    "contacts": "/account/contacts",
    "security": "/account/security",
    "applications": "/account/applications",
    "activity": "/account/activity",
    "notifications": "/account/notifications",
    "data": "/account/data",
    "apps": "/apps",
}
"""The pages by the names that ``then`` gives them."""
MAX_QUERY_CHARS = 1000
_CONSOLE = re.compile(
    r"/(admin|developer)(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,99}){0,4}"
    rf"(\?[A-Za-z0-9._~%=&+-]{{0,{MAX_QUERY_CHARS}}})?"
)
_OPEN = re.compile(r"/open/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,99}")


def address_after(then: str) -> str:
    """Return the URL of the page that ``then`` names: by its name; a page of developers or administrators by its path
    and query; or the page that opens an application. Empty where it names none."""
    if _OPEN.fullmatch(then):  # with a button: a form may not lead to another site (Content-Security-Policy)
        return f"{then}?ask=1"
    return THEN.get(then, "") or (then if _CONSOLE.fullmatch(then) else "")


def own_destination(fields: Mapping[str, str]) -> Destination:
    """Return where a sign-in leads that no application asked for: to a device or a page of ours.

    Args:
        fields: of the form, or the parameters of the URL.
    """
    then = fields.get("then", "")
    named = read_destination({**fields, "i": "", "client": ""})
    return replace(named, then=then if address_after(then) else "")


def address_of_destination(destination: Destination) -> str:
    """Return the URL to which a sign-in leads that no application asked for."""
    if destination.user_code:
        return f"/device?{urlencode({'user_code': destination.user_code})}"
    return address_after(destination.then) or "/"
