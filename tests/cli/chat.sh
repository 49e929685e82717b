#!/bin/sh
# run --chat: a message by -p, on stdin, a conversation on a terminal; the template decides what is a special token.
. "$(dirname "$0")/tap.sh"

printf '{{ messages[-1].content }}' >plain.jinja
printf '{%% for m in messages %%}[{{ m.role }}]{{ m.content }}{%% endfor %%}' >roles.jinja
printf '{{ eos_token }}{{ messages[-1].content }}' >special.jinja
printf 'a\n{%% foo %%}' >wrong.jinja
printf '{{ raise_exception("only one message, please") }}' >refuses.jinja

# number_of NAME COMMAND...: a field of the JSON that the command prints
number_of() {
    name=$1
    shift
    "$@" | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$name"
}
# same NAME COMMAND COMMAND: both print the same for a field
same() {
    name=$1 one=$2 two=$3
    a=$(number_of "$name" sh -c "$one") && b=$(number_of "$name" sh -c "$two") && [ -n "$a" ] && [ "$a" = "$b" ] ||
        { echo "$one: $a"; echo "$two: $b"; return 1; }
}
options="-n 8 --temperature 0 --json"

check "a message by -p is what the template prints" same tokens \
    "lowp run embedded --chat --chat-template plain.jinja -p 'The old house' $options" "lowp run embedded -p 'The old house' $options"
check "--chat-template implies --chat" same tokens \
    "lowp run embedded --chat-template roles.jinja -p 'The old house' $options" "lowp run embedded -p '[user]The old house' $options"
check "a message on stdin" same tokens \
    "printf 'The old house' | lowp run embedded --chat-template roles.jinja $options" "lowp run embedded -p '[user]The old house' $options"
check "--system comes first" same tokens \
    "lowp run embedded --chat-template roles.jinja --system 'Be old.' -p 'Who?' $options" "lowp run embedded -p '[system]Be old.[user]Who?' $options"
special='<|endoftext|>'
count() { number_of n_prompt_tokens lowp run embedded "$@" -n 0 --json; }
special_is_one() { [ "$(count --chat-template special.jinja -p x)" = 2 ]; }
check "a special token of the template is one token" special_is_one
special_stays_text() {
    text=$(count -p "x$special") chat=$(count --chat-template plain.jinja -p "x$special") system=$(count --chat-template roles.jinja --system "$special" -p x)
    echo "$text $chat $system"
    [ "$text" -gt 5 ] && [ "$chat" = "$text" ] && [ "$system" -gt 10 ]
}
check "its text in what a user or --system says stays text" special_stays_text
check "--dry-run counts the tokens of the rendered text" same n_prompt_tokens \
    "lowp run embedded --chat-template roles.jinja -p Who --dry-run --json" "lowp run embedded -p '[user]Who' --dry-run --json"

if python3 -c 'import pty; pty.openpty()' 2>/dev/null; then # containers without /dev/pts have no terminals
    check "a conversation on a terminal gives what the whole text gives" python3 "$tests/converse.py" roles.jinja
fi
check "a model without a template says how to give one" errs 5 "--chat-template" lowp run embedded --chat -p a
check "--system without --chat is refused" errs 2 "--system has a meaning with --chat only" lowp run embedded --system a -p b
check "a template that is wrong names line and column" errs 3 "line 2, column 4" lowp run embedded --chat-template wrong.jinja -p a
check "a template that refuses is quoted" errs 3 "only one message, please" lowp run embedded --chat-template refuses.jinja -p a
check "a template that is missing is named" errs 3 "nosuch.jinja" lowp run embedded --chat-template nosuch.jinja -p a
finish
