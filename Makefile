# Tidegate. Only Go is needed; "make race" also needs a C compiler. Variables may be set on the command line:
# make fuzz FUZZTIME=5m, make bench BENCH=Append, make test TESTFLAGS=-run=Append, make soak SOAK=1000,
# make bench-peers MQTTLOAD=../mqttload BENCH_SCALE=5

VERSION   ?= $(shell git describe --tags --match 'v*' --dirty 2>/dev/null || echo "v0.0.0-dev+$$(git rev-parse --short HEAD 2>/dev/null || echo unknown)")
PLATFORMS ?= arm6 arm7 arm64 amd64 riscv64
FUZZTIME  ?= 30s
BENCH     ?= .
SOAK      ?= 100
TESTFLAGS ?=
MQTTLOAD  ?= ../shared/tools/mqttload

LDFLAGS    = -s -w -X main.version=$(VERSION:v%=%)
GOBUILD    = go build -trimpath -ldflags "$(LDFLAGS)"
TOOL       = go tool -modfile=.ci/tools.mod
TESTREPORT = go run ./.ci/testreport
# The npm packages of the end-to-end tests.
CLIENTS    = cmd/tidegate/e2e/testdata/clients
# The go command looks into no folder whose name begins with a dot, so that ours is named.
PACKAGES   = ./... ./.ci/testreport ./.ci/benchmodbus

export CGO_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help build demo test race check fuzz bench bench-peers bench-modbus bench-telegraf e2e e2e-clients clients soak build-all $(PLATFORMS:%=build-%) clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build bin/tidegate for this machine
	$(GOBUILD) -o bin/tidegate ./cmd/tidegate

demo: build ## run the gateway with simulated devices and a second gateway as its cloud
	@bin/tidegate demo

test: ## run every test that can run, and say what was skipped and why
	@$(TESTREPORT) -count=1 -timeout=15m $(TESTFLAGS) $(PACKAGES)

race: export CGO_ENABLED := 1
race: ## run the tests under the race detector (needs gcc), without the end-to-end ones
	@command -v $${CC:-gcc} >/dev/null || { echo "make race needs a C compiler, and $${CC:-gcc} is not installed" >&2; exit 1; }
	@$(TESTREPORT) -race -count=1 -timeout=15m $(TESTFLAGS) $$(go list ./... | grep -v /cmd/tidegate/e2e) ./.ci/testreport

e2e: ## run only the end-to-end tests, showing all they say
	go test -count=1 -v -timeout=20m $(TESTFLAGS) ./cmd/tidegate/e2e/...

e2e-clients: clients ## run only the tests with other people's MQTT clients, showing all they say
	go test -count=1 -v -timeout=10m -run='^TestClient' $(TESTFLAGS) ./cmd/tidegate/e2e

clients: ## install the npm packages of those tests, if there is npm
	@if command -v npm >/dev/null; then npm --prefix $(CLIENTS) ci --no-progress --loglevel=error; \
	else echo "npm is not installed: the tests of JavaScript clients are skipped"; fi

soak: ## cut the power SOAK (100) times and kill twice as often, below a busy gateway, and count what is lost
	TIDEGATE_SOAK=$(SOAK) go test -count=1 -v -timeout=0 -run='TestPowerCut|TestKillLoop' $(TESTFLAGS) ./cmd/tidegate/e2e

check: ## formatting, vet (also for 32 bit), staticcheck, modules, scripts, and the rules of the house
	@.ci/check $(TOOL)

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@.ci/fuzz $(FUZZTIME)

bench: ## run the benchmarks that match BENCH (all)
	@.ci/bench '$(BENCH)'

bench-peers: ## load the broker, mosquitto and nats-server side by side (needs MQTTLOAD=folder; BENCH_SCALE=n for longer)
	@MQTTLOAD='$(MQTTLOAD)' .ci/bench-peers

bench-modbus: build ## measure a gateway that polls Modbus TCP: its cost at 1 s, and how fast it can be
	go run ./.ci/benchmodbus -gateway bin/tidegate -span 30s
	go run ./.ci/benchmodbus -gateway bin/tidegate -interval 1ms -buses 4 -registers 125

bench-telegraf: ## the same devices polled by telegraf, where it is installed, to compare
	@.ci/bench-telegraf

build-all: $(PLATFORMS:%=build-%) ## build bin/tidegate-linux-* for arm6, arm7, arm64, amd64 and riscv64

$(PLATFORMS:%=build-%): build-%:
	GOOS=linux GOARCH=$(patsubst arm6,arm,$(patsubst arm7,arm,$*)) GOARM=$(if $(filter arm6 arm7,$*),$(*:arm%=%)) \
		$(GOBUILD) -o bin/tidegate-linux-$* ./cmd/tidegate

clean: ## remove what was built
	rm -rf bin
