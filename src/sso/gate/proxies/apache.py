"""The configuration of Apache, with a hook of mod_lua."""

from __future__ import annotations

from sso.gate.proxies.lua import lua_list, lua_text
from sso.gate.proxies.names import removed_credentials, removed_names
from sso.gate.proxies.plan import Files, Plan, bare

_LUA = """\
-- Apache 2.4 with mod_lua, and LuaSocket (Debian: lua-socket; with TLS to the provider also lua-sec).
require "apache2"
local http = require "socket.http"
local ltn12 = require "ltn12"
local KEY = @KEY@
local CHECK = @CHECK@
local HEADERS = { @HEADERS@ }
local HOSTS = { @HOSTS@ }
local KEPT = { "Cookie", "Accept", "Accept-Language", "Referer", "Upgrade", "X-Requested-With", "Sec-Fetch-Mode",
  "Sec-Fetch-Site" }
local REMOVED = { "^x%Wsso", "^x%Wforwarded", "^x%Woriginal", "^x%Wrewrite", "^forwarded$",
  "^http2%Wsettings$"@CREDENTIALS@ }
local PASSED_BACK = { "Location", "Cache-Control", "Content-Security-Policy", "X-Frame-Options", "Referrer-Policy" }
local client = http
if CHECK:sub(1, 6) == "https:" then client = require "ssl.https" end
http.TIMEOUT = 5

local function ask(r, host)
  local sent = {}
  for _, name in ipairs(KEPT) do
    if r.headers_in[name] then sent[name] = r.headers_in[name] end
  end
  sent["X-SSO-Gate-Key"] = KEY
  sent["X-Forwarded-Host"] = host
  sent["X-Forwarded-Proto"] = r.is_https and "https" or "http"
  sent["X-Forwarded-Uri"] = r.unparsed_uri
  sent["X-Forwarded-Method"] = r.method
  sent["X-Forwarded-For"] = r.useragent_ip
  local body = {}
  local options = { url = CHECK, headers = sent, sink = ltn12.sink.table(body), redirect = false }
  if client ~= http then
    options.verify, options.cafile = "peer", "/etc/ssl/certs/ca-certificates.crt"
  end
  local done, status, headers = client.request(options)
  if not done then return 503, {}, "" end
  return status, headers, table.concat(body)
end

local function clean(r, host)
  for name in pairs(r:headers_in_table()) do
    local lowered = name:lower()
    for _, pattern in ipairs(REMOVED) do
      if lowered:find(pattern) then r.headers_in[name] = nil end
    end
  end
  -- A web socket may follow, and no other protocol. Connection names no header that is removed later.
  local connection = (r.headers_in["Connection"] or ""):lower()
  if (r.headers_in["Upgrade"] or ""):lower() == "websocket" then
    r.headers_in["Connection"], r.headers_in["Upgrade"] = "Upgrade", "websocket"
  else
    r.headers_in["Connection"], r.headers_in["Upgrade"] = connection:find("close") and "close" or nil, nil
  end
  r.headers_in["Host"] = host
  r.headers_in["X-Forwarded-Proto"] = "https"
end

function check(r)
  local host = HOSTS[r.hostname]
  if not host then return 421 end
  clean(r, host)
  if r.uri:sub(1, 6) == "/.sso/" then return apache2.DECLINED end
  local status, headers, body = ask(r, host)
  if status == 200 then
    for _, name in ipairs(HEADERS) do
      local value = headers[name:lower()]
      if value and value ~= "" then r.headers_in[name] = value end
    end
    return apache2.DECLINED
  end
  for _, name in ipairs(PASSED_BACK) do
    local value = headers[name:lower()]
    if value then r.err_headers_out[name] = value end
  end
  r.err_headers_out["Cache-Control"] = "no-store"
  if body ~= "" and headers["content-type"] then
    r.status = status
    r.content_type = headers["content-type"]
    r:write(body)
    return apache2.DONE
  end
  return status
end
"""
_CONFIG = """\
# Modules: lua, ssl, headers, proxy, proxy_http, proxy_wstunnel, and LuaSocket (Debian: lua-socket, lua-sec).
<VirtualHost *:@LISTEN@>
  ServerName @NAME@
@ALIASES@
  SSLEngine on
  SSLCertificateFile @CERTIFICATE@
  SSLCertificateKeyFile @CERTIFICATE_KEY@
  SSLProxyEngine on

  # What clients send under the names of the gate is removed, in every spelling, before anything else.
@REMOVE@
  RequestHeader unset X-Forwarded-For early
  RequestHeader unset X-Forwarded-Host early

@CHALLENGE@  LuaHookAccessChecker @FOLDER@/sso-gate.lua check early

  <Location /.sso/>
    RequestHeader set X-SSO-Gate-Key "@KEY@"
    RequestHeader set X-Forwarded-Host "expr=%{tolower:%{SERVER_NAME}}@PORT@"
    RequestHeader set X-Forwarded-Proto https
    RequestHeader set X-Forwarded-Uri "expr=%{REQUEST_URI}"
    RequestHeader set X-Forwarded-Method "expr=%{REQUEST_METHOD}"
    RequestHeader set X-Forwarded-For "expr=%{REMOTE_ADDR}"
    RequestHeader unset Authorization
    ProxyAddHeaders Off
    ProxyPreserveHost Off
  </Location>
  UseCanonicalName Off
  ProxyPreserveHost On
  ProxyPass /.sso/ @PROVIDER@/.sso/
  ProxyPass / @APPLICATION@/ upgrade=websocket
  <Location />
    Require all granted
  </Location>
</VirtualHost>
"""


