# The front door: `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What can be set on the command line: make test-qemu SMP=4 MEMORY=8G
SMP ?= 2
MEMORY ?= 1G
HOST_MEMORY ?= 3G
CALLS ?= 1000000
TEST ?=
MINUTES ?= 60
KERNELS ?=

build_folder := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
bare_metal := $(build_folder)/aarch64-unknown-none-softfloat/release
emulator := $(build_folder)/debug/emulator
image_tool := $(build_folder)/debug/image-tool
cargo := cargo
locked := $(if $(CI),--locked,)
host_cargo_flags := $(locked) --workspace --exclude rmm-image --exclude el3-probe --exclude realm-kmod
# The programs for this machine: these alone, or with WITH_TESTS=1 as their tests have them, which then build
# nothing that they have in common a second time (other features, other profile).
ifeq ($(WITH_TESTS),)
build_programs := $(cargo) build --quiet $(locked) -p emulator -p cca-token -p image-tool
documents := $(cargo) run --quiet $(locked) -p host-vmm --example documents --
else
build_programs := $(cargo) test --quiet --no-run $(host_cargo_flags)
documents := $(build_folder)/debug/examples/documents
endif

.PHONY: help
help: ## List these targets
	@echo "Cloister: confidential VMs for Arm CCA. Targets:"
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | \
	    while IFS='|' read -r target text; do printf '  %-18s %s\n' "$$target" "$$text"; done
	@echo "Variables: SMP=$(SMP) MEMORY=$(MEMORY) HOST_MEMORY=$(HOST_MEMORY) CALLS=$(CALLS) MINUTES=$(MINUTES) TEST=name; CLOISTER_QEMU, CLOISTER_KERNEL_VERSION, CLOISTER_TIME_SCALE"

.PHONY: setup
setup: ## Install and fetch everything that a build and the tests need (the others call it)
	@tools/setup.sh

.PHONY: setup-build
setup-build:
	@tools/setup.sh --without-linux --without-module

.PHONY: setup-linux
setup-linux:
	@tools/setup.sh --without-module

.PHONY: setup-module
setup-module:
	@tools/setup.sh --without-linux

.PHONY: run
run: host-image payloads ## Boot a Debian host above EL3 and RMM, and on it a Debian Realm that proves what it is
	@$(cargo) build --quiet $(locked) -p host-vmm
	@$(emulator) run --smp $(SMP) --memory $(HOST_MEMORY)

.PHONY: host
host: host-image payloads ## The same host, with its console on this terminal (Ctrl-A X ends it)
	@$(emulator) run --interactive --smp $(SMP) --memory $(HOST_MEMORY)

.PHONY: demo
demo: payloads ## Boot EL3, RMM and a small host: a page changes worlds, and a Realm proves what it is
	@$(emulator) demo --smp $(SMP) --memory $(MEMORY)

.PHONY: test
test: setup ## Run what can be shown in minutes: units, QEMU, Realms on Linux, packages, reproducible image
	@tools/test.sh all

.PHONY: test-host
test-host: setup-build ## Unit tests, format and lints on this machine
	@tools/test.sh host lint

.PHONY: test-qemu
test-qemu: setup-build ## The tests of EL3 and RMM in QEMU, on all machine sizes
	@tools/test.sh qemu

.PHONY: boot-matrix
boot-matrix: setup-build ## Boot the RMM from manifests of all versions and shapes, and wrong ones
	@tools/test.sh boot-matrix-all

.PHONY: test-many-cpus
test-many-cpus: setup-build ## Boot the RMM on 64 CPUs and call it from each of them (minutes)
	@tools/test.sh ns-host-64-cpus

.PHONY: test-linux
test-linux: setup-linux ## Boot a stock Debian kernel above EL3 and RMM and use its shell
	@tools/test.sh linux

.PHONY: test-realm-linux
test-realm-linux: setup ## Run Realms of several kinds on a stock Debian kernel
	@tools/test.sh realm-linux

