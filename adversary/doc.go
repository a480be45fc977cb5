// Package adversary is one operator that cheats.
//
// Its tests raise a real network of three operators and mount, one by one, the
// attacks that the ledger must withstand. Corvus has everything an operator has:
// its authorities, its admin's, gateway's and adapter's keys, its peer's signing
// key, its own orderer, and a chaincode service of its own making (see chaincode/).
// It has nothing of the others'. What honest operators' peers answer, which code
// their blocks carry, and that their state stays as it was, is what is tested.
package adversary
