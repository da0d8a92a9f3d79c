# Needs python3 (3.11 to 3.14, with venv) and the Python package index; everything else is installed into .venv.
#   make PYTHON=python3.13 test     choose the interpreter (only asked while .venv does not exist)

PYTHON  ?= python3
WORKERS ?= 2
HOURS   ?= 2
SEED    ?= $(shell date +%s)
VENV    := .venv
BIN     := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

NOJIT = NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n $(WORKERS) tests/kernels tests/ops tests/optim tests/scan
BOUNDSCHECK = NUMBA_BOUNDSCHECK=1 $(BIN)/python -m pytest -n $(WORKERS) \
	tests/kernels/test_gemm.py tests/kernels/test_indexing.py tests/kernels/test_update.py tests/ops/test_indexing.py \
	tests/scan/test_compiled.py tests/scan/test_compiled_graph.py \
	-k 'not test_options and not test_gradient_of_the_last and not test_sizes_of_one'

SUITE        = build/array-api-tests
# Release 2026.02.26.
SUITE_COMMIT = 41379d15d26d67a1e66c840e775d41a8a7fb1516

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-nojit test-boundscheck array-api site check lines soak soak-runs fuzz mutants bench format clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-plot ## train on sentences about fruit, animals and cities, sample, rank words that sound alike
	$(BIN)/tinygrad-seq train --corpus demo --level word --unit line --steps 800 --dropout 0.2 --out runs/demo --force
	$(BIN)/tinygrad-seq info runs/demo --png runs/demo/curves.png
	$(BIN)/tinygrad-seq sample runs/demo --length 200 --seed 0
	$(BIN)/tinygrad-seq score runs/demo --groups < examples/homophones.txt

test: $(VENV)/.installed-test ## run the tests and the examples of the docstrings
	$(BIN)/python -m pytest -n $(WORKERS)

test-nojit: $(VENV)/.installed-test ## run kernels, operations and scan as plain Python, on many more random cells
	$(NOJIT)

test-boundscheck: $(VENV)/.installed-test ## run kernels and scan with every index checked
	$(BOUNDSCHECK)

array-api: $(VENV)/.installed-test ## run the test suite of the array API standard, cloned from GitHub, with its known differences
	test -d $(SUITE) || git clone --quiet --recurse-submodules https://github.com/data-apis/array-api-tests $(SUITE)
	git -C $(SUITE) checkout --quiet $(SUITE_COMMIT)
	git -C $(SUITE) submodule --quiet update --init
	$(BIN)/python -m pip install --quiet pytest-json-report 'ndindex>=1.8'
	cd $(SUITE) && ARRAY_API_TESTS_MODULE=tinygrad_seq.array_api ARRAY_API_TESTS_SKIP_DTYPES=complex64,complex128 \
		$(CURDIR)/$(BIN)/python -m pytest -q --disable-deadline -o xfail_strict=True \
		--xfails-file=$(CURDIR)/tests/array_api_differences.txt array_api_tests

site: $(VENV)/.installed-test ## build the documentation into build/site, with every code cell and notebook executed
	$(BIN)/sphinx-build --fresh-env --fail-on-warning --keep-going --quiet --jobs $(WORKERS) docs build/site
	$(BIN)/python -m tools.check_site build/site

check: $(VENV)/.installed-dev ## lint, formatting, types, tests in all three ways, the site, lines of code: what a change must pass
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(NOJIT)
	$(BOUNDSCHECK)
	$(BIN)/python -m pytest -n $(WORKERS)
	$(MAKE) site
	$(BIN)/python -m tools.lines

lines: $(VENV)/.installed-test ## print the lines of code per folder
	$(BIN)/python -m tools.lines

soak: $(VENV)/.installed-test ## run random programs for HOURS on both cores and print the counts; failing scripts go to soak/
	$(BIN)/python -m tinygrad_seq.testing soak --hours $(HOURS) --seed $(SEED) --workers $(WORKERS) --out soak --json soak/counts.json

soak-runs: $(VENV)/.installed-test ## kill, stop and disturb training runs for about an hour; the folders of failures go to soak/
	$(BIN)/python -m tests.soak --seed $(SEED) --out soak --json soak/runs.json

fuzz: $(VENV)/.installed-test ## give 100,000 hostile inputs to every reader and print the counts; failing inputs go to fuzz/
	$(BIN)/python -m tests.fuzz --inputs 100000 --seed $(SEED)

mutants: $(VENV)/.installed-test ## plant each fault of tests/mutants and see that a test fails
	$(BIN)/python -m tests.mutants --workers $(WORKERS)

bench: $(VENV)/.installed-bench ## compare with PyTorch, JAX, onnxruntime, autograd and MyGrad; write the figures of docs/performance.md
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks --table

format: $(VENV)/.installed-dev ## sort the imports, apply the safe fixes, format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove caches and build products (keeps .venv and runs)
	rm -rf build dist htmlcov .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find tinygrad_seq tests benchmarks examples tools -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv
	rm -rf $(VENV)

# One stamp for each extra of pyproject.toml; a change of that file installs again.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/pip
	@echo 'installing .[$*] into $(VENV), which takes a minute or two ...'
	@$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

# pip and not python is the target: a system without the venv module leaves a .venv behind that has only the latter.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 15) or sys.exit("make: Python 3.11 to 3.14 is needed, $(PYTHON) is %d.%d; name another, e.g. make PYTHON=python3.13" % v[:2])'
	$(PYTHON) -m venv $(VENV)
