#!/bin/sh
# What users and scripts rely on: exit codes, suggestions, numbers checked with their range.
. "$(dirname "$0")/tap.sh"

check "without a verb: help on stderr, exit 2" errs 2 "a verb is missing" sh -c 'lowp 2>&1 >/dev/null | tail -n 1 >&2; lowp >/dev/null 2>&1'
check "--version and --help are results" sh -c 'lowp --version | grep -q "^lowp [0-9]" && lowp --help | grep -q quantize && lowp help eval | grep -q "lowp eval"'
check "an unknown verb suggests the nearest" errs 2 "quantize" lowp quantise embedded
check "an unknown verb far from all names the list" errs 2 "lowp --help" lowp frobnicate
check "an unknown option suggests the nearest" errs 2 "--context" lowp eval embedded --text embedded --contxt 5
check "an unknown short option is refused" errs 2 "-z" lowp info embedded -z
check "an option of another verb is unknown" errs 2 "--format" lowp eval embedded --format q4_k
check "an integer out of range names option and range" errs 2 "--context: '-5' is not an integer from 2 to" lowp eval embedded --text embedded --context -5
check "--context 0 is out of range" errs 2 "--context" lowp eval embedded --text embedded --context 0
check "a number with text behind it is refused" errs 2 "--threads" lowp info embedded --threads 2x
check "an integer does not overflow" errs 2 "--windows" lowp eval embedded --text embedded --windows 99999999999999999999
check "an empty number is refused" errs 2 "--threads" lowp info embedded --threads=
check "a real out of range names the range" errs 2 "--top-p: '1.5' is not a number from 0 to 1" lowp run embedded -p a --top-p 1.5
check "NaN is no number" errs 2 "--temperature" lowp run embedded -p a --temperature nan
check "hexadecimal is no number" errs 2 "--temperature" lowp run embedded -p a --temperature 0x1
check "a choice lists its values" errs 2 "windows, llama.cpp" lowp eval embedded --text embedded --protocol perplexity
check "a value that is missing is named" errs 2 "--text" lowp eval embedded --text
check "a flag takes no value" errs 2 "--json" lowp info embedded --json=1
check "too few arguments show the usage" errs 2 "usage: lowp compare REFERENCE MODEL" lowp compare embedded
check "too many arguments are named" errs 2 "another" lowp info embedded another
check "an unknown format suggests the nearest" errs 2 "did you mean q4_k" lowp quantize embedded -o x.gguf --format q4_kk
check "an unknown format lists those that can be written" errs 2 "q8_0" lowp quantize embedded -o x.gguf --format nonsense
check "a format that no file can hold is refused by name" errs 2 "it has no scale" lowp quantize embedded -o x.gguf --format nf4
check "a rule without a format is refused" errs 2 "GLOB=FORMAT" lowp quantize embedded -o x.gguf --format q8_0 --tensor blk.0
check "a rule that matches nothing is refused" errs 2 "nothing.like.this" lowp quantize embedded -o x.gguf --format q8_0 --tensor 'nothing.like.this=q4_0'
check "a size that is none is refused" errs 2 "is no size" lowp quantize embedded -o x.gguf --size 4.5bits
check "a size and a format exclude each other" errs 2 "exclude" lowp quantize embedded -o x.gguf --size 4.5bpw --format q4_k
check "a size below the smallest file is refused" errs 2 "the smallest that these formats give has" lowp quantize embedded -o x.gguf --size 1MB --recipe rtn --candidates q4_k --sensitivity-windows 1 --sensitivity-context 16
check "quantize without -o is refused" errs 2 "-o" lowp quantize embedded --format q8_0
check "eval without --text says what to type" errs 2 "embedded" lowp eval embedded
check "a missing file is bad input and is named" errs 3 "/nonexistent.gguf" lowp info /nonexistent.gguf
check "a missing text is bad input and is named" errs 3 "/nonexistent.txt" lowp eval embedded --text /nonexistent.txt
check "a folder is no file" errs 3 "work" lowp info "$folder/work"
check "a context above the model's is a usage error" errs 2 "1024" lowp eval embedded --text embedded --context 4096
printf 'too short' >short.txt
check "a text below one window is bad input" errs 3 "3 tokens" lowp eval embedded --text short.txt
check "an unknown instruction set is a usage error" errs 2 "sse9" lowp info embedded --isa sse9
check "an instruction set of another machine is unsupported" errs 5 "" sh -c 'case $(uname -m) in aarch64) other=avx2 ;; *) other=neon ;; esac; lowp info embedded --isa $other'
check "LOWP_ISA is checked like --isa" errs 2 "sse9" env LOWP_ISA=sse9 lowp info embedded
check "options may stand before and after operands" exits 0 lowp info --json embedded --threads=1
check "-- ends the options" errs 3 "./--json" lowp info -- ./--json
check "short options may be joined" exits 0 lowp info -qv embedded
check "an id that is no token is bad input" errs 3 "99999999" sh -c 'echo 5 99999999 | lowp tokenize embedded --ids'
check "text where ids are expected is bad input" errs 3 "hello" sh -c 'echo 5 hello | lowp tokenize embedded --ids'
check "verify: a sound model is exit 0" exits 0 lowp verify embedded
printf 'GGUX and more' >wrong.gguf
check "verify: what cannot be parsed is exit 3" errs 3 "wrong.gguf" lowp verify wrong.gguf
check "no output was written by anything refused" sh -c 'test ! -e x.gguf'
check "no temporary file is left" no_leftovers
finish
