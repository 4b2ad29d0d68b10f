# Everything starts here: `make help`. Needed are git, make and Python 3.11 or newer; Go 1.26 or
# newer is used if it is there. Nothing needs root, containers or a cluster.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PARALLEL := --numprocesses=auto --dist=worksteal
LOCK := $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-header --strip-extras --allow-unsafe

.DEFAULT_GOAL := help
.PHONY: help demo down check test search compat helm3 pictures dashboard node e2e bench chaos controlplane programs image dist wheels sbom advisories crds cases lock clean
# Two targets that share processes and terminal make no sense side by side.
.NOTPARALLEL:
.DELETE_ON_ERROR:

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# A KUBECONFIG of the environment counts only together with an IMAGE: many people always have one.
FOREIGN := $(strip $(IMAGE)$(if $(filter command,$(origin KUBECONFIG)),$(KUBECONFIG)))
# The values stay variables of the shell: what is in them is data.
demo e2e: export CLUSTER_IMAGE = $(IMAGE)
demo e2e: export CLUSTER_KUBECONFIG = $(if $(FOREIGN),$(KUBECONFIG))
demo e2e: export CLUSTER_ALPINE = $(ALPINE)
demo e2e: export CLUSTER_NGINX = $(NGINX)
CLUSTER := "--kubeconfig=$$CLUSTER_KUBECONFIG" "--image=$$CLUSTER_IMAGE" \
	"--alpine=$$CLUSTER_ALPINE" "--nginx=$$CLUSTER_NGINX"

demo: $(INSTALLED) ## show the main job on its own control plane, or on KUBECONFIG=... [IMAGE=...]; KEEP=1 leaves it up, NODE=1 runs pods
	@$(BIN)/python -m tools.demo up $(if $(filter-out 0 no,$(KEEP)),--keep) $(if $(filter-out 0 no,$(NODE)),--node) $(CLUSTER)

down: $(INSTALLED) ## end what `make demo KEEP=1` left up
	@$(BIN)/python -m tools.demo down

check: $(INSTALLED) ## format, lint, types, import rules and hermetic tests: Python only, about a minute
	@test ! -e operator/__init__.py || { echo "operator/__init__.py would shadow Python's own module operator: remove it"; exit 1; }
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	@# One core of two is idle while mypy runs alone.
	@$(BIN)/mypy & types=$$!; $(BIN)/pytest $(PARALLEL) -m "not long" tests/unit tests/cases; tests=$$?; wait $$types && exit $$tests

test: check controlplane programs ## check, long property runs, tests against a real API server, each fault of chaos once
	$(BIN)/pytest $(PARALLEL) --timeout=600 -m long tests/unit
	$(BIN)/pytest tests/chart tests/controlplane
	@$(BIN)/python -m tools.chaos --quick

# The values stay variables of the shell: what is in them is data.
search: export SEARCH_TIMES = $(or $(TIMES),10)
search: $(INSTALLED) ## before a release: other examples for all properties, and TIMES=10 as many, below an hour
	PODS_SEED=$$(date +%s) $(BIN)/pytest $(PARALLEL) --timeout=3600 "--search=$$SEARCH_TIMES" tests/unit tests/cases

compat: controlplane programs ## before a release: tests/chart and tests/controlplane with VERSION=1.34, into docs/compatibility.md
	@test -n "$(VERSION)" || { echo "give a release: make compat VERSION=1.34"; exit 1; }
	@$(BIN)/python -m tools.controlplane.compat "$(VERSION)"

helm3: controlplane ## before a release: Helm 3 makes the same of the chart as Helm 4, a minute once it is built
	@$(BIN)/python -m tools.helm3

pictures: $(INSTALLED) ## draw the pictures of the documents from real output
	@$(BIN)/python -m tools.pictures

dashboard: .venv/.bench controlplane ## draw panels of the dashboard from a real run, as docs/dashboard.png
	@$(BIN)/python -m tools.dashboard picture

node: $(INSTALLED) ## build what a real node needs beside the control plane; needs root on Linux
	@$(BIN)/python -m tools.node

