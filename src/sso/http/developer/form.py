"""The form in which a team says what it wants of an application: reading it, and saying what is wrong beside each
field."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from sso.clients.claims import SCOPE_OF, data_of, with_its_parts
from sso.clients.metadata import GROUPS, application_type
from sso.clients.registry import Registry
from sso.clients.sectors import SubjectChange
from sso.http.common.i18n import N_
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json
from sso.portal.applications import KINDS, Kind, Wanted
from sso.portal.redirect_uri_advice import Advice, advise, hosts_of

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
    scope: data_of(scope) or (scope,) for scope in dict.fromkeys(SCOPE_OF.get(one, one) for one in DATA)
}
"""The scopes that hold it, and what of it each holds."""
NEW = {"scope": "openid profile", "claim_reasons": {"name": ""}}
"""What a new application asks for, until its team says something else."""
SANDBOX_FIELDS = ("redirect_uris", "post_logout_redirect_uris", "initiate_login_uri", "backchannel_logout_uri")
LINES = ("redirect_uris", "post_logout_redirect_uris", "contacts")
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
SINGLE = (
    "client_name", "client_name#en", "description", "description#en", "group", "client_uri", "logo_uri", "policy_uri",
    "tos_uri", "initiate_login_uri", "backchannel_logout_uri", "jwks_uri", "token_endpoint_auth_method", "minimum_acr",
    "minimum_identity", "sector_identifier_uri", "kept_sector",
)  # fmt: skip
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


@dataclass(slots=True)
class Typed:
    """What was typed, as it was, and what is wrong with it, by the name of the field."""

    kind: Kind
    values: dict[str, str] = field(default_factory=dict)
    mistakes: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    advice: dict[str, list[Advice]] = field(default_factory=dict)
    saved: bool = False
    """What is wrong was saved all the same: it is needed later, and nothing was refused."""

    def refuse(self, problems: Mapping[str, str]) -> None:
        """Add what the rules say is wrong, in words for the page."""
        for field_name, detail in problems.items():
            name = "scope_reasons" if field_name == "claim_reasons" else field_name  # they are one part of the form
            if self.advice_of(name) or name in self.mistakes:
                continue
            plain = name.removeprefix("sandbox.")
            if plain == "subject_type":
                self.mistakes["redirect_uris"] = (NO_HOST_SHARED, {})
            elif name in PROBLEMS_OF_SERVICES or (plain in PROBLEMS and self.kind != "service"):
                self.mistakes[name] = (PROBLEMS[plain], {"detail": detail})
            else:
                self.mistakes[name if self.shows(name) else ""] = (OTHERWISE, {"detail": f"{plain}: {detail}"})

    def shows(self, name: str) -> bool:
        """Tell whether the form has a field with this name that can be seen, beside which a mistake can be said."""
        plain = name.removeprefix("sandbox.")
        of_addresses = plain in (*SANDBOX_FIELDS, "scope_reasons", "minimum_acr", "minimum_identity")
        of_authentication = plain in ("token_endpoint_auth_method", "jwks_uri", "jwks")
        if (of_addresses and self.kind == "service") or (of_authentication and self.kind in ("single_page", "native")):
            return False
        return name in self.values or name == "scope_reasons"

    @property
    def problems(self) -> list[tuple[str, list[tuple[str, dict[str, str]]]]]:
        """What is wrong, in the order of the form: the name of the field, and each text with its values. A mistake of
        no field that the form shows comes first, with an empty name."""
        names = ["", *self.values, "scope_reasons"]
        found = []
        for name in names:
            texts = [self.mistakes[name]] if name in self.mistakes else []
            texts += [
                (ADVICE[one.code], {"uri": one.uri, "other": one.detail, "detail": one.detail})
                for one in self.advice_of(name)
            ]
            if texts:
                found.append((name if name == "" or self.shows(name) else "", texts))
        return found

    @property
    def without_reason(self) -> str:
        """The first field of a reason that is missing; nothing where none is."""
        asked = [one.removeprefix("ask ") for one in self.values if one.startswith("ask ") and self.values[one] == "1"]
        return next((f"reason-{name}" for name in asked if not self.values[f"reason {name}"].strip()), "scopes")

    def advice_of(self, name: str) -> list[Advice]:
        """Return what is refused of the addresses in a field."""
        return [one for one in self.advice.get(name, []) if one.refused]

    @property
    def wrong(self) -> bool:
        """Whether anything is refused."""
        return bool(self.mistakes) or any(self.advice_of(name) for name in self.advice)


def typed_from(kind: Kind, wanted: Wanted, client_id: str = "") -> Typed:
    """Return the form as it shows what is wanted."""
    values = {"client_id": client_id}
    document = wanted.document
    for name in SINGLE:
        values[name] = str(document.get(name) or "")
    for name in LINES:
        values[name] = "\n".join(document.get(name) or [])
    for name in SANDBOX_FIELDS:
        value = wanted.sandbox.get(name) or ""
        values[f"sandbox.{name}"] = "\n".join(value) if isinstance(value, list) else str(value)
    values |= _asked_from(document)
    values["jwks"] = orjson.dumps(document["jwks"], option=orjson.OPT_INDENT_2).decode() if document.get("jwks") else ""
    return Typed(kind, values)


def _asked_from(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of what is asked for: of a new application the name alone."""
    said: Mapping[str, Any] = document if document.get("scope") else NEW
    scopes, reasons = str(said["scope"]).split(), said.get("scope_reasons") or {}
    by_claim = said.get("claim_reasons") or {}
    values = {}
    for scope, names in OFFERED.items():
        some = any(name in by_claim for name in names)
        for name in names:
            values[f"ask {name}"] = "1" if scope in scopes and (not some or name in by_claim) else ""
            values[f"reason {name}"] = str((by_claim.get(name) if some else reasons.get(scope)) or "")
    return values


