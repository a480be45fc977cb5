package adversary

// PlotName is the transient data under which the dishonest chaincode finds its
// plot. Honest chaincodes do not look at it, so the same proposal can be shown to
// both kinds.
const PlotName = "plot"

// Plot is what the dishonest chaincode does in place of the function that was
// called.
type Plot struct {
	Steps []Step `json:"steps"`
	// Answer is what it responds; empty means the value that the last step read.
	Answer string `json:"answer,omitempty"`
	// Event is the name of a chaincode event to set, with EventPayload.
	Event        string `json:"event,omitempty"`
	EventPayload string `json:"event_payload,omitempty"`
}

// Act is one call of the chaincode's shim.
type Act string

// What a step can do.
const (
	Put          Act = "put"
	Delete       Act = "delete"
	SetPolicy    Act = "set-policy"
	PutPrivate   Act = "put-private"
	PurgePrivate Act = "purge-private"
	GetPrivate   Act = "get-private"
)

// Step is one act on one key.
type Step struct {
	Act        Act    `json:"act"`
	Collection string `json:"collection,omitempty"`
	Key        string `json:"key"`
	Value      []byte `json:"value,omitempty"`
}
