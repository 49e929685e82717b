#!/usr/bin/env python3
"""Compares the speed of tokenizing with the tokenizers library's, on one thread each, and that the ids are equal.

    tests/peers/check_tokenizer_speed.py [--library build/liblowp.so] [--megabytes 10] [FILE...]

FILE are texts (default: those in models/); they are repeated up to the size. Times are of the processor, the best of three.
Byte-level BPE, SentencePiece BPE, Unigram and WordPiece are trained on the text first, with 8000 tokens each. Exit 1: ids differ.
"""
import argparse
import json
import os
import resource
import sys
import tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import check_tokenizer
import tokenizer_json_peer as peer


def best(run):
    def once():
        before = resource.getrusage(resource.RUSAGE_SELF)
        result = run()
        after = resource.getrusage(resource.RUSAGE_SELF)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result
    times = [once() for _ in range(3)]
    return min(t for t, r in times), times[0][1]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--library", default=os.path.join(here, "../../build/liblowp.so"))
    p.add_argument("--megabytes", type=float, default=2)
    p.add_argument("files", nargs="*")
    o = p.parse_args()
    files = o.files or [os.path.join(here, "../../models", name) for name in ("test.txt", "calibration.txt")]
    text = "".join(open(f, encoding="utf-8", errors="ignore").read() for f in files)
    corpus = [line + "\n" for line in text[:1000000].split("\n")]
    size = int(o.megabytes * 1e6)
    text = (text * (1 + size // len(text)))[:size]
    raw = text.encode()
    wrong = 0
    wanted = ("BPE gpt-2", "BPE llama-bpe", "BPE qwen2", "SentencePiece BPE, Prepend", "SentencePiece BPE, Metaspace first",
              "Unigram, Precompiled, WhitespaceSplit", "WordPiece uncased")
    with tempfile.TemporaryDirectory() as folder:
        for family in (peer.byte_level, peer.merging, peer.unigram, peer.word_piece):
            for label, data, _ in family(corpus):
                if label not in wanted:
                    continue
                path = os.path.join(folder, label.replace(" ", "_"))
                peer.write_folder(path, data)
                ours = check_tokenizer.Ours(o.library, path)
                reference = peer.Reference(data, None)
                reference.tokenizer.encode_special_tokens = True
                a, ids = best(lambda: ours.count(raw))
                b, other = best(lambda: reference.tokenizer.encode(text, add_special_tokens=False))
                differ = ours.encode(raw, False, False) != other.ids
                wrong += differ
                print(f"{label}: {len(raw) / 1e6 / a:.1f} MB/s, tokenizers {len(raw) / 1e6 / b:.1f} MB/s: {b / a:.1f} times as fast"
                      f"{', BUT THE IDS DIFFER' if differ else ''} ({ids} ids)", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
