"""Models: opened, measured, run, quantized, compared."""
from __future__ import annotations

import codecs
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import _lowp
from ._arrays import Format, _text

Progress = Callable[[str, float, float], object]
Path = str | bytes | os.PathLike[str]


class Generation(Iterator[str]):
    """A continuation, piece by piece: an iterator of strings that are whole characters.

    `ids` has the tokens so far, `text` what was given out, `finish` why it ended ("stop", "length", "context"; None: it did not).
    """

    def __init__(self, tokens: _lowp.Generation):
        self._tokens = tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._done = False
        self.ids: list[int] = []
        self.text = ""

    @property
    def finish(self) -> str | None:
        return self._tokens.finish

    def __next__(self) -> str:
        piece = ""
        while not piece:
            if self._done:
                raise StopIteration
            token = next(self._tokens, None)
            if token is None:
                self._done = True
                piece = self._decoder.decode(b"", True)
            else:
                self.ids.append(token[0])
                piece = self._decoder.decode(token[1])
        self.text += piece
        return piece


class Model(_lowp.Model):
    """A model: a GGUF file (of a split one the first), a folder with safetensors, config.json and tokenizer.json, or "embedded".

    >>> model = Model("embedded")
    >>> model
    Model('embedded', llama, 4,196,608 parameters, 16.01 bits per weight)
    >>> model.generate("It was a dark and", max_tokens=8, temperature=0)
    ' heavy, and a little white and white'
    """

    __slots__ = ("__weakref__",)

    def __repr__(self) -> str:
        i = self.info
        return f"Model({self.path!r}, {i['architecture']}, {i['n_parameters']:,} parameters, {i['bits_per_weight']:.2f} bits per weight)"

    def evaluate(self, text: str | bytes, *, context: int = 0, windows: int = 0, protocol: str = "windows", activations: str = "default",
                 hash: bool = False, threads: int = 0, progress: Progress | None = None) -> dict[str, Any]:
        """How well it predicts a text: perplexity, cross_entropy_nats, n_predictions and more.

        The text is cut into windows of `context` tokens (0: 1024, or the model's context) that do not overlap; `windows` limits their
        number. protocol "windows" counts every prediction inside a window, "llama.cpp" as llama-perplexity does. hash: the SHA-256 of
        all logits too, the same on every machine. progress(what, done, total) is called now and then; what it raises ends the work.
        """
        return self._evaluate(text=text, context=context, windows=windows, protocol=protocol, activations=activations, hash=hash,
                              threads=threads, progress=progress)

    def perplexity(self, text: str | bytes, **options: Any) -> float:
        """`evaluate(...)["perplexity"]`."""
        return float(self.evaluate(text, **options)["perplexity"])

    def stream(self, prompt: str | Sequence[int], max_tokens: int = 128, *, context: int = 0, temperature: float = 0.8, top_k: int = 40,
               top_p: float = 0.95, min_p: float = 0.05, typical_p: float = 1.0, repeat_penalty: float = 1.0,
               frequency_penalty: float = 0.0, presence_penalty: float = 0.0, repeat_last_n: int = 64, seed: int = 0,
               activations: str = "default", threads: int = 0) -> Generation:
        """Continues a text or token ids, piece by piece. temperature 0 takes the likeliest token every time. The same options give the
        same text on every machine.

        >>> list(Model("embedded").stream("It was", max_tokens=3))
        [' not', ' one', ' of']
        """
        if not 0 <= seed < 1 << 32:
            raise _lowp.UsageError(f"seed {seed}: 0 to 4294967295")
        ids = self._prompt_ids(prompt) if isinstance(prompt, (str, bytes)) else list(prompt)
        return Generation(self._generation(
            ids=ids, max_tokens=max_tokens, context=context, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            typical_p=typical_p, repeat_penalty=repeat_penalty, frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
            repeat_last_n=repeat_last_n, seed=seed, activations=activations, threads=threads))

    def generate(self, prompt: str | Sequence[int], max_tokens: int = 128, **options: Any) -> str:
        """All of `stream(...)` as one text, without the prompt."""
        return "".join(self.stream(prompt, max_tokens, **options))

    def _prompt_ids(self, prompt: str | bytes) -> list[int]:
        return self.tokenize(prompt, add_special=True)

    def render_chat(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True, template: str | None = None,
                    now: float | None = None, **variables: Any) -> str:
        """The text that the model's chat template (or `template`) makes of messages: [{"role": "user", "content": "Hello"}, ...].

        variables  what else the template reads: tools, enable_thinking, ...
        now        the clock of the template, seconds since 1970
        """
        text = json.dumps({**variables, "messages": list(messages)}, ensure_ascii=False)
        rendered: str = self._chat(variables=text, as_text=True, add_generation_prompt=add_generation_prompt, template=template,
                                   now=int(time.time() if now is None else now))
        return rendered

    def chat_ids(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True, template: str | None = None,
                 now: float | None = None, **variables: Any) -> list[int]:
        """`render_chat` as tokens. Texts of special tokens in messages stay text; only the template makes special tokens."""
        text = json.dumps({**variables, "messages": list(messages)}, ensure_ascii=False)
        ids: list[int] = self._chat(variables=text, as_text=False, add_generation_prompt=add_generation_prompt, template=template,
                                    now=int(time.time() if now is None else now))
        return ids

    def chat(self, messages: Sequence[Mapping[str, Any]], max_tokens: int = 128, *, template: str | None = None,
             variables: Mapping[str, Any] | None = None, **options: Any) -> str:
        """The model's answer to messages. options: as `stream`."""
        return self.generate(self.chat_ids(messages, template=template, **(variables or {})), max_tokens, **options)


