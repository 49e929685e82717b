#!/usr/bin/env python3
"""Mixtures against llama.cpp: `lowp quantize --format q4_k_m` and llama_model_quantize must choose the same type for every
tensor. Run by `make check-peers` (needs numpy, gguf and llama_cpp). Exits 1 on any difference.
    check_mixtures.py [MODEL.gguf] [--lowp build/lowp] [--only NAME]

One-dimensional tensors, which both keep in F32, count as well. The file type must be the same.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import gguf
import llama_cpp

FTYPES = {"q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17, "q2_k_m": 10,
          "iq3_m": 27, "iq3_xs": 22}


def types(path):
    reader = gguf.GGUFReader(path)
    file_type = reader.fields["general.file_type"].parts[-1][0]
    return int(file_type), {t.name: (t.tensor_type.name, bytes(t.data)) for t in reader.tensors}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=os.path.join(os.path.dirname(__file__), "../../models/books-4m-f16.gguf"))
    parser.add_argument("--lowp", default=os.path.join(os.path.dirname(__file__), "../../build/lowp"))
    parser.add_argument("--only")
    options = parser.parse_args()
    n_bad = n_tensors = n_same_bytes = 0
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "ours.gguf"), os.path.join(folder, "theirs.gguf")
        for name, ftype in FTYPES.items():
            if options.only and name != options.only:
                continue
            done = subprocess.run([options.lowp, "quantize", options.model, "-o", ours, "--format", name, "--force", "-q"],
                                  capture_output=True, text=True)
            if done.returncode:
                n_bad += 1
                print("%s: %s" % (name, done.stderr.strip()))
                continue
            params = llama_cpp.llama_model_quantize_default_params()
            params.ftype, params.nthread = ftype, 2
            status = llama_cpp.llama_model_quantize(options.model.encode(), theirs.encode(), params)
            if status:
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
    print("check_mixtures: %d tensors, %d with equal bytes, %d differences" % (n_tensors, n_same_bytes, n_bad))
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
