#!/usr/bin/env python3
"""Where other programs' casts differ from exact rounding, and that lowp's do not.

For every format and mode all float16 numbers and random float32 numbers are rounded by `lowp cast` and by each peer that is
installed (ml_dtypes, Pychop, torch, gfloat). Every number on which any two differ, and a sample of the others, is rounded
by exact fractions in this file; lowp must agree with that everywhere (else the check fails), peers are listed.

    tests/peers/check_round.py [path of lowp]
"""
import random
import struct
import subprocess
import sys
from fractions import Fraction

import numpy as np

LOWP = sys.argv[1] if len(sys.argv) > 1 else "build/lowp"


def module(name):
    try:
        return __import__(name)
    except ImportError:
        return None


ml_dtypes, pychop, torch, gfloat = (module(name) for name in ("ml_dtypes", "pychop", "torch", "gfloat"))

# name: exponent bits, mantissa bits, bias, largest value, has infinity
FORMATS = {"f16": (5, 10, 15, 65504, True), "bf16": (8, 7, 127, (2 - 2 ** -7) * 2.0 ** 127, True),
           "e5m2": (5, 2, 15, 57344, True), "e4m3": (4, 3, 7, 448, False), "e4m3fnuz": (4, 3, 8, 240, False),
           "e5m2fnuz": (5, 2, 16, 57344, False), "e3m2": (3, 2, 3, 28, False), "e2m3": (2, 3, 1, 7.5, False),
           "e2m1": (2, 1, 1, 6, False)}
FINITE_ONLY = {"e3m2", "e2m3", "e2m1"}


def exact(name, mode, x):
    """x rounded by fractions; beyond the largest value infinity, NaN where there is none, the end where there is neither."""
    _, m, bias, most, has_infinity = FORMATS[name]
    if x != x:
        return x
    beyond = most if name in FINITE_ONLY else float("inf") if has_infinity else float("nan")
    if x in (float("inf"), float("-inf")):
        return float(np.copysign(beyond, x))
    a = Fraction(abs(float(x)))
    if a == 0:
        return float(x)
    e = a.numerator.bit_length() - a.denominator.bit_length()
    e -= Fraction(2) ** e > a
    step = Fraction(2) ** (max(e, 1 - bias) - m)
    k, rest = divmod(a / step, 1)
    k = int(k)
    up = {"nearest-even": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and k % 2 == 1),
          "nearest-away": rest >= Fraction(1, 2), "nearest-zero": rest > Fraction(1, 2), "toward-zero": False,
          "up": rest > 0 and x > 0, "down": rest > 0 and x < 0, "odd": rest > 0 and k % 2 == 0}[mode]
    y = (k + up) * step
    if y > Fraction(most):
        stops = mode in ("toward-zero", "odd") or mode == ("up" if x < 0 else "down")
        return float(np.copysign(most if stops else beyond, x))
    return float(np.copysign(float(y), x))


def lowp(name, mode, x):
    overflow = "saturate" if name in FINITE_ONLY else "infinity"
    p = subprocess.run([LOWP, "cast", "--format", name, "--rounding", mode, "--overflow", overflow], input=x.tobytes(),
                       capture_output=True, check=True)
    return np.frombuffer(p.stdout, np.float32)


def differs(a, b):
    return ~((a == b) | (np.isnan(a) & np.isnan(b)))


def inputs():
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    r = random.Random(1)
    bits = np.array([r.getrandbits(32) for _ in range(20000)], np.uint32).view(np.float32)
    near = halves[np.isfinite(halves)][:40000].view(np.uint32)
    near = (near + np.array([r.randrange(3) - 1 for _ in near], np.int64)).astype(np.uint32).view(np.float32)
    return np.concatenate([halves, bits, near])