_CREDENTIALS = ', "^authorization$", "^proxy%Wauthorization$"'
_CHALLENGE = """\
  # Where the application refuses these credentials, no browser asks the user for others.
  Header always unset WWW-Authenticate
  Header unset WWW-Authenticate

"""


def _removed(plan: Plan) -> list[str]:
    return [*removed_names(), *(removed_credentials() if plan.sends_basic else ())]


def apache_files(plan: Plan) -> Files:
    """Return the configuration of a virtual host, and the script of the hook."""
    names = [bare(host) for host in plan.hosts]
    ports = {host.partition(":")[2] for host in plan.hosts}
    config = _CONFIG
    for name, value in {
        "LISTEN": str(plan.listen),
        "NAME": names[0],
        "ALIASES": "\n".join(f"  ServerAlias {name}" for name in names[1:]),
        "CERTIFICATE_KEY": plan.certificate_key,
        "CERTIFICATE": plan.certificate,
        "REMOVE": "\n".join(f"  RequestHeader unset {name} early" for name in _removed(plan)),
        "CHALLENGE": _CHALLENGE if plan.sends_basic else "",
        "FOLDER": plan.folder or "/etc/apache2",
        "KEY": plan.credential,
        "PORT": f":{ports.pop()}" if len(ports) == 1 and ports != {""} else "",
        "PROVIDER_HOST": plan.provider_host,
        "PROVIDER": plan.provider,
        "APPLICATION": plan.application,
    }.items():
        config = config.replace(f"@{name}@", value)
    lua = _LUA.replace("@KEY@", lua_text(plan.credential))
    lua = lua.replace("@CHECK@", lua_text(f"{plan.provider}/gate/check/redirect"))
    lua = lua.replace("@HEADERS@", lua_list(plan.headers))
    lua = lua.replace("@CREDENTIALS@", _CREDENTIALS if plan.sends_basic else "")
    hosts = ", ".join(f"[{lua_text(bare(host))}] = {lua_text(host)}" for host in plan.hosts)
    lua = lua.replace("@HOSTS@", hosts)
    return {
        "sso-gate.conf": plan.head("#") + config.replace("\n\n  SSLEngine", "\n  SSLEngine"),
        "sso-gate.lua": plan.head("--") + lua,
    }
