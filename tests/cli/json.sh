#!/bin/sh
# --json: one strict object with the documented names, whatever is in the file.
. "$(dirname "$0")/tap.sh"

# object SCHEMA NAMES -- COMMAND
object() {
    schema=$1
    names=
    shift
    while [ "$1" != -- ]; do names="$names $1"; shift; done
    shift
    exits 0 "$@" || return 1
    # shellcheck disable=SC2086
    python3 "$tests/strict_json.py" "$schema" $names <"$folder/out"
}

check "info" object lowp.info/1 architecture n_parameters n_bytes bits_per_weight file_bits_per_weight tensors.0.name tensors.0.shape tensors.0.format tensors.0.n_bytes -- lowp info embedded --json --tensors
check "formats" object lowp.formats/1 formats.0.name formats.0.text formats.0.bits_per_value -- lowp formats --json
check "help" object lowp.help/1 verbs.0.name verbs.0.options.0.name -- lowp help --json
check "one format" object lowp.formats/1 formats.0.bits_per_value -- lowp formats e4m3 --json
check "quantize" object lowp.quantize/1 n_bytes bits_per_weight file_bits_per_weight seconds peak_bytes sha256 tensors.0.name tensors.0.format tensors.0.error tensors.0.fallback -- lowp quantize embedded -o a.gguf --format q4_0 --json
small="--candidates q4_k,q5_k --recipe rtn --sensitivity-windows 1 --sensitivity-context 32 --sensitivity-rounds 0"
check "quantize --size" object lowp.quantize/1 n_bytes sha256 allocation.objective allocation.lower_bound allocation.optimal allocation.kl_nats tensors.0.format -- lowp quantize embedded -o size.gguf --size 4.9bpw $small --json
check "a file of a size has the same bytes with any number of threads, and is within 0.1 % below it" sh -c "lowp quantize embedded -o size3.gguf --size 4.9bpw $small --threads 3 -q >/dev/null && cmp size.gguf size3.gguf && test \$(stat -c %s size.gguf) -le 2570422 && test \$(stat -c %s size.gguf) -ge 2567852"
check "quantize --dry-run" object lowp.quantize/1 n_bytes bits_per_weight -- lowp quantize embedded -o b.gguf --format q4_0 --json --dry-run
check "a dry run writes nothing" test ! -e b.gguf
check "calibrate" object lowp.calibrate/1 n_tokens -- lowp calibrate embedded --text embedded-calibration -o s.gguf --windows 1 --context 64 --json
check "eval" object lowp.eval/1 cross_entropy_nats perplexity n_predictions logits_sha256 -- lowp eval embedded --text embedded --windows 1 --context 64 --hash --json
check "compare" object lowp.compare/1 kl_mean_nats kl_p99_nats kl_p999_nats kl_max_nats top1_agreement cross_entropy_nats reference_cross_entropy_nats -- lowp compare embedded a.gguf --text embedded --windows 1 --context 64 --json
check "run" object lowp.run/1 text tokens finish prefill_tokens_per_second decode_tokens_per_second -- lowp run embedded -p 'The old' -n 3 --json
check "run without a new token has no speed, and no NaN" object lowp.run/1 decode_tokens_per_second -- lowp run embedded -p 'The old' -n 0 --json
check "tokenize" object lowp.tokenize/1 ids -- sh -c 'echo Hello | lowp tokenize embedded --json'
check "tokenize of nothing" object lowp.tokenize/1 ids -- sh -c 'lowp tokenize embedded --json </dev/null'
check "bytes that are no UTF-8 become U+FFFD" object lowp.tokenize/1 text -- sh -c 'printf "\377\300\200\355\240\200abc\001\"" | lowp tokenize embedded | lowp tokenize embedded --ids --json'
check "verify" object lowp.verify/1 ok problems -- lowp verify a.gguf --json
check "a file name with quotes and control characters" object lowp.info/1 file -- sh -c 'name=$(printf "q\"\\\\\001.gguf"); cp a.gguf "$name"; lowp info "$name" --json'
printf 'GGUX and more' >wrong.gguf
wrong_file() {
    exits 3 lowp verify wrong.gguf --json && python3 "$tests/strict_json.py" lowp.verify/1 ok problems.0 <"$folder/out"
}
check "verify of what cannot be parsed is an object too" wrong_file
check "every float that is printed reads back as itself" sh -c 'lowp eval embedded --text embedded --windows 1 --context 64 --json >one; lowp eval embedded --text embedded --windows 1 --context 64 --json >two; grep cross_entropy one | cmp - /dev/stdin <<END
$(grep cross_entropy two)
END'
finish
