#!/bin/sh
# Outputs appear whole or not at all, and nothing that is no regular file is ever replaced.
. "$(dirname "$0")/tap.sh"

echo precious >keep.gguf
check "an output that exists is refused" errs 2 "keep.gguf" lowp quantize embedded -o keep.gguf --format q8_0
check "and stays as it was" grep -q precious keep.gguf
check "--force replaces it" sh -c 'lowp quantize embedded -o keep.gguf --format q8_0 --force -q >/dev/null && lowp verify keep.gguf -q'
check "calibrate refuses an output that exists, before it works" errs 2 "keep.gguf" lowp calibrate embedded --text /nonexistent -o keep.gguf
check "output and input may be one file" sh -c 'lowp quantize keep.gguf -o keep.gguf --format q4_0 --force -q >/dev/null && lowp info keep.gguf --json | grep -q "\"q4_0\""'
check "quantizing quantized weights warns" sh -c 'lowp quantize keep.gguf -o again.gguf --format q4_1 2>&1 >/dev/null | grep -q "already quantized"'

echo old >target.gguf
ln -s target.gguf link.gguf
check "a symbolic link as output stays, its target is replaced" sh -c 'lowp quantize embedded -o link.gguf --format q8_0 --force -q >/dev/null && test -L link.gguf && lowp verify target.gguf -q'
mkfifo pipe
check "a pipe as output is refused, with --force too" errs 2 "pipe" lowp quantize embedded -o pipe --format q8_0 --force
check "and stays a pipe" test -p pipe
check "a device as output is refused" errs 2 "/dev/null" lowp quantize embedded -o /dev/null --format q8_0 --force
mkdir dir.gguf
check "a folder as output is refused" errs 2 "dir.gguf" lowp quantize embedded -o dir.gguf --format q8_0 --force
check "a folder that does not exist is named" errs 3 "no/such" lowp quantize embedded -o no/such/out.gguf --format q8_0

check "stdout that cannot be written is exit 4" errs 4 "stdout cannot be written" sh -c 'lowp info embedded --json >/dev/full'
check "stdout that is closed is exit 4" errs 4 "stdout cannot be written" sh -c 'lowp info embedded >&-'
check "with stdout closed, nothing of the results gets into the output file" sh -c 'lowp quantize embedded -o closed.gguf --format q8_0 >&- 2>/dev/null; lowp verify closed.gguf'
check "a closed pipe is no error" sh -c '{ lowp formats -v; echo $? >code; } 2>errors | head -n 1 >/dev/null; test "$(cat code)" = 0 && test ! -s errors'
check "run into a closed pipe ends quietly" sh -c '{ lowp run embedded -p a -n 500 -q; echo $? >code; } 2>errors | head -c 1 >/dev/null; test "$(cat code)" = 0 && test ! -s errors'

check "Ctrl-C during quantize is exit 130 and leaves no temporary file" python3 "$tests/interrupt.py" SIGINT .out.gguf.lowp-tmp 130 lowp quantize embedded -o out.gguf --format q3_k --force --threads 1
check "SIGTERM likewise" python3 "$tests/interrupt.py" SIGTERM .out.gguf.lowp-tmp 130 lowp quantize embedded -o out.gguf --format q3_k --force --threads 1
check "no output appeared that is not whole" sh -c 'test ! -e out.gguf || lowp verify out.gguf'
killed() {
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        rm -f killed.gguf
        python3 - "$i" <<'END' || return 1
import subprocess, sys, time
p = subprocess.Popen("exec lowp quantize embedded -o killed.gguf --format q4_k --force", shell=True, stdout=subprocess.DEVNULL)
time.sleep(0.02 * int(sys.argv[1]))
p.kill()
p.wait()
END
        [ ! -e killed.gguf ] || lowp verify killed.gguf || return 1
    done
}
check "20 times SIGKILL leave no torn output" killed
check "the same command then works, and takes the temporary file away" sh -c 'lowp quantize embedded -o killed.gguf --format q4_k --force -q >/dev/null && lowp verify killed.gguf && test -z "$(find . -name "*killed*lowp-tmp*")"'
check "the same command gives the same bytes" sh -c 'lowp quantize embedded -o a.gguf --format q4_k --threads 1 -q >/dev/null && lowp quantize embedded -o b.gguf --format q4_k --threads 3 -q >/dev/null && cmp a.gguf b.gguf'
check "no temporary file is left" no_leftovers
finish
