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
mkdir -p "$root"/{bin,dev,etc,tmp,var/lib/dpkg/{info,updates,triggers},usr/bin}
touch "$root/var/lib/dpkg/"{status,available}
mknod -m 666 "$root/dev/null" c 1 3
cp "$(command -v busybox)" "$root/bin/busybox"
chroot "$root" /bin/busybox --install -s /bin
# A systemd that runs, and writes down what it is told. The unit is as masked as can be where there is a file /masked.
mkdir -p "$root/run/systemd/system"
printf '#!/bin/sh\necho "$@" >> /told\n[ ! -e /masked ]\n' > "$root/bin/systemctl"
cat > "$root/bin/systemd-sysusers" << 'EOF'
#!/bin/sh
echo "$@" > /user
echo 'tega:x:998:998::/var/lib/tega:/bin/false' > /etc/passwd
echo 'tega:x:998:' > /etc/group
EOF
chmod 755 "$root"/bin/system*
told() { # what, at least
    tr '\n' ';' < "$root/told" | grep -qF "$1" || fail "systemctl was told $(xargs < "$root/told"), not $1"
    rm "$root/told"
    passed "systemctl is told: $1"
}
name=$(dpkg-deb -f "$deb" Package)
debian() {
    dpkg --root="$root" --force-architecture --force-bad-path --log=/dev/null "$@" >/dev/null 2>"$work/said" ||
        fail "dpkg $*: $(cat "$work/said")"
}
state() { dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | xargs; }

debian -i "$deb"
[ "$(state "$name")" = ii ] && [ -x "$root/usr/bin/tega" ] || fail 'dpkg installs it'
passed 'dpkg installs it'
told 'enable tega.service;daemon-reload;start tega.service;'
# What the real one makes of it.
sed 's/^--inline //' "$root/user" > "$work/tega.conf"
mkdir -p "$work/users/etc"
systemd-sysusers --root="$work/users" "$work/tega.conf" 2>/dev/null
grep -q '^tega:.*:/var/lib/tega:.*nologin$' "$work/users/etc/passwd" || fail 'there is no user tega'
grep -qx 'User=tega' debian/tega.service || fail 'the unit has another user'
passed 'the server has a user of its own, whom root can give a file to'
[ "$(stat -c '%u:%g %a' "$root/var/lib/tega")" = '998:998 700' ] || fail 'the directory is not its own before the first start'
passed 'in a directory that is there before the first start'
echo 'TEGA_OPTIONS="--id pi1"' > "$root/etc/default/tega"
debian -i "$deb"
grep -q pi1 "$root/etc/default/tega" || fail 'installing again keeps the options'
passed 'installing again keeps the options'
told 'daemon-reload;try-restart tega.service;'
echo data > "$root/var/lib/tega/log"
debian -r "$name"
[ ! -e "$root/usr/bin/tega" ] || fail 'removing leaves the program'
grep -q data "$root/var/lib/tega/log" || fail 'removing takes the data'
passed 'removing takes the program and leaves the data'
told 'stop tega.service;disable tega.service;'
debian -i "$deb"
told 'enable tega.service;daemon-reload;start tega.service;'

touch "$root/masked"
debian -i "$deb"
debian -r "$name"
debian -i "$deb"
grep -q 'systemctl status tega' "$work/said" || fail "nothing is said of a server that doesn't start: $(cat "$work/said")"
passed "a unit that is masked, or doesn't start, is told of and leaves the package whole"
rm "$root/masked" "$root/told"

# The other flavour takes its place.
if [ "$name" = tega ]; then
    other=tega-mini
    relations='Provides: tega\nConflicts: tega\nReplaces: tega'
else
    other=tega
    relations='Conflicts: tega-mini\nReplaces: tega-mini'
fi
dpkg-deb -R "$deb" "$work/other"
sed -i "/^Provides: /d; /^Replaces: /d; s/^Conflicts: .*/$relations/; s/^Package: .*/Package: $other/" \
    "$work/other/DEBIAN/control"
