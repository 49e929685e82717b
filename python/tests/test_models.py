"""Models: tokens, measuring, running, quantizing. All on the model inside the package."""
import hashlib
import os
import signal
import sys
import threading
import time

import pytest

import lowp

TEXT = lowp.embedded_text()
SHORT = {"context": 128, "windows": 2}


@pytest.fixture(scope="module")
def model():
    return lowp.Model("embedded")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.gguf"
    return path, lowp.quantize_file("embedded", path, "q4_k")


def test_a_model_tells_what_it_is(model):
    assert model.info["architecture"] == "llama" and model.info["n_parameters"] == 4196608 and model.info["bits_per_weight"] > 16
    assert "4,196,608 parameters" in repr(model) and model.path == "embedded"


def test_tokens_and_text_are_one_another(model):
    for text in ("", "The old house", "añ😀\n\0x", TEXT[:2000]):
        ids = model.tokenize(text)
        assert model.detokenize(ids) == text
    assert model.tokenize(b"The old") == model.tokenize("The old")
    assert len(model.tokenize("<|endoftext|>")) > 5 and len(model.tokenize("<|endoftext|>", parse_special=True)) == 1
    assert model.detokenize([]) == ""


@pytest.mark.parametrize("ids, error", [([-1], lowp.UsageError), ([10**6], lowp.UsageError), ([1 << 80], OverflowError), (["a"], TypeError),
                                        (5, TypeError), ([1.5], TypeError)])
def test_ids_that_are_none_are_refused(model, ids, error):
    with pytest.raises(error):
        model.detokenize(ids)
    with pytest.raises(error):
        model.generate(ids, 1)


def test_perplexity_is_the_same_for_any_number_of_threads(model):
    results = [model.evaluate(TEXT, hash=True, threads=n, **SHORT) for n in (1, 3)]
    assert results[0]["logits_sha256"] == results[1]["logits_sha256"] and len(results[0]["logits_sha256"]) == 64
    assert results[0]["perplexity"] == results[1]["perplexity"] == model.perplexity(TEXT, **SHORT)
    assert 20 < results[0]["perplexity"] < 80 and results[0]["n_predictions"] == 254 and results[0]["n_windows"] == 2
    assert model.evaluate(TEXT, protocol="llama.cpp", **SHORT)["n_predictions"] == 126


def test_quantizing_costs_what_compare_says(model, small):
    path, result = small
    lost = lowp.compare(model, lowp.Model(path), TEXT, **SHORT)
    assert 0.01 < lost["kl_mean_nats"] < 0.3 and 0.6 < lost["top1_agreement"] < 0.95
    assert lost["reference_cross_entropy_nats"] == model.evaluate(TEXT, **SHORT)["cross_entropy_nats"]
    assert lowp.compare(model, model, TEXT, **SHORT)["kl_max_nats"] == 0


def test_quantize_file_writes_what_it_says(small, tmp_path):
    path, result = small
    data = path.read_bytes()
    assert result["sha256"] == hashlib.sha256(data).hexdigest() and result["n_bytes"] == len(data)
    assert {t["format"] for t in result["tensors"]} == {"q4_k", "f32"}
    assert result["tensors"][0]["shape"] in ((4096, 256), (256,)) or result["tensors"][0]["shape"]
    again = lowp.quantize_file("embedded", tmp_path / "again.gguf", lowp.Format("q4_k"), threads=1)
    assert again["sha256"] == result["sha256"]
    mixed = lowp.quantize_file("embedded", tmp_path / "mixed.gguf", "q4_k", tensors={"token_embd.*": "q8_0"})
    assert {t["name"]: t["format"] for t in mixed["tensors"]}["token_embd.weight"] == "q8_0"
    assert lowp.quantize_file("embedded", tmp_path / "m.gguf", "q4_k_m", dry_run=True)["bits_per_weight"] > result["bits_per_weight"]
    assert not (tmp_path / "m.gguf").exists()


def test_recipes_choose_other_codes(small, tmp_path):
    rtn = lowp.quantize_file("embedded", tmp_path / "rtn.gguf", "q4_k", recipe="rtn")
    assert rtn["n_bytes"] == small[1]["n_bytes"] and rtn["sha256"] != small[1]["sha256"]
    gptq = lowp.quantize_file("embedded", tmp_path / "gptq.gguf", "q4_k", recipe="gptq", calibration=lowp.embedded_text("embedded-calibration"),
                              calibration_context=64, calibration_windows=2)
    assert {t["method"] for t in gptq["tensors"]} & {"gptq"}


def test_outputs_are_not_replaced_unless_told(small):
    path = small[0]
    before = path.read_bytes()
    with pytest.raises(lowp.UsageError, match="exists") as e:
        lowp.quantize_file("embedded", path, "q8_0")
    assert e.value.status == 2 and path.read_bytes() == before
    lowp.quantize_file("embedded", path, "q4_k", force=True)
    assert path.read_bytes() == before


