"""Arrays of any layout: read where they lie, copied where they must be, or refused."""
import subprocess
import sys

import numpy as np
import pytest

import lowp
from lowp import _lowp

rng = np.random.default_rng(1)
X = rng.standard_normal((6, 256)).astype(np.float32)


class OnlyDLPack:
    """An array that has nothing but DLPack, as torch tensors do."""

    def __init__(self, x):
        self.x = x

    def __dlpack__(self, **options):
        return self.x.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.x.__dlpack_device__()


# ---- where they lie --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("x", [X, X[2:4], X[0], X.reshape(2, 3, 256), X[:1].T.copy().T], ids=["whole", "rows", "row", "3-d", "one row"])
def test_contiguous_float32_is_read_where_it_lies(x):
    assert _lowp._address_of(x) == x.ctypes.data


def test_a_read_only_array_is_read_where_it_lies():
    x = X.copy()
    x.flags.writeable = False
    assert _lowp._address_of(x) == x.ctypes.data


class OldDLPack(OnlyDLPack):
    def __dlpack__(self):
        return self.x.__dlpack__()


def test_dlpack_and_memoryview_are_read_where_they_lie():
    read_only = X.copy()
    read_only.flags.writeable = False
    assert _lowp._address_of(OnlyDLPack(read_only)) == read_only.ctypes.data
    assert _lowp._address_of(OldDLPack(X)) == X.ctypes.data
    assert _lowp._address_of(OnlyDLPack(X)) == X.ctypes.data
    assert _lowp._address_of(memoryview(X)) == X.ctypes.data


@pytest.mark.parametrize("x", [X[:, ::2], X.T, X[::-1], X.astype(">f4"), X.astype(np.float16)],
                         ids=["strided", "transposed", "reversed", "big-endian", "float16"])
def test_what_must_be_copied_lies_elsewhere(x):
    assert _lowp._address_of(x) != x.ctypes.data


def test_results_are_the_memory_that_was_computed_not_a_copy():
    values = lowp.round(X, "e4m3")
    assert isinstance(values, np.ndarray) and values.flags.writeable and values.flags.c_contiguous and not values.flags.owndata
    assert isinstance(values.base.obj if isinstance(values.base, memoryview) else values.base, _lowp.Array)


# ---- layouts ---------------------------------------------------------------------------------------------------------

LAYOUTS = {
    "strided": X[:, ::2], "every other row": X[::2], "transposed": np.ascontiguousarray(X.T).T, "Fortran": np.asfortranarray(X),
    "reversed": X[::-1, ::-1], "big-endian": X.astype(">f4"), "big-endian strided": X.astype(">f4")[:, ::-2],
    "broadcast": np.broadcast_to(X[0], (4, 256)), "3-d": X.reshape(3, 2, 256).transpose(1, 0, 2), "unaligned":
    np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(X.shape),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_what_its_contiguous_copy_gives(name):
    x, plain = LAYOUTS[name], np.ascontiguousarray(LAYOUTS[name], np.float32)
    q, wanted = lowp.quantize(x, "q8_0"), lowp.quantize(plain, "q8_0")
    assert q.shape == x.shape and q.tobytes() == wanted.tobytes()
    np.testing.assert_array_equal(lowp.round(x, "e3m2"), lowp.round(plain, "e3m2"))
    if x.dtype.isnative:
        d = lowp.quantize(OnlyDLPack(x), "q8_0")
        assert d.shape == x.shape and d.tobytes() == wanted.tobytes()


def test_dlpack_strides_count_elements():
    x = OnlyDLPack(X[:, ::2])
    np.testing.assert_array_equal(lowp.round(x, "e3m2"), lowp.round(X[:, ::2].copy(), "e3m2"))


@pytest.mark.parametrize("shape", [(0,), (0, 32), (3, 0), (2, 0, 32)])
def test_an_empty_array_stays_empty(shape):
    x = np.zeros(shape, np.float32)
    q = lowp.quantize(x, "q4_0")
    assert q.shape == shape and q.nbytes == 0 and q.tobytes() == b""
    assert lowp.dequantize(q).shape == shape and lowp.round(x, "e4m3").shape == shape and lowp.codes(x, "e4m3").shape == shape


def test_a_0d_array_is_rounded_but_has_no_rows():
    x = np.array(1.07, np.float32)
    assert lowp.round(x, "e4m3").shape == () and lowp.round(x, "e4m3") == np.float32(1.125)
    with pytest.raises(lowp.UsageError, match="0-d"):
        lowp.quantize(x, "f16")


def test_float16_and_bfloat16_are_widened_exactly():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype in (np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float4_e2m1fn):
        x = X.astype(dtype)
        assert lowp.quantize(x, "f32").tobytes() == x.astype(np.float32).tobytes()
        assert lowp.quantize(x[::2, ::-1], "f32").tobytes() == x[::2, ::-1].astype(np.float32).tobytes()


@pytest.mark.parametrize("x, error, text", [
    (X.astype(np.float64), TypeError, "float64"), (X.astype(np.int32), TypeError, "'i'"), (X.astype(np.uint8), TypeError, "integers"),
    (X.astype(complex), TypeError, "'Zd'"), (X.astype(bool), TypeError, "\\?"), (np.zeros(2, "f4,f4"), TypeError, "T{"),
    (np.array([None]), TypeError, "'O'"), ([1.0, 2.0], TypeError, "buffer protocol or DLPack"), (None, TypeError, "takes arrays"),
    ("text", TypeError, "takes arrays"), (X[:, :100], lowp.UsageError, "last dimension is 100"),
], ids=str)
def test_what_cannot_be_quantized_is_refused_by_its_reason(x, error, text):
    with pytest.raises(error, match=text):
        lowp.quantize(x, "q4_k")


def test_an_array_on_another_device_is_refused():
    import ctypes

    class Device(ctypes.Structure):
        _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]

    class Tensor(ctypes.Structure):
        _fields_ = [("data", ctypes.c_void_p), ("device", Device), ("n_dims", ctypes.c_int32), ("code", ctypes.c_uint8),
                    ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p),
                    ("offset", ctypes.c_uint64), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]

    tensor = Tensor(device=Device(2, 0), code=2, bits=32, lanes=1)
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

    class OnGpu:
        def __dlpack__(self):
            return make(ctypes.addressof(tensor), b"dltensor", None)

    with pytest.raises(TypeError, match="another device"):
        lowp.quantize(OnGpu(), "q8_0")
    tensor.device.type, tensor.bits = 1, 128
    with pytest.raises(TypeError, match="128 bits"):
        lowp.quantize(OnGpu(), "q8_0")


