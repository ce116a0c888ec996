# Two commands do all the set-up: `make demo`, then `make test`. `make help` lists the others.

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
JOBS ?= 2
SECONDS_EACH ?= 600

BIN := $(VENV)/bin
NATIVE := setup.py $(wildcard python/massgraph/native/*.cpp python/massgraph/native/*.h) \
    $(wildcard python/massgraph/native/*.inl)
SANITIZE := -fsanitize=address,undefined -fno-sanitize=null,object-size,pointer-overflow,vptr \
    -fno-sanitize-recover=undefined -fno-omit-frame-pointer
READY := $(VENV)/.installed
NUMPY1 := .venv-numpy1
NEWEST := .venv-newest

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-numpy1 test-newest fuzz sanitize setup r lint format clean distclean

help: ## list these commands
	@echo "make VARIABLE=value COMMAND, with these commands:"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo "and these variables:"
	@echo "  PYTHON=$(PYTHON)  Python >= 3.10 that makes the environment"
	@echo "  VENV=$(VENV)      where the environment is"
	@echo "  DEMO=$(DEMO)       where the demo's results go"
	@echo "  JOBS=$(JOBS)          processes that run the tests"
	@echo "  SECONDS_EACH=$(SECONDS_EACH) time that make fuzz takes for each reader"

demo: setup ## set up, then simulate a tissue, segment it and write the report to demo/
	$(BIN)/massgraph demo --out "$(DEMO)" --overwrite

test: setup ## set up, then run every check and test, Python and R; name what could not run
	@$(BIN)/python tools/run_tests.py --jobs $(JOBS)

test-numpy1: $(NUMPY1)/.installed ## run the Python tests with numpy 1.26 in an environment of its own
	OMP_NUM_THREADS=1 $(NUMPY1)/bin/python -m pytest -n $(JOBS) --dist worksteal

test-newest: $(NEWEST)/.installed ## run the tests of readers, AnnData and scikit-learn with the newest of everything
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest -n $(JOBS) --dist worksteal tests/python/io \
	    tests/python/tl tests/python/data tests/python/test_columns_by_name.py tests/python/test_sklearn.py

fuzz: $(VENV)/.fuzz-installed ## fuzz the readers of imzML, models, labels and AnnData; not part of make test
	MASSGRAPH_FUZZ_EXAMPLES=2000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 0 tests/python/test_fuzz.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run.py --seconds $(SECONDS_EACH)

sanitize: $(READY) ## run the compiled part's tests under AddressSanitizer and UBSan (needs g++)
	rm -rf build/sanitize && mkdir -p build/sanitize && cp -r python/massgraph build/sanitize/
	rm -f build/sanitize/massgraph/_native*
	for source in python/massgraph/native/*.cpp; do \
	    g++ -std=gnu++17 -DMASSGRAPH_SANITIZE -O0 -g1 -fPIC -pthread -ffp-contract=fast $(SANITIZE) \
	        -c $$source -o build/sanitize/$$(basename $$source).o & \
	done; wait
	g++ -shared -pthread $(SANITIZE) build/sanitize/*.o -o build/sanitize/massgraph/_native.so
	PYTHONPATH=build/sanitize LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" OMP_NUM_THREADS=1 \
	    ASAN_OPTIONS=detect_leaks=0 $(BIN)/python -m pytest -q -n 0 -p no:cacheprovider \
	    tests/python/native tests/python/graph/test_compiled.py tests/python/nn/test_native.py

setup: $(READY) r ## make the Python environment in .venv/ and install R where that can be done

r: ## install R and testthat where that can be done, otherwise name the packages
	@tools/r_packages.sh

lint: $(READY) ## ruff, mypy and the linter of imports only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY) ## put the Python files into the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what demo, tests and builds leave behind; keep the environments
	rm -rf demo build dist *.Rcheck massgraph_*.tar.gz .pytest_cache .mypy_cache .import_linter_cache .ruff_cache .hypothesis
	rm -f python/massgraph/_native.so
	find python tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the environments as well
	rm -rf .venv $(NUMPY1) $(NEWEST) python/massgraph.egg-info

$(READY): pyproject.toml constraints.txt tools/python_environment.sh $(NATIVE)
	@tools/python_environment.sh "$(PYTHON)" "$(VENV)" constraints.txt
	@touch $@

$(VENV)/.fuzz-installed: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[fuzz]'
	@touch $@

# The versions of Python 3.10 are the newest that still take numpy 1.26, also on later Pythons.
$(NUMPY1)/.installed: pyproject.toml constraints.txt tools/python_environment.sh
	@mkdir -p build
	@sed -e '/>= "3.11"$$/d' -e 's/ ; python_version < "3.11"$$//' -e 's/^numpy==.*/numpy==1.26.*/' \
	    constraints.txt > build/constraints-numpy1.txt
	@tools/python_environment.sh "$(PYTHON)" $(NUMPY1) build/constraints-numpy1.txt
	@touch $@

# Only torch stays, for its CPU build. anndata 0.13 and pandas 3 need a Python of 3.12 or later.
$(NEWEST)/.installed: pyproject.toml constraints.txt tools/python_environment.sh
	@mkdir -p build
	@sed -n '/^torch==/p' constraints.txt > build/constraints-newest.txt
	@tools/python_environment.sh "$(PYTHON)" $(NEWEST) build/constraints-newest.txt
	@touch $@
