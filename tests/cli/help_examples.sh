#!/bin/sh
# Every example of every --help runs as it is printed, in an empty folder, in the order of the text.
. "$(dirname "$0")/tap.sh"

verbs=$(lowp --help | sed -n '/^Verbs/,/^$/s/^  \([a-z]*\) .*/\1/p')
check "--help lists the verbs" grep -q "info.*quantize.*bench" <<END
$(echo $verbs)
END
for verb in $verbs; do
    mkdir "$folder/$verb"
    cd "$folder/$verb" || exit 1
    lowp "$verb" --help | sed -n '/^Examples/,$s/^  //p' >"$folder/examples"
    check "$verb --help has an example" grep -q "lowp $verb" "$folder/examples"
    while IFS= read -r line; do
        check "$line" sh -c "$line </dev/null"
    done <"$folder/examples"
    check "$verb --help fits 80 columns" sh -c "lowp $verb --help | grep -v '^  .*lowp ' | awk 'length > 80 { print; bad = 1 } END { exit bad }'"
done
finish