def test_greedy_text_is_the_same_however_it_is_asked_for(model):
    text = model.generate("It was a dark and", 24, temperature=0)
    assert text and text == model.generate("It was a dark and", 24, temperature=0, threads=1)
    stream = model.stream("It was a dark and", 24, temperature=0)
    assert "".join(stream) == text == stream.text and stream.finish == "length" and len(stream.ids) == 24
    assert model.generate(model.tokenize("It was a dark and", add_special=True), 24, temperature=0) == text
    assert list(stream) == []  # it ended


def test_drawn_text_depends_on_the_seed(model):
    draw = lambda seed: model.generate("The old", 16, seed=seed)
    assert draw(1) == draw(1) and len({draw(seed) for seed in range(4)}) > 1
    assert model.generate("The old", 0) == ""


def test_a_full_context_ends_the_text(model):
    stream = model.stream("The old house", 50, context=8, temperature=0)
    list(stream)
    assert stream.finish == "context" and len(model.tokenize("The old house")) + len(stream.ids) <= 9


@pytest.mark.parametrize("options", [{"temperature": float("nan")}, {"top_p": 2.0}, {"seed": -1}, {"seed": 1 << 32}, {"context": 10**6},
                                     {"context": 1}, {"activations": "f8"}, {"max_tokens": -1}])
def test_options_out_of_range_are_refused(model, options):
    with pytest.raises(lowp.UsageError):
        model.generate("The old house", **{"max_tokens": 4, **options})


TEMPLATE = "{% for m in messages %}<|endoftext|>[{{ m.role }}]{{ m.content }}{% endfor %}{{ tools|tojson if tools }}"


def test_chats_are_rendered_by_the_template(model):
    messages = [{"role": "user", "content": "Hé <|endoftext|>"}]
    assert model.render_chat(messages, template=TEMPLATE) == "<|endoftext|>[user]Hé <|endoftext|>"
    assert model.render_chat(messages, template=TEMPLATE, tools=[{"a": 1}]).endswith('[{"a": 1}]')
    ids = model.chat_ids(messages, template=TEMPLATE)
    special = model.tokenize("<|endoftext|>", parse_special=True)[0]
    assert ids[0] == special and special not in ids[1:]
    answer = model.chat(messages, 8, template=TEMPLATE, temperature=0)
    assert answer == model.generate(ids, 8, temperature=0)
    with pytest.raises(lowp.InputError, match="chat_template"):
        model.render_chat(messages)
    with pytest.raises(lowp.InputError, match="line 1, column 4"):
        model.render_chat(messages, template="{% nonsense %}")


def test_missing_and_broken_files_are_input_errors(tmp_path):
    with pytest.raises(lowp.InputError, match="nosuch.gguf"):
        lowp.Model(tmp_path / "nosuch.gguf")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(range(60)))
    for call in (lambda: lowp.Model(broken), lambda: lowp.quantize_file(broken, tmp_path / "out.gguf", "q4_0")):
        with pytest.raises(lowp.Error, match="broken.gguf"):
            call()
    assert os.listdir(tmp_path) == ["broken.gguf"]
    with pytest.raises(lowp.InputError, match="tokens"):
        lowp.Model("embedded").perplexity("short")
    with pytest.raises((TypeError, ValueError)):
        lowp.Model("em\0bedded")


def test_progress_is_told_and_may_stop_the_work(model, tmp_path):
    seen = []
    model.evaluate(TEXT, progress=lambda what, done, total: seen.append((what, done, total)), **SHORT)
    assert seen and all(0 <= done <= total for _, done, total in seen)

    class Stop(Exception):
        pass

    def stop(what, done, total):
        raise Stop(what)

    with pytest.raises(Stop):
        model.evaluate(TEXT, progress=stop, **SHORT)
    with pytest.raises(Stop):
        lowp.quantize_file("embedded", tmp_path / "stopped.gguf", "q4_k", progress=stop)
    assert os.listdir(tmp_path) == []


def test_ctrl_c_interrupts_long_work(model):
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(100):
            model.evaluate(TEXT, threads=1)
    timer.join()
    assert time.monotonic() - start < 30


def test_other_threads_run_while_a_model_computes(model):
    count, done = 0, threading.Event()

    def work():
        model.evaluate(TEXT, threads=1, context=256, windows=4)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        count += 1
        time.sleep(0.001)
    thread.join()
    assert count > 5


def test_a_generation_keeps_its_model_open():
    stream = lowp.Model("embedded").stream("The old", 4, temperature=0)
    assert "".join(stream)
    assert sys.getrefcount(lowp.Model) > 1
