# `make` lists what there is; each target is a script that can be called by itself.
SUFFIX ?= dev
.DEFAULT_GOAL := help
.PHONY: help demo up down status test attack prove soak race bench bench-function bench-images bench-parsers bench-search lint fuzz advisories fmt images peers push preflight deploy diff outputs destroy
# Of an environment in AWS, or of what `make peers push deploy ENV=local` made here.
environment = $(if $(filter local,$(ENV)),--platform .local/run/local/platform.json,--suffix $(or $(ENV),$(error ENV is missing: ENV=dev)))
params = --params $(or $(wildcard infra/params/$(ENV).json),$(error infra/params/$(ENV).json is missing: copy dev.json))

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Send webhooks through the real functions on a local AWS peer, and count what arrived
	@scripts/local/demo

up: ## Start the platform on this machine and keep it up (SUFFIX=dev)
	@scripts/local/platform up --suffix $(SUFFIX)

down: ## Stop it (SUFFIX=dev)
	@scripts/local/platform down --suffix $(SUFFIX)

status: ## Show what of it runs (SUFFIX=dev)
	@scripts/local/platform status --suffix $(SUFFIX)

test: ## Unit, property and integration tests, against a platform of their own
	@scripts/check/test

attack: ## Attack the real functions on a platform of their own, and say what came of it (docs/threat-model.md)
	@scripts/local/attack

prove: ## Send webhooks while everything fails that may fail, and have a referee count where each ended (SEED=TEXT QUICK=1)
	@scripts/prove/prove $(if $(SEED),--seed $(SEED)) $(if $(QUICK),--quick)

soak: ## Send webhooks at a steady rate for half an hour: are memory, open files and latency flat? (MINUTES=30 RATE=N)
	@scripts/local/soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE))

race: ## The processor against its rivals on one batch, equal outputs asserted (benches/COMPARE.md)
	@benches/drivers/race

bench: ## Criterion benches: the processor by size, provider and failures; archive encoding; verification and its overhead
	@cargo bench --workspace --bench processor --bench archive --bench verify --bench overhead

bench-function: ## CPU, AWS calls and bytes of a webhook in the real functions, and their cold starts
	@benches/drivers/functions

bench-images: ## Sizes of the images as they are deployed, compressed (arm64, profile release)
	@benches/drivers/images

bench-parsers: ## Instructions on arm64 and x86-64, and time, of three JSON parsers over every body (Debian 12, amd64)
	@benches/drivers/parsers

bench-search: ## A search of an archive of a million webhooks, in DuckDB (the first time it makes the archive: minutes, 450 MB)
	@benches/drivers/search

fuzz: ## Fuzz every reader of what others send (TIME=60 seconds each; TARGET=event runs one)
	@scripts/check/fuzz $(or $(TIME),60) $(TARGET)

lint: ## What CI checks beside the tests
	@scripts/check/lint

advisories: ## Look for known vulnerabilities of dependencies; fetches RustSec's database from GitHub (SECURITY.md)
	@scripts/check/advisories

fmt: ## Format the code
	@cargo fmt --all

images: ## Build the arm64 images (FUNCTION=processor builds one)
	@scripts/operate/build-images $(FUNCTION)

peers: ## Start a registry and an AWS peer on this machine, for `make push deploy ENV=local`
	@scripts/local/platform peers --suffix local

push: ## Push the images to ECR (ENV=dev), or to this machine's registry (ENV=local)
ifeq ($(ENV),local)
	@scripts/local/platform push --suffix local
else
	@scripts/operate/push-images $(environment) $(params)
endif

preflight: ## Ask an account what a deployment may fail on, and change nothing (ENV=dev)
	@scripts/operate/preflight $(environment) $(params)

deploy: ## Deploy what was pushed to AWS (ENV=dev reads infra/params/dev.json), or to this machine's peer (ENV=local)
ifeq ($(ENV),local)
	@scripts/local/platform deploy --suffix local
else
	@scripts/operate/deploy $(environment) $(params)
endif

diff: ## Show what deploy would change (ENV=dev)
	@scripts/operate/diff $(environment) $(params)

outputs: ## Print URLs and names of a deployment (ENV=dev)
	@scripts/operate/outputs $(environment)

destroy: ## Remove a deployment and all that it holds (ENV=dev CONFIRM=yes)
	@scripts/operate/destroy $(environment) $(if $(filter yes,$(CONFIRM)),--yes)
