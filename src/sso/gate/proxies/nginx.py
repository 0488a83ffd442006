"""The configuration of nginx, with ``auth_request``."""

from __future__ import annotations

import re

from sso.gate.proxies.names import removed_credentials, removed_names
from sso.gate.proxies.plan import Files, Plan, bare, filled, variable

_SERVER = """\
server {
    listen @LISTEN@ ssl;
    server_name @NAME@;
    ssl_certificate @CERTIFICATE@;
    ssl_certificate_key @CERTIFICATE_KEY@;

    # Another host that ends up here is none of this application.
    if ($host != "@NAME@") {
        return 421;
    }

    # Headers with underscores, dots and the like are not passed on. For clients that do not name the host in TLS, the
    # first server of this port decides about these two lines.
    underscores_in_headers off;
    ignore_invalid_headers on;
    client_max_body_size 0;

    location / {
        auth_request /.sso-check;
        error_page 401 403 = @sso_refused;

        # What clients send under these names is removed, in every spelling.
        proxy_headers_hash_max_size 4096;
        proxy_headers_hash_bucket_size 128;
@REMOVE@
        # What the provider says of the user.
@SET@
@CHALLENGE@
        proxy_set_header Host "@HOST@";
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host "@HOST@";

        # Web sockets, and no other protocol; large uploads.
        proxy_http_version 1.1;
        proxy_set_header Upgrade $sso_upgrade;
        proxy_set_header Connection $sso_connection;
        proxy_read_timeout 5m;
        proxy_send_timeout 5m;
        proxy_request_buffering off;
        proxy_pass @APPLICATION@;
    }

    location = /.sso-check {
        internal;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
@ASK@
        proxy_pass @PROVIDER@/gate/check/nginx;
    }

    # What a browser is told that may not pass: the way to the sign-in, or a page.
    location @sso_refused {
        proxy_method GET;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
@ASK@
        rewrite ^ /gate/check/refused? break;
        proxy_pass @PROVIDER@;
    }

    location /.sso/ {
@PASS@
        proxy_pass @PROVIDER@;
    }
}
"""
_CHALLENGE = (
    "# Where the application refuses these credentials, no browser asks the user for others.",
    "proxy_hide_header WWW-Authenticate;",
)
_MAP = """\
map $http_upgrade $sso_upgrade {
    default '';
    ~*^websocket$ websocket;
}
map $http_upgrade $sso_connection {
    default '';
    ~*^websocket$ upgrade;
}

"""


_UPSTREAM = """\
# Connections to the provider are kept: a check opens none.
upstream @NAME@ {
    server @ADDRESS@;
    keepalive 16;
    keepalive_timeout 4s;
}

"""


def nginx_files(plan: Plan) -> Files:
    """Return the configuration: a file for ``/etc/nginx/conf.d``."""
    servers = "\n".join(_server(plan, host) for host in plan.hosts)
    address = f"{bare(plan.provider_host)}:{plan.provider_port}"
    return {"sso-gate.conf": plan.head("#") + _MAP + filled(_UPSTREAM, NAME=_upstream(plan), ADDRESS=address) + servers}


def _upstream(plan: Plan) -> str:
    return "sso_" + re.sub(r"\W", "_", plan.client_id)


def _server(plan: Plan, host: str) -> str:
    values = {
        "LISTEN": str(plan.listen),
        "NAME": bare(host),
        "HOST": host,
        "CERTIFICATE": plan.certificate,
        "CERTIFICATE_KEY": plan.certificate_key,
        "REMOVE": _lines(f'proxy_set_header {name} "";' for name in _removed(plan) if name not in plan.headers),
        "SET": _lines(_set(plan.headers)),
        "CHALLENGE": _lines(_CHALLENGE if plan.sends_basic else ()),
        "APPLICATION": plan.application,
        "ASK": _lines(_about(plan, host, "Original")),
        "PASS": _lines(_about(plan, host, "Forwarded")),
        "PROVIDER": f"{'https' if plan.is_https else 'http'}://{_upstream(plan)}",
    }
    text = _SERVER
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text.replace("\n\n        proxy_set_header Host", "\n        proxy_set_header Host")


def _removed(plan: Plan) -> list[str]:
    return [*removed_names(), *(removed_credentials() if plan.sends_basic else ())]


def _set(headers: tuple[str, ...]) -> list[str]:
    lines = []
    for header in headers:
        lines.append(f"auth_request_set ${variable(header)} $upstream_http_{header.lower().replace('-', '_')};")
        lines.append(f"proxy_set_header {header} ${variable(header)};")
    return lines


def _about(plan: Plan, host: str, kind: str) -> list[str]:
    """Return what the provider is told: the host as it is written here, never as a client sent it."""
    lines = [
        f"proxy_set_header Host {plan.provider_host};",
        f'proxy_set_header X-SSO-Gate-Key "{plan.credential}";',
        f'proxy_set_header X-{kind}-Host "{host}";',
        f"proxy_set_header X-{kind}-Proto $scheme;",
        f"proxy_set_header X-{kind}-URI $request_uri;",
        f"proxy_set_header X-{kind}-Method $request_method;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        'proxy_set_header Authorization "";',
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
    ]
    if plan.is_https:
        lines += [
            "proxy_ssl_server_name on;",
            f"proxy_ssl_name {bare(plan.provider_host)};",
            "proxy_ssl_verify on;",
            "proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;",
        ]
    return lines


def _lines(lines: object) -> str:
    return "\n".join(f"        {line}" for line in lines)  # type: ignore[attr-defined]
