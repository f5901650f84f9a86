#!/bin/bash
# Part of test-package.sh: how build.sh, package.sh and the feed's Makefile work, whatever the binary is. Stand-ins for
# the compilers, for `apk mkpkg` and for OpenWrt's build system write down what they are told.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $1" >&2; exit 1; }
passed() { echo "ok  $1"; }
has() { grep -qF -- "$2" <<< "$3" || { echo "$3"; fail "$1: no $2"; }; passed "$1"; }
hasnt() { ! grep -qF -- "$2" <<< "$3" || { echo "$3"; fail "$1: $2"; }; passed "$1"; }

hasnt 'no package is for MIPS32 of release 1, which the binaries are not' _mips32 "$(grep -v '^#' openwrt/targets)"

# A checkout of its own, which belongs to nobody in particular.
copy=$work/checkout
mkdir -p "$copy" "$work/bin" "$work/tmp" "$work/rust/lib/rustlib/src/rust/library"
cp -r openwrt Cargo.toml Cross.toml "$copy/"
for flavour in x86_64 x86_64-mini; do
    mkdir -p "$copy/target/openwrt/$flavour"
    head -c 100000 /dev/zero > "$copy/target/openwrt/$flavour/tega"
    chmod 755 "$copy/target/openwrt/$flavour/tega"
done
stand_in() { # name: what follows on stdin
    { echo '#!/bin/bash'; cat; } > "$work/bin/$1"
    chmod 755 "$work/bin/$1"
}
stand_in apk <<'EOF'
[ "$2" != --help ] || exit 0
printf '%s\n' "$@" >&2
while [ "$1" != --files ]; do shift; done
{ echo "owners: $(find "$2" -printf '%U:%G\n' | sort -u | xargs)"; find "$2" -type f | sort | xargs cat; } > "$4"
EOF
chown -R 1000:1000 "$work"
export SOURCE_DATE_EPOCH=1000000000
# As this user, with temporary files there; the packages' sums, and what apk was told, which is in `told`.
packaged() { # user, directory for temporary files
    rm -rf "$copy/target/openwrt/packages"
    setpriv --reuid "$1" --regid "$1" --clear-groups env HOME="$work" TMPDIR="$2" PATH="$work/bin:$PATH" bash -c \
        "'$copy/openwrt/package.sh' x86_64 && '$copy/openwrt/package.sh' --mini x86_64" > "$work/out" 2> "$work/told" ||
        { cat "$work/told"; fail package.sh; }
    (cd "$copy/target/openwrt/packages" && sha256sum -- *)
}

as_user=$(packaged 1000 "$work/tmp")
apk=$(head -1 "$copy/target/openwrt/packages/tega-mini-"*.apk)
[ "$apk" = 'owners: 0:0' ] || fail "the files of an .apk that a user made belong to $apk"
passed 'the files of an .apk belong to root, whoever made it'
has 'tega-mini as an .apk is tega too, which is how the two exclude each other' provides:tega=0.1.0-r1 "$(cat "$work/told")"
[ "$(grep -c provides: "$work/told")" = 1 ] || fail 'tega provides itself'
ipk=$(echo "$copy/target/openwrt/packages/tega-mini_"*.ipk)
has 'and so is the .ipk' 'Provides: tega' "$(tar -xzOf "$ipk" ./control.tar.gz | tar -xzO ./control)"
[ "$as_user" = "$(packaged 0 "$work/tmp")" ] || fail 'root makes other packages than a user'
passed 'root makes the same packages'
if other=$(mktemp -d -p /dev/shm 2> /dev/null); then
    chown 1000 "$other"
    there=$(packaged 1000 "$other")
    rm -r "$other"
    [ "$as_user" = "$there" ] || diff <(echo "$as_user") <(echo "$there") || fail 'another file system makes other packages'
    passed 'another file system makes the same packages'
else
    echo 'not tested: packages made on another file system; no /dev/shm here'
fi
# Links to all that there is but fakeroot.
mkdir "$work/poor"
IFS=: read -ra dirs <<< "$PATH"
for dir in "${dirs[@]}"; do ln -s "$dir"/* "$work/poor/" 2> /dev/null || :; done
rm -f "$work/poor/fakeroot"
ln -sf "$work/bin/apk" "$work/poor/apk"
said=$(TMPDIR=$work/tmp PATH=$work/poor setpriv --reuid 1000 --regid 1000 --clear-groups "$copy/openwrt/package.sh" x86_64 2>&1) &&
    fail 'an .apk of a user without fakeroot is made'
has 'without fakeroot a user is told what is missing' 'apt-get install fakeroot' "$said"

# A machine with cross, Docker and zig, and without any target of rustup.
for name in rustup docker; do stand_in "$name" <<< :; done
stand_in rustc <<< "echo '$work/rust'"
for name in cargo-zigbuild cross; do
    stand_in $name <<'EOF'
echo "$0 $* RUSTFLAGS=$RUSTFLAGS" >&2
while [ "$1" != --target ]; do shift; done
mkdir -p "$CARGO_TARGET_DIR/$2/router" && echo > "$CARGO_TARGET_DIR/$2/router/tega"
EOF
done
built() { (cd "$copy" && PATH="$work/bin:$PATH" TEGA_BUILD='' openwrt/build.sh "$1" 2>&1); }
has 'what cross has an image for is built by cross' 'by cross' "$(built armv7)"
for target in riscv64 mips mipsel; do
    has "and $target, for which it has none, with the standard library" 'by std' "$(built $target)"
done
# Debian's compiler, where that is, comes before the one in PATH.
rust=$work/rust
[ ! -d /usr/lib/rustlib/src/rust/library ] || [ ! -x /usr/bin/rustc ] || [ ! -x /usr/bin/cargo ] || rust=/usr
has 'the path of its source is in no binary' "--remap-path-prefix=$rust/lib/rustlib/src/rust=/rust" "$(built mips)"

# The feed's Makefile.
mkdir -p "$work/include" "$work/feeds/packages/lang/rust"
touch "$work/rules.mk" "$work/include/package.mk" "$work/feeds/packages/lang/rust/rust-package.mk"
cat >> "$work/include/package.mk" <<'EOF'
define BuildPackage
VARIANT:=
CONFLICTS:=
PROVIDES:=
$(eval $(Package/$(1)))
$(info $(1): variant=$(VARIANT) conflicts=$(CONFLICTS) depends=$(DEPENDS) provides=$(PROVIDES) features=$(RUST_PKG_FEATURES))
endef
EOF
feed() { # variant
    make -s -C openwrt/tega TOPDIR="$work" INCLUDE_DIR="$work/include" BUILD_VARIANT="$1" -f Makefile -f - <<< 'all:;' 2>&1
}
has 'the feed builds tega with the screen' 'tega: variant=full conflicts= depends= provides= features=tui' "$(feed full)"
has 'and tega-mini, in a build of its own, without' \
    'tega-mini: variant=mini conflicts=tega depends= provides=tega features=' "$(feed mini)"
hasnt 'which has no feature' features=tui "$(feed mini)"
