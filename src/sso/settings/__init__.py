"""Settings of the provider, from the environment (``SSO_...``) and a file ``.env``.

The fields are in ``groups``, their types in ``values``, names that changed in ``variables``, and the documents that
are generated from the fields in ``reference``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import PrivateAttr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from sso.errors import SettingsError, validation_field, validation_message
from sso.settings.changeable import CHANGEABLE, Source
from sso.settings.database_address import DatabaseAddress, read_address
from sso.settings.groups import (
    CHANNELS,
    GROUPS,
    MINIMUM_SECRET_BYTES,
    RATE_LIMIT_SCHEMES,
    SIGNING_ALGS,
    Group,
    Groups,
    SigningAlg,
    contrast,
    is_loopback_host,
    logo_type,
    read_logo_data,
)
from sso.settings.reference import display, env_example, example, reference, variable
from sso.settings.values import (
    Duration,
    Size,
    format_duration,
    format_size,
    whole_days,
    whole_hours,
    whole_minutes,
    whole_seconds,
)
from sso.settings.variables import unknown_variable

__all__ = [
    "CHANGEABLE",
    "CHANNELS",
    "GROUPS",
    "SIGNING_ALGS",
    "DatabaseAddress",
    "Duration",
    "Group",
    "Settings",
    "SettingsError",
    "SigningAlg",
    "Size",
    "Source",
    "contrast",
    "display",
    "env_example",
    "example",
    "format_duration",
    "format_size",
    "is_loopback_host",
    "load_settings",
    "logo_type",
    "read_logo_data",
    "reference",
    "variable",
    "whole_days",
    "whole_hours",
    "whole_minutes",
    "whole_seconds",
]

_VARIABLE = re.compile(r"SSO_[A-Z0-9_]+")
_LIMITS = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}


class Settings(Groups, BaseSettings):
    """Every setting. Arguments win over the environment, which wins over ``.env``."""

    model_config = SettingsConfigDict(
        env_prefix="SSO_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        defer_build=False,
    )

    _stored: dict[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **values: object) -> None:
        if unknown := [name for name in values if name[0] != "_" and name not in type(self).model_fields]:
            raise SettingsError([f"{name} is not a setting" for name in unknown])
        super().__init__(**values)

    def source_of(self, name: str) -> Source:
        """Return where the value of a setting comes from."""
        if name in self.model_fields_set:
            return "environment"
        return "database" if name in self._stored else "default"

    @property
    def stored(self) -> Mapping[str, str]:
        """The values from the database that are in effect, as they were written there."""
        return self._stored

    def mistakes_of(self, stored: Mapping[str, str]) -> list[str]:
        """Return what is wrong with values for the database, one line for each mistake, in the words in which the
        environment is refused. A setting that the environment sets is not checked: the environment wins."""
        try:
            self._with(stored)
        except SettingsError as error:
            return error.mistakes
        return []

    def adopt(self, stored: Mapping[str, str]) -> list[str]:
        """Take over the values of the database: the settings change in place, and everything that holds them sees the
        new values. A value of the environment stays.

        A value that cannot be used is left out, for example because the environment has changed since it was stored.

        Args:
            stored: every value in the database, by the name of its setting.

        Returns:
            One line for each value that was left out.
        """
        usable, mistakes = {name: text for name, text in stored.items() if self._may_adopt(name)}, list[str]()
        while True:
            try:
                values = self._with(usable)
                break
            except SettingsError as error:
                refused = {name for name in usable if any(_names(line, name) for line in error.mistakes)} or set(usable)
                usable = {name: text for name, text in usable.items() if name not in refused}
                mistakes += error.mistakes
        for name, field in type(self).model_fields.items():
            if self._may_adopt(name):
                self.__dict__[name] = values.get(name, field.get_default(call_default_factory=True))
        self._stored = usable
        return mistakes

    def _may_adopt(self, name: str) -> bool:
        return name in CHANGEABLE and name not in self.model_fields_set

    def _with(self, stored: Mapping[str, str]) -> dict[str, object]:
        """Return the values of texts from the database.

        Raises:
            SettingsError: with one line for each mistake.
        """
        texts = {name: text for name, text in stored.items() if self._may_adopt(name)}
        if not texts:
            return {}
        # Only what a rule combines with these: the rest was checked at the start, and a loopback issuer needs nothing.
        given: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set if name in CHANGEABLE}
        try:
            candidate = _Candidate(**{"issuer": "http://localhost", **given, **texts})
        except ValidationError as error:
            raise SettingsError([_mistake(problem) for problem in error.errors()]) from None
        values = {name: getattr(candidate, name) for name in texts}
        outside = [(name, CHANGEABLE[name].mistake(value)) for name, value in values.items()]
        if mistakes := [f"{variable(name)}: {text}" for name, text in outside if text]:
            raise SettingsError(mistakes)
        return values

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        mistakes = [
            *self._missing_values(),
            *self._contradictions(),
            *self._whatsapp_mistakes(),
            *self._missing_files(),
            *self._missing_extras(),
        ]
        if mistakes:
            raise SettingsError(mistakes)
        return self

    def _missing_values(self) -> list[str]:
        return [
            f"{variable(name)} is required when the issuer is not a loopback address"
            for name in ("secret_key", "database_url")
            if not self.loopback and not getattr(self, name)
        ]

    def _contradictions(self) -> list[str]:
        mistakes = []
        if self.session_idle_timeout > self.session_lifetime:
            mistakes.append("SSO_SESSION_IDLE_TIMEOUT must not be more than SSO_SESSION_LIFETIME")
        if timedelta(0) < self.remembered_session_lifetime < self.remembered_session_idle_timeout:
            mistakes.append("SSO_REMEMBERED_SESSION_IDLE_TIMEOUT must not be more than SSO_REMEMBERED_SESSION_LIFETIME")
        if self.development_outbox and not self.loopback:
            mistakes.append("SSO_DEVELOPMENT_OUTBOX is for loopback addresses only: it shows every code to everyone")
        if bool(self.brand_colour) != bool(self.brand_colour_dark):
            mistakes.append("SSO_BRAND_COLOUR and SSO_BRAND_COLOUR_DARK are needed together")
        if self.password_min_length < self.password_min_length_with_second_factor:
            mistakes.append("SSO_PASSWORD_MIN_LENGTH must not be less than SSO_PASSWORD_MIN_LENGTH_WITH_SECOND_FACTOR")
        if self.database_pooler == "pgbouncer" and (address := self.database_address) and address.options:
            mistakes.append(
                "SSO_DATABASE_URL: PgBouncer refuses the parameter options; set them with ALTER ROLE … SET instead"
            )
        return mistakes

    def _whatsapp_mistakes(self) -> list[str]:
        if not self.whatsapp_phone_number_id or self.development_outbox:
            return []
        mistakes = [
            f"{variable(name)} is required when SSO_WHATSAPP_PHONE_NUMBER_ID is set"
            for name in ("whatsapp_app_secret", "whatsapp_verify_token")
            if getattr(self, name) is None
        ]
        if self.whatsapp_token is None and self.whatsapp_token_file is None:
            mistakes.append("SSO_WHATSAPP_TOKEN or SSO_WHATSAPP_TOKEN_FILE is required")
        if self.whatsapp_fallback_after >= self.one_time_code_lifetime:
            mistakes.append("SSO_WHATSAPP_FALLBACK_AFTER must be less than SSO_ONE_TIME_CODE_LIFETIME")
        return mistakes

    def _missing_files(self) -> list[str]:
        paths = {
            name: getattr(self, name)
            for name in ("breached_passwords", "brand_logo", "country_database", "whatsapp_token_file")
        }
        return [
            f"{variable(name)}: there is nothing at {path}"
            for name, path in paths.items()
            if path is not None and not path.exists()
        ]

    def _missing_extras(self) -> list[str]:
        storage = self.rate_limit_storage.get_secret_value() if self.rate_limit_storage else ""
        extras = (
            ("postgres", "asyncpg", "SSO_DATABASE_URL names PostgreSQL", self.database_url.startswith("postgres")),
            (
                "redis",
                "redis",
                "SSO_RATE_LIMIT_STORAGE names Redis or Valkey",
                urlsplit(storage).scheme in RATE_LIMIT_SCHEMES,
            ),
            ("geo", "maxminddb", "SSO_COUNTRY_DATABASE is set", self.country_database is not None),
            ("mail", "aiosmtplib", "SSO_SMTP_URL is set", self.smtp_url is not None),
            ("otel", "opentelemetry.sdk", "SSO_OTLP_ENDPOINT is set", bool(self.otlp_endpoint)),
        )
        return [
            f"{reason}: install sso[{extra}]"
            for extra, module, reason, is_needed in extras
            if is_needed and find_spec(module) is None
        ]

    def can_send(self, kind: str) -> bool:
        """Tell whether something can be sent to an ``email`` address or to a ``phone`` number."""
        if kind == "email":
            return "email" in self.channels and (self.development_outbox or bool(self.smtp_url))
        return bool(self.phone_channels)

    @property
    def phone_channels(self) -> list[str]:
        """How messages can be sent to telephone numbers (``sms``, ``whatsapp``), the preferred channel first."""
        is_set = {"sms": self.development_outbox or self.sms_url, "whatsapp": self.whatsapp_phone_number_id}
        able = [name for name, value in is_set.items() if value and name in self.channels]
        return sorted(able, key=lambda name: name != self.phone_channel)

    @property
    def contact_kinds(self) -> list[str]:
        """Kinds of contact (``email``, ``phone``) to which something can be sent."""
        return [kind for kind in ("email", "phone") if self.can_send(kind)]

    @property
    def sign_up_kinds(self) -> list[str]:
        """Kinds of contact (``email``, ``phone``) that people can sign up with; empty if sign-up is closed."""
        return self.contact_kinds if self.sign_up == "open" else []

    @property
    def metrics(self) -> bool:
        """Whether the server keeps metrics."""
        return bool(self.metrics_port) or self.metrics_token is not None

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the issuer."""
        return is_loopback_host(urlsplit(self.issuer).hostname or "")

    @property
    def secure_cookies(self) -> bool:
        """Whether cookies carry ``Secure`` and the ``__Host-`` prefix: always, except for http on loopback."""
        return self.issuer.startswith("https:")

    @property
    def database_address(self) -> DatabaseAddress | None:
        """The address of PostgreSQL; None: the database is SQLite."""
        return read_address(self.database_url) if self.database_url.startswith("postgres") else None

    def effective_database_url(self) -> str:
        """Return the database URL with the driver that is used."""
        url = self.database_url or f"sqlite:///{self.data_dir / 'sso.db'}"
        for given, used in (
            ("postgres://", "postgresql+asyncpg://"),
            ("postgresql://", "postgresql+asyncpg://"),
            ("sqlite://", "sqlite+aiosqlite://"),
        ):
            if url.startswith(given):
                return used + url.removeprefix(given)
        return url

    def secrets(self, *, create: bool = True) -> list[bytes]:
        """Return the secret keys; if none is set, on loopback only, the one that is kept in the data directory.

        Args:
            create: create a secret in the data directory if there is none.

        Raises:
            SettingsError: when there is no secret and ``create`` is false.
        """
        if self.secret_key:
            return [secret.get_secret_value().encode() for secret in self.secret_key]
        path = self.data_dir / "secret.key"
        if not create and not path.exists():
            raise SettingsError([f"there is no secret key at {path}; make one with: sso db upgrade"])
        return [_kept_secret(self.data_dir)]


