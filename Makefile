# Every target makes the environment that it needs in .venv; nothing but Python >= 3.11 has to be there.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# What generates the pages of schedules. timm, below, comes without torchvision, which its schedulers do not need.
PAGES := "griffelib>=2.0" "latex2mathml>=3.77"
DEV := $(PAGES) "accelerate>=1.0" "greenlet>=3.0" "hypothesis>=6.100" "lightning>=2.4" "mypy>=1.13" "pytest>=8.3" \
	"pytest-timeout>=2.3" "pytest-xdist>=3.6" "ruff>=0.8" "torchrl>=0.13" "transformers>=4.46"

.PHONY: demo test lint types stress bench docs clean

demo: $(VENV)/.demo
	$(RUN) samples/cartpole_dqn.py $(ARGS)

test: $(VENV)/.dev
	$(RUN) -m pytest -m "not stress" --numprocesses 2 $(ARGS)

lint: $(VENV)/.dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.dev
	$(RUN) -m mypy

stress: $(VENV)/.torchrl
	$(RUN) -m pytest tests/data/test_torchrl.py
	$(RUN) -m pytest tests -m stress --timeout 900 --numprocesses 2 --dist worksteal $(ARGS)

bench: $(VENV)/.demo
	$(RUN) -m benchmarks $(ARGS)

docs: $(VENV)/.docs
	$(RUN) -m mkdocs build --strict

clean:
	rm -rf $(VENV) site

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pamiq-sched needs Python 3.11 or later; run make with PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[gym,plot,console,config]"
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) $(DEV)
	$(PIP) --no-deps "timm>=1.0"
	@touch $@

# No wheel of TorchRL suits every torch. Where its compiled part cannot be built, the tests that need it are skipped.
$(VENV)/.torchrl: $(VENV)/.dev
	$(PIP) ninja setuptools
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(RUN) tests/data/build_torchrl.py || true
	@touch $@

$(VENV)/.docs: $(VENV)/.demo
	$(PIP) $(PAGES) "mkdocs-material>=9.5"
	$(PIP) --no-deps "timm>=1.0"
	@touch $@
