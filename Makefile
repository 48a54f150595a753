# make demo: from videos to an animated portrait; on synthetic heads, or on the videos of CLIPS=folder.
# make test: the fast and the integration tests. make test-release: these and all that take long (docs/testing.md).
# All install what they need into VENV.
PYTHON ?= python3
VENV ?= .venv
CLIPS ?=
OUT ?= runs/demo
RECONSTRUCTION_STEPS ?= 1000
MOUTH_POSE_STEPS ?= 160
PYTEST_ARGS ?= -n 2

# Programs compiled once are found again by the next command, the next `make` and the next clone.
export JAX_COMPILATION_CACHE_DIR ?= $(HOME)/.cache/edtalk_jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1

.PHONY: demo test test-release lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m launch.demo $(if $(CLIPS),--clips "$(CLIPS)") --out "$(OUT)" \
	  --reconstruction-steps $(RECONSTRUCTION_STEPS) --mouth-pose-steps $(MOUTH_POSE_STEPS) $(if $(LIMIT),--limit $(LIMIT))

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS) -m "not release"

test-release: $(VENV)/installed
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS) -m "not release"
	@# One process, since some tests take up to half of 24 GB and some measure the machine.
	$(VENV)/bin/python -m pytest -m release
	$(VENV)/bin/python -m tests.mutants

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,faces]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
