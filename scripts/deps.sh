#!/bin/sh
# Install what the tests need besides Python packages: a Python that makes virtual environments, Chromium, a font, Node.js 20 with
# npm, Redis or Valkey, PgBouncer, faketime, Prometheus, Apache with mod_auth_openidc, mod_auth_cas and LuaSocket, PHP with
# php-fpm, phpCAS, Laravel, Symfony, WordPress and DokuWiki, nginx, Caddy, HAProxy, MariaDB, systemd-analyze, PostgreSQL, and the Node.js
# packages of tests/interop. What is there stays.
#
#   sh scripts/deps.sh            install as root, or with sudo (make deps)
#   sh scripts/deps.sh --no-sudo  install as root only: never ask for a password (make test)
#
# Debian's packages are installed with apt-get. Whatever cannot be installed is printed as one list, each line with the
# command that gets it, and the exit code is 1.
set -eu
cd "$(dirname "$0")/.."
LOG=${TMPDIR:-/tmp}/sso-deps-$(id -u).log
: >"$LOG"
missing=""

# Remember what is missing: what it is, and the command that gets it.
note() {
  missing="$missing
  $1: $2"
}

has() { command -v "$1" >/dev/null 2>&1; }
has_python() {
  [ -x .venv/bin/pip ] ||
    ${PYTHON:-python3} -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}
