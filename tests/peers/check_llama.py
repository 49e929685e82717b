"""Cross-entropies beside llama.cpp's: SmolLM2 as it is and expanded to F32, and files that either program wrote.

check_llama.py [SOURCE.gguf]: SOURCE is a float model to quantize with both; default: the embedded one's file.
"""
import os, sys, tempfile

import llama_peer as peer

TEXT = os.path.join(peer.ROOT, "models", "test.txt")
SOURCE = sys.argv[1] if len(sys.argv) > 1 else os.path.join(peer.ROOT, "models", "books-4m-f16.gguf")
FORMATS = ["q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "iq4_nl", "q3_k", "q2_k"]
failed = 0


def check(what, ours, theirs, tolerance):
    global failed
    difference = abs(ours - theirs) / theirs
    ok = difference <= tolerance
    failed += not ok
    print(f"{'ok' if ok else 'FAILED':8}{what}: lowp {ours:.7f}, llama.cpp {theirs:.7f}, difference {difference:.1e} (at most {tolerance:g})", flush=True)


with tempfile.TemporaryDirectory() as tmp:
    n_ctx, n_windows = 512, 4
    smol, f32 = peer.smollm2(), os.path.join(tmp, "smol-f32.gguf")
    peer.quantize(smol, f32, "f32")
    model = peer.Model(f32, n_ctx)
    ids = peer.lowp("tokenize", smol, stdin=open(TEXT, "rb").read())["ids"]
    theirs = model.cross_entropy(ids, n_ctx, n_windows)
    model.close()
    args = ("--text", TEXT, "--context", n_ctx, "--windows", n_windows)
    check("SmolLM2, f32 activations", peer.lowp("eval", smol, *args, "--activations", "f32")["cross_entropy_nats"], theirs, 1e-4)
    check("SmolLM2, default activations", peer.lowp("eval", smol, *args)["cross_entropy_nats"], theirs, 5e-3)
    os.unlink(f32)

    ids = peer.lowp("tokenize", SOURCE, stdin=open(TEXT, "rb").read())["ids"]
    for fmt in FORMATS:
        ours, other = os.path.join(tmp, "ours.gguf"), os.path.join(tmp, "theirs.gguf")
        peer.lowp("quantize", SOURCE, "-o", ours, "--format", fmt, "--force")
        peer.quantize(SOURCE, other, fmt)
        values = []
        for path in (ours, other):
            model = peer.Model(path, n_ctx)
            values.append(model.cross_entropy(ids, n_ctx, n_windows))
            model.close()
        check(f"{fmt}: our file and theirs, run by llama.cpp", values[0], values[1], 1e-3)
        a = peer.lowp("eval", ours, *args)["cross_entropy_nats"]
        b = peer.lowp("eval", other, *args)["cross_entropy_nats"]
        check(f"{fmt}: our file and theirs, run by lowp", a, b, 1e-3)
sys.exit(failed > 0)
