# make demo: the main job end to end, with a report.   make test: the whole suite.
PYTHON ?= python3
VENV ?= .venv
# The build that an installation leaves behind is what pyright reads: there models/ and export/ lie in the package.
TYPES = $(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
PYTEST = $(VENV)/bin/pytest -q -n 2 --dist loadfile

.PHONY: demo test preset lint clean

# A wheel is installed, never the checkout itself: what is tested is what users get.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip

demo: $(VENV)/bin/python
	rm -rf build
	$(VENV)/bin/python -m pip install --quiet .
	$(VENV)/bin/keras-wcd demo

test: $(VENV)/bin/python
	rm -rf build
	$(VENV)/bin/python -m pip install --quiet ".[test]"
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	$(TYPES)
	KERAS_BACKEND=jax $(PYTEST) -m backend
	if $(VENV)/bin/python -c "import torch" 2>/dev/null; then KERAS_BACKEND=torch $(PYTEST) -m backend; fi
	KERAS_BACKEND=tensorflow $(PYTEST) --durations=15

# The network that ships, trained anew; about 50 minutes.
preset: $(VENV)/bin/python
	rm -rf build
	$(VENV)/bin/python -m pip install --quiet .
	$(VENV)/bin/python examples/train_preset.py -o models/preset-default --run runs/preset --overwrite
	cp runs/preset/log.csv benchmarks/preset_log.csv

lint: $(VENV)/bin/python
	$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .
	rm -rf build
	$(VENV)/bin/python -m pip install --quiet ".[test]"
	$(TYPES)

clean:
	rm -rf build dist *.egg-info $(VENV)
