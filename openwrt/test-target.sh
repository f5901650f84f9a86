#!/bin/bash
# Runs the integration tests against a binary of another architecture, under qemu's user emulation.
#
#   openwrt/test-target.sh [--smoke] TARGET       what openwrt/build.sh made; needs qemu-user-static
#
# --smoke runs the few that show that it starts, keeps what it acknowledged through kills, and reads the log of another
# architecture. Left out are the tests of what a router's build hasn't (bench, demo, import --from-tega, the original's
# cli), those that count this machine's memory or threads, which under qemu are qemu's, and the screen's: qemu's user
# emulation doesn't know the ioctl by which a program learns of its terminal (TCGETS2), which every kernel of OpenWrt has.
# The guard of a trial is /proc/self/exe run once more, which the kernel can't without the emulator.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "test-target.sh: $1" >&2; exit 1; }

smoke=
[ "${1:-}" != --smoke ] || { smoke=1; shift; }
case ${1:-} in
arm*) qemu=arm ;;
aarch64 | mips | mipsel | riscv64 | x86_64) qemu=$1 ;;
i686) qemu=i386 ;;
*) fail 'which target? see openwrt/targets' ;;
esac
runner=$(command -v "qemu-$qemu-static") || fail "no qemu-$qemu-static: apt-get install qemu-user-static"
binary=$PWD/target/openwrt/$1/tega
[ -x "$binary" ] || fail "no $binary: openwrt/build.sh $1 makes it"
kind=$(file -b "$binary")
[[ $kind == *"statically linked"* ]] || fail "$binary is not static: $kind"
echo "$kind"

export TEGA_BIN=$binary TEGA_RUNNER=$runner
if [ -n "$smoke" ]; then
    cargo test --locked --test it -- server:: data:: elsewhere:: recovery::
else
    cargo test --locked --test it -- --test-threads "${TEST_THREADS:-2}" \
        --skip demo:: --skip migrate:: --skip layers:: --skip readme:: --skip crowd:: --skip weight:: --skip tui:: \
        --skip cli_live::a_script_of_the_original --skip cli_live::the_commands_of_the_original \
        --skip cli_live::the_names_and_options_of_the_original --skip cli_live::what_a_script_publishes \
        --skip uci_bridge::a_version_that_leaves_no_server
fi
