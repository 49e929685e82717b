#!/bin/sh
# The man page and the completions hold every verb and option, and work.
. "$(dirname "$0")/tap.sh"

lowp help --json >tables.json
lowp help --man >lowp.1
for shell in bash zsh fish; do lowp help --completion $shell >lowp.$shell; done
for form in lowp.1 lowp.bash lowp.zsh lowp.fish; do
    check "$form has every verb with just its options" python3 "$tests/check_tables.py" tables.json $form
done

finds_nothing() {
    "$@" >found 2>&1 && [ ! -s found ] || { cat found; return 1; }
}
needs mandoc "mandoc -T lint finds nothing in the man page" finds_nothing mandoc -T lint lowp.1
needs man "man warns of nothing" finds_nothing sh -c 'man --warnings -E UTF-8 -l -Tutf8 -Z lowp.1 2>&1 >/dev/null'
for shell in bash zsh fish; do
    needs $shell "$shell can read its completion" finds_nothing $shell -n lowp.$shell
done

# completes "WORDS" WANTED...: what bash offers for the last word of the line
cat >complete.bash <<'END'
source ./lowp.bash
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_lowp
printf '%s\n' "${COMPREPLY[@]}"
END
completes() {
    wanted=$1
    shift
    offered=$(bash complete.bash "$@" | tr '\n' ' ')
    [ "$offered" = "$wanted " ] || { echo "offered: $offered"; return 1; }
}
touch 'a file.gguf'
needs bash "bash: a verb" completes "quantize" lowp q
needs bash "bash: what stands in place of a verb" completes "--version" lowp --v
needs bash "bash: an option" completes "--format --force" lowp quantize embedded --fo
needs bash "bash: an option of another verb is not offered" completes "" lowp eval --form
needs bash "bash: a format" completes "q4_k q4_k_s q4_k_m" lowp quantize --format q4_k
needs bash "bash: a value behind =, which bash cuts off" completes "windows" lowp eval --protocol = w
needs bash "bash: a value behind = that is not begun" completes "windows llama.cpp" lowp eval --protocol =
needs bash "bash: a file, its name with a space" completes "a file.gguf" lowp info "a f"
needs bash "bash: the model inside the program" completes "embedded" lowp run emb
needs bash "bash: nothing for a number" completes "" lowp run -n ""
needs bash "bash: the verbs behind help" completes "compare convert" lowp help co
needs bash "bash: nothing, and no error, for an unknown verb's option" completes "" lowp nosuch --f
fish_offers() {
    offered=$(fish -c "source lowp.fish; complete -C '$2'" | cut -f 1 | sort | tr '\n' ' ')
    [ "$offered" = "$1 " ] || { echo "offered: $offered"; return 1; }
}
needs fish "fish: a verb" fish_offers "quantize" "lowp q"
needs fish "fish: an option of this verb" fish_offers "--force --format" "lowp quantize --fo"
needs fish "fish: a value" fish_offers "llama.cpp windows" "lowp eval --protocol "

check "help VERB is VERB --help" sh -c 'lowp help eval >one && lowp eval --help | cmp - one'
check "help of an unknown verb suggests the nearest" errs 2 "did you mean 'quantize'" lowp help quantise
check "an unknown shell is refused with the list" errs 2 "bash, zsh, fish" lowp help --completion tcsh
finish
