# SPDX-License-Identifier: BSD-3-Clause
#
# A thin face over meson: one build tree per configuration under build/. `make help` says what there is.

PREFIX ?= /usr/local
# In the loader's path for every PREFIX that is; what meson would guess is not.
LIBDIR ?= lib
DESTDIR ?=
INPUT ?=
FAULT ?=
HUGE_PAGES ?= 256
SECONDS ?= 60
SEED ?= any
STORM_SECONDS ?= 3600
FUZZ_SECONDS ?= 1800

demo_build = $(if $(FAULT),fault-$(FAULT),release)

.PHONY: all demo demo-vm test test-vm test-long torture coverage bench install format lint asan ubsan tsan clean help

all:
	@scripts/deps build
	@scripts/build release

demo:
	@scripts/deps build
	@scripts/build $(demo_build)
	@build/$(demo_build)/tools/pgmap demo $(if $(INPUT),'$(INPUT)')

test:
	@scripts/deps build test
	@scripts/with-hugepages --try $(HUGE_PAGES) scripts/test

test-vm:
	@scripts/deps build test
	@scripts/test --suite vm

demo-vm:
	@scripts/deps build test
	@scripts/build release
	@echo 'a virtual machine with Debian'"'"'s kernel boots (10 s)'
	@tests/vm/run.py --show demo

test-long:
	@scripts/deps build test
	@STORM_SECONDS=$(STORM_SECONDS) FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/with-hugepages --try $(HUGE_PAGES) scripts/test --long

torture:
	@scripts/deps build
	@scripts/build release
	@python3 tests/torture/run.py build/release/tests/torture/torture-delayed $(SEED) seconds=$(SECONDS)

coverage:
	@scripts/deps build
	@scripts/check-coverage --report

bench:
	@scripts/deps build
	@scripts/deps vm bench || echo 'bench: goes on without the peers that are missing'
	@scripts/with-hugepages --try --1g 3 scripts/with-hugepages --try 1664 bench/run

install:
	@scripts/deps build
	@scripts/build release
	@meson configure build/release -Dprefix='$(abspath $(PREFIX))' -Dlibdir='$(LIBDIR)' >/dev/null
	@scripts/build release
	@meson install -C build/release --quiet --no-rebuild $(if $(DESTDIR),--destdir '$(abspath $(DESTDIR))')
	@[ -n '$(DESTDIR)' ] || [ "$$(id -u)" != 0 ] || ldconfig

format:
	@scripts/deps build test
	@scripts/check-format --fix

lint:
	@scripts/deps build test
	@scripts/test --suite lint

asan ubsan tsan:
	@scripts/deps build test
	@scripts/test --suite $@

clean:
	@rm -rf build

help:
	@echo 'make                            build/release: libpgmap, pgmap, pgmapd'
	@echo 'make demo [INPUT=PATH]          the demonstration on real files; FAULT=early|leak|stale|unwiped plants that bug'
	@echo 'make demo-vm                    the same on a real /dev/dax0.0 in a virtual machine, and its driver unbound under load'
	@echo 'make test                       all that CI runs; last line: N passed, N failed'
	@echo 'make test-vm                    the part of it that runs in virtual machines, on real device memory'
	@echo 'make test-long STORM_SECONDS= FUZZ_SECONDS=   the same with longer storms and searches, and all mutations'
	@echo 'make torture SECONDS= SEED=     the core by many threads against an oracle'
	@echo 'make coverage                   what of src/core its tests reach'
	@echo 'make bench                      the table of figures, and build/bench.json'
	@echo 'make install DESTDIR= PREFIX=   libraries, headers, programs, man pages'
	@echo 'make format | lint              clang-format in place | format, lengths, clang-tidy, cppcheck'
	@echo 'make asan | ubsan | tsan        the tests under one sanitizer, each in a build tree of its own'
	@echo 'make clean                      build/ goes'
