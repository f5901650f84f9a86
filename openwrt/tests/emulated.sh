# shellcheck shell=bash disable=SC2034 # who reads this file in has the variable
# Sets `emulator`: by what the program of a package runs in that root, which is a directory with a package installed. Empty
# where it runs by itself, or nothing makes it run.
find_emulator() { # root
    local name
    emulator=
    ! chroot "$1" /usr/bin/tega version > /dev/null 2>&1 || return 0
    for name in arm aarch64 mips mipsel; do
        command -v "qemu-$name-static" > /dev/null || continue
        cp "$(command -v "qemu-$name-static")" "$1/emulator"
        if chroot "$1" /emulator /usr/bin/tega version > /dev/null 2>&1; then
            emulator=/emulator
            return
        fi
    done
    rm -f "$1/emulator"
}
