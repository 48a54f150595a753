# make demo: from videos to an animated portrait; on synthetic heads, or on the videos of CLIPS=folder.
# make test: the test suite. Both install what they need into VENV.
PYTHON ?= python3
VENV ?= .venv
CLIPS ?=
OUT ?= runs/demo
RECONSTRUCTION_STEPS ?= 1000
MOUTH_POSE_STEPS ?= 160
PYTEST_ARGS ?= -n 2
HEAVY = tests/parity/test_train.py

# Programs compiled once are found again by the next command and the next `make`.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/$(VENV)/jax_cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 2

.PHONY: demo test lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m launch.demo $(if $(CLIPS),--clips "$(CLIPS)") --out "$(OUT)" \
	  --reconstruction-steps $(RECONSTRUCTION_STEPS) --mouth-pose-steps $(MOUTH_POSE_STEPS) $(if $(LIMIT),--limit $(LIMIT))

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS) --ignore=$(HEAVY)
	@# One at a time: each takes up to half of 24 GB. Code 5: nothing to run, as the golden numbers are absent.
	@# Full-size steps, which take longer to run than to compile.
	XLA_FLAGS=--xla_backend_optimization_level=3 $(VENV)/bin/python -m pytest $(HEAVY) || [ $$? -eq 5 ]

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,faces]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
