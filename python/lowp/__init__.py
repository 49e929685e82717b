"""Numbers of few bits: any format from one line of text, arrays and language models quantized, measured and run.

>>> import lowp
>>> lowp.Format("e2m1:32:e8m0").bits
4.25
>>> import numpy as np
>>> q = lowp.quantize(np.linspace(-1, 1, 64, dtype=np.float32), "q4_0")
>>> q
Quantized(shape=(64,), format='q4_0', nbytes=36)
>>> float(abs(lowp.dequantize(q) - np.linspace(-1, 1, 64, dtype=np.float32)).max()) < 0.14
True

A model is a GGUF file, a folder of safetensors, or "embedded", a small one inside the package:

>>> model = lowp.Model("embedded")
>>> model.tokenize("The old house")
[495, 713, 903]
>>> f"{model.perplexity(lowp.embedded_text(), context=256, windows=2):.2f}"
'38.40'

Arrays are NumPy's, or whatever has the buffer protocol or DLPack (torch tensors on the CPU); contiguous float32 is read where it
lies, float16 and bfloat16 are widened, float64 is refused because it would be rounded twice. Results are NumPy arrays where NumPy is
installed, else memoryviews. Every error is a `lowp.Error` with the library's own message.
"""

from ._arrays import Format, FormatRow, Packing, Quantized, codes, codes_values, dequantize, formats, packings, quantize, round
from ._lowp import (CheckError, Error, InputError, ResourceError, UnsupportedError, UsageError, embedded_text, isa, version)
from ._model import Generation, Model, compare, quantize_file

__version__ = version()
__all__ = ["CheckError", "Error", "Format", "FormatRow", "Generation", "InputError", "Model", "Packing", "Quantized", "ResourceError",
           "UnsupportedError", "UsageError", "codes", "codes_values", "compare", "dequantize", "embedded_text", "formats", "isa",
           "packings", "quantize", "quantize_file", "round", "version"]
