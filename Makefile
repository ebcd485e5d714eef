# Every target makes what it needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers

.DEFAULT_GOAL := help
.PHONY: help book pdf serve bench test notebooks refresh parity new-chapter clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

book: $(READY) ## build both editions into _build/site/
	@$(BIN)/python -m book.editions build

pdf: book ## print the book into _build/pdf/, one PDF for each language (needs Chromium)
	@$(BIN)/python -m book.editions pdf

serve: $(READY) ## build the book and serve it on 127.0.0.1:8000
	@$(BIN)/python -m book.editions serve

# The workers must not share their cores.
test: export OMP_NUM_THREADS = 1
test: book $(PEERS) ## ruff, mypy, pytest (core, notebooks, site) and nbval on every notebook
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n 2 --doctest-modules
	$(BIN)/pytest -q -n 2 --dist loadscope --nbval --nbval-current-env --nbval-cell-timeout=300 book

bench: $(PEERS) ## measure the core beside other packages (QUICK=1: small inputs, two minutes)
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

notebooks: $(READY) ## write an executed notebook per chapter and language into _build/notebooks/
	@$(BIN)/python -m book.editions notebooks

refresh: $(READY) ## run the notebooks and store their text outputs
	@$(BIN)/python -m book.editions refresh

parity: $(READY) ## accept the Korean and English texts as they stand, after looking at both
	@$(BIN)/python -m book.editions parity

new-chapter: $(READY) ## start a chapter from the skeleton: make new-chapter NAME=boundary
	@$(BIN)/python -m book.editions new-chapter "$(NAME)"

clean: ## remove everything built (.venv stays)
	rm -rf _build

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -qq --disable-pip-version-check -r requirements.txt
	@touch $@

$(PEERS): $(READY) # what the core is compared with, used in and run by: groups of pyproject.toml
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --group peers --group frameworks --group triton
	@touch $@
