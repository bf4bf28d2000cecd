# Two commands on a fresh machine with Python 3.11 and make: `make run` does the main job, `make test` the tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
KSERVE := $(VENV)/clients/kserve
# uv reads neither pip's configuration nor its environment: pass on a local folder of wheels where pip has one.
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS))

# Importing uncompiled libraries takes three times as long. uv leaves that to the first import, which writes nothing
# where PYTHONDONTWRITEBYTECODE is set; files for other versions of Python, which do not compile, are passed over, and so
# are the libraries' own tests.
COMPILE = $(BIN)/python -m compileall -q -j 0 -x '[/\\]tests?[/\\]' $(VENV)/lib src >/dev/null || true

# matplotlib looks for the machine's fonts once, which the first card would wait for.
FONTS = $(BIN)/python -c 'import matplotlib.font_manager' >/dev/null 2>&1 || true

# One more than two cores: for a tenth of their time and more, tests wait for processes and clocks.
WORKERS ?= 3

.PHONY: run serve test test-all lint format measure docs compile helm constraints wheel images sbom clean help
.DEFAULT_GOAL := help

run: $(VENV)/.laptop ## Set up, and take the built-in table through the whole pipeline
	$(BIN)/dvc pull --quiet data/tabular.dvc
	$(BIN)/modelyard run tabular

serve: $(VENV)/.laptop ## Serve the champion
	$(BIN)/modelyard serve tabular

test: $(VENV)/.dev $(KSERVE)/.ready ## Run the tests that need neither a GPU nor a cluster
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-all: $(VENV)/.dev $(KSERVE)/.ready ## And the slow ones
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not gpu and not kind'

lint: $(VENV)/.dev ## Check format, style, rooms and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/.dev ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

measure: $(VENV)/.laptop ## Show how the code reads, in figures, beside projects that read well
	$(BIN)/python benchmarks/code_style.py

docs: $(VENV)/.laptop ## Write the pages that are made from the code
	$(BIN)/python docs/settings.py

compile: $(VENV)/.laptop ## Write the pipelines for the Kubeflow UI
	$(BIN)/modelyard compile

helm: $(VENV)/.uv ## Install helm, which the charts' tests run
	$(BIN)/python docker/install_helm.py $(BIN)/helm

constraints: $(VENV)/.uv ## Update the pins of every dependency
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
	  $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) --upgrade pyproject.toml \
	  | sed -E '/^(nvidia-c|nvidia-n[cv]|cuda-|triton==)/d; s/^torch==([0-9.]+).*/torch==\1/' | uniq > constraints.txt.new
	mv constraints.txt.new constraints.txt

wheel: $(VENV)/.dev ## Build the wheel into dist/
	$(BIN)/uv build --quiet --wheel --python $(BIN)/python

images: ## Build the images: REGISTRY=, TAG=, BASE=, INDEX=, WHEELS=, IMAGES="trainer server trainer-cuda server-cuda"
	docker/build.sh $(IMAGES)

sbom: $(VENV)/.laptop ## Write what is installed into dist/sbom.cdx.json (CycloneDX)
	@mkdir -p dist
	$(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py environment --output-reproducible \
	  --pyproject pyproject.toml --output-file dist/sbom.cdx.json $(BIN)/python

clean: ## Remove the environment and what runs left
	rm -rf $(VENV) build dist runs

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.uv:
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 13) else "modelyard needs Python 3.11 or 3.12, this is %d.%d. Type: make run PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	@touch $@

$(VENV)/.laptop: $(VENV)/.uv pyproject.toml constraints.txt
	@echo "installing into $(VENV) (once)"
	$(INSTALL) -e '.[tabular,laptop]'
	@$(COMPILE)
	@$(FONTS)
	@touch $@

$(VENV)/.dev: $(VENV)/.laptop
	@echo "installing what the tests need (once)"
	$(INSTALL) -e '.[families,laptop,dev]'
	$(BIN)/python docker/install_helm.py $(BIN)/helm
	@$(COMPILE)
	@touch $@

# KServe's client has pins that do not go with the rest: it gets an environment of its own.
$(KSERVE)/.ready: $(VENV)/.uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(KSERVE)
	$(BIN)/uv pip install --quiet --python $(KSERVE)/bin/python kserve==0.21.0
	@touch $@
