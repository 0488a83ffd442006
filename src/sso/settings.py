"""Every setting of the provider, once, typed and documented.

docs/settings.md is generated from this file (``python -m sso.settings``); a test keeps it current.
"""

from __future__ import annotations

import ipaddress
import os
import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SIGNING_ALGS = ("RS256", "ES256", "EdDSA", "PS256")
SigningAlg = Literal["RS256", "ES256", "EdDSA", "PS256"]
MINIMUM_SECRET_BYTES = 32
LIMIT_SCHEMES = ("redis", "rediss", "valkey", "valkeys")
DARK_GROUND = "#16211f"
MINIMUM_CONTRAST = 4.5
"""Of text to its ground (WCAG 2.2 section 1.4.3)."""


class SettingsError(Exception):
    """The settings cannot be used. ``mistakes`` holds one line for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Settings(BaseSettings):
    """Settings, read from the environment (``SSO_...``) and from a file ``.env`` in the working directory."""

    model_config = SettingsConfigDict(
        env_prefix="SSO_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    issuer: str = Field(
        "http://localhost:8000",
        description="The provider's public address: its origin, without a path or a final slash. It is the `iss` "
        "of every token, so it must never change. `https` unless it is a loopback address.",
    )
    database_url: str = Field(
        "",
        description="`postgresql://user@host/database`, or `sqlite:///path`. Empty: an SQLite file in the data "
        "directory, which suits a trial on one machine.",
    )
    data_dir: Path = Field(
        Path("var"),
        description="Directory for the embedded database and, on loopback only, a made secret key.",
    )
    secret_key: Annotated[list[SecretStr], NoDecode] = Field(
        default_factory=list,
        description="One or more secrets of at least 32 characters, separated by commas. The first seals what is "
        "stored, all of them open it, so a key is replaced by putting the new one in front. Required unless the "
        "issuer is a loopback address. Make one with `openssl rand -base64 48`.",
    )
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Addresses or networks (CIDR), separated by commas, of the reverse proxies whose "
        "`X-Forwarded-For` is believed. From anyone else it is ignored.",
    )

    city_name: str = Field("Kota Tangerang", description="The city's name, shown on every page.")
    service_name: str = Field("Tangerang Satu", description="The name of the sign-in service, shown on every page.")
    support_contact: str = Field(
        "helpdesk@tangerang.example", description="Where a citizen finds help; shown on error pages."
    )
    default_locale: Literal["id", "en"] = Field(
        "id", description="Language of pages when neither the request nor the browser names one we have."
    )

    time_zone: str = Field("Asia/Jakarta", description="The city's time zone, in which pages and mails give times.")

    session_idle_seconds: int = Field(
        8 * 3600, ge=60, description="A session ends when it has not been used for this many seconds."
    )
    session_absolute_seconds: int = Field(
        24 * 3600, ge=60, description="A session ends this many seconds after sign-in, used or not."
    )
    session_touch_seconds: int = Field(
        60, ge=1, description="The last use of a session is recorded at most this often, in seconds."
    )
    remembered_idle_seconds: int = Field(
        14 * 86400,
        ge=60,
        description="The same where the person asked that the device be remembered: not used for this many seconds.",
    )
    remembered_absolute_seconds: int = Field(
        30 * 86400,
        ge=0,
        description="The session of a remembered device ends this many seconds after sign-in, used or not; 0: devices "
        "cannot be remembered.",
    )
    sessions_per_user: int = Field(
        20,
        ge=0,
        description="Sessions that a person may have at the same time; another one ends the one that was used "
        "longest ago. 0: any number.",
    )
    step_up_seconds: int = Field(
        600, ge=30, le=3600, description="How recently somebody must have signed in for dangerous acts, in seconds."
    )
    address_privacy: Literal["full", "network", "none"] = Field(
        "network",
        description="In which form network addresses are kept with sessions and in the logs: `full`; `network`, "
        "the first 24 bits of IPv4 and 48 of IPv6; or `none`.",
    )
    interaction_seconds: int = Field(
        1800,
        ge=60,
        description="How long a person may take from the application to the end of sign-in, in seconds.",
    )
    code_seconds: int = Field(
        60,
        ge=5,
        le=600,
        description="Lifetime of an authorization code, in seconds (RFC 6749 section 4.1.2).",
    )
    access_token_seconds: int = Field(600, ge=30, description="Lifetime of an access token, in seconds.")
    id_token_seconds: int = Field(600, ge=30, description="Lifetime of an ID token, in seconds.")
    refresh_token_seconds: int = Field(
        30 * 86400, ge=60, description="A refresh token not used for this many seconds ends its family."
    )
    refresh_grace_seconds: int = Field(
        10,
        ge=0,
        le=60,
        description="A refresh token sent again within this many seconds gets the same successor, because mobile "
        "networks lose answers; later it is reuse and ends the family (RFC 9700 section 4.14.2).",
    )
    signing_alg: SigningAlg = Field(
        "RS256",
        description="Signature algorithm of access tokens, and of ID tokens where the client names none.",
    )

    key_rotation_days: int = Field(
        90,
        ge=0,
        description="Signing and encryption keys are replaced by themselves when they have been in use for this many "
        "days; 0: only by `sso keys rotate`. Old keys stay published while anything they signed can be valid.",
    )
    pushed_request_seconds: int = Field(
        60, ge=5, le=600, description="Lifetime of a pushed authorization request, in seconds (RFC 9126 section 2.2)."
    )
    device_code_seconds: int = Field(
        900, ge=60, le=3600, description="Lifetime of device and user codes, in seconds (RFC 8628 section 3.2)."
    )
    device_poll_seconds: int = Field(
        5, ge=1, le=60, description="How long a device must wait between two token requests, in seconds."
    )
    device_codes_per_address: int = Field(
        60,
        ge=1,
        description="Device codes given to one application at one network address within 15 minutes.",
    )
    pushed_requests_per_client: int = Field(
        100_000,
        ge=1,
        description="Pushed authorization requests of one application within 15 minutes; of a public client from one "
        "network address, as many as `waiting_requests_per_address`.",
    )
    waiting_requests_per_address: int = Field(
        1000,
        ge=1,
        description="Authorization requests from one network address, by people who are not signed in, that are stored "
        "within 15 minutes.",
    )
    waiting_requests: int = Field(
        500_000,
        ge=1,
        description="Authorization requests that wait, and device codes, stored within 15 minutes in total, each; of "
        "device codes one application may have a tenth. The same number of registrations and recoveries may begin "
        "within an hour.",
    )
    device_code_failures_per_address: int = Field(
        20, ge=1, description="Wrong device codes typed from one address within 15 minutes before a pause."
    )
    registration: Literal["closed", "token", "open"] = Field(
        "token",
        description="Dynamic registration (RFC 7591): `closed`; `token`, only with an initial access token made by "
        "`sso clients invite`; or `open` to everyone, for test installations.",
    )
    relying_party_check: Literal["required", "offered"] = Field(
        "required",
        description="Whether a web application of a team must pass the relying-party check before it can be submitted "
        "for production: `required`, or only `offered`.",
    )
    registration_profile: Literal["standard", "legacy", "certification"] = Field(
        "standard",
        description="The profile of applications that register themselves with `open`; an initial access token "
        "carries its own.",
    )
    registrations_per_address: int = Field(
        1000, ge=1, description="Registrations accepted from one address within an hour."
    )
    client_keys_seconds: int = Field(
        600,
        ge=0,
        description="How long the keys at an application's `jwks_uri` are kept, in seconds. An unknown key id makes "
        "them be fetched anew at once.",
    )

    argon2_memory_kib: int = Field(
        65536, ge=8192, description="Memory of one password hash, in KiB (RFC 9106 section 4)."
    )
    argon2_iterations: int = Field(3, ge=1, description="Passes over the memory of one password hash.")
    argon2_lanes: int = Field(1, ge=1, description="Lanes of one password hash; one thread is used whatever it is.")
    hash_concurrency: int = Field(
        0, ge=0, description="Password hashes computed at the same time in one process; 0: one for each core."
    )
    hash_queue: int = Field(
        64,
        ge=0,
        description="Password hashes that may wait for their turn in one process; past it people are asked to try "
        "again in a moment (503), so that everything else stays fast.",
    )
    sign_in_failures_per_account: int = Field(
        10,
        ge=1,
        description="Wrong passwords for one account from one network within 15 minutes before a pause.",
    )
    sign_in_failures_per_address: int = Field(
        100, ge=1, description="Wrong passwords from one address within 15 minutes before a pause."
    )

    limits_url: SecretStr | None = Field(
        None,
        description="Where failures and floods are counted: `memory`, in each process; `database`; or "
        "`redis://host:6379/0`, `rediss://`, `valkey://`, `valkeys://`: together, over every process and host.",
    )
    country_database: Path | None = Field(
        None,
        description="A file of the MaxMind format (`.mmdb`) with the countries of network addresses, such as DB-IP's "
        "or "
        "GeoLite2's. With it sessions show their country, and a sign-in from a new one is suspicious.",
    )
    second_factor_roles: Annotated[list[str], NoDecode] = Field(
        default=["admin", "auditor", "helpdesk", "officer"],
        description="Roles, separated by commas, that need a second step to sign in; who has none sets one up. `none`: "
        "no role does.",
    )
    risk_second_step: Literal["none", "new_country", "new_device"] = Field(
        "new_device",
        description="When a sign-in by password is suspicious and asks for a second step (a code by mail or SMS where "
        "nothing else was set up): never; from a country that is new; or also at a browser that is new. The first "
        "sign-in never is.",
    )
    trusted_device_days: int = Field(
        30,
        ge=0,
        description="How long a browser that the person trusts needs no second step, in days; 0: it always does.",
    )
    password_min_chars: int = Field(
        15,
        ge=8,
        le=64,
        description="Shortest password where it is the only proof, in characters (SP 800-63B-4 3.1.1.2).",
    )
    password_min_chars_with_second_factor: int = Field(
        8, ge=8, le=64, description="Shortest password where a second step is set up, in characters."
    )
    breached_passwords: Path | None = Field(
        None,
        description="Passwords that were stolen elsewhere, as SHA-1 hashes: a file with `HASH:COUNT` lines in order, "
        "or a "
        "directory with a file for each first five digits (the range files of Have I Been Pwned).",
    )
    sign_up: Literal["open", "closed"] = Field(
        "open", description="Whether people can register themselves. They need mail or SMS for it to be offered."
    )
    sign_ups_per_address: int = Field(
        20, ge=1, description="Registrations and recoveries begun from one address within an hour."
    )
    codes_per_contact: int = Field(
        5,
        ge=1,
        description="Codes sent to one e-mail address or telephone number within an hour, for each purpose (sign-up, "
        "sign-in, recovery, new contact) and each network that asks.",
    )
    codes_per_contact_a_day: int = Field(
        20, ge=1, description="Codes sent to one e-mail address or telephone number within a day, for each purpose."
    )
    codes_per_address: int = Field(
        100, ge=1, description="Codes by mail and SMS asked for from one network address within an hour."
    )
    sms_per_day: int = Field(
        20_000,
        ge=1,
        description="SMS with codes sent within a day in total; four fifths of them to people who have proven nothing "
        "yet.",
    )
    invitations_per_person: int = Field(
        20,
        ge=1,
        description="Invitations to teams sent by one person within a day; half as many more for one application, and "
        "3 to one recipient.",
    )
    code_minutes: int = Field(10, ge=1, le=60, description="How long a code that was sent is valid, in minutes.")
    terms_version: str = Field(
        "1",
        min_length=1,
        max_length=32,
        description="The version of the terms and of the privacy notice; what a person agreed to is kept with it.",
    )
    terms_url: str = Field("", description="Where the terms are; empty: our own short page.")
    privacy_url: str = Field("", description="Where the privacy notice is; empty: our own short page.")
    recovery_delay_hours: int = Field(
        24,
        ge=1,
        description="How long a recovery with one proof only, although more were set up, waits, in hours: its owner is "
        "told and can stop it.",
    )
    helpdesk_code_minutes: int = Field(
        60, ge=5, description="How long a code that the helpdesk made for a recovery is valid, in minutes."
    )
    lock_hours: int = Field(
        72,
        ge=1,
        description='How long an account stays locked after "this was not me", in hours; a recovery ends the lock.',
    )
    deletion_grace_days: int = Field(
        14, ge=0, description="How long somebody who asked to be deleted can still come back, in days."
    )
    picture_max_bytes: int = Field(
        5 * 1024 * 1024, ge=65536, description="Largest picture that a person may upload, in bytes."
    )
    brand_logo: Path | None = Field(
        None, description="The city's logo (SVG or PNG, at most 32 KB), shown on every page; ours where none is given."
    )
    brand_colour: str = Field(
        "",
        description="The colour of buttons and links on light ground, as `#rrggbb`, with a contrast of 4.5 to white.",
    )
    brand_colour_dark: str = Field(
        "", description="The same on dark ground, with a contrast of 4.5 to `#16211f`; needed with the other."
    )

    max_body_bytes: int = Field(
        65536, ge=4096, description="Largest request body accepted, in bytes; larger is refused with 413."
    )
    database_pool_size: int = Field(10, ge=1, description="Connections to PostgreSQL kept by one process.")
    registry_poll_seconds: float = Field(
        1.0,
        gt=0,
        le=2,
        description="How often each process looks for changed clients and keys, in seconds; two at the most, "
        "because that is what is promised.",
    )
    outbound_timeout_seconds: float = Field(
        5.0, gt=0, description="Longest time for one request to an application, in seconds."
    )
    outbound_networks: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Networks (CIDR), separated by commas, that are not public and yet may be reached: the city's own, "
        "where its applications are. Everything else private is refused.",
    )
    outbound_ca_file: Path | None = Field(
        None,
        description="A file (PEM) with certificate authorities that are trusted for applications' addresses, besides "
        "the usual ones and those of the machine.",
    )
    delivery_give_up_seconds: int = Field(
        86400,
        ge=60,
        description="A notice that an application has not accepted in this many seconds is given up.",
    )
    delivery_concurrency: int = Field(32, ge=1, description="Notices sent at the same time by one process.")
    delivery_per_receiver: int = Field(
        8,
        ge=1,
        description="Notices sent at the same time by one process to one host, so that a slow one delays nobody else.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="The server that sends mail: `smtps://user:password@host:465`, or `smtp://host:587`, which must "
        "offer STARTTLS unless it is a loopback address. Empty: no mail is sent, and none is promised.",
    )
    mail_from: str = Field(
        "Tangerang Satu <no-reply@tangerang.example>", description="The sender of mails, with or without a name."
    )
    sms_url: str = Field(
        "",
        description='The gateway that sends SMS: `https`; it is sent `{"to", "text", "sender"}` as JSON and answers '
        "2xx. Empty: no SMS is sent, and none is promised.",
    )
    sms_token: SecretStr | None = Field(None, description="Sent to the gateway as `Authorization: Bearer`.")
    sms_sender: str = Field("TANGERANG", max_length=20, description="The sender of SMS.")
    development_outbox: bool = Field(
        False,
        description="Instead of sending mails and SMS, keep them and show them at `/outbox`. On loopback addresses "
        "only.",
    )
    keep_ended_sessions_days: int = Field(
        90, ge=1, description="How long a session that is over is kept, with the proof of its end, in days."
    )
    keep_deliveries_days: int = Field(
        90, ge=1, description="How long a delivery that arrived or was given up is kept, in days."
    )
    audit_retention_days: int = Field(
        0,
        ge=0,
        description="Audit events older than this many days are let go, behind a checkpoint from which the chain is "
        "still verified; 0: none are. Export them before: `sso audit export`.",
    )
    run_worker: bool = Field(
        True,
        description="Send notices and clean up from within the server process; otherwise run `sso worker`.",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severity logged.")
    log_format: Literal["text", "json"] = Field("text", description="Form of log lines.")

    @field_validator("secret_key", "trusted_proxies", "outbound_networks", "second_factor_roles", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("second_factor_roles")
    @classmethod
    def _none_is_no_role(cls, value: list[str]) -> list[str]:
        return [] if value == ["none"] else value

    @field_validator("limits_url")
    @classmethod
    def _counter_is_known(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else "memory"
        if text not in ("memory", "database") and urlsplit(text).scheme not in LIMIT_SCHEMES:
            raise ValueError("must be memory, database, or begin with redis://, rediss://, valkey:// or valkeys://")
        return value

    @field_validator("terms_url", "privacy_url", "sms_url")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (not parts.hostname or (parts.scheme != "https" and not is_loopback_host(parts.hostname))):
            raise ValueError("must be an https address")
        return value

    @field_validator("brand_colour", "brand_colour_dark")
    @classmethod
    def _is_read_on_its_ground(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            raise ValueError("must be a colour such as #0f766e")
        ground = "#ffffff" if info.field_name == "brand_colour" else DARK_GROUND
        if contrast(value, ground) < MINIMUM_CONTRAST:
            raise ValueError(
                f"must have a contrast of {MINIMUM_CONTRAST} to {ground}; it has {contrast(value, ground):.1f}"
            )
        return value

    @field_validator("issuer")
    @classmethod
    def _issuer_is_an_origin(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an https address such as https://masuk.kota.example")
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"must be an origin only, such as {parts.scheme}://{parts.netloc}")
        if parts.scheme == "http" and not is_loopback_host(parts.hostname):
            raise ValueError("must be https, because it is not a loopback address")
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("must be a time zone such as Asia/Jakarta") from None
        return value

    @field_validator("smtp_url")
    @classmethod
    def _mail_server_is_known(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
                raise ValueError("must be smtps://user:password@host:465 or smtp://host:587")
        return value

    @field_validator("secret_key")
    @classmethod
    def _secrets_are_long(cls, value: list[SecretStr]) -> list[SecretStr]:
        if any(len(secret.get_secret_value()) < MINIMUM_SECRET_BYTES for secret in value):
            raise ValueError(
                f"each secret must have at least {MINIMUM_SECRET_BYTES} characters; "
                "make one with: openssl rand -base64 48"
            )
        return value

    @field_validator("trusted_proxies", "outbound_networks")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for network in value:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ValueError(f"{network!r} is not an address or a network such as 10.0.0.0/8") from None
        return value

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, value: str) -> str:
        scheme = value.split(":", 1)[0]
        if value and scheme not in (
            "sqlite",
            "sqlite+aiosqlite",
            "postgresql",
            "postgres",
            "postgresql+asyncpg",
        ):
            raise ValueError("must begin with postgresql:// or sqlite:///")
        return value

    @model_validator(mode="after")
    def _real_use_needs_real_settings(self) -> Self:
        mistakes = []
        if not self.loopback and not self.secret_key:
            mistakes.append("SSO_SECRET_KEY is required when the issuer is not a loopback address")
        if not self.loopback and not self.database_url:
            mistakes.append("SSO_DATABASE_URL is required when the issuer is not a loopback address")
        if self.session_idle_seconds > self.session_absolute_seconds:
            mistakes.append("SSO_SESSION_IDLE_SECONDS must not be more than SSO_SESSION_ABSOLUTE_SECONDS")
        if 0 < self.remembered_absolute_seconds < self.remembered_idle_seconds:
            mistakes.append("SSO_REMEMBERED_IDLE_SECONDS must not be more than SSO_REMEMBERED_ABSOLUTE_SECONDS")
        if self.development_outbox and not self.loopback:
            mistakes.append("SSO_DEVELOPMENT_OUTBOX is for loopback addresses only: it shows every code to everyone")
        if bool(self.brand_colour) != bool(self.brand_colour_dark):
            mistakes.append("SSO_BRAND_COLOUR and SSO_BRAND_COLOUR_DARK are needed together")
        if self.password_min_chars < self.password_min_chars_with_second_factor:
            mistakes.append("SSO_PASSWORD_MIN_CHARS must not be less than SSO_PASSWORD_MIN_CHARS_WITH_SECOND_FACTOR")
        mistakes += self._missing_files()
        if mistakes:
            raise SettingsError(mistakes)
        return self

    def _missing_files(self) -> list[str]:
        named = {name: getattr(self, name) for name in ("breached_passwords", "brand_logo", "country_database")}
        return [
            f"SSO_{name.upper()}: there is nothing at {path}"
            for name, path in named.items()
            if path is not None and not path.exists()
        ]

    def can_send(self, kind: str) -> bool:
        """Tell whether something can be sent to an ``email`` address or to a ``phone``."""
        return self.development_outbox or bool(self.smtp_url if kind == "email" else self.sms_url)

    @property
    def sign_up_kinds(self) -> list[str]:
        """With which contacts people can register themselves: none where they cannot."""
        return [kind for kind in ("email", "phone") if self.can_send(kind)] if self.sign_up == "open" else []

    @property
    def loopback(self) -> bool:
        """Whether the issuer is an address that only this machine reaches."""
        return is_loopback_host(urlsplit(self.issuer).hostname or "")

    @property
    def secure_cookies(self) -> bool:
        """Whether cookies carry ``Secure`` and the ``__Host-`` prefix: always, but for http on loopback."""
        return self.issuer.startswith("https:")

    def effective_database_url(self) -> str:
        """Return the database address with the driver that is used for it."""
        url = self.database_url or f"sqlite:///{self.data_dir / 'sso.platform.db'}"
        for given, used in (
            ("postgres://", "postgresql+asyncpg://"),
            ("postgresql://", "postgresql+asyncpg://"),
            ("sqlite://", "sqlite+aiosqlite://"),
        ):
            if url.startswith(given):
                return used + url.removeprefix(given)
        return url

    def secrets(self, *, create: bool = True) -> list[bytes]:
        """Return the secret keys; on loopback, where none is given, one made and kept in the data directory.

        Args:
            create: make it where there is none yet.

        Raises:
            SettingsError: when there is none, and none is to be made.
        """
        if self.secret_key:
            return [secret.get_secret_value().encode() for secret in self.secret_key]
        path = self.data_dir / "secret.key"
        if not create and not path.exists():
            raise SettingsError([f"there is no secret key at {path}; make one with: sso db upgrade"])
        return [_made_secret(self.data_dir)]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, ``#rrggbb`` (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def is_loopback_host(host: str) -> bool:
    """Tell whether ``host`` (a name or a literal address) names this machine only."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: settings that win over the environment.

    Raises:
        SettingsError: with one line for each mistake.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError([_mistake(problem) for problem in error.errors()]) from None


