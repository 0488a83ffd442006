"""What an application, a city or a person asks for before a token may be had or used, and where each demand holds.

:data:`RULES` is the whole table: every demand on every way to a token. :func:`unmet` is the one function that looks at
it. No I/O and no clock: what must be known comes as :class:`Facts`, which ``oidc/enforcement.py`` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sso.clients.access_policy import is_open, is_within, may_use, network_of
from sso.clients.metadata import DEVICE_CODE, JWT_BEARER
from sso.clients.registry import Client
from sso.identity.authn.assurance import IDENTITY_LEVELS, is_met
from sso.oidc.store.standing import Standing


class Way(StrEnum):
    """A way to a token, or the use of one. At the token endpoint it is the value of ``grant_type``."""

    AUTHORIZE = "authorize"
    DEVICE = "device"
    CODE = "authorization_code"
    DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
    REFRESH = "refresh_token"
    JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    CLIENT_CREDENTIALS = "client_credentials"
    TICKET = "cas_ticket"
    IN_USE = "in_use"
    MACHINE_IN_USE = "machine_in_use"
    GATE = "gate"


WAYS: Mapping[Way, str] = {
    Way.AUTHORIZE: "`/authorize`: code, implicit and hybrid flow, `prompt=none`, pushed and signed requests, "
    "the portal's playground",
    Way.DEVICE: "`/device`: the page where a user connects a device",
    Way.CODE: "exchange of a code",
    Way.DEVICE_CODE: "poll of a device",
    Way.REFRESH: "refresh",
    Way.JWT_BEARER: "JWT bearer",
    Way.CLIENT_CREDENTIALS: "client credentials",
    Way.TICKET: "validation of a ticket of the CAS protocol, which is asked for as at 1",
    Way.IN_USE: "token of a user in use: userinfo, introspection, the API, Shared Signals",
    Way.MACHINE_IN_USE: "token of a program in use",
    Way.GATE: "request to an application behind the gate, by a user who signed in there as at 1",
}
"""What each way is, in words."""

GRANTS: Mapping[str, Way] = {
    "authorization_code": Way.CODE,
    "implicit": Way.AUTHORIZE,
    "refresh_token": Way.REFRESH,
    "client_credentials": Way.CLIENT_CREDENTIALS,
    DEVICE_CODE: Way.DEVICE_CODE,
    JWT_BEARER: Way.JWT_BEARER,
}
"""The way of every grant type. A test fails for a grant type of ``oidc/server.py`` that has none."""

_FRONT = frozenset({Way.AUTHORIZE, Way.DEVICE})
_RENEWAL = frozenset({Way.CODE, Way.DEVICE_CODE, Way.REFRESH, Way.TICKET})
_USER = _FRONT | _RENEWAL | {Way.JWT_BEARER, Way.IN_USE, Way.GATE}
_EVERY = frozenset(Way)
_BY_GRANT = _RENEWAL | {Way.IN_USE, Way.GATE}


class Demand(StrEnum):
    """What is asked for. The order is that in which demands are looked at."""

    APPLICATION = "application"
    GRANT_TYPE = "grant_type"
    PERSON = "person"
    LEAVING = "leaving"
    LOCKED = "locked"
    TEST_USER = "test_user"
    INVITATION = "not_invited"
    ROLE = "role"
    NETWORK = "network"
    HOURS = "hours"
    MAX_AGE = "max_age"
    ACR = "acr"
    IDENTITY = "identity"
    CONSENT = "consent"
    TERMS = "terms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known when a token is asked for, or used.

    Args:
        moment: now.
        zone: the city's time zone, for hours.
        address: the network address of whoever the network is asked of: the user's at a page or at a public
            application, the program's own where no user is there; None at a server of an application.
        network: the registered network from which the user let the application in, as recorded in the grant.
        standing: the user; None where a program acts for itself.
        acr: the level of the sign-in that stands behind the token.
        reported_acr: the ``acr`` that the token names.
        auth_time: when the user proved who they are.
        since: when the request came for which they did; who signed in after it has just signed in.
        scopes: what the grant holds.
        asked_by_page: the grant was made by a page that asked for its scopes, whatever was allowed before.
    """

    moment: datetime
    zone: str
    address: str | None = None
    network: str | None = None
    standing: Standing | None = None
    acr: str = ""
    reported_acr: str = ""
    auth_time: datetime | None = None
    since: datetime | None = None
    scopes: frozenset[str] = frozenset()
    asked_by_page: bool = False


