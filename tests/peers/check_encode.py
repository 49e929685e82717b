#!/usr/bin/env python3
"""Encoders against ggml: lp_encode_rows and ggml_quantize_chunk must give the same bytes.

Run by `make check-peers` (needs numpy and a llama_cpp package; not part of ./test). Exits 1 on any difference.
    check_encode.py [--library build/liblowp.so] [--ggml libggml-base.so] [--rounds N]

What is left out, and why:
- mxfp4 rows where an amax lies so close below a power of two that ggml's floorf(log2f(amax)) rounds up to the next
  exponent: the result depends on the C library. lowp reads the exponent's bits.
- values above 2^40 in nvfp4 (ggml's differences all round to the same and the first code wins) and in the types with code
  books (ggml ends the process when its sums overflow).
- iq3_s rows with 32 zeros in a row where a sub-block stands: ggml does not step over them and writes the codes of the
  next sub-block in their place, so that its file decodes to other values than were encoded. lowp leaves them 0.
- data below 2^-110 in the types of 32: 1/d overflows or d is a rounded subnormal, ggml converts what no integer holds
  and packs codes into each other's bits. Every f16 scale is 0 there, so the decoded values agree; lowp's least mxfp4
  exponent is 0, ggml's wraps around.
- where ggml stores an infinite or NaN scale, lp_encode_rows must refuse the row; it may also refuse values above 2^40,
  which no f16 scale reaches (ggml's iq4_nl silently stores zeros when its sums overflow).
- blocks that differ only in values of importance 0: where it is zero almost everywhere the best scale of a sub-block can
  be negative; ggml lets it wrap to the largest, lowp stores 0.
The package's libggml-base is compiled for plain x86-64, without fused operations; a build with them would differ.
"""
import argparse
import ctypes
import glob
import importlib.util
import os
import sys

import numpy as np

# name: (ggml id, values per block, bytes per block, offsets of f16 scales)
FORMATS = {
    "f16": (1, 1, 2, (0,)), "bf16": (30, 1, 2, ()),
    "q4_0": (2, 32, 18, (0,)), "q4_1": (3, 32, 20, (0, 2)), "q5_0": (6, 32, 22, (0,)), "q5_1": (7, 32, 24, (0, 2)),
    "q8_0": (8, 32, 34, (0,)), "q2_k": (10, 256, 84, (80, 82)), "q3_k": (11, 256, 110, (108,)),
    "q4_k": (12, 256, 144, (0, 2)), "q5_k": (13, 256, 176, (0, 2)), "q6_k": (14, 256, 210, (208,)),
    "iq4_nl": (20, 32, 18, (0,)), "mxfp4": (39, 32, 17, ()),
    "iq4_xs": (23, 256, 136, (0,)), "nvfp4": (40, 64, 36, ()), "tq1_0": (34, 256, 54, (52,)), "tq2_0": (35, 256, 66, (64,)),
    "q1_0": (41, 128, 18, (0,)), "q2_0": (42, 64, 18, (0,)), "iq3_s": (21, 256, 110, (0,)), "iq3_xxs": (18, 256, 98, (0,)),
    "iq2_s": (22, 256, 82, (0,)), "iq2_xs": (17, 256, 74, (0,)), "iq2_xxs": (16, 256, 66, (0,)), "iq1_m": (29, 256, 56, ()),
    "iq1_s": (19, 256, 50, (0,)),
}
SIMPLE = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "mxfp4", "tq1_0", "tq2_0", "q1_0", "q2_0")
NO_HUGE = ("nvfp4", "iq3_s", "iq3_xxs", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s")
NEED_IMPORTANCE = ("iq2_xs", "iq2_xxs", "iq1_s")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default=os.path.join(os.path.dirname(__file__), "../../build/liblowp.so"))
    parser.add_argument("--ggml", default=None)
    parser.add_argument("--formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--rounds", type=int, default=6)
    return parser.parse_args()


def load(options):
    path = options.ggml
    if path is None:
        folder = importlib.util.find_spec("llama_cpp").submodule_search_locations[0]
        path = glob.glob(os.path.join(folder, "lib", "libggml-base.so"))[0]
    ggml = ctypes.CDLL(path)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                         ctypes.c_int64, ctypes.c_void_p]
    lowp = ctypes.CDLL(options.library)
    lowp.lp_packing_by_name.restype = ctypes.c_void_p
    lowp.lp_packing_by_name.argtypes = [ctypes.c_char_p]
    lowp.lp_encode_rows.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                    ctypes.c_void_p, ctypes.c_void_p]
    lowp.lp_packing_decode.restype = None
    lowp.lp_packing_decode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
    lowp.lp_error.restype = ctypes.c_char_p
    return ggml, lowp


