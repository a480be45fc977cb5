// Package index projects the channel's blocks into SQL, so that what stands on
// the ledger can be listed, paged and followed.
//
// It follows whole blocks from its own checkpoint and believes the public writes
// of VALID transactions only (fabric.PublicWrites): never events, responses or
// transactions that did not count. Rows and checkpoint are written in one database
// transaction, so a gateway that is killed at any instant leaves an index that is
// whole, and one made anew from block 0 holds the same rows. The rows are in
// SQLite, embedded, or in PostgreSQL; both answer every query alike.
//
//	follow.go    blocks from a peer, in order, from the checkpoint
//	chain.go     is this the chain the index is of?
//	project.go   a run of blocks becomes rows, in one transaction
//	kind.go      what can stand under a key, and whose it is
//	rows_*.go    what of each kind becomes columns
//	subject.go   reputations, merged as reputation:Get would
//	change.go    the change feed
//	list.go      lists with cursors; one file a kind of list beside it
package index
