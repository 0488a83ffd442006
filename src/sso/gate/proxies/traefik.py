"""The configuration of Traefik, with ``forwardAuth``: a file of the file provider."""

from __future__ import annotations

from sso.gate.proxies.names import KEY_HEADER, removed_credentials, removed_names
from sso.gate.proxies.plan import Files, Plan, bare, filled

_NOTES = (
    "Traefik 3 or newer. In the static configuration, do not set forwardedHeaders.insecure, and list only your",
    "own proxies in forwardedHeaders.trustedIPs: the provider reads X-Forwarded-Host and X-Forwarded-For.",
)
_CONFIG = """\
http:
  routers:
@ROUTERS@
  middlewares:
    # What clients send under the names of the gate is removed, in every spelling. Case makes no difference.
    @ID@-remove:
      headers:
        customRequestHeaders:
@REMOVED@
    @ID@-key:
      headers:
        customRequestHeaders:
          @HEADER@: "@KEY@"
@CHALLENGE@    @ID@-check:
      forwardAuth:
        address: "@PROVIDER@/gate/check/redirect"
        trustForwardHeader: false
        authResponseHeaders:
@PASSED@
    @ID@-no-key:
      headers:
        customRequestHeaders:
          @HEADER@: ""
    # A web socket may follow, and no other protocol. Connection names no header that is removed later.
    @ID@-plain:
      headers:
        customRequestHeaders:
          Upgrade: ""
          Connection: ""
    @ID@-socket:
      headers:
        customRequestHeaders:
          Upgrade: websocket
          Connection: Upgrade
@HOSTS@
  services:
    @ID@:
      loadBalancer:
        servers:
          - url: "@APPLICATION@"
    @ID@-provider:
      loadBalancer:
        passHostHeader: false
        servers:
          - url: "@PROVIDER@"
tls:
  certificates:
    - certFile: @CERTIFICATE@
      keyFile: @CERTIFICATE_KEY@
"""
_CHALLENGE = """\
    # Where the application refuses the credentials, no browser asks the user for others.
    @ID@-no-challenge:
      headers:
        customResponseHeaders:
          WWW-Authenticate: ""
"""
_ROUTERS = """\
    @NAME@-gate:
      rule: "Host(`@BARE@`)"
      entryPoints: [websecure]
      priority: 1000
      middlewares: [@FIRST@@ID@-remove, @ID@-plain, @NAME@-host, @ID@-key, @ID@-check, @ID@-no-key]
      service: @ID@
      tls: {}
    @NAME@-socket:
      rule: "Host(`@BARE@`) && HeaderRegexp(`Upgrade`, `^(?i:websocket)$`)"
      entryPoints: [websecure]
      priority: 2000
      middlewares: [@FIRST@@ID@-remove, @ID@-socket, @NAME@-host, @ID@-key, @ID@-check, @ID@-no-key]
      service: @ID@
      tls: {}
    @NAME@-sso:
      rule: "Host(`@BARE@`) && PathPrefix(`/.sso/`)"
      entryPoints: [websecure]
      priority: 10000
      middlewares: [@ID@-remove, @ID@-plain, @NAME@-host, @ID@-key]
      service: @ID@-provider
      tls: {}
"""
_HOST = """\
    @NAME@-host:
      headers:
        customRequestHeaders:
          Host: "@HOST@"
          X-Forwarded-Host: "@HOST@"
"""


def traefik_files(plan: Plan) -> Files:
    """Return the dynamic configuration."""
    named = [(plan.client_id if not number else f"{plan.client_id}-{number + 1}", host)
             for number, host in enumerate(plan.hosts)]  # fmt: skip
    config = filled(
        _CONFIG,
        ID=plan.client_id,
        ROUTERS=_each(_ROUTERS, plan, named),
        HOSTS=_each(_HOST, plan, named),
        REMOVED="\n".join(f'          {name}: ""' for name in _removed(plan)),
        CHALLENGE=filled(_CHALLENGE, ID=plan.client_id) if plan.sends_basic else "",
        HEADER=KEY_HEADER,
        KEY=plan.credential,
        PROVIDER=plan.provider,
        PASSED="\n".join(f"          - {name}" for name in plan.headers),
        APPLICATION=plan.application,
        CERTIFICATE=plan.certificate,
        CERTIFICATE_KEY=plan.certificate_key,
    )
    return {"sso-gate.yml": plan.head("#", *_NOTES) + config}


def _removed(plan: Plan) -> list[str]:
    return [*removed_names(), *(removed_credentials() if plan.sends_basic else ())]


def _each(template: str, plan: Plan, named: list[tuple[str, str]]) -> str:
    first = f"{plan.client_id}-no-challenge, " if plan.sends_basic else ""
    parts = (
        filled(template, ID=plan.client_id, NAME=name, HOST=host, BARE=bare(host), FIRST=first) for name, host in named
    )
    return "".join(parts).rstrip()
