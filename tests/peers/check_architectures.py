"""Logits of every architecture beside other programs': random small models, six tokens, an f32 cache, all logits.

llama.cpp reads the GGUF file that the test writes, and the one that `lowp convert` makes of its folder, whole and in shards;
transformers, in float64, reads the folder. GELU is a table of f16 values in llama.cpp: gemma2, gemma3 and starcoder2 differ by
up to 7e-4 for that reason alone. Without torch the columns of transformers stay empty, and the check fails at the end.
"""
import glob, importlib.util, json, os, subprocess, sys, tempfile

import numpy as np

import llama_peer as peer

TESTS = os.path.join(os.path.dirname(peer.LOWP), "tests", "model")
LABELS = ["llama", "qwen2", "qwen3", "qwen3moe", "qwen2moe", "fused", "mixtral", "phi3", "gemma3", "gemma2", "olmo2", "stablelm", "stablelm2", "granite",
          "starcoder2", "mistral", "yarn"]
# What else config.json may say: a name, the architecture, members that change, and whether llama.cpp does the same.
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
VARIANTS = [
    ("llama3", "llama", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                          "original_max_position_embeddings": 16}}, True),
    ("linear", "qwen2", {"rope_scaling": {"type": "linear", "factor": 4.0}}, True),
    ("yarn-factor", "qwen3", {"rope_scaling": YARN | {"attention_factor": 1.5}}, True),
    ("gemma3-linear", "gemma3", {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}, True),
    ("gemma3-new", "gemma3", {"rope_theta": None, "rope_local_base_freq": None, "rope_scaling": None, "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5e5},
        "sliding_attention": {"rope_type": "default", "rope_theta": 2e4}}}, True),
    ("qwen2-windows", "qwen2", {"sliding_window": 3, "use_sliding_window": True, "max_window_layers": 1}, False),
    ("phi3-windows", "phi3", {"sliding_window": 3}, False),
    ("starcoder2-windows", "starcoder2", {"sliding_window": 3}, False),
    ("olmo3", "olmo2", {"architectures": ["Olmo3ForCausalLM"], "model_type": "olmo3", "sliding_window": 3, "rope_scaling": YARN,
                        "layer_types": ["sliding_attention", "full_attention"]}, True),
]
NOT_IN_LLAMA = ("mistral", "fused")  # no windows there; no gate and up in one tensor for qwen3moe
HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
TOLERANCE = 1e-3
tokens = [1, 7, 3, 31, 0, 12]


def ours(path):
    out = subprocess.run([os.path.join(TESTS, "test_architectures"), "--logits", path], check=True, capture_output=True).stdout
    return np.frombuffer(out, np.float32).reshape(len(tokens), -1)


def llama(path, label):
    model = peer.Model(path, 8 if label == "phi3" else 64)
    logits = model.decode(tokens, 0, "all").copy()
    model.close()
    return logits


def transformers(folder):
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager",
                                                 experts_implementation="eager")
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].numpy()


def difference(a, b):
    return np.abs(a - b).max() / np.abs(a).max()


def convert(source, target, *more):
    subprocess.run([peer.LOWP, "convert", source, "-o", target, "-q", *more], check=True, capture_output=True)


def compare(tmp, name, label, folder, with_llama, path):
    """One line; True if something is wrong. path: the file that the folder came from, or None."""
    back, split = os.path.join(tmp, name + "-back.gguf"), os.path.join(tmp, name + "-split.gguf")
    convert(folder, back)
    convert(folder, split, "--shard-size", "12K")
    shards = sorted(glob.glob(os.path.join(tmp, name + "-split-*.gguf")))
    want = ours(folder)
    line, bad = "", not np.array_equal(want, ours(path or back)) or len(shards) < 2
    if with_llama:
        theirs = llama(path or back, label)
        error = difference(want, theirs)
        same = np.array_equal(theirs, llama(back, label)) and np.array_equal(theirs, llama(shards[0], label))
        bad |= error > TOLERANCE or not same
        line += f"llama.cpp {error:.1e}, of the converted file and its {len(shards)} shards {'the same' if same else 'OTHERS'}; "
    if HAS_TORCH:
        error = difference(want, transformers(folder))
        bad |= error > TOLERANCE
        line += f"transformers {error:.1e}"
    print(f"{'FAILED' if bad else 'ok':8}{name}: {line}", flush=True)
    return bad


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as tmp:
        for label in LABELS:
            path, folder = os.path.join(tmp, label + ".gguf"), os.path.join(tmp, label)
            subprocess.run([os.path.join(TESTS, "test_architectures"), "--write", label, path], check=True)
            convert(path, folder)
            failed += compare(tmp, label, label, folder, label not in NOT_IN_LLAMA, path)
        for name, label, members, with_llama in VARIANTS:
            folder = os.path.join(tmp, name)
            convert(os.path.join(tmp, label + ".gguf"), folder)
            with open(os.path.join(folder, "config.json")) as f:
                config = json.load(f)
            config = {k: v for k, v in (config | members).items() if v is not None or k not in members}
            with open(os.path.join(folder, "config.json"), "w") as f:
                json.dump(config, f)
            failed += compare(tmp, name, label, folder, with_llama, None)
    if not HAS_TORCH:
        print("FAILED  torch or transformers is missing: nothing was compared with them")
    return failed > 0 or not HAS_TORCH


if __name__ == "__main__":
    sys.exit(main())
