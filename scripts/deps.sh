#!/bin/sh
# What the tests need besides Python: a Chromium, Node.js with npm, Apache with mod_auth_openidc, Redis. Installs what is
# missing where it can (Debian and its kin, as root); otherwise says plainly what to install, and fails.
set -eu
cd "$(dirname "$0")/.."

packages=""
command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ -n "${CHROMIUM:-}" ] || packages="$packages chromium"
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"
[ -x /usr/sbin/apache2 ] || command -v apache2 >/dev/null || packages="$packages apache2"
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || packages="$packages redis-server"
[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || packages="$packages libapache2-mod-auth-openidc"

if [ -n "$packages" ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "installing:$packages"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } >/tmp/sso-apt.log 2>&1 || {
      tail -n 20 /tmp/sso-apt.log
      echo "these packages are needed by the tests and cannot be installed:$packages"
      exit 1
    }
  else
    echo "the tests need these (names of Debian's packages):$packages"
    echo "install them, for example: sudo apt-get install$packages"
    exit 1
  fi
fi

major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
if [ "$major" -lt 20 ]; then
  echo "openid-client needs Node.js 20 or newer; this is $(node --version)"
  exit 1
fi
for folder in tests/interop/openid_client tests/interop/relying_parties; do
  installed="$folder/node_modules/.package-lock.json"
  if [ ! -e "$installed" ] || [ "$folder/package-lock.json" -nt "$installed" ]; then
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent || {
      echo "the packages of $folder cannot be installed from the npm registry: npm ci --prefix $folder"
      exit 1
    }
  fi
done