@dataclass(frozen=True, slots=True)
class Unmet:
    """A demand that is not met, and what the application is told: ``error`` at the token endpoint."""

    demand: Demand
    error: str
    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Args:
        means: what is asked for, in words.
        text: what the application is told.
        check: whether the demand is met; only looked at on the ways of ``held``.
        held: the ways where :func:`unmet` refuses.
        led: the ways where a page leads the user to what is missing: see ``oidc/authorize/decision.py`` and
            ``http/sign_in/device.py``.
        why: for every other way, why the demand is not asked for.
        notes: what else is to be known of a way.
        error: the error at the token endpoint.
    """

    means: str
    text: str
    check: Callable[[Way, Client, Facts], bool]
    held: frozenset[Way]
    led: frozenset[Way] = frozenset()
    why: Mapping[Way, str] = field(default_factory=dict)
    notes: Mapping[Way, str] = field(default_factory=dict)
    error: str = "invalid_grant"


def _grant_type(way: Way, client: Client, _: Facts) -> bool:
    if way is Way.TICKET:
        return bool(client.meta.type == "cas")
    return client.check_grant_type(DEVICE_CODE if way is Way.DEVICE else way.value)


def _person(_: Way, __: Client, facts: Facts) -> bool:
    return facts.standing is not None and facts.standing.usable


def _staying(_: Way, __: Client, facts: Facts) -> bool:
    return facts.standing is not None and not facts.standing.leaving


def _unlocked(_: Way, __: Client, facts: Facts) -> bool:
    standing = facts.standing
    return standing is not None and (standing.locked_until is None or standing.locked_until <= facts.moment)


def _real(_: Way, client: Client, facts: Facts) -> bool:
    return client.sandbox or (facts.standing is not None and not facts.standing.test)


def _invited(_: Way, client: Client, facts: Facts) -> bool:
    standing = facts.standing
    return not client.sandbox or (standing is not None and (standing.in_team or standing.test))


def _role(_: Way, client: Client, facts: Facts) -> bool:
    standing = facts.standing
    return standing is not None and may_use(
        client.meta.allowed_roles, client.meta.application_roles, standing.roles_and_groups
    )


def _network(way: Way, client: Client, facts: Facts) -> bool:
    networks = client.meta.allowed_networks
    if not networks:
        return True
    if way in _BY_GRANT and (facts.network is None or not is_within(facts.network, networks)):
        return False
    return (way in _BY_GRANT and facts.address is None) or network_of(networks, facts.address or "") is not None


def _hours(_: Way, client: Client, facts: Facts) -> bool:
    return is_open(client.meta.allowed_hours, facts.moment, facts.zone)


def _max_age(_: Way, client: Client, facts: Facts) -> bool:
    maximum = client.meta.default_max_age
    return maximum is None or is_recent(maximum, facts.auth_time, facts.since, facts.moment)


def _acr(_: Way, client: Client, facts: Facts) -> bool:
    minimum = client.meta.minimum_acr
    return minimum is None or is_met(minimum, facts.acr, "")


def _identity(_: Way, client: Client, facts: Facts) -> bool:
    levels = [level for level in (client.meta.minimum_identity, facts.reported_acr) if level in IDENTITY_LEVELS]
    identity = facts.standing.identity if facts.standing is not None else ""
    return all(is_met(str(level), "", identity) for level in levels)


def _consent(_: Way, client: Client, facts: Facts) -> bool:
    if client.first_party or facts.asked_by_page:
        return True
    allowed = facts.standing.consented if facts.standing is not None else ()
    return facts.scopes <= {permission.partition(" ")[0] for permission in allowed}


def _met(_: Way, __: Client, ___: Facts) -> bool:
    return True


def is_recent(maximum: int, auth_time: datetime | None, since: datetime | None, moment: datetime) -> bool:
    """Tell whether a user proved who they are at most ``maximum`` seconds ago, or after the request came at ``since``
    (OpenID Connect Core section 3.1.2.1)."""
    if auth_time is None:
        return False
    return (since is not None and auth_time >= since) or (moment - auth_time).total_seconds() <= maximum


_NO_USER = "no user is behind it"
_PROGRAM = {Way.CLIENT_CREDENTIALS: _NO_USER, Way.MACHINE_IN_USE: _NO_USER}
_RECORDED = "the level that the grant recorded, against the present minimum"
_THERE_AND_BACK = "the page leads the user to it, and back to the device"
_SIGNED_IN_THEN = "it is asked when the user signs in for the application, and `auth_time` in the ID token tells when"

RULES: Mapping[Demand, Rule] = {
    Demand.APPLICATION: Rule(
        "The application is neither suspended nor removed.",
        "The application is suspended.",
        lambda _way, client, _facts: client.enabled and not client.removed,
        _EVERY,
        error="invalid_client",
    ),
    Demand.GRANT_TYPE: Rule(
        "The application has registered the grant type or the response type.",
        "The client has not registered this grant type.",
        _grant_type,
        _EVERY - {Way.AUTHORIZE, Way.IN_USE, Way.MACHINE_IN_USE, Way.GATE},
        led=frozenset({Way.AUTHORIZE}),
        why={
            Way.IN_USE: "it was registered when the token was made, and the token is short-lived",
            Way.MACHINE_IN_USE: "it was registered when the token was made, and the token is short-lived",
            Way.GATE: "the type `gate` stands for it",
        },
        notes={
            Way.AUTHORIZE: "the check of the request refuses the response type",
            Way.TICKET: "the type `cas` stands for it",
        },
        error="unauthorized_client",
    ),
    Demand.PERSON: Rule(
        "The user is neither disabled nor deleted.",
        "The user is disabled.",
        _person,
        _USER,
        why=_PROGRAM,
    ),
    Demand.LEAVING: Rule(
        "The user has not asked to be deleted.",
        "The user has asked to be deleted.",
        _staying,
        _USER,
        why=_PROGRAM,
    ),
    Demand.LOCKED: Rule(
        "The account is not locked after a sign-in was reported (`locked_until`).",
        "The account is locked, because a sign-in was reported.",
        _unlocked,
        _USER,
        why=_PROGRAM,
    ),
    Demand.TEST_USER: Rule(
        "A test user of the portal signs in at sandboxes alone.",
        "A test user can use sandboxes only.",
        _real,
        _USER,
        why=_PROGRAM,
    ),
    Demand.INVITATION: Rule(
        "The user of a sandbox belongs to its team, or is a test user.",
        "This is a sandbox: only the application's team can sign in.",
        _invited,
        _USER,
        why=_PROGRAM,
    ),
    Demand.ROLE: Rule(
        "The user has one of the roles, groups or units of `allowed_roles`.",
        "The person has none of the roles that this application is for.",
        _role,
        _USER,
        why=_PROGRAM,
    ),
    Demand.NETWORK: Rule(
        "The request comes from one of `allowed_networks`.",
        "This application can only be used from certain networks.",
        _network,
        _EVERY - {Way.MACHINE_IN_USE},
        why={Way.MACHINE_IN_USE: "the token may be used by the resource server, whose network is its own"},
        notes={
            Way.AUTHORIZE: "the network of the user; the grant records which one of the list",
            Way.DEVICE: "the network of the user; the grant records which one of the list",
            Way.CODE: "the recorded network; at a public application also that of the request, which is the user's",
            Way.TICKET: "the recorded network",
            Way.DEVICE_CODE: "the recorded network; at a public application also that of the device",
            Way.REFRESH: "the recorded network; at a public application also that of the request, which is the user's",
            Way.JWT_BEARER: "the network of the program: no user is there",
            Way.CLIENT_CREDENTIALS: "the network of the program",
            Way.IN_USE: "the recorded network, against the present list",
            Way.GATE: "the recorded network, and that of the request",
        },
    ),
    Demand.HOURS: Rule(
        "It is within `allowed_hours`.",
        "This application can only be used at certain hours.",
        _hours,
        _EVERY,
    ),
    Demand.MAX_AGE: Rule(
        "The user signed in at most `default_max_age` seconds ago.",
        "The user must sign in again.",
        _max_age,
        frozenset({Way.DEVICE}),
        led=frozenset({Way.AUTHORIZE}),
        notes={Way.DEVICE: _THERE_AND_BACK},
        why={
            **dict.fromkeys((*_RENEWAL, Way.IN_USE, Way.GATE), _SIGNED_IN_THEN),
            Way.JWT_BEARER: "nobody signs in; `minimum_acr` keeps this grant type away from an application",
            **_PROGRAM,
        },
    ),
    Demand.ACR: Rule(
        "The sign-in reached `minimum_acr`, and the essential `acr` of the request.",
        "The sign-in was below the minimum level of the application.",
        _acr,
        _USER - {Way.AUTHORIZE},
        led=frozenset({Way.AUTHORIZE}),
        why=_PROGRAM,
        notes={
            Way.DEVICE: _THERE_AND_BACK,
            **dict.fromkeys((*_RENEWAL, Way.IN_USE, Way.GATE), _RECORDED),
            Way.JWT_BEARER: "an assertion reaches no level of a sign-in: refused where there is a minimum",
        },
    ),
    Demand.IDENTITY: Rule(
        "The identity of the user reaches `minimum_identity`, and the level that the token names.",
        "It is not known surely enough who the person is.",
        _identity,
        _USER - {Way.AUTHORIZE, Way.IN_USE},
        led=frozenset({Way.AUTHORIZE}),
        why={Way.IN_USE: "userinfo tells the level of this moment, and the next renewal refuses", **_PROGRAM},
    ),
    Demand.CONSENT: Rule(
        "The user has allowed an application that is not the city's own what it asks for, by scope and by claim.",
        "The user has not allowed this, or not any more.",
        _consent,
        _BY_GRANT,
        led=_FRONT,
        why={
            Way.JWT_BEARER: "no page can ask; an administrator who registers `assertion_issuers` decides whose word "
            "counts, and the token opens no data of OpenID Connect",
            **_PROGRAM,
        },
        notes={
            Way.DEVICE: "the page asks every time",
            Way.DEVICE_CODE: "withdrawing ends the grant",
            Way.REFRESH: "withdrawing ends the grant",
            Way.IN_USE: "withdrawing ends the grant",
            Way.GATE: "withdrawing ends the grant",
        },
    ),
    Demand.TERMS: Rule(
        "The user has agreed to the terms of the city.",
        "",
        _met,
        frozenset(),
        why=dict.fromkeys(
            Way, "the terms are asked for when an account is made: without agreement there is no account"
        ),
    ),
}
"""Every demand on every way."""
_HELD = {way: [(demand, rule) for demand, rule in RULES.items() if way in rule.held] for way in Way}
"""The demands that are held on each way."""


def unmet(way: Way, client: Client, facts: Facts) -> Unmet | None:
    """Return the first demand that is held on ``way`` and not met, or None.

    Args:
        way: how a token is asked for, or that one is used.
        client: the application.
        facts: what is known; what is not known refuses.
    """
    for demand, rule in _HELD[way]:
        if not rule.check(way, client, facts):
            error = rule.error
            if way is Way.CLIENT_CREDENTIALS and error == "invalid_grant":
                error = "unauthorized_client"  # RFC 6749 section 5.2: there is no grant that could be invalid
            elif way in _FRONT or way is Way.DEVICE_CODE:
                error = "access_denied"
            return Unmet(demand, error, rule.text)
    return None


def reference() -> str:
    """Return docs/security/demands.md."""
    lines = [_HEAD.strip(), ""]
    ways = list(Way)
    lines += [f"{number}. {WAYS[way]}" for number, way in enumerate(ways, 1)]
    lines += ["", "| demand | " + " | ".join(str(number) for number, _ in enumerate(ways, 1)) + " |"]
    lines.append("| --- |" + " --- |" * len(ways))
    for demand, rule in RULES.items():
        cells = ["refused" if way in rule.held else "led" if way in rule.led else "no" for way in ways]
        lines.append(f"| `{demand}`: {rule.means} | " + " | ".join(cells) + " |")
    lines += ["", _MEANING.strip(), "", "## Notes and reasons", ""]
    for demand, rule in RULES.items():
        texts: dict[str, list[str]] = {}
        for number, way in enumerate(ways, 1):
            if way in rule.notes:
                texts.setdefault(rule.notes[way], []).append(str(number))
            if way in rule.why:
                texts.setdefault(f"not asked for: {rule.why[way]}", []).append(str(number))
        lines += [f"- `{demand}`, {', '.join(numbers)}: {text}." for text, numbers in texts.items()]
    return "\n".join(lines) + "\n"


_HEAD = """
---
kind: reference
audience: contributor
---
# What is asked for before a token

