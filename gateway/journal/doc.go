// Package journal is the disk under the gateway's promise that whatever is
// acknowledged ACCEPTED is never lost. It keeps the segments that were taken, the
// transactions that are under way, and the segments that the ledger refused, in
// Pebble: an append is one record of its write-ahead log, and concurrent appends
// share an fsync.
//
// An entry is Queued when it is accepted, Committed when its public transaction
// is VALID, and Settled when its details are stored too. What the ledger refuses
// for good is Refused and waits for somebody to Replay or leave it. A settled
// entry is kept as a small receipt without its payload, so that a repetition is
// answered without asking the ledger, until Drop forgets it.
//
//	Append ──► Queued ──► Committed ──► Settled ──► dropped
//	             ▲  │          │
//	             │  └─► Refused ◄┘
//	             └── Replay ┘
//
// What a payload holds is not known here: package anchor decides it, and seals
// what is personal before.
package journal
