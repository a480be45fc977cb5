package ledger

// TypeProgress is the object type of the progress of calls.
const TypeProgress = "progress"

// How a call stands.
const (
	// ProgressAnswered: it was answered and goes on. Its CDR closes it.
	ProgressAnswered = "answered"
	// ProgressCut: it was answered, and the Asterisk that carried it is gone without
	// having written a CDR.
	ProgressCut = "cut"
	// ProgressEnded: it was answered and its channel ended in order, but no source of
	// the PBX has a CDR for it: Asterisk was told to write none, or somebody took it
	// away.
	ProgressEnded = "ended"
)

var progressStates = map[string]bool{ProgressAnswered: true, ProgressCut: true, ProgressEnded: true}

// Progress says how a call stands that has no CDR yet (P1 phase 2: the call's
// status is updated on the chain as it changes). A call that a crash cut leaves
// this trace and no other.
type Progress struct {
	// At is since when, by the PBX's clock.
	At Time `json:"at"`
	// Boot is when the Asterisk that carries the call was started, in ms since 1970;
	// absent where it is unknown.
	Boot int64 `json:"boot,omitzero"`
	// CalleeRef and CallerRef are the keyed pseudonyms of the numbers, as on the leg;
	// absent where they are not known yet.
	CalleeRef string `json:"callee_ref,omitzero"`
	CallerRef string `json:"caller_ref,omitzero"`
	// Direction is "inbound", "outbound" or "internal", absent where unknown.
	Direction string `json:"direction,omitzero"`
	// LinkedID is that of the conversation when this was written; a transfer may
	// give the CDR another.
	LinkedID string `json:"linkedid"`
	// State is ProgressAnswered, ProgressCut or ProgressEnded.
	State string `json:"state"`
	// Technology is the channel technology, such as "PJSIP".
	Technology string `json:"technology,omitzero"`
	// UniqueID is the channel's. Its CDR bears the same.
	UniqueID string `json:"uniqueid"`
}

// ProgressKey is the key of a call's progress: progress ⟨msp, pbx, linkedid,
// uniqueid, state⟩.
func ProgressKey(msp, pbx, linkedID, uniqueID, state string) string {
	return CompositeKey(TypeProgress, msp, pbx, linkedID, uniqueID, state)
}

type progressContent struct{ *Progress }

func (c progressContent) key(r *Record) string {
	return ProgressKey(r.MSP, r.PBX, c.LinkedID, c.UniqueID, c.State)
}
func (c progressContent) indexes(*Record) []string { return nil }
func (c progressContent) moment() Time             { return c.At }
func (c progressContent) leg() LegID               { return LegID{} }

func (c progressContent) check(*Record) error {
	if err := CheckName("linkedid", c.LinkedID); err != nil {
		return err
	}
	if err := CheckName("uniqueid", c.UniqueID); err != nil {
		return err
	}
	if !progressStates[c.State] {
		return Errorf(CodeInvalid, "the state of a call in progress must be %s, %s or %s", ProgressAnswered, ProgressCut, ProgressEnded)
	}
	if !directions[c.Direction] {
		return Errorf(CodeInvalid, "the direction must be inbound, outbound or internal, or left out")
	}
	if c.Boot != 0 {
		if err := checkBoot(c.Boot); err != nil {
			return err
		}
	}
	if err := checkRefs(c.CallerRef, c.CalleeRef); err != nil {
		return err
	}
	if err := checkTechnology(c.Technology); err != nil {
		return err
	}
	return checkMoment("at", c.At)
}