dpkg-deb --root-owner-group -b "$work/other" "$work/other.deb" >/dev/null
debian -i "$work/other.deb"
[ "$(state "$other")" = ii ] && [ "$(state "$name")" != ii ] || fail "$other doesn't replace $name: $(cat "$work/said")"
passed "$other takes the place of $name"
told 'stop tega.service;disable tega.service;'
debian -P "$name"
grep -q data "$root/var/lib/tega/log" || fail "a purge of $name takes the data of $other"
grep -q pi1 "$root/etc/default/tega" || fail "a purge of $name takes the options of $other"
passed "and a purge of $name leaves it its data and its options"
debian -i "$deb"
[ "$(state "$name")" = ii ] && [ "$(state "$other")" != ii ] || fail "$name doesn't replace $other"
passed 'and back'
debian -P "$other"
debian -r "$name"
debian -P "$name"
[ ! -e "$root/var/lib/tega" ] && [ -z "$(ls "$root/etc/default" 2>/dev/null)" ] || fail 'a purge leaves something'
passed 'a purge takes the data and the options'

# A machine under construction.
rm -r "$root/run/systemd" "$root/told"
debian -i "$deb"
[ "$(xargs < "$root/told")" = 'enable tega.service' ] || fail "systemctl is told $(xargs < "$root/told")"
passed 'where no systemd runs, the service is enabled, and starts at the first boot'
rm "$root/bin/systemctl" "$root/bin/systemd-sysusers"
debian -r "$name"
debian -i "$deb"
[ "$(state "$name")" = ii ] || fail 'without systemd it is not installed'
passed 'it can be installed where there is no systemd'

# The unit's program must be there to be verified.
sed "s|/usr/bin/tega|$(command -v true)|" debian/tega.service > "$work/tega.service"
said=$(systemd-analyze verify "$work/tega.service" 2>&1) || fail "systemd-analyze: $said"
[ -z "$said" ] || fail "systemd-analyze: $said"
passed 'systemd finds no fault with the unit'
exposure=$(systemd-analyze security --offline=true "$work/tega.service" 2>/dev/null | tail -1)
grep -qE ': [01]\.[0-9] OK' <<< "$exposure" || fail "the unit is not hardened: $exposure"
passed "it is hardened${exposure##*service}"
# A filter takes away and gives in the order of its lines.
allowed=
while read -r words; do
    if [[ $words = '~'* && " $words" == *@resources* ]]; then allowed=; fi
    if [[ $words = @system-service || " $words " == *' setpriority '* ]]; then allowed=1; fi
done < <(sed -n 's/^SystemCallFilter=//p' debian/tega.service)
[ -n "$allowed" ] || fail 'the unit keeps plugins from running nicely'
passed 'plugins may run nicely in it'

# The example of a fleet.
options=$(sed -n '/TEGA_OPTIONS="--global/,/"$/{s/^# *//;s/^TEGA_OPTIONS=//;s/"//g;p}' debian/default | xargs)
mkdir -p "$root/var/lib/tega"
install -m 600 /dev/stdin "$root/var/lib/tega/token" <<< tega_0123456789abcdef
. tests/emulated.sh
find_emulator "$root"
# shellcheck disable=SC2086 # words
if ! chroot "$root" $emulator /usr/bin/tega help serve >/dev/null 2>&1; then
    echo "not tested: the example of /etc/default/tega, by a program that doesn't run here"
else
    said=$(chroot "$root" /bin/timeout 4 $emulator /usr/bin/tega serve --data /var/lib/tega --socket /tega.sock --listen 127.0.0.1:0 \
        $options 2>&1) || :
    grep -q '^listening on' <<< "$said" || fail "the example of /etc/default/tega doesn't start: $said"
    passed 'the example of /etc/default/tega starts'
fi

echo "test result: ok. $count passed: $(basename "$deb")"
