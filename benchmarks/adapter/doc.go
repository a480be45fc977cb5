// Package adapter measures the real adapter beside a real Asterisk on a real network:
// how long it takes from the phone's BYE until a call and its recordings are on the
// ledger, by the way it is recorded, and where the time goes; and what processor and
// memory thirty recorded calls at once take. It holds benchmarks only; `make
// measure-adapter` runs them and docs/adapter.md shows what they found.
package adapter
