# Each target installs what it needs into .venv by itself, and does nothing when nothing changed.
# uv is used where it is installed, pip otherwise.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
PROXIES := .venv-bench-gateway
TOOLS := .venv-tools
OPERATIONS := gateway/operations
LOCKS := $(OPERATIONS)/requirements
# The notice is about the future of MkDocs, and nothing of ours.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
UV := $(shell command -v uv 2>/dev/null)
ARGS ?=

ifdef UV
  MAKE_VENV = $(UV) venv --quiet --seed --python $(PYTHON) $(VENV)
  INSTALL = $(UV) pip install --quiet --python $(BIN)/python
else
  # The pip that comes with Python 3.11 does not know dependency groups.
  MAKE_VENV = $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade pip
  INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.DEFAULT_GOAL := help
.PHONY: help run test environments lint format docs docs-serve reference bench stack lock sbom audit clean

# One lock for all Pythons and systems that we support; --generate-hashes has pip refuse anything else.
PIN = $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --constraint constraints.txt --output-file $(LOCKS)/$(1).lock
EXTRAS = $(foreach extra,$(1),--extra $(extra))

help: ## What there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run ## Serve all-MiniLM-L6-v2 on http://127.0.0.1:8080/v1  (ARGS="--port 9000")
	@$(BIN)/embedway serve $(ARGS)

# Bytecode is kept whatever the environment says: the tests start hundreds of processes, and each
# would compile all of it anew.
test: $(VENV)/.dev ## Run the tests  (ARGS="-k name")
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

environments: $(VENV)/.dev ## Install what the tests compare with, which they would do themselves
	@$(BIN)/python tests/environments.py

lint: $(VENV)/.dev ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Not --quiet: it would hide the warnings from --strict, too.
docs: $(VENV)/.dev ## Build the site into site/; a warning is an error
	@$(MKDOCS) build --strict $(ARGS)

docs-serve: $(VENV)/.dev ## Serve the site on http://127.0.0.1:8000, and follow changes  (ARGS="-a :9000")
	@$(MKDOCS) serve --livereload $(ARGS)

reference: $(VENV)/.dev ## Write anew what the pages say of schema and commands, and the diagrams
	@$(BIN)/python docs/tools/reference.py

bench: $(VENV)/.dev $(BENCH)/.ready $(PROXIES)/.ready ## Measure, side by side with a named peer
	@$(BIN)/python tests/bench/start.py
	@$(BIN)/python tests/bench/local.py --peer $(BENCH)/bin/python $(ARGS)
	@$(BIN)/python tests/bench/precision.py --side st=st@$(BENCH)/bin/python
	@$(BIN)/python tests/bench/bulk.py --passages 3000 --rounds 1
	@$(BIN)/python tests/bench/stream.py --texts 12000
	@$(BIN)/python tests/bench/sign.py
	@$(BIN)/python tests/bench/rotate.py
	@$(BIN)/python tests/bench/gateway.py --environment $(PROXIES)

stack: $(VENV)/.run ## Run three gateways behind nginx, with Redis and Prometheus, on loopback
	@$(OPERATIONS)/stack $(BIN)/embedway $(ARGS)

lock: $(TOOLS)/.ready ## Pin what the image installs, by hash, as constraints.txt says
	@$(call PIN,server) $(call EXTRAS,gateway local oci oidc otel parquet redis) pyproject.toml
	@$(call PIN,gpu) $(call EXTRAS,gateway gpu oci oidc otel parquet redis) pyproject.toml
	@echo "hatchling>=1.27" | $(call PIN,build) -

sbom: $(TOOLS)/.ready ## List what the image holds, as CycloneDX, in build/
	@mkdir -p build
	@for variant in server gpu; do \
	  $(TOOLS)/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
	    --of JSON -o build/embedway-$$variant.cdx.json $(LOCKS)/$$variant.lock && \
	  echo build/embedway-$$variant.cdx.json || exit 1; \
	done

audit: $(TOOLS)/.ready ## Look for known vulnerabilities in what is pinned
	@$(OPERATIONS)/audit $(TOOLS)/bin/python $(LOCKS)/server.lock $(LOCKS)/gpu.lock $(LOCKS)/build.lock

clean: ## Remove everything that make has made
	rm -rf $(VENV) $(BENCH) $(PROXIES) $(TOOLS) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(MAKE_VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Embedway into $(VENV) …"
	@$(INSTALL) --constraint constraints.txt --editable ".[gateway,local]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Embedway and its development tools into $(VENV) …"
	@$(INSTALL) --constraint constraints.txt --editable ".[all]" --group dev
	@touch $@ $(VENV)/.run

# PyTorch is here only as the peer to be compared with. The version that is pinned has a build for
# processors alone; a newer one would bring gigabytes of CUDA.
$(BENCH)/.ready: Makefile
	@echo "Installing the peers of the benchmark into $(BENCH) …"
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check sentence-transformers fastembed onnx
	@touch $@

# The gateways to be compared with; wrk and nginx come from the system.
$(PROXIES)/.ready: Makefile
	@echo "Installing the gateway's peers into $(PROXIES) …"
	@$(PYTHON) -m venv $(PROXIES)
	@$(PROXIES)/bin/python -m pip install --quiet --disable-pip-version-check "litellm[proxy]" sglang-router
	@touch $@

# What locks, lists and checks what is deployed.
$(TOOLS)/.ready: $(LOCKS)/tools.lock
	@echo "Installing the tools of operations into $(TOOLS) …"
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(LOCKS)/tools.lock
	@touch $@
