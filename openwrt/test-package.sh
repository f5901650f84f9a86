#!/bin/bash
# Checks an .ipk that openwrt/package.sh made: its files, owners and modes; its scripts by sh -n, shellcheck and busybox
# ash; and that installing, installing again, upgrading and removing behave as OpenWrt's packages do. The router is a
# chroot of busybox with stand-ins for opkg, procd and /lib/functions.sh (openwrt/tests): it shows what our files do by
# OpenWrt's conventions, not that OpenWrt itself follows them. At last how packages are made (tests/making.sh).
#
#   openwrt/test-package.sh FILE.ipk       needs root, busybox (static), shellcheck, make, fakeroot and setpriv
set -euo pipefail
ipk=$(realpath "$1")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0

fail() { echo "FAILED: $1" >&2; exit 1; }
passed() { count=$((count + 1)); echo "ok  $1"; }
# Both texts, or where they differ.
same() { diff <(echo "$2") <(echo "$3") || fail "$1"; passed "$1"; }
has() { grep -qF -- "$2" <<< "$3" || { echo "$3"; fail "$1: no $2"; }; passed "$1"; }
hasnt() { ! grep -qF -- "$2" <<< "$3" || { echo "$3"; fail "$1: $2"; }; passed "$1"; }

mkdir "$work/ipk" "$work/control"
tar -xzf "$ipk" -C "$work/ipk"
same 'an .ipk is a tar of three members' './ ./control.tar.gz ./data.tar.gz ./debian-binary' \
    "$(tar -tzf "$ipk" | xargs)"
same 'its format is 2.0' 2.0 "$(cat "$work/ipk/debian-binary")"
same 'it unpacks to these files, owners and modes' "$(cat tests/files.txt)" \
    "$(tar -tvzf "$work/ipk/data.tar.gz" | awk '{ print $1, $2, $6 }')"
tar -xzf "$work/ipk/control.tar.gz" -C "$work/control"
same 'its control has conffiles and two scripts' 'conffiles control postinst prerm' "$(cd "$work/control" && echo *)"
name=$(sed -n 's/^Package: //p' "$work/control/control")
hasnt 'it depends on nothing' Depends: "$(cat "$work/control/control")"

