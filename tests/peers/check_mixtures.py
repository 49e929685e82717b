#!/usr/bin/env python3
"""Mixtures against llama.cpp: `lowp quantize --format q4_k_m` and llama_model_quantize must choose the same type for every
tensor, and files of both programs, made with the same importance, must be equally good: llama.cpp's perplexity of windows of a
text equal to 1 %. Run by `make check-peers` (needs numpy, gguf and llama_cpp). Exits 1 on any difference.
    check_mixtures.py [MODEL.gguf] [--only NAME|quality] [--text TEXT] [--calibration TEXT] [--windows N]

One-dimensional tensors, which both keep in F32, count as well. The file type must be the same.
"""
import argparse
import ctypes
import os
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np

import llama_peer as peer

FTYPES = {"q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17, "q2_k_m": 10,
          "iq3_m": 27, "iq3_xs": 22}


def types(path):
    reader = gguf.GGUFReader(path)
    file_type = reader.fields["general.file_type"].parts[-1][0]
    return int(file_type), {t.name: (t.tensor_type.name, bytes(t.data)) for t in reader.tensors}


def quantize_theirs(source, target, ftype, importance=None):
    """importance: {weight: mean squares of its inputs}. The status of llama.cpp."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = ftype, 2
    if importance:
        data = (llama_cpp.llama_model_imatrix_data * (len(importance) + 1))()  # ends with an empty name
        for entry, (name, values) in zip(data, importance.items()):
            entry.name, entry.size = name.encode(), values.size
            entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        params.imatrix = data
    return llama_cpp.llama_model_quantize(source.encode(), target.encode(), params)


def read_importance(path):
    tensors = {t.name: np.array(t.data, np.float32) for t in gguf.GGUFReader(path).tensors}
    weights = sorted(name[:-8] for name in tensors if name.endswith(".in_sum2"))
    return {w: np.ascontiguousarray((tensors[w + ".in_sum2"] / tensors[w + ".counts"].reshape(-1, 1)).reshape(-1)) for w in weights}


def perplexity(path, text, n_windows):
    model = peer.Model(path, 512)
    ids = model.tokenize(text)
    value = float(np.exp(model.cross_entropy(ids, 512, n_windows)))
    model.close()
    return value


def compare_quality(options, folder):
    """How many of the mixtures with importance differ by more than 1 %."""
    n_bad = 0
    stats, ours, theirs = (os.path.join(folder, name) for name in ("stats.gguf", "ours.gguf", "theirs.gguf"))
    subprocess.run([peer.LOWP, "calibrate", options.model, "--text", options.calibration, "--windows", "32", "-o", stats, "-q"],
                   check=True, capture_output=True)
    importance = read_importance(stats)
    with open(options.text, "rb") as f:
        text = f.read(64 * 512 * max(options.windows, 1) // 8)
    whole = perplexity(options.model, text, options.windows)
    print("%s, %d windows: perplexity %.4f by llama.cpp" % (os.path.basename(options.model), options.windows, whole))
    for name in ("q4_k_m", "iq3_m"):
        subprocess.run([peer.LOWP, "quantize", options.model, "-o", ours, "--format", name, "--stats", stats, "--force", "-q"],
                       check=True, capture_output=True)
        if quantize_theirs(options.model, theirs, FTYPES[name], importance):
            sys.exit("%s: llama.cpp refuses it" % name)
        a, b = perplexity(ours, text, options.windows), perplexity(theirs, text, options.windows)
        (_, x), (_, y) = types(ours), types(theirs)
        other_types, same_bytes = sum(x[t][0] != y[t][0] for t in x), sum(x[t] == y[t] for t in x)
        bad = abs(a / b - 1) > 0.01 or other_types > 0
        n_bad += bad
        print("%s: by lowp %.4f (%+.2f %%), by llama.cpp %.4f (%+.2f %%): %.2f %% apart, %d of %d tensors equal%s" %
              (name, a, 100 * (a / whole - 1), b, 100 * (b / whole - 1), 100 * (a / b - 1), same_bytes, len(x),
               ", TOO FAR" if bad else ""))
    return n_bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    models = os.path.join(peer.ROOT, "models")
    parser.add_argument("model", nargs="?", default=os.path.join(models, "books-4m-f16.gguf"))
    parser.add_argument("--only")
    parser.add_argument("--text", default=os.path.join(models, "test.txt"))
    parser.add_argument("--calibration", default=os.path.join(models, "calibration.txt"))
    parser.add_argument("--windows", type=int, default=8)
    options = parser.parse_args()
    n_bad = n_tensors = n_same_bytes = 0
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "ours.gguf"), os.path.join(folder, "theirs.gguf")
        for name, ftype in FTYPES.items():
            if options.only and name != options.only: # "quality" is none of them
                continue
            done = subprocess.run([peer.LOWP, "quantize", options.model, "-o", ours, "--format", name, "--force", "-q"],
                                  capture_output=True, text=True)
            if done.returncode:
                n_bad += 1
                print("%s: %s" % (name, done.stderr.strip()))
                continue
            if quantize_theirs(options.model, theirs, ftype):
                print("%s: llama.cpp refuses it" % name)
                continue
            (our_type, our), (their_type, their) = types(ours), types(theirs)
            if our_type != their_type or our.keys() != their.keys():
                n_bad += 1
                print("%s: file types %d and %d, or other tensors" % (name, our_type, their_type))
            for tensor in our:
                n_tensors += 1
                if our[tensor][0] != their[tensor][0]:
                    n_bad += 1
                    print("%s: %s: lowp %s, llama.cpp %s" % (name, tensor, our[tensor][0], their[tensor][0]))
                n_same_bytes += our[tensor] == their[tensor]
        if options.only in (None, "quality"):
            n_bad += compare_quality(options, folder)
    print("check_mixtures: %d tensors, %d with equal bytes, %d differences" % (n_tensors, n_same_bytes, n_bad))
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
