"""The configuration of Envoy, with ``ext_authz`` over HTTP."""

from __future__ import annotations

from collections.abc import Iterable

from sso.gate.proxies.names import removed_credentials, removed_names
from sso.gate.proxies.plan import Files, Plan, bare, filled, port_of

_SENT = ("cookie", "accept", "accept-language", "referer", "upgrade", "x-requested-with", "sec-fetch-mode",
         "sec-fetch-site", "x-forwarded-proto", "x-forwarded-for")  # fmt: skip
_BACK = ("location", "cache-control", "content-type", "content-security-policy", "x-frame-options", "referrer-policy")
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"

_LISTENER = """\
static_resources:
  listeners:
    - address: {socket_address: {address: 0.0.0.0, port_value: @LISTEN@}}
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                tls_certificates:
                  - certificate_chain: {filename: @CERTIFICATE@}
                    private_key: {filename: @CERTIFICATE_KEY@}
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": @MANAGER@
                stat_prefix: sso_gate
                use_remote_address: true
                normalize_path: true
                path_with_escaped_slashes_action: KEEP_UNCHANGED
                common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}
                upgrade_configs: [{upgrade_type: websocket}]
                http_filters:
                  # What clients send under the names of the gate is removed, in every spelling. The address of the
                  # client is that of the connection.
                  - name: envoy.filters.http.header_mutation
                    typed_config:
                      "@type": @FILTERS@.header_mutation.v3.HeaderMutation
                      mutations:
                        request_mutations:
@REMOVED@
                          - append:
                              header: {key: x-forwarded-for, value: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
                              append_action: OVERWRITE_IF_EXISTS_OR_ADD
                  - name: envoy.filters.http.lua
                    typed_config:
                      "@type": @FILTERS@.lua.v3.Lua
                      default_source_code:
                        inline_string: |
                          function envoy_on_request(handle)
                            local found = {}
                            for name in pairs(handle:headers()) do
                              if name:find("^x%Wsso") then found[#found + 1] = name end
                            end
                            for _, name in ipairs(found) do handle:headers():remove(name) end
                          end
                  - name: envoy.filters.http.ext_authz
                    typed_config:
                      "@type": @FILTERS@.ext_authz.v3.ExtAuthz
                      failure_mode_allow: false
                      http_service:
                        server_uri: {uri: "@PROVIDER@", cluster: sso_provider, timeout: 5s}
                        path_prefix: /gate/check/envoy
                        authorization_request:
                          headers_to_add:
                            - {key: x-sso-gate-key, value: "@KEY@"}
                        authorization_response:
                          allowed_upstream_headers:
                            patterns:
@PASSED_ON@
                          allowed_client_headers:
                            patterns:
@BACK@
                      allowed_headers:
                        patterns:
@SENT@
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": @FILTERS@.router.v3.Router
                route_config:
                  virtual_hosts:
@VIRTUAL_HOSTS@
"""
_CHALLENGE = """\
                          # Where the application refuses the credentials, no browser asks the user for others.
                          response_headers_to_remove: [www-authenticate]
"""
_VIRTUAL_HOST = """\
                    - name: "@ID@-@HOST@"
                      domains: [@DOMAINS@]
                      routes:
                        - match: {prefix: "/.sso/"}
                          route: {cluster: sso_provider, host_rewrite_literal: "@PROVIDER_HOST@"}
                          request_headers_to_remove: [authorization]
                          request_headers_to_add:
                            - header: {key: x-sso-gate-key, value: "@KEY@"}
                              append_action: OVERWRITE_IF_EXISTS_OR_ADD
                            - header: {key: x-forwarded-host, value: "@HOST@"}
                              append_action: OVERWRITE_IF_EXISTS_OR_ADD
                          typed_per_filter_config:
                            envoy.filters.http.ext_authz:
                              "@type": @FILTERS@.ext_authz.v3.ExtAuthzPerRoute
                              disabled: true
                        - match: {prefix: "/"}
                          route: {cluster: application, timeout: 0s, host_rewrite_literal: "@HOST@"}
@CHALLENGE@                          request_headers_to_add:
                            - header: {key: x-forwarded-host, value: "@HOST@"}
                              append_action: OVERWRITE_IF_EXISTS_OR_ADD
"""


def envoy_files(plan: Plan) -> Files:
    """Return the configuration: a static bootstrap."""
    notes = ("Envoy 1.26 or newer.",)
    return {"envoy.yaml": plan.head("#", *notes) + _listener(plan) + _clusters(plan)}


def _listener(plan: Plan) -> str:
    return filled(
        _LISTENER,
        LISTEN=str(plan.listen),
        CERTIFICATE=plan.certificate,
        CERTIFICATE_KEY=plan.certificate_key,
        MANAGER=_MANAGER,
        FILTERS=_FILTERS,
        REMOVED=_list(26, (f'remove: "{name.lower()}"' for name in _removed(plan))),
        PASSED_ON=_list(30, (f"exact: {name.lower()}" for name in plan.headers)),
        BACK=_list(30, (f"exact: {name}" for name in _BACK)),
        SENT=_list(26, (f"exact: {name}" for name in _SENT)),
        PROVIDER=plan.provider,
        KEY=plan.credential,
        VIRTUAL_HOSTS="".join(_virtual_host(plan, host) for host in plan.hosts).rstrip(),
    )


def _removed(plan: Plan) -> list[str]:
    """Return what is removed. Without Basic credentials, ``Authorization`` is the application's own: it passes, also to
    the provider, which does not read it (ext_authz always sends it)."""
    return [*removed_names(), *(removed_credentials() if plan.sends_basic else ())]


def _virtual_host(plan: Plan, host: str) -> str:
    return filled(
        _VIRTUAL_HOST,
        FILTERS=_FILTERS,
        CHALLENGE=_CHALLENGE if plan.sends_basic else "",
        ID=plan.client_id,
        HOST=host,
        DOMAINS=", ".join(f'"{name}"' for name in _domains(host)),
        PROVIDER_HOST=plan.provider_host,
        KEY=plan.credential,
    )


def _clusters(plan: Plan) -> str:
    target = plan.application.partition("://")[2].partition(":")[0]
    tls = ""
    if plan.is_https:
        tls = f"""
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          sni: {bare(plan.provider_host)}
          common_tls_context:
            validation_context:
              trusted_ca: {{filename: /etc/ssl/certs/ca-certificates.crt}}
              match_typed_subject_alt_names:
                - {{san_type: DNS, matcher: {{exact: {bare(plan.provider_host)}}}}}"""
    return f"""\
  clusters:
    - name: application
      type: STRICT_DNS
      load_assignment:
        cluster_name: application
        endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address:
          {{address: {target}, port_value: {port_of(plan.application)}}}}}}}}}]}}]
    - name: sso_provider
      type: STRICT_DNS
      load_assignment:
        cluster_name: sso_provider
        endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address:
          {{address: {bare(plan.provider_host)}, port_value: {plan.provider_port}}}}}}}}}]}}]{tls}
"""


def _domains(host: str) -> list[str]:
    return [host] if ":" in host else [host, f"{host}:443"]


def _list(indent: int, entries: Iterable[str]) -> str:
    return "\n".join(f"{' ' * indent}- {entry}" for entry in entries)