def peers():
    """(peer, format, mode, function of a float32 array)"""
    if ml_dtypes:
        for name, kind in (("bf16", "bfloat16"), ("e4m3", "float8_e4m3fn"), ("e5m2", "float8_e5m2"), ("e4m3fnuz", "float8_e4m3fnuz"),
                           ("e5m2fnuz", "float8_e5m2fnuz"), ("e3m2", "float6_e3m2fn"), ("e2m3", "float6_e2m3fn"),
                           ("e2m1", "float4_e2m1fn")):
            if hasattr(ml_dtypes, kind):
                yield "ml_dtypes", name, "nearest-even", lambda x, t=getattr(ml_dtypes, kind): x.astype(t).astype(np.float32)
    if torch:
        for name, kind in (("f16", "float16"), ("bf16", "bfloat16"), ("e4m3", "float8_e4m3fn"), ("e5m2", "float8_e5m2"),
                           ("e4m3fnuz", "float8_e4m3fnuz"), ("e5m2fnuz", "float8_e5m2fnuz")):
            if hasattr(torch, kind):
                yield "torch", name, "nearest-even", lambda x, t=getattr(torch, kind): torch.tensor(x).to(t).to(torch.float32).numpy()
    if pychop:
        pychop.backend("numpy")
        modes = {"nearest-even": 1, "up": 2, "down": 3, "toward-zero": 4}
        for name in ("f16", "bf16", "e5m2"):
            for mode, number in modes.items():
                e, m = FORMATS[name][:2]
                chop = pychop.Chop(exp_bits=e, sig_bits=m, rmode=number)
                yield "Pychop", name, mode, lambda x, c=chop: np.asarray(c(x.copy()), np.float32)
    if gfloat:
        from gfloat import formats as known
        for name, kind in (("e4m3", "format_info_ocp_e4m3"), ("e5m2", "format_info_ocp_e5m2"), ("e2m1", "format_info_ocp_e2m1")):
            info = getattr(known, kind)
            yield "gfloat", name, "nearest-even", lambda x, f=info: gfloat.round_ndarray(f, x.astype(np.float64)).astype(np.float32)


def main():
    x = inputs()
    np.seterr(all="ignore")
    wrong, sample = 0, random.Random(2).sample(range(len(x)), 1500)
    ours = {}
    for name in FORMATS:
        for mode in ("nearest-even", "nearest-away", "nearest-zero", "toward-zero", "up", "down", "odd"):
            y = ours[name, mode] = lowp(name, mode, x)
            bad = [i for i in sample if differs(np.float32(exact(name, mode, x[i])), y[i])]
            wrong += len(bad)
            for i in bad[:3]:
                print(f"not ok: lowp {name} {mode}: {x[i]!r} gives {y[i]!r}, exact {exact(name, mode, x[i])!r}")
    print(f"lowp: {len(ours)} formats and modes, {len(sample)} numbers each, {wrong} differ from exact fractions")
    seen = set()
    for peer, name, mode, cast in peers():
        seen.add(peer)
        try:
            y = cast(x)
        except Exception as e:  # a peer that lacks a format says so in its own way
            print(f"{peer:9} {name:9} {mode:13} fails: {type(e).__name__}: {str(e)[:80]}")
            continue
        where = np.nonzero(differs(y, ours[name, mode]))[0]
        for i in where[:400]:
            if differs(np.float32(exact(name, mode, x[i])), ours[name, mode][i]):
                wrong += 1
                print(f"not ok: lowp {name} {mode}: {x[i]!r}")
        examples = "; ".join(f"{x[i]:.9g} -> {y[i]:.9g}, exact {ours[name, mode][i]:.9g}" for i in where[:3])
        print(f"{peer:9} {name:9} {mode:13} {len(where):6} of {len(x)} differ{'  ' + examples if examples else ''}")
    for name in ("ml_dtypes", "Pychop", "torch", "gfloat"):
        if name not in seen:
            print(f"{name}: not installed, left out")
    print(f"{'not ok' if wrong else 'ok'}: lowp agrees with exact rounding wherever a peer does not")
    return wrong != 0


sys.exit(main())