class _Candidate(Settings):
    """Settings of the arguments alone: the environment and ``.env`` are not read."""

    model_config = SettingsConfigDict(defer_build=True)  # most processes and commands make none

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: settings that win over the environment.

    Raises:
        SettingsError: with one line for each mistake.
    """
    mistakes, settings = _unknown_variables(), None
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        mistakes += [_mistake(problem) for problem in error.errors()]
    except SettingsError as error:
        mistakes += error.mistakes
    if settings is None or mistakes:
        raise SettingsError(mistakes)
    return settings


def _unknown_variables() -> list[str]:
    sources = (EnvSettingsSource(Settings), DotEnvSettingsSource(Settings))
    names = {name.upper() for source in sources for name in source.env_vars if name.upper().startswith("SSO_")}
    known = {variable(name) for name in Settings.model_fields}
    return [line for name in sorted(names - known) if (line := unknown_variable(name, known))]


def _names(line: str, name: str) -> bool:
    """Tell whether a line about a mistake names a setting."""
    return variable(name) in _VARIABLE.findall(line)


def _mistake(problem: ErrorDetails) -> str:
    name = validation_field(problem)
    message = validation_message(problem)
    if problem["type"] in _LIMITS and name in Settings.model_fields:
        attribute, words = _LIMITS[problem["type"]]
        metadata = Settings.model_fields[name].metadata
        limit = next(getattr(constraint, attribute) for constraint in metadata if hasattr(constraint, attribute))
        message = f"must be {words} {display(limit)}"
    return f"{variable(name)}: {message}" if name else message


def _put(new_file: Path, path: Path) -> None:
    """Give a complete file its name, where no file has it. Some file systems have no hard links: there it is renamed,
    and of two processes that start at the same moment both must read it afterwards."""
    try:
        os.link(new_file, path)
    except FileExistsError:
        return
    except OSError:
        if not path.exists():
            new_file.rename(path)


def _kept_secret(data_dir: Path) -> bytes:
    """Return the secret key that is kept in a directory; make one where there is none. The file appears when it is
    complete: a full disk, or a process that starts at the same time, must not leave a key that anybody can guess.

    Raises:
        SettingsError: when the file is too short to be a key.
    """
    path = data_dir / "secret.key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        new_file = data_dir / f"secret.key.{os.getpid()}-{os.urandom(4).hex()}"
        try:
            with open(new_file, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(os.urandom(48).hex().encode())
                file.flush()
                os.fsync(file.fileno())
            _put(new_file, path)
        finally:
            new_file.unlink(missing_ok=True)
    secret = path.read_bytes()
    if len(secret) < MINIMUM_SECRET_BYTES:
        advice = "restore it from a copy, or delete it where there is no database yet"
        raise SettingsError([f"{path} is not complete: {advice}"])
    return secret
