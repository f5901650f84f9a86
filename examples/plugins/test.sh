#!/bin/sh
# The example plugins alone, without a server: under dash with this machine's tools, and under busybox ash with busybox's
# alone. Needs dash, busybox, shellcheck and python3.
set -eu
cd "$(dirname "$0")"
shellcheck sysinfo dnsmasq-hosts test.sh
exec python3 test.py
