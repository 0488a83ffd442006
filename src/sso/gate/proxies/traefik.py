"""The configuration of Traefik, with ``forwardAuth``: a file of the file provider."""

from __future__ import annotations

from sso.gate.proxies.names import KEY_HEADER, every_spelling
from sso.gate.proxies.plan import Files, Plan, bare


def traefik_files(plan: Plan) -> Files:
    """Return the dynamic configuration."""
    notes = (
        "Traefik 2.11 or newer. In the static configuration, do not set forwardedHeaders.insecure, and list only your",
        "own proxies in forwardedHeaders.trustedIPs: the provider reads X-Forwarded-Host and X-Forwarded-For.",
    )
    hosts = " || ".join(f"Host(`{bare(host)}`)" for host in plan.hosts)
    removed = "\n".join(f'          {name}: ""' for name in every_spelling())
    kept = "\n".join(f"          - {name}" for name in plan.headers)
    return {
        "sso-gate.yml": plan.head("#", *notes)
        + f"""\
http:
  routers:
    {plan.client_id}-gate:
      rule: "{hosts}"
      entryPoints: [websecure]
      middlewares: [{plan.client_id}-remove, {plan.client_id}-key, {plan.client_id}-check, {plan.client_id}-no-key]
      service: {plan.client_id}
      tls: {{}}
    {plan.client_id}-sso:
      rule: "({hosts}) && PathPrefix(`/.sso/`)"
      entryPoints: [websecure]
      priority: 10000
      middlewares: [{plan.client_id}-remove, {plan.client_id}-key]
      service: {plan.client_id}-provider
      tls: {{}}
  middlewares:
    # What clients send under the names of the gate is removed, in every spelling. Case makes no difference.
    {plan.client_id}-remove:
      headers:
        customRequestHeaders:
{removed}
    {plan.client_id}-key:
      headers:
        customRequestHeaders:
          {KEY_HEADER}: "{plan.credential}"
    {plan.client_id}-check:
      forwardAuth:
        address: "{plan.provider}/gate/check/redirect"
        trustForwardHeader: false
        authResponseHeaders:
{kept}
    {plan.client_id}-no-key:
      headers:
        customRequestHeaders:
          {KEY_HEADER}: ""
  services:
    {plan.client_id}:
      loadBalancer:
        servers:
          - url: "{plan.application}"
    {plan.client_id}-provider:
      loadBalancer:
        passHostHeader: false
        servers:
          - url: "{plan.provider}"
tls:
  certificates:
    - certFile: {plan.certificate}
      keyFile: {plan.certificate_key}
"""
    }
