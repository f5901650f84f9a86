#!/bin/bash
# Checks a .deb that openwrt/package.sh made, with the real dpkg below a directory of its own, and the systemd unit.
#
#   openwrt/test-deb.sh FILE.deb       needs root, dpkg, systemd-analyze and busybox (static)
set -euo pipefail
deb=$(realpath "$1")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0
fail() { echo "FAILED: $1" >&2; exit 1; }
passed() { count=$((count + 1)); echo "ok  $1"; }

diff - <(dpkg-deb -c "$deb" | awk '{ print $1, $2, $6 }') <<'EOF' || fail files
drwxr-xr-x root/root ./
drwxr-xr-x root/root ./etc/
drwxr-xr-x root/root ./etc/default/
-rw-r--r-- root/root ./etc/default/tega
drwxr-xr-x root/root ./lib/
drwxr-xr-x root/root ./lib/systemd/
drwxr-xr-x root/root ./lib/systemd/system/
-rw-r--r-- root/root ./lib/systemd/system/tega.service
drwxr-xr-x root/root ./usr/
drwxr-xr-x root/root ./usr/bin/
-rwxr-xr-x root/root ./usr/bin/tega
EOF
passed 'it holds these files, owners and modes'

root=$work/pi
mkdir -p "$root"/{bin,etc,var/lib/tega,var/lib/dpkg/{info,updates,triggers},usr/bin}
touch "$root/var/lib/dpkg/"{status,available}
cp "$(command -v busybox)" "$root/bin/busybox"
chroot "$root" /bin/busybox --install -s /bin
# A systemd that runs, and writes down what it is told.
mkdir -p "$root/run/systemd/system"
printf '#!/bin/sh\necho "$@" >> /told\n' > "$root/bin/systemctl"
chmod 755 "$root/bin/systemctl"
told() { # what
    tr '\n' ';' < "$root/told" | grep -qF "$1" || fail "systemctl was told $(xargs < "$root/told"), not $1"
    rm "$root/told"
    passed "systemctl is told: $1"
}
name=$(dpkg-deb -f "$deb" Package)
debian() { dpkg --root="$root" --force-architecture --force-bad-path --log=/dev/null "$@" >/dev/null; }
state() { dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null | xargs; }

debian -i "$deb"
[ "$(state)" = ii ] && [ -x "$root/usr/bin/tega" ] || fail 'dpkg installs it'
passed 'dpkg installs it'
told 'enable tega.service;start tega.service;'
echo 'TEGA_OPTIONS="--id pi1"' > "$root/etc/default/tega"
debian -i "$deb"
grep -q pi1 "$root/etc/default/tega" || fail 'installing again keeps the options'
passed 'installing again keeps the options'
told 'try-restart tega.service;'
echo data > "$root/var/lib/tega/log"
debian -r "$name"
[ ! -e "$root/usr/bin/tega" ] || fail 'removing leaves the program'
grep -q data "$root/var/lib/tega/log" || fail 'removing takes the data'
passed 'removing takes the program and leaves the data'
told 'disable --now tega.service;'
debian -i "$deb"
told 'enable tega.service;start tega.service;'
debian -r "$name"
debian -P "$name"
[ ! -e "$root/var/lib/tega" ] && [ -z "$(ls "$root/etc/default" 2>/dev/null)" ] || fail 'a purge leaves something'
passed 'a purge takes the data and the options'

# The unit's program must be there to be verified.
sed "s|/usr/bin/tega|$(command -v true)|" debian/tega.service > "$work/tega.service"
said=$(systemd-analyze verify "$work/tega.service" 2>&1) || fail "systemd-analyze: $said"
[ -z "$said" ] || fail "systemd-analyze: $said"
passed 'systemd finds no fault with the unit'
exposure=$(systemd-analyze security --offline=true "$work/tega.service" 2>/dev/null | tail -1)
grep -qE ': [01]\.[0-9] OK' <<< "$exposure" || fail "the unit is not hardened: $exposure"
passed "it is hardened${exposure##*service}"

echo "test result: ok. $count passed: $(basename "$deb")"
