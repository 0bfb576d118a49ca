# `make help` lists the targets. Everything but `deps` needs Go and make alone.

BIN := bin/gomemd
ARGS ?= -m 64 -p 11211
# memcached refuses to run as root without being told so, and so do we.
AS_ROOT := $(if $(filter 0,$(shell id -u)),-u root)
T ?= 20s
N ?= 1000000
MEMCACHED ?= memcached
PKGS := ./...
# What is tested over TLS, too: clients who are slow, stop in the middle, or go.
OVER_TLS := Slow|Half|Quit|Upload|Streamed|EveryLength|Pipeline|Dump|Leaving

.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build the server and run it on port 11211 (ARGS="-m 1024 …" for other options)
	$(BIN) $(AS_ROOT) $(ARGS)

build: ## build bin/gomemd, a static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o $(BIN) ./cmd/gomemd

test: ## vet and all tests, some of connections over TLS too; says what it skipped and why
	go vet $(PKGS)
	@./.ci/test $(PKGS)
	@./.ci/test ./internal/conn -run '$(OVER_TLS)' -tls

race: ## the tests under the race detector, with the store on the Go heap where it can see it; no browser
	go test -race -timeout 30m -skip '^TestPage' ./expiry ./protocol ./internal/... ./storage ./server

tls: ## all tests of connections, over TLS
	go test -count=1 ./internal/conn -tls

fuzz: ## each fuzz target for T (20s)
	@./.ci/fuzz $(T)

oracle: build ## the same conversations with memcached, then N (1000000) random commands side by side with it
	go test -count=1 ./compat_test -run Conversations -oracle $(MEMCACHED)
	go run ./compat_test/sidebyside -n $(N) -grammar 1.6.18 \
		-a "$(BIN) $(AS_ROOT) -m 16384 -l 127.0.0.1 -p {port}" \
		-b "$(MEMCACHED) $(AS_ROOT) -m 16384 -l 127.0.0.1 -U 0 -o no_lru_maintainer,no_lru_crawler -p {port}"

compat: ## real clients, libmemcached's tools and twemproxy against gomemd
	go test -count=1 -v -run 'Client|Tool|Proxy' ./compat_test

bench: ## gomemd beside memcached, a selection of five minutes
	go run ./bench/compare -quick -memcached $(MEMCACHED)

field: ## clients over slow links, large values, control groups, hogs: gomemd beside memcached (root for all of it)
	@code=0; for program in slow link hogs limit; do \
		go run ./bench/$$program -memcached $(MEMCACHED) $(FIELD) || code=1; \
	done; exit $$code

page: ## the live page in Chromium: its pictures into docs/page, then 21 minutes in which its memory must not grow
	go test -count=1 ./internal/admin -run Pictures -shots $(CURDIR)/docs/page
	go test -count=1 -v -timeout 40m ./internal/admin -run PageForLong -soak 21m

benchcmp: ## the benchmarks of this tree beside those of REF (HEAD), by benchstat: BENCH='Feed' PKG=./internal/session
	@./.ci/benchcmp "$(or $(REF),HEAD)" "$(or $(PKG),./internal/session)" "$(or $(BENCH),.)"

pgo: ## make the profile anew that cmd/gomemd is built with: sessions, and sets that evict
	go test ./internal/session -run '^$$' -bench Feed -benchtime 2s -cpuprofile feed.prof -o /dev/null
	go test ./storage -run '^$$' -bench 'SetWithEviction|SetInPlace' -benchtime 5000000x -cpuprofile store.prof -o /dev/null
	go tool pprof -proto feed.prof store.prof > cmd/gomemd/default.pgo
	rm feed.prof store.prof

lint: ## golangci-lint, when it is installed
	golangci-lint run

arm64: ## build and vet for arm64
	GOARCH=arm64 go build ./... && GOARCH=arm64 go vet ./...

deps: ## install the Debian and npm packages that the whole test-suite needs (starts no service)
	./.ci/deps

ci: ## what CI runs
	./.ci/run

.PHONY: help run build test race tls fuzz oracle compat bench field page benchcmp pgo lint arm64 deps ci
