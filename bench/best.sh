#!/bin/sh
# The best file of each size: formats chosen by measurement, written with error feedback, and what it loses. One line a size.
#   bench/best.sh MODEL CALIBRATION TEXT SIZE... [> table]        for example 18.04MB 4.5bpw
# Everything is fitted on CALIBRATION; KL divergence on TEXT: its first 32 windows of 1024 (WINDOWS: another number), second halves,
# with the default activations and with float ones; then 16 windows spread over TEXT's first half, with the standard error over them.
# CANDIDATES: own (default), gguf (files that llama.cpp runs), or a list. RECIPE: what writes the file. SENSITIVITIES: the file that
# keeps what was measured, so that a second size is quicker. KEEP: a folder for the files. LOWP: the program.
set -eu
[ $# -ge 4 ] || { sed -n 2,8p "$0"; exit 2; }
model=$1 calibration=$2 text=$3
shift 3
lowp=${LOWP:-build/lowp}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
keep=${KEEP:-$out}
sensitivities=${SENSITIVITIES:-$out/sensitivities.json}
head -c $(($(wc -c <"$text") / 2)) "$text" >"$out/half.txt"
field() { sed -n "s/.*\"$1\": \([0-9.e-]*\).*/\1/p"; }
compare() { "$lowp" compare "$model" "$file" --context 1024 --protocol llama.cpp --json -q "$@"; }
printf '%-10s %10s %10s %10s %10s %10s\n' size bytes KL KL-f32 KL-spread error
for size; do
    file=$keep/best-$size.gguf
    "$lowp" quantize "$model" -o "$file" --force -q --size "$size" --candidates "${CANDIDATES:-own}" --calibration "$calibration" \
        --recipe "${RECIPE:-best}" --sensitivity-recipe reference --sensitivities "$sensitivities" --sensitivity-windows 4 \
        --sensitivity-rounds "${ROUNDS:-0}" >"$file.txt"
    usual=$(compare --text "$text" --windows "${WINDOWS:-32}" | field kl_mean_nats)
    float=$(compare --text "$text" --windows "${WINDOWS:-32}" --activations f32 | field kl_mean_nats)
    compare --text "$out/half.txt" --windows 16 --spread >"$out/spread.json"
    printf '%-10s %10s %10.6f %10.6f %10.6f %10.6f\n' "$size" "$(wc -c <"$file")" "$usual" "$float" \
        "$(field kl_mean_nats <"$out/spread.json")" "$(field kl_window_error_nats <"$out/spread.json")"
done
