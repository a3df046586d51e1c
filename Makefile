# The targets people use; everything else is `python manage.py help`.
VENV ?= .venv
PYTHON = $(VENV)/bin/python
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)
# A shim may exist and fail, so candidates are run, not looked up.
PY ?= $(shell for p in python3 python3.14 python3.13 python3.12 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 && { $$p -c 'import sys; print(sys.executable)'; break; }; done)
# Tests use nothing of this machine's own settings or data.
TEST_ENV = DEBUG=1 VAR_DIR="$(CURDIR)/.var/test" EMAIL_URL=mailbox:// MARKETING_CONSENT=opt_in CHAT_WEBHOOK_URL= SITE_URL=http://localhost:8000
EMBEDDED = DATABASE_URL="sqlite:///$(CURDIR)/.var/test/leadstate.sqlite3" CELERY_BROKER_URL=filesystem://
SERVICES = DATABASE_URL="$${DATABASE_URL:-postgres://postgres@127.0.0.1:5432/leadstate}" \
	CELERY_BROKER_URL="$${CELERY_BROKER_URL:-redis://127.0.0.1:6379/15}"
PYTEST = $(PYTHON) -m pytest -q -n 2

.PHONY: install demo run test e2e test-services lint bench chaos lock
install: $(VENV)/.stamp
$(VENV)/.stamp: requirements/dev.txt
	@test -n "$(PY)" || { echo "Leadstate needs Python 3.12 or newer; none was found. Install one, or say PY=/path/to/python3."; exit 1; }
ifeq ($(UV),uv)
	uv venv -q --allow-existing --python "$(PY)" $(VENV) && uv pip sync -q --python $(PYTHON) --require-hashes requirements/dev.txt
else
	"$(PY)" -m venv $(VENV) && $(PYTHON) -m pip install -q --disable-pip-version-check --require-hashes --only-binary=:all: -r requirements/dev.txt
endif
	@touch $@
demo: install ## everything on one port, with believable data; PORT=8123, RESET=1
	@$(PYTHON) manage.py demo $(if $(PORT),--port $(PORT)) $(if $(RESET),--reset) $(ARGS)
run: install ## the same processes on your own data, nothing made up
	@$(PYTHON) manage.py demo --empty $(if $(PORT),--port $(PORT))
test: install ## SQLite, no server
	@$(TEST_ENV) $(EMBEDDED) $(PYTEST) -m "not services and not e2e" $(ARGS)
e2e: install ## the pages in a real browser; needs chromium
	@$(TEST_ENV) $(EMBEDDED) $(PYTEST) -m e2e $(ARGS)
test-services: install ## PostgreSQL and Redis: the tests again, but those of the browser and of SQLite's own processes, and those that need them
	@$(TEST_ENV) $(SERVICES) sh -c '$(PYTHON) -m tests.services && $(PYTEST) -m "not e2e and not embedded" $(ARGS)'
lint: install
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy --no-error-summary crm leads campaigns
	@git ls-files "templates/*.html" | xargs $(VENV)/bin/djade --target-version 6.1 --check
	@$(TEST_ENV) $(EMBEDDED) $(PYTHON) manage.py makemigrations --check --dry-run
bench: install
	@$(PYTHON) -m benchmarks $(ARGS)
chaos: install
	@$(PYTHON) -m tests.chaos $(ARGS)
lock: ## after a change of pyproject.toml; needs uv
	uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --group dev --group e2e --all-extras pyproject.toml -o requirements/dev.txt
	uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --extra prod pyproject.toml -c requirements/dev.txt -o requirements/prod.txt
