// Package ledger defines what Callseal's channel holds: the stored types, their
// keys, their one canonical encoding, and the signed segments they arrive in.
//
// Everything here is pure: no clock, no randomness, no network. The chaincode
// decides with it, the gateway and the adapter build with it, and the verifier
// checks with it, so that all of them hash the same bytes.
//
// Values are canonical JSON (RFC 8785): sorted members, integers within
// ±(2^53−1), UTF-8 strings, no floats, no nulls. Times are RFC 3339 in UTC with
// milliseconds, durations are integer milliseconds, digests are lower-case
// hexadecimal.
package ledger
