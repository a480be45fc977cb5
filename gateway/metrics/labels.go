package metrics

import "slices"

// Label is a label that metrics may have.
type Label struct {
	Name string
	// Holds says what its values are, and so why they are few and name nobody.
	Holds string
}

// Labels are all there may be. One that held a client's, a person's or a call's name
// would tell of people, and grow without bound.
var Labels = []Label{
	{"bound", "the limit that was met, of gateway/limit's few"},
	{"certificate", "what a certificate of the gateway's own is for"},
	{"class", "write, read, list or stream"},
	{"code", "Fabric's validation code"},
	{"event", "what an entry of the audit trail notes: a call's begin or end"},
	{"goversion", "the version of Go that built the program"},
	{"grpc_code", "gRPC's status code"},
	{"grpc_method", "a method that is served"},
	{"grpc_service", "a service that is served"},
	{"grpc_type", "unary or the kind of stream"},
	{"kind", "the kind of a fault, of gateway/fault's few"},
	{"name", "a dependency's or a served service's name in the health service"},
	{"outcome", "what became of an idempotency key"},
	{"part", "the server's certificate, its authorities, or their revocation lists"},
	{"peer", "the address of a peer of the operator's own, from the configuration"},
	{"query", "a query of the index, of those the code has"},
	{"reason", "why a segment was not taken or was set aside, of the code's few"},
	{"revision", "the revision of the sources"},
	{"stage", "a stage of a transaction's or a segment's way"},
	{"state", "a state of a segment's delivery"},
	{"version", "the program's version"},
	{"which", "reachable, needed or all"},
}

// Listed says whether metrics may have the label.
func Listed(name string) bool {
	return slices.ContainsFunc(Labels, func(one Label) bool { return one.Name == name })
}
