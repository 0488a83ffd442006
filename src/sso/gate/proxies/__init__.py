"""Configurations of proxies: one module for each kind, each with a function that returns complete files.

Every configuration does the same, in this order: it removes what clients send under the names of the gate, in every
spelling; it passes ``/.sso/…`` on to the provider; it asks the provider about every other request; it sets the headers
that the provider answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from sso.gate.proxies.apache import apache_files
from sso.gate.proxies.caddy import caddy_files
from sso.gate.proxies.envoy import envoy_files
from sso.gate.proxies.haproxy import haproxy_files
from sso.gate.proxies.nginx import nginx_files
from sso.gate.proxies.plan import Files, Plan
from sso.gate.proxies.traefik import traefik_files

Kind = Literal["nginx", "traefik", "caddy", "haproxy", "envoy", "apache"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_MAKERS: dict[Kind, Callable[[Plan], Files]] = {
    "nginx": nginx_files,
    "traefik": traefik_files,
    "caddy": caddy_files,
    "haproxy": haproxy_files,
    "envoy": envoy_files,
    "apache": apache_files,
}


def files_for(kind: Kind, plan: Plan) -> Files:
    """Return the files of a configuration, by their names. The first is the one that the proxy reads.

    Args:
        kind: the proxy.
        plan: what the configuration says.
    """
    return _MAKERS[kind](plan)


__all__ = ["KINDS", "Files", "Kind", "Plan", "files_for"]
