# make run     build everything and serve VS Code on http://127.0.0.1:$(PORT)
# make test    everything that is checked, from a bare checkout
# make help    the other targets

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

PORT ?= 8080
DATA_DIR ?= $(HOME)/.local/share/hoody-code

# Tools that setup.sh had to install itself.
export PATH := $(PATH):$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/hoody-code/tools/bin

# Whatever the user's cargo configuration says, the programs end up where the tests and the engine build look.
export CARGO_TARGET_DIR := $(CURDIR)/target
HOODY_CODE := target/release/hoody-code
STEPS := target/steps.log
BROWSER_TESTS := $(sort $(wildcard tests/browser/*.test.mjs))
VM_TESTS := $(sort $(wildcard tests/vm/*.test.mjs))

# $(call step,NAME,COMMAND): a heading, the command, and a line with its outcome and time for the summary of .ci/run.
define step
@mkdir -p target; printf '\n== %s\n' '$(1)'; began=$$SECONDS; rc=0; ( $(2) ) || rc=$$?; \
	if [ $$rc = 0 ]; then word=ok; else word="FAILED ($$rc)"; fi; \
	printf '%-14s %5d s  %s\n' "$$word" $$((SECONDS - began)) '$(1)' >>$(STEPS); exit $$rc
endef

# What runs and tests this tree uses the engine that this tree builds, whatever others are in the cache or in the system's store; unless the
# environment names one.
ifeq ($(origin HOODY_CODE_ENGINE),undefined)
run test bench bench-density: export HOODY_CODE_ENGINE = $(shell packaging/engine/build.sh --dir)
endif

.PHONY: help run build test test-fast test-vm vm-tests bench bench-density deb rpm check-packages clean

help:
	@printf '%s\n' \
	  'make run            build, then serve on 127.0.0.1:PORT without a password (PORT=$(PORT), DATA_DIR=$(DATA_DIR))' \
	  'make build          release binaries in target/release, the engine in the cache' \
	  'make test           format, lints, unit, layering, licence, integration, browser, package and vm tests' \
	  'make test-fast      format, lints, unit and layering tests' \
	  'make test-vm        tests under a real systemd, in a virtual machine (needs no KVM)' \
	  'make bench          side by side with peers' \
	  'make bench-density  how many editors fit on this machine, side by side with code-server' \
	  'make deb, make rpm  packages in target/packages: hoody-code, and hoody-code-engine with VS Code in it' \
	  'make clean          remove target and tests/node_modules (the cache stays)'

run: build
	@printf '\n== serving on 127.0.0.1:%s, data in %s\n' '$(PORT)' '$(DATA_DIR)'
	@exec $(HOODY_CODE) serve --listen 127.0.0.1:$(PORT) --data-dir '$(DATA_DIR)' --auth none

build:
	$(call step,set up for building,packaging/setup.sh build)
	$(call step,build the daemon,cargo build --release --locked --no-default-features --features front --bin hoody-code)
	$(call step,build the broker,cargo build --release --locked --no-default-features --features broker --bin hoody-code-broker)
	$(call step,build the engine,packaging/engine/build.sh)

# The time limits are for what hangs: each is several times what the step takes on two cores.
test:
	@mkdir -p target; : >$(STEPS)
	$(call step,set up for testing,packaging/setup.sh test)
	@$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory test-fast
	$(call step,licences bans sources,cargo deny --locked check licenses bans sources)
	$(call step,advisories,packaging/advisories.sh)
	$(call step,integration tests,timeout -k 10 25m cargo test --locked --test integration)
	$(call step,browser tests,$(if $(BROWSER_TESTS),timeout -k 10 30m "$$(packaging/engine/build.sh --node)" --test \
		--test-concurrency=1 --test-timeout=300000 $(BROWSER_TESTS),echo 'none there yet'))
	$(call step,packages,timeout -k 10 15m packaging/check.sh)
	@HOODY_CODE_PACKAGES=$(CURDIR)/target/packages/check $(MAKE) --no-print-directory vm-tests
	@printf '\n== all of it passed\n'

test-fast:
	$(call step,format,cargo fmt --check)
	$(call step,lints,cargo clippy --all-targets --locked -- -D warnings)
	$(call step,unit and layering tests,timeout -k 10 15m cargo test --locked --lib --bins --test layering --test broker_dependencies)

test-vm:
	$(call step,set up for the vm,packaging/setup.sh vm)
	@$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory vm-tests

vm-tests:
	$(call step,vm images,timeout -k 10 25m tests/vm/image/build.sh)
	$(call step,vm tests,timeout -k 10 50m "$$(packaging/engine/build.sh --node)" --test \
		--test-concurrency=1 --test-timeout=1200000 $(VM_TESTS))

bench:
	$(call step,set up for the benchmark,packaging/setup.sh bench)
	@$(MAKE) --no-print-directory build
	$(call step,benchmark,"$$(packaging/engine/build.sh --node)" benches/bench.mjs)

bench-density:
	$(call step,set up for the benchmark,packaging/setup.sh bench)
	@$(MAKE) --no-print-directory build
	$(call step,density,"$$(packaging/engine/build.sh --node)" benches/density.mjs)

# Packages of one commit, made in one place, are the same: health's moment of the build is the commit's.
deb rpm: export SOURCE_DATE_EPOCH := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null))

# Quick to install rather than small: how hard they are compressed is --level of package.sh.
deb rpm:
	$(call step,set up for packages,packaging/setup.sh package)
	@$(MAKE) --no-print-directory build
	$(call step,make the .$@ packages,packaging/package.sh $@)

check-packages:
	$(call step,set up for packages,packaging/setup.sh package)
	@$(MAKE) --no-print-directory build
	$(call step,packages,packaging/check.sh)

clean:
	rm -rf target tests/node_modules