def test_references_are_given_back_on_success_and_on_error():
    x, view = X.copy(), X.copy()
    before = sys.getrefcount(x)
    for _ in range(3):
        lowp.quantize(x, "q4_0")
        lowp.round(OnlyDLPack(x), "e4m3")
        with pytest.raises(lowp.UsageError):
            lowp.quantize(x, "nosuch")
        with pytest.raises(TypeError):
            lowp.dequantize(x, "q4_0")
    assert sys.getrefcount(x) == before
    view.resize((6, 512), refcheck=True)  # refused while a buffer is exported


# ---- packed codes ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("packing", [p for p in lowp.packings() if p.writable], ids=lambda p: p.name)
def test_every_packing_comes_back_near(packing):
    x = rng.standard_normal((4, packing.values * 3)).astype(np.float32)
    importance = np.ones(x.shape[1], np.float32)
    q = lowp.quantize(x, packing.name, importance=importance)
    assert q.data.shape == (4, 3 * packing.bytes) and q.data.dtype == np.uint8 and q.format == packing.name
    y = lowp.dequantize(q)
    assert y.shape == x.shape and y.dtype == np.float32
    error = np.sqrt(((x - y) ** 2).mean() / (x**2).mean())
    assert error < {"f32": 1e-9, "f16": 1e-3, "bf16": 1e-2, "tq1_0": 0.9, "tq2_0": 0.9}.get(packing.name, 0.7)
    np.testing.assert_array_equal(lowp.dequantize(q.data, packing.name), y)
    np.testing.assert_array_equal(lowp.dequantize(q.tobytes(), packing.name), y.reshape(-1))


def test_q8_0_has_the_bytes_of_its_definition():
    x = X.reshape(-1, 32)
    d = np.abs(x).max(1, keepdims=True) / np.float32(127)
    codes = np.rint(x * (1 / d)).astype(np.int8)
    wanted = np.concatenate([d.astype("<f2").view(np.uint8), codes.view(np.uint8)], 1)
    np.testing.assert_array_equal(lowp.quantize(x, "q8_0").data, wanted)


def test_threads_change_no_byte():
    x = rng.standard_normal((1000, 512)).astype(np.float32)
    one = lowp.quantize(x, "q4_k", threads=1)
    for n in (2, 7, 0):
        assert lowp.quantize(x, "q4_k", threads=n).tobytes() == one.tobytes()
        np.testing.assert_array_equal(lowp.dequantize(one, threads=n), lowp.dequantize(one, threads=1))


