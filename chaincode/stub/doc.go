// Package stub runs chaincode in memory, for unit tests.
//
// A World is a chaincode's committed state on a channel; a Tx is one simulated transaction on
// it and implements shim.ChaincodeStubInterface. What a peer does that a plain
// map does not is modelled, because that is where contracts go wrong:
//
//   - a transaction does not see its own writes;
//   - commit checks the version of every key read (MVCC) and runs every range
//     query again (phantoms), transaction by transaction within a block;
//   - an empty value is a deletion;
//   - paged queries and queries on private data forbid writes, and range scans
//     stop silently at the peer's query limit;
//   - private values are on the peers of a collection's members only, their
//     hashes on all; purging removes both;
//   - a write batch is sent when it is finished, or after Invoke;
//   - keys that are not UTF-8 panic, as marshalling them does in the shim;
//   - other chaincodes of the channel have a state of their own; what a called one
//     reads and writes is validated and applied with its caller's transaction.
//
// Rich queries are answered as a LevelDB peer would; calls to other channels,
// endorsement policies and signed proposals are not modelled.
package stub
