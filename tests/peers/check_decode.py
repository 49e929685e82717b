"""Decoding compared bit for bit with the gguf package and, where it is found, with libggml.

usage: python check_decode.py [liblowp.so]     needs numpy and gguf; libggml comes with llama_cpp
Every built packing decodes random blocks, infinite and NaN scales included (NaNs compare equal). Left out: MXFP4 blocks
with scale code 255, which mean NaN to OCP and lowp, 2^128 to the peers. Exit status 1 on any difference.
"""
import ctypes
import os
import pathlib
import sys

import numpy
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

N_BLOCKS = 4096


class Packing(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("text", ctypes.c_char_p), ("gguf_id", ctypes.c_uint32),
                ("file_type", ctypes.c_int32), ("n_values", ctypes.c_int), ("n_bytes", ctypes.c_int),
                ("is_float", ctypes.c_bool), ("can_decode", ctypes.c_bool), ("can_encode", ctypes.c_bool)]


TO_FLOAT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class GgmlTraits(ctypes.Structure):
    _fields_ = [("type_name", ctypes.c_char_p), ("blck_size", ctypes.c_int64), ("blck_size_interleave", ctypes.c_int64),
                ("type_size", ctypes.c_size_t), ("is_quantized", ctypes.c_bool), ("to_float", TO_FLOAT),
                ("from_float_ref", ctypes.c_void_p)]


def load_lowp(path):
    lowp = ctypes.CDLL(path)
    lowp.lp_packing_at.restype = ctypes.POINTER(Packing)
    lowp.lp_packing_at.argtypes = [ctypes.c_int]
    lowp.lp_packing_decode.restype = None
    lowp.lp_packing_decode.argtypes = [ctypes.POINTER(Packing), ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
    return lowp


def load_ggml():
    try:
        import importlib.util
        spec = importlib.util.find_spec("llama_cpp")
        folder = pathlib.Path(spec.submodule_search_locations[0]) / "lib"
        ggml = ctypes.CDLL(str(folder / "libggml-base.so"))
    except (AttributeError, OSError):
        return None
    ggml.ggml_get_type_traits.restype = ctypes.POINTER(GgmlTraits)
    ggml.ggml_get_type_traits.argtypes = [ctypes.c_int]
    return ggml


def n_different(ours, theirs):
    same_bits = ours.view(numpy.uint32) == theirs.view(numpy.uint32)
    return int((~(same_bits | (numpy.isnan(ours) & numpy.isnan(theirs)))).sum())


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    lowp = load_lowp(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else root / "build" / "liblowp.so"))
    ggml = load_ggml()
    if ggml is None:
        print("libggml not found: compared with the gguf package alone")
    random = numpy.random.default_rng(7)
    n_checks = n_bad = 0
    for index in range(lowp.lp_packing_count()):
        pointer = lowp.lp_packing_at(index)
        packing = pointer.contents
        name = packing.name.decode()
        traits = ggml.ggml_get_type_traits(packing.gguf_id).contents if ggml else None
        if traits and (traits.blck_size, traits.type_size) != (packing.n_values, packing.n_bytes):
            print(f"{name}: {packing.n_values} values in {packing.n_bytes} bytes; ggml: {traits.blck_size} in {traits.type_size}")
            n_bad += 1
        if not packing.can_decode:
            continue
        data = random.integers(0, 256, (N_BLOCKS, packing.n_bytes), dtype=numpy.uint8)
        if name == "mxfp4":
            data[:, 0] = random.integers(0, 255, N_BLOCKS, dtype=numpy.uint8)
        n_values = N_BLOCKS * packing.n_values
        ours = numpy.empty(n_values, numpy.float32)
        lowp.lp_packing_decode(pointer, data.ctypes.data, n_values, ours.ctypes.data)
        results = {}
        try:
            with numpy.errstate(all="ignore"):
                flat = data.reshape(-1)
                results["gguf"] = dequantize(flat, GGMLQuantizationType(packing.gguf_id)).astype(numpy.float32).reshape(-1)
        except (NotImplementedError, ValueError): # ValueError: a type that this version of gguf does not know
            pass
        if traits and traits.to_float:
            theirs = numpy.empty(n_values, numpy.float32)
            traits.to_float(data.ctypes.data, theirs.ctypes.data, n_values)
            results["ggml"] = theirs
        for peer, theirs in results.items():
            bad = n_different(ours, theirs)
            n_checks += 1
            n_bad += bad != 0
            print(f"{name}: {n_values} values, {bad} differ from {peer}")
    print(f"{n_checks} comparisons, {n_bad} with differences")
    return 1 if n_bad or not n_checks else 0


if __name__ == "__main__":
    sys.exit(main())
