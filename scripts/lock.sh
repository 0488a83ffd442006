#!/bin/sh
# Write the newest allowed versions with hashes into requirements/, with the uv that is installed there: make lock.
set -eu
cd "$(dirname "$0")/.."
[ ! -x .venv/bin/uv ] || PATH=$PWD/.venv/bin:$PATH
options="--extra all --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade --quiet"
printf 'hatchling\neditables\n' >requirements/build.in
uv pip compile $options pyproject.toml requirements/build.in -o requirements/run.txt
uv pip compile $options pyproject.toml --group dev -o requirements/dev.txt
uv pip compile ${options#--extra all } requirements/interop.in -o requirements/interop.txt
echo uv >requirements/build.in
uv pip compile ${options#--extra all } requirements/build.in -o requirements/uv.txt
rm requirements/build.in
