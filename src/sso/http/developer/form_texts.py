"""Texts and choices of the settings form of an application, for teams and administrators."""

from __future__ import annotations

from collections.abc import Collection

from sso.clients.attributes import CityAttributes
from sso.clients.claims import SCOPE_OF, data_of, with_its_parts
from sso.clients.metadata import GROUPS
from sso.clients.sectors import SubjectChange
from sso.http.common.i18n import N_
from sso.http.developer import gate_fields
from sso.http.developer.gate_fields import LOGOUT_REQUESTS
from sso.portal.applications import Kind

KIND_TEXTS: dict[Kind, tuple[str, str]] = {
    "web": (
        N_("Web application with a server"),
        N_("Your server creates the pages: PHP, Laravel, Java, .NET, Node, Python. It keeps a client secret."),
    ),
    "single_page": (
        N_("Single-page application"),
        N_("JavaScript in the browser, without a server. It has no client secret and uses PKCE."),
    ),
    "native": (N_("Android or iOS app"), N_("An app installed on a phone. It has no client secret and uses PKCE.")),
    "service": (
        N_("Service without users"),
        N_("A program that calls an API, for example every night. No user signs in."),
    ),
    "proxy": (
        N_("Existing application behind a proxy"),
        N_("Apache with mod_auth_openidc signs users in. The application behind it does not change."),
    ),
    "cas": (
        N_("Application with CAS"),
        N_("An existing program that has phpCAS or mod_auth_cas built in. It has no client secret."),
    ),
    "gate": (
        N_("Existing application behind the gate"),
        N_(
            "A program that takes the user from a header or from HTTP Basic. A proxy asks this service about each "
            "request."
        ),
    ),
}
DATA: dict[str, str] = {
    "name": N_("Name"),
    "nickname": N_("Nickname"),
    "preferred_username": N_("Username"),
    "picture": N_("Picture"),
    "website": N_("Website"),
    "gender": N_("Gender"),
    "birthdate": N_("Date of birth"),
    "locale": N_("Language and time zone"),
    "email": N_("E-mail address"),
    "address": N_("Address"),
    "phone_number": N_("Phone number"),
    "identity_level": N_("Identity assurance level"),
    "roles": N_("Roles of the user in this application"),
    "groups": N_("Units and groups of the user, of those that the application asks about"),
    "offline_access": N_("Access while the user is not using the application (refresh token)"),
}
"""What a team may ask for: the claims that are had each by itself, and ``offline_access``."""
OFFERED: dict[str, tuple[str, ...]] = {
    scope: data_of(scope) or (scope,) for scope in dict.fromkeys(SCOPE_OF.get(claim, claim) for claim in DATA)
}
"""The scopes that hold it, and what of it each holds."""
METHODS = {
    "client_secret_basic": N_("Client secret in the Authorization header (most common)"),
    "client_secret_post": N_("Client secret in the request body"),
    "private_key_jwt": N_("Signed assertion with your own key (most secure)"),
}
LEVELS = {
    "": N_("City default"),
    "urn:sso:acr:code": N_("Two-step verification: a code by e-mail or SMS is enough"),
    "urn:sso:acr:mfa": N_("Two-step verification with an authenticator app"),
    "urn:sso:acr:passkey": N_("Passkey"),
}
IDENTITIES = {
    "": N_("Everyone with an account"),
    "urn:sso:identity:contact-verified": N_("Users with a verified e-mail address or phone number"),
    "urn:sso:identity:counter-verified": N_("Users whose identity card was checked at a service counter"),
}
USERNAMES = {
    "": N_("Identifier that never changes (sub)"),
    "preferred_username": N_("Username"),
    "email": N_("Verified e-mail address"),
    "local_user_id": N_("User ID in the application, from an import"),
}
"""What can be the user name of an application that speaks CAS."""
ADVICE = {
    "http": N_("%(uri)s uses http, so others on the network can read it. Use https."),
    "wildcard": N_("%(uri)s has a wildcard (*). Wildcards are not allowed. List each redirect URI."),
    "fragment": N_("%(uri)s has a fragment (#...). Remove it."),
    "localhost": N_("%(uri)s is your own computer. You can use it in the sandbox, not in production."),
    "look_alike": N_(
        "%(uri)s looks like %(other)s, which belongs to another application. To change that application, join its "
        "team. Otherwise use a host name that users cannot confuse with it."
    ),
    "trailing_slash": N_(
        "%(uri)s ends with a slash. Redirect URIs must match exactly. Check that your application sends the slash."
    ),
    "user_name": N_("%(uri)s has a username before the host (@). Remove it."),
    "upper_case": N_("Write the host of %(uri)s in lower case, without a dot at the end."),
    "whole_address": N_("%(uri)s is not a complete URL. Start with https://."),
    "dots": N_("%(uri)s has . or .. in its path. Enter the path without them."),
    "two_slashes": N_(
        "%(uri)s has two slashes after its scheme. A private-use scheme has no host: use one slash, here and in the "
        "application."
    ),
    "scheme": N_(
        "%(uri)s: a private-use scheme must be your domain in reverse order, such as id.go.kota.aplikasi:/masuk."
    ),
    "private": N_("%(uri)s: only Android and iOS apps can use a private-use scheme. Use https."),
    "characters": N_("%(uri)s has characters that are not allowed in a URL, such as spaces or accented letters."),
    "other": N_("%(uri)s cannot be used: %(detail)s."),
    "unknown_code": N_("No unit or group has the code %(uri)s. Check the code."),
}
PROBLEMS = {
    "client_name": N_("Enter a name of up to 100 characters, without < and >."),
    "client_name#en": N_("Enter a name of up to 100 characters, without < and >."),
    "description": N_("Enter up to 500 characters, without < and >."),
    "description#en": N_("Enter up to 500 characters, without < and >."),
    "group": N_("Choose a group."),
    "client_uri": N_("Enter a complete URL that starts with https://."),
    "logo_uri": N_("Enter a complete URL that starts with https://."),
    "policy_uri": N_("Enter a complete URL that starts with https://."),
    "tos_uri": N_("Enter a complete URL that starts with https://."),
    "initiate_login_uri": N_("Enter a complete URL that starts with https://."),
    "backchannel_logout_uri": N_("Enter a complete URL that starts with https://."),
    "jwks_uri": N_("Enter a complete URL that starts with https://."),
    "redirect_uris": N_("Enter at least one redirect URI."),
    "contacts": N_("Enter at least one contact e-mail address, one on each line."),
    "scope_reasons": N_("Enter a reason for each item. Users see the reason when they are asked for consent."),
    "client_id": N_(
        "Use lower-case letters, digits and single hyphens. Another application may already use this client ID."
    ),
    "application_roles": N_(
        "Check the roles: each needs a name in tokens and a title in Indonesian. Texts have no < and >."
    ),
    "groups_of_interest": N_("Enter one code on each line, such as DINKES or DINKES/*."),
    "jwks": N_('Paste a JWK Set with public keys only: {"keys": [...]}.'),
    **gate_fields.PROBLEMS,
}
LABELS = {
    "client_name": N_("Name"),
    "client_name#en": N_("Name in English"),
    "client_id": N_("Client ID"),
    "description": N_("Description"),
    "description#en": N_("Description in English"),
    "group": N_("Group"),
    "client_uri": N_("Home page"),
    "logo_uri": N_("Logo"),
    "policy_uri": N_("Privacy policy"),
    "tos_uri": N_("Terms of service"),
    "contacts": N_("Contacts"),
    "redirect_uris": N_("Redirect URIs after sign-in"),
    "post_logout_redirect_uris": N_("Redirect URIs after sign-out"),
    "cas_username": N_("Username in the answer"),
    "initiate_login_uri": N_("Sign-in start URL"),
    "backchannel_logout_uri": N_("Back-channel logout URL"),
    "application_roles": N_("Roles of the application"),
    "groups_of_interest": N_("Units and groups that the application receives"),
    "team_gives_roles": N_("The team gives the roles"),
    "end_session_on_role_loss": N_("A session ends when a role is lost"),
    "end_unconfirmed_roles": N_("Roles that an access review does not confirm end"),
    "scope_reasons": N_("Requested user data"),
    "claim_reasons": N_("Requested user data"),
    "minimum_acr": N_("Minimum sign-in method"),
    "minimum_identity": N_("Minimum identity level"),
    "token_endpoint_auth_method": N_("Client authentication"),
    "note": N_("Reason"),
    "sector_identifier_uri": N_("Sector identifier URI"),
    "kept_sector": N_("Kept sector"),
    "jwks_uri": N_("URL of the public keys"),
    "jwks": N_("Public keys"),
    LOGOUT_REQUESTS: N_("Logout requests"),
    **gate_fields.LABELS,
}
NEW_SUBJECTS = N_(
    "This change gives every user of the application a new identifier (sub), made from %(after)s instead of "
    "%(before)s. Users: %(users)s. The application will treat all of them as new users."
)
KEEP_SECTOR = N_(
    "To keep the identifiers, enter %(before)s as the kept sector, or register a sector identifier URI on that host."
)
PROBLEMS_OF_SERVICES = ("client_name", "client_name#en", "client_id", "contacts", "group", "jwks", "jwks_uri")
"""Fields that the form of a service without users has too."""
OTHERWISE = N_("These settings cannot be registered: %(detail)s.")
NO_HOST_SHARED = N_(
    "The redirect URIs are on several hosts. Use one host, or register a sector identifier URI (sector_identifier_uri)."
)


