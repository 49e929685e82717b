# The front door. Meson does the work in build/.
all: build/build.ninja
	ninja -C build

build/build.ninja:
	meson setup build

.PHONY: all
