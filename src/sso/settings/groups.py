"""The settings, in groups. Each group is a class; ``Settings`` inherits from all of them.

A field has a description and an example: docs/reference/settings.md, ``/admin/system`` and ``.env.example`` show them.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from sso.settings.database_address import read_address
from sso.settings.values import Days, Duration, Hours, Minutes, SecretList, Size, TextList

SIGNING_ALGS = ("RS256", "ES256", "EdDSA", "PS256")
SigningAlg = Literal["RS256", "ES256", "EdDSA", "PS256"]
MINIMUM_SECRET_BYTES = 32
MINIMUM_PASSPHRASE = 20
RATE_LIMIT_SCHEMES = ("redis", "rediss", "valkey", "valkeys")
DATABASE_SCHEMES = ("sqlite", "sqlite+aiosqlite", "postgresql", "postgres", "postgresql+asyncpg")
CHANNELS = ("email", "sms", "whatsapp")
MAX_LOGO_BYTES = 32 * 1024
_PHONE_PREFIX = re.compile(r"\+[1-9][0-9]{0,6}(=[1-9][0-9]{0,8})?")
_TEMPLATE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?=[a-z0-9_]{1,512}")
DARK_BACKGROUND = "#16211f"
MINIMUM_CONTRAST = 4.5
"""Of text to its background (WCAG 2.2 section 1.4.3)."""


class Group(BaseModel):
    """Settings that belong together. Names of validators are unique across groups: ``Settings`` inherits them all."""

    model_config = ConfigDict(defer_build=True)
    """Only ``Settings`` is ever made: a schema of each group would be built for nothing."""

    title: ClassVar[str]
    """The heading of the group on pages and in documents."""


class ServerSettings(Group):
    title = "Server"

    issuer: str = Field(
        "http://localhost:8000",
        description="The public URL of the provider: an origin, without a path and without a final slash. Every token "
        "carries the URL as `iss`, so the URL must never change. `https` is required unless the host is a loopback "
        "address.",
        examples=["https://masuk.kota.example"],
    )
    trusted_proxies: TextList = Field(
        default_factory=list,
        description="IP addresses or networks (CIDR) of your reverse proxies, separated by commas. The server reads "
        "`X-Forwarded-For` from these addresses and ignores the header from all others.",
        examples=["10.0.0.0/8"],
    )
    data_dir: Path = Field(
        Path("var"),
        description="Directory of the SQLite database and, on loopback addresses only, of the generated secret key.",
        examples=["/data"],
    )
    max_body_size: Size = Field(
        ByteSize(64 * 1024),
        ge=ByteSize(4096),
        description="Largest request body that the server accepts. A larger body is refused with status 413.",
        examples=["64KiB"],
    )
    run_worker: bool = Field(
        True,
        description="The server process also sends mails, SMS and notifications and deletes expired data. If `false`, "
        "run `sso worker`.",
        examples=["false"],
    )
    shutdown_delay: Duration = Field(
        timedelta(0),
        ge=timedelta(0),
        le=timedelta(minutes=5),
        description="After SIGTERM the server answers requests for this time while `/readyz` says 503, so that load "
        "balancers stop sending requests before the server stops accepting them. Set it to the time that your load "
        "balancer needs to notice.",
        examples=["15s"],
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest severity that is logged.", examples=["WARNING"]
    )
    log_format: Literal["text", "json"] = Field("text", description="Format of log lines.", examples=["json"])

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an https URL such as https://masuk.kota.example")
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"must be an origin only, such as {parts.scheme}://{parts.netloc}")
        if parts.scheme == "http" and not is_loopback_host(parts.hostname):
            raise ValueError("must be https, because it is not a loopback address")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_trusted_proxies(cls, value: list[str]) -> list[str]:
        return check_networks(value)


class ObservationSettings(Group):
    title = "Metrics and traces"

    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of a listener of its own at which `sso serve` answers `/metrics` in the form of Prometheus, "
        "for all its processes. `0`: none. The listener asks for no password: let only the monitoring reach it.",
        examples=["9464"],
    )
    worker_metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="The same for `sso worker`.",
        examples=["9465"],
    )
    metrics_address: str = Field(
        "127.0.0.1",
        description="IP address of these listeners.",
        examples=["10.0.0.5"],
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="A token of at least 32 characters. With it, the server also answers `/metrics` on its own port, "
        "to requests with `Authorization: Bearer <token>`. Empty: no such page.",
        examples=["<a token of at least 32 characters>"],
    )
    otlp_endpoint: str = Field(
        "",
        description="The URL to which traces are sent (OTLP over HTTP, protobuf). Empty: no traces. Needs the extra "
        "`otel`.",
        examples=["http://collector.internal:4318/v1/traces"],
    )
    trace_sample_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="The share of requests that are traced, where the caller has not decided (`traceparent` of a "
        "trusted proxy).",
        examples=["0.01"],
    )

    @field_validator("metrics_address")
    @classmethod
    def _check_metrics_address(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(f"must be an IP address; not {value}") from None

    @field_validator("metrics_token")
    @classmethod
    def _check_metrics_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MINIMUM_SECRET_BYTES:
            raise ValueError(f"must have at least {MINIMUM_SECRET_BYTES} characters")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_otlp_endpoint(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("must be a URL such as http://collector.internal:4318/v1/traces")
        return value


class DatabaseSettings(Group):
    title = "Database"

    database_url: str = Field(
        "",
        description="`postgresql://user:password@host/database` or `sqlite:///path`. An address of PostgreSQL is "
        "written as for `psql`: several hosts (`host1:5432,host2:5432`) and parameters such as "
        "`?target_session_attrs=read-write&sslmode=verify-full&sslrootcert=/etc/ssl/db-ca.pem`. Empty: an SQLite file "
        "in the data directory, for a trial on one machine.",
        examples=["postgresql://sso@db.internal/sso"],
    )
    database_pool_size: int = Field(
        10, ge=1, description="PostgreSQL connections that one process keeps open.", examples=["20"]
    )
    database_pool_timeout: Duration = Field(
        timedelta(seconds=10),
        ge=timedelta(milliseconds=10),
        description="How long a request waits for a PostgreSQL connection when all connections are in use or the "
        "database has too many connections. After that the answer is 503.",
        examples=["10s"],
    )
    database_pooler: Literal["none", "pgbouncer"] = Field(
        "none",
        description="`pgbouncer`: the address is that of PgBouncer, in transaction or session mode. The server then "
        "sends only start-up parameters that PgBouncer accepts, and each transaction begins with its limits.",
        examples=["pgbouncer"],
    )
    database_prepared_statements: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether PostgreSQL keeps prepared statements. `auto`: `off` behind PgBouncer, otherwise `on`. "
        "`on` behind PgBouncer needs version 1.21 or newer with `max_prepared_statements` of at least 200.",
        examples=["on"],
    )
    database_connect_timeout: Duration = Field(
        timedelta(seconds=2),
        ge=timedelta(milliseconds=10),
        description="How long the server waits for a connection to one PostgreSQL host. Then the next host of the "
        "address is tried. `connect_timeout` in the address wins.",
        examples=["2s"],
    )
    database_statement_timeout: Duration = Field(
        timedelta(seconds=8),
        ge=timedelta(0),
        description="How long a PostgreSQL statement may take. A database that has not answered 1 second later is "
        "considered lost. `0s`: no limit.",
        examples=["8s"],
    )
    database_lock_timeout: Duration = Field(
        timedelta(seconds=5),
        ge=timedelta(0),
        description="How long a PostgreSQL statement waits for a row or a table that another transaction has locked. "
        "`0s`: no limit.",
        examples=["5s"],
    )
    database_idle_in_transaction_timeout: Duration = Field(
        timedelta(seconds=30),
        ge=timedelta(0),
        description="How long a PostgreSQL transaction may stay open without a statement, for example because the "
        "server process hangs. PostgreSQL then ends the transaction and its locks. `0s`: no limit.",
        examples=["30s"],
    )
    database_tcp_keepalive: Duration = Field(
        timedelta(seconds=3),
        ge=timedelta(0),
        description="How long a connection to PostgreSQL is silent before the operating system checks that the other "
        "host is there, in whole seconds. `0s`: never.",
        examples=["3s"],
    )
    database_tcp_user_timeout: Duration = Field(
        timedelta(seconds=6),
        ge=timedelta(0),
        description="How long the PostgreSQL host may leave data or checks without acknowledgement before the "
        "connection is lost (`TCP_USER_TIMEOUT`, on Linux). `0s`: the default of the operating system, about 15 "
        "minutes.",
        examples=["6s"],
    )
    registry_poll_interval: Duration = Field(
        timedelta(seconds=1),
        ge=timedelta(milliseconds=10),
        le=timedelta(seconds=2),
        description="How often each process checks the database for changed applications and keys. The documentation "
        "promises that a change is effective within two seconds.",
        examples=["1s"],
    )

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        scheme = value.partition("://")[0]
        if value and scheme not in DATABASE_SCHEMES:
            raise ValueError("must begin with postgresql:// or sqlite:///")
        if scheme.startswith("postgres"):
            read_address(value)
        return value


class SecuritySettings(Group):
    title = "Security"

    secret_key: SecretList = Field(
        default_factory=list,
        description="One or more secrets of at least 32 characters, separated by commas. The first secret encrypts "
        "stored data; all of them decrypt. To replace a secret with one process, put the new one in front; with "
        "several, first behind in all of them (docs/how-to/operations.md). Required unless the issuer is a "
        "loopback address. Create one with `openssl rand -base64 48`.",
        examples=["<secret>"],
    )
    signing_alg: SigningAlg = Field(
        "RS256",
        description="Signature algorithm of access tokens, and of ID tokens if the client requests no other.",
        examples=["ES256"],
    )
    key_rotation_interval: Days = Field(
        timedelta(days=90),
        ge=timedelta(0),
        description="Age at which signing and encryption keys are replaced automatically. `0s`: only `sso keys rotate` "
        "replaces keys. Old keys stay published while a token that they signed can be valid.",
        examples=["90d"],
    )
    ip_address_privacy: Literal["full", "network", "none"] = Field(
        "network",
        description="How IP addresses are stored in sessions and logs: `full`; `network` (the first 24 bits of IPv4, "
        "48 bits of IPv6); or `none`.",
        examples=["none"],
    )

    @field_validator("secret_key")
    @classmethod
    def _check_secret_key(cls, value: list[SecretStr]) -> list[SecretStr]:
        if any(len(secret.get_secret_value()) < MINIMUM_SECRET_BYTES for secret in value):
            raise ValueError(
                f"each secret must have at least {MINIMUM_SECRET_BYTES} characters; "
                "create one with: openssl rand -base64 48"
            )
        return value


class TokenSettings(Group):
    title = "Tokens and authorization requests"

    authorization_request_lifetime: Duration = Field(
        timedelta(minutes=30),
        ge=timedelta(minutes=1),
        description="Time that a user has from the authorization request of the application to the end of the sign-in.",
        examples=["30m"],
    )
    pushed_request_lifetime: Duration = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=5),
        le=timedelta(minutes=10),
        description="Lifetime of a pushed authorization request (RFC 9126 section 2.2).",
        examples=["90s"],
    )
    authorization_code_lifetime: Duration = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=5),
        le=timedelta(minutes=10),
        description="Lifetime of an authorization code (RFC 6749 section 4.1.2).",
        examples=["30s"],
    )
    cas_ticket_lifetime: Duration = Field(
        timedelta(seconds=10),
        ge=timedelta(seconds=5),
        le=timedelta(minutes=5),
        description="Lifetime of a service ticket of the CAS protocol until its application validates it (CAS Protocol "
        "3.0 section 3.1.1).",
        examples=["20s"],
    )
    access_token_lifetime: Duration = Field(
        timedelta(minutes=10), ge=timedelta(seconds=30), description="Lifetime of an access token.", examples=["10m"]
    )
    token_access_claims_size: Size = Field(
        ByteSize(2048),
        le=ByteSize(16 * 1024),
        description="Largest size of the claims `roles` and `groups` in a token, as JSON. A token leaves out what is "
        "larger, so that no header or cookie of an application overflows; userinfo and introspection have it.",
        examples=["4KiB"],
    )
    id_token_lifetime: Duration = Field(
        timedelta(minutes=10), ge=timedelta(seconds=30), description="Lifetime of an ID token.", examples=["10m"]
    )
    refresh_token_lifetime: Duration = Field(
        timedelta(days=30),
        ge=timedelta(minutes=1),
        description="Lifetime of a refresh token. Each use returns a new refresh token with a new lifetime.",
        examples=["30d"],
    )
    refresh_token_grace_period: Duration = Field(
        timedelta(seconds=10),
        ge=timedelta(0),
        le=timedelta(minutes=1),
        description="A refresh token that is sent again within this time gets the same successor, because mobile "
        "networks lose responses. A later use is reuse and revokes all tokens of the grant (RFC 9700 section 4.14.2).",
        examples=["10s"],
    )
    device_code_lifetime: Duration = Field(
        timedelta(minutes=15),
        ge=timedelta(minutes=1),
        le=timedelta(hours=1),
        description="Lifetime of device codes and user codes (RFC 8628 section 3.2).",
        examples=["15m"],
    )
    device_polling_interval: Duration = Field(
        timedelta(seconds=5),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=1),
        description="Minimum time between two token requests of a device (`interval`, RFC 8628 section 3.2).",
        examples=["5s"],
    )


class SessionSettings(Group):
    title = "Sessions"

    session_idle_timeout: Duration = Field(
        timedelta(hours=8),
        ge=timedelta(minutes=1),
        description="A session ends when it was not used for this time.",
        examples=["8h"],
    )
    session_lifetime: Duration = Field(
        timedelta(hours=24),
        ge=timedelta(minutes=1),
        description="A session ends this time after the sign-in, even if it is in use.",
        examples=["24h"],
    )
    session_last_seen_interval: Duration = Field(
        timedelta(minutes=1),
        ge=timedelta(seconds=1),
        description="Minimum time between two records of the last use of a session.",
        examples=["5m"],
    )
    remembered_session_idle_timeout: Duration = Field(
        timedelta(days=14),
        ge=timedelta(minutes=1),
        description='The idle timeout of a session for which the user chose "Remember this device".',
        examples=["14d"],
    )
    remembered_session_lifetime: Duration = Field(
        timedelta(days=30),
        ge=timedelta(0),
        description='The lifetime of a session for which the user chose "Remember this device". `0s`: users cannot '
        "choose that.",
        examples=["30d"],
    )
    sessions_per_user: int = Field(
        20,
        ge=0,
        description="Sessions that one user can have at the same time. A new session ends the one that was not used "
        "for the longest time. `0`: no limit.",
        examples=["20"],
    )


class SignInSettings(Group):
    title = "Sign-in"

    reauthentication_age: Duration = Field(
        timedelta(minutes=10),
        ge=timedelta(seconds=30),
        le=timedelta(hours=1),
        description="Maximum age of the sign-in for sensitive actions. When the sign-in is older, the user signs in "
        "again.",
        examples=["10m"],
    )
    account_lock_duration: Duration = Field(
        timedelta(hours=72),
        ge=timedelta(hours=1),
        description='How long an account stays locked after the user reported "This was not me". Account recovery '
        "ends the lock.",
        examples=["72h"],
    )


class SecondFactorSettings(Group):
    title = "Second factor"

    second_factor_roles: TextList = Field(
        default=["admin", "auditor", "helpdesk", "officer"],
        description="Roles, separated by commas, that must sign in with a second factor. A user with such a role who "
        "has no second factor sets one up at the next sign-in. `none`: no role.",
        examples=["admin,auditor"],
    )
    risk_based_second_factor: Literal["none", "new_country", "new_device"] = Field(
        "new_device",
        description="When a sign-in with a password is suspicious and requires a second factor (a code by e-mail or "
        "SMS if the user has set up no other): `none`, never; `new_country`, from a new country; `new_device`, also "
        "with a new browser. The first sign-in of a user is never suspicious.",
        examples=["new_country"],
    )
    trusted_device_lifetime: Days = Field(
        timedelta(days=30),
        ge=timedelta(0),
        description="How long a browser that the user trusts requires no second factor. `0s`: users cannot trust a "
        "browser.",
        examples=["30d"],
    )
    country_database: Path | None = Field(
        None,
        description="A file in MaxMind format (`.mmdb`) with the countries of IP addresses, such as DB-IP or GeoLite2. "
        "With the file, sessions show their country, and a sign-in from a new country is suspicious.",
        examples=["/etc/sso/dbip-country-lite.mmdb"],
    )

    @field_validator("second_factor_roles")
    @classmethod
    def _read_no_role(cls, value: list[str]) -> list[str]:
        return [] if value == ["none"] else value


class PasswordSettings(Group):
    title = "Passwords"

    password_min_length: int = Field(
        15,
        ge=8,
        le=64,
        description="Minimum length, in characters, of a password that is the only factor (SP 800-63B-4 3.1.1.2).",
        examples=["15"],
    )
    password_min_length_with_second_factor: int = Field(
        8,
        ge=8,
        le=64,
        description="Minimum length, in characters, of a password of a user who has a second factor.",
        examples=["12"],
    )
    breached_passwords: Path | None = Field(
        None,
        description="Breached passwords, as SHA-1 hashes: a sorted file with lines `HASH:COUNT`, or a directory with "
        "one file for each first five digits (the range files of Have I Been Pwned).",
        examples=["/etc/sso/pwned-passwords.txt"],
    )
    argon2_memory: Size = Field(
        ByteSize(64 * 1024**2),
        ge=ByteSize(8 * 1024**2),
        description="Memory of one password hash (`m`, RFC 9106 section 4).",
        examples=["64MiB"],
    )
    argon2_iterations: int = Field(
        3, ge=1, description="Passes over the memory of one password hash (`t`).", examples=["3"]
    )
    argon2_parallelism: int = Field(
        1,
        ge=1,
        description="Parallelism of one password hash (`p`). The server uses one thread for any value.",
        examples=["1"],
    )
    password_hash_concurrency: int = Field(
        0,
        ge=0,
        description="Password hashes that one process computes at the same time. `0`: one for each processor core.",
        examples=["4"],
    )
    password_hash_queue: int = Field(
        64,
        ge=0,
        description="Password hashes that can wait in one process. When the queue is full, the server asks users to "
        "try again soon (503), so that all other requests stay fast.",
        examples=["64"],
    )


class AccountSettings(Group):
    title = "Sign-up and accounts"

    sign_up: Literal["open", "closed"] = Field(
        "open",
        description="Whether people can create an account themselves. Sign-up requires mail, SMS or WhatsApp.",
        examples=["closed"],
    )
    one_time_code_lifetime: Minutes = Field(
        timedelta(minutes=10),
        ge=timedelta(minutes=1),
        le=timedelta(hours=1),
        description="Lifetime of a one-time code that is sent by e-mail, SMS or WhatsApp.",
        examples=["10m"],
    )
    recovery_delay: Hours = Field(
        timedelta(hours=24),
        ge=timedelta(hours=1),
        description="Waiting time of an account recovery with a single factor when the user has set up more. The user "
        "is notified and can stop the recovery.",
        examples=["24h"],
    )
    helpdesk_code_lifetime: Minutes = Field(
        timedelta(hours=1),
        ge=timedelta(minutes=5),
        description="Lifetime of a recovery code that the helpdesk created.",
        examples=["1h"],
    )
    user_invitation_lifetime: Days = Field(
        timedelta(days=7),
        ge=timedelta(days=1),
        le=timedelta(days=30),
        description="Lifetime of an invitation that an administrator sends to a new user.",
        examples=["7d"],
    )
    deletion_grace_period: Days = Field(
        timedelta(days=14),
        ge=timedelta(0),
        description="Time in which users can cancel the deletion of their account.",
        examples=["14d"],
    )
    max_picture_size: Size = Field(
        ByteSize(5 * 1024**2),
        ge=ByteSize(64 * 1024),
        description="Largest picture that a user can upload.",
        examples=["5MiB"],
    )
    attributes_file: Path | None = Field(
        None,
        description="A YAML file that declares attributes of users beside the standard claims. A server applies the "
        "file when it starts, unless that would delete values; `sso attributes apply` applies it at any time.",
        examples=["/etc/sso/attributes.yaml"],
    )


class ClientSettings(Group):
    title = "Applications"

    client_registration: Literal["closed", "token", "open"] = Field(
        "token",
        description="Dynamic client registration (RFC 7591): `closed`; `token`, only with an initial access token from "
        "`sso clients invite`; or `open`, for everyone, on test installations.",
        examples=["closed"],
    )
    client_registration_profile: Literal["standard", "legacy", "certification"] = Field(
        "standard",
        description="The profile of clients that register themselves when registration is `open`. An initial access "
        "token has its own profile.",
        examples=["certification"],
    )
    client_keys_cache_lifetime: Duration = Field(
        timedelta(minutes=10),
        ge=timedelta(0),
        description="How long the keys from the `jwks_uri` of a client are cached. An unknown key id causes a new "
        "request at once.",
        examples=["10m"],
    )
    relying_party_check: Literal["required", "offered"] = Field(
        "required",
        description="Whether a web application of a team must pass the relying party check before the team can submit "
        "the application for production: `required`, or only `offered`.",
        examples=["offered"],
    )


class OutboundSettings(Group):
    title = "Requests to applications"

    outbound_timeout: Duration = Field(
        timedelta(seconds=5),
        ge=timedelta(milliseconds=100),
        description="Maximum time of one request to an application.",
        examples=["5s"],
    )
    outbound_networks: TextList = Field(
        default_factory=list,
        description="Private networks (CIDR), separated by commas, that the server can send requests to: the networks "
        "of the city in which applications run. Requests to all other private IP addresses are refused.",
        examples=["10.20.0.0/16"],
    )
    outbound_ca_file: Path | None = Field(
        None,
        description="A file (PEM) with additional certificate authorities that are trusted for the URLs of "
        "applications.",
        examples=["/etc/sso/city-ca.pem"],
    )
    delivery_retry_period: Duration = Field(
        timedelta(hours=24),
        ge=timedelta(minutes=1),
        description="How long a notification that an application does not accept is retried. After this time, the "
        "notification has failed.",
        examples=["24h"],
    )
    delivery_concurrency: int = Field(
        32,
        ge=1,
        description="Notifications of one kind (logout, security event, webhook, notice, message) that one process "
        "sends at the same time. An eighth of them is kept for each kind; all kinds share the rest.",
        examples=["32"],
    )
    delivery_concurrency_per_host: int = Field(
        8,
        ge=1,
        description="Notifications that one process sends at the same time to one host, so that a slow host does not "
        "delay the others.",
        examples=["8"],
    )

    @field_validator("outbound_networks")
    @classmethod
    def _check_outbound_networks(cls, value: list[str]) -> list[str]:
        return check_networks(value)


class ChannelSettings(Group):
    title = "Channels"

    channels: TextList = Field(
        default=["email", "sms", "whatsapp"],
        description="The channels, separated by commas, that the provider uses for codes and notices: `email`, `sms`, "
        "`whatsapp`. A channel also needs its server. `none`: no channel.",
        examples=["email"],
    )

    @field_validator("channels")
    @classmethod
    def _check_channels(cls, value: list[str]) -> list[str]:
        if value == ["none"]:
            return []
        if unknown := [name for name in value if name not in CHANNELS]:
            raise ValueError(f"{unknown[0]!r} is not a channel: {', '.join(CHANNELS)}")
        return value


class MailSettings(Group):
    title = "Mail"

    smtp_url: SecretStr | None = Field(
        None,
        description="The mail server: `smtps://user:password@host:465`, or `smtp://host:587`, which must offer "
        "STARTTLS unless the host is a loopback address. Empty: the provider sends no mail and offers nothing that "
        "needs mail.",
        examples=["smtps://user:password@mail.kota.example:465"],
    )
    mail_from: str = Field(
        "Tangerang Satu <no-reply@tangerang.example>",
        description="The sender of mails: an e-mail address, with or without a name.",
        examples=["Satu Akun <no-reply@kota.example>"],
    )
    development_outbox: bool = Field(
        False,
        description="For development, on loopback addresses only: mails, SMS and WhatsApp messages are not sent but "
        "shown at `/outbox`.",
        examples=["true"],
    )

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
                raise ValueError("must be smtps://user:password@host:465 or smtp://host:587")
        return value


class SmsSettings(Group):
    title = "SMS"

    sms_url: str = Field(
        "",
        description='The `https` URL of the SMS gateway. The provider sends `{"to", "text", "sender"}` as JSON and '
        "expects status 2xx. Empty: the provider sends no SMS and offers nothing that needs SMS.",
        examples=["https://sms.kota.example/send"],
    )
    sms_token: SecretStr | None = Field(
        None,
        description="The token that the gateway receives as `Authorization: Bearer`.",
        examples=["<token>"],
    )
    sms_sender: str = Field("TANGERANG", max_length=20, description="The sender of SMS.", examples=["KOTA"])
    phone_prefixes: TextList = Field(
        default_factory=lambda: ["+62"],
        description="Country codes and prefixes of phone numbers to which SMS and WhatsApp messages are sent, "
        "separated by commas. A number after `=` limits the messages to the prefix within a day, for each channel: "
        "`+62,+65=200`. Other numbers receive nothing: this protects against toll fraud.",
        examples=["+62,+65=200"],
    )
    phone_budget_alarm: int = Field(
        80,
        ge=1,
        le=100,
        description="The percentage of a daily budget of SMS or WhatsApp messages at which administrators are alerted "
        "by mail, once a day.",
        examples=["80"],
    )

    @field_validator("sms_url")
    @classmethod
    def _check_sms_url(cls, value: str) -> str:
        return check_https(value)

    @field_validator("phone_prefixes")
    @classmethod
    def _check_phone_prefixes(cls, value: list[str]) -> list[str]:
        if not value or not all(_PHONE_PREFIX.fullmatch(entry) for entry in value):
            raise ValueError("must be prefixes such as +62, or +65=200 with a number of messages within a day")
        return value


class WhatsAppSettings(Group):
    title = "WhatsApp"

    whatsapp_phone_number_id: str = Field(
        "",
        pattern="^[0-9]{0,32}$",
        description="The phone number ID of the sender in the WhatsApp Business Platform (Cloud API). Empty: the "
        "provider sends no WhatsApp messages.",
        examples=["106540352242922"],
    )
    whatsapp_token: SecretStr | None = Field(
        None,
        description="The access token of the system user, with the permission `whatsapp_business_messaging`.",
        examples=["<token>"],
    )
    whatsapp_token_file: Path | None = Field(
        None,
        description="A file with the access token, instead of `SSO_WHATSAPP_TOKEN`. The provider reads the file again "
        "when it changes, so that a new token needs no restart.",
        examples=["/run/secrets/whatsapp-token"],
    )
    whatsapp_app_secret: SecretStr | None = Field(
        None,
        description="The app secret of the Meta app. It verifies the signature (`X-Hub-Signature-256`) of delivery "
        "receipts.",
        examples=["<app secret>"],
    )
    whatsapp_verify_token: SecretStr | None = Field(
        None,
        description="A random value of at least 16 characters that you also enter in the webhook settings of the Meta "
        "app (`hub.verify_token`).",
        examples=["<random value of 32 characters>"],
    )
    whatsapp_code_templates: TextList = Field(
        default_factory=lambda: ["id=kode_verifikasi", "en=verification_code"],
        description="The approved authentication templates for one-time codes, as `language=name`, separated by "
        "commas. The language is the code that Meta uses, such as `id`, `en` or `en_US`.",
        examples=["id=kode_verifikasi,en_US=verification_code"],
    )
    whatsapp_notice_templates: TextList = Field(
        default_factory=lambda: ["id=pemberitahuan_akun", "en=account_notice"],
        description="The approved utility templates for notices, as `language=name`, separated by commas. The body has "
        "one parameter: the text of the notice.",
        examples=["id=pemberitahuan_akun,en_US=account_notice"],
    )
    whatsapp_api_url: str = Field(
        "https://graph.facebook.com/v23.0",
        description="The base URL of the Cloud API, with its version.",
        examples=["https://graph.facebook.com/v23.0"],
    )
    whatsapp_fallback_after: Duration = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=5),
        le=timedelta(minutes=30),
        description="If WhatsApp has not confirmed a message as delivered after this time, the provider sends the same "
        "message by SMS, where SMS is set up. It must be shorter than `SSO_ONE_TIME_CODE_LIFETIME`.",
        examples=["60s"],
    )
    whatsapp_per_day: int = Field(
        20_000, ge=1, description="WhatsApp messages within a day in total.", examples=["20000"]
    )
    phone_channel: Literal["whatsapp", "sms"] = Field(
        "whatsapp",
        description="How codes and notices reach a phone number when both SMS and WhatsApp are set up: `whatsapp` "
        "or `sms`. A user can choose the other one; the choice is stored with the number.",
        examples=["sms"],
    )

    @field_validator("whatsapp_api_url")
    @classmethod
    def _check_whatsapp_api_url(cls, value: str) -> str:
        return check_https(value).rstrip("/")

    @field_validator("whatsapp_code_templates", "whatsapp_notice_templates")
    @classmethod
    def _check_whatsapp_templates(cls, value: list[str]) -> list[str]:
        if not value or not all(_TEMPLATE.fullmatch(entry) for entry in value):
            raise ValueError("must be language=name, such as id=kode_verifikasi")
        return value

    @field_validator("whatsapp_verify_token")
    @classmethod
    def _check_whatsapp_verify_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters")
        return value


class RateLimitSettings(Group):
    title = "Rate limits"

    rate_limit_storage: SecretStr | None = Field(
        None,
        description="Where failures and requests are counted: `memory`, in each process; `database`; or a Redis or "
        "Valkey server for all processes and hosts: `redis://host:6379/0`, `rediss://`, `valkey://`, `valkeys://`. "
        "Empty: `memory`.",
        examples=["redis://redis.internal:6379/0"],
    )
    rate_limit_connect_timeout: Duration = Field(
        timedelta(milliseconds=500),
        ge=timedelta(milliseconds=10),
        le=timedelta(seconds=5),
        description="Maximum time of a new connection to Redis or Valkey. After a timeout or an error, the process "
        "counts in its memory until the server responds again.",
        examples=["500ms"],
    )
    rate_limit_command_timeout: Duration = Field(
        timedelta(milliseconds=500),
        ge=timedelta(milliseconds=10),
        le=timedelta(seconds=5),
        description="Maximum time of one command to Redis or Valkey.",
        examples=["500ms"],
    )
    rate_limit_retry_interval: Duration = Field(
        timedelta(seconds=1),
        ge=timedelta(milliseconds=10),
        le=timedelta(minutes=1),
        description="How soon a process checks a storage of rate limits that did not respond. The pause doubles, up to "
        "five times this value.",
        examples=["1s"],
    )
    sign_in_failures_per_account: int = Field(
        10,
        ge=1,
        description="Wrong passwords for one account from one network within 15 minutes before a pause.",
        examples=["10"],
    )
    sign_in_failures_per_ip_address: int = Field(
        100, ge=1, description="Wrong passwords from one IP address within 15 minutes before a pause.", examples=["100"]
    )
    sign_ups_per_ip_address: int = Field(
        20,
        ge=1,
        description="Sign-ups and account recoveries that start from one IP address within an hour.",
        examples=["20"],
    )
    one_time_codes_per_contact_per_hour: int = Field(
        5,
        ge=1,
        description="One-time codes to one e-mail address or phone number within an hour, for each purpose (sign-up, "
        "sign-in, recovery, new contact) and each network that requests them.",
        examples=["5"],
    )
    one_time_codes_per_contact_per_day: int = Field(
        20,
        ge=1,
        description="One-time codes to one e-mail address or phone number within a day, for each purpose.",
        examples=["20"],
    )
    one_time_codes_per_ip_address: int = Field(
        100,
        ge=1,
        description="One-time codes by e-mail, SMS and WhatsApp that one IP address requests within an hour.",
        examples=["100"],
    )
    sms_per_day: int = Field(
        20_000,
        ge=1,
        description="SMS within a day in total, and one-time codes to phone numbers. At most four fifths of these "
        "codes go to users who have not authenticated, or to numbers that are not verified.",
        examples=["20000"],
    )
    pending_requests_per_ip_address: int = Field(
        1000,
        ge=1,
        description="Authorization requests of users who are not signed in that one IP address sends to one server "
        "process within 15 minutes. Five times as many from its subnet. The same limit holds for requests that are "
        "stored: requests that are too long for a URL, and pushed requests of public clients.",
        examples=["1000"],
    )
    pending_requests_total: int = Field(
        500_000,
        ge=1,
        description="Authorization requests, and separately device codes, that are stored within 15 minutes in total; "
        "one application can use a tenth of the device codes. The same number of sign-ups and account recoveries can "
        "start within an hour. When the limit is reached, each IP address still has 3.",
        examples=["500000"],
    )
    pushed_requests_per_client: int = Field(
        100_000,
        ge=1,
        description="Pushed authorization requests of one client within 15 minutes. For a public client and one IP "
        "address, the limit is `pending_requests_per_ip_address`.",
        examples=["100000"],
    )
    device_codes_per_ip_address: int = Field(
        60,
        ge=1,
        description="Device codes for one application and one IP address within 15 minutes.",
        examples=["60"],
    )
    device_code_failures_per_ip_address: int = Field(
        20, ge=1, description="Wrong user codes from one IP address within 15 minutes before a pause.", examples=["20"]
    )
    client_registrations_per_ip_address: int = Field(
        1000,
        ge=1,
        description="Dynamic client registrations from one IP address within an hour.",
        examples=["1000"],
    )
    invitations_per_user: int = Field(
        20,
        ge=1,
        description="Team invitations that one user sends within a day. For one application the limit is half as many "
        "more; for one recipient it is 3.",
        examples=["20"],
    )

    @field_validator("rate_limit_storage")
    @classmethod
    def _check_rate_limit_storage(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else "memory"
        if text not in ("memory", "database") and urlsplit(text).scheme not in RATE_LIMIT_SCHEMES:
            raise ValueError("must be memory, database, or begin with redis://, rediss://, valkey:// or valkeys://")
        return value


class RetentionSettings(Group):
    title = "Audit log and retention"

    audit_retention: Duration = Field(
        timedelta(0),
        ge=timedelta(0),
        description="Audit events older than this are deleted. A checkpoint keeps the rest of the chain verifiable. "
        "`0s`: no event is deleted. Export the events first: `sso audit export`.",
        examples=["730d"],
    )
    ended_session_retention: Days = Field(
        timedelta(days=90),
        ge=timedelta(days=1),
        description="How long an ended session is kept, with the delivery report of its logout.",
        examples=["90d"],
    )
    delivery_retention: Duration = Field(
        timedelta(days=90),
        ge=timedelta(days=1),
        description="How long a delivered or failed mail, SMS or notification is kept.",
        examples=["90d"],
    )


class BackupSettings(Group):
    title = "Backup"

    backup_key_file: Path | None = Field(
        None,
        description="A file of at least 32 random bytes that encrypts backups, made with `openssl rand -base64 48`. "
        "Keep a copy away from the backups: without the file nobody can read them.",
        examples=["/etc/sso/backup.key"],
    )
    backup_passphrase: SecretStr | None = Field(
        None,
        description="A pass phrase of at least 20 characters that encrypts backups if no key file is set.",
        examples=["<at least 20 characters>"],
    )
    backup_database_url: SecretStr | None = Field(
        None,
        description="The address of PostgreSQL for `sso backup` and `sso restore`, where `SSO_DATABASE_URL` leads to "
        "PgBouncer. pg_dump and pg_restore change connections that PgBouncer lends to the servers next.",
        examples=["postgresql://sso@db.internal/sso"],
    )
    backup_scratch_database_url: SecretStr | None = Field(
        None,
        description="An empty PostgreSQL database in which `sso backup --verify` and `sso restore --check` restore a "
        "backup. They delete what they restored. Empty: a new database on the server of `SSO_DATABASE_URL`, for which "
        "its role needs `CREATEDB`.",
        examples=["postgresql://sso@db.internal/sso_check"],
    )

    @field_validator("backup_passphrase")
    @classmethod
    def _check_backup_passphrase(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MINIMUM_PASSPHRASE:
            raise ValueError(f"must have at least {MINIMUM_PASSPHRASE} characters")
        return value

    @field_validator("backup_database_url", "backup_scratch_database_url")
    @classmethod
    def _check_backup_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
                raise ValueError("must begin with postgresql://")
            read_address(value.get_secret_value())
        return value


class PageSettings(Group):
    title = "Pages"

    city_name: str = Field(
        "Kota Tangerang", description="Name of the city, shown on every page.", examples=["Kota Contoh"]
    )
    service_name: str = Field(
        "Tangerang Satu", description="Name of the sign-in service, shown on every page.", examples=["Satu Akun"]
    )
    support_contact: str = Field(
        "helpdesk@tangerang.example",
        description="E-mail address or URL of the helpdesk, shown at the foot of every page.",
        examples=["helpdesk@kota.example"],
    )
    support_phone: str = Field(
        "",
        description="Phone number of the helpdesk, shown at the foot of every page. Empty: none.",
        examples=["(021) 555-0123"],
    )
    support_whatsapp: str = Field(
        "",
        description="WhatsApp number of the helpdesk with its country code, shown as a link at the foot of every page. "
        "Empty: none.",
        examples=["+6281234567890"],
    )
    help_pages: Literal["all", "citizen", "developer", "none"] = Field(
        "all",
        description="Whose help pages are served at `/help`, in Indonesian and English: `all`, those for citizens and "
        "for developers; `none`, no page. The link at the foot of every page leads to the pages for citizens, unless "
        "`SSO_SUPPORT_CONTACT` is a URL.",
        examples=["citizen"],
    )
    security_contact: str = Field(
        "",
        description="Contact for reports of vulnerabilities in `/.well-known/security.txt`: an e-mail address or an "
        "`https` URL. Empty: `SSO_SUPPORT_CONTACT`.",
        examples=["security@kota.example"],
    )
    default_locale: Literal["id", "en"] = Field(
        "id",
        description="Language of pages when neither the request nor the browser asks for an available language.",
        examples=["en"],
    )
    time_zone: str = Field(
        "Asia/Jakarta", description="Time zone of times on pages and in mails.", examples=["Asia/Jakarta"]
    )
    brand_logo: Path | None = Field(
        None,
        description="Logo of the city (SVG or PNG, at most 32 KB), shown on every page. Empty: the built-in logo.",
        examples=["/etc/sso/logo.svg"],
    )
    brand_logo_data: str = Field(
        "",
        description="The same logo as a data URL, where there is no file to name. `SSO_BRAND_LOGO` wins.",
        examples=["data:image/png;base64,iVBORw0KGgo="],
    )
    brand_colour: str = Field(
        "",
        description="Colour of buttons and links on a light background, as `#rrggbb`, with a contrast of at least 4.5 "
        "to white.",
        examples=["#0f766e"],
    )
    brand_colour_dark: str = Field(
        "",
        description="The same colour on a dark background, with a contrast of at least 4.5 to `#16211f`. Required "
        "together with the colour on a light background.",
        examples=["#5eead4"],
    )
    terms_version: str = Field(
        "1",
        min_length=1,
        max_length=32,
        description="Version of the terms of use and the privacy notice. The version that a user accepted is stored "
        "with the account.",
        examples=["2026-11"],
    )
    terms_url: str = Field(
        "",
        description="URL of the terms of use. Empty: the built-in page.",
        examples=["https://kota.example/ketentuan"],
    )
    privacy_url: str = Field(
        "",
        description="URL of the privacy notice. Empty: the built-in page.",
        examples=["https://kota.example/privasi"],
    )
    sign_in_notice: str = Field(
        "",
        description="A text above the sign-in form, in Indonesian, for example about planned maintenance. Empty: none.",
        examples=["Layanan tidak tersedia Minggu, 6 Desember, pukul 01.00-03.00 WIB."],
    )
    sign_in_notice_english: str = Field(
        "",
        description="The same text in English. Empty: the Indonesian text is shown to everybody.",
        examples=["The service is unavailable on Sunday, 6 December, from 01:00 to 03:00."],
    )

    @field_validator("brand_logo_data")
    @classmethod
    def _check_logo_data(cls, value: str) -> str:
        if value:
            read_logo_data(value)
        return value

    @field_validator("service_name", "city_name")
    @classmethod
    def _check_names(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError("must be a name on one line")
        return value

    @field_validator("sign_in_notice", "sign_in_notice_english", "support_contact", "terms_version")
    @classmethod
    def _check_lines(cls, value: str) -> str:
        return check_line(value)

    @field_validator("security_contact")
    @classmethod
    def _check_security_contact(cls, value: str) -> str:
        if value and not re.fullmatch(r"(mailto:)?[A-Za-z0-9.!#$%&'*+=?^_`{|}~-]+@[A-Za-z0-9.-]+", value):
            return check_https(value)
        return value

    @field_validator("support_phone")
    @classmethod
    def _check_support_phone(cls, value: str) -> str:
        if value and not re.fullmatch(r"\+?[0-9][0-9 ()./-]{1,28}[0-9]|\([0-9][0-9 ()./-]{1,28}[0-9]", value):
            raise ValueError("must be a phone number such as (021) 555-0123 or 112")
        return value

    @field_validator("support_whatsapp")
    @classmethod
    def _check_support_whatsapp(cls, value: str) -> str:
        digits = re.sub(r"[ ().-]", "", value)
        if digits and not re.fullmatch(r"\+[1-9][0-9]{7,14}", digits):
            raise ValueError("must begin with + and the country code, such as +6281234567890")
        return digits

    @field_validator("terms_url", "privacy_url")
    @classmethod
    def _check_page_urls(cls, value: str) -> str:
        return check_https(value)

    @field_validator("brand_colour", "brand_colour_dark")
    @classmethod
    def _check_colours(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            raise ValueError("must be a colour such as #0f766e")
        background = "#ffffff" if info.field_name == "brand_colour" else DARK_BACKGROUND
        measured = contrast(value, background)
        if measured < MINIMUM_CONTRAST:
            raise ValueError(
                f"must have a contrast of at least {MINIMUM_CONTRAST} to {background}; it has {measured:.1f}"
            )
        return value

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("must be a time zone such as Asia/Jakarta") from None
        return value


class Groups(
    ServerSettings,
    ObservationSettings,
    DatabaseSettings,
    SecuritySettings,
    TokenSettings,
    SessionSettings,
    SignInSettings,
    SecondFactorSettings,
    PasswordSettings,
    AccountSettings,
    ClientSettings,
    OutboundSettings,
    ChannelSettings,
    MailSettings,
    SmsSettings,
    WhatsAppSettings,
    RateLimitSettings,
    RetentionSettings,
    BackupSettings,
    PageSettings,
):
    """Every group, in the order in which pages and documents show them."""


GROUPS: tuple[type[Group], ...] = Groups.__bases__


def read_logo_data(value: str) -> tuple[str, bytes]:
    """Return the type (``png`` or ``svg``) and the content of a logo that is written as a data URL.

    Raises:
        ValueError: when it is none, or too large.
    """
    head, comma, encoded = value.partition(",")
    if head not in ("data:image/png;base64", "data:image/svg+xml;base64") or not comma:
        raise ValueError("must be a data URL such as data:image/png;base64,…")
    try:
        body = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise ValueError("must be a data URL whose content is in base64") from None
    return logo_type(body), body


def logo_type(body: bytes) -> str:
    """Return the type of a logo, ``png`` or ``svg``.

    Raises:
        ValueError: when it is neither, or too large.
    """
    if len(body) > MAX_LOGO_BYTES:
        raise ValueError(f"the logo has more than {MAX_LOGO_BYTES} bytes")
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if b"<svg" in body[:1000]:
        return "svg"
    raise ValueError("the logo is neither SVG nor PNG")


def check_https(value: str) -> str:
    """Return ``value``, which is empty or an https URL.

    Raises:
        ValueError: when it is neither; http is allowed for loopback addresses. Other schemes, such as ``javascript``
            with a loopback host, are not URLs of pages.
    """
    if not value:
        return value
    if not value.isprintable() or not value.isascii() or any(char in value for char in ' <>\\^`{|}"'):
        raise ValueError("must be an https URL without spaces and control characters")
    parts = urlsplit(value)
    if not parts.hostname or parts.username is not None or not value.startswith(("https://", "http://")):
        raise ValueError("must be an https URL")
    if parts.scheme == "http" and not is_loopback_host(parts.hostname):
        raise ValueError("must be an https URL")
    return value


def check_line(value: str) -> str:
    """Return ``value``, a text on one line.

    Raises:
        ValueError: when it has line breaks, control characters or characters that change the direction of the text.
    """
    if not value.isprintable():
        raise ValueError("must be a text on one line")
    return value


def check_networks(value: list[str]) -> list[str]:
    """Return ``value``, a list of IP addresses and networks.

    Raises:
        ValueError: for the first item that is neither.
    """
    for network in value:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise ValueError(f"{network!r} is not an IP address or a network such as 10.0.0.0/8") from None
    return value


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, ``#rrggbb`` (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def is_loopback_host(host: str) -> bool:
    """Tell whether ``host`` (a name or a literal IP address) names this machine only."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
