#!/bin/sh
# Runs packed fuzzers (tests/fuzz/pack) on many cores. Stands beside them.
#   ./fuzz_all.sh TARGET RUNS [CORES]   RUNS executions of one target, spread over the cores
#   ./fuzz_all.sh all RUNS [CORES]      of each target, one after the other
# What is found is written to found/TARGET/ (crash-*, timeout-*, oom-*), logs to work/TARGET/, the grown corpus, minimised by
# coverage, to merged/corpus-TARGET/. The last line per target tells the executions that were done and the findings; the exit
# status is 1 if there is one.
set -u
cd "$(dirname "$0")" || exit 2
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
target=$1
runs=$2
cores=${3:-$(nproc)}
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=1:detect_leaks=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:abort_on_error=1:print_stacktrace=1}

if [ "$target" = all ]; then
    status=0
    for program in ./fuzz_*; do
        case $program in *.sh) continue ;; esac
        "$0" "${program#./fuzz_}" "$runs" "$cores" || status=1
    done
    exit $status
fi
[ -x "./fuzz_$target" ] || { echo "no fuzzer ./fuzz_$target" >&2; exit 2; }

mkdir -p "work/$target/corpus" "found/$target" "merged/corpus-$target" "corpus-$target"
each=$(((runs + cores - 1) / cores))
start=$(date +%s)
i=0
while [ $i -lt "$cores" ]; do
    # A finding ends a worker; it starts again until its share is done, at most 20 times.
    (
        left=$each
        try=0
        while [ "$left" -gt 0 ] && [ $try -lt 20 ]; do
            log=work/$target/log-$i-$try
            "./fuzz_$target" -runs="$left" -seed=$((1 + i + 1000 * try + start % 100000)) -max_len=65536 -timeout=25 -rss_limit_mb=2048 \
                -print_final_stats=1 -artifact_prefix="found/$target/" "work/$target/corpus" "corpus-$target" >"$log" 2>&1
            done_now=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
            [ -n "$done_now" ] || done_now=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$log" | tail -n 1)
            left=$((left - ${done_now:-0}))
            try=$((try + 1))
            [ "${done_now:-0}" -gt 0 ] || break
        done
        echo $((each - left)) >"work/$target/done-$i"
    ) &
    i=$((i + 1))
done
wait
total=$(cat work/"$target"/done-* | awk '{ n += $1 } END { printf "%d", n }')
findings=$(find "found/$target" -type f | wc -l)
seconds=$(($(date +%s) - start))
"./fuzz_$target" -set_cover_merge=1 -timeout=25 "merged/corpus-$target" "corpus-$target" "work/$target/corpus" >"work/$target/log-merge" 2>&1 ||
    echo "$target: the corpus could not be merged, see work/$target/log-merge" >&2
echo "$target: $total executions in $seconds s ($((total / (seconds > 0 ? seconds : 1))) per second on $cores cores), $findings findings, corpus of $(find "merged/corpus-$target" -type f | wc -l) files"
[ "$findings" = 0 ]
