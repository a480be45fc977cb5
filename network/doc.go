// Package network raises and runs a Callseal consortium: it issues the
// identities, renders the configuration of peers and orderers, supervises them
// as native processes, joins them to the channel and defines the chaincode.
//
// A [Network] lives in one state folder. Everything it needs is there, so any
// later process can find it again with [Open].
package network
