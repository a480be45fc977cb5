package ledger

import "slices"

// Bounds of what a leg's details tell of its way.
const (
	maxFeatures = 32
	// MaxJourney bounds the steps of one leg's journey.
	MaxJourney = 200
)

// CallDetails holds the personal fields of a CDR, under Asterisk's names, and the
// rest of what P1 §3 has a CDR say. What a source leaves empty, and what the PBX
// does not know, is absent.
type CallDetails struct {
	// Absent names the columns that the source does not carry at all: nothing is
	// said of them, which is not the same as empty.
	Absent      []string `json:"absent,omitzero"`
	AccountCode string   `json:"accountcode,omitzero"`
	AMAFlags    string   `json:"amaflags,omitzero"`
	Channel     string   `json:"channel,omitzero"`
	CLID        string   `json:"clid,omitzero"`
	// Cost is what the call cost by the operator's rates (version 3).
	Cost       *CallCost `json:"cost,omitzero"`
	DContext   string    `json:"dcontext,omitzero"`
	Dst        string    `json:"dst,omitzero"`
	DstChannel string    `json:"dstchannel,omitzero"`
	// Features are those that were used, such as "hold", sorted (version 3).
	Features []string `json:"features,omitzero"`
	// Journey is the way of the call through the PBX, in order of time (version 3).
	Journey  []JourneyStep `json:"journey,omitzero"`
	LastApp  string        `json:"lastapp,omitzero"`
	LastData string        `json:"lastdata,omitzero"`
	// Location is where the parties were (version 3).
	Location *CallLocation `json:"location,omitzero"`
	// Network is between which addresses the channel's signalling went (version 3).
	Network     *CallNetwork `json:"network,omitzero"`
	PeerAccount string       `json:"peeraccount,omitzero"`
	Src         string       `json:"src,omitzero"`
	UserField   string       `json:"userfield,omitzero"`
}

// JourneyStep is one step of a call through a PBX.
type JourneyStep struct {
	// At is when it was taken.
	At Time `json:"at"`
	// Kind is what it was, such as "extension", "queue", "conference" or "hold".
	Kind string `json:"kind"`
	// Place is where, such as an extension or the name of a queue.
	Place string `json:"place,omitzero"`
}

// CallCost is what a call cost.
type CallCost struct {
	// Currency is ISO 4217, such as "EUR".
	Currency string `json:"currency"`
	// Micros is the price in millionths of the currency.
	Micros int64 `json:"micros"`
	// Rate names the line of the rate table that was applied.
	Rate string `json:"rate"`
}

// CallLocation is where the parties of a call were, as the PBX's configuration has
// it.
type CallLocation struct {
	Destination string `json:"destination,omitzero"`
	Origin      string `json:"origin,omitzero"`
}

// CallNetwork is between which addresses a channel's signalling went.
type CallNetwork struct {
	// Local and Remote are host:port.
	Local  string `json:"local,omitzero"`
	Remote string `json:"remote,omitzero"`
	// Transport is such as "udp" or "tls".
	Transport string `json:"transport,omitzero"`
}

// check answers CodeInvalid unless what version 3 added is well formed, and absent
// in details of an earlier one.
func (c *CallDetails) check(version int) error {
	if c.Cost == nil && c.Features == nil && c.Journey == nil && c.Location == nil && c.Network == nil {
		return nil
	}
	if version < 3 {
		return Errorf(CodeInvalid, "cost, features, journey, location and network are members of version 3: write the details with v 3")
	}
	if err := c.checkFeatures(); err != nil {
		return err
	}
	if err := c.checkJourney(); err != nil {
		return err
	}
	if c.Cost != nil {
		if err := c.Cost.check(); err != nil {
			return err
		}
	}
	if c.Location != nil && *c.Location == (CallLocation{}) || c.Network != nil && *c.Network == (CallNetwork{}) {
		return Errorf(CodeInvalid, "a location or network that says nothing is left out")
	}
	return nil
}

func (c *CallDetails) checkFeatures() error {
	switch {
	case c.Features == nil:
		return nil
	case len(c.Features) == 0 || len(c.Features) > maxFeatures:
		return Errorf(CodeInvalid, "features holds %d, it names 1 to %d or is left out", len(c.Features), maxFeatures)
	case !slices.IsSorted(c.Features) || len(slices.Compact(slices.Clone(c.Features))) != len(c.Features):
		return Errorf(CodeInvalid, "features must be sorted and named once")
	}
	for _, feature := range c.Features {
		if err := CheckName("a feature", feature); err != nil {
			return err
		}
	}
	return nil
}

func (c *CallDetails) checkJourney() error {
	if c.Journey == nil {
		return nil
	}
	if len(c.Journey) == 0 || len(c.Journey) > MaxJourney {
		return Errorf(CodeInvalid, "journey holds %d steps, it has 1 to %d or is left out", len(c.Journey), MaxJourney)
	}
	for i, step := range c.Journey {
		if err := checkMoment("a step's at", step.At); err != nil {
			return err
		}
		if err := CheckName("a step's kind", step.Kind); err != nil {
			return err
		}
		if i > 0 && step.At.Before(c.Journey[i-1].At) {
			return Errorf(CodeInvalid, "the steps of a journey must be in order of time")
		}
	}
	return nil
}

func (c *CallCost) check() error {
	if len(c.Currency) != 3 {
		return Errorf(CodeInvalid, "the currency must be one of ISO 4217, such as EUR")
	}
	for i := range len(c.Currency) {
		if c.Currency[i] < 'A' || c.Currency[i] > 'Z' {
			return Errorf(CodeInvalid, "the currency must be one of ISO 4217, such as EUR")
		}
	}
	if c.Micros < 0 || c.Micros > MaxInteger {
		return Errorf(CodeInvalid, "a cost is 0 or more millionths of the currency")
	}
	return CheckName("the rate", c.Rate)
}
