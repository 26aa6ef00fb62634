# The project's two commands are `make run` and `make test`; each first builds what it lacks.
#
# They need git, make, Python 3.11 or newer and pip: uv is installed into .tools/ (Debian's Python refuses system-wide
# installs and may come without venv's own pip), the locked dependencies into .venv/. The tests also drive a few programs
# of the machine's, a browser among them; as root on Debian `make test` installs those that are missing.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin
BENCHES := wrap append cli http stream
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
PORT ?= 8420
TEST_JOBS ?= 4
TEST_ARGS ?=

# The interpreter is the machine's own, and so are the certificates it trusts.
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

TOOLS := .tools/uv-$(UV_VERSION)
VENV := .venv/locked
BENCH := .venv/locked-bench
DOCS := build/docs-venv/locked
VENDORED := dre/server/pages/static/vendor

.PHONY: help build run test machine lint format fuzz-api bench bench-quick docs screens vendor changelog dist audit clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(VENV) ## Make .venv/ with .venv/bin/dre, byte-compiled
	@$(BIN)/python -m compileall -q dre

run: build ## Record a first operation in build/demo, prove its history, serve it on PORT until Ctrl-C
	@sh examples/first-run.sh $(PORT)

test: machine lint ## Build, then check style, types and import contracts, then run every test
	$(BIN)/python -m pytest -n $(TEST_JOBS) $(TEST_ARGS)

machine: ## Install what the tests drive, as root on Debian; elsewhere name what is missing
	@bash .ci/machine

lint: build ## Style, format, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github

format: build ## Lay the code out as `make lint` wants it
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

fuzz-api: build ## Hold the REST API against its OpenAPI document with thousands of requests (schemathesis)
	DRE_TEST_CAMPAIGN=100 $(BIN)/python -m pytest -s --timeout 0 tests/server/test_fuzz.py

bench: build $(BENCH) ## Measure against the named peers, in full
	@set -e; for bench in $(BENCHES); do $(BIN)/python bench/$$bench.py; done

bench-quick: build $(BENCH) ## The same in less than four minutes
	@set -e; for bench in $(BENCHES); do $(BIN)/python bench/$$bench.py --quick; done

docs: $(DOCS) ## Build the documentation into build/site; a broken link fails
	build/docs-venv/bin/zensical build --strict --clean

screens: build ## Type the commands of the first pages anew and write into them what is printed
	@PYTHONPATH=tests $(BIN)/python tests/docs/retype.py

vendor: ## Fetch with npm what the pages use of others, by web/package-lock.json, and put it where it is committed
	@mkdir -p build/vendor && cp web/package.json web/package-lock.json build/vendor
	@cd build/vendor && npm ci --silent --ignore-scripts --no-audit --no-fund
	@cp build/vendor/node_modules/idiomorph/dist/idiomorph.min.js $(VENDORED)
	@cp build/vendor/node_modules/idiomorph/LICENSE $(VENDORED)/idiomorph.LICENSE
	@cd $(VENDORED) && sha256sum idiomorph.* > SHA256SUMS && git diff --stat -- .

dist: build ## Build the sdist and the wheel into dist/
	rm -rf dist
	$(UV) build --out-dir dist

changelog: $(DOCS) ## Show what the next release will say, from changes/
	@build/docs-venv/bin/towncrier build --draft --version $(VERSION)

audit: build ## Look for known vulnerabilities in everything that is locked
	$(UV) audit --frozen

clean: ## Remove everything that was built, .venv/ and .tools/ included
	rm -rf .venv .tools build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(TOOLS): Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@test -x .tools/bin/python || $(PYTHON) -m venv --without-pip .tools
	@$(PYTHON) -m pip --python .tools/bin/python install --quiet uv==$(UV_VERSION)
	@rm -f .tools/uv-*
	@touch $@

$(VENV): $(TOOLS) pyproject.toml uv.lock
	@$(UV) sync --quiet --frozen --compile-bytecode --python $(PYTHON)
	@touch $@

# The peers that benchmarks compare with come on top of the environment, not into it from the start.
$(BENCH): $(VENV)
	@$(UV) sync --quiet --frozen --inexact --compile-bytecode --python $(PYTHON) --group bench
	@touch $@

$(DOCS): $(TOOLS) pyproject.toml uv.lock
	@UV_PROJECT_ENVIRONMENT=build/docs-venv $(UV) sync --quiet --frozen --python $(PYTHON) --only-group docs
	@touch $@
