# Thin on purpose: every target is one or two commands you could type yourself.

GO      ?= go
BIN     := $(CURDIR)/bin
TOOLS   := $(BIN)/tools
# As the programs are built, so that what both are made of is compiled once.
RUN     := $(GO) run -trimpath
# Packages share two cores and real networks: more at a time is not faster.
TESTFLAGS ?= -race -count=1 -timeout 40m -p 2

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs into bin/
	$(GO) build -trimpath -o $(BIN)/ ./cmd/...

.PHONY: demo
demo: build ## Real calls on a real Asterisk, anchored, proven, tampered with, caught; then all stops
	$(BIN)/callseal demo

.PHONY: test
test: ## Run all tests: real Fabric, real Asterisk, race detector
	@rm -f $(BIN)/left-out && mkdir -p $(BIN)
	$(GO) build -trimpath -ldflags "-s -w" -o $(BIN)/test/ ./cmd/...
	CALLSEAL_PROGRAMS=$(BIN)/test CALLSEAL_LEFT_OUT=$(BIN)/left-out $(GO) test $(TESTFLAGS) ./...
	@if [ -s $(BIN)/left-out ]; then sort -u $(BIN)/left-out; fi

.PHONY: up
up: build ## Raise the network and leave it running (`bin/callseal network down` stops it)
	$(BIN)/callseal network up

.PHONY: measure
measure: build ## Place 100 real calls and print hang-up to commit, p50, p95, p99
	$(BIN)/callseal demo --measure 100

.PHONY: docs
docs: ## Write docs/chaincode.md, docs/metrics.md and the figures of docs/gateway.md and docs/adapter.md from the code and docs/measured
	$(GO) run ./tools/contractdoc
	$(GO) run ./tools/measureddoc
	$(GO) run ./tools/metricsdoc

.PHONY: measure-chaincode
measure-chaincode: ## Measure the chaincode, on the stub and on a real network, into docs/measured
	@mkdir -p docs/measured
	$(GO) test -run '^$$' -bench 'BenchmarkFunction' -benchmem ./chaincode/contract | tee docs/measured/stub.txt
	$(GO) test -run '^$$' -bench . -benchtime 20x -timeout 30m ./benchmarks/chaincode | tee docs/measured/peer.txt
	$(MAKE) docs

.PHONY: soak
soak: ## Kill, starve and overload a gateway for ten minutes (KILLS=20, SEED=n) and count what it lost: nothing
	@mkdir -p docs/measured
	$(GO) test -count=1 -v -timeout 60m -run TestTheGatewayLosesNothing ./soak -args -soak.long \
	  -soak.out $(CURDIR)/docs/measured/soak.txt $(if $(KILLS),-soak.kills $(KILLS)) $(if $(SEED),-soak.seed $(SEED))
	$(GO) run ./tools/measureddoc

.PHONY: soak-adapter
soak-adapter: ## 2,000 real calls among 300 disruptions, and ten minutes of 30 at once: all on the ledger, all audio right
	@mkdir -p docs/measured
	$(GO) test -count=1 -v -timeout 120m -run 'TestTheAdapterMissesNothing|TestAdapter/^thirty' ./asterisk-adapter \
	  -args -adapter.long -adapter.out $(CURDIR)/docs/measured $(if $(SEED),-adapter.seed $(SEED))
	$(GO) run ./tools/measureddoc

.PHONY: measure-adapter
measure-adapter: ## Measure hang-up to ledger by kind of recording, processor, memory and rates of the adapter into docs/measured
	@mkdir -p docs/measured
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./benchmarks/adapter | tee docs/measured/adapter.txt
	$(GO) test -run '^$$' -bench 'ParseCSV|Tail|Message|Digest' ./asterisk-adapter/cdr ./asterisk-adapter/ami ./asterisk-adapter/recording | tee -a docs/measured/adapter.txt
	$(GO) test -run '^$$' -bench 'Import' -benchtime 1x -timeout 30m ./asterisk-adapter | tee -a docs/measured/adapter.txt
	@! grep -q '^FAIL' docs/measured/adapter.txt
	$(GO) run ./tools/measureddoc

.PHONY: measure-gateway
measure-gateway: ## Measure latencies, saturation, memory and recovery of the gateway into docs/measured
	@mkdir -p docs/measured
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./benchmarks/gateway | tee docs/measured/gateway.txt
	@grep -q '^PASS' docs/measured/gateway.txt
	$(GO) run ./tools/measureddoc

