// Package soak proves on a real network that the gateway loses nothing and anchors
// nothing twice. A fleet of adapters, each with a PBX and a certificate of its own,
// sends records at a set rate, whatever becomes of the gateway, and notes what it
// is told; meanwhile nodes are killed, Fabric goes away, or four times too much is
// sent. At the end the whole chain is read from another operator's peer and compared
// with what the fleet was told.
//
//	record.go  what an adapter sends
//	story.go   what it heard of each segment
//	client.go  one adapter on the wire, resuming after every disconnect
//	fleet.go   all of them, and the open loop that feeds them
//	lab.go     the network around them, and the gateway under test
//	chaos.go   kills, each followed until the gateway commits again
//	chain.go   the ledger, block by block
//	verdict.go the comparison
//	report.go  what is printed
//
// `make soak` takes ten minutes; `make test` runs the short form. The measurements in
// benchmarks/gateway use the same fleet.
package soak
