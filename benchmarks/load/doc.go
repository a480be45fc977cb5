// Package load measures one operator's gateway on a real network, from the gRPC
// client's side: a lone record, fixed rates, a ramp to saturation, reads beside
// writes, and evidence of reputation. Records are seeded, of the shape of real CDRs,
// and due at random moments that do not wait for answers, so that whoever is held up
// makes those behind it late too.
//
// It holds benchmarks only, which run once (-benchtime 1x) and leave the groups
// callseal-bft and callseal-raft in the folder that -load.out names; `make bench` runs
// them and benchmarks/report shows what they found.
package load
