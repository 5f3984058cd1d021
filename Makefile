# tidecast: the two commands of a newcomer are `make demo` and `make test`; each installs what it misses.
#   make help            these lines
#   make demo            build, then broker + simulated plant + daemon, forecasts live   (ARGS='--seconds 20')
#   make test            every test, those against a real Apache Kafka too                (ARGS='cadence' runs the tests of that name)
#   make soak            the simulation and the fault suite, half of FOR=3600 seconds each
#   make lint            format, clippy, documentation, tests/it/tidy.rs, the systemd unit
#   make bench           benches of the parts
#   make run             the daemon in the foreground                                     (CONFIG=my.toml)
#   make kafka           a real Apache Kafka on 127.0.0.1:19092 to try things on          (make kafka-stop ends it)
#   make clean           what was built
SHELL := /bin/bash
# Where plain jars of Apache Kafka are kept between runs.
export TIDECAST_KAFKA_JARS ?= $(HOME)/.cache/tidecast/kafka-4.4.0
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# $(call need,TEST,PACKAGES,WHY): installs PACKAGES, saying WHY, unless TEST succeeds.
define need
@$(1) >/dev/null 2>&1 || { echo "installing $(2): $(3)"; \
  command -v apt-get >/dev/null || { echo "no apt-get here: install $(2) by hand, then run make again" >&2; exit 1; }; \
  export DEBIAN_FRONTEND=noninteractive; \
  $(SUDO) apt-get install -y -qq --no-install-recommends $(2) >/dev/null 2>&1 || \
    { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends $(2) >/dev/null; }; }
endef

.PHONY: help demo test soak lint bench run kafka kafka-stop clean tools tools-broker

help:
	@sed -n 's/^#  \{0,1\}//p' Makefile | sed -n '2,/^ *make clean/p'

demo: tools
	cargo build --release --locked
	target/release/tidecast demo $(ARGS)

# Twice as many at a time as there are cores of the smallest machine: tests of the fault suite wait more than they compute.
test: tools tools-broker
	RUST_TEST_THREADS=4 cargo test --release --locked --features faults -- $(ARGS)

soak: tools tools-broker
	TIDECAST_SOAK_SECONDS=$$(($(or $(FOR),3600) / 2)) cargo test --release --locked --features faults -- --ignored --nocapture --test-threads 1 soak

lint: tools
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings
	cargo clippy --release --locked --all-targets --features faults -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --locked --no-deps --document-private-items
	cargo test --release --locked --features faults --test it -- tidy
	$(call need,command -v systemd-analyze,systemd,systemd-analyze: verifies the unit)
	@mkdir -p target/unit && sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' systemd/tidecast.service >target/unit/tidecast.service
	systemd-analyze verify target/unit/tidecast.service

bench: tools
	cargo bench --locked -- $(ARGS)

run: tools
	@[ -n "$(CONFIG)" ] || { echo "no config was given: make run CONFIG=my.toml (config/examples/plant.toml is one to begin with)" >&2; exit 1; }
	cargo build --release --locked
	target/release/tidecast run --config $(CONFIG)

kafka: tools-broker
	@tests/kafka/broker start target/kafka 1 19092
	@echo "make topics:  tests/kafka/broker topic 127.0.0.1:19092 sensors 3   (and: forecasts, forecasts.dead)"
	@echo "end it:       make kafka-stop"

kafka-stop:
	tests/kafka/broker stop target/kafka

clean:
	cargo clean

tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.89 or newer (https://rustup.rs), then run make again" >&2; exit 1; }
	$(call need,command -v cc && command -v c++,gcc g++ libc6-dev,the C compiler that builds the bundled librdkafka)
	$(call need,command -v pkg-config,pkg-config,finds the system libraries below)
	$(call need,pkg-config --exists openblas,libopenblas-dev,OpenBLAS: the matrix products of training)
	$(call need,pkg-config --exists openssl,libssl-dev,OpenSSL: TLS and SCRAM of the Kafka client)
	$(call need,pkg-config --exists libzstd,libzstd-dev,zstd: compressed Kafka batches)

tools-broker:
	$(call need,command -v java && java -version 2>&1 | grep -Eq 'version "(1[7-9]|[2-9][0-9])',default-jre-headless,Java 17 or newer: runs the real Apache Kafka of the tests)
	$(call need,command -v mvn,maven,Maven: fetches Apache Kafka's jars)
	$(call need,command -v kcat,kcat,the Kafka client of the tests that nobody here wrote)
	@tests/kafka/broker fetch
