#!/usr/bin/env python3
"""Compares `lowp convert` and folders as MODEL with other programs.

    tests/peers/check_convert.py [--program build/lowp]

A folder is written as Hugging Face programs do: random weights by a writer of its own in this file, a tokenizer trained
and saved by the tokenizers library, with the pre-tokenizer of GPT-2, SmolLM, Llama 3 and Qwen 2. Compared are the token
ids of the folder with those of the library; the tensors of the converted file with a permutation written in numpy; the
logits of llama.cpp on that file with a forward pass in float64 numpy on the folder's own tensors, which rotates halves;
and tokenizer.json and the tensors after going back. Exit 1: something differs.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

E, L, H, HKV, D, F, EPS, BASE = 64, 2, 4, 2, 16, 96, 1e-5, 10000.0
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level(False)])


KINDS = {"gpt-2": byte_level(True),
         "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]),
         "llama-bpe": split(LLAMA3), "qwen2": split(QWEN2)}


def make_tokenizer(kind, text):
    t = Tokenizer(models.BPE(ignore_merges=kind == "llama-bpe"))
    t.pre_tokenizer, t.decoder = KINDS[kind], decoders.ByteLevel()
    t.train_from_iterator([text], trainers.BpeTrainer(vocab_size=500, special_tokens=["<s>", "</s>"], show_progress=False,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_tokens([AddedToken("<user>", normalized=False)])
    if kind == "llama-bpe":
        t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    return t


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, (dtype, array) in tensors.items():
        n = array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, array in tensors.values():
            f.write(array.tobytes())


def read_safetensors(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + n])
    header.pop("__metadata__", None)
    return {k: (v["dtype"], v["shape"], raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]) for k, v in header.items()}


def bf16(x):
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def widen(dtype, a):
    if dtype == "BF16":
        return (a.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return a.astype(np.float64)


def make_tensors(dtype, vocabulary, tied, rng):
    def pack(x):
        return {"F32": lambda v: v.astype(np.float32), "F16": lambda v: v.astype(np.float16), "BF16": bf16}[dtype](x)
    shapes = {"model.embed_tokens.weight": (vocabulary, E), "model.norm.weight": (E,)}
    for i in range(L):
        p = f"model.layers.{i}."
        shapes.update({p + "input_layernorm.weight": (E,), p + "post_attention_layernorm.weight": (E,),
                       p + "self_attn.q_proj.weight": (H * D, E), p + "self_attn.k_proj.weight": (HKV * D, E),
                       p + "self_attn.v_proj.weight": (HKV * D, E), p + "self_attn.o_proj.weight": (E, H * D),
                       p + "mlp.gate_proj.weight": (F, E), p + "mlp.up_proj.weight": (F, E), p + "mlp.down_proj.weight": (E, F)})
    if not tied:
        shapes["lm_head.weight"] = (vocabulary, E)
    return {n: (dtype, pack(1 + 0.1 * rng.standard_normal(s) if len(s) == 1 else 0.25 * rng.standard_normal(s))) for n, s in shapes.items()}


def forward(tensors, tokens):
    w = {n: widen(*t) for n, t in tensors.items()}
    rms = lambda x, g: x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * g
    n = len(tokens)
    angle = np.arange(n)[:, None] * BASE ** (-2 * np.arange(D // 2) / D)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    def rotate(x):
        a, b = x[..., :D // 2], x[..., D // 2:]
        return np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(L):
        p = f"model.layers.{i}."
        h = rms(x, w[p + "input_layernorm.weight"])
        q = rotate((h @ w[p + "self_attn.q_proj.weight"].T).reshape(n, H, D))
        k = rotate((h @ w[p + "self_attn.k_proj.weight"].T).reshape(n, HKV, D)).repeat(H // HKV, 1)
        v = (h @ w[p + "self_attn.v_proj.weight"].T).reshape(n, HKV, D).repeat(H // HKV, 1)
        s = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(D) + np.triu(np.full((n, n), -np.inf), 1)
        s = np.exp(s - s.max(-1, keepdims=True))
        x = x + np.einsum("hqk,khd->qhd", s / s.sum(-1, keepdims=True), v).reshape(n, H * D) @ w[p + "self_attn.o_proj.weight"].T
        h = rms(x, w[p + "post_attention_layernorm.weight"])
        g = h @ w[p + "mlp.gate_proj.weight"].T
        x = x + (g / (1 + np.exp(-g)) * (h @ w[p + "mlp.up_proj.weight"].T)) @ w[p + "mlp.down_proj.weight"].T
    return rms(x, w["model.norm.weight"]) @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def check(condition, what):
    if not condition:
        sys.exit(f"differs: {what}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--program", default="build/lowp")
    program = os.path.abspath(options.parse_args().program)
    lowp = lambda *a, **k: subprocess.run([program, *a], check=True, capture_output=True, **k).stdout
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    text = open(os.path.join(root, "models", "test.txt"), encoding="utf-8").read()[:200000]
    hard = text[:30000] + " caf\u00e9 \U0001f600 12345 it's IT'S   \n\n x\t\r\n\u4f60\u597d <user> 3.14"
    rng = np.random.default_rng(0)
    for kind in KINDS:
        for dtype, tied in (("F32", True), ("F16", False), ("BF16", False)):
            with tempfile.TemporaryDirectory() as folder:
                model, back, out = (os.path.join(folder, n) for n in ("model", "back", "out.gguf"))
                os.mkdir(model)
                tokenizer = make_tokenizer(kind, text)
                tokenizer.save(os.path.join(model, "tokenizer.json"))
                vocabulary = tokenizer.get_vocab_size() + 5  # rows without a token, as real models have
                tensors = make_tensors(dtype, vocabulary, tied, rng)
                write_safetensors(os.path.join(model, "model.safetensors"), tensors)
                json.dump({"architectures": ["LlamaForCausalLM"], "hidden_size": E, "intermediate_size": F, "num_hidden_layers": L,
                           "num_attention_heads": H, "num_key_value_heads": HKV, "max_position_embeddings": 512, "rms_norm_eps": EPS,
                           "rope_theta": BASE, "vocab_size": vocabulary, "tie_word_embeddings": tied, "hidden_act": "silu",
                           "rope_scaling": None, "bos_token_id": 0, "eos_token_id": 1}, open(os.path.join(model, "config.json"), "w"))
                json.dump({"bos_token": "<s>", "eos_token": {"content": "</s>"}}, open(os.path.join(model, "tokenizer_config.json"), "w"))
                lowp("convert", model, "-o", out)
                ids = json.loads(lowp("tokenize", model, "--json", input=hard.replace("<user>", "").encode()))["ids"]
                want = tokenizer.encode(hard.replace("<user>", ""), add_special_tokens=False).ids
                check(ids == want, f"{kind}: token ids")

                converted = {t.name: t for t in gguf.GGUFReader(out).tensors}
                q = tensors["model.layers.1.self_attn.q_proj.weight"][1]
                permuted = q.reshape(H, 2, D // 2, E).swapaxes(1, 2).tobytes()
                check(converted["blk.1.attn_q.weight"].data.tobytes() == permuted, f"{kind} {dtype}: q")
                tokens = want[:24]
                peer = llama_cpp.Llama(out, logits_all=True, verbose=False, n_ctx=64, type_k=0, type_v=0)
                peer.eval(tokens)
                exact, theirs = forward(tensors, tokens), np.array(peer.scores[:len(tokens)], np.float64)
                error = np.abs(exact - theirs).max() / np.abs(exact).max()
                check(error < {"F32": 1e-4, "F16": 1e-2, "BF16": 5e-2}[dtype],  # it rounds activations to the weights' type
                      f"{kind} {dtype}: logits of llama.cpp ({error})")

                lowp("convert", out, "-o", back)
                a, b = (read_safetensors(os.path.join(f, "model.safetensors")) for f in (model, back))
                check(a == b, f"{kind} {dtype}: tensors after going back")
                again = Tokenizer.from_file(os.path.join(back, "tokenizer.json"))
                check(again.encode(hard).ids == tokenizer.encode(hard).ids, f"{kind}: ids of the tokenizer.json that was written")
                print(f"{kind:10s} {dtype:4s} {len(want)} ids equal, {len(a)} tensors equal, logits within {error:.1e}")


if __name__ == "__main__":
    main()
