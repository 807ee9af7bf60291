# Two commands for a fresh clone: `make demo` and `make test`. Both make their own environment.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# Threads of GNU's OpenMP that spin long are ruinous beside other programs (docs/user_guide.md).
export GOMP_SPINCOUNT ?= 10000

.NOTPARALLEL:  # two rules would write the environment at once
.PHONY: demo test lint quick checks coverage fuzz soak docs docs-check dist distributed oldest newest benchmark tables clean

# pip compiles modules one after the other, which takes longer than the rest; compileall uses all cores.
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
COMPILE = $(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null || true

# The demo needs about a third less on disk than the tests.
$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[plot]" pandas
	$(COMPILE)
	touch $@

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[dev]"
	$(COMPILE)
	touch $(VENV)/.demo $@

demo: $(VENV)/.demo  ## Cluster scikit-learn's digits: a table, and pictures in build/demo/
	$(BIN)/python examples/plot_digits.py --seeds 3 --output build/demo

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

quick: $(VENV)/.installed  ## The tests without scikit-learn's checks
	$(BIN)/python -m pytest -q --ignore tests/estimators/test_common.py

test: lint  ## Everything CI does
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

checks: $(VENV)/.installed  ## scikit-learn's checks on every estimator as it is constructed by default
	OMP_NUM_THREADS=1 SKVADE_DEFAULT_CHECKS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal tests/estimators/test_common.py

# Sphinx is installed for the site only, so `make test` does without it.
$(VENV)/.docs: $(VENV)/.installed
	$(INSTALL) -e ".[docs]"
	touch $@

# All examples run, which takes most of the time; SKVADE_GALLERY=0 runs none.
docs: $(VENV)/.docs  ## The site, in build/docs/; every warning is an error
	rm -rf build/docs docs/generated/*.rst
	$(BIN)/sphinx-build -E -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo "Open build/docs/index.html"

docs-check: $(VENV)/.docs  ## Every page of the site in headless Chromium (Debian's package chromium)
	$(BIN)/python docs/check_site.py build/docs

dist: $(VENV)/.installed  ## Source archive and wheel in dist/, tried one after the other in an empty environment
	rm -rf dist build/lib
	mkdir -p build
	$(BIN)/python -m build --outdir dist > build/dist.log
	place=$$(mktemp -d) && trap 'rm -rf "$$place"' EXIT && \
	$(PYTHON) -m venv "$$place/venv" && cp docs/check_installed.py constraints.txt "$$place" && \
	for archive in $(CURDIR)/dist/*.tar.gz $(CURDIR)/dist/*.whl; do \
	    cd "$$place" && export PIP_DISABLE_PIP_VERSION_CHECK=1 && \
	    venv/bin/pip install --quiet --force-reinstall --no-deps "$$archive" && \
	    venv/bin/pip install --quiet -c constraints.txt "$$archive" && \
	    venv/bin/python check_installed.py $(CURDIR) || exit 1; \
	done

coverage: $(VENV)/.installed  ## Lines and branches that the quick tests run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal --ignore tests/estimators/test_common.py \
	    --cov --cov-report term-missing:skip-covered

EXAMPLES ?= 3000
fuzz: $(VENV)/.installed  ## Thousands of random fits, and of damaged model files
	OMP_NUM_THREADS=1 SKVADE_FUZZ=$(EXAMPLES) $(BIN)/python -m pytest -q -n 2 tests/estimators/test_fuzz.py
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz_files
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz_files --pipelines --number 3000

soak: $(VENV)/.installed  ## 300 fits in one process, and 25 fits killed and taken up again
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.soak
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.kills

$(VENV)/.distributed: $(VENV)/.installed
	$(INSTALL) -e ".[ray,dask,readers]"
	touch $@

distributed: $(VENV)/.distributed  ## All tests of several processes, and the examples on Ray and Dask
	OMP_NUM_THREADS=1 SKVADE_LONG=1 $(BIN)/python -m pytest -q tests/distributed
	OMP_NUM_THREADS=1 $(BIN)/torchrun --nproc-per-node 2 examples/distributed/torchrun.py
	OMP_NUM_THREADS=1 $(BIN)/python examples/distributed/dask_predict.py
	OMP_NUM_THREADS=1 $(BIN)/python examples/distributed/ray_train.py

# scikit-learn's checks on the lowest versions that pyproject.toml admits (torch as installed).
oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e ".[test]"
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -q -n 2 --dist worksteal tests

# The same on the newest versions that there are (torch as it is developed with); PYTHON=python3.13
# for the newest Python too.
newest:
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet --disable-pip-version-check \
	    $$(grep ^torch== constraints.txt) -e ".[plot,test]"
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -q -n 2 --dist worksteal tests

# The whole should take some twelve hours on two cores (not run as a whole yet). What has a record of the
# same code is not measured again, so that it goes on where it was interrupted.
SETS = digits usps pendigits har sc_worm_neuron reuters21578 mnist
OTHERS = kmeans,gmm,ae+kmeans,ae+gmm,vae+gmm,vade-published
FAMILY = gmvae,m2,dec,idec,depict,dcn
FEW = vade-classifier,m2-classifier,adgm,sdgm,auxiliary,m1+m2,m1+m2-clusters
ABLATION = vade,without-neighbours,without-push,without-information,without-full,without-closed-form,without-hold,without-rescaling
MEASURE = $(BIN)/python -m benchmarks.accuracy --jobs 2 --shelf build/shelf
PEERS = $(BIN)/python -m benchmarks.peers
CLUSTPY = "clustpy vade,clustpy dec,clustpy idec,clustpy dcn"
benchmark: $(VENV)/.installed  ## Every method on every data set (set SKVADE_DATA to a folder of files)
	$(PEERS) && $(PEERS) --methods skvade --seeds 0:10
	$(PEERS) --data tables,batteries
	$(PEERS) --data iris,wine,breast_cancer,digits --methods $(CLUSTPY)
	for data in $(SETS); do $(MEASURE) --data $$data --method vade || exit 1; done
	for data in $(SETS); do $(MEASURE) --data $$data --method $(OTHERS) --seeds 0:5 || exit 1; done
	for data in $(SETS); do $(MEASURE) --data $$data --method vade,ae+gmm --split train --seeds 0:5 || exit 1; done
	for data in mnist-10k usps; do $(MEASURE) --data $$data --method $(ABLATION) --seeds 0:5 || exit 1; done
	$(MEASURE) --data mnist --split few-labels --method $(FEW) --seeds 0:5
	for data in usps reuters21578 mnist; do $(MEASURE) --data $$data --method $(FAMILY) --seeds 0:5 || exit 1; done
	for name in ablation draws searches mixed missing counts shapes verdicts confidence; do OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.$$name || exit 1; done
	$(MAKE) tables

tables: $(VENV)/.installed  ## docs/benchmarks.md, and the figures of README and docs, from the records
	$(BIN)/python -m benchmarks.pages

clean:
	rm -rf $(VENV) .venv-oldest .venv-newest build dist *.egg-info docs/generated docs/gallery
