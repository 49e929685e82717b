"""tokenizer.json of every kind of model, trained here, as a folder and as the GGUF file that it converts to, against the tokenizers
library and sentencepiece. Used by check_tokenizer.py."""
import base64
import ctypes
import json
import os
import random
import struct
import tempfile

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPACE = "\u2581"
EXTRA = "éàçüñ ßøå żółw Привет мир Ελλάδα שלום عربى हिन्दी ไทย 你好世界 かな 한국어 😀👍 ½²³ ﬁ Ⅷ 1234567890 ~`@#$%^&*()_+-={}[]|\\:;\"'<>,.?/\t\n"


def safetensors(path, n_vocab):
    header = json.dumps({"model.embed_tokens.weight": {"dtype": "F16", "shape": [n_vocab, 32], "data_offsets": [0, n_vocab * 64]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + bytes(n_vocab * 64))


def write_folder(folder, text):
    """A model around a tokenizer.json: the embedding is all that is read of it."""
    os.makedirs(folder, exist_ok=True)
    data = json.loads(text)
    vocab = data["model"]["vocab"]
    ids = list(vocab.values()) if isinstance(vocab, dict) else list(range(len(vocab)))
    n = max(ids + [t["id"] for t in data["added_tokens"]]) + 1
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": n, "hidden_size": 32, "intermediate_size": 48,
              "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5,
              "max_position_embeddings": 64, "tie_word_embeddings": True, "rope_theta": 10000.0}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        f.write(text)
    safetensors(os.path.join(folder, "model.safetensors"), n)


def byte_level(corpus):
    """Each regex family as its own tokenizer.json."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    families = {"gpt-2": (None, False, False), "olmo": (None, False, True), "smollm": ("digits", False, False), "llama-bpe": (LLAMA3, True, False),
                "dbrx": (LLAMA3, False, False), "qwen2": (LLAMA3.replace("{1,3}", ""), False, True),
                "deepseek-r1-qwen": (LLAMA3.replace("{1,3}", ""), False, False)}
    for name, (regex, whole, nfc) in families.items():
        t = Tokenizer(models.BPE(ignore_merges=whole))
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex in (None, "digits"))
        if regex == "digits":
            t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])
        elif regex:
            t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), level])
        else:
            t.pre_tokenizer = level
        if nfc:
            t.normalizer = normalizers.NFC()
        t.decoder = decoders.ByteLevel()
        t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
        t.add_special_tokens([AddedToken("<|end|>", normalized=False), AddedToken("<|mask|>", lstrip=True, normalized=False),
                              AddedToken("<|user|>", rstrip=True, normalized=False), AddedToken("<|one|>", single_word=True, normalized=False)])
        t.add_tokens([AddedToken("xyzzy", normalized=False), AddedToken("<one>", normalized=False, single_word=True)])
        yield "BPE " + name, t.to_str(), None


def sentencepiece_model(corpus, kind, **options):
    import sentencepiece
    import io
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=out, model_type=kind, vocab_size=options.pop("vocab_size", 1200),
                                             minloglevel=2, num_threads=1, hard_vocab_limit=False, **options)
    sp = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    pieces = [(sp.id_to_piece(i), sp.get_score(i)) for i in range(sp.get_piece_size())]
    return sp, pieces, out.getvalue()


def charsmap(proto):
    """normalizer_spec (field 3), precompiled_charsmap (field 2) of a .model file."""
    def fields(data):
        at = 0

        def varint():
            nonlocal at
            value = shift = 0
            while True:
                value |= (data[at] & 127) << shift
                shift += 7
                at += 1
                if data[at - 1] < 128:
                    return value
        while at < len(data):
            key = varint()
            if key & 7 == 2:
                n = varint()
                yield key >> 3, data[at:at + n]
                at += n
            elif key & 7 == 0:
                yield key >> 3, varint()
            else:
                at += 4 if key & 7 == 5 else 8
                yield key >> 3, None
    for number, value in fields(proto):
        if number == 3:
            for n, v in fields(value):
                if n == 2:
                    return v
    return b""


def added(names, **flags):
    return [dict({"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}, **flags) for i, c in names]


def template(before, after):
    item = lambda i, c: {"SpecialToken": {"id": c, "type_id": 0}}
    single = [item(*before)] if before else []
    single.append({"Sequence": {"id": "A", "type_id": 0}})
    single += [item(*after)] if after else []
    known = {x[1]: {"id": x[1], "ids": [x[0]], "tokens": [x[1]]} for x in (before, after) if x}
    return {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": known}


def file(model, normalizer, pre, decoder, post, tokens):
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": normalizer, "pre_tokenizer": pre,
                       "post_processor": post, "decoder": decoder, "model": model})


PREPEND = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
DECODER = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split}


def merging(corpus):
    """SentencePiece BPE as its converters write it: every pair of pieces that is a piece, by its score."""
    options = dict(byte_fallback=True, character_coverage=0.9995, normalization_rule_name="identity", remove_extra_whitespaces=False)
    sp, pieces, _ = sentencepiece_model(corpus, "bpe", split_by_whitespace=True, allow_whitespace_only_pieces=True, **options)
    vocab = {p: i for i, (p, s) in enumerate(pieces)}
    merges = []
    for p, score in pieces:
        if p.startswith("<0x") or p in ("<unk>", "<s>", "</s>"):
            continue
        merges += [(score, p[:k], p[k:]) for k in range(1, len(p)) if p[:k] in vocab and p[k:] in vocab]
    merges.sort(key=lambda m: (-m[0], vocab[m[1]], vocab[m[2]]))
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
             "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": [[a, b] for s, a, b in merges]}
    tokens, post = added([(0, "<unk>"), (1, "<s>"), (2, "</s>")]), template((1, "<s>"), None)
    yield "SentencePiece BPE, Prepend", file(model, PREPEND, None, DECODER, post, tokens), sp
    yield "SentencePiece BPE, Replace", file(model, REPLACE, {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
                                             DECODER, post, tokens), None
    for scheme in ("first", "always", "never"):
        yield "SentencePiece BPE, Metaspace " + scheme, file(model, None, metaspace(scheme, False), DECODER, post, tokens), None


def unigram(corpus):
    tokens = added([(0, "<unk>"), (1, "<s>"), (2, "</s>")])
    post = template((1, "<s>"), (2, "</s>"))
    decoder = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    for bytes_too in (False, True):
        label = ", tokens of bytes" if bytes_too else ""
        sp, pieces, proto = sentencepiece_model(corpus, "unigram", byte_fallback=bytes_too, character_coverage=0.9995)
        model = {"type": "Unigram", "unk_id": 0, "vocab": [list(p) for p in pieces], "byte_fallback": bytes_too}
        first = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap(proto)).decode()}
        split = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace("always", True)]}
        collapse = lambda to: {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": to}
        yield "Unigram, Precompiled, WhitespaceSplit" + label, file(model, first, split, decoder, post, tokens), sp
        strip = {"type": "Strip", "strip_left": False, "strip_right": True}
        yield "Unigram, Precompiled, Strip" + label, file(model, {"type": "Sequence", "normalizers": [first, strip, collapse(SPACE)]},
                                                          metaspace("always", True), decoder, post, tokens), sp
        yield "Unigram, Precompiled, Replace" + label, file(model, {"type": "Sequence", "normalizers": [first, collapse(" ")]}, metaspace("always", True),
                                                            decoder, post, tokens), sp
        for scheme in ("always", "first", "never"):
            yield f"Unigram, Metaspace {scheme}{label}", file(model, None, metaspace(scheme, True), decoder, None, tokens), None


def word_piece(corpus):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    for label, lowercase, strip in (("uncased", True, None), ("cased", False, None), ("uncased with accents", True, False), ("cased without accents", False, True)):
        t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        t.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip)
        t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        t.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=1500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
        data = json.loads(t.to_str())
        data["post_processor"] = template((2, "[CLS]"), (3, "[SEP]"))
        for token in data["added_tokens"]:
            if token["content"] == "[MASK]":
                token["lstrip"] = True
        yield "WordPiece " + label, json.dumps(data), None


def converted(library, folder, path):
    """The folder as a GGUF file."""
    c = ctypes.CDLL(library)
    c.lp_error.restype = ctypes.c_char_p

    class Options(ctypes.Structure):
        _fields_ = [("force", ctypes.c_bool), ("dry_run", ctypes.c_bool), ("shard_bytes", ctypes.c_uint64)]
    result = ctypes.create_string_buffer(256)
    if c.lp_convert(folder.encode(), path.encode(), ctypes.byref(Options(True, False, 0)), None, result):
        raise RuntimeError(c.lp_error().decode())


class Reference:
    """The tokenizers library, and what is known to differ from it."""

    def __init__(self, text, sp):
        from tokenizers import Tokenizer, normalizers
        import unicodedata2
        self.data = json.loads(text)
        self.tokenizer = Tokenizer.from_str(text)
        self.sp = sp
        self.kind = self.data["model"]["type"]
        self.known = {}
        self.tables = unicodedata2
        self.nfc = normalizers.NFC() if (self.data["normalizer"] or {}).get("type") == "NFC" else None
        self.precompiled = "Precompiled" in json.dumps(self.data["normalizer"])
        self.normalizer = self.tokenizer.normalizer
        self.scores = [s for t, s in self.data["model"]["vocab"]] if self.kind == "Unigram" else None

    def encode(self, text, parse_special, add_special):
        self.tokenizer.encode_special_tokens = not parse_special
        return self.tokenizer.encode(text, add_special_tokens=add_special).ids

    def excluded(self, text):
        """Why a text is not compared; None: it is."""
        if self.nfc and self.nfc.normalize_str(text) != self.tables.normalize("NFC", text):
            return "the library's NFC is that of Unicode 9"
        if self.precompiled:
            plain = lambda s: "".join(s.replace(SPACE, " ").split(" "))
            if plain(self.normalizer.normalize_str(text)) != plain(self.sp.normalize(text)):
                return "the library replaces whole clusters, sentencepiece does not"
        if self.kind == "WordPiece" and any(self.newer(c) for c in text):
            return "the library's categories for BERT are of an older Unicode"
        return None

    def newer(self, c):
        """Whether the library's tables say otherwise of a character than Unicode 16."""
        if c not in self.known:
            from tokenizers import normalizers, pre_tokenizers
            u, category = self.tables, self.tables.category(c)
            plain = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=True, lowercase=False)
            if category in ("Zs", "Zl", "Zp") or c in "\t\n\r":
                want = "a b"
            elif category[0] == "C" and category != "Cn" or c in "\0\ufffd":
                want = "ab"
            else:
                want = "".join(x for x in u.normalize("NFD", "a" + c) if u.category(x) != "Mn") + "b"
            punctuation = category[0] == "P" or (c < "\x80" and category[0] == "S")
            self.known[c] = plain.normalize_str("a" + c + "b") != want or \
                (want != "a b" and (len(pre_tokenizers.BertPreTokenizer().pre_tokenize_str("a" + c + "b")) == 3) != punctuation)
        return self.known[c]

    def equal(self, a, b):
        """Two cuts whose exact sums of scores are as good as equal are the same one to a sum of rounded numbers."""
        from fractions import Fraction
        if a == b:
            return True, False
        if self.kind != "Unigram" or max(a + b) >= len(self.scores):
            return False, False
        x, y = (sum(Fraction(self.scores[i]) for i in ids) for ids in (a, b))
        tie = self.data["model"]["unk_id"] not in a + b and abs(x - y) <= abs(x) / 10**6
        return tie, tie