.PHONY: test-kernels
test-kernels: setup ## Run a Realm on every kernel that the module is built for (KERNELS='release ...')
	@. tools/versions.sh && KERNELS="$${KERNELS:-$${MODULE_KERNELS[*]% *}}" tools/test.sh kernels

.PHONY: test-deb
test-deb: setup-module ## Test the Debian packages: contents, installation, DKMS, unit
	@tools/test.sh deb

.PHONY: test-load
test-load: setup ## Network and disk of guests under load, as ordinary VM and as Realm: nothing is changed (10 minutes)
	@tools/test.sh load

.PHONY: test-unit
test-unit: host-image payloads deb ## Run a Realm as a service of a Debian host with systemd, from the packages (3 minutes; root)
	@tools/setup.sh --with-systemd
	@release=$$(cat target/setup/guest/release) && \
	    tools/test-unit.sh target/deb "target/module/$$release/realm.ko" target/host target/guest $(emulator)

.PHONY: test-reproducible
test-reproducible: setup-build ## Build the image in two folders and compare
	@tools/test.sh reproducible

.PHONY: one
one: payloads ## Run one test: make one TEST=granule/unaligned (a prefix: TEST='granule/*')
	@test -n "$(TEST)" || { echo "make one: say which test, like TEST=granule/unaligned (make list names them)" >&2; exit 2; }
	@$(emulator) test --verbose --label one --smp $(SMP) --memory $(MEMORY) --only '$(TEST)'

.PHONY: list
list: payloads ## Name the tests that run in QEMU
	@$(emulator) list --smp $(SMP)

.PHONY: stress
stress: payloads ## A million delegations from four CPUs, against the model (CALLS=N)
	@$(emulator) test --verbose --label stress --smp 4 --memory $(MEMORY) --only 'stress/*' --calls $(CALLS) --time-scale 60

.PHONY: soak
soak: host-image payloads ## Use a Debian host with Realms long and roughly, three hours or so (SOAK='--hostile 60 --kills 20')
	@$(emulator) soak --smp $(SMP) --memory $(HOST_MEMORY) $(SOAK)

.PHONY: fleet
fleet: host-image payloads ## Start and end 500 Realms in a row, and run ten at once on a host of 16 GiB (half an hour)
	@$(emulator) soak --smp $(SMP) --memory 16G --label fleet --realm-memory 0 --launches 0 --kills 0 --races 0 \
	    --pressure 0 --hotplugs 0 --moves 0 --hostile 0 --starts 500 --crowd 10

.PHONY: overhead
overhead: load-image payloads ## What it costs to be a Realm, in instructions and time (also in target/overhead.json; OVERHEAD='--rounds 5')
	@$(emulator) overhead --smp $(SMP) --memory $(HOST_MEMORY) $(OVERHEAD)

.PHONY: bench
bench: payloads ## Instructions per call (also in target/bench.json), and tokens verified in a second
	@$(emulator) bench --memory $(MEMORY)
	@$(cargo) bench --quiet $(locked) -p attestation-token --features fast --bench verification

.PHONY: scaling
scaling: payloads ## Instructions per operation on disjoint Realms from 4, 2 and 1 CPUs
	@$(emulator) bench --scaling --memory $(MEMORY)

.PHONY: linux
linux: setup-linux payloads ## Boot the Debian kernel and use it (Ctrl-A X ends it)
	@$(emulator) linux --interactive --smp $(SMP) --memory $(MEMORY)

.PHONY: image
image: setup-build emulator ## Build target/image/rmm.img and what goes with it: ELF file, map, bill of materials, checksums
	@tools/build-image.sh "$(build_folder)" target/image

.PHONY: size
size: image ## Bytes of the image by section and crate, beside their budget; more than that fails
	@$(image_tool) size target/image/rmm.elf --budget rmm/image/size-budget.toml

.PHONY: dist
dist: size ## Pack the image, what goes with it, guide and licences: target/dist/cloister-rmm-….tar.gz
	@tools/build-dist.sh "$(build_folder)" target/image target/dist