.PHONY: measure-index
measure-index: ## Project a million calls and time pages of every list (POSTGRES=DSN: there too) into docs/measured
	@mkdir -p docs/measured
	$(GO) run ./benchmarks/index > docs/measured/index.txt
	$(if $(POSTGRES),$(GO) run ./benchmarks/index -dsn '$(POSTGRES)' >> docs/measured/index.txt)
	$(GO) run ./tools/measureddoc

# Where the benchmarks leave their results, one file a group, and flags such as -quick.
RESULTS ?= $(BIN)/results

.PHONY: bench-parts
bench-parts: ## Install RabbitMQ and MariaDB from Debian where they are missing; all else is fetched by who needs it
	benchmarks/rivs/install

.PHONY: bench-load
bench-load: build ## Measure Callseal under load, with BFT and Raft ordering and as its ledger grows, into RESULTS (BENCHFLAGS=-quick)
	CALLSEAL_PROGRAMS=$(BIN) $(RUN) ./benchmarks/load -out $(RESULTS) $(BENCHFLAGS)

.PHONY: bench-peers
bench-peers: build ## Measure Tessera and Fabric's samples' block cutting into RESULTS (BENCHFLAGS=-quick)
	CALLSEAL_PROGRAMS=$(BIN) $(RUN) ./benchmarks/peers -out $(RESULTS) $(BENCHFLAGS)

.PHONY: bench-rivs
bench-rivs: build bench-parts ## Measure RiVS's message, score update and CDR row, its way and ours, into RESULTS (BENCHFLAGS=-quick)
	CALLSEAL_PROGRAMS=$(BIN) $(RUN) ./benchmarks/rivs -out $(RESULTS) $(BENCHFLAGS)

.PHONY: bench-adapter
bench-adapter: build ## Measure hang-up to ledger, and what adapter and gateway take at 30 recorded calls, into RESULTS (BENCHFLAGS=-quick)
	CALLSEAL_PROGRAMS=$(BIN) $(RUN) ./benchmarks/adapter -out $(RESULTS) $(BENCHFLAGS)

.PHONY: bench-start
bench-start: build ## Measure how long a network's first start, its next one and the demo take, into RESULTS (BENCHFLAGS=-quick)
	CALLSEAL_PROGRAMS=$(BIN) $(RUN) ./benchmarks/start -out $(RESULTS) $(BENCHFLAGS)

.PHONY: caliper
caliper: build ## Have Hyperledger Caliper measure the chaincode into RESULTS (BENCHFLAGS=-quick; "-state FOLDER": a network that runs)
	CALLSEAL_PROGRAMS=$(BIN) $(RUN) ./benchmarks/caliper -out $(RESULTS) $(BENCHFLAGS)

.PHONY: test-caliper
test-caliper: ## Install Caliper from npm, run it on a real network, and on networks that are down, half up or closed to it
	$(GO) build -trimpath -ldflags "-s -w" -o $(BIN)/test/ ./cmd/...
	CALLSEAL_PROGRAMS=$(BIN)/test $(GO) test -count=1 -timeout 40m -run TestARealCaliper ./benchmarks/caliper/driver -args -caliper.real

.PHONY: test-l2
test-l2: ## Run the tests of the Ethereum baseline's module: solc and anvil from npm, then the OP Stack, built where need be
	cd benchmarks/l2 && $(GO) test $(TESTFLAGS) ./...
	cd benchmarks/l2 && $(GO) test -count=1 -timeout 30m -run TestARealStack ./opstack -args -opstack.real

.PHONY: bench-l2
bench-l2: ## Measure the Ethereum L2 baseline, a real OP Stack and anvil, into RESULTS (BENCHFLAGS=-quick)
	cd benchmarks/l2 && $(RUN) ./cmd/callseal-bench-l2 -out $(abspath $(RESULTS)) $(BENCHFLAGS)

.PHONY: bench-report
bench-report: ## Write the report of what is in RESULTS into bin/report: aims, plots, all figures
	$(RUN) ./benchmarks/report/cmd/callseal-bench-report write --results $(RESULTS) --out $(BIN)/report

.PHONY: bench
bench: bench-parts bench-load bench-adapter bench-start bench-l2 bench-peers bench-rivs caliper bench-report ## Measure everything, one after the other, and write the report

QUICK = $(BIN)/quick