def _mistake(problem: Any) -> str:
    name = "_".join(str(part) for part in problem["loc"][:1]).upper()
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"SSO_{name}: {message}" if name else message


def _made_secret(data_dir: Path) -> bytes:
    path = data_dir / "secret.key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        data_dir.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        file.write(os.urandom(48).hex().encode())
    return path.read_bytes()


def reference() -> str:
    """Return docs/settings.md: every setting with its type, default and meaning."""
    lines = [
        "# Settings",
        "",
        "Read from the environment, or from a file `.env` in the working directory. Generated from",
        "`src/sso/settings.py` with `python -m sso.settings > docs/settings.md`; a test keeps it current.",
        "",
        "| setting | type | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default in ("", [], None) else f"`{default}`"
        limits = [str(limit) for limit in field.metadata if hasattr(limit, "ge") or hasattr(limit, "le")]
        lines.append(
            f"| `SSO_{name.upper()}` | {_type_name(field.annotation)} | {shown} | {field.description}"
            f"{_limits_in_words(field.metadata) if limits else ''} |"
        )
    return "\n".join(lines) + "\n"


def _type_name(annotation: Any) -> str:
    if getattr(annotation, "__origin__", None) is Literal:
        return " or ".join(f"`{choice}`" for choice in annotation.__args__)
    if getattr(annotation, "__origin__", None) is list:
        return "list"
    if isinstance(annotation, types.UnionType):
        return _type_name(annotation.__args__[0])
    return {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "Path": "path"}.get(
        annotation.__name__, str(annotation.__name__)
    )


def _limits_in_words(metadata: list[Any]) -> str:
    parts = []
    for limit in metadata:
        if getattr(limit, "ge", None) is not None:
            parts.append(f"at least {limit.ge}")
        if getattr(limit, "le", None) is not None:
            parts.append(f"at most {limit.le}")
    return f" ({', '.join(parts)})" if parts else ""


if __name__ == "__main__":
    print(reference(), end="")
