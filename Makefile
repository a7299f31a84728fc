# `make run` and `make test` are all it takes; the rest is for who changes the code.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: run test quick lint bench browser

run: .venv/ready
	@$(BIN)/flask --app mm upgrade
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho run sh -c 'echo "Movie Manager: http://$${MM_BIND:-127.0.0.1:8000}  (Ctrl-C stops it)"'
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho start

# Two at a time. A test of servers and browsers that fails beside another one is tried once more
# with the machine to itself: then the machine was too slow, and not the program. Those of one file
# share servers, and stay together.
test: .venv/ready browser lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not processes and not browser"
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "processes or browser" || \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

# What runs in about a minute: of each test the first case, and no processes, no browser, no
# PostgreSQL, no archives and restores of the whole server.
quick: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist worksteal --cases 1 \
	  -m "not slow and not processes and not browser and not postgres" \
	  --ignore=tests/server --ignore-glob="*/test_browser_*" --ignore=tests/api/test_schemathesis.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python -m tests.bench.bench_portable
	$(BIN)/python -m tests.bench.bench_plans
	$(BIN)/python -m tests.bench.bench_lists
	$(BIN)/python -m tests.bench.bench_collections
	$(BIN)/python -m tests.bench.bench_table
	$(BIN)/python -m tests.bench.bench_nightly
	$(BIN)/python -m tests.bench.bench_archives
	$(BIN)/python -m tests.bench.bench_movies
	$(BIN)/python -m tests.bench.bench_pages
	$(BIN)/python -m tests.bench.bench_catalogue
	$(BIN)/python -m tests.bench.bench_catalogue_fill

# Debian's Chromium and nginx, where they may be installed; without them pytest says which tests
# it left out.
browser:
	@sh tests/install_chromium.sh
	@sh tests/install_nginx.sh

.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch .venv/ready
