// Package reputation counts the evidence that an operator's adapters report on
// numbers, addresses and accounts (P2 §3) and takes it to the ledger.
//
// The gateway alone writes its key on a subject, so it knows its totals and never
// reads before it writes. A subject whose transaction is under way gathers what
// is reported meanwhile; the next transaction carries the sum. Many subjects share
// a transaction. Nothing is counted twice and nothing is lost: a report is answered
// when its transaction is VALID, and a transaction of unknown outcome is asked for
// before the subject goes on.
package reputation