def read_typed(kind: Kind, fields: Mapping[str, str]) -> Typed:
    """Return the form as it was sent, cut to what fields may hold."""
    empty = typed_from(kind, Wanted(kind))
    return Typed(kind, {name: fields.get(name, "")[:8000].replace("\r\n", "\n") for name in empty.values})


def wanted_from(typed: Typed, before: Wanted) -> Wanted:
    """Return what is wanted; what the form does not show stays as it was. What cannot be read is a mistake of it."""
    values, document = typed.values, dict(before.document)
    for name in SINGLE:
        document[name] = values[name].strip()
    for name in LINES:
        document[name] = _lines(values[name])
    document |= _asked(typed, before.document)
    document["jwks"] = _json(typed, values["jwks"])
    if document["token_endpoint_auth_method"] == "private_key_jwt" or KINDS[typed.kind] != "web":
        document["token_endpoint_auth_method"] = _method(typed.kind, document["token_endpoint_auth_method"])
    sandbox: dict[str, Any] = dict(before.sandbox)
    for name in SANDBOX_FIELDS:
        text = values[f"sandbox.{name}"]
        sandbox[name] = _lines(text) if name in LINES else text.strip()
    return Wanted(
        typed.kind,
        {name: value for name, value in document.items() if value not in ("", [], {}, None)},
        {name: value for name, value in sandbox.items() if value},
    )


def _asked(typed: Typed, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scopes that are wanted, and what for: each claim by itself, or the scope as a whole where all of it
    is wanted for one reason. Scopes that are not offered stay as they were."""
    had = str(before.get("scope") or "openid").split()
    kept = [name for name in had if name != "openid" and name not in OFFERED]
    known, known_by_claim = before.get("scope_reasons") or {}, before.get("claim_reasons") or {}
    by_scope = {name: known[name] for name in kept if name in known}
    by_claim = {name: text for name, text in known_by_claim.items() if SCOPE_OF.get(name) in kept}
    if typed.kind == "service":
        return {"scope": " ".join(kept), "scope_reasons": by_scope, "claim_reasons": by_claim}
    wanted = []
    for scope, names in OFFERED.items():
        asked = [name for name in names if typed.values[f"ask {name}"] == "1"]
        chosen = {name: typed.values[f"reason {name}"].strip() for name in asked}
        if not chosen:
            continue
        wanted.append(scope)
        same = {name: known_by_claim[name] for name in names if name in known_by_claim}
        if len(chosen) < len(names) or len(set(chosen.values())) > 1 or chosen == same:
            by_claim |= chosen
        elif reason := next(iter(chosen.values())):
            by_scope[scope] = reason
    every = [*(["openid"] if "openid" in had else []), *wanted, *kept]
    scope = " ".join(every if set(every) != set(had) else had)
    return {"scope": scope, "scope_reasons": by_scope, "claim_reasons": by_claim}


def _method(kind: Kind, chosen: str) -> str:
    return "" if kind in ("single_page", "native") else chosen


def _json(typed: Typed, text: str) -> Any:
    if not text.strip():
        return None
    try:
        return read_json(text)
    except (NotJson, DocumentRefused):
        typed.mistakes["jwks"] = (PROBLEMS["jwks"], {})
        return None


def _lines(text: str) -> list[str]:
    return list(dict.fromkeys(one.strip() for one in text.split("\n") if one.strip()))


def advise_all(typed: Typed, wanted: Wanted, others: Collection[str], *, allow_http_loopback: bool) -> None:
    """Explain each address that cannot be used, and each that is probably not what is meant."""
    kind = application_type(KINDS[typed.kind])
    for name in ("redirect_uris", "post_logout_redirect_uris"):
        places = ((name, wanted.document, allow_http_loopback), (f"sandbox.{name}", wanted.sandbox, True))
        for field_name, values, loopback in places:
            found = [advise(uri, kind, loopback, others) for uri in values.get(name, [])]
            typed.advice[field_name] = [one for one in found if one is not None]
    for name in ("initiate_login_uri", "backchannel_logout_uri", "client_uri", "policy_uri", "tos_uri", "logo_uri"):
        for field_name, values, loopback in (
            (name, wanted.document, allow_http_loopback),
            (f"sandbox.{name}", wanted.sandbox, True),
        ):
            uri = values.get(name)
            if uri and field_name in typed.values:
                one = advise(uri, "web", loopback, others)
                typed.advice[field_name] = [one] if one is not None and one.refused else []


def hosts_of_others(registry: Registry, mine: Collection[str]) -> set[str]:
    """Return the hosts of every application but some, which nobody else's may be taken for."""
    found: set[str] = set()
    for client in registry:
        if client.client_id not in mine and not client.sandbox:
            found |= hosts_of(client.meta.redirect_uris)
    own = [registry.get(client_id) for client_id in mine]
    return found.difference(*(hosts_of(one.meta.redirect_uris) for one in own if one is not None))


def data_offered() -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return what can be asked for: the name, the text, the scope, and the claims that come with it."""
    return [(name, text, SCOPE_OF.get(name, name), _claims(name)) for name, text in DATA.items()]


def _claims(name: str) -> tuple[str, ...]:
    return with_its_parts(name) if name in SCOPE_OF else ("refresh_token",)


def groups_offered(groups: Collection[str]) -> list[str]:
    """Return the groups that can be chosen: the usual ones, and those in use."""
    return [*GROUPS, *sorted(set(groups) - set(GROUPS))]
