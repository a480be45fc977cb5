package ledger

import (
	"slices"
	"strings"
	"time"

	"github.com/callseal/callseal/chaincode/reputation"
)

// ReputationPolicy says what evidence is worth and when it bans (P2 §3).
type ReputationPolicy struct {
	// Allowed are subjects that the consortium holds nothing against, sorted.
	Allowed []string `json:"allowed,omitzero"`
	// BanAttempts and BanFailures are the least evidence a ban needs: so many
	// negative events over so many separate attempts. 0 and 0 is P2's bare rule,
	// which bans on a score alone.
	BanAttempts int64 `json:"ban_attempts"`
	BanFailures int64 `json:"ban_failures"`
	// EmergencyNumbers are refused as subjects, as they are dialled, sorted. They
	// stand here in clear: they are nobody's.
	EmergencyNumbers []string `json:"emergency_numbers"`
	// EqualWeights gives every operator the full weight. So it is until the
	// operators have voted; with weights voted, a new operator has none until the
	// next vote.
	EqualWeights bool `json:"equal_weights,omitzero"`
	// FreshMS is how long positive evidence of one operator voids another's
	// provisional ban of an address.
	FreshMS int64 `json:"fresh_ms"`
	// HalfLifeMS is the time in which evidence halves.
	HalfLifeMS int64 `json:"half_life_ms"`
	// Kinds are the events that count, sorted by kind.
	Kinds []EvidenceKind `json:"kinds"`
	// Operators are the operators' weights, sorted by MSP. One that is not named
	// has none: what it writes moves nothing.
	Operators []OperatorWeight `json:"operators,omitzero"`
	// ProvisionalMS is how long one operator alone may have an address blocked
	// everywhere.
	ProvisionalMS int64 `json:"provisional_ms"`
	// Threshold is the score, in thousandths of a point, below which a subject is
	// in bad standing: 5000 in P2.
	Threshold int64 `json:"threshold"`
}

// EvidenceKind is a kind of event and what it is worth.
type EvidenceKind struct {
	// Kind is the event's name, such as EvidenceAuthFailure.
	Kind string `json:"kind"`
	// Sign is SignPositive or SignNegative.
	Sign string `json:"sign"`
	// Weight is P2's event multiplier in thousandths: 1000 is one event.
	Weight int64 `json:"weight"`
}

// OperatorWeight is an operator's weight.
type OperatorWeight struct {
	MSP string `json:"msp"`
	// Weight is per mille of the full weight.
	Weight int64 `json:"weight"`
}

// Signs of evidence.
const (
	SignNegative = "negative"
	SignPositive = "positive"
)

// The kinds of evidence in the built-in policy. Operators may vote for others.
const (
	// EvidenceAuthFailure is a wrong password or a challenge that was not met
	// (P2 scenario 1).
	EvidenceAuthFailure = "auth_failure"
	// EvidenceAuthSuccess is a successful authentication.
	EvidenceAuthSuccess = "auth_success"
	// EvidenceInternalFromOutside is a call from outside that claims to come from
	// an internal extension (P2 scenario 3).
	EvidenceInternalFromOutside = "internal_from_outside"
	// EvidenceLongCall is an external call bridged for more than 30 s (P2
	// scenario 2).
	EvidenceLongCall = "long_call"
	// EvidenceSecondCall is a second call at the same time where one is allowed
	// (P2 scenario 3).
	EvidenceSecondCall = "second_call"
	// EvidenceShortCall is an answered call too short to be one: telephone spam.
	EvidenceShortCall = "short_call"
	// EvidenceUnknownAccount is a request for an account that does not exist.
	EvidenceUnknownAccount = "unknown_account"
	// EvidenceUnregisteredDevice is a device that is not on the ledger (P1 §3.1).
	EvidenceUnregisteredDevice = "unregistered_device"
)

const (
	minutesMS = int64(time.Minute / time.Millisecond)
	daysMS    = 24 * 60 * minutesMS
	// FullWeight is an operator's full weight, per mille.
	FullWeight = 1000
	// maxKindWeight is a hundred events in one.
	maxKindWeight = 100 * reputation.One
	// maxKinds, maxWeights, maxSubjects and maxNumbers bound a policy's lists.
	maxKinds, maxWeights, maxSubjects, maxNumbers = 50, 500, 1000, 200
	// maxBan bounds the evidence a ban may be made to need.
	maxBan = 1_000_000
)

// Kind is the kind of that name, nil where it does not count.
func (p *ReputationPolicy) Kind(name string) *EvidenceKind {
	place, found := slices.BinarySearchFunc(p.Kinds, name, func(k EvidenceKind, name string) int { return strings.Compare(k.Kind, name) })
	if !found {
		return nil
	}
	return &p.Kinds[place]
}

// WeightOf is an operator's weight, 0 to FullWeight.
func (p *ReputationPolicy) WeightOf(msp string) int64 {
	if p.EqualWeights {
		return FullWeight
	}
	for _, operator := range p.Operators {
		if operator.MSP == msp {
			return operator.Weight
		}
	}
	return 0
}

// Rules are the policy's numbers as the arithmetic takes them.
func (p *ReputationPolicy) Rules() reputation.Rules {
	return reputation.Rules{
		HalfLife: p.HalfLifeMS, Threshold: p.Threshold, BanFailures: p.BanFailures, BanAttempts: p.BanAttempts,
		Fresh: p.FreshMS, Provisional: p.ProvisionalMS,
	}
}

