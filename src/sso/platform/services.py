"""The services of the platform, each as a protocol with one member. Packages combine those that they need.

A class names them in the order of this file, so that classes can be combined again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sso.platform.db import Database
    from sso.platform.keys import KeyRing
    from sso.platform.metrics import Usage
    from sso.platform.security.encryption import SecretBox
    from sso.platform.security.outbound_http import Outbound
    from sso.settings import Settings


class HasDatabase(Protocol):
    """Has the database."""

    @property
    def db(self) -> Database:
        """The database."""


class HasSettings(Protocol):
    """Has the settings."""

    @property
    def settings(self) -> Settings:
        """Every setting."""


class HasBox(Protocol):
    """Has the encryption of what is stored."""

    @property
    def box(self) -> SecretBox:
        """Encrypts what is stored."""


class HasKeys(Protocol):
    """Has the keys of the provider."""

    @property
    def keys(self) -> KeyRing:
        """Signs tokens and verifies the signatures of the provider."""


class HasOutbound(Protocol):
    """Sends requests to servers of others."""

    @property
    def outbound(self) -> Outbound:
        """Sends requests to applications and gateways."""


class HasUsage(Protocol):
    """Counts what happens."""

    @property
    def usage(self) -> Usage:
        """Counts what happens, for the pages of developers and administrators."""


class Storage(HasDatabase, HasSettings, HasBox, Protocol):
    """The database, the settings and the encryption of what is stored."""