e2e: $(if $(FOREIGN),$(INSTALLED),node image) ## run all in pods of a node, as root on Linux; or KUBECONFIG=... IMAGE=... of any cluster
	$(BIN)/pytest --timeout=600 tests/e2e $(CLUSTER)

# The values stay variables of the shell: what is in them is data.
chaos: export CHAOS_ROWS = $(ROWS)
chaos: export CHAOS_TIMES = $(TIMES)
chaos: controlplane ## cause every fault under load, below an hour; QUICK=1, ROWS=leaf,wipe, TIMES=3
	@$(BIN)/python -m tools.chaos $(if $(filter-out 0 no,$(QUICK)),--quick) --rows "$$CHAOS_ROWS" --times "$$CHAOS_TIMES"

programs: controlplane ## fetch what the tests need of others: a browser, kustomize, actionlint, a registry, krew's validator
	@$(BIN)/python -m tools.thirdparty
	@$(BIN)/python -m tools.goprograms

controlplane: $(INSTALLED) ## build the control plane's programs, or say where they are cached
	@$(BIN)/python -m tools.controlplane

image: $(INSTALLED) ## build the operator's image without a container engine; needs root
	@$(BIN)/python -m tools.image

# The values stay variables of the shell: what is in them is data.
dist: export DIST_VERSION = $(VERSION)
dist: export DIST_REGISTRY = $(REGISTRY)
dist: export DIST_REPOSITORY = $(REPOSITORY)
dist: $(INSTALLED) ## build the files of a release into dist/; VERSION=... checks that it is the version released
	@$(BIN)/python -m tools.releasing --release "$$DIST_VERSION" --registry "$$DIST_REGISTRY" --repository "$$DIST_REPOSITORY"

wheels: $(INSTALLED) ## look for a wheel of each package in the image, for amd64 and arm64; after `make lock`
	@$(BIN)/python -m tools.image.wheels

sbom: $(INSTALLED) ## list what is in the image, as CycloneDX: dist/sbom.cdx.json
	@$(BIN)/python -m tools.image.sbom

advisories: $(INSTALLED) ## list known advisories about the packages that the operator runs with
	@$(BIN)/python -m tools.advisories

bench: .venv/.bench controlplane ## measure beside other injectors (needs wrk); QUICK=1 takes six minutes
	@$(BIN)/python -m benchmarks $(if $(filter-out 0 no,$(QUICK)),--quick) $(if $(filter-out 0 no,$(KEEP)),--keep) $(PARTS)

crds: $(INSTALLED) ## regenerate the CRDs, the chart's copies and the table of fields from the API server
	$(BIN)/python -m tools.crds
	$(BIN)/python -m tools.fields

cases: $(INSTALLED) ## regenerate the expected files of tests/cases; review the difference
	$(BIN)/sidecar-injector test --update tests/cases

lock: $(INSTALLED) ## pin the newest versions of all dependencies, with hashes
	$(LOCK) --upgrade --extra operator --output-file requirements/run.txt pyproject.toml
	$(LOCK) --upgrade --constraint requirements/run.txt --output-file requirements/cli.txt pyproject.toml
	$(LOCK) --upgrade --extra operator --extra dev --output-file requirements/dev.txt pyproject.toml
	$(LOCK) --upgrade --extra operator --extra bench --constraint requirements/dev.txt --output-file requirements/bench.txt pyproject.toml
	$(LOCK) --upgrade --output-file requirements/go.txt requirements/go.in
	$(LOCK) --upgrade --output-file requirements/build.txt requirements/build.in
	$(LOCK) --upgrade --output-file requirements/sbom.txt requirements/sbom.in
	$(LOCK) --upgrade --output-file requirements/advisories.txt requirements/advisories.in

clean: ## remove what was made in this folder; the cached programs stay
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m tools.demo down; fi
	rm -rf .venv .run .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so an interrupted installation is done again.
$(INSTALLED): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is not. Name another: make PYTHON=python3.12"; exit 1; }
	@echo "installing the Python packages into .venv (a minute from nothing)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.bench: requirements/bench.txt $(INSTALLED)
	@echo "installing what draws the plot into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@
