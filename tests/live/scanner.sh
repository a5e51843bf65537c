#!/usr/bin/env bash
# Installs the TLS scanner of the live tests (pyproject.toml, group scanner) into an environment of its own, .venv/scanner.
# Nothing is done when it is there; where it cannot be had, its tests are skipped and the last lines say so.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'scanner: %s\n' "$*" >&2; }

[ ! -x .venv/scanner/bin/sslyze ] || exit 0
rm -rf .venv/scanner
if .venv/bin/python -c 'import venv, ensurepip' 2>/dev/null; then
    .venv/bin/python -m venv .venv/scanner
elif .venv/bin/python -m virtualenv --version >/dev/null 2>&1; then
    .venv/bin/python -m virtualenv -q .venv/scanner
else
    say "this Python makes no environment within another one: the scan is left out"
    exit 0
fi
.venv/scanner/bin/python -m pip install -q --disable-pip-version-check 'pip>=25.1'
if ! .venv/scanner/bin/python -m pip install -q --disable-pip-version-check --group scanner; then
    say "no package for this platform: the scan is left out"
    rm -rf .venv/scanner
fi
