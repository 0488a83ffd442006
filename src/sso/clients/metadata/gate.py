"""The settings of an application behind the forward authentication gate, and what follows from them.

See docs/decisions/0080-forward-authentication.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Protocol, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sso.clients.access_policy import OWN_ROLE
from sso.clients.metadata.types import AllowedText

HeaderName = Literal[
    "sub", "username", "name", "email", "phone", "nip", "local_user_id", "roles", "groups", "acr", "jwt"
]
HEADERS: tuple[HeaderName, ...] = (
    "sub", "username", "name", "email", "phone", "nip", "local_user_id", "roles", "groups", "acr", "jwt",
)  # fmt: skip
"""What an application can receive, in the order in which headers are sent."""
BasicName = Literal["username", "local_user_id", "nip", "email", "sub"]
BASIC_NAMES: tuple[BasicName, ...] = get_args(BasicName)
"""What can be the username of the Basic credentials."""
START_PATH, CALLBACK_PATH = "/.sso/start", "/.sso/callback"
_SCOPES: Mapping[str, str] = {
    "username": "profile",
    "name": "profile",
    "email": "email",
    "phone": "phone",
    "nip": "employee",
    "roles": "roles",
    "groups": "groups",
}
"""The scope that each header needs besides ``openid``."""
_LABEL = re.compile(r"[a-z0-9-]{1,63}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,=:@/-]*")


def _check_host(value: str) -> str:
    name, colon, port = value.partition(":")
    labels = name.split(".")
    if (colon and not _PORT.fullmatch(port)) or len(name) > 253:
        raise ValueError("must be a host name such as arsip.kota.example, with a port if it has one")
    if not all(_LABEL.fullmatch(label) and label.strip("-") == label for label in labels):
        raise ValueError("must be a host name in small letters, such as arsip.kota.example, with a port if it has one")
    if colon and int(port) > 65535:
        raise ValueError("has a port that does not exist")
    if port == "443":
        raise ValueError("must not name port 443, which https uses anyway")
    return value


def _check_path(value: str) -> str:
    if not _PATH.fullmatch(value) or any(part in (".", "..") for part in value.split("/")) or "//" in value:
        raise ValueError("must be a plain path that begins with /, without %, ;, .. and //")
    if value.startswith("/.sso/"):
        raise ValueError("must not be below /.sso/, which belongs to the gate")
    return value


def _check_account(value: str) -> str:
    if ":" in value or not value.isprintable():
        raise ValueError("must be a username without a colon and without control characters (RFC 7617 section 2)")
    return value


Host = Annotated[str, AfterValidator(_check_host)]
Path = Annotated[str, Field(max_length=200), AfterValidator(_check_path)]


class BasicSettings(BaseModel):
    """The Basic credentials that an application receives. The password is a client secret of the application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    username: BasicName | None = Field(
        None, description="What the username is: " + ", ".join(f"`{name}`" for name in BASIC_NAMES) + "."
    )
    account: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_check_account)] | None = Field(
        None, description="One username for all: a technical account of the application. Instead of `username`."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.username is None) == (self.account is None):
            raise ValueError("needs either username or account")
        return self


