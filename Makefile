# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: help demo test check clean

help:
	@echo "make demo    install into $(VENV), draw a photo, find the lesion in it"
	@echo "make test    install into $(VENV), run the tests and the notebooks"
	@echo "make check   lint, format and types"
	@echo "make clean   remove $(VENV) and the demo's output"

demo: $(VENV)/installed-cam
	$(BIN)/slidewin demo --output demo --overwrite

# Two processes with a thread each: with more, threads wait for one another. Notebooks start kernels
# of their own, one after the other.
test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=300 notebooks

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo

$(VENV)/installed-%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; try: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	@touch $@
