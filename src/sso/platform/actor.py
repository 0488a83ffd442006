"""The actor of a change: who makes it, with which permissions, and from where. Audit events name it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts.

    Args:
        name: a user id, ``client <client_id>``, ``cli``, or another name for the audit log; None: unknown.
        permissions: the permissions that the actor has now.
        groups: the groups of applications that the permissions are limited to; None: all.
        stored_ip_address: the IP address in the form in which it may be stored; None: there is none.
        request_id: the reference of the request in the log; None: no request, as for a command.
    """

    name: str | None
    permissions: frozenset[str] = frozenset()
    groups: frozenset[str] | None = None
    stored_ip_address: str | None = None
    request_id: str | None = None


UNKNOWN = Actor(None)
"""The actor where nobody is known."""
CLI = Actor("cli")
"""The actor of commands on a host of the provider."""
SYSTEM = Actor("system")
"""The actor of jobs that nobody asked for."""
