// Package gateway measures the gateway on a real network: how long a record takes to
// be accepted and committed at several rates, how many a second it can do, what
// processor, memory and disk that takes, and how soon it commits again after
// something was killed. It holds benchmarks only; `make measure-gateway` runs them
// and docs/gateway.md shows what they found.
//
// Load is an open loop: a record counts from the moment it was due, so that one
// that had to wait behind others is as late as it was for whoever waited for it.
package gateway
