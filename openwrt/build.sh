#!/bin/bash
# Builds static, stripped binaries for routers and small PCs.
#
#   openwrt/build.sh [--mini] [TARGET…]     targets: the names in openwrt/targets; without any, all
#
# The binary is target/openwrt/TARGET/tega, or TARGET-mini/tega without the screen. It takes what the machine has:
#
#   1. the rustup target, where `rustup target add TRIPLE` was done; linked by the linker that comes with Rust
#   2. `cross`, where that and a Docker engine are; see Cross.toml
#   3. the standard library built from its source (-Zbuild-std), linked by zig: needs `cargo-zigbuild` and `ziglang`
#      of PyPI, and a Rust with its source: Debian's rustc-web, cargo-web and rust-web-src, or rustup's rust-src.
#      The only way to MIPS, and the one that gives the least bytes, since the standard library is built for size too.
#
# TEGA_BUILD=rustup|cross|std takes that way alone. The same sources, compiler and way give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD

fail() { echo "build.sh: $1" >&2; exit 1; }

# The row of a target, as the variables triple, flags.
row() {
    local name rest
    while read -r name triple flags rest; do
        [ "$name" = "$1" ] && return 0
    done < <(grep -v '^#' openwrt/targets)
    fail "no target $1; openwrt/targets has: $(grep -v '^#' openwrt/targets | cut -d' ' -f1 | xargs)"
}

# Debian's Rust where it is with its source; else rustup's, which must have rust-src.
rust_with_source() {
    if [ -d /usr/lib/rustlib/src/rust/library ] && [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ]; then
        # These two alone, so that zig is found where it was installed.
        mkdir -p target/openwrt/bin
        ln -sf /usr/bin/rustc /usr/bin/cargo target/openwrt/bin/
        export RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo PATH="$here/target/openwrt/bin:$PATH"
    elif [ ! -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
        fail "no source of Rust's standard library: apt-get install rustc-web cargo-web rust-web-src, or
rustup component add rust-src"
    fi
    command -v cargo-zigbuild >/dev/null || fail "no cargo-zigbuild: pip install ziglang cargo-zigbuild"
    export RUSTC_BOOTSTRAP=1
}

way() {
    local force=${TEGA_BUILD:-}
    if [ -n "$force" ]; then echo "$force"
    elif rustup target list --installed 2>/dev/null | grep -qx "$triple"; then echo rustup
    elif grep -qxF "[target.$triple]" Cross.toml && command -v cross >/dev/null && docker info >/dev/null 2>&1; then
        echo cross
    else echo std; fi
}

# Paths of this machine would make the bytes differ from another's: of the sources, of the crates, and of the standard
# library's source, which is below the compiler that is used.
remap() {
    local cargo_home=${CARGO_HOME:-$HOME/.cargo} rust
    rust=$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/src/rust
    echo "--remap-path-prefix=$here=/tega --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$rust=/rust"
}

build() { # name, mini or empty
    local triple flags by out
    row "$1"
    [ "$flags" = - ] && flags=
    flags="${flags//,-/ -} -Cforce-unwind-tables=no"
    local args=(--locked --profile router --bin tega --target "$triple" --no-default-features)
    [ -n "$2" ] || args+=(--features tui)
    by=$(way)
    out=target/openwrt/$1${2:+-mini}
    # A directory for each: builds of one target with other features don't undo each other's work.
    export CARGO_TARGET_DIR=$here/$out/build SOURCE_DATE_EPOCH=0
    (
        [ "$by" != std ] || rust_with_source
        flags="$flags $(remap)"
        case $by in
        rustup) RUSTFLAGS="$flags -Clinker=rust-lld -Clink-self-contained=yes" cargo build "${args[@]}" ;;
        cross) RUSTFLAGS="$flags" CARGO_TARGET_DIR=$out/build cross build "${args[@]}" ;;
        std)
            RUSTFLAGS="$flags -Clink-self-contained=no" cargo-zigbuild zigbuild "${args[@]}" \
                -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
            ;;
        *) fail "TEGA_BUILD=$by: rustup, cross or std wanted" ;;
        esac
    )
    install -m 755 "$out/build/$triple/router/tega" "$out/tega"
    printf '%-14s %8d bytes  by %-6s  %s\n' "$1${2:+-mini}" "$(stat -c %s "$out/tega")" "$by" "$out/tega"
}

mini=
names=()
for word in "$@"; do
    case $word in
    --mini) mini=mini ;;
    -*) fail "$word: no such option; --mini, then names of targets" ;;
    *) names+=("$word") ;;
    esac
done
if [ ${#names[@]} -eq 0 ]; then
    mapfile -t names < <(grep -v '^#' openwrt/targets | cut -d' ' -f1)
fi
for name in "${names[@]}"; do (row "$name"); done
for name in "${names[@]}"; do build "$name" "$mini"; done
