#!/usr/bin/env bash
# The Go driver's tests, from Debian's packages alone: no module proxy is asked. TEGA_BIN names the tega to test against;
# without it only the tests that need no server run.
set -euo pipefail
cd "$(dirname "$0")"

websocket=/usr/share/gocode/src/github.com/gorilla/websocket
if ! command -v go >/dev/null || ! [ -d "$websocket" ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        golang-go golang-github-gorilla-websocket-dev >/dev/null
fi
go version

# go.mod stays as its users need it; the tests' own copy takes the one dependency from where Debian puts it.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp go.mod go.sum "$work"
go mod edit -replace "github.com/gorilla/websocket=$websocket" "$work/go.mod"
export GOFLAGS="-modfile=$work/go.mod -mod=mod" GOPROXY=off GOTOOLCHAIN=local GO111MODULE=on

unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted" >&2; exit 1; }
go vet ./...

# The race detector needs a C compiler.
race=()
command -v "$(go env CC)" >/dev/null && [ "$(go env CGO_ENABLED)" = 1 ] && race=(-race)
if [ -n "${TEGA_BIN:-}" ]; then
    # That they run, not what they say.
    go test -run '^$' -bench . -benchtime 100ms . | grep -v '^ok'
fi
go test "${race[@]}" -count 1 -timeout 300s "$@" ./...