def data_sets(rng, n_rows, k):
    gauss = rng.standard_normal((n_rows, k))
    outlier = 0.02 * gauss
    outlier[np.arange(n_rows), rng.integers(0, k, n_rows)] = 50
    mixed = gauss * np.exp2(rng.integers(-12, 3, (n_rows, k)))
    zeros_inside = np.where(rng.random((n_rows, k)) < 0.7, 0, gauss)
    blocks_off = gauss * (rng.random((n_rows, k // 32)) < 0.5).repeat(32, axis=1)
    yield "gauss", 0.02 * gauss
    yield "heavy", 0.01 * rng.standard_cauchy((n_rows, k)).clip(-1e4, 1e4)
    yield "constant", np.full((n_rows, k), 0.37)
    yield "negative constant", np.full((n_rows, k), -1.25)
    yield "zeros", np.zeros((n_rows, k))
    yield "minus zeros", -np.zeros((n_rows, k))
    yield "negative", -np.abs(gauss)
    yield "positive", np.abs(gauss) + 0.5
    yield "outlier", outlier
    yield "mixed", mixed
    yield "sparse", zeros_inside
    yield "empty blocks", blocks_off
    yield "grid", rng.integers(-8, 8, (n_rows, k)) * 0.125
    yield "signs", np.sign(gauss) * 0.5
    for exponent in (-140, -128, -115, -100, -60, -50, -40, -24, -20, -14, 10, 13, 15, 16, 20, 60, 62, 64, 100, 124):
        yield "2^%d" % exponent, gauss * 2.0 ** exponent


def importances(rng, k):
    yield "none", None
    yield "uniform", np.ones(k)
    yield "spread", rng.random(k) ** 4 * 100
    yield "zeros inside", np.where(rng.random(k) < 0.6, 0, rng.random(k))
    yield "all zero", np.zeros(k)
    yield "zero blocks", rng.random(k) * (rng.random(k // 32) < 0.5).repeat(32)
    yield "tiny", rng.random(k) * 1e-30


def libm_exponent_differs(x):
    amax = np.abs(x).reshape(x.shape[0], -1, 32).max(axis=2)
    mantissa, _ = np.frexp(amax)
    return bool((mantissa > 1 - 2.0 ** -16).any())


def has_empty_sub_block(x):
    return bool((np.abs(x).reshape(-1, 32).max(axis=1) == 0).any())


def encode_both(ggml, lowp, name, x, w):
    gguf_id, n_values, n_bytes, _ = FORMATS[name]
    n_rows, k = x.shape
    size = n_rows * (k // n_values) * n_bytes
    theirs, ours = np.full(size, 0xAA, np.uint8), np.full(size, 0x55, np.uint8)
    pointer = None if w is None else w.ctypes.data
    ggml.ggml_quantize_chunk(gguf_id, x.ctypes.data, theirs.ctypes.data, 0, n_rows, k, pointer)
    status = lowp.lp_encode_rows(lowp.lp_packing_by_name(name.encode()), 0, x.ctypes.data, n_rows, k, pointer, ours.ctypes.data)
    return theirs.reshape(-1, n_bytes), ours.reshape(-1, n_bytes), status


def same_where_it_matters(lowp, name, block, w, a, b):
    n = FORMATS[name][1]
    values = np.zeros((2, n), np.float32)
    for row, codes in zip(values, (a, b)):
        lowp.lp_packing_decode(lowp.lp_packing_by_name(name.encode()), codes.ctypes.data, n, row.ctypes.data)
    first = 0 if w is None else block * n % len(w)
    matters = np.ones(n, bool) if w is None else w[first:first + n] != 0
    return np.array_equal(values[0][matters], values[1][matters])


def stored_infinite(name, blocks):
    exponents = [blocks[:, at + 1] & 0x7C for at in FORMATS[name][3]]
    if name == "iq1_m": # the half's nibbles are the top ones of four words
        return bool((((blocks[:, 55] & 0x70) | (blocks[:, 53] >> 4 & 0xC)) == 0x7C).any())
    if name == "bf16":
        word = blocks.copy().view(np.uint16)
        return bool(((word & 0x7F80) == 0x7F80).any())
    return any((e == 0x7C).any() for e in exponents)


def main():
    options = arguments()
    ggml, lowp = load(options)
    n_cases = n_refused = n_left_out = n_bad = 0
    for seed in range(options.rounds):
        rng = np.random.default_rng(seed)
        k = int(rng.choice([256, 512, 768, 1024, 2048]))
        n_rows = int(rng.integers(1, 20))
        for title, data in data_sets(rng, n_rows, k):
            with np.errstate(over="ignore", under="ignore"):
                x = np.ascontiguousarray(data, np.float32)
            if not np.isfinite(x).all():
                x = np.nan_to_num(x, posinf=3e38, neginf=-3e38)
            largest = float(np.abs(x).max())
            for importance, weights in importances(rng, k):
                w = None if weights is None else np.ascontiguousarray(weights, np.float32)
                for name in options.formats:
                    if name == "iq3_s" and has_empty_sub_block(x) or name in NO_HUGE and largest > 2.0 ** 40:
                        n_left_out += 1
                        continue
                    if name in SIMPLE and 0 < largest < 2.0 ** -110 or name == "mxfp4" and libm_exponent_differs(x):
                        n_left_out += 1
                        continue
                    if name in NEED_IMPORTANCE and w is None:
                        continue
                    theirs, ours, status = encode_both(ggml, lowp, name, x, w)
                    n_cases += 1
                    if stored_infinite(name, theirs):
                        n_refused += 1
                        if status != 3:
                            n_bad += 1
                            print("%s, %s, importance %s, %dx%d: infinite scale accepted" % (name, title, importance, n_rows, k))
                        continue
                    if status == 3 and largest > 2.0 ** 40:
                        n_refused += 1
                        continue
                    different = np.nonzero((theirs != ours).any(axis=1))[0]
                    different = different[[not same_where_it_matters(lowp, name, i, w, theirs[i], ours[i]) for i in different]]
                    if status != 0 or different.size:
                        n_bad += 1
                        what = lowp.lp_error().decode() if status else "%d of %d blocks differ, first %d\n  ggml %s\n  lowp %s" % (
                            different.size, len(ours), different[0], theirs[different[0]].tobytes().hex(), ours[different[0]].tobytes().hex())
                        print("%s, %s, importance %s, %dx%d: %s" % (name, title, importance, n_rows, k, what))
    print("check_encode: %d cases, %d refused as both must, %d left out, %d differ" % (n_cases, n_refused, n_left_out, n_bad))
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
