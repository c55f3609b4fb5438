# make demo: the whole pipeline on synthetic songs. make open: the same from open listening data.
# make test: the quick tests. make test-all: every test. Each does its own set-up.

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
CONFIG ?= config.yaml

.PHONY: demo open test test-all studies setup setup-dev lint lock clean

demo: setup
	@set -e; for stage in 01_collect 02_download 03_features 04_baseline 05_train 06_evaluate; do \
		echo; echo "== $$stage.py"; $(RUN) $$stage.py --config $(CONFIG); done

# Open popularity from a dump of listens and sound from Deezer, on synthetic songs.
OPEN := --config configs/open.yaml --set collect.api=standin --set collect.listens=data/listens

open: setup
	$(RUN) -m standin --config configs/open.yaml --listens data/listens
	@set -e; for stage in 01_collect 02_download 03_features 04_baseline 05_train 06_evaluate; do \
		echo; echo "== $$stage.py"; $(RUN) $$stage.py $(OPEN); done

PYTEST := $(RUN) -m pytest -q -n 2 --dist loadgroup --no-loadscope-reorder

# All but the tests marked `long`.
test: setup-dev
	$(PYTEST) -m "not long"

test-all: setup-dev
	$(PYTEST)

# The presets of all five studies, small: that they run, and what they cost.
studies: setup
	$(RUN) benchmarks/studies.py $(STUDIES)

# What the scripts need. Bytecode is made of the modules in use only: of all, it takes a minute and 300 MB.
setup: $(VENV)/.installed

# And what only the tests, clusters and TensorBoard need.
setup-dev: $(VENV)/.installed-dev

INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile

# Made anew whenever the pinned packages change.
$(VENV)/.installed: requirements.txt requirements-musicnn.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); \
		sys.exit(None if ok else "Hitsong needs Python 3.11 to 3.13, not %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.txt
	$(INSTALL) --no-deps -r requirements-musicnn.txt
	@for module in hitsong.report.build hitsong.training.fit hitsong.service.app; do $(RUN) -c "import $$module"; done
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(INSTALL) -r requirements-dev.txt
	@touch $@

lint: setup-dev
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/lint-imports --no-cache

# Pin the newest versions that pyproject.toml allows (needs uv).
COMPILE := uv pip compile pyproject.toml --universal --generate-hashes --no-annotate --quiet \
	--custom-compile-command "make lock"
lock:
	$(COMPILE) --upgrade --output-file requirements.txt
	$(COMPILE) --extra dev --constraint requirements.txt --output-file requirements-dev.txt

clean:
	rm -rf $(VENV)
