# `make` alone lists what there is.
.DEFAULT_GOAL := help
.PHONY: help demo test check sandbox engine engine-stop bench lock prices
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# The lock installs itself: it holds the installer, too.
UV := $(shell sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

AN_ENGINE = test "$(ENGINE)" != local && python3 -m tests.bare_engine status >/dev/null 2>&1

# `auto` needs no sandbox where a Dagger engine answers, and says itself what is missing where none does.
demo: .venv/ready ## set up, then watch three agents work; KEEP=1 keeps serving, ENGINE=dagger or local chooses
	@$(if $(filter dagger,$(ENGINE)),$(MAKE) engine,$(AN_ENGINE) || $(MAKE) sandbox || :)
	@$(if $(ENGINE),AIDEATOR_ENGINE=$(ENGINE)) $(BIN)/aideator demo $(if $(filter-out 0,$(KEEP)),--keep)

test: .venv/ready sandbox ## set up, then run all tests, the engine ring included where there can be an engine
	@python3 -m tests.bare_engine start || $(if $(AIDEATOR_REQUIRE_ENGINE),exit 1,echo "NO ENGINE: its ring of tests is skipped.")
	@command -v mkfs.xfs >/dev/null || sh tests/install.sh xfsprogs || : # for copies that share their blocks
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadgroup

check: .venv/ready ## lint, formatting, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/unit/test_layers.py

sandbox: ## have bubblewrap, which confines agents where there is no Dagger engine
	@command -v bwrap >/dev/null || sh tests/install.sh bubblewrap

engine: ## have a Dagger engine: the one that is reachable, else one made here
	@python3 -m tests.bare_engine start

engine-stop: ## end the engine that `make engine` started
	@python3 -m tests.bare_engine stop

bench: .venv/ready ## measure on both engines, as far as they are there, beside what there is without us
	@$(MAKE) sandbox || :
	@python3 -m tests.bare_engine start || :
	@$(BIN)/python -m tests.bench

# What containers install, in the versions that the tests run with.
IN_CONTAINERS := $(patsubst %.in,%.txt,$(wildcard agent_image/*.in agent_image/*/*.in))
COMPILE := $(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url

lock: .venv/ready ## resolve the dependencies anew
	$(COMPILE) --group dev --extra embedded pyproject.toml --universal --upgrade -o requirements.lock
	@$(MAKE) --always-make $(IN_CONTAINERS)

prices: .venv/ready ## take the models' prices anew
	$(BIN)/python -m tests.take_prices

%.txt: %.in requirements.lock
	$(COMPILE) --python-platform linux --constraint requirements.lock --no-annotate --no-header $< -o $@

.venv/ready: requirements.lock pyproject.toml
	@echo "setting up .venv (a minute the first time)"
	@python3 -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version)'
	@umask 022; test -x $(BIN)/python || python3 -m venv .venv # sandboxes read it, as somebody else
	@umask 022; $(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	@umask 022; $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@umask 022; $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@umask 022; $(BIN)/python -m compileall -q agent_image service dagger_module/src # what a sandbox shows read-only, too
	@touch $@
