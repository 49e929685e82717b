# Read by ./demo and ./test: makes sure that build tools are there, or says the one line to type.

# A header is there if the preprocessor finds it.
has_header() {
    printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <setjmp.h>\n#include <%s>\n' "$1" |
        ${CC:-cc} -E -x c - >/dev/null 2>&1
}

# need TOOL:PACKAGE ...   A TOOL that ends with .h is a header. PACKAGE is Debian's and Ubuntu's name.
need() {
    missing=
    for pair; do
        tool=${pair%%:*}
        case $tool in
        *.h) has_header "$tool" ;;
        *) command -v "$tool" >/dev/null 2>&1 ;;
        esac || missing="$missing ${pair#*:}"
    done
    [ -n "$missing" ] || return 0
    if command -v apt-get >/dev/null 2>&1; then
        install="apt-get install -y --no-install-recommends$missing"
        if [ "$(id -u)" = 0 ]; then
            apt=
        elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            apt=sudo
        else
            echo "Some tools are missing. Type this, then start again:" >&2
            echo "  sudo $install" >&2
            exit 4
        fi
        echo "Installing:$missing"
        # shellcheck disable=SC2086
        { $apt env DEBIAN_FRONTEND=noninteractive $install >/dev/null 2>&1 ||
            { $apt apt-get update >/dev/null && $apt env DEBIAN_FRONTEND=noninteractive $install >/dev/null; }; } || {
            echo "The installation failed. Type this, then start again:" >&2
            echo "  sudo $install" >&2
            exit 4
        }
    else
        echo "Some tools are missing. Install what your system calls:$missing" >&2
        exit 4
    fi
}