def compare(reference: Model, model: Model, text: str | bytes, *, context: int = 0, windows: int = 0, protocol: str = "windows",
            activations: str = "default", threads: int = 0, progress: Progress | None = None) -> dict[str, Any]:
    """What a model lost against its reference, on the same tokens: kl_mean_nats, kl_p99_nats, kl_max_nats, top1_agreement, both
    cross entropies. Options as `Model.evaluate`."""
    return _lowp.compare(reference=reference, model=model, text=text, context=context, windows=windows, protocol=protocol,
                         activations=activations, threads=threads, progress=progress)


def quantize_file(source: Path, path: Path, format: str | Format, *, recipe: str | None = None, stats: Path | None = None,
                  calibration: str | bytes | None = None, calibration_context: int = 0, calibration_windows: int = 0,
                  tensors: Mapping[str, str | Format] | None = None, force: bool = False, dry_run: bool = False, threads: int = 0,
                  progress: Progress | None = None) -> dict[str, Any]:
    """Writes a model with fewer bits: the verb `quantize` of the program.

    format       of every matrix ("q4_k"), or a mixture ("q4_k_m")
    recipe       how codes are chosen: None or "reference" (the format's own search), "rtn" (plain rounding), "gptq" ...
    stats        a file of importance, from `lowp calibrate` or llama.cpp's imatrix
    calibration  the text that a recipe such as gptq measures on, in windows of calibration_context tokens (0: 512), at most
                 calibration_windows of them (0: all)
    tensors      {glob: format} for those that get another format; the first that matches counts
    force        replace what exists

    The file appears whole or not at all. Returns n_bytes, bits_per_weight, sha256, tensors and more.

    >>> quantize_file("embedded", "small.gguf", "q4_k", dry_run=True)["n_bytes"]
    2499776
    """
    return _lowp.quantize_file(source=source, path=path, format=_text(format), recipe=recipe, stats=stats if stats is not None else "",
                               calibration=calibration, calibration_context=calibration_context,
                               calibration_windows=calibration_windows, rules=[(glob, _text(f)) for glob, f in (tensors or {}).items()],
                               force=force, dry_run=dry_run, threads=threads, progress=progress)
