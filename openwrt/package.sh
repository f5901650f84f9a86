#!/bin/bash
# Packages what openwrt/build.sh built.
#
#   openwrt/package.sh [--mini] TARGET…     targets: the names in openwrt/targets
#
# For each of the target's OpenWrt architectures an .ipk, and an .apk where `apk mkpkg` is at hand (it comes with
# OpenWrt's SDK, in staging_dir/host/bin; who isn't root needs fakeroot for it); for the targets that Debian knows a
# .deb, where dpkg-deb is. They go to target/openwrt/packages. The same binary gives the same bytes: times are
# SOURCE_DATE_EPOCH (the commit's, else 0).
#
# An .ipk is a gzipped tar of debian-binary, data.tar.gz and control.tar.gz (OpenWrt's scripts/ipkg-build). No package
# depends on libc: the binary is static, and a list of packages that is absent would refuse it as incompatible.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

fail() { echo "package.sh: $1" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
release=1
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH
out=target/openwrt/packages
summary='A versioned, replicated tree of configuration, for routers and small PCs'
about=' One static program: database, server, sync agent, command line and live browser of a tree of small data, with
 versions, rollback and transactions. A router keeps one link to its global server and works without it.'

# The files of a package, laid out as on the router.
stage() { # dir, binary
    mkdir -p "$1/usr/bin"
    install -m 755 "$2" "$1/usr/bin/tega"
    cp -a openwrt/tega/files/. "$1/"
    find "$1" -type d -exec chmod 755 {} +
    find "$1" -type f -exec chmod 644 {} +
    chmod 755 "$1"/usr/bin/* "$1"/etc/init.d/* "$1"/etc/uci-defaults/*
    chmod 600 "$1/etc/config/tega"
}

# postinst and prerm, by OpenWrt's conventions. Its functions take a package's name from the script's own name with
# opkg, and from `pkgname` with apk.
scripts() { # name, dir
    cat > "$2/postinst" <<'EOF'
#!/bin/sh
[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "${IPKG_INSTROOT}/lib/functions.sh"
export root="${IPKG_INSTROOT}" pkgname=NAME
default_postinst "$0" "$@"
EOF
    cat > "$2/prerm" <<'EOF'
#!/bin/sh
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "${IPKG_INSTROOT}/lib/functions.sh"
export root="${IPKG_INSTROOT}" pkgname=NAME
default_prerm "$0" "$@"
EOF
    sed -i "s/NAME/$1/" "$2/postinst" "$2/prerm"
    chmod 755 "$2/postinst" "$2/prerm"
}

# The bytes of the files below directories. What `du` says depends on the file system: a directory has another size on each.
size() { find "$@" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'; }

# The other flavour, which has the same files.
other() { if [ "$1" = tega ]; then echo tega-mini; else echo tega; fi; }

# tega doesn't say that it provides itself: dpkg would count it twice among what conflicts, and not let tega-mini replace it.
relations() { # name
    [ "$1" = tega ] || echo 'Provides: tega'
    echo "Conflicts: $(other "$1")"
}

pack() { # dir, file: everything below a directory, reproducibly
    tar --format=gnu --numeric-owner --owner=0 --group=0 --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
        -C "$1" -cf - . | gzip -9n > "$2"
}

ipk() { # name, arch, staged dir
    local work file=$out/$1_$version-r${release}_$2.ipk
    work=$(mktemp -d)
    mkdir "$work/control" "$work/ipk"
    cat > "$work/control/control" <<EOF
Package: $1
Version: $version-r$release
$(relations "$1")
Section: net
Architecture: $2
Installed-Size: $(size "$3")
SourceDateEpoch: $SOURCE_DATE_EPOCH
Maintainer: The tega maintainers
Description: $summary.
$about
EOF
    echo /etc/config/tega > "$work/control/conffiles"
    scripts "$1" "$work/control"
    echo 2.0 > "$work/ipk/debian-binary"
    pack "$3" "$work/ipk/data.tar.gz"
    pack "$work/control" "$work/ipk/control.tar.gz"
    pack "$work/ipk" "$file"
    rm -r "$work"
    made "$file"
}

apk() { # name, arch, staged dir
    local tool work root=() info=() file=$out/$1-$version-r$release.$2.apk
    tool=$(type -P apk) && "$tool" mkpkg --help >/dev/null 2>&1 || return 0
    # `apk mkpkg` takes owners from the files.
    if [ "$(id -u)" != 0 ]; then
        command -v fakeroot >/dev/null ||
            fail "an .apk names the owners of its files: apt-get install fakeroot, or be root, or have no apk in PATH"
        root=(fakeroot --)
    fi
    # With its version it owns the name, so that one flavour at most is installed.
    [ "$1" = tega ] || info=(--info "provides:tega=$version-r$release")
    work=$(mktemp -d)
    cp -a "$3" "$work/root"
    mkdir -p "$work/root/lib/apk/packages"
    (cd "$work/root" && find . -type f -o -type l | sed 's/^\.//' | LC_ALL=C sort) > "$work/list"
    echo /etc/config/tega > "$work/root/lib/apk/packages/$1.conffiles"
    echo "/etc/config/tega $(sha256sum "$3/etc/config/tega" | cut -d' ' -f1)" \
        > "$work/root/lib/apk/packages/$1.conffiles_static"
    cp "$work/list" "$work/root/lib/apk/packages/$1.list"
    scripts "$1" "$work"
    { echo '#!/bin/sh'; echo 'export PKG_UPGRADE=1'; tail -n +2 "$work/postinst"; } > "$work/post-upgrade"
    # shellcheck disable=SC2016 # the inner shell's own
    "${root[@]}" sh -c 'chown -Rh 0:0 "$1" && shift && exec "$@"' - "$work/root" \
        "$tool" mkpkg --info "name:$1" --info "version:$version-r$release" --info "description:$summary" \
        --info "arch:$2" "${info[@]}" --script "post-install:$work/postinst" \
        --script "post-upgrade:$work/post-upgrade" --script "pre-deinstall:$work/prerm" \
        --files "$work/root" --output "$file"
    rm -r "$work"
    made "$file"
}

deb() { # name, arch, binary
    command -v dpkg-deb >/dev/null || return 0
    local work file=$out/$1_$version-${release}_$2.deb
    work=$(mktemp -d)
    chmod 755 "$work"
    mkdir -p "$work/DEBIAN" "$work/usr/bin" "$work/lib/systemd/system" "$work/etc/default"
    install -m 755 "$3" "$work/usr/bin/tega"
    install -m 644 openwrt/debian/tega.service "$work/lib/systemd/system/tega.service"
    install -m 644 openwrt/debian/default "$work/etc/default/tega"
    install -m 755 openwrt/debian/{postinst,prerm,postrm} "$work/DEBIAN/"
    echo /etc/default/tega > "$work/DEBIAN/conffiles"
    cat > "$work/DEBIAN/control" <<EOF
Package: $1
Version: $version-$release
Architecture: $2
Section: net
Priority: optional
$(relations "$1")
Replaces: $(other "$1")
Installed-Size: $((($(size "$work"/{etc,lib,usr}) + 1023) / 1024))
Maintainer: The tega maintainers
Description: $summary
$about
EOF
    find "$work" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$work" "$file" >/dev/null
    rm -r "$work"
    made "$file"
}

made() { printf '%8d bytes  %s\n' "$(stat -c %s "$1")" "$1"; }

mini=
names=()
for word in "$@"; do
    case $word in
    --mini) mini=-mini ;;
    -*) fail "$word: no such option; --mini, then names of targets" ;;
    *) names+=("$word") ;;
    esac
done
[ ${#names[@]} -gt 0 ] || fail "which target? openwrt/targets has: $(grep -v '^#' openwrt/targets | cut -d' ' -f1 | xargs)"
mkdir -p "$out"
for name in "${names[@]}"; do
    row=$(grep "^$name " openwrt/targets) || fail "no target $name in openwrt/targets"
    read -r _ _ _ debian arches <<< "$row"
    binary=target/openwrt/$name$mini/tega
    [ -x "$binary" ] || fail "no $binary: openwrt/build.sh ${mini:+--mini }$name makes it"
    staged=$(mktemp -d)
    stage "$staged" "$binary"
    for arch in ${arches//,/ }; do
        ipk "tega$mini" "$arch" "$staged"
        apk "tega$mini" "$arch" "$staged"
    done
    rm -r "$staged"
    [ "$debian" = - ] || deb "tega$mini" "$debian" "$binary"
done
