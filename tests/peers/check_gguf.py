#!/usr/bin/env python3
"""Checks GGUF files against the `gguf` package (PyPI): each side reads what the other writes.

    check_gguf.py [liblowp.so [model.gguf ...]]

The library is build/liblowp.so unless told otherwise, the model the embedded one. Needs numpy and gguf. Prints one line
per check and exits 1 if one fails.
"""
import ctypes as C
import os
import sys
import tempfile

import gguf
import numpy as np


class String(C.Structure):
    _fields_ = [("data", C.POINTER(C.c_char)), ("n", C.c_size_t)]


class Key(C.Structure):
    _fields_ = [("key", String), ("type", C.c_int), ("element", C.c_int), ("n_elements", C.c_uint64),
                ("raw", C.c_void_p), ("n_raw", C.c_size_t)]


class Tensor(C.Structure):
    _fields_ = [("name", C.c_char_p), ("n_dims", C.c_int), ("dim", C.c_int64 * 4), ("packing", C.c_void_p),
                ("data", C.c_void_p), ("n_bytes", C.c_size_t), ("offset", C.c_uint64)]


def load(path):
    lib = C.CDLL(path)
    lib.lp_error.restype = C.c_char_p
    lib.lp_gguf_key_count.restype = lib.lp_gguf_tensor_count.restype = C.c_int64
    lib.lp_gguf_key_at.restype = C.POINTER(Key)
    lib.lp_gguf_tensor_at.restype = C.POINTER(Tensor)
    lib.lp_gguf_warning.restype = C.c_char_p
    for name in ("lp_gguf_key_count", "lp_gguf_tensor_count", "lp_gguf_close"):
        getattr(lib, name).argtypes = [C.c_void_p]
    for name in ("lp_gguf_key_at", "lp_gguf_tensor_at"):
        getattr(lib, name).argtypes = [C.c_void_p, C.c_int64]
    lib.lp_gguf_warning.argtypes = [C.c_void_p, C.c_int]
    lib.lp_gguf_writer_create.argtypes = [C.c_char_p, C.c_bool, C.c_void_p]
    lib.lp_gguf_writer_copy_key.argtypes = [C.c_void_p, C.c_void_p]
    lib.lp_gguf_writer_add_tensor.argtypes = [C.c_void_p, C.c_char_p, C.c_int, C.c_void_p, C.c_void_p]
    lib.lp_gguf_writer_begin_data.argtypes = [C.c_void_p]
    lib.lp_gguf_writer_write.argtypes = [C.c_void_p, C.c_void_p, C.c_size_t]
    lib.lp_gguf_writer_finish.argtypes = [C.c_void_p, C.c_char_p]
    lib.lp_stats_read_memory.argtypes = [C.c_char_p, C.c_size_t, C.c_char_p, C.c_void_p]
    lib.lp_stats_write.argtypes = [C.c_void_p, C.c_char_p, C.c_bool]
    lib.lp_stats_mean_square.argtypes = [C.c_void_p, C.c_char_p, C.POINTER(C.c_int64)]
    lib.lp_stats_mean_square.restype = C.POINTER(C.c_float)
    return lib


lib = None


def ok(status):
    if status != 0:
        raise RuntimeError(lib.lp_error().decode())


def lowp_copy(source, target):
    """Reads with lowp and writes with lowp."""
    handle = C.c_void_p()
    writer = C.c_void_p()
    ok(lib.lp_gguf_open(source.encode(), C.byref(handle)))
    if lib.lp_gguf_warning(handle, 0):
        raise RuntimeError(lib.lp_gguf_warning(handle, 0).decode())
    ok(lib.lp_gguf_writer_create(target.encode(), True, C.byref(writer)))
    for i in range(lib.lp_gguf_key_count(handle)):
        ok(lib.lp_gguf_writer_copy_key(writer, lib.lp_gguf_key_at(handle, i)))
    tensors = [lib.lp_gguf_tensor_at(handle, i).contents for i in range(lib.lp_gguf_tensor_count(handle))]
    for t in tensors:
        ok(lib.lp_gguf_writer_add_tensor(writer, t.name, t.n_dims, t.dim, t.packing))
    ok(lib.lp_gguf_writer_begin_data(writer))
    for t in tensors:
        ok(lib.lp_gguf_writer_write(writer, t.data, t.n_bytes))
    ok(lib.lp_gguf_writer_finish(writer, None))
    lib.lp_gguf_close(handle)