def subject_change_texts(change: SubjectChange) -> dict[str, str]:
    """Return what the texts about a change of every ``sub`` say."""
    before, after = change.before or "user_id", change.after or "user_id"
    return {"before": before, "after": after, "users": str(change.users)}


def data_offered(
    offered: Collection[str], city: CityAttributes, locale: str
) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return what can be asked for: the name, the text, the scope, and the claims that come with it.

    Args:
        offered: the scopes that the form offers.
        city: what the city declared.
        locale: the language of the page.
    """
    of_city = [scope for scope in offered if scope in city.declaration.scopes]
    return [
        *((name, text, SCOPE_OF.get(name, name), _claims(name)) for name, text in DATA.items()),
        *((scope, city.declaration.scopes[scope].titled(locale), scope, _claims_of(city, scope)) for scope in of_city),
    ]


def _claims_of(city: CityAttributes, scope: str) -> tuple[str, ...]:
    return (*city.claims.get(scope, ()), *(mapper.claim for mapper in city.mappers.get(scope, ())))


def _claims(name: str) -> tuple[str, ...]:
    return with_its_parts(name) if name in SCOPE_OF else ("refresh_token",)


def groups_offered(groups: Collection[str]) -> list[str]:
    """Return the groups that can be chosen: the usual ones, and those in use."""
    return [*GROUPS, *sorted(set(groups) - set(GROUPS))]
