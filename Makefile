# make demo      convert the seed model to every target, run the results, compare and time them
# make test      install everything that the tests need, and run all of them
# make test-torch  trace live PyTorch modules, in an environment of its own, since torch is large
# make quick     the tests of the daily loop: each layer once, in every target; about a minute
# make lint      ruff and mypy alone;  make format  lets ruff mend what it can
# make docs      build the documentation as a site, in site/
# make bench     time generated code beside what users could pick instead
# make fuzz      read damaged models: every byte changed, then FUZZ_SECONDS=600 for each container;
#                and as long random models against the installed Keras, from RANDOM_MODELS=1 on
# make fixtures  how the recorded Keras models are made again
# make train     train the models of examples/ again, in an environment of their own, and hold their
#                accuracy against what their pages say; EXAMPLES="gesture names" takes these alone
# make nightly   what is too long for each change: train, test-torch, fuzz
# make clean     remove what all of these installed and built
#
# Each installs what it needs first (scripts/setup.sh), which is quick when it is there already.

FUZZ_SECONDS ?= 600
RANDOM_MODELS ?= 1
PYTEST_JOBS ?= 2
PYTEST_ARGS ?=
EXAMPLES ?=
BIN := .venv/bin

# Arithmetic on one core: the tests already run side by side.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help demo test quick test-torch lint format docs bench fuzz fixtures train nightly clean \
    setup-core setup-lint setup-docs setup-test

help:
	@sed -n 's/^# \(make .*\|   .*\)/\1/p' Makefile

demo: setup-core
	@$(BIN)/python scripts/demo.py

test: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n $(PYTEST_JOBS) $(PYTEST_ARGS)

test-torch:
	bash scripts/test_torch.sh $(PYTEST_ARGS)

quick: setup-test
	QUICK=1 $(BIN)/pytest -n $(PYTEST_JOBS) -q tests/test_fixtures.py tests/test_emit.py \
	    tests/test_dims.py tests/layers/test_streams.py tests/targets/test_ops.py $(PYTEST_ARGS)

lint: setup-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The peers bring TensorFlow: they have an environment of their own, in a cache folder.
bench:
	"$$(bash benchmarks/setup.sh)" -m benchmarks

fuzz: setup-test
	$(BIN)/python -m tests.fuzz --every-byte
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)
	$(BIN)/python -m tests.random_models --seconds $(FUZZ_SECONDS) --seed $(RANDOM_MODELS)

train:
	bash scripts/train_examples.sh $(EXAMPLES)

nightly: train test-torch fuzz

fixtures:
	@echo 'Each era of Keras needs its own Python and packages, so tests read what was recorded once.'
	@echo 'tests/fixtures/make/build.sh ERA [CASE...] makes an environment for it and records it again:'
	@sed -n '2,/^set /s/^# \{0,1\}//p' tests/fixtures/make/build.sh

clean:
	rm -rf .venv tests/npm/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site
	rm -f tests/fixtures/*/*/*.h5

setup-core setup-lint setup-docs setup-test:
	@bash scripts/setup.sh $(@:setup-%=%)
