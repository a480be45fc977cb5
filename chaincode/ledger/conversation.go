package ledger

// MaxConversation bounds the linkedids of one conversation.
const MaxConversation = 64

// Conversation is all the ledger holds of one conversation: the legs of a linkedid
// and of all those that links join it with, directly or through others.
type Conversation struct {
	// Corrections are those of the legs, in order of legs and N.
	Corrections []AnchoredCorrection `json:"corrections"`
	// Cut says that there are more linkedids than MaxConversation.
	Cut bool `json:"cut,omitzero"`
	// Legs are in order of linkedid, uniqueid and sequence, as they were signed.
	Legs []Record `json:"legs"`
	// LinkedIDs are sorted.
	LinkedIDs []string `json:"linkedids"`
	// Links are in order of their keys.
	Links []Record `json:"links"`
	MSP   string   `json:"msp"`
	// Omissions are recordings that were due and never came, in order of legs.
	Omissions []Record `json:"omissions"`
	PBX       string   `json:"pbx"`
	// Recordings are in order of legs, id and revision.
	Recordings []Record `json:"recordings"`
	V          int      `json:"v"`
}