Generated with `make docs` from `src/sso/oidc/demands.py`; a test keeps it current. One function, `unmet`, holds this
table at issue, at renewal and in use ([decision 0035](../decisions/0035-demands-hold-on-every-way.md)). The ways to a
token:
"""
_MEANING = """
`refused`: without it there is no token (and one in use is not valid). `led`: the page leads the user to what is
missing: to sign in, to use a second factor, to a counter, to a decision; `prompt=none` gets an error. `no`: not asked
for; the reason is below.

Scopes: a token holds only scopes that the application has registered. A scope that was taken away is left out at
renewal and in use, with its claims.

The relying-party check (`/check/...`) gives tokens of an issuer and keys of its own that are about nobody: only the
application must not be suspended. The portal's playground uses the ways above with the developer's own session.

Errors: at the authorization endpoint `access_denied`, or what OpenID Connect Core section 3.1.2.6 names for what the
user can do; at the token endpoint `invalid_grant` (`access_denied` for a device; `unauthorized_client` for client
credentials and a grant type that is not registered; `invalid_client` for a suspended application); at userinfo
`invalid_token`; introspection answers `active: false`. A refresh token that is refused for one of these reasons is not
used up: it works again when the demand is met, such as at the next opening hour. (Disabling or deleting a user, and
withdrawing consent, end grants.)
"""
