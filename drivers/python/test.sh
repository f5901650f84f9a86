#!/bin/sh
# The driver's types and tests, in an environment of their own. TEGA_BIN names the binary to test against.
set -eu
: "${TEGA_BIN:?names the tega binary to test against}"
case $TEGA_BIN in /*) ;; *) TEGA_BIN=$PWD/$TEGA_BIN ;; esac
export TEGA_BIN
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
# Pinned, so that a new release of any of them breaks nothing by itself.
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check \
    websockets==15.0.1 pytest==8.4.2 mypy==1.18.2
export PYTHONDONTWRITEBYTECODE=1
"$scratch/venv/bin/mypy" --cache-dir "$scratch/mypy"
"$scratch/venv/bin/pytest" -p no:cacheprovider "$@"
# The above is the oldest library that will do; this is what `pip install` brings now.
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check websockets==17.4
"$scratch/venv/bin/pytest" -p no:cacheprovider tests/test_breaks.py tests/test_watches.py tests/test_first_screen.py
# That it runs, not what it says.
"$scratch/venv/bin/python" bench.py --seconds 0.2 --depth 1,64 --threads 1,4
