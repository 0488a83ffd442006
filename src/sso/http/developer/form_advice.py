"""Advice about the addresses that were typed in the settings form."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.metadata import application_type
from sso.clients.metadata.gate import callback_of
from sso.clients.registry import Registry
from sso.clients.roles import BELOW
from sso.http.developer.form import Typed
from sso.http.developer.gate_fields import HOSTS
from sso.http.developer.role_fields import INTEREST
from sso.identity.groups.rules import is_group_code
from sso.identity.groups.tree import unknown_codes
from sso.portal.applications import KINDS, RequestedSettings, sandbox_id, texts_in
from sso.portal.redirect_uri_advice import Advice, advise, hosts_of
from sso.settings import Settings


def advise_all(
    typed: Typed, requested: RequestedSettings, others: Collection[str], *, allow_http_loopback: bool
) -> None:
    """Explain each address that cannot be used, and each that is probably not what is meant."""
    kind = application_type(KINDS[typed.kind])
    for name in ("redirect_uris", "post_logout_redirect_uris"):
        places = ((name, requested.document, allow_http_loopback), (f"sandbox.{name}", requested.sandbox, True))
        for field_name, values, loopback in places:
            advice = [advise(uri, kind, loopback, others) for uri in texts_in(values.get(name))]
            typed.advice[field_name] = [advised for advised in advice if advised is not None]
    if typed.kind == "gate":
        gate = requested.document.get("gate")
        hosts = texts_in(gate.get("hosts")) if isinstance(gate, dict) else []
        advice = [advise(callback_of(host), "web", True, others) for host in hosts]
        typed.advice[HOSTS] = [advised for advised in advice if advised is not None and advised.code == "look_alike"]
    for name in ("initiate_login_uri", "backchannel_logout_uri", "client_uri", "policy_uri", "tos_uri", "logo_uri"):
        for field_name, values, loopback in (
            (name, requested.document, allow_http_loopback),
            (f"sandbox.{name}", requested.sandbox, True),
        ):
            uri = values.get(name)
            if isinstance(uri, str) and uri and field_name in typed.values:
                refusal = advise(uri, "web", loopback, others)
                typed.advice[field_name] = [refusal] if refusal is not None and refusal.refused else []


def hosts_of_others(registry: Registry, mine: Collection[str]) -> set[str]:
    """Return the hosts of every application but some, which nobody else's may be taken for."""
    hosts: set[str] = set()
    for client in registry:
        if client.client_id not in mine and not client.sandbox:
            hosts |= hosts_of(client.meta.redirect_uris)
    own = [registry.get(client_id) for client_id in mine]
    return hosts.difference(*(hosts_of(client.meta.redirect_uris) for client in own if client is not None))


def advise_typed(
    typed: Typed, requested: RequestedSettings, application_id: str, registry: Registry, settings: Settings
) -> None:
    """Explain each address of a form that cannot be used."""
    others = hosts_of_others(registry, (application_id, sandbox_id(application_id)))
    advise_all(typed, requested, others, allow_http_loopback=settings.loopback)


async def advise_codes(session: AsyncSession, typed: Typed) -> None:
    """Say which codes of units and groups do not exist. They are not refused: a unit may come later."""
    lines = (line.strip().removesuffix(BELOW) for line in typed.values[INTEREST].split("\n"))
    codes = {line for line in lines if is_group_code(line)}
    unknown = await unknown_codes(session, codes) if codes else set()
    typed.advice[INTEREST] = [Advice("unknown_code", code, refused=False) for code in sorted(unknown)]


def impersonates(typed: Typed) -> list[str]:
    """Return the fields with an address that can be taken for another application's."""
    return [name for name, advice in typed.advice.items() if any(advised.code == "look_alike" for advised in advice)]