class GateSettings(BaseModel):
    """How requests to an application are let through."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: list[Host] = Field(
        min_length=1, max_length=20, description="The hosts of the application: exactly these, over https."
    )
    public_paths: list[Path] = Field(
        default_factory=list,
        max_length=50,
        description="Paths that need no sign-in, each with everything below it, such as `/assets`.",
    )
    role_paths: dict[Path, Annotated[list[AllowedText], Field(min_length=1, max_length=30)]] = Field(
        default_factory=dict,
        max_length=50,
        description="Paths that need one of the roles, groups or units that are listed, each with everything below it; "
        "entries as in `allowed_roles`.",
    )
    headers: list[HeaderName] = Field(
        default_factory=lambda: list[HeaderName](["username", "name", "email", "jwt"]),
        max_length=len(HEADERS),
        description="The headers that the application receives: " + ", ".join(f"`{name}`" for name in HEADERS) + ".",
    )
    session_seconds: int = Field(
        12 * 3600, ge=60, le=30 * 86400, description="Seconds after which the sign-in is checked again at the provider."
    )
    idle_seconds: int | None = Field(
        None, ge=60, le=30 * 86400, description="Seconds without a request after which the same happens."
    )
    sign_out_path: Path | None = Field(
        None, description="The path of the application's own link to sign out: the gate leads it to its sign-out."
    )

    basic: BasicSettings | None = Field(
        None,
        description="Basic credentials for a program that knows nothing else: `username` (what the username is: "
        + ", ".join(f"`{name}`" for name in BASIC_NAMES)
        + ") or `account` (one username for all). The password is a client secret of the application.",
    )

    @property
    def values(self) -> tuple[HeaderName, ...]:
        """What is read of a user: for the headers, and for the username of the Basic credentials."""
        name = self.basic.username if self.basic is not None else None
        return tuple(self.headers) if name is None or name in self.headers else (*self.headers, name)

    def every_role(self) -> list[str]:
        """Return the roles, groups and units of all paths."""
        return [entry for entries in self.role_paths.values() for entry in entries]


class GateFields(Protocol):
    """The fields of a client's metadata that the rules of gates read."""

    @property
    def type(self) -> str: ...
    @property
    def gate(self) -> GateSettings | None: ...
    @property
    def application_roles(self) -> Mapping[str, object]: ...


def callback_of(host: str) -> str:
    """Return the redirect URI of a host of a gate."""
    return f"https://{host}{CALLBACK_PATH}"


def derived(gate: object) -> dict[str, object]:
    """Return the fields of an application that follow from its gate: they cannot be written.

    Args:
        gate: the field ``gate``, not yet checked.
    """
    settings = gate.model_dump() if isinstance(gate, GateSettings) else gate if isinstance(gate, Mapping) else {}
    hosts, headers = settings.get("hosts"), settings.get("headers", ["username", "name", "email", "jwt"])
    names = [name for name in headers if isinstance(name, str)] if isinstance(headers, list) else []
    basic = settings.get("basic")
    names += [str(basic.get("username"))] if isinstance(basic, Mapping) else []
    scopes = dict.fromkeys(["openid", *(_SCOPES[name] for name in names if name in _SCOPES)])
    return {
        "redirect_uris": [callback_of(str(host)) for host in hosts] if isinstance(hosts, list) else [],
        "initiate_login_uri": f"https://{hosts[0]}{START_PATH}" if isinstance(hosts, list) and hosts else None,
        "post_logout_redirect_uris": [],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "require_pkce": True,
        "scope": " ".join(scopes),
    }


def scope_of_basic(gate: GateSettings) -> str | None:
    """Return the scope that the username of Basic credentials needs besides ``openid``; None: it needs none."""
    return _SCOPES.get(gate.basic.username) if gate.basic is not None and gate.basic.username is not None else None


def type_and_gate_fit(client: GateFields) -> Iterator[str]:
    """Yield what is wrong between ``type`` and ``gate``."""
    if client.type == "gate" and client.gate is None:
        yield "gate: is needed for type: gate, with the hosts of the application"
    if client.type != "gate" and client.gate is not None:
        yield "gate: only for type: gate"


def gate_lists_are_distinct(client: GateFields) -> Iterator[str]:
    """Yield hosts, headers and paths that stand twice."""
    gate = client.gate
    if gate is None:
        return
    for name, values in (("hosts", gate.hosts), ("headers", gate.headers), ("public_paths", gate.public_paths)):
        repeated = [value for place, value in enumerate(values) if value in values[:place]]
        if repeated:
            yield f"gate: {name}: {repeated[0]} stands twice"


def roles_of_paths_are_defined(client: GateFields) -> Iterator[str]:
    """Yield roles of paths that the application does not define."""
    for path, entries in client.gate.role_paths.items() if client.gate is not None else ():
        for entry in entries:
            kind, _, name = entry.partition(":")
            if kind == OWN_ROLE and name not in client.application_roles:
                yield f"gate: role_paths: {path}: the application defines no role {name} (application_roles)"
