// Package chaincode measures the chaincode on a real network: how long a peer takes
// to endorse, what a call takes in the block files and how that divides, and what
// writers on one subject cost each other. It holds benchmarks only; `make
// measure-chaincode` runs them and docs/chaincode.md shows what they found.
package chaincode
