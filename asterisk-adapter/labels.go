package adapter

// Label is a label of metrics.
type Label struct {
	Name string
	// Holds is what its values are.
	Holds string
}

// Labels are all labels that an adapter's metrics may have: their values are few, and
// nothing of a call.
var Labels = []Label{
	{"first", "whether a source was the first to tell of a leg: yes or no; of disagreements, the source that was"},
	{"kind", "what happened to a call, such as hold or queue, of the code's few"},
	{"method", "how consent was stated, of the ledger's few"},
	{"outcome", "what came of a recording's file, of what was imported, of a statement or of a pause, of the code's few"},
	{"second", "the source that told otherwise"},
	{"source", "a source: csv, table, ami or ari"},
	{"state", "a state of a call in progress: answered or cut"},
	{"status", "what was said of consent: granted, denied or revoked"},
	{"to", "a source, the gateway, or what else the adapter stands on"},
	{"verdict", "the ledger's verdict on a device, of its few"},
	{"what", "records or recordings"},
}
