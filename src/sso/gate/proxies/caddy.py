"""The configuration of Caddy, with ``forward_auth``."""

from __future__ import annotations

from sso.gate.proxies.names import PREFIXES, TOKEN_MARKS, removed_credentials
from sso.gate.proxies.plan import Files, Plan, bare, filled, variable

_REMOVED = "\n".join(f'\t\trequest_header "-X{mark}{prefix}*"' for prefix in PREFIXES for mark in TOKEN_MARKS)
_CREDENTIALS = "".join(f"\t\trequest_header -{name}\n" for name in removed_credentials())
_CHALLENGE = """\
				# Where the application refuses these credentials, no browser asks the user for others.
				header_down -WWW-Authenticate
"""
_SITE = """\
https://@SITE@ {
	tls @CERTIFICATE@ @CERTIFICATE_KEY@
	route {
		# What clients send under the names of the gate is removed, in every spelling.
@REMOVED@
		request_header -Forwarded
@CREDENTIALS@
		# A web socket may follow, and no other protocol. Connection names no header that is removed later.
		@socket header_regexp Upgrade (?i)^websocket$
		@no_socket not header_regexp Upgrade (?i)^websocket$
		request_header @no_socket -Upgrade
		request_header @no_socket -Connection
		request_header @socket Upgrade websocket
		request_header @socket Connection Upgrade
		request_header -HTTP2-Settings

		handle /.sso/* {
			reverse_proxy @PROVIDER@ {
				header_up Host @PROVIDER_HOST@
				header_up X-SSO-Gate-Key "@KEY@"
				header_up X-Forwarded-Host "@HOST@"
				header_up -Authorization
				header_up X-Forwarded-Uri {http.request.orig_uri}
				header_up X-Forwarded-Method {method}
			}
		}

		handle {
			forward_auth @PROVIDER@ {
				uri /gate/check/redirect
				header_up Host @PROVIDER_HOST@
				header_up X-SSO-Gate-Key "@KEY@"
				header_up X-Forwarded-Host "@HOST@"
				header_up -Content-Encoding
				header_up -Authorization
				copy_headers @HEADERS@
			}
@NO_VALUE@
			reverse_proxy @APPLICATION@ {
				header_up Host "@HOST@"
				header_up X-Forwarded-Host "@HOST@"
@CHALLENGE@			}
		}
	}
}
"""


def caddy_files(plan: Plan) -> Files:
    """Return the configuration: a Caddyfile, or a file that one imports."""
    return {"Caddyfile": plan.head("#") + "\n".join(_site(plan, host) for host in plan.hosts)}


def _site(plan: Plan, host: str) -> str:
    removed = "\n".join(
        f"\t\t\t@no_{variable(header)} header_regexp {header} ^$\n\t\t\trequest_header @no_{variable(header)} -{header}"
        for header in plan.headers
    )
    return filled(
        _SITE,
        SITE=bare(host) + ("" if plan.listen == 443 else f":{plan.listen}"),
        CERTIFICATE=plan.certificate,
        CERTIFICATE_KEY=plan.certificate_key,
        REMOVED=_REMOVED,
        PROVIDER=plan.provider,
        PROVIDER_HOST=plan.provider_host,
        KEY=plan.credential,
        HOST=host,
        HEADERS=" ".join(plan.headers),
        NO_VALUE=removed,
        CREDENTIALS=_CREDENTIALS if plan.sends_basic else "",
        CHALLENGE=_CHALLENGE if plan.sends_basic else "",
        APPLICATION=plan.application,
    )
