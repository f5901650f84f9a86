# shellcheck shell=bash
# For the scripts beside it, which need both drivers: what each is built and run with, in a directory of their own.

# DIR NAME: builds go/internal/NAME as DIR/NAME, with the one dependency as Debian packages it.
go_program() {
    local websocket=/usr/share/gocode/src/github.com/gorilla/websocket
    if ! command -v go >/dev/null || ! [ -d "$websocket" ]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            golang-go golang-github-gorilla-websocket-dev >/dev/null
    fi
    cp go/go.mod go/go.sum "$1"
    go mod edit -replace "github.com/gorilla/websocket=$websocket" "$1/go.mod"
    (cd go && GOFLAGS="-modfile=$1/go.mod -mod=mod" GOPROXY=off GOTOOLCHAIN=local GO111MODULE=on \
        go build -o "$1/$2" "./internal/$2")
}

# DIR: makes DIR/venv, with the Python driver's one dependency.
python_venv() {
    "${PYTHON:-python3}" -m venv "$1/venv"
    "$1/venv/bin/pip" install --quiet --disable-pip-version-check websockets==15.0.1
}
