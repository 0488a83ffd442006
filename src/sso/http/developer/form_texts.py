"""Texts and choices of the settings form of an application, for teams and administrators."""

from __future__ import annotations

from collections.abc import Collection

from sso.clients.claims import SCOPE_OF, data_of, with_its_parts
from sso.clients.metadata import GROUPS
from sso.clients.sectors import SubjectChange
from sso.http.common.i18n import N_
from sso.portal.applications import Kind

KIND_TEXTS: dict[Kind, tuple[str, str]] = {
    "web": (
        N_("Web application with a server"),
        N_("Pages made by a server of yours: PHP, Laravel, Java, .NET, Node, Python. The server keeps a secret."),
    ),
    "single_page": (
        N_("Single-page application"),
        N_("JavaScript in the browser alone, without a server of its own. It keeps no secret."),
    ),
    "native": (N_("Android or iOS"), N_("An application that is installed on a telephone. It keeps no secret.")),
    "service": (
        N_("Program without people"),
        N_("A server that calls other servers by itself, at night for example. Nobody signs in."),
    ),
    "proxy": (
        N_("Older application behind a proxy"),
        N_("Apache with mod_auth_openidc signs people in, in front of an application that stays as it is."),
    ),
}
DATA: dict[str, str] = {
    "name": N_("Name"),
    "nickname": N_("Nickname"),
    "preferred_username": N_("User name"),
    "picture": N_("Picture"),
    "website": N_("Pages on the web"),
    "gender": N_("Gender"),
    "birthdate": N_("Date of birth"),
    "locale": N_("Language and time zone"),
    "email": N_("E-mail address"),
    "address": N_("Address"),
    "phone_number": N_("Telephone number"),
    "identity_level": N_("How surely it is known who the person is"),
    "offline_access": N_("Going on while the person is not there"),
}
"""What a team may ask for: the claims that are had each by itself, and ``offline_access``."""
OFFERED: dict[str, tuple[str, ...]] = {
    scope: data_of(scope) or (scope,) for scope in dict.fromkeys(SCOPE_OF.get(claim, claim) for claim in DATA)
}
"""The scopes that hold it, and what of it each holds."""
METHODS = {
    "client_secret_basic": N_("A secret, in the header (usual)"),
    "client_secret_post": N_("A secret, in the form"),
    "private_key_jwt": N_("A key of your own: nothing secret is ever sent (safest)"),
}
LEVELS = {
    "": N_("as the city demands"),
    "urn:sso:acr:code": N_("with a second step: a code by mail or SMS is enough"),
    "urn:sso:acr:mfa": N_("with a second step by app"),
    "urn:sso:acr:passkey": N_("with a passkey"),
}
IDENTITIES = {
    "": N_("anybody with an account"),
    "urn:sso:identity:contact-verified": N_("people whose e-mail or telephone is proven"),
    "urn:sso:identity:counter-verified": N_("people whose document was checked at a counter"),
}
ADVICE = {
    "http": N_("%(uri)s goes over http: everybody on the way can read it. Use https."),
    "wildcard": N_("%(uri)s has a wildcard (*). An attacker could choose where answers go. List every address."),
    "fragment": N_("%(uri)s has a fragment (#...): browsers do not send it to servers. Leave it out."),
    "localhost": N_("%(uri)s is your own computer. It can be used in the sandbox, not in production."),
    "look_alike": N_(
        "%(uri)s looks like %(other)s, which belongs to another application. If that is meant, join its team; "
        "otherwise choose a name that nobody takes for it."
    ),
    "trailing_slash": N_(
        "%(uri)s ends with a slash. Addresses are compared letter by letter: is that exactly what is sent?"
    ),
    "user_name": N_("%(uri)s has a user name before the host (@). Leave it out."),
    "upper_case": N_("Write the host of %(uri)s in small letters, without a final dot."),
    "whole_address": N_("%(uri)s is not a whole address. Begin with https://."),
    "dots": N_("%(uri)s has . or .. in its path. Write the path that is meant."),
    "two_slashes": N_(
        "%(uri)s has two slashes after its scheme, so what follows them is a host. A private-use scheme has no host: "
        "use one slash, here and in the application."
    ),
    "scheme": N_("%(uri)s: a scheme of your own must be your domain turned round, such as id.go.kota.aplikasi:/masuk."),
    "private": N_("%(uri)s: only applications that are installed may have a scheme of their own. Use https."),
    "characters": N_("%(uri)s has signs that an address cannot have, such as spaces or letters beyond ASCII."),
    "other": N_("%(uri)s cannot be used: %(detail)s."),
}
PROBLEMS = {
    "client_name": N_("Type a name of at most 100 characters, without < and >."),
    "client_name#en": N_("Type a name of at most 100 characters, without < and >."),
    "description": N_("At most 500 characters, without < and >."),
    "description#en": N_("At most 500 characters, without < and >."),
    "group": N_("Choose a group."),
    "client_uri": N_("Type a whole address that begins with https://."),
    "logo_uri": N_("Type a whole address that begins with https://."),
    "policy_uri": N_("Type a whole address that begins with https://."),
    "tos_uri": N_("Type a whole address that begins with https://."),
    "initiate_login_uri": N_("Type a whole address that begins with https://."),
    "backchannel_logout_uri": N_("Type a whole address that begins with https://."),
    "jwks_uri": N_("Type a whole address that begins with https://."),
    "redirect_uris": N_("Type at least one address to which people come back after signing in."),
    "contacts": N_("Type the e-mail address of somebody who answers, one on each line."),
    "scope_reasons": N_("Say for each what it is needed for: people read it when they are asked."),
    "client_id": N_("Use small letters, digits and single hyphens. It must not be in use."),
    "jwks": N_('Paste a JWK Set with public keys only, as JSON: {"keys": [...]}.'),
}
LABELS = {
    "client_name": N_("Name"),
    "client_name#en": N_("Name in English"),
    "client_id": "client_id",
    "description": N_("What it is for"),
    "description#en": N_("What it is for, in English"),
    "group": N_("Group"),
    "client_uri": N_("Home page"),
    "logo_uri": N_("Logo"),
    "policy_uri": N_("Privacy policy"),
    "tos_uri": N_("Terms"),
    "contacts": N_("Who answers for it"),
    "redirect_uris": N_("Where people come back after signing in"),
    "post_logout_redirect_uris": N_("Where people come back after signing out"),
    "initiate_login_uri": N_("Where it begins a sign-in"),
    "backchannel_logout_uri": N_("Where we tell its server that a session is over"),
    "scope_reasons": N_("What it wants to know of people"),
    "claim_reasons": N_("What it wants to know of people"),
    "minimum_acr": N_("How people must sign in"),
    "minimum_identity": N_("Who may use it"),
    "token_endpoint_auth_method": N_("How it authenticates itself"),
    "note": N_("Why?"),
    "sector_identifier_uri": N_("Sector identifier URI"),
    "kept_sector": N_("Kept sector"),
    "jwks_uri": N_("Where its public keys are"),
    "jwks": N_("or its public keys themselves"),
}
NEW_SUBJECTS = N_(
    "This change gives every user of the application a new identifier (sub), made from %(after)s instead of "
    "%(before)s. Users: %(users)s. The application will treat all of them as new users."
)
KEEP_SECTOR = N_(
    "To keep the identifiers, enter %(before)s as the kept sector, or register a sector identifier URI on that host."
)
PROBLEMS_OF_SERVICES = ("client_name", "client_name#en", "client_id", "contacts", "group", "jwks", "jwks_uri")
"""Fields that the form of a program without people has too."""
OTHERWISE = N_("This cannot be registered: %(detail)s.")
NO_HOST_SHARED = N_(
    "These are on several hosts. Then every application could tell that it is the same person: use one host, or ask an "
    "administrator."
)


def subjects_shown(change: SubjectChange) -> dict[str, str]:
    """Return what the texts about a change of every ``sub`` say."""
    before, after = change.before or "user_id", change.after or "user_id"
    return {"before": before, "after": after, "users": str(change.users)}


def data_offered() -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return what can be asked for: the name, the text, the scope, and the claims that come with it."""
    return [(name, text, SCOPE_OF.get(name, name), _claims(name)) for name, text in DATA.items()]


def _claims(name: str) -> tuple[str, ...]:
    return with_its_parts(name) if name in SCOPE_OF else ("refresh_token",)


def groups_offered(groups: Collection[str]) -> list[str]:
    """Return the groups that can be chosen: the usual ones, and those in use."""
    return [*GROUPS, *sorted(set(groups) - set(GROUPS))]
