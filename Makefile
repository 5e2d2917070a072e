# The whole developer interface. `make` prints it.
BUILD  ?= build
PREFIX ?= /usr/local
JOBS   ?= $(shell nproc)
T      ?= 60
PYTHON := .venv/bin/python
CMAKE  := cmake -G Ninja $(if $(shell command -v ccache),-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)

.DEFAULT_GOAL := help
.PHONY: help deps run build install deb test unit http lint fmt tidy asan tsan fuzz fuzz-replay bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what building and testing need (apt; pip into .venv)
	tools/deps.sh all

run: ## from nothing to a served model: packages, build, a small model, a first answer (ONCE=1 stops after it)
	tools/deps.sh run
	$(MAKE) build TESTS=OFF BUILD=$(BUILD)
	tools/run.sh $(BUILD)/lancet

build: ## the release program, build/lancet
	$(CMAKE) -S . -B $(BUILD) -DLANCET_TESTS=$(or $(TESTS),OFF)
	cmake --build $(BUILD) -j $(JOBS)

install: build ## program, manual page, completions, unit and documents under $(DESTDIR)$(PREFIX)
	DESTDIR=$(abspath $(DESTDIR)) cmake --install $(BUILD) --prefix $(PREFIX)

deb: ## a Debian package of this tree, in build/
	tools/deb.sh $(BUILD)

test: deps ## everything: build, units and cases, HTTP and command line, lint
	$(MAKE) build TESTS=ON
	$(MAKE) unit http lint

unit: ## unit tests and corpus replay of the release build
	LANCET_SMOLLM2_GGUF=$$(tools/fetch_smollm2.sh) ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

http: ## command line and HTTP tests (pytest, official openai client) against build/lancet
	LANCET_BINARY=$(abspath $(BUILD)/lancet) $(PYTHON) -m pytest -q tests/python

lint: ## layers, sizes, banned words, formatting
	python3 tools/check_layers.py
	clang-format-16 --dry-run --Werror $$(git ls-files '*.h' '*.cpp')

fmt: ## format all C++
	clang-format-16 -i $$(git ls-files '*.h' '*.cpp')

tidy: ## clang-tidy over src/ (minutes)
	$(CMAKE) -S . -B build-tidy -DLANCET_TESTS=OFF
	cmake --build build-tidy --target unicode_tables
	git ls-files 'src/*.cpp' | xargs -P $(JOBS) -n 4 clang-tidy-16 -p build-tidy --quiet

asan: ## the suites under address, undefined-behaviour and leak sanitizers (without SmolLM2's numbers)
	$(CMAKE) -S . -B build-asan -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g1" -DLANCET_SANITIZE=address,undefined
	cmake --build build-asan -j $(JOBS)
	ctest --test-dir build-asan --output-on-failure -j $(JOBS) -LE fuzz
	LANCET_BINARY=$(abspath build-asan/lancet) LANCET_SLOW_BINARY=1 $(PYTHON) -m pytest -q tests/python -k 'not smol'

tsan: ## engine, server and hub under the thread sanitizer
	$(CMAKE) -S . -B build-tsan -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g1" -DLANCET_SANITIZE=thread
	cmake --build build-tsan -j $(JOBS) --target test_base test_backend test_engine test_server test_hub
	ctest --test-dir build-tsan --output-on-failure -R '^(base|backend|engine|server|hub)$$'

fuzz-replay: ## the fuzz corpora under the address sanitizer (after make asan)
	$(CMAKE) -S . -B build-asan -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g1" -DLANCET_SANITIZE=address,undefined
	cmake --build build-asan -j $(JOBS)
	ctest --test-dir build-asan --output-on-failure -j $(JOBS) -L fuzz

fuzz: ## a fuzzing campaign, T seconds a target
	$(CMAKE) -S . -B build-fuzz -DCMAKE_CXX_COMPILER=clang++-16 -DLANCET_FUZZ=ON -DLANCET_SANITIZE=address,undefined
	cmake --build build-fuzz -j $(JOBS)
	tools/fuzz.sh build-fuzz/fuzz $(T)

bench: ## kernel benchmarks, one JSON line each
	$(CMAKE) -S . -B build-bench -DLANCET_TESTS=OFF -DLANCET_BENCH=ON
	cmake --build build-bench -j $(JOBS)
	build-bench/bench/bench_kernels

clean: ## remove all build folders
	rm -rf build build-asan build-tsan build-fuzz build-bench build-tidy
