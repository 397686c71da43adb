# The commands a person types. Each sets up what it needs first; a second call finds that done.
#   make run      start everything with demo data (PORT= HOST= TLS=self-signed DATA=)
#   make test     the whole suite, browser journeys included (WORKERS= how many processes share it)
#   make check    format, lint, types (Python and JavaScript)
#   make bench    figures (tests/bench/RESULTS.md); make bench-NAME only one (relay, ledger, evidence), QUICK=1 for a short look
#   make relay-fast   compile the relay's hot path (needs gcc); VIDEO_RELAY_FORWARDER=compiled then uses it
#   make relay-checked   the tests of that, with gcc's sanitizers (address, undefined behaviour) in it
#   make drills   100 kills and 1,000 writes under power cuts, of the evidence store (power cuts need root)
#   make soak     a relay at a high packet rate for an hour (SOAK_SECONDS=3600)
#   make words    bring the Welsh catalogue (video_server/locale/cy) up to date with the pages
#   make readme   write the README's tables anew from the code
#   make lock     write the lock files anew after changing pyproject.toml or package.json

SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8080
HOST ?= 127.0.0.1
TLS ?=
DATA ?= data
WORKERS ?= 2

.PHONY: relay-fast relay-checked screenshots migration evidence-migration run test check bench bench-relay bench-ledger bench-evidence drills soak lock format clean setup setup-dev words readme

run: setup
	@exec $(BIN)/video-server serve --demo --host "$(HOST)" --port "$(PORT)" --data "$(DATA)" $(if $(TLS),--tls "$(TLS)")

test: setup-dev
	@deploy/test-tools.sh
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope

check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	npm run --silent check

bench: bench-relay bench-ledger bench-evidence

bench-ledger: setup-dev
	$(BIN)/python -m tests.bench.ledger

bench-evidence: setup-dev
	$(BIN)/python -m tests.bench.evidence

bench-relay: setup-dev relay-fast
	$(BIN)/python -m tests.bench.relay

relay-fast: setup
	@deploy/relay-fast.sh && echo "Built. VIDEO_RELAY_FORWARDER=compiled uses it."

# The tests of the compiled hot path with gcc's sanitizers in it
SANITIZERS := address undefined
relay-checked: setup-dev
	@deploy/test-tools.sh
	deploy/relay-fast.sh -O1 -g -fno-omit-frame-pointer $(SANITIZERS:%=-fsanitize=%) -fno-sanitize-recover=undefined
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
	    ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:quarantine_size_mb=1:thread_local_quarantine_size_kb=16 \
	    $(BIN)/python -m pytest -k "not [python]" $(patsubst %,tests/relay/test_%.py,compiled streams rollover engine flood); \
	    status=$$?; deploy/relay-fast.sh; exit $$status

soak: setup-dev
	$(BIN)/python -m tests.bench.soak

drills: setup-dev
	@deploy/test-tools.sh
	DRILL_KILLS=100 DRILL_WRITES=1000 $(BIN)/python -m pytest -q -s -rs -o faulthandler_timeout=0 tests/evidence/test_kill_drill.py tests/evidence/test_power_drill.py

format: setup-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/ready $(VENV)/compiled static/dist/styles.css

setup-dev: $(VENV)/ready-dev static/dist/styles.css

$(VENV)/ready: requirements.txt pyproject.toml
	@PYTHON="$(PYTHON)" deploy/setup.sh requirements.txt
	@touch $@

# Compiled here, because some machines forbid Python to write bytecode while running, and starting would take twice as long.
$(VENV)/compiled: $(VENV)/ready $(wildcard $(foreach part,video_server evidence_store,$(part)/*.py $(part)/*/*.py))
	@$(BIN)/python -m compileall -q video_server evidence_store
	@touch $@

$(VENV)/ready-dev: requirements-dev.txt pyproject.toml
	@PYTHON="$(PYTHON)" deploy/setup.sh requirements-dev.txt
	@touch $@ $(VENV)/ready

node_modules/ready: package.json package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "Node.js 20 or later with npm is needed for the pages' styles and was not found: install it and start again." >&2; exit 1; }
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { echo "Node.js 20 or later is needed; this one is older." >&2; exit 1; }
	@echo "Installing the locked browser libraries …"
	@npm ci --silent </dev/null || { echo "The browser libraries could not be installed: 'npm ci' says why." >&2; exit 1; }
	@touch $@

static/dist/styles.css: node_modules/ready $(wildcard static/*.scss static/app/*.scss evidence_store/view/static/*.scss)
	@npm run --silent build

lock:
	uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra install pyproject.toml -o requirements.txt
	uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra install --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	npm install --package-lock-only

# The README's pictures, taken by the journey
screenshots: setup-dev
	@mkdir -p deploy/screenshots
	SCREENSHOTS=deploy/screenshots $(BIN)/python -m pytest tests/test_journeys.py -k two_moving_pictures

# Bring the Welsh catalogue up to date with the pages: new sentences come in untranslated, sentences that are gone go
words: setup-dev
	@$(BIN)/pybabel -q extract -F pyproject.toml --no-location --sort-output -o $(VENV)/words.pot video_server templates
	@$(BIN)/pybabel -q update -i $(VENV)/words.pot -d video_server/locale -l cy -w 120 --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date

# Write a new version file from the tables as they are now: make migration SAYS="Add a column"
migration: setup-dev
	@rm -f $(VENV)/migration.sqlite*
	$(BIN)/python -c "import asyncio, sys; from video_server import migrations as m; url = 'sqlite+aiosqlite:///$(VENV)/migration.sqlite'; asyncio.run(m.upgrade(url)); asyncio.run(m.write_migration(url, sys.argv[1]))" "$(SAYS)"
	$(BIN)/ruff check -q --fix video_server/migrations && $(BIN)/ruff format -q video_server/migrations

# The same for the evidence store's tables
evidence-migration: setup-dev
	@rm -f $(VENV)/migration.sqlite*
	$(BIN)/python -c "import asyncio, sys; from evidence_store import migrations as m; from evidence_store.database import Database; db = Database('sqlite+aiosqlite:///$(VENV)/migration.sqlite'); asyncio.run(m.upgrade(db)); asyncio.run(m.write_migration(db, sys.argv[1]))" "$(SAYS)"
	$(BIN)/ruff check -q --fix evidence_store/migrations && $(BIN)/ruff format -q evidence_store/migrations

readme: setup-dev
	$(BIN)/python -m tests.readme

clean:
	rm -rf $(VENV) node_modules static/dist video_server/relay/_compiled*.so
