"""The configuration of Traefik, with ``forwardAuth``: a file of the file provider."""

from __future__ import annotations

from sso.gate.proxies.names import KEY_HEADER, every_spelling
from sso.gate.proxies.plan import Files, Plan, bare, filled

_NOTES = (
    "Traefik 2.11 or newer. In the static configuration, do not set forwardedHeaders.insecure, and list only your",
    "own proxies in forwardedHeaders.trustedIPs: the provider reads X-Forwarded-Host and X-Forwarded-For.",
)
_CONFIG = """\
http:
  routers:
    @ID@-gate:
      rule: "@HOSTS@"
      entryPoints: [websecure]
      middlewares: [@ID@-remove, @ID@-key, @ID@-check, @ID@-no-key]
      service: @ID@
      tls: {}
    @ID@-sso:
      rule: "(@HOSTS@) && PathPrefix(`/.sso/`)"
      entryPoints: [websecure]
      priority: 10000
      middlewares: [@ID@-remove, @ID@-key]
      service: @ID@-provider
      tls: {}
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
    @ID@-check:
      forwardAuth:
        address: "@PROVIDER@/gate/check/redirect"
        trustForwardHeader: false
        authResponseHeaders:
@PASSED@
    @ID@-no-key:
      headers:
        customRequestHeaders:
          @HEADER@: ""
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


def traefik_files(plan: Plan) -> Files:
    """Return the dynamic configuration."""
    config = filled(
        _CONFIG,
        ID=plan.client_id,
        HOSTS=" || ".join(f"Host(`{bare(host)}`)" for host in plan.hosts),
        REMOVED="\n".join(f'          {name}: ""' for name in every_spelling()),
        HEADER=KEY_HEADER,
        KEY=plan.credential,
        PROVIDER=plan.provider,
        PASSED="\n".join(f"          - {name}" for name in plan.headers),
        APPLICATION=plan.application,
        CERTIFICATE=plan.certificate,
        CERTIFICATE_KEY=plan.certificate_key,
    )
    return {"sso-gate.yml": plan.head("#", *_NOTES) + config}