def same_content(a, b):
    """Two files hold the same keys and tensors in the eyes of the gguf package."""
    a, b = gguf.GGUFReader(a), gguf.GGUFReader(b)
    keys = [k for k in a.fields if k != "GGUF.version"]
    assert keys == [k for k in b.fields if k != "GGUF.version"]
    for k in keys:
        assert a.fields[k].types == b.fields[k].types, k
        assert repr(a.fields[k].contents()) == repr(b.fields[k].contents()), k
    assert len(a.tensors) == len(b.tensors)
    for s, t in zip(a.tensors, b.tensors):
        assert (s.name, list(s.shape), s.tensor_type) == (t.name, list(t.shape), t.tensor_type)
        assert np.array_equal(s.data.view(np.uint8), t.data.view(np.uint8)), s.name


def peer_file(path, alignment):
    w = gguf.GGUFWriter(path, "toy")
    if alignment:
        w.add_custom_alignment(alignment)
    w.add_uint8("t.u8", 255)
    w.add_int8("t.i8", -1)
    w.add_uint16("t.u16", 65535)
    w.add_int16("t.i16", -2)
    w.add_uint32("t.u32", 2**32 - 1)
    w.add_int32("t.i32", -3)
    w.add_float32("t.f32", 0.25)
    w.add_bool("t.bool", True)
    w.add_string("t.string", "caf\u00e9")
    w.add_uint64("t.u64", 2**63)
    w.add_int64("t.i64", -2**63)
    w.add_float64("t.f64", 0.1)
    w.add_array("t.strings", ["a", "", "\u4f60\u597d"])
    w.add_array("t.ints", [1, -2, 3])
    w.add_array("t.floats", [0.5, 1.5])
    w.add_array("t.bools", [True, False])
    rng = np.random.default_rng(0)
    w.add_tensor("f32", rng.standard_normal((3, 5), dtype=np.float32))
    w.add_tensor("f16", rng.standard_normal((2, 3, 7)).astype(np.float16))
    for q in ("Q8_0", "Q4_0", "Q5_1", "BF16"):
        t = gguf.GGMLQuantizationType[q]
        w.add_tensor(q.lower(), gguf.quants.quantize(rng.standard_normal((4, 64), dtype=np.float32), t), raw_dtype=t)
    w.add_tensor("i32", np.arange(9, dtype=np.int32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def check_peer_file(folder, alignment):
    a, b = os.path.join(folder, "peer.gguf"), os.path.join(folder, "ours.gguf")
    peer_file(a, alignment)
    lowp_copy(a, b)
    same_content(a, b)


def check_model(folder, model):
    b = os.path.join(folder, "copy.gguf")
    lowp_copy(model, b)
    same_content(model, b)


def check_stats(folder):
    """The legacy vector of the card, written by lowp in the GGUF form, read by the package."""
    data = (b"\1\0\0\0" b"\x13\0\0\0blk.0.ffn_up.weight" b"\2\0\0\0" b"\4\0\0\0" +
            np.array([2, 8, .5, 4], "<f4").tobytes() + b"\2\0\0\0" b"\5\0\0\0a.txt")
    stats = C.c_void_p()
    ok(lib.lp_stats_read_memory(data, len(data), b"vector", C.byref(stats)))
    n = C.c_int64()
    mean = lib.lp_stats_mean_square(stats, b"blk.0.ffn_up.weight", C.byref(n))
    assert list(mean[:n.value]) == [1, 4, .25, 2]
    path = os.path.join(folder, "stats.gguf")
    ok(lib.lp_stats_write(stats, path.encode(), True))
    lib.lp_stats_free(stats)
    r = gguf.GGUFReader(path)
    assert r.fields["general.type"].contents() == "imatrix"
    assert r.fields["imatrix.datasets"].contents() == ["a.txt"]
    assert r.fields["imatrix.chunk_count"].contents() == 2
    tensors = {t.name: t.data for t in r.tensors}
    sums, counts = tensors["blk.0.ffn_up.weight.in_sum2"], tensors["blk.0.ffn_up.weight.counts"]
    assert np.array_equal(sums / counts, np.array([1, 4, .25, 2], np.float32))


def main():
    global lib
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    lib = load(sys.argv[1] if len(sys.argv) > 1 else os.path.join(root, "build/liblowp.so"))
    models = sys.argv[2:] or [os.path.join(root, "models/books-4m-f16.gguf")]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        checks = [(f"a file of the gguf package, alignment {a or 'absent'}", lambda a=a: check_peer_file(folder, a))
                  for a in (0, 8, 64, 4096)]
        checks += [(os.path.basename(m), lambda m=m: check_model(folder, m)) for m in models]
        checks += [("an importance file", lambda: check_stats(folder))]
        for name, check in checks:
            try:
                check()
                print(f"ok - {name}", flush=True)
            except Exception as error:
                failed += 1
                print(f"not ok - {name}: {type(error).__name__} {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