def test_importance_lowers_the_weighted_error():
    x = rng.standard_normal((64, 256)).astype(np.float32)
    w = (rng.random(256) ** 4).astype(np.float32)
    error = lambda q: float((w * (lowp.dequantize(q) - x) ** 2).sum())
    assert error(lowp.quantize(x, "q3_k", importance=w)) < 0.9 * error(lowp.quantize(x, "q3_k"))
    assert error(lowp.quantize(x, "q3_k")) < error(lowp.quantize(x, "q3_k", method="rtn"))
    with pytest.raises(lowp.UsageError, match="importance has 255"):
        lowp.quantize(x, "q3_k", importance=w[1:])


def test_a_value_that_is_not_finite_is_named_by_its_place_in_the_whole_array():
    x = rng.standard_normal((1000, 512)).astype(np.float32)
    x[900, 7] = np.nan
    for threads in (1, 4):
        with pytest.raises(lowp.InputError, match=r"\b900\b|460807"):
            lowp.quantize(x, "q4_0", threads=threads)


def test_wrong_arguments_are_refused():
    q = lowp.quantize(X, "q4_0")
    for wrong in (lambda: lowp.quantize(X, "q4_kk"), lambda: lowp.dequantize(q.data, "q4_0", shape=(6, 255)),
                  lambda: lowp.dequantize(q.data, "q4_0", shape=(1 << 40, 1 << 40)), lambda: lowp.dequantize(q.data, "q4_0", shape=(-6, 256)), lambda: lowp.quantize(X, "q4_0", method="best"),
                  lambda: lowp.dequantize(q, "q4_1"), lambda: lowp.dequantize(q.data), lambda: lowp.dequantize(b"123", "q4_0"),
                  lambda: lowp.quantize(X, "q4_0", threads=-1), lambda: lowp.quantize(X, "q4_0", threads=5000)):
        with pytest.raises(lowp.UsageError):
            wrong()
    with pytest.raises(TypeError):
        lowp.dequantize(X, "q4_0")


def test_a_format_text_with_a_layout_stands_for_it():
    assert lowp.quantize(X, "u4:32:f16+min").format == "q4_1"
    assert lowp.quantize(X, lowp.Format("q4_k")).tobytes() == lowp.quantize(X, "q4_k").tobytes()
    assert lowp.quantize(X, "mxfp4").format == "mxfp4" and lowp.quantize(X, "mxfp4").nbytes == 6 * 256 // 32 * 17
    assert repr(lowp.quantize(X, "q4_k")) == "Quantized(shape=(6, 256), format='q4_k', nbytes=864)"


@pytest.mark.parametrize("text", ["e2m1:32:e8m0", "i5:64:f16", "u3:128:f16+zero", "nf4:64:bf16", "e2m1:16:e4m3:f32", "u4:row:f16+min"])
def test_formats_of_our_own_are_planes(text):
    x = rng.standard_normal((3, 2, 256)).astype(np.float32)
    q = lowp.quantize(x, text)
    assert q.shape == x.shape and q.data.ndim == 1 and q.nbytes * 8 / x.size < lowp.Format(text).bits + 3
    y = q.dequantize()
    assert y.shape == x.shape and ((x - y) ** 2).mean() < 0.05 * (x**2).mean()
    np.testing.assert_array_equal(lowp.dequantize(q.data, text, shape=x.shape), y)
    np.testing.assert_array_equal(lowp.quantize(x[:, :, ::-1][:, :, ::-1], lowp.Format(text)).data, q.data)
    with pytest.raises(lowp.UsageError, match="shape"):
        lowp.dequantize(q.data, text)
    with pytest.raises(lowp.UsageError, match="bytes"):
        lowp.dequantize(q.data, text, shape=(3, 2, 512))
    assert lowp.quantize(x[:0], text).nbytes == 0 and lowp.dequantize(lowp.quantize(x[:0], text)).shape == (0, 2, 256)


def test_without_numpy_results_are_memoryviews():
    code = """
import sys
sys.modules["numpy"] = None
import array, lowp
q = lowp.quantize(array.array("f", [127.0] * 32), "q8_0")
y = lowp.dequantize(q)
assert type(y) is memoryview and y.format == "f" and y.shape == (32,) and y.tolist() == [127.0] * 32, y
assert lowp.Format("e2m1").values.tolist()[7] == 6 and lowp.round(array.array("d", [0.3]), "e2m1").tolist() == [0.5]
assert q.shape == (32,) and q.nbytes == 34 and len(q.tobytes()) == 34
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_torch_tensor_gives_torch_tensors():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X.copy())
    y = lowp.quantize(x, "q8_0").dequantize()
    assert isinstance(y, torch.Tensor) and y.shape == x.shape
    np.testing.assert_array_equal(y.numpy(), lowp.dequantize(lowp.quantize(X, "q8_0")))
    assert lowp.quantize(x.to(torch.bfloat16), "f32").tobytes() == x.to(torch.bfloat16).float().numpy().tobytes()
    assert isinstance(lowp.round(x, "e4m3"), torch.Tensor)
