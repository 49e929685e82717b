"""Decode and prefill beside llama.cpp: same file, same threads, runs alternate in the same minutes, medians.

bench/llama.py [--runs N] [--threads 1,2] FILE.gguf ...      (build/peers/bin/python: `make check-peers` makes it)
"""
import argparse, os, statistics, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "peers"))
import llama_peer as peer


def llama(path, n_threads, n_prompt, n_generate):
    m = peer.Model(path, n_prompt + n_generate, n_threads, f32_cache=False, n_batch=max(n_prompt, 1))
    tokens = [(7919 * i + 13) % m.n_vocab for i in range(n_prompt + n_generate)]
    m.decode(tokens[:n_prompt], 0, "last")
    m.clear()
    start = time.perf_counter()
    m.decode(tokens[:n_prompt], 0, "last")
    middle = time.perf_counter()
    for i in range(n_generate):
        m.decode(tokens[n_prompt + i:n_prompt + i + 1], n_prompt + i, "last")
    end = time.perf_counter()
    m.close()
    return n_prompt / (middle - start), n_generate / (end - middle)


def ours(path, n_threads, n_prompt, n_generate):
    j = peer.lowp("bench", "model", path, "--threads", n_threads, "-p", n_prompt, "-n", n_generate, "--repeat", 1)
    rows = {r["name"]: r for r in j["rows"]}
    return rows["prefill"]["tokens_per_second"], rows["decode"]["tokens_per_second"], rows["decode"]["fraction_bandwidth"], rows["prefill"]["fraction_peak"]


a = argparse.ArgumentParser()
a.add_argument("--runs", type=int, default=5)
a.add_argument("--threads", default="1,2")
a.add_argument("--prompt", type=int, default=512)
a.add_argument("--generate", type=int, default=64)
a.add_argument("files", nargs="+")
o = a.parse_args()
cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
print(f"{cpu}; prefill of {o.prompt}, decode of {o.generate} tokens, medians of {o.runs} alternating runs, tokens/s")
print(f"{'file':36} threads  prefill lowp  llama.cpp  ratio   decode lowp  llama.cpp  ratio  (decode/read probe, prefill/int8 peak)")
for path in o.files:
    for n in map(int, o.threads.split(",")):
        a, b = [], []
        for _ in range(o.runs):
            a.append(ours(path, n, o.prompt, o.generate))
            b.append(llama(path, n, o.prompt, o.generate))
        med = lambda rows, i: statistics.median(r[i] for r in rows)
        ratio = lambda i: statistics.median(x[i] / y[i] for x, y in zip(a, b))
        print(f"{os.path.basename(path)[-36:]:36} {n:7} {med(a, 0):13.1f} {med(b, 0):10.1f} {ratio(0):6.2f} {med(a, 1):13.1f} {med(b, 1):10.1f} {ratio(1):6.2f}  ({med(a, 2):.2f}, {med(a, 3):.2f})", flush=True)
