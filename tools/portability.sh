#!/bin/sh
# Machines that lowp is not made for are refused by name: when the build is configured, and when the source is compiled without
# Meson. Needs gcc-i686-linux-gnu and gcc-s390x-linux-gnu.
set -eu
cd "$(dirname "$0")/.."
failed=0

# refused NAME COMPILER TEXT_OF_MESON TEXT_OF_THE_COMPILER
refused() {
    log=build-$1.log
    rm -rf "build-$1"
    if meson setup "build-$1" --cross-file "cross/$1.txt" >"$log" 2>&1 || ! grep -q "$3" "$log"; then
        tail -n 5 "$log" >&2
        echo "$1: not refused when it is configured" >&2
        failed=1
    fi
    rm -rf "build-$1"
    if printf '#include "base/half.h"\n' | "$2" -Isrc -fsyntax-only -x c - >"$log" 2>&1 || ! grep -q "$4" "$log"; then
        tail -n 5 "$log" >&2
        echo "$1: not refused when it is compiled" >&2
        failed=1
    fi
    [ $failed != 0 ] || echo "$1: refused"
}

refused s390x s390x-linux-gnu-gcc 'needs a little-endian machine: x86-64 or aarch64, not s390x' 'lowp needs a little-endian target'
refused i686 i686-linux-gnu-gcc 'needs a 64-bit machine, x86-64 or aarch64, not x86' 'lowp needs a 64-bit target'
exit $failed
