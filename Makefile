# Every target sets up what it needs in local virtual environments; only Python 3.11 or newer is taken for granted.
PYTHON ?= python3
VENV   ?= .venv
PY      = $(VENV)/bin/python
comma   = ,
READY   = $(VENV)/.ready
DEMO_READY = $(VENV)/.demo-ready
# Where this is set (in images for containers, as a rule), each of the hundreds of processes that the tests start compiles anew all that
# it imports, which takes as long again as importing it.
unexport PYTHONDONTWRITEBYTECODE
# In the order that `test/conftest.py` gives them, and not, as else, the modules with the fewest tests last, which take longest.
# Three on two cores: what runs processes waits for a third of its time.
PARALLEL = -n 3 --dist loadscope --no-loadscope-reorder
PRODUCT = controller_runtime gpu_provisioner kaito_controller

.DEFAULT_GOAL := help
.PHONY: help setup test unit test-again test-long test-long-again zoo lint format types imports manifests checks bench fuzz demo demo-model up test-image test-prometheus test-envtest test-cluster test-cluster-again model-env test-model test-model-again test-model-long test-vllm-cpu lock lock-model docs release clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv needs a quarter of pip's time. It does not read pip's configuration (an index of your own, say), so pip takes over where uv gets nowhere.
UV = uv==0.13.9
pip = $(1)/bin/python -m pip install --quiet --disable-pip-version-check
# $(1): the folder of the environment, $(2): what goes into it.
define install
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	@{ $(pip) --only-binary=:all: $(UV) && $(1)/bin/python -m uv pip install --quiet --python $(1)/bin/python $(2); } 2>/dev/null \
		|| $(pip) --no-compile $(2)
endef

$(READY): pyproject.toml
	$(call install,$(VENV),--editable '.[dev]')
	@touch $@ $(DEMO_READY)

# The demo needs a part of it, so that a newcomer waits less.
$(DEMO_READY): pyproject.toml
	@echo "setting up $(VENV) (once)"
	$(call install,$(VENV),--editable '.[demo]')
	@touch $@

setup: $(READY) ## Create the virtual environment with everything the tests need

# The output of a check only when it fails.
quietly = out=$$($(1) 2>&1) || { echo "$$out"; exit 1; }

lint: $(READY) ## Lint, formatting, spelling, unused code, undeclared and unused dependencies
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/codespell
	@$(VENV)/bin/vulture
	@$(call quietly,$(VENV)/bin/deptry .)
	@$(call quietly,$(VENV)/bin/deptry $(PRODUCT) --optional-dependencies-dev-groups demo$(comma)dev$(comma)bench)

format: $(READY) ## Rewrite the tree in house format
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format .

types: $(READY) ## Static types (mypy strict on the shipped packages)
	@$(VENV)/bin/mypy

imports: $(READY) ## The dependency rules between the packages
	@$(VENV)/bin/lint-imports

# What is checked without running anything: two at a time, each with its output in one piece.
CHECKED = @$(MAKE) --no-print-directory --jobs 2 --output-sync=target types lint imports

test: $(READY) ## Everything that needs no cloud: lint, types, import contracts, every suite (PKG=NAME: one package's suites alone)
	$(CHECKED)
	@$(PY) -m pytest $(PARALLEL) $(if $(PKG),$(or $(wildcard test/*/$(PKG)),$(error PKG=$(PKG): no folder test/*/$(PKG); try gpu_provisioner)))

unit: $(READY) ## The unit tests: the inner loop (PKG=NAME: of one package)
	@$(PY) -m pytest $(PARALLEL) test/unit/$(PKG)

# A long test that needs a real API server runs with the others that do.
LONG = -m "long and not (envtest or image or prometheus or cluster or model or vllm_cpu or gpu)" -o cache_dir=.pytest_cache/long

test-long: $(READY) ## The whole of what `make test` samples: every crash point, every failure end to end
	@$(PY) -m pytest $(PARALLEL) $(LONG)

# What failed the last time, once more.
test-again: $(READY)
	$(CHECKED)
	@$(PY) -m pytest --last-failed --last-failed-no-failures none

test-long-again: $(READY)
	@$(PY) -m pytest $(LONG) --last-failed --last-failed-no-failures none

zoo: $(READY) ## Who tests the tests: put known bugs into our code, one at a time; the tests must notice (NAMES="..." for some)
	@$(PY) -m test.zoo $(NAMES)

manifests: $(READY) ## Render CRDs, admission policy, install.yaml and the Helm chart from their sources
	@$(PY) -m hack.generate
	@$(PY) -m hack.render

CHECKS_READY = .venv-checks/.ready
$(CHECKS_READY): hack/checks/requirements.txt
	$(call install,.venv-checks,-r $<)
	@touch $@

DURATION ?= 60
fuzz: $(READY) ## Throw hostile objects and cloud replies at both operators for DURATION seconds; what does harm becomes a seed
	@$(PY) -m test.fuzz --duration-s $(DURATION)

