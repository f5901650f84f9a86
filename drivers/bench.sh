#!/usr/bin/env bash
# The throughput of each driver beside that of `tega bench`, on one server in one run: one client, one request at a time and
# 16 at a time. Options are those of the server, such as `--durability none`; BENCH_SECONDS says how long each figure takes (1), and
# BENCH_ROUNDS how often it's taken (3): the middle one counts. TEGA_BIN names the binary.
set -euo pipefail
: "${TEGA_BIN:?names the tega binary to measure with}"
case $TEGA_BIN in /*) ;; *) TEGA_BIN=$PWD/$TEGA_BIN ;; esac
export TEGA_BIN
cd "$(dirname "$0")"
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
# shellcheck source=drivers/environments.sh disable=SC1091
. ./environments.sh
go_program "$work" bench
python_venv "$work"
depths=1,16 seconds=${BENCH_SECONDS:-1}

mkfifo "$work/says"
"$TEGA_BIN" serve --data "$work/data" --listen 127.0.0.1:0 --log-level error "$@" >"$work/says" &
server=$!
read -r line <"$work/says"
url=${line#listening on }
case $url in http://*) ;; *) echo "the server said: $line" >&2; exit 1 ;; esac

# In turns, so that whatever else the machine does concerns all alike.
for _ in $(seq "${BENCH_ROUNDS:-3}"); do
    "$TEGA_BIN" bench --url "$url" --transport ws --only put,get --clients 1 --depth "$depths" --seconds "$seconds" --json
    "$work/bench" "$url" "$seconds" "$depths"
    "$work/venv/bin/python" python/bench.py --url "$url" --only put,get --depth "$depths" --threads "$depths" \
        --seconds "$seconds" --json
done >"$work/figures"
python3 table.py <"$work/figures"
