#!/bin/sh
# What quantization methods cost: KL divergence of each recipe in each format, one line a file.
#   bench/methods.sh MODEL CALIBRATION TEXT [windows of 512 to calibrate on, windows of 1024 to evaluate]
# FORMATS and RECIPES (separated by spaces) choose other rows; LOWP the program. Needs a minute to an hour.
set -eu
[ $# -ge 3 ] || { sed -n 2,4p "$0"; exit 2; }
model=$1 calibration=$2 text=$3 n_calibration=${4:-32} n_text=${5:-8}
lowp=${LOWP:-build/lowp}
formats=${FORMATS:-"q4_0 q4_k iq4_xs mxfp4 q3_k q2_k"}
recipes=${RECIPES:-"rtn reference imatrix gptq gptq-search best"}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for format in $formats; do
    for recipe in $recipes; do
        case $recipe in
        rtn | reference) set -- ;;
        *) set -- --calibration "$calibration" --calibration-windows "$n_calibration" ;;
        esac
        "$lowp" quantize "$model" -o "$out/q.gguf" --format "$format" --recipe "$recipe" "$@" --threads 1 --force -q >/dev/null
        kl=$("$lowp" compare "$model" "$out/q.gguf" --text "$text" --context 1024 --windows "$n_text" --protocol llama.cpp \
            --threads 1 --json -q | sed -n 's/.*"kl_mean_nats": \([0-9.e-]*\).*/\1/p')
        printf '%-8s %-40s %s nats %s bytes\n' "$format" "$recipe" "$kl" "$(wc -c <"$out/q.gguf")"
    done
done
