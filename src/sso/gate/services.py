"""What the gate needs of the process."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from sso.clients.registry import Client
from sso.clients.services import HasRegistry
from sso.oidc.services import HasIdle, HasSubjects
from sso.platform.services import HasBox, HasDatabase, HasKeys, HasSettings


class GateServices(HasDatabase, HasSettings, HasBox, HasKeys, HasRegistry, HasSubjects, HasIdle, Protocol):
    """What an answer to a proxy needs."""

    @property
    def id_token_seconds(self) -> int:
        """How long ID tokens are valid, in seconds."""

    def id_token_alg(self, client: Client) -> str:
        """Return the algorithm with which ID tokens for an application are signed."""


MEMORY = timedelta(milliseconds=900)
"""How long an answer is kept in the memory of a process: so long a gate can stay open after the end of a session. With
the end itself and the way of the next check, this is at most a second."""
