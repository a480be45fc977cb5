// benchstat, which compares runs of the micro-benchmarks, pinned here so that its
// dependencies never reach the product module.
module github.com/callseal/callseal/tools/bench

go 1.26.0

tool golang.org/x/perf/cmd/benchstat

require (
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // indirect
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da // indirect
)
