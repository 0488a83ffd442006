"""The configuration of Caddy, with ``forward_auth``."""

from __future__ import annotations

from sso.gate.proxies.plan import Files, Plan, bare, variable


def caddy_files(plan: Plan) -> Files:
    """Return the configuration: a Caddyfile, or a file that one imports."""
    return {"Caddyfile": plan.head("#") + "\n".join(_site(plan, host) for host in plan.hosts)}


def _site(plan: Plan, host: str) -> str:
    removed = "\n".join(
        f"\t\t\t@no_{variable(header)} header_regexp {header} ^$\n\t\t\trequest_header @no_{variable(header)} -{header}"
        for header in plan.headers
    )
    port = "" if plan.listen == 443 else f":{plan.listen}"
    return f"""\
https://{bare(host)}{port} {{
	tls {plan.certificate} {plan.certificate_key}
	route {{
		# What clients send under the names of the gate is removed, in every spelling.
		request_header -X-SSO*
		request_header -X_SSO*

		handle /.sso/* {{
			reverse_proxy {plan.provider} {{
				header_up Host {plan.provider_host}
				header_up X-SSO-Gate-Key "{plan.credential}"
				header_up X-Forwarded-Host "{host}"
				header_up X-Forwarded-Uri {{http.request.orig_uri}}
				header_up X-Forwarded-Method {{method}}
			}}
		}}

		handle {{
			forward_auth {plan.provider} {{
				uri /gate/check/redirect
				header_up Host {plan.provider_host}
				header_up X-SSO-Gate-Key "{plan.credential}"
				header_up X-Forwarded-Host "{host}"
				header_up -Content-Encoding
				copy_headers {" ".join(plan.headers)}
			}}
{removed}
			reverse_proxy {plan.application}
		}}
	}}
}}
"""