.PHONY: bench-quick
bench-quick: build ## Measure in three minutes what the last report's ratios are made of; fail where one lost more than a quarter
	@ls docs/measured/bench/*.json > /dev/null 2>&1 || { echo "bench-quick: docs/measured/bench has no results of a last report to compare with: run make bench and make bench-keep" >&2; exit 1; }
	@rm -rf $(QUICK)
	CALLSEAL_PROGRAMS=$(BIN) $(RUN) ./benchmarks/load -guard -only callseal-bft,callseal-raft -out $(QUICK)
	CALLSEAL_PROGRAMS=$(BIN) $(RUN) ./benchmarks/peers -guard -only tessera-tuned,fabric-stock -out $(QUICK)
	cd benchmarks/l2 && $(RUN) ./cmd/callseal-bench-l2 -quick -op-stack none -anvil 250ms -anvil-lone 1s -anvil-open 6s -out $(QUICK)
	$(RUN) ./benchmarks/report/cmd/callseal-bench-report guard --results $(QUICK)

# The packages of which each line of a benchmark is work of the processor alone: parsing,
# canonical encoding, digests and arithmetic.
MICRO = ./chaincode/ledger ./chaincode/reputation ./asterisk-adapter/ami ./asterisk-adapter/cdr ./asterisk-adapter/rate \
  ./asterisk-adapter/recording ./gateway/anchor ./gateway/fabric ./verify
MICROFILE = docs/measured/bench/micro

.PHONY: bench-micro
bench-micro: $(TOOLS)/benchstat ## Run the micro-benchmarks into docs/measured/bench/micro.txt and compare with what was there
	@mkdir -p $(BIN) $(dir $(MICROFILE))
	$(GO) test -run '^$$' -bench . -count 6 -benchtime 150ms -p 1 $(MICRO) | tee $(BIN)/micro.txt
	@! grep -q '^FAIL' $(BIN)/micro.txt && grep -q '^PASS' $(BIN)/micro.txt
	$(TOOLS)/benchstat $(if $(wildcard $(MICROFILE).txt),before=$(MICROFILE).txt) now=$(BIN)/micro.txt > $(BIN)/micro.benchstat.txt
	@mv $(BIN)/micro.txt $(MICROFILE).txt && mv $(BIN)/micro.benchstat.txt $(MICROFILE).benchstat.txt
	@cat $(MICROFILE).benchstat.txt

.PHONY: bench-keep
bench-keep: ## Keep RESULTS in docs/measured/bench as the last full run, and put their figures into README and docs
	@mkdir -p docs/measured/bench
	cp $(RESULTS)/*.json docs/measured/bench/
	$(MAKE) bench-figures

.PHONY: bench-figures
bench-figures: ## Put the figures of docs/measured/bench into README and docs
	$(RUN) ./benchmarks/report/cmd/callseal-bench-report figures --write

.PHONY: fuzz
fuzz: ## Run every fuzz target for 20 s
	@for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    echo "$$package $$target" && $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime 20s $$package || exit 1; \
	  done; \
	done

.PHONY: lint
lint: tools ## golangci-lint, buf lint, generated code and pages up to date
	$(TOOLS)/golangci-lint run ./...
	PATH=$(TOOLS):$$PATH buf lint
	PATH=$(TOOLS):$$PATH buf generate && $(GO) run ./tools/openapidoc && git diff --exit-code -- api/callseal api/openapi
	$(GO) run ./tools/contractdoc && $(GO) run ./tools/measureddoc && git diff --exit-code -- docs/chaincode.md docs/gateway.md docs/adapter.md
	$(GO) run ./tools/configdoc && git diff --exit-code -- gateway/gateway.example.yaml asterisk-adapter/adapter.example.yaml
	$(GO) run ./tools/metricsdoc && git diff --exit-code -- docs/metrics.md
	$(RUN) ./benchmarks/report/cmd/callseal-bench-report figures

.PHONY: generate
generate: tools ## Generate api/callseal/v1 from api/proto, OpenAPI, and the example configuration from the code
	PATH=$(TOOLS):$$PATH buf generate
	$(GO) run ./tools/openapidoc
	$(GO) run ./tools/configdoc

.PHONY: tools
tools: $(TOOLS)/golangci-lint $(TOOLS)/buf

$(TOOLS)/golangci-lint: tools/lint/go.mod
	cd tools/lint && $(GO) build -o $(TOOLS)/ tool && touch $@

$(TOOLS)/benchstat: tools/bench/go.mod
	cd tools/bench && $(GO) build -o $(TOOLS)/ tool && touch $@

$(TOOLS)/buf: tools/proto/go.mod
	cd tools/proto && $(GO) build -o $(TOOLS)/ tool && touch $@

.PHONY: clean
clean: ## Remove what was built here (caches of Fabric and Asterisk stay)
	rm -rf $(BIN)
