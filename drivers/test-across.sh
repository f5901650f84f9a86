#!/usr/bin/env bash
# Go calls a function in Python and Python one in Go, through a global server and the local one behind it; and Python calls a plugin in shell there. TEGA_BIN names the
# binary to test against. Takes Go and its WebSocket library from Debian.
set -euo pipefail
: "${TEGA_BIN:?names the tega binary to test against}"
case $TEGA_BIN in /*) ;; *) TEGA_BIN=$PWD/$TEGA_BIN ;; esac
export TEGA_BIN
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=drivers/environments.sh disable=SC1091
. ./environments.sh
go_program "$work" across
python_venv "$work"
cd python/tests
PYTHONPATH=../src timeout 300 "$work/venv/bin/python" across.py "$work/across"
