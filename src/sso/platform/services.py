"""The services that use cases need which store something encrypted."""

from __future__ import annotations

from typing import Protocol

from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.settings import Settings


class Storage(Protocol):
    """The database, the settings and the encryption of what is stored. The provider has them, and so has a command."""

    @property
    def db(self) -> Database:
        """The database."""

    @property
    def settings(self) -> Settings:
        """Every setting."""

    @property
    def box(self) -> SecretBox:
        """Encrypts what is stored."""
