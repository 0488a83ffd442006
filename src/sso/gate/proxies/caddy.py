"""The configuration of Caddy, with ``forward_auth``."""

from __future__ import annotations

from sso.gate.proxies.names import PREFIXES, TOKEN_MARKS
from sso.gate.proxies.plan import Files, Plan, bare, variable

_REMOVED = "\n".join(f'\t\trequest_header "-X{mark}{prefix}*"' for prefix in PREFIXES for mark in TOKEN_MARKS)


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
{_REMOVED}
		request_header -Forwarded

		# A web socket may follow, and no other protocol. Connection names no header that is removed later.
		@socket header_regexp Upgrade (?i)^websocket$
		@no_socket not header_regexp Upgrade (?i)^websocket$
		request_header @no_socket -Upgrade
		request_header @no_socket -Connection
		request_header @socket Upgrade websocket
		request_header @socket Connection Upgrade
		request_header -HTTP2-Settings

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
			reverse_proxy {plan.application} {{
				header_up Host "{host}"
				header_up X-Forwarded-Host "{host}"
			}}
		}}
	}}
}}
"""