scripts=(tega/files/etc/init.d/* tega/files/etc/uci-defaults/* "$work"/control/p* debian/p*)
for script in "${scripts[@]}"; do
    sh -n "$script" || fail "sh -n $script"
    busybox ash -n "$script" || fail "ash -n $script"
done
passed 'sh and ash can read every script'
shellcheck -e SC1091,SC2015 "${scripts[@]}" ./*.sh tests/making.sh tests/emulated.sh || fail shellcheck
passed 'shellcheck has nothing to say'

# A router.
root=$work/router
mkdir -p "$root"/{bin,lib,etc/config,tmp/sysinfo,usr/bin,sys/class/net/eth0,proc,dev}
cp "$(command -v busybox)" "$root/bin/busybox"
chroot "$root" /bin/busybox --install -s /bin
cp tests/functions.sh "$root/lib/"
cp tests/rc.common "$root/etc/"
cp tests/opkg.sh "$root/bin/opkg"
mknod "$root/dev/urandom" c 1 9
mknod -m 666 "$root/dev/null" c 1 3
chmod 755 "$root/bin/opkg" "$root/etc/rc.common"
echo glinet,gl-mt300n-v2 > "$root/tmp/sysinfo/board_name"
echo 94:83:C4:0a:0B:0c > "$root/sys/class/net/eth0/address"
cp "$ipk" "$root/tmp/a.ipk"
on() { chroot "$root" /bin/ash -c "$1"; }
# What procd is told to run, on one line.
command_of() { on '/etc/init.d/tega start' | sed -n 's/^command: //p; s/^  + //p' | xargs; }

on 'opkg install /tmp/a.ipk'
id=glinet-gl-mt300n-v2-9483c40a0b0c
same 'the first installation gives the router an ID of board and MAC' "$id" "$(cat "$root/etc/tega/id")"
same 'its directory is the user root'\''s alone' 700 "$(stat -c %a "$root/etc/tega")"
[ ! -e "$root/etc/uci-defaults/50-tega" ] || fail 'uci-defaults is still there'
has 'it enables the service' 'enable /etc/init.d/tega' "$(cat "$root/tmp/done")"
has 'and starts it' 'start /etc/init.d/tega' "$(cat "$root/tmp/done")"
same 'without a word it serves the local socket, and its own state from memory' \
    "/usr/bin/tega serve --supervised --id $id --socket /var/run/tega.sock --durability interval:1000 --durability operational-$id=memory" \
    "$(command_of)"
said=$(on '/etc/init.d/tega start')
has 'procd starts it again for ever' 'respawn: 3600 5 0' "$said"
has 'and when the program, its configuration or its token changed' \
    'file: /usr/bin/tega /etc/config/tega /etc/tega/id /etc/tega/token' "$said"
has 'stderr goes to the log' 'stderr: 1' "$said"
has 'a commit of the configuration reloads it' 'trigger tega' "$(on '/etc/init.d/tega triggers')"
said=$(on '/etc/init.d/tega reload')
same 'which has the tokens read again' 'signal tega * HUP' "$(head -1 <<< "$said")"
has 'and only then may start a new process, which would die of the signal' 'instance main' "$(tail -n +2 <<< "$said")"

on '/etc/init.d/tega-recover boot' || fail 'nothing on trial'
passed 'a boot without anything on trial does nothing'
mkdir -p "$root/etc/tega/data/uci"
touch "$root/etc/tega/data/uci/journal"
# In place of the program, which may be of another architecture: what it is told.
mv "$root/usr/bin/tega" "$root/usr/bin/tega.real"
printf '#!/bin/ash\necho told: "$@"\n' > "$root/usr/bin/tega"
chmod 755 "$root/usr/bin/tega"
on '/etc/init.d/tega-recover boot'
same 'a boot in mid-trial undoes it first, and the kernel'\''s log says so' \
    'tega-recover: told: uci recover --data /etc/tega/data' "$(cat "$root/dev/kmsg")"
rm "$root/dev/kmsg"
on '/etc/init.d/tega-recover start'
[ ! -e "$root/dev/kmsg" ] || fail 'a start that is no boot undoes something'
passed 'a start that is no boot undoes nothing'
mv "$root/usr/bin/tega.real" "$root/usr/bin/tega"
rm -r "$root/etc/tega/data"
[[ "$(sed -n 's/^START=//p' "$root/etc/init.d/tega-recover")" == 0? ]] || fail 'something at 10 starts before it'
passed 'it is before all that reads /etc/config'

cat >> "$root/etc/config/tega" <<'EOF'
	option global 'ws://10.8.0.1:8739'
	list private 'notes'
	option log_level 'debug'
	option insecure '1'
EOF
hasnt 'a token that is not there is not told' --token-file "$(command_of)"
echo secret > "$root/etc/tega/token"
has 'a global server makes it a local one with its two roots' \
    "--durability operational-$id=memory --global ws://10.8.0.1:8739 --token-file /etc/tega/token --private notes --config config-$id --operational operational-$id --insecure" \
    "$(command_of)"
has 'a token goes by the name of its file' '--token-file /etc/tega/token' "$(command_of)"
hasnt 'and is on no command line' secret "$(on '/etc/init.d/tega start')"
# Each option that the file shows, and what it is for `serve`; a new one that nothing makes of shows here.
cp "$root/etc/config/tega" "$work/config"
while read -r kind option; do
    given=mark-$option
    case $option in
    enabled) continue ;;
    insecure | insecure_link | uci) given=1 ;;
    global) given=ws://mark-global ;;
    esac
    want="--${option//_/-}"
    [ "$given" = 1 ] || want="$want $given"
    {
        cat tega/files/etc/config/tega
        printf "\toption global 'ws://g'\n\toption uci '1'\n\tlist plugins '/p'\n"
        printf "\t%s %s '%s'\n" "$kind" "$option" "$given"
    } > "$root/etc/config/tega"
    grep -qE -- "$want( |\$)" <<< "$(command_of)" || fail "the option $option isn't told the server: $(command_of)"
done < <(sed -nE 's/^\t(# )?(option|list) ([a-z_]+) .*/\2 \3/p' tega/files/etc/config/tega | sort -u)
passed 'every option of the configuration reaches the server'
{ cat tega/files/etc/config/tega; printf "\tlist private 'p'\n\toption insecure_link '1'\n\tlist uci_probe 'ping:h'\n"; } \
    > "$root/etc/config/tega"
hasnt 'without a global server nothing is said of a link' '--private' "$(command_of)"
hasnt 'and nothing of the bridge where that is off' '--uci' "$(command_of)"
printf "\toption plugin_memory '64'\n" >> "$root/etc/config/tega"
hasnt 'nor of plugins without a directory of them' '--plugin' "$(command_of)"
printf "\tlist plugins '/a'\n\tlist plugins '/b'\n" >> "$root/etc/config/tega"
has 'several directories of plugins are told, and their memory' '--plugins /a --plugins /b --plugin-memory 64' "$(command_of)"
{ cat tega/files/etc/config/tega; printf "\toption plugins '/a'\n\toption plugin_memory '64'\n"; } > "$root/etc/config/tega"
has 'an option where a list is meant is a list of one' '--plugins /a --plugin-memory 64' "$(command_of)"
with() { # lines beside those of the package
    { cat tega/files/etc/config/tega; printf "\toption global 'ws://g'\n%b\n" "$1"; } > "$root/etc/config/tega"
}
with "\toption token_file '/etc/tega/tokne'"
has 'a token file that was named is told although it is not there' '--token-file /etc/tega/tokne' "$(command_of)"
with "\toption data '/mnt/x'"
has 'with another data directory the socket stays where commands look' \
    '--data /mnt/x --socket /var/run/tega.sock' "$(command_of)"
with "\toption config 'a b'\n\toption private '*'"
has 'an option may name several roots' '--config a --config b ' "$(command_of)"
has 'and * is no pattern of files' '--private *' "$(command_of)"
with "\tlist operational 'a'\n\tlist operational 'b'\n\tlist durability 'b=always'"
has 'every operational root is in memory, after what the user says' \
    '--durability b=always --durability a=memory --durability b=memory ' "$(command_of)"
with "\toption operational 'a b'"
has 'also those that an option names' '--durability a=memory --durability b=memory ' "$(command_of)"
cp "$work/config" "$root/etc/config/tega"

. tests/emulated.sh
find_emulator "$root"
program() { timeout 20 chroot "$root" $emulator /usr/bin/tega "$@" 2>&1; }

# The other way round: what the program knows, where it can run here. Not for a router's own server are what procd is told
# of it, and another directory than its own.
if said=$(program help serve); then
    same 'the configuration has every option of the server' \
        "$(sed -nE 's/^  --([a-z-]+) .*/\1/p' <<< "$said" | grep -vxE 'supervised|uci-root' | sort)" \
        "$(sed -nE 's/^\t(# )?(option|list) ([a-z_]+) .*/\3/p' tega/files/etc/config/tega | grep -vx enabled | tr _ - | sort -u)"
    # What serve makes of the two that fail at a start.
    for case in "--global ws://192.0.2.1 --id r1 --token-file /etc/tega/token|--insecure-link" \
        "--tokens /etc/tega/none|there is no token file"; do
        # shellcheck disable=SC2086 # words
        said=$(program serve --data /tmp/data ${case%|*}) && fail "serve ${case%|*} starts"
        has "the configuration is right that this doesn't start: ${case%|*}" "${case#*|}" "$said"
    done
else
    echo "not tested: the options of the program, which doesn't run here"
fi
rm -f "$root/emulator"
for option in global token_file; do
    has "what is said of $option names insecure_link" insecure_link \
        "$(awk -v RS= "/option $option /" tega/files/etc/config/tega)"
done

config=$(cat "$root/etc/config/tega")
on 'opkg install /tmp/a.ipk'
same 'installing again keeps the configuration' "$config" "$(cat "$root/etc/config/tega")"
same 'and the ID' "$id" "$(cat "$root/etc/tega/id")"
[ ! -e "$root/etc/config/tega-opkg" ] || fail 'a new configuration though nothing is new'
: > "$root/tmp/done"
# An upgrade whose configuration is new too.
mkdir "$work/next" "$work/data"
tar -xzf "$work/ipk/data.tar.gz" -C "$work/data"
echo '# new' >> "$work/data/etc/config/tega"
tar -C "$work/data" -czf "$work/next/data.tar.gz" .
cp "$work/ipk/control.tar.gz" "$work/ipk/debian-binary" "$work/next/"
tar -C "$work/next" -czf "$root/tmp/b.ipk" .
on 'opkg install /tmp/b.ipk'
same 'an upgrade keeps a changed configuration' "$config" "$(cat "$root/etc/config/tega")"
has 'and lays the new one beside it' '# new' "$(cat "$root/etc/config/tega-opkg")"
hasnt 'it enables nothing that was disabled' enable "$(cat "$root/tmp/done")"
echo data > "$root/etc/tega/kept"
on "opkg remove $name"
for file in usr/bin/tega etc/init.d/tega; do
    [ ! -e "$root/$file" ] || fail "removing leaves $file"
done
passed 'removing takes the program and its service'
has 'and disables it' 'disable /etc/init.d/tega' "$(cat "$root/tmp/done")"
same 'but not the data, the ID and a changed configuration' "$config data $id" \
    "$(cat "$root/etc/config/tega") $(cat "$root/etc/tega/kept") $(cat "$root/etc/tega/id")"
on 'opkg install /tmp/a.ipk'
same 'which are taken up again' "$id" "$(cat "$root/etc/tega/id")"
same 'a sysupgrade keeps the directory' /etc/tega/ "$(cat "$root/lib/upgrade/keep.d/tega")"
rm "$root/etc/tega/id" "$root/tmp/sysinfo/board_name" "$root/sys/class/net/eth0/address"
cp tega/files/etc/uci-defaults/50-tega "$root/tmp/defaults"
if on 'IPKG_INSTROOT=/x /tmp/defaults' || [ -e "$root/x" ] || [ -e "$root/etc/tega/id" ]; then
    fail 'an image gets an ID'
fi
passed 'an image that is built has no ID yet'
# An address that the system drew at this boot.
mkdir -p "$root/sys/class/net/eth0" "$root/sys/class/net/lan0"
echo 02:00:00:00:00:01 > "$root/sys/class/net/eth0/address"
echo 1 > "$root/sys/class/net/eth0/addr_assign_type"
echo 02:00:00:00:00:02 > "$root/sys/class/net/lan0/address"
echo 0 > "$root/sys/class/net/lan0/addr_assign_type"
on /tmp/defaults
same 'an address that was drawn at this boot is not taken' router-020000000002 "$(cat "$root/etc/tega/id")"
rm -r "$root/etc/tega/id" "$root/sys/class/net/lan0"
on /tmp/defaults
grep -qxE 'router-[0-9a-f]{12}' "$root/etc/tega/id" || fail "an ID without a board and an address: $(cat "$root/etc/tega/id")"
! grep -qx router-020000000001 "$root/etc/tega/id" || fail 'an address of this boot alone is in the ID'
passed 'a machine without a name or an address that stays draws a number'

said=$(tests/making.sh)
echo "$said"
count=$((count + $(grep -c '^ok' <<< "$said")))
echo "test result: ok. $count passed: $(basename "$ipk")"