def compare(library, make_ours, hard_strings, n_strings, corpus, printed=3):
    """Returns how many texts were compared, and how many ids differ."""
    total = wrong = 0
    with tempfile.TemporaryDirectory() as base:
        number = 0
        for family in (byte_level, merging, unigram, word_piece):
            for label, text, sp in family(corpus):
                sp_too = "Prepend" in label or "WhitespaceSplit" in label
                number += 1
                folder, path = os.path.join(base, str(number)), os.path.join(base, f"{number}.gguf")
                write_folder(folder, text)
                converted(library, folder, path)
                both = [make_ours(folder), make_ours(path)]
                reference = Reference(text, sp)
                specials = [t["content"].encode() for t in reference.data["added_tokens"] if t["content"] not in ("<unk>", "[UNK]")]
                n = bad = ties = peers = 0
                skipped = {}
                for raw in hard_strings(n_strings, specials):
                    try:
                        s = raw.decode()
                    except UnicodeDecodeError:
                        continue
                    reason = reference.excluded(s)
                    if reason:
                        skipped[reason] = skipped.get(reason, 0) + 1
                        continue
                    for parse_special in (True, False):
                        if reference.kind == "Unigram" and not parse_special and any(t in raw for t in specials):
                            why = "the library cuts special tokens out of plain text by their scores"
                            skipped[why] = skipped.get(why, 0) + 1
                            continue
                        want = reference.encode(s, parse_special, parse_special)
                        for ours in both:
                            n += 1
                            got = ours.encode(raw, parse_special, parse_special)
                            same, tie = reference.equal(got, want)
                            ties += tie
                            if not same:
                                bad += 1
                                if bad <= printed:
                                    print(f"{label}: {s[:60]!r} parse_special={parse_special}: {got[:24]} tokenizers {want[:24]}")
                    # The library splits at U+0085, which sentencepiece keeps.
                    if sp and sp_too and "\u0085" not in s and not any(t in raw for t in specials):
                        peers += 1
                        got = both[1].encode(raw, False, False)
                        same, tie = reference.equal(got, sp.encode(s))
                        ties += tie
                        if not same:
                            bad += 1
                            if bad <= printed:
                                print(f"{label}: {s[:60]!r}: {got[:24]} sentencepiece {sp.encode(s)[:24]}")
                note = f", {peers} with sentencepiece" if peers else ""
                note += f", {ties} ties" if ties else ""
                note += "".join(f"; {k} left out: {why}" for why, k in skipped.items())
                print(f"{label}: {n} compared with tokenizers{note}: {bad} differ")
                total += n + peers
                wrong += bad
    return total, wrong
