"""Logits of every architecture beside llama.cpp's: random small models, six tokens, an f32 cache, all logits.

GELU is a table of f16 values in the peer: gemma2, gemma3 and starcoder2 differ by up to 7e-4 for that reason alone.
"""
import json, os, subprocess, sys, tempfile

import numpy as np

import llama_peer as peer

TEST = os.path.join(os.path.dirname(peer.LOWP), "tests", "model", "test_architectures")
LABELS = ["qwen2", "qwen3", "qwen3moe", "mixtral", "phi3", "gemma3", "gemma2", "olmo2", "stablelm", "stablelm2", "granite", "starcoder2", "yarn"]
tokens = [1, 7, 3, 31, 0, 12]
failed = 0

with tempfile.TemporaryDirectory() as tmp:
    for label in LABELS:
        path = os.path.join(tmp, label + ".gguf")
        subprocess.run([TEST, "--write", label, path], check=True)
        out = subprocess.run([TEST, "--logits", path], check=True, capture_output=True).stdout
        ours = np.frombuffer(out, np.float32).reshape(len(tokens), -1)
        model = peer.Model(path, 8 if label == "phi3" else 64)
        theirs = model.decode(tokens, 0, "all").copy()
        model.close()
        error = np.abs(ours - theirs).max() / np.abs(theirs).max()
        tolerance = 1e-3
        ok = error <= tolerance
        failed += not ok
        print(f"{'ok' if ok else 'FAILED':8}{label}: largest difference {error:.1e} of the largest logit (at most {tolerance:g})", flush=True)
sys.exit(failed > 0)