checks: $(READY) $(CHECKS_READY) ## Static checks: manifests, Dockerfile, shell, YAML, Python security, planted secrets
	@hack/checks/run.sh .venv-checks/bin $(VENV)/bin

demo: $(DEMO_READY) ## See the whole product work on this machine: local cluster, both operators, the quickstarts
	@$(PY) -m hack.demo

demo-model: $(DEMO_READY) model-env ## The same with a real small chat model on the CPU: it answers, is taught a fact, and tells it (needs Go)
	@$(PY) -m hack.demo.model

up: $(DEMO_READY) ## A local cluster with both operators, kept running until Ctrl-C (FLAGS for it: --help)
	@$(PY) -m hack.demo --keep $(FLAGS)

test-image: $(READY) ## Put the image's content together without a daemon, and run both operators from it
	@$(PY) -m pytest -m "image and not envtest" test/install

test-prometheus: $(READY) ## A real Prometheus scrapes both binaries (needs Debian's package prometheus)
	@$(PY) -m pytest -m prometheus test/install

lock: ## Lock the image's dependencies with their hashes, after pyproject.toml changed
	$(call install,.venv-lock,pip-tools==7.6.2)
	@.venv-lock/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-emit-index-url --no-emit-find-links \
		--output-file hack/image/requirements.txt pyproject.toml

# The model runtime has an environment of its own: PyTorch and its kin, without which everything else is tested.
MODEL_PY = .venv-model/bin/python
model-env:
	@$(PYTHON) test/support/model_env.py .venv-model

# A cache of its own: --last-failed must not see what failed in another environment.
MODEL_TESTS = OMP_NUM_THREADS=1 $(MODEL_PY) -m pytest -o filterwarnings=default -o cache_dir=.pytest_cache/model --timeout 600

test-model: $(DEMO_READY) model-env ## The model server and the trainer with real libraries and small models, on a CPU (downloads about 0.9 GB once)
	@$(MODEL_TESTS) -n 2 --dist loadfile -m "model and not long" --durations=10 test/model

test-model-again: $(DEMO_READY) model-env
	@$(MODEL_TESTS) -m "model and not long" --last-failed --last-failed-no-failures none test/model

test-model-long: model-env ## What `make test-model` samples: every family, every form of data, every pair of strengths
	@$(MODEL_TESTS) -m "model and long" test/model

# The third-party build of vLLM for CPUs, and the parser and application of the version that the image has.
test-vllm-cpu: ## Real vLLM on a CPU behind our server, and the image's own vLLM reading our arguments (downloads about 1.4 GB once)
	@$(PYTHON) test/support/model_env.py .venv-vllm vllm-cpu
	@OMP_NUM_THREADS=1 .venv-vllm/bin/python -m pytest -o filterwarnings=default -o cache_dir=.pytest_cache/vllm -m vllm_cpu --durations=10 test/model/vllm

lock-model: model-env ## Lock the model runtime's dependencies, after model_runtime/requirements/*.in changed
	@cd model_runtime/requirements && for lock in cpu-test gpu; do \
		../../$(MODEL_PY) -m uv pip compile --quiet --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
			--no-header --no-annotate --no-emit-index-url --no-emit-find-links $${lock}.in -o $${lock}.txt; done; \
	../../$(MODEL_PY) -m uv pip compile --quiet --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --override vllm-cpu.overrides vllm-cpu.in -o vllm-cpu.txt

test-envtest: $(READY) ## The suites on a real control plane (needs Go, or binaries named by KUBEBUILDER_ASSETS)
	@$(PY) -m hack.envtest test $(FLAGS)

# One process: all its tests share one cluster, and their order is theirs.
CLUSTER_TESTS = $(PY) -m hack.envtest nodes && $(PY) -m pytest -p no:randomly -m cluster -o cache_dir=.pytest_cache/cluster --durations=10
test-cluster: $(READY) ## The product as pods on real nodes (needs root on Linux, Python 3.11 and Go; makes .venv-model, installs Debian packages)
	@$(CLUSTER_TESTS) test/cluster

test-cluster-again: $(READY)
	@$(CLUSTER_TESTS) --last-failed --last-failed-no-failures none test/cluster

# Two tools with environments of their own: $(1) is the folder in hack/ that says what it needs.
define tool
	$(call install,.venv-$(1),-r hack/$(1)/requirements.txt)
	@NO_MKDOCS_2_WARNING=1 .venv-$(1)/bin/python -m hack.$(1)
endef

docs: ## The documentation as a site in build/site, links checked
	$(call tool,docs)

release: ## Wheel, sdist, plugin, chart, manifests and SBOM in dist/, each checked
	$(call tool,release)

BENCH_READY = $(VENV)/.bench-ready
$(BENCH_READY): $(READY)
	$(call install,$(VENV),--editable '.[dev$(comma)bench]')
	@touch $@

bench: $(BENCH_READY) ## Measure the machinery against bare loops and its peers (BENCH_JSON=FILE also writes the figures)
	@$(PY) -m test.bench

clean: ## Remove what the other targets made
	rm -rf $(VENV) .venv-* dist .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
