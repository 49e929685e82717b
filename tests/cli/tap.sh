# Read by the tests of the program: TAP output, a private folder, and words for what is expected.
# LOWP is the program under test.
LOWP=${LOWP:?the program under test}
tests=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
mkdir "$folder/bin" "$folder/work"
ln -s "$LOWP" "$folder/bin/lowp"
PATH=$folder/bin:$PATH
cd "$folder/work" || exit 1
number=0
bad=0

# check "sentence" COMMAND...: one test; what the command printed is shown if it fails.
check() {
    sentence=$1
    shift
    number=$((number + 1))
    if "$@" >"$folder/check.log" 2>&1; then
        echo "ok $number - $sentence"
    else
        echo "not ok $number - $sentence"
        head -n 30 "$folder/check.log" | sed 's/^/# /'
        bad=1
    fi
}

# exits CODE COMMAND...: its stdout and stderr stay in ../out and ../err
exits() {
    wanted=$1
    shift
    "$@" >"$folder/out" 2>"$folder/err"
    code=$?
    [ "$code" = "$wanted" ] && return 0
    echo "exit $code, wanted $wanted: $*"
    cat "$folder/err"
    return 1
}

# errs CODE TEXT COMMAND...: exit code, and a text on stderr, which begins with "lowp: "
errs() {
    wanted=$1 text=$2
    shift 2
    exits "$wanted" "$@" || return 1
    head -n 1 "$folder/err" | grep -q '^lowp: ' || { echo "stderr does not begin with 'lowp: '"; cat "$folder/err"; return 1; }
    grep -q -F -e "$text" "$folder/err" || { echo "stderr lacks '$text'"; cat "$folder/err"; return 1; }
}

# needs TOOL "sentence" COMMAND...: check, left out where the tool is not installed
needs() {
    if command -v "$1" >/dev/null 2>&1; then
        shift
        check "$@"
    else
        number=$((number + 1))
        echo "ok $number - $2 # SKIP $1 is not installed"
    fi
}

# no temporary files here, whatever their name
no_leftovers() {
    left=$(find . -name '*lowp-tmp*')
    [ -z "$left" ] || { echo "left: $left"; return 1; }
}

finish() {
    echo "1..$number"
    exit $bad
}
