#!/bin/sh
# Write the newest allowed versions with hashes into requirements/. Needs uv (pip install uv).
set -eu
cd "$(dirname "$0")/.."
options="--extra all --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade --quiet"
printf 'hatchling\neditables\n' >requirements/build.in
uv pip compile $options pyproject.toml requirements/build.in -o requirements/run.txt
uv pip compile $options pyproject.toml --group dev -o requirements/dev.txt
uv pip compile ${options#--extra all } requirements/interop.in -o requirements/interop.txt
rm requirements/build.in