has_chromium() { [ -n "${CHROMIUM:-}" ] || has chromium-headless-shell || has chromium || has google-chrome; }
has_node() { has node && [ "$(node --version | sed 's/^v\([0-9]*\).*/\1/')" -ge 20 ]; }
has_npm() { has npm; }
has_redis() { has redis-server || has valkey-server; }
has_pgbouncer() { has pgbouncer || [ -x /usr/sbin/pgbouncer ]; }
has_prometheus() { has prometheus && has promtool; }
has_apache() { has apache2 || [ -x "${APACHE:-/usr/sbin/apache2}" ]; }
has_faketime() { has faketime; }
has_postgres() {
  set -- "${POSTGRESQL:-/usr/lib/postgresql}"/*/bin/initdb
  [ -x "$1" ]
}
has_fonts() { [ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ]; }
has_systemd() { has systemd-analyze; }
has_php() { has php && php -r 'exit(extension_loaded("curl") ? 0 : 1);'; }
has_php_sqlite() { has php && php -r 'exit(extension_loaded("pdo_sqlite") ? 0 : 1);'; }
has_php_fpm() { ls "${SBIN:-/usr/sbin}"/php-fpm* >/dev/null 2>&1; }
has_nginx() { has nginx || [ -x "${SBIN:-/usr/sbin}/nginx" ]; }
has_laravel() { [ -e "${PHP_LIBRARIES:-/usr/share/php}/Illuminate/Foundation/Application.php" ]; }
has_symfony() {
  for part in Bundle/FrameworkBundle Bundle/SecurityBundle Component/Yaml; do
    [ -e "${PHP_LIBRARIES:-/usr/share/php}/Symfony/$part/autoload.php" ] || return 1
  done
}
has_php_parser() { [ -e "${PHP_LIBRARIES:-/usr/share/php}/PhpParser/autoload.php" ]; }
has_wordpress() { [ -e "${WORDPRESS:-/usr/share/wordpress}/wp-load.php" ]; }
has_dokuwiki() { [ -e "${DOKUWIKI:-/usr/share/dokuwiki}/doku.php" ]; }
has_php_mysql() { has php && php -r 'exit(extension_loaded("mysqli") ? 0 : 1);'; }
has_mariadb() { has mariadb-install-db && { has mariadbd || [ -x "${SBIN:-/usr/sbin}/mariadbd" ]; }; }
has_phpcas() { [ -e "${PHP_LIBRARIES:-/usr/share/php}/CAS/CAS.php" ] && php -r 'exit(extension_loaded("dom") ? 0 : 1);'; }
has_cas_module() { [ -e "${APACHE_MODULES:-/usr/lib/apache2/modules}/mod_auth_cas.so" ]; }
has_caddy() { has caddy; }
has_haproxy() { has haproxy || [ -x "${HAPROXY:-/usr/sbin/haproxy}" ]; }
has_lua_socket() { [ -e "${LUA_LIBRARIES:-/usr/share/lua/5.3}/socket.lua" ]; }
has_module() { [ -e "${APACHE_MODULES:-/usr/lib/apache2/modules}/mod_auth_openidc.so" ]; }

# One line for each: check, package of Debian, name.
PROGRAMS="
has_python|python3-venv|Python 3.11 or newer with venv
has_chromium|chromium-headless-shell|Chromium (or CHROMIUM=/path/to/chromium)
has_fonts|fonts-dejavu-core|DejaVu Sans, the font of the kept pictures of pages
has_node|nodejs|Node.js 20 or newer
has_npm|npm|npm
has_redis|redis-server|Redis or Valkey
has_pgbouncer|pgbouncer|PgBouncer
has_faketime|faketime|faketime, which starts a program with a wrong clock
has_prometheus|prometheus|Prometheus with promtool
has_apache|apache2|Apache
has_systemd|systemd|systemd-analyze
has_postgres|postgresql|PostgreSQL of the machine
has_php|php-cli php-curl|PHP with curl
has_php_parser|php-parser|PHP-Parser, which reads the syntax of old versions of PHP
has_php_sqlite|php-sqlite3|PHP with SQLite
has_php_fpm|php-fpm|php-fpm
has_nginx|nginx-light|nginx
has_laravel|php-laravel-framework|Laravel
has_symfony|php-symfony-framework-bundle php-symfony-security-bundle php-symfony-yaml|Symfony
has_wordpress|wordpress|WordPress
has_dokuwiki|dokuwiki|DokuWiki
has_php_mysql|php-mysql|PHP with MySQL
has_mariadb|mariadb-server-core|MariaDB, the database of WordPress
has_caddy|caddy|Caddy
has_haproxy|haproxy|HAProxy
has_lua_socket|lua-socket|LuaSocket for mod_lua
has_module|libapache2-mod-auth-openidc|mod_auth_openidc for Apache
has_phpcas|php-cas php-xml|phpCAS
has_cas_module|libapache2-mod-auth-cas|mod_auth_cas for Apache
"

packages() {
  echo "$PROGRAMS" | while IFS='|' read -r check package _; do
    [ -z "$check" ] || $check || printf ' %s' "$package"
  done
}

as_root=""
may_install() {
  has apt-get || return 1
  [ "$(id -u)" != 0 ] || return 0
  [ "${1:-}" != "--no-sudo" ] && has sudo || return 1
  sudo -n true 2>/dev/null || [ -t 0 ] || return 1
  as_root="sudo"
}

# Packages of Node.js that are not there yet; those that cannot be had are noted at the end.
node_packages() {
  for folder in tests/interop/openid_client tests/interop/relying_parties; do
    installed="$folder/node_modules/.package-lock.json"
    if [ -e "$installed" ] && [ ! "$folder/package-lock.json" -nt "$installed" ]; then
      continue
    fi
    command="npm ci --prefix $folder --ignore-scripts --no-audit --no-fund"
    { has_npm && $command --silent >>"$LOG" 2>&1; } || note "Node.js packages of $folder" "$command"
  done
}

wanted=$(packages)
# They come from elsewhere: where npm is there already, they are fetched while apt-get works.
beside=""
if has_node && has_npm; then
  node_packages &
  beside=$!
fi
if [ -n "$wanted" ] && may_install "$@"; then
  echo "installing:$wanted (log: $LOG)"
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >>"$LOG" 2>&1 || true
  # One at a time where all together fail, so that one package that is not to be had keeps none of the others away.
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >>"$LOG" 2>&1 ||
    for package in $wanted; do
      $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
        >>"$LOG" 2>&1 || true
    done
fi

if has apt-get; then
  get="sudo apt-get install"
  if has node && ! has_node; then
    note "a newer Node.js (this is $(node --version))" "download version 20 or newer from https://nodejs.org/"
  fi
else
  get="install with your package manager; its name in Debian:"
fi
while IFS='|' read -r check package name; do
  [ -z "$check" ] || $check || note "$name" "$get $package"
done <<LIST
$PROGRAMS
LIST

[ -z "$beside" ] || wait "$beside"
node_packages

if [ -n "$missing" ]; then
  echo "Missing for the tests:$missing"
  has apt-get || echo "This machine is not Debian or Ubuntu (no apt-get), so make deps cannot install programs."
  if has apt-get && [ "$(id -u)" != 0 ]; then
    echo "You are not root. Run: sudo -v && make deps"
  fi
  [ ! -s "$LOG" ] || echo "What apt-get and npm said: $LOG"
  exit 1
fi
