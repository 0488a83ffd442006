"""What a configuration of a proxy says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sso.clients.metadata.gate import HEADERS
from sso.clients.registry import Client
from sso.gate.headers import AUTHORIZATION, NAMES
from sso.gate.keys import proxy_credential
from sso.platform.security.encryption import SecretBox

Files = dict[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration.

    Args:
        client_id: the application.
        hosts: its hosts.
        headers: the names of the headers that it receives; with Basic credentials also ``Authorization``.
        credential: what the proxy shows of itself.
        provider: the origin at which the proxy reaches the provider.
        application: the origin of the application behind the proxy.
        certificate: the path of the certificate of the hosts.
        certificate_key: the path of its key.
        listen: the port.
        folder: where further files are.
    """

    client_id: str
    hosts: tuple[str, ...]
    headers: tuple[str, ...]
    credential: str
    provider: str
    application: str
    certificate: str
    certificate_key: str
    listen: int
    folder: str

    @property
    def sends_basic(self) -> bool:
        """Whether the gate makes Basic credentials for the application. Then it gets no others."""
        return AUTHORIZATION in self.headers

    @property
    def provider_host(self) -> str:
        """Host and port of the provider."""
        return urlsplit(self.provider).netloc

    @property
    def provider_port(self) -> int:
        return port_of(self.provider)

    @property
    def is_https(self) -> bool:
        """Whether the proxy reaches the provider over TLS."""
        return self.provider.startswith("https:")

    def head(self, mark: str, *notes: str) -> str:
        """Return the comment at the beginning of a file."""
        lines = [
            f"Forward authentication for {self.client_id}. Made by: sso gate config {self.client_id}",
            "This file contains a key. Let only the proxy and administrators read it.",
            *notes,
        ]
        return "".join(f"{mark} {line}\n" for line in lines) + "\n"


def port_of(origin: str) -> int:
    """Return the port of an origin: that of its scheme where it names none."""
    parts = urlsplit(origin)
    return parts.port or (443 if parts.scheme == "https" else 80)


def plan_for(
    client: Client,
    box: SecretBox,
    *,
    provider: str,
    application: str,
    certificate: str,
    certificate_key: str,
    listen: int = 443,
    folder: str = "",
) -> Plan:
    """Return the plan for an application behind the gate."""
    gate = client.meta.gate
    assert gate is not None
    return Plan(
        client_id=client.client_id,
        hosts=tuple(gate.hosts),
        headers=(
            *(NAMES[name] for name in HEADERS if name in gate.headers),
            *((AUTHORIZATION,) if gate.basic is not None else ()),
        ),
        credential=proxy_credential(box, client.client_id),
        provider=provider.rstrip("/"),
        application=application.rstrip("/"),
        certificate=certificate,
        certificate_key=certificate_key,
        listen=listen,
        folder=folder,
    )


def variable(header: str) -> str:
    """Return the name of a variable for a header."""
    return "sso_" + header.removeprefix("X-SSO-").lower().replace("-", "_")


def bare(host: str) -> str:
    """Return a host without its port."""
    return host.partition(":")[0]


def filled(template: str, **values: str) -> str:
    """Return a template with values in place of names such as ``@KEY@``. No value is read as a template."""
    return re.sub("@([A-Z_]+)@", lambda match: values[match[1]], template)
