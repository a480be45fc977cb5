package ledger

import (
	"slices"
	"strings"
)

// Rules of consent.
const (
	// RuleAllParty: everyone on the call must have consented.
	RuleAllParty = "all_party"
	// RuleOneParty: the consent of one of them is enough.
	RuleOneParty = "one_party"
)

// What an objection does under RuleOneParty.
const (
	ObjectionForbids = "forbid"
	ObjectionIgnored = "ignore"
)

const (
	// maxJurisdictions bounds the jurisdictions of a policy: ISO 3166 has about
	// 250 countries and 5,000 subdivisions, few of which have a law of their own.
	maxJurisdictions = 1000
	// maxStopWithinMS bounds how long a recording may go on after an objection.
	maxStopWithinMS = 60_000
)

// ConsentPolicy says whose consent the jurisdictions want. It is for the
// operators' counsel to check and for the operators to vote: the default is a
// careful beginning, no legal advice.
type ConsentPolicy struct {
	// DefaultRule holds where no jurisdiction is known or the list lacks it.
	DefaultRule string `json:"default_rule"`
	// Jurisdictions are the rules, sorted by jurisdiction.
	Jurisdictions []JurisdictionRule `json:"jurisdictions,omitzero"`
	// OnePartyObjection says what a denial or a revocation does under
	// RuleOneParty: ObjectionForbids or ObjectionIgnored. A one-party statute
	// makes it no crime to record with one party's consent; it does not oblige the
	// one who was told "no" to go on, and the rights to object and to withdraw
	// (GDPR articles 7(3) and 21) stand beside it. The strict choice costs a
	// recording, the other one may cost a law suit. Operators who must record
	// whatever a party says, as some financial firms must, vote for the other.
	OnePartyObjection string `json:"one_party_objection"`
	// StopWithinMS is how long after an objection a live recording may take to
	// end, in ms: what ends within it is no violation.
	StopWithinMS int64 `json:"stop_within_ms"`
}

// JurisdictionRule is the rule of one jurisdiction.
type JurisdictionRule struct {
	// Jurisdiction is an ISO 3166-1 alpha-2 or an ISO 3166-2 code.
	Jurisdiction string `json:"jurisdiction"`
	// Rule is RuleAllParty or RuleOneParty.
	Rule string `json:"rule"`
}

// RuleOf is the strictest rule of the jurisdictions; of none, the default. A
// subdivision without a rule of its own has its country's. A country alone does
// not say in which part of it a party is, so that the strictest of its parts
// holds.
func (p *ConsentPolicy) RuleOf(jurisdictions ...string) string {
	if len(jurisdictions) == 0 {
		return p.DefaultRule
	}
	for _, jurisdiction := range jurisdictions {
		if p.ruleOf(jurisdiction) == RuleAllParty {
			return RuleAllParty
		}
	}
	return RuleOneParty
}

func (p *ConsentPolicy) ruleOf(jurisdiction string) string {
	country, part, divided := strings.Cut(jurisdiction, "-")
	own, ofCountry, ofParts := "", "", ""
	for _, entry := range p.Jurisdictions {
		entryCountry, _, entryDivided := strings.Cut(entry.Jurisdiction, "-")
		switch {
		case entry.Jurisdiction == jurisdiction:
			own = entry.Rule
		case entryCountry != country:
		case !entryDivided:
			ofCountry = entry.Rule
		case entry.Rule == RuleAllParty:
			ofParts = RuleAllParty
		}
	}
	switch {
	case !divided && ofParts != "":
		return ofParts
	case own != "":
		return own
	case part != "" && ofCountry != "":
		return ofCountry
	default:
		return p.DefaultRule
	}
}

// Forbids says whether an objection forbids under a rule.
func (p *ConsentPolicy) Forbids(rule string) bool {
	return rule == RuleAllParty || p.OnePartyObjection == ObjectionForbids
}

func (p *ConsentPolicy) check() error {
	rules := []string{RuleAllParty, RuleOneParty}
	if err := checkCode("default_rule", p.DefaultRule, rules); err != nil {
		return err
	}
	if err := checkCode("one_party_objection", p.OnePartyObjection, []string{ObjectionForbids, ObjectionIgnored}); err != nil {
		return err
	}
	if p.StopWithinMS < 0 || p.StopWithinMS > maxStopWithinMS {
		return Errorf(CodeInvalid, "stop_within_ms is %d, it must lie between 0 and %d", p.StopWithinMS, maxStopWithinMS)
	}
	if p.Jurisdictions != nil && len(p.Jurisdictions) == 0 {
		return Errorf(CodeInvalid, "jurisdictions holds none: leave it out")
	}
	if len(p.Jurisdictions) > maxJurisdictions {
		return Errorf(CodeInvalid, "there are %d jurisdictions, at most %d are allowed", len(p.Jurisdictions), maxJurisdictions)
	}
	for i, entry := range p.Jurisdictions {
		if err := CheckJurisdiction("jurisdiction", entry.Jurisdiction); err != nil {
			return err
		}
		if err := checkCode("the rule of a jurisdiction", entry.Rule, rules); err != nil {
			return err
		}
		if i > 0 && p.Jurisdictions[i-1].Jurisdiction >= entry.Jurisdiction {
			return Errorf(CodeInvalid, "jurisdictions must be sorted and named once")
		}
	}
	return nil
}

// CheckJurisdiction answers CodeInvalid unless s has the form of an ISO 3166-1
// alpha-2 code, such as PT, or of an ISO 3166-2 code, such as US-CA.
func CheckJurisdiction(field, s string) error {
	country, part, divided := strings.Cut(s, "-")
	ok := len(country) == 2 && (!divided || len(part) >= 1 && len(part) <= 3)
	for _, c := range []byte(country) {
		ok = ok && c >= 'A' && c <= 'Z'
	}
	for _, c := range []byte(part) {
		ok = ok && (c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')
	}
	if !ok {
		return Errorf(CodeInvalid, "%s must be an ISO 3166 code such as PT or US-CA", field)
	}
	return nil
}

// By default everyone must consent, but in the United States, where federal law
// asks for one party (18 U.S.C. 2511(2)(d)), save in the states whose own law
// asks for all.
func defaultConsentPolicy() *ConsentPolicy {
	policy := &ConsentPolicy{
		DefaultRule: RuleAllParty, Jurisdictions: []JurisdictionRule{{"US", RuleOneParty}}, OnePartyObjection: ObjectionForbids, StopWithinMS: 5_000,
	}
	for _, state := range []string{"CA", "CT", "DE", "FL", "IL", "MA", "MD", "MT", "NH", "NV", "PA", "WA"} {
		policy.Jurisdictions = append(policy.Jurisdictions, JurisdictionRule{"US-" + state, RuleAllParty})
	}
	slices.SortFunc(policy.Jurisdictions, func(a, b JurisdictionRule) int { return strings.Compare(a.Jurisdiction, b.Jurisdiction) })
	return policy
}
