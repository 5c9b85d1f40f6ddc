# Two commands do everything on a fresh machine:
#   make demo    sets up, runs the dry run with its window (or its pictures) into ./demo
#   make test    sets up, checks the code, runs every test
.PHONY: demo test check setup clean help bench

help:
	@echo "make demo   set up and run the dry run; what it leaves is in ./demo"
	@echo "make test   set up, check the code, run every test"
	@echo "make setup  only set up .venv;  make check: only the checks;  make clean: remove .venv and demo"

setup: .venv/ready

.venv/ready: pyproject.toml requirements.lock scripts/setup
	@scripts/setup

demo: .venv/ready
	@rm -rf demo
	.venv/bin/operando demo --out demo

check: .venv/ready
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports
	@mkdir -p .build && ln -sfn "$(CURDIR)" .build/operando
	MYPYPATH=.build .venv/bin/mypy -p operando.stream -p operando.consumers -p operando.sim

# tests mostly wait for something: three files at a time; of whole runs two; what is measured against
# the clock of its own run has the machine to itself
RUNS = tests/end_to_end
ALONE = tests/end_to_end/test_adaptive.py tests/faults/test_soak.py
SEVERAL = .venv/bin/python -m pytest --dist loadfile --no-loadscope-reorder $(ALONE:%=--ignore=%)
test: check
	$(SEVERAL) -n 3 --ignore=$(RUNS)
	$(SEVERAL) -n 2 $(RUNS)
	.venv/bin/python -m pytest $(ALONE)

bench: .venv/ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off \
		--constraint requirements.lock --requirement requirements-benchmarks.txt
	.venv/bin/python -m benchmarks

clean:
	rm -rf .venv .build demo
