# `make` lists what there is; each target is a script that can be called by itself.
SUFFIX ?= dev
.DEFAULT_GOAL := help
.PHONY: help demo up down status test lint fmt deploy

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Send webhooks through the real functions on a local AWS peer, and count what arrived
	@scripts/demo

up: ## Start the platform on this machine and keep it up (SUFFIX=dev)
	@scripts/local up --suffix $(SUFFIX)

down: ## Stop it (SUFFIX=dev)
	@scripts/local down --suffix $(SUFFIX)

status: ## Show what of it runs (SUFFIX=dev)
	@scripts/local status --suffix $(SUFFIX)

test: ## Unit, property and integration tests, against a platform of their own
	@scripts/test

lint: ## What CI checks beside the tests
	@scripts/lint

fmt: ## Format the code
	@cargo fmt --all

deploy: ## Deploy to AWS: ENV=dev reads infra/params/dev.json; image URIs as IMAGES='ValidatorImage=... ...'
	@scripts/deploy --suffix $(or $(ENV),$(error ENV is missing: make deploy ENV=dev)) --params infra/params/$(ENV).json $(IMAGES)
