# The hub's commands. `make run` and `make test` need nothing but Python 3.11 or newer.
.DEFAULT_GOAL := help
PY := .venv/bin/python
# For pytest, the benchmarks or the demo: make test ARGS="tests/records -x"
ARGS ?=

.PHONY: help run test check openapi bench e2e demo lock migrate shell fmt

help:  ## show this list
	@sed -nE 's/^([a-z0-9]+):  ## (.*)/  make \1\t\2/p' Makefile | expand -t 16

run:  ## run the hub at http://127.0.0.1:8000/ (HUB_PORT=… changes the port)
	@.ci/install
	@exec $(PY) manage.py serve --with-parent

test:  ## run the tests, on TEST_DATABASE_URL and TEST_REDIS_URL where given
	@.ci/install dev
	@$(PY) -m pytest -n 3 --dist loadgroup $(ARGS)

check:  ## lint, types, import contract, migrations, deployment checks, OpenAPI schema
	@.ci/install dev
	@.ci/check

openapi:  ## write docs/openapi-*.json anew from the code
	@.ci/install dev
	@$(PY) manage.py openapi

e2e:  ## drive the running hub with a real browser
	@.ci/install dev
	@$(PY) -m pytest tests/e2e -m e2e $(ARGS)

bench:  ## measure, and compare with the peer in the same run
	@.ci/install dev
	@$(PY) -m benchmarks $(ARGS)

demo:  ## fill the hub with a believable organization, and serve it
	@.ci/install
	@.venv/bin/uv pip install --quiet --python $(PY) --no-deps -r requirements-demo.txt
	@exec $(PY) manage.py demo --with-parent $(ARGS)

migrate:  ## apply migrations
	@.ci/install
	@$(PY) manage.py migrate

shell:  ## a Python shell with the hub's models
	@.ci/install
	@$(PY) manage.py shell

fmt:  ## format, and mend what can be mended
	@.ci/install dev
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format --quiet .

lock:  ## pin requirements anew from requirements*.in
	@.ci/install
	@for name in requirements requirements-dev; do \
	  .venv/bin/uv pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 \
	    $$name.in -o $$name.txt; done
