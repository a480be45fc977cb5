package ledger

// Object types of links.
const (
	TypeLink   = "link"
	TypeLinkTo = "link-to"
)

// Kinds of links: what joined two linkedids to one conversation.
const (
	LinkBlindTransfer    = "blind_transfer"
	LinkAttendedTransfer = "attended_transfer"
	LinkForward          = "forward"
	LinkPickup           = "pickup"
	LinkPark             = "park"
)

var linkKinds = map[string]bool{LinkBlindTransfer: true, LinkAttendedTransfer: true, LinkForward: true, LinkPickup: true, LinkPark: true}

// Link joins two linkedids of one PBX to one conversation: a transfer, a pickup
// or a parked call gives the rest of it another linkedid.
type Link struct {
	// At is when it happened, by the PBX's clock.
	At Time `json:"at"`
	// From is the linkedid that the conversation had.
	From string `json:"from"`
	// FromLeg is the leg of From that was transferred, where it is known.
	FromLeg *LegID `json:"from_leg,omitzero"`
	// Kind is one of the kinds above.
	Kind string `json:"kind"`
	// To is the linkedid under which it went on.
	To string `json:"to"`
	// ToLeg is the leg of To that took it up, where it is known.
	ToLeg *LegID `json:"to_leg,omitzero"`
}

// LinkKey is the key of a link: link ⟨msp, pbx, from, to, kind, at⟩.
func LinkKey(msp, pbx string, l *Link) string {
	return CompositeKey(TypeLink, msp, pbx, l.From, l.To, l.Kind, keyNumber(l.At.UnixMilli()))
}

// LinkToKey lets readers walk a link backwards:
// link-to ⟨msp, pbx, to, from, kind, at⟩. Its value is empty of meaning.
func LinkToKey(msp, pbx string, l *Link) string {
	return CompositeKey(TypeLinkTo, msp, pbx, l.To, l.From, l.Kind, keyNumber(l.At.UnixMilli()))
}

type linkContent struct{ *Link }

func (c linkContent) key(r *Record) string       { return LinkKey(r.MSP, r.PBX, c.Link) }
func (c linkContent) indexes(r *Record) []string { return []string{LinkToKey(r.MSP, r.PBX, c.Link)} }
func (c linkContent) moment() Time               { return c.At }
func (c linkContent) leg() LegID                 { return LegID{} }

func (c linkContent) check(*Record) error {
	if err := CheckName("from", c.From); err != nil {
		return err
	}
	if err := CheckName("to", c.To); err != nil {
		return err
	}
	if c.From == c.To {
		return Errorf(CodeInvalid, "a link joins two linkedids, this one names one twice")
	}
	if !linkKinds[c.Kind] {
		return Errorf(CodeInvalid, "the kind of a link must be blind_transfer, attended_transfer, forward, pickup or park")
	}
	for _, end := range []struct {
		field, linkedID string
		leg             *LegID
	}{{"from_leg", c.From, c.FromLeg}, {"to_leg", c.To, c.ToLeg}} {
		if end.leg == nil {
			continue
		}
		if err := end.leg.Check(); err != nil {
			return err
		}
		if end.leg.LinkedID != end.linkedID {
			return Errorf(CodeInvalid, "%s must be a leg of the linkedid that the link names there", end.field)
		}
	}
	return checkMoment("at", c.At)
}

// checkMoment answers CodeInvalid unless a time is set and can stand in a key.
func checkMoment(field string, at Time) error {
	if at.IsZero() {
		return Errorf(CodeInvalid, "%s must be set", field)
	}
	if at.UnixMilli() < 0 {
		return Errorf(CodeInvalid, "%s lies before 1970", field)
	}
	return nil
}
