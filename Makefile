# make demo    set up everything and run the gateway before two sample APIs
# make test    set up everything and run lint, types, import contracts and all tests
# make unit    only the tests that open no socket and start no process; under a minute
# make prove   the tests that have a long form, in that: hours of random documents, kills and targets
# make newest  the unit tests on the newest Python that there is beside this one
# make bench   measure the gateway beside its peers (nginx, nginx with lua-cjson, aiohttp), and the migration beside
#              a bare UPDATE and a script row by row; needs two cores
# make format  put the code into the house's form
# make schema  write the configuration's JSON Schema again
# make kubernetes  copy the phases' files to where kustomize reads them
# make rules   write the alert rules again, from deploy/prometheus/numbers.toml
# make secrets write the passwords that docker-compose.yml mounts, where there are none
# make lock    bring the locks up to date with pyproject.toml, and to the latest releases

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NODE_FOLDER := tests/differential
NODE_READY := $(NODE_FOLDER)/node_modules/.ready
# As many test processes as cores.
# Half as many again as there are processors: what starts processes waits for them a third of its time.
TEST_PROCESSES ?= $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))

.PHONY: demo test unit prove newest lint types contracts tests peers bench format schema rules kubernetes lock secrets clean
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/stage-gateway demo

test: lint types contracts tests


lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

contracts: $(READY)
	$(BIN)/lint-imports --no-logo

tests: $(READY) peers $(NODE_READY)
	$(BIN)/pytest -n $(TEST_PROCESSES)

unit: $(READY)
	$(BIN)/pytest -n $(TEST_PROCESSES) -m unit

prove: $(READY) peers $(NODE_READY)
	LONG_TESTS=1 $(BIN)/pytest -n $(TEST_PROCESSES) -m varies

# Where there is none it says so, and that is no failure.
newest: $(READY)
	@UV=$(BIN)/uv .ci/newest $(VENV)-newest && { [ ! -d $(VENV)-newest ] || \
		$(VENV)-newest/bin/pytest -n $(TEST_PROCESSES) -m unit -p no:cacheprovider; }

# What the gateway is held against. Where they cannot be installed, the tests that need them are skipped and say so.
peers:
	@command -v npm >/dev/null || { apt-get update && apt-get install -y nodejs npm; } || \
		echo "Node is missing: the tests against Express are skipped" >&2
	@command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || { apt-get update && apt-get install -y nginx; } || \
		echo "nginx is missing: the tests against it are skipped" >&2
	@{ command -v promtool && command -v amtool && command -v prometheus-alertmanager; } >/dev/null || \
		{ apt-get update && apt-get install -y --no-install-recommends prometheus prometheus-alertmanager; } || \
		echo "Prometheus or Alertmanager is missing: the tests of rules and alerts are skipped" >&2
	@{ command -v curl && command -v jq; } >/dev/null || \
		{ apt-get update && apt-get install -y --no-install-recommends curl jq; } || \
		echo "curl or jq is missing: the test that follows the runbook is skipped" >&2
	@command -v redis-server >/dev/null || \
		{ apt-get update && apt-get install -y --no-install-recommends redis-server; } || \
		echo "Redis is missing: the tests of overrides that replicas share are skipped" >&2
	@{ command -v buildah && command -v debootstrap; } >/dev/null || \
		{ apt-get update && apt-get install -y --no-install-recommends buildah debootstrap; } || \
		echo "buildah or debootstrap is missing: the image is not built" >&2

$(NODE_READY): $(NODE_FOLDER)/package.json $(NODE_FOLDER)/package-lock.json | peers
	@! command -v npm >/dev/null || { cd $(NODE_FOLDER) && npm ci --no-audit --no-fund && touch node_modules/.ready; }

bench: $(READY)
	@command -v wrk >/dev/null && command -v nginx >/dev/null && [ -f /usr/share/nginx/modules/ngx_http_lua_module.so ] || \
		{ apt-get update && apt-get install -y nginx libnginx-mod-http-lua lua-cjson wrk; }
	@$(BIN)/python -c 'import envoy' 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	PYTHONPATH=tests $(BIN)/python -m bench

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

schema: $(READY)
	$(BIN)/stage-gateway schema > config/gateway.schema.json

kubernetes:
	for phase in config/phases/*.json; do \
		cp $$phase deploy/kubernetes/overlays/$$(basename $$phase .json)/gateway.json; done
	cp config/migration.json deploy/kubernetes/migration/
	cp config/phases/2.5-migration.json deploy/kubernetes/migration/gateway.json
	cp config/rollout.json config/phases/*.json deploy/kubernetes/rollout/

rules: $(READY)
	$(BIN)/python deploy/prometheus/generate.py

# What the image installs, with the hashes of every file of every platform. The gateway's own releases are those of the
# larger lock.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock" --upgrade
lock: $(READY)
	$(LOCK) pyproject.toml --extra migration --output-file requirements-migration.lock
	$(LOCK) pyproject.toml --constraint requirements-migration.lock --output-file requirements.lock
	$(LOCK) --group build --output-file requirements-build.lock

# For docker-compose.yml. Containers read them as users of their own; the folder keeps this host's other users out.
secrets:
	@mkdir -p -m 700 secrets
	@for name in admin-token database-password grafana-password; do \
		[ -s "secrets/$$name" ] || { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "secrets/$$name" && \
			chmod 444 "secrets/$$name"; }; \
	done

clean:
	rm -rf $(VENV) $(VENV)-newest $(NODE_FOLDER)/node_modules .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ apt-get update && apt-get install -y python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
