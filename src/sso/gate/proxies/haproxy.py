"""The configuration of HAProxy, with an action in Lua."""

from __future__ import annotations

from sso.gate.proxies.lua import lua_list, lua_text
from sso.gate.proxies.plan import Files, Plan, bare, port_of

_LUA = """\
-- HAProxy 2.6 or newer. No other libraries.
local KEY = @KEY@
local CHECK = @CHECK@
local HEADERS = { @HEADERS@ }
local KEPT = { "cookie", "accept", "accept-language", "referer", "upgrade", "x-requested-with", "sec-fetch-mode",
  "sec-fetch-site" }
local PASSED_BACK = { "location", "cache-control", "content-type", "content-security-policy", "x-frame-options",
  "referrer-policy" }

local function first(headers, name)
  local values = headers and headers[name]
  return values and values[0]
end

local function refuse(txn, status, headers, body)
  local reply = txn:reply({ status = status })
  for _, name in ipairs(PASSED_BACK) do
    local value = first(headers, name)
    if value then reply:add_header(name, value) end
  end
  if not first(headers, "cache-control") then reply:add_header("cache-control", "no-store") end
  if body then reply:set_body(body) end
  txn:done(reply)
end

core.register_action("sso_gate", { "http-req" }, function(txn)
  local received, sent = txn.http:req_get_headers(), {}
  for _, name in ipairs(KEPT) do
    local values = received[name]
    if values then
      local all = {}
      for i = 0, #values do all[#all + 1] = values[i] end
      sent[name] = { table.concat(all, name == "cookie" and "; " or ", ") }
    end
  end
  sent["x-sso-gate-key"] = { KEY }
  sent["x-forwarded-host"] = { txn:get_var("txn.sso_host") or "" }
  sent["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
  sent["x-forwarded-uri"] = { txn.f:pathq() }
  sent["x-forwarded-method"] = { txn.f:method() }
  sent["x-forwarded-for"] = { tostring(txn.f:src()) }
  local answer = core.httpclient():get({ url = CHECK, headers = sent })
  if not answer or not answer.status or answer.status == 0 then return refuse(txn, 503, nil, nil) end
  if answer.status ~= 200 then return refuse(txn, answer.status, answer.headers, answer.body) end
  for _, name in ipairs(HEADERS) do
    local value = first(answer.headers, name)
    if value and value ~= "" then txn.http:req_set_header(name, value) end
  end
end, 0)
"""
_CONFIG = """\
global
    lua-load @FOLDER@/sso-gate.lua

defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 5m

frontend sso_gate
    # The file has the certificate and its key.
    bind :@LISTEN@ ssl crt @CERTIFICATE@

    # What clients send under the names of the gate is removed, in every spelling.
    http-request del-header ^[Xx][^A-Za-z0-9]([Ss][Ss][Oo]|[Ff]orwarded|[Oo]riginal|[Rr]ewrite) -m reg
    http-request del-header ^[Ff]orwarded$ -m reg
@CREDENTIALS@
    # A web socket may follow, and no other protocol. Connection names no header that the next server would remove.
    http-request set-var(txn.sso_socket) bool(true) if { req.fhdr_cnt(upgrade) eq 1 } { req.fhdr(upgrade) -i websocket }
    http-request del-header connection
    http-request del-header upgrade unless { var(txn.sso_socket) -m bool }
    http-request set-header connection upgrade if { var(txn.sso_socket) -m bool }
    http-request del-header http2-settings

    # The host as it is written here, never as a client sent it.
@HOSTS@
    http-request deny deny_status 421 unless { var(txn.sso_host) -m found }
    use_backend sso_provider if { path_beg /.sso/ }
    http-request lua.sso_gate
    default_backend application

backend application
    http-request set-header Host %[var(txn.sso_host)]
    http-request set-header X-Forwarded-Host %[var(txn.sso_host)]
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
@CHALLENGE@    server application @APPLICATION@

backend sso_provider
    http-request set-header X-SSO-Gate-Key "@KEY@"
    http-request set-header X-Forwarded-Host %[var(txn.sso_host)]
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Uri %[pathq]
    http-request set-header X-Forwarded-Method %[method]
    http-request set-header X-Forwarded-For %[src]
    http-request set-header Host @PROVIDER_HOST@
    http-request del-header authorization
    server provider @PROVIDER@
"""


_CREDENTIALS = """\
    http-request del-header authorization
    http-request del-header ^[Pp]roxy[^A-Za-z0-9][Aa]uthorization$ -m reg
"""
_CHALLENGE = """\
    # Where the application refuses these credentials, no browser asks the user for others.
    http-response del-header www-authenticate
"""


def haproxy_files(plan: Plan) -> Files:
    """Return ``haproxy.cfg`` and the script of the action."""
    tls = f" ssl verify required ca-file @system-ca sni str({bare(plan.provider_host)})" if plan.is_https else ""
    target = plan.application.partition("://")[2].partition(":")[0]
    names = [(host, bare(host)) for host in plan.hosts]
    hosts = [
        f"    http-request set-var(txn.sso_host) str({host}) if {{ req.fhdr(host),host_only,lower -m str {name} }}"
        for host, name in names
    ]
    config = _CONFIG
    for name, value in {
        "FOLDER": plan.folder or "/etc/haproxy",
        "LISTEN": str(plan.listen),
        "CERTIFICATE": plan.certificate,
        "HOSTS": "\n".join(hosts),
        "APPLICATION": f"{target}:{port_of(plan.application)}",
        "CREDENTIALS": _CREDENTIALS if plan.sends_basic else "",
        "CHALLENGE": _CHALLENGE if plan.sends_basic else "",
        "KEY": plan.credential,
        "PROVIDER_HOST": plan.provider_host,
        "PROVIDER": f"{bare(plan.provider_host)}:{plan.provider_port}{tls}",
    }.items():
        config = config.replace(f"@{name}@", value)
    config = config.replace("    use_backend sso_provider if { path_beg /.sso/ }\n    http-request lua.sso_gate\n",
                            "    http-request lua.sso_gate unless { path_beg /.sso/ }\n"
                            "    use_backend sso_provider if { path_beg /.sso/ }\n")  # fmt: skip
    lua = _LUA.replace("@KEY@", lua_text(plan.credential))
    lua = lua.replace("@CHECK@", lua_text(f"{plan.provider}/gate/check/redirect"))
    lua = lua.replace("@HEADERS@", lua_list(name.lower() for name in plan.headers))
    return {"haproxy.cfg": plan.head("#") + config, "sso-gate.lua": plan.head("--") + lua}
