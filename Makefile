# make demo   everything from a fresh Debian machine to a trained network on the emulator
# make test   the same set-up, then GoogleTest and pytest
# make bench-peers, then make bench   benchmarks against other libraries; BENCH_ARGS=--quick for a look
# make docs   the documentation, in site/
# make test-slow, make format, make lint, make wheel, make clean
#
# VENV names the virtual environment (default .venv), PYTHON the interpreter that makes it, JOBS the parallel compilers.
VENV ?= .venv
PYTHON ?= python3
JOBS ?= $(shell nproc)
BUILD ?= build
export PATH := $(PATH):/usr/local/cuda/bin

BIN := $(abspath $(VENV))/bin
STAMP := $(VENV)/.gradspike-requirements
CMAKE_ARGS ?=

.PHONY: all demo test sanitized test-slow bench bench-peers docs format lint wheel clean system venv configure build build-all

all: build

system:
	@./tools/system-packages

$(STAMP): tools/requirements.txt | system
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tools/requirements.txt
	@touch $@

# The package is used from this source tree, also where several of them share a virtual environment.
venv: system $(STAMP)
	@echo "$(CURDIR)/python" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/gradspike-source-tree.pth"

configure: venv
	@test -f $(BUILD)/build.ninja || cmake -S . -B $(BUILD) -G Ninja -DPython3_EXECUTABLE=$(BIN)/python $(CMAKE_ARGS)

build: configure
	@cmake --build $(BUILD) -j $(JOBS) --target libraries

build-all: configure
	@cmake --build $(BUILD) -j $(JOBS)

demo: build
	$(BIN)/python -m gradspike demo

test: build-all lint sanitized
	cd $(BUILD) && ctest --output-on-failure --no-tests=error -LE slow
	$(BIN)/python -m pytest -q -m "not slow" -n $(JOBS)

# The CUDA kernels run on the CPU under AddressSanitizer and UndefinedBehaviorSanitizer, where there is a toolkit.
sanitized: configure
	@test -f $(BUILD)-asan/build.ninja || cmake -S . -B $(BUILD)-asan -G Ninja -DGRADSPIKE_TORCH=OFF -DGRADSPIKE_SANITIZE=address
	@! grep -q "^build test_kernels_on_host:" $(BUILD)-asan/build.ninja || { cmake --build $(BUILD)-asan -j $(JOBS) --target test_executor test_kernels_on_host && cd $(BUILD)-asan && ctest --output-on-failure --no-tests=error -R "test_executor|test_kernels_on_host"; }

test-slow: build-all
	tools/slow-tests $(BIN) $(BUILD)

# Libraries to compare with, in an environment of their own; without it the benchmarks skip them and say so.
PEERS ?= .venv-peers
BENCH_ARGS ?=

bench: build
	$$(test -x $(PEERS)/bin/python && echo $(PEERS)/bin/python || echo $(BIN)/python) tests/benchmarks/run.py $(BENCH_ARGS)

bench-peers: build
	tools/peers-environment $(VENV) $(PEERS) $(CURDIR)

# The documentation: in an environment of its own, since docstrings are read from the sources and nothing is imported.
DOCS_VENV ?= .venv-docs
DOCS_STAMP := $(DOCS_VENV)/.gradspike-requirements

$(DOCS_STAMP): tools/requirements-docs.txt | system
	@test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r tools/requirements-docs.txt
	@touch $@

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict
	@echo "site/index.html; with a search: $(PYTHON) -m http.server --directory site"

SOURCES = $(shell find csrc cuda include ops tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')

format:
	$(BIN)/clang-format -i $(SOURCES)
	$(BIN)/ruff check --fix -q python tests examples
	$(BIN)/ruff format -q python tests examples

lint: venv
	@$(BIN)/clang-format --dry-run --Werror $(SOURCES)
	@$(BIN)/ruff check -q python tests examples
	@$(BIN)/ruff format -q --check python tests examples
	@$(BIN)/mypy python/gradspike

wheel: venv
	$(BIN)/python -m pip wheel --no-build-isolation --no-deps -w dist .

clean:
	rm -rf $(BUILD) dist