func (p *ReputationPolicy) check() error {
	for _, number := range []struct {
		field            string
		value, low, high int64
	}{
		{"ban_attempts", p.BanAttempts, 0, maxBan},
		{"ban_failures", p.BanFailures, 0, maxBan},
		{"fresh_ms", p.FreshMS, 0, 3660 * daysMS},
		{"half_life_ms", p.HalfLifeMS, minutesMS, 3660 * daysMS},
		{"provisional_ms", p.ProvisionalMS, 0, daysMS},
		{"threshold", p.Threshold, 0, reputation.Perfect},
	} {
		if number.value < number.low || number.value > number.high {
			return Errorf(CodeInvalid, "%s is %d, it must lie between %d and %d", number.field, number.value, number.low, number.high)
		}
	}
	if err := p.checkKinds(); err != nil {
		return err
	}
	if err := p.checkWeights(); err != nil {
		return err
	}
	if err := checkSubjects("allowed", p.Allowed); err != nil {
		return err
	}
	if len(p.EmergencyNumbers) > maxNumbers {
		return Errorf(CodeInvalid, "emergency_numbers holds %d numbers, at most %d are allowed", len(p.EmergencyNumbers), maxNumbers)
	}
	for i, number := range p.EmergencyNumbers {
		if _, err := reputation.EmergencyAddress(number); err != nil {
			return Errorf(CodeInvalid, "emergency_numbers are digits, as they are dialled")
		}
		if i > 0 && p.EmergencyNumbers[i-1] >= number {
			return Errorf(CodeInvalid, "emergency_numbers must be sorted and named once")
		}
	}
	return nil
}

func (p *ReputationPolicy) checkKinds() error {
	if len(p.Kinds) == 0 || len(p.Kinds) > maxKinds {
		return Errorf(CodeInvalid, "kinds holds %d kinds of evidence, it must hold 1 to %d", len(p.Kinds), maxKinds)
	}
	for i := range p.Kinds {
		kind := &p.Kinds[i]
		if err := CheckName("kind", kind.Kind); err != nil {
			return err
		}
		if i > 0 && p.Kinds[i-1].Kind >= kind.Kind {
			return Errorf(CodeInvalid, "kinds must be sorted and named once")
		}
		if kind.Sign != SignNegative && kind.Sign != SignPositive {
			return Errorf(CodeInvalid, "the sign of a kind of evidence is %s or %s", SignNegative, SignPositive)
		}
		if kind.Weight < 1 || kind.Weight > maxKindWeight {
			return Errorf(CodeInvalid, "the weight of a kind of evidence is %d, it must lie between 1 and %d thousandths", kind.Weight, maxKindWeight)
		}
	}
	return nil
}

func (p *ReputationPolicy) checkWeights() error {
	if p.EqualWeights && len(p.Operators) > 0 {
		return Errorf(CodeInvalid, "equal_weights and operators exclude each other: leave one out")
	}
	if !p.EqualWeights && len(p.Operators) == 0 || len(p.Operators) > maxWeights {
		return Errorf(CodeInvalid, "operators holds %d weights, it must hold 1 to %d unless equal_weights is set", len(p.Operators), maxWeights)
	}
	for i, operator := range p.Operators {
		if err := CheckName("msp", operator.MSP); err != nil {
			return err
		}
		if i > 0 && p.Operators[i-1].MSP >= operator.MSP {
			return Errorf(CodeInvalid, "operators must be sorted and named once")
		}
		if operator.Weight < 0 || operator.Weight > FullWeight {
			return Errorf(CodeInvalid, "an operator's weight is %d, it must lie between 0 and %d per mille", operator.Weight, FullWeight)
		}
	}
	return nil
}

// checkSubjects answers CodeInvalid unless they are subjects, sorted and named
// once.
func checkSubjects(field string, subjects []string) error {
	if len(subjects) > maxSubjects {
		return Errorf(CodeInvalid, "%s holds %d subjects, at most %d are allowed", field, len(subjects), maxSubjects)
	}
	for i, subject := range subjects {
		if err := CheckSubject(subject); err != nil {
			return err
		}
		if i > 0 && subjects[i-1] >= subject {
			return Errorf(CodeInvalid, "%s must be sorted and named once", field)
		}
	}
	return nil
}

// The built-in policy: P2's events, each worth one; a half-life of 30 days; a ban
// from 5 failures over 3 attempts; all operators equal.
func defaultReputationPolicy() *ReputationPolicy {
	positive := func(kind string) EvidenceKind { return EvidenceKind{kind, SignPositive, reputation.One} }
	negative := func(kind string) EvidenceKind { return EvidenceKind{kind, SignNegative, reputation.One} }
	return &ReputationPolicy{
		BanAttempts: 3, BanFailures: 5,
		EmergencyNumbers: []string{
			"000", "108", "110", "111", "112", "113", "114", "115", "117", "118", "119", "120", "122", "123", "144", "15", "150",
			"17", "177", "18", "19", "190", "191", "192", "193", "911", "988", "995", "997", "998", "999",
		},
		EqualWeights: true,
		FreshMS:      daysMS, HalfLifeMS: 30 * daysMS,
		Kinds: []EvidenceKind{
			negative(EvidenceAuthFailure), positive(EvidenceAuthSuccess), negative(EvidenceInternalFromOutside), positive(EvidenceLongCall),
			negative(EvidenceSecondCall), negative(EvidenceShortCall), negative(EvidenceUnknownAccount), negative(EvidenceUnregisteredDevice),
		},
		ProvisionalMS: 60 * minutesMS, Threshold: reputation.Unknown,
	}
}
