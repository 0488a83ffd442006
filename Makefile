# Two commands do everything on a fresh machine with Python 3.11 or newer, git and make: make run, make test.

# The Python of the system first: distributions build theirs with profile-guided optimisation, and the tests take a tenth
# less with it than with one that was built without. PYTHON=/path/to/python3 chooses another.
PYTHON ?= $(shell for parts in sys,ensurepip sys; do for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11 python; do \
	$$p -c "import $$parts; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo $$p && exit; done; done)
VENV := .venv
BIN := $(VENV)/bin
CORES := $(shell nproc 2>/dev/null || echo 2)
# Half of the workers, or one less, drive servers and browsers, and wait for them most of the time. More workers take more
# processor time: each warms its own caches, and they displace each other from those of the processor.
JOBS ?= $(shell expr $(CORES) + 1)
CATALOGUES := $(wildcard src/sso/http/common/locale/*/LC_MESSAGES/*.po)
COMPILED := $(CATALOGUES:.po=.mo)
SECONDS ?= 180
SEED ?= 1
# mypy uses one core and half of a run of the tests waits for other processes: they run beside each other.
BESIDE := -j 2
# Without bytecode on the disk, each process of the tests compiles the program when it starts: about a second.
unexport PYTHONDONTWRITEBYTECODE
# By another name: make runs a line with its own name also where it is asked what it would do (-n), and this one installs.
SAME_MAKE := $(MAKE)
# An interruption may leave half of a package, which would be taken for a whole one: then the environment is made anew.
BEGIN_INSTALLING = { test ! -e $(VENV)/installing || $(PYTHON) -m venv --clear $(VENV); } && touch $(VENV)/installing
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test pictures check lint types imports quick unit coverage mutants interop-all fuzz races bench soak lock docs site dist sbom charts image install-guide hooks clean deps ready system

run: $(VENV)/run.stamp $(COMPILED)   ## fresh embedded database, the 122 applications, five users, two sample apps
	$(BIN)/sso demo $(ARGS)

# Programs of the system and packages of Node.js are installed beside everything else: tests that need none of them begin
# as soon as the packages of Python are there (docs/decisions/0097).
test:   ## everything: lint, types, import rules, both databases, browser journeys, real clients
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) scripts/beside_deps.py $(SAME_MAKE) --no-print-directory $(BESIDE) types lint unit imports

check: $(VENV)/dev.stamp   ## while working: lint, types, import rules, and the tests that need no provider
	@$(MAKE) --no-print-directory $(BESIDE) types lint quick imports

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/mutants.py --check

types: $(VENV)/dev.stamp
	$(BIN)/mypy

imports: $(VENV)/dev.stamp
	$(BIN)/lint-imports

quick: $(VENV)/dev.stamp   ## the tests that need neither a provider nor a database
	$(BIN)/python -m pytest --workers=$(CORES) -q -m unit $(ARGS)

unit: $(VENV)/dev.stamp   ## all tests and nothing else, with the ten slowest; ARGS="-k word" narrows it
	$(BIN)/python -m pytest --workers=$(JOBS) -q --durations=10 $(ARGS)

pictures: $(VENV)/dev.stamp $(COMPILED)   ## renew the kept pictures of pages (tests/journeys/pictures); look at them before you commit them
	RENEW_PICTURES=1 $(BIN)/python -m pytest -q tests/journeys/test_pictures.py $(ARGS)

coverage: $(VENV)/dev.stamp   ## all tests with branch coverage; fails below the floor in pyproject.toml
	$(BIN)/coverage erase
	ALL_DATABASES=1 $(BIN)/coverage run -m pytest --workers=$(JOBS) -q --durations=10 $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --sort=cover

mutants: $(VENV)/dev.stamp $(COMPILED)   ## breaks each line of tests/mutants/list.toml: a test must fail; ARGS="--only word"
	$(BIN)/python scripts/mutants.py $(ARGS)

interop-all: ready   ## every relying party of tests/interop, also the heavy ones: django-allauth, python-jose, Spring, Traefik, Envoy
	sh scripts/interop_tools.sh
	ALL_DATABASES=1 INTEROP_ALL=1 $(BIN)/python -m pytest -q tests/interop $(ARGS)

fuzz: $(VENV)/dev.stamp   ## nasty values to every route on PostgreSQL, for SECONDS (180); SEED=2 chooses others; make test runs the short form
	FUZZ_SECONDS=$(SECONDS) FUZZ_SEED=$(SEED) $(BIN)/python -m pytest -q -s tests/fuzz $(ARGS)
	SCHEMATHESIS_EXAMPLES=40 $(BIN)/python -m pytest -q tests/api/test_schemathesis.py

races: $(VENV)/dev.stamp   ## every pair of acts on one session at once, on PostgreSQL; ARGS="20" is the number of rounds
	RACES=$(or $(ARGS),10) $(BIN)/python -m pytest -q tests/hostile/test_races.py tests/hostile/test_conflicts.py

deps:   ## install what the tests need besides Python packages, with apt-get, as root or with sudo; says what is missing
	PYTHON="$(PYTHON)" sh scripts/deps.sh

ready: $(VENV)/dev.stamp system

system:
	@PYTHON="$(PYTHON)" sh scripts/deps.sh --no-sudo

hooks: $(VENV)/dev.stamp   ## check each commit and its subject before git keeps it (.pre-commit-config.yaml)
	$(BIN)/pre-commit install --hook-type pre-commit --hook-type commit-msg

bench: $(VENV)/dev.stamp $(COMPILED)   ## CPU time of each flow; ARGS="--peer node" or ARGS="--against CHECKOUT" compares in turns
	$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/dev.stamp   ## sign-ins, refreshes and sign-outs for 15 minutes on PostgreSQL: fails if memory or tables grow; ARGS="--seconds 60"
	$(BIN)/python -m bench.soak $(ARGS)

lock: $(VENV)/dev.stamp   ## newest allowed versions into requirements/, with hashes
	sh scripts/lock.sh

docs: $(VENV)/dev.stamp   ## the generated pages of docs/
	$(BIN)/python scripts/reference.py

site: $(VENV)/dev.stamp   ## site/: the documents in both languages as a folder, with search; fails on a warning or a dead link
	$(BIN)/python scripts/docs_site.py

dist: sbom   ## a wheel that holds migrations and examples too, and the SBOM beside it
	$(BIN)/python -m hatchling build -t wheel

sbom: $(VENV)/dev.stamp   ## dist/sso-VERSION.cdx.json: every package of requirements/run.txt (CycloneDX 1.6)
	$(BIN)/python scripts/sbom.py

charts: $(VENV)/dev.stamp   ## render, lint and validate the Helm chart, compare deploy/kubernetes; needs helm; ARGS=--write renews the files
	$(BIN)/python scripts/charts.py $(ARGS)

image:   ## replay the Dockerfile in a bare Debian tree and start it as a user without rights; needs root and debootstrap
	$(PYTHON) scripts/image.py $(ARGS)

install-guide: $(VENV)/dev.stamp   ## follow the guides for Debian on an empty Debian, to a sign-in over TLS; needs root and debootstrap; ARGS=--note notes the result
	$(BIN)/python scripts/install_guide.py $(ARGS)

clean:
	rm -rf $(VENV) var dist site artefacts .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python cannot make virtual environments: on Debian, apt-get install python3-venv"; exit 1; }

$(VENV)/run.stamp: requirements/run.txt pyproject.toml src/sso/__init__.py | $(BIN)/python
	@$(BEGIN_INSTALLING)
	$(BIN)/python scripts/install_packages.py requirements/run.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@rm $(VENV)/installing
	@touch $@

$(COMPILED): $(CATALOGUES) | $(VENV)/run.stamp
	$(BIN)/python scripts/compile_catalogues.py
	@touch $(COMPILED)

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml src/sso/__init__.py | $(BIN)/python
	@$(BEGIN_INSTALLING)
	$(BIN)/python scripts/install_packages.py requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@rm $(VENV)/installing
	@touch $@ $(VENV)/run.stamp
