"""Formats and arrays."""
from __future__ import annotations

import sys
from typing import Any, NamedTuple

from . import _lowp

try:
    import numpy
except ImportError:  # results are memoryviews then
    numpy = None  # type: ignore[assignment]

# The element formats of ml_dtypes, which NumPy does not export through the buffer protocol.
_ML_DTYPES = {
    "bfloat16": "bf16", "float8_e3m4": "e3m4ieee", "float8_e4m3": "e4m3ieee", "float8_e4m3fn": "e4m3", "float8_e4m3fnuz": "e4m3fnuz",
    "float8_e5m2": "e5m2", "float8_e5m2fnuz": "e5m2fnuz", "float8_e8m0fnu": "e8m0", "float6_e2m3fn": "e2m3", "float6_e3m2fn": "e3m2",
    "float4_e2m1fn": "e2m1",
}


def _raw(x: Any) -> tuple[Any, str | None]:
    """What the extension can read of an array, and the format of its codes; None: they are plain numbers."""
    dtype = getattr(x, "dtype", None)
    element = _ML_DTYPES.get(getattr(dtype, "name", ""))
    if dtype is None or element is None or not hasattr(x, "view"):
        return x, None
    return x.view(f"u{dtype.itemsize}"), element


def _out(array: _lowp.Array, like: Any = None) -> Any:
    """The array as the caller's kind of array: torch's for a torch tensor, else NumPy's, else a memoryview. Nothing is copied."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(like, torch.Tensor):
        view = memoryview(array)
        dtype = {"f": torch.float32, "B": torch.uint8, "d": torch.float64}[view.format]
        return torch.frombuffer(array, dtype=dtype).reshape(view.shape) if view.nbytes else torch.empty(view.shape, dtype=dtype)
    return memoryview(array) if numpy is None else numpy.asarray(array)


class Format(_lowp.Format):
    """A number format, from its text or a name.

    >>> f = Format("e4m3")
    >>> f
    Format('e4m3')
    >>> f.bits, f.max, f.min_positive
    (8.0, 448.0, 0.001953125)
    >>> Format("q4_k").text
    'u4:32:(u6:8:f16)-min(u6:8:f16)@q4_k'
    >>> Format("e4m4x")
    Traceback (most recent call last):
        ...
    lowp.UsageError: ...
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name, or the text where it has none."""
        return str(self)

    @property
    def text(self) -> str:
        """The format written out."""
        name = str(self)
        return next((row.text for row in formats() if row.name == name and row.text), name)

    @property
    def values(self) -> Any:
        """Value of each code of the element, as float64 indexed by code; NaN for codes that are not in use.

        >>> Format("e2m1").values.tolist()
        [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0]
        """
        return _out(self._values)

    def _finite(self) -> list[float]:
        return [x for x in memoryview(self._values).tolist() if x - x == 0]

    @property
    def max(self) -> float:
        """Largest finite value of the element."""
        return max(self._finite())

    @property
    def min(self) -> float:
        """Smallest finite value of the element."""
        return min(self._finite())

    @property
    def min_positive(self) -> float:
        """Smallest value of the element above 0."""
        return min(x for x in self._finite() if x > 0)


def _text(format: str | Format) -> str:
    return format.text if isinstance(format, Format) else format


def _rounding(x: Any, format: str | Format, rounding: str, overflow: str, subnormals: str, random_bits: int, seed: int, first: int,
              threads: int) -> tuple[Any, ...]:
    if not 0 <= seed < 1 << 64 or not 0 <= first < 1 << 64:
        raise _lowp.UsageError(f"seed {seed}, first {first}: 0 to 2^64 - 1")
    raw, element = _raw(x)
    return raw, _text(format), element, rounding, overflow, subnormals, random_bits, seed, first, threads


def round(x: Any, format: str | Format, *, rounding: str = "nearest-even", overflow: str = "saturate", subnormals: str = "keep",
          random_bits: int = 0, seed: int = 0, first: int = 0, threads: int = 0) -> Any:
    """Rounds each value to one of an element format ("e4m3", "bf16", "i8", "p16.1", "nf4" ...): exactly, and once.

    rounding     nearest-even, nearest-away, nearest-zero, half-up, half-down, toward-zero, up, down, odd, stochastic (away from zero with
                 the probability of the distance), stochastic-equal (either neighbour with probability 1/2)
    overflow     saturate, symmetric, zero, infinity, nan, wrap
    subnormals   keep, flush (after rounding), none (they are not among the values)
    random_bits  1 to 32 bits of stochastic rounding; 0: 32
    seed         with the index of a value (counted from `first`), all that random bits depend on
    threads      0: as many as there are processors, for large arrays. No result depends on it

    float64 gives float64; float32, float16, bfloat16 and the types of ml_dtypes give float32.

    >>> import numpy as np
    >>> round(np.float32([0.3, 1.05, 1000]), "e4m3").tolist()
    [0.3125, 1.0, 448.0]
    >>> round(np.float32([1.05] * 8), "e4m3", rounding="stochastic", seed=1).tolist()
    [1.125, 1.125, 1.0, 1.125, 1.125, 1.125, 1.0, 1.125]
    """
    return _out(_lowp.round(*_rounding(x, format, rounding, overflow, subnormals, random_bits, seed, first, threads)), x)


def codes(x: Any, format: str | Format, *, rounding: str = "nearest-even", overflow: str = "saturate", subnormals: str = "keep",
          random_bits: int = 0, seed: int = 0, first: int = 0, threads: int = 0) -> Any:
    """The codes of the rounded values (see `round`). Those of 8 and 16 bits have the shape of x, as uint8 and uint16: with ml_dtypes,
    `codes(x, "e4m3").view(ml_dtypes.float8_e4m3fn)`. Others are packed into one string of bits, the first in the lowest bits.

    >>> import numpy as np
    >>> codes(np.float32([1, -2]), "e4m3").tolist(), codes(np.float32([1, -2]), "e2m1").tolist()
    ([56, 192], [194])
    """
    return _out(_lowp.codes(*_rounding(x, format, rounding, overflow, subnormals, random_bits, seed, first, threads)), x)


def codes_values(packed: Any, format: str | Format, n: int | None = None) -> Any:
    """The values of codes, as float64. n: how many, of codes that are packed; None: as many as the bytes hold.

    >>> import numpy as np
    >>> codes_values(bytes([194]), "e2m1").tolist()
    [1.0, -2.0]
    """
    shape: tuple[int, ...] | None = None
    bits = int(Format(_text(format)).element["bits"])
    if n is None:
        view = memoryview(packed)
        n = 8 * view.nbytes // bits
        shape = view.shape if view.itemsize * 8 == bits else None
    array = _out(_lowp.codes_values(packed, _text(format), n), packed)
    return array.reshape(shape) if shape is not None and hasattr(array, "reshape") else array


class FormatRow(NamedTuple):
    """A row of the table of named formats."""

    name: str
    text: str
    note: str


class Packing(NamedTuple):
    """A byte layout: `values` values stand in `bytes` bytes."""

    name: str
    values: int
    bytes: int
    writable: bool


def formats() -> list[FormatRow]:
    """All formats that have a name.

    >>> [row for row in formats() if row.name == "mxfp4"][0].text
    'e2m1:32:e8m0'
    """
    return [FormatRow(*row) for row in _lowp.format_rows()]


def packings() -> list[Packing]:
    """All byte layouts: what `quantize` writes (`writable`) and `dequantize` reads.

    >>> [p for p in packings() if p.name == "q4_k"]
    [Packing(name='q4_k', values=256, bytes=144, writable=True)]
    """
    return [Packing(*row) for row in _lowp.packings()]


class Quantized:
    """An array as packed codes: `data` has its bytes, `shape` and `format` say what they stand for."""

    __slots__ = ("data", "shape", "format", "_like")

    def __init__(self, data: Any, shape: tuple[int, ...], format: str, _like: Any = None):
        self.data = data
        self.shape = tuple(shape)
        self.format = format
        self._like = _like

    @property
    def nbytes(self) -> int:
        return memoryview(self.data).nbytes if not hasattr(self.data, "nbytes") else int(self.data.nbytes)

    def dequantize(self, threads: int = 0) -> Any:
        """The values, as float32."""
        return dequantize(self, threads=threads)

    def tobytes(self) -> bytes:
        return bytes(memoryview(self.data).cast("B")) if self.nbytes else b""

    def __repr__(self) -> str:
        return f"Quantized(shape={self.shape}, format={self.format!r}, nbytes={self.nbytes})"


def quantize(x: Any, format: str | Format, *, method: str = "reference", importance: Any = None, threads: int = 0) -> Quantized:
    """Packs an array along its last axis, whose length is a multiple of the format's block.

    format      one of GGUF's byte layouts ("q4_k", "mxfp4", "f16" ...; `packings()` lists them), whose bytes are those in a file, or any
                other format of at most 8 bits with scales: "u3:128:f16+zero", "e2m1:16:e4m3". Its codes and scales lie in planes
    method      how codes and scales are chosen: "reference" searches as the format's own implementation does, "rtn" takes
                the scale that covers the block and rounds to nearest
    importance  a weight >= 0 for each column, for the error that the search minimises
    threads     0: as many as there are processors, for large arrays. The result does not depend on it

    >>> import numpy as np
    >>> q = quantize(np.ones((2, 256), np.float32), "q4_k")
    >>> q.data.shape, q.shape
    ((2, 144), (2, 256))
    >>> quantize(np.ones(100, np.float32), "q4_k")
    Traceback (most recent call last):
        ...
    lowp.UsageError: the last dimension is 100, no multiple of the 256 values of a block of q4_k
    """
    if method not in ("reference", "rtn"):
        raise _lowp.UsageError(f"method {method!r}: reference or rtn")
    raw, element = _raw(x)
    packed = _lowp.encode(raw, _text(format), element, method == "rtn", importance, threads)
    packing = Packing(*_lowp.packing(_text(format)))
    shape = getattr(x, "shape", None)
    if shape is None:  # the axes of blocks are those of the codes, but for the last
        packed_shape = memoryview(packed).shape or ()
        shape = (*packed_shape[:-1], packed_shape[-1] // packing.bytes * packing.values) if packing.bytes else memoryview(raw).shape
    return Quantized(_out(packed), tuple(shape), packing.name, x if type(x).__module__.startswith("torch") else None)


def dequantize(q: Any, format: str | Format | None = None, *, shape: tuple[int, ...] | None = None, threads: int = 0) -> Any:
    """The values of packed codes, as float32: of a `Quantized`, or of an array of uint8 (or bytes) in a format. shape: of the values;
    None: rows along the last axis, as the bytes lie.

    >>> import numpy as np
    >>> dequantize(quantize(np.arange(32, dtype=np.float32), "q8_0"))[:3].tolist()
    [0.0, 0.9765625, 1.953125]
    >>> dequantize(np.float16([1, 2]).tobytes(), "f16").tolist()
    [1.0, 2.0]
    """
    if isinstance(q, Quantized):
        if format is not None and _lowp.packing(_text(format))[0] != q.format:
            raise _lowp.UsageError(f"these codes are {q.format}, not {format}")
        return _out(_lowp.decode(q.data, q.format, q.shape, threads), q._like)
    if format is None:
        raise _lowp.UsageError("the format of the codes is missing: dequantize(data, 'q4_k')")
    return _out(_lowp.decode(q, _text(format), None if shape is None else tuple(shape), threads), q)