.PHONY: module
module: setup-module ## Build the Realm kernel module: target/module/<kernel release>/realm.ko (KERNELS='release ...')
	@tools/build-module.sh "$(build_folder)" target/module $(KERNELS)

.PHONY: deb
deb: setup-module linux-programs emulator ## Build Debian packages of host-vmm and, for DKMS, the module: target/deb/*.deb
	@tools/build-module.sh "$(build_folder)" target/module --rust-half
	@$(documents) target/documents
	@tools/build-deb.sh target/linux target/module target/documents target/deb

.PHONY: linux-programs
linux-programs: setup-build
	@tools/build-linux.sh "$(build_folder)" target/linux

.PHONY: guest-image
guest-image: setup emulator linux-programs ## Build the guest's system: target/guest/Image and initrd
	@tools/build-guest-module.sh target/guest-module "$$(cat target/setup/guest/release)"
	@$(emulator) guest-image

.PHONY: host-image
host-image: guest-image setup-module ## Build the host's system, with module, VMM and guest: target/host/Image and initrd
	@release=$$(cat target/setup/guest/release) && \
	    tools/build-module.sh "$(build_folder)" target/module "$$release" && \
	    $(emulator) host-image --module "target/module/$$release/realm.ko"

.PHONY: load-image
load-image: guest-image setup-module ## Build the same host with what loads its guests (fio, iperf3): target/load
	@tools/setup.sh --with-load
	@release=$$(cat target/setup/guest/release) && \
	    tools/build-module.sh "$(build_folder)" target/module "$$release" && \
	    $(emulator) host-image --module "target/module/$$release/realm.ko" --load target/setup/load --out target/load

.PHONY: payloads
payloads: image ## Build the EL3 monitor and the test programs
# One at a time: together they would get the union of the features that each asks of a crate.
	@tools/bare-metal-cargo.sh build --quiet -p el3-monitor
	@tools/bare-metal-cargo.sh build --quiet -p ns-host
	@tools/bare-metal-cargo.sh build --quiet -p el3-probe
	@tools/bare-metal-cargo.sh build --quiet -p realm-payload
	@$(image_tool) flat $(bare_metal)/el3-monitor target/payloads/el3-monitor.bin
	@$(image_tool) flat $(bare_metal)/ns-host target/payloads/ns-host.img
	@$(image_tool) flat $(bare_metal)/el3-probe target/payloads/el3-probe.img
	@$(image_tool) flat $(bare_metal)/realm-payload target/payloads/realm-payload.img

.PHONY: emulator
emulator: setup-build
	@$(build_programs)

.PHONY: lint
lint: setup-build ## Format, clippy for host and bare metal, scripts, licences (where the tools are there)
	@tools/lint.sh

.PHONY: lint-full
lint-full: setup-build ## The same with cargo-deny, which is built first if it is missing (minutes)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	@tools/lint.sh

.PHONY: coverage
coverage: setup-build ## Lines of rmm/core that its tests reach; fewer than 90 in a hundred fail
	@command -v cargo-llvm-cov >/dev/null || { echo "make coverage: needs cargo-llvm-cov: rustup component add llvm-tools && cargo install --locked cargo-llvm-cov" >&2; exit 2; }
	@CLOISTER_STEPS=20000 $(cargo) llvm-cov $(locked) --release -p rmm-core --summary-only --fail-under-lines 90 --ignore-filename-regex '(^|/)(tests|abi)/'

.PHONY: fuzz
fuzz: setup-build ## Fuzz tokens, reference values, policies, virtio devices, vCPUs and Realms, an hour each (MINUTES=60)
	@attestation-token/fuzz/run.sh $(MINUTES)
	@host-vmm/fuzz/run.sh $(MINUTES)

.PHONY: clean
clean: ## Remove what was built; what the set-up fetched stays
	@if [ -d target ]; then find target -mindepth 1 -maxdepth 1 ! -name setup -exec rm -rf {} +; fi
