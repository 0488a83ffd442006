"""What every part of the protocol needs: settings, database, keys, applications. One for each process."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from sso import __version__, clock
from sso.clients.attributes import city_attributes_of
from sso.clients.dynamic_registration import usable_profiles
from sso.clients.profiles import Profile
from sso.clients.registry import Client, Registry
from sso.clients.request_log import with_log_on
from sso.clients.store import mark_secrets_used
from sso.identity.attributes import store as attributes
from sso.identity.authn.factors import Passkeys
from sso.identity.users.service import nik_key
from sso.oidc.token.client_keys import ClientKeys
from sso.platform import stored_settings
from sso.platform.db import Database, DatabaseUnavailable, new_id, read_versions
from sso.platform.db.database_clock import DatabaseClock
from sso.platform.health import Health
from sso.platform.keys import KeyRing, ensure_keys
from sso.platform.metrics import Usage
from sso.platform.metrics import store as usage
from sso.platform.metrics.counters import with_recent
from sso.platform.metrics.request_log import add_requests
from sso.platform.security.encryption import CannotDecrypt, SecretBox
from sso.platform.security.geoip import Countries
from sso.platform.security.instance_secrets import instance_secret
from sso.platform.security.rate_limits import Attempts
from sso.platform.security.tokens import keyed_token
from sso.settings import Settings, whole_seconds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from sso.platform.security.outbound_http import Outbound

log = logging.getLogger(__name__)
_PUBLISHED_SLACK = timedelta(hours=1)
LOOK_SECONDS = 0.05
LOOKS_AT_ONCE = 20
USAGE_SECONDS = 5.0
SEEN_EVERY = 4
"""After how many of these a process says that it lives."""


class Provider:
    """The provider of one process.

    Args:
        settings: every setting.
        db: the database.
        create: make the secret key where there is none.

    Raises:
        SettingsError: when there is no secret key, and none is to be made.
    """

    def __init__(self, settings: Settings, db: Database, *, create: bool = True) -> None:
        self.settings = settings
        self.db = db
        self.box = SecretBox(settings.secrets(create=create))
        longest = max(settings.access_token_lifetime, settings.id_token_lifetime)
        self.keys = KeyRing(self.box, longest + _PUBLISHED_SLACK, settings.signing_alg)
        self.registry = Registry()
        self.usage = Usage()
        self.process_id = new_id()
        self.started_at = clock.now()
        self.refresh_keys = self.box.derived_keys("refresh-successor")
        self.csrf_keys = self.box.derived_keys("form-token")
        self.passkeys = Passkeys(settings, self.box.derived_keys("passkey-challenge"))
        self.countries = Countries(settings)
        self.attempts = Attempts(settings.sign_in_failures_per_account, settings.sign_in_failures_per_ip_address)
        self.id_token_seconds = whole_seconds(settings.id_token_lifetime)
        self._access_token_seconds = whole_seconds(settings.access_token_lifetime)
        self._refresh_token_seconds = whole_seconds(settings.refresh_token_lifetime)
        self.nik_key = b""
        self._pairwise_salt = b""
        self._browser_state_key = b""
        self.refresh_family_key = b""
        self._refreshing = asyncio.Lock()
        self._look: asyncio.Task[int] | None = None
        self._look_due = 0.0
        self._versions: dict[str, int] = {}
        self.has_streams = False
        self.health = Health(db)
        self.clock = DatabaseClock(db)
        self.settings_followers: list[Callable[[], None]] = []
        """What is called after a setting of the database has changed: objects that keep a value of their own."""
        self.generation = 0
        """How often applications, keys or settings were found changed."""
        self.invited: list[tuple[Profile, datetime]] = []
        """The profile that each initial access token allows, and when the token ends."""

    @property
    def idle(self) -> timedelta:
        """After which time without use a session ends."""
        return self.settings.session_idle_timeout

    @cached_property
    def outbound(self) -> Outbound:
        """Sends requests to applications. Made when it is first needed: commands do without."""
        from sso.platform.security.outbound_http import Outbound  # with an HTTP client

        return Outbound(self.settings)

    @cached_property
    def client_keys(self) -> ClientKeys:
        """The public keys of applications."""
        return ClientKeys(self.outbound, whole_seconds(self.settings.client_keys_cache_lifetime))

    def prepare(self) -> None:
        """Make ready what the first notice or fetch would otherwise wait for: reading certificate authorities."""
        _ = self.client_keys

    async def close(self) -> None:
        """Close the connections to applications, where there are any."""
        if "outbound" in self.__dict__:
            await self.outbound.close()

    @property
    def loaded(self) -> bool:
        """Whether keys and applications were read."""
        return self.health.loaded

    async def load(self) -> None:
        """Read keys and applications, making keys that are missing.

        Raises:
            DatabaseUnavailable: when the database cannot be reached.
            CannotDecrypt: when SSO_SECRET_KEY does not fit the database.
        """
        await self.clock.compare()
        self.started_at = clock.now()
        async with self.db.write() as session:
            await ensure_keys(session, self.box)
            self._pairwise_salt = (await instance_secret(session, self.box, "pairwise")).hex().encode()
            self.nik_key = await nik_key(session, self.box)
            self._browser_state_key = await instance_secret(session, self.box, "browser-state")
            self.refresh_family_key = await instance_secret(session, self.box, "refresh-family")
        await self.refresh()
        self.health.loaded = True

    async def refresh(self) -> bool:
        """Read what changed in keys and applications since the last time; tell whether anything had."""
        async with self._refreshing, self.db.read() as session:
            versions = await read_versions(session)
            self.health.refreshed_at = clock.steady()
            if versions == self._versions and self.loaded:
                return False
            if versions.get("keys") != self._versions.get("keys"):
                await self._load_keys(session)
            if any(versions.get(name) != self._versions.get(name) for name in ("clients", "client_removals")):
                await self.registry.load(session, versions)
                self.invited = await usable_profiles(session)
            if versions.get(attributes.COUNTER) != self._versions.get(attributes.COUNTER):
                self.registry.take_attributes(await city_attributes_of(session))
            if versions.get(stored_settings.COUNTER) != self._versions.get(stored_settings.COUNTER):
                await self._load_settings(session)
            self.has_streams = "streams" in versions
            self._versions = versions
            self.generation += 1
        return True

    async def _load_keys(self, session: AsyncSession) -> None:
        """Read the keys. A process that serves goes on with what it can open and is not ready: applications are
        followed all the same.

        Raises:
            CannotDecrypt: when SSO_SECRET_KEY does not fit the database, and nothing is loaded yet.
        """
        try:
            await self.keys.load(session)
        except CannotDecrypt as error:
            if not self.loaded:
                raise
            log.error("not ready, because of a new key: %s", error)
            self.health.keys_unreadable = True
        else:
            self.health.keys_unreadable = False

    async def _load_settings(self, session: AsyncSession) -> None:
        """Take over the settings in the database. The environment wins; what cannot be used is left out."""
        for mistake in self.settings.adopt(await stored_settings.stored_values(session)):
            log.error("a setting in the database cannot be used: %s", mistake)
        for follow in self.settings_followers:
            follow()

    async def look(self) -> int:
        """Read what changed in applications and keys, before a request is refused because of what this process knows of
        them: another process or a command may have changed that a moment ago. Return :attr:`generation`.

        Requests at the same time share one look, and there are at most :data:`LOOKS_AT_ONCE` in a burst and one each
        :data:`LOOK_SECONDS` after that, so that nobody can make wrong names and secrets a load on the database. Every
        caller gets a look that began after the call.

        Raises:
            DatabaseUnavailable: when the database cannot be reached.
        """
        if self._look is None:
            self._look = asyncio.create_task(self._next_look())
        return await asyncio.shield(self._look)

    async def _next_look(self) -> int:
        try:
            now = time.monotonic()
            due = max(self._look_due, now - (LOOKS_AT_ONCE - 1) * LOOK_SECONDS)
            self._look_due = due + LOOK_SECONDS
            if due > now:
                await asyncio.sleep(due - now)
        finally:
            self._look = None  # who comes from now on needs a later look
        await self.refresh()
        return self.generation

    async def client(self, client_id: str) -> Client | None:
        """Return the application ``client_id``, enabled or not, also when another process registered or enabled it just
        now."""
        client = self.registry.get(client_id)
        if client_id and (client is None or not client.enabled):
            await self.look()
            client = self.registry.get(client_id)
        return client

    def profiles(self) -> frozenset[Profile]:
        """Return the profiles in use: of enabled applications, and those that an application may have that registers
        itself now."""
        settings, now = self.settings, clock.now()
        if settings.client_registration == "closed":
            return self.registry.profiles
        opened = {settings.client_registration_profile} if settings.client_registration == "open" else set()
        return self.registry.profiles.union(opened, (profile for profile, until in self.invited if until > now))

    async def follow(self, stop: asyncio.Event) -> None:
        """Follow the database until ``stop``. A database that is away is waited for."""
        interval = self.settings.registry_poll_interval.total_seconds()
        while not await clock.pause(stop, interval):
            try:
                await self.refresh()
                await self.clock.keep()
            except DatabaseUnavailable as error:
                log.warning("cannot read changes of applications and keys: %s", error)
            except Exception:
                log.exception("cannot read changes of applications and keys")

    async def write_usage(self) -> None:
        """Write what this process counted; what cannot be written is kept for the next time.

        Raises:
            DatabaseUnavailable: when there is no database now.
        """
        batch = self.usage.take()
        if not batch:
            return
        try:
            async with self.db.write() as session:
                await mark_secrets_used(session, batch.secrets)
                await usage.add_counts(session, with_recent(batch.counts, clock.now()))
                await usage.add_mistakes(session, batch.mistakes)
                await add_requests(session, await with_log_on(session, batch.requests))
        except BaseException:
            self.usage.put_back(batch)
            raise

    async def report_alive(self) -> None:
        """Write that this process lives, so that administrators see every host."""
        values: usage.ProcessColumns = {
            "id": self.process_id,
            "host": socket.gethostname()[:200],
            "pid": os.getpid(),
            "version": __version__,
            "works": self.settings.run_worker,
            "memory_mb": memory_mb(),
            "started_at": self.started_at,
            "seen_at": clock.now(),
        }
        async with self.db.write() as session:
            await usage.see_process(session, values)

    async def keep_usage(self, stop: asyncio.Event) -> None:
        """Write what is counted every few seconds until ``stop``, and once more then. A database that is away is waited
        for."""
        rounds = 0
        while True:
            stopped = await clock.pause(stop, USAGE_SECONDS)
            try:
                await self.write_usage()
                if rounds % SEEN_EVERY == 0:
                    await self.report_alive()
                rounds += 1
            except DatabaseUnavailable as error:
                log.warning("cannot write what was counted: %s", error)
            except Exception:
                log.exception("cannot write what was counted")
            if stopped:
                return

    def subject(self, client: Client, user_id: UUID) -> str:
        """Return the ``sub`` by which ``client`` knows a person (OpenID Connect Core section 8)."""
        if client.meta.subject_type == "public":
            return str(user_id)
        return keyed_token(self._pairwise_salt, client.meta.sector_identifier, str(user_id))

    def browser_state(self, session_id: UUID) -> str:
        """Return what the browser's cookie says of a session: the same as long as the session is the same, and of no
        use for anything else (Session Management section 3.2)."""
        return keyed_token(self._browser_state_key, str(session_id))

    def id_token_alg(self, client: Client) -> str:
        """Return the algorithm with which ID tokens for ``client`` are signed."""
        return client.meta.id_token_signed_response_alg or self.settings.signing_alg

    def access_token_seconds(self, client: Client) -> int:
        """Return how long access tokens for ``client`` are valid: as long as the city's, or shorter."""
        return _shorter(self._access_token_seconds, client.meta.access_token_seconds)

    def refresh_token_seconds(self, client: Client) -> int:
        """Return how long refresh tokens for ``client`` are valid: as long as the city's, or shorter."""
        return _shorter(self._refresh_token_seconds, client.meta.refresh_token_seconds)

    def audiences(self, path: str = "/token") -> list[str]:
        """Return what an assertion that comes to the endpoint ``path`` may name as ``aud``: the issuer, the token
        endpoint (RFC 7523 section 3), or the endpoint itself (RFC 9126 section 2)."""
        return list(dict.fromkeys([self.settings.issuer, self.url("/token"), self.url(path)]))

    def url(self, path: str) -> str:
        """Return the public address of ``path``: always from the issuer, never from a request's Host."""
        return self.settings.issuer + path


def _shorter(city: int, own: int | None) -> int:
    return min(city, own) if own else city


def memory_mb() -> int:
    """Return the most memory that this process has held, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak / 1024 if sys.platform != "darwin" else peak / 1024**2)
