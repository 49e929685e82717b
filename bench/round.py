#!/usr/bin/env python3
"""Nanoseconds per float32 number of rounding, encoding and decoding: lowp beside memcpy and the casts of ml_dtypes, torch and Pychop, where installed.

    bench/round.py [--threads N] [--quick]        after `make`, with a python that has numpy (build/peers/bin/python)

Medians of interleaved runs on 4 K (L1), 1 M (L3) and 16 M numbers; lowp through the library by ctypes.
"""
import argparse
import ctypes
import os
import statistics
import time

import numpy as np

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--threads", type=int, default=1)
arguments.add_argument("--quick", action="store_true", help="without 16 M numbers, three runs")
options = arguments.parse_args()

library = ctypes.CDLL("build/liblowp.so")
library.lp_error.restype = ctypes.c_char_p


class Rounding(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_int), ("overflow", ctypes.c_int), ("subnormals", ctypes.c_int), ("random_bits", ctypes.c_int),
                ("seed", ctypes.c_uint64), ("tensor", ctypes.c_uint32), ("step", ctypes.c_uint32), ("first", ctypes.c_uint64)]


def ok(status):
    if status:
        raise SystemExit(library.lp_error().decode())


pool = ctypes.c_void_p()
ok(library.lp_pool_create(options.threads, ctypes.byref(pool)))
EVEN, STOCHASTIC = 0, 9


def lowp(name, mode):
    made = ctypes.c_void_p()
    ok(library.lp_format_parse(name.encode(), ctypes.byref(made)))  # a format begins with its element
    rule = Rounding(mode=mode)

    def run(x, y):
        ok(library.lp_round_f32(made, ctypes.byref(rule), ctypes.c_void_p(x.ctypes.data), ctypes.c_int64(x.size),
                                ctypes.c_void_p(y.ctypes.data), pool))
    return run


def packed(name, decodes):
    """To the packed codes of an element, or back."""
    made = ctypes.c_void_p()
    ok(library.lp_format_parse(name.encode(), ctypes.byref(made)))
    rule = Rounding(mode=EVEN)
    codes = {}

    def run(x, y):
        pointer = [ctypes.c_void_p(a.ctypes.data) for a in (x, y)]
        if x.size not in codes:
            codes[x.size] = np.zeros(4 * x.size, np.uint8)
            ok(library.lp_round_codes_f32(made, ctypes.byref(rule), pointer[0], ctypes.c_int64(x.size),
                                          ctypes.c_void_p(codes[x.size].ctypes.data), pool))
        between = ctypes.c_void_p(codes[x.size].ctypes.data)
        if decodes:
            ok(library.lp_codes_values_f32(made, between, ctypes.c_int64(x.size), pointer[1], pool))
        else:
            ok(library.lp_round_codes_f32(made, ctypes.byref(rule), pointer[0], ctypes.c_int64(x.size), between, pool))
    return run


def layout(name):
    """A byte layout of GGUF to float32; its bytes are drawn at random, scales and all."""
    library.lp_packing_by_name.restype = ctypes.c_void_p
    made = ctypes.c_void_p(library.lp_packing_by_name(name.encode()))
    codes = {}

    def run(x, y):
        if x.size not in codes:
            codes[x.size] = np.random.default_rng(2).integers(0, 64, 4 * x.size, np.uint8)
        library.lp_packing_decode(made, ctypes.c_void_p(codes[x.size].ctypes.data), ctypes.c_int64(x.size),
                                  ctypes.c_void_p(y.ctypes.data))
    return run


def rows():
    yield "memcpy", lambda x, y: ctypes.memmove(y.ctypes.data, x.ctypes.data, x.nbytes), 16
    for name in ("e4m3", "e5m2", "e3m2", "e2m1", "f16", "bf16", "i8", "q3.4", "p8.0", "p16.1", "nf4"):
        yield f"lowp {name}", lowp(name, EVEN), 16
    for name in ("e4m3", "f16", "bf16", "i8"):
        yield f"lowp {name} stochastic", lowp(name, STOCHASTIC), 16
    for name in ("e4m3", "e2m1", "e2m3", "f16", "bf16", "i8", "i4", "p16.1", "nf4"):
        yield f"lowp {name} encode", packed(name, False), 16
        yield f"lowp {name} decode", packed(name, True), 16
    for name in ("q4_0", "q8_0", "q4_k", "q6_k", "iq4_xs", "mxfp4", "nvfp4", "tq1_0"):
        yield f"lowp {name} decode", layout(name), 16
    try:
        import ml_dtypes
        for kind in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
            yield f"ml_dtypes {kind}", lambda x, y, t=getattr(ml_dtypes, kind): x.astype(t).astype(np.float32), 1
    except ImportError:
        print("ml_dtypes is not installed")
    try:
        import torch
        torch.set_num_threads(options.threads)
        for kind in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"):
            yield f"torch {kind}", lambda x, y, t=getattr(torch, kind): torch.from_numpy(x).to(t).to(torch.float32), 1
    except ImportError:
        print("torch is not installed")
    try:
        import pychop
        pychop.backend("numpy")
        for name, e, m in (("f16", 5, 10), ("e5m2", 5, 2)):
            yield f"Pychop {name}", lambda x, y, c=pychop.Chop(exp_bits=e, sig_bits=m, rmode=1): c(x), 1
    except ImportError:
        print("Pychop is not installed")


def main():
    np.seterr(all="ignore")
    sizes = [4096, 1 << 20] + ([] if options.quick else [16 << 20])
    n_runs = 3 if options.quick else 9
    table = [(name, run, most) for name, run, most in rows()]
    result = {}
    for n in sizes:
        x = np.random.default_rng(1).standard_normal(n).astype(np.float32)
        y = np.zeros_like(x)
        for _ in range(n_runs):
            for name, run, most in table:
                if n > most << 20:
                    continue
                repeats = max(1, (1 << 19) // n) if most > 1 else 1
                start = time.perf_counter()
                for _ in range(repeats):
                    run(x, y)
                result.setdefault((name, n), []).append((time.perf_counter() - start) / repeats / n * 1e9)
    print(f"{'ns per number, ' + str(options.threads) + ' thread(s)':28}" + "".join(f"{n:>12,}" for n in sizes))
    for name, _, _ in table:
        print(f"{name:28}" + "".join(f"{statistics.median(result[name, n]):12.3f}" if (name, n) in result else " " * 12 for n in sizes))


main()
