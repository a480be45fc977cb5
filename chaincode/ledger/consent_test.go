package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
)

func consentPolicy(t testing.TB) *ledger.ConsentPolicy {
	t.Helper()
	standard, err := ledger.DefaultPolicy(ledger.PolicyConsent)
	require.NoError(t, err)
	require.NoError(t, standard.Policy.Check())
	return standard.Policy.Consent
}

func TestTheRulesOfJurisdictions(t *testing.T) {
	policy := consentPolicy(t)
	for text, want := range map[string]string{
		"": ledger.RuleAllParty, "PT": ledger.RuleAllParty, "US-TX": ledger.RuleOneParty, "US-CA": ledger.RuleAllParty, "US": ledger.RuleAllParty,
		"US-NY US-TX": ledger.RuleOneParty, "US-NY US-WA": ledger.RuleAllParty, "PT US-TX": ledger.RuleAllParty,
	} {
		require.Equal(t, want, policy.RuleOf(strings.Fields(text)...), text)
	}
	loose := &ledger.ConsentPolicy{DefaultRule: ledger.RuleOneParty, Jurisdictions: []ledger.JurisdictionRule{{Jurisdiction: "DE", Rule: ledger.RuleAllParty}, {Jurisdiction: "GB-SCT", Rule: ledger.RuleAllParty}}}
	for text, want := range map[string]string{
		"": ledger.RuleOneParty, "DE": ledger.RuleAllParty, "DE-BY": ledger.RuleAllParty, "GB": ledger.RuleAllParty, "GB-SCT": ledger.RuleAllParty, "GB-ENG": ledger.RuleOneParty, "FR": ledger.RuleOneParty,
	} {
		require.Equal(t, want, loose.RuleOf(strings.Fields(text)...), text)
	}
}

func TestThePolicyOnConsent(t *testing.T) {
	for name, spoil := range map[string]func(*ledger.ConsentPolicy){
		"no default":          func(p *ledger.ConsentPolicy) { p.DefaultRule = "" },
		"an unknown rule":     func(p *ledger.ConsentPolicy) { p.Jurisdictions[0].Rule = "two_party" },
		"a country in words":  func(p *ledger.ConsentPolicy) { p.Jurisdictions[0].Jurisdiction = "America" },
		"not sorted":          func(p *ledger.ConsentPolicy) { slices.Reverse(p.Jurisdictions) },
		"twice":               func(p *ledger.ConsentPolicy) { p.Jurisdictions[1] = p.Jurisdictions[0] },
		"an empty list":       func(p *ledger.ConsentPolicy) { p.Jurisdictions = []ledger.JurisdictionRule{} },
		"an unknown effect":   func(p *ledger.ConsentPolicy) { p.OnePartyObjection = "maybe" },
		"a negative delay":    func(p *ledger.ConsentPolicy) { p.StopWithinMS = -1 },
		"an hour to stop":     func(p *ledger.ConsentPolicy) { p.StopWithinMS = 3_600_000 },
		"too many, if sorted": func(p *ledger.ConsentPolicy) { p.Jurisdictions = make([]ledger.JurisdictionRule, 1001) },
	} {
		policy := consentPolicy(t)
		spoil(policy)
		document := ledger.Policy{Consent: policy, V: ledger.SchemaVersion}
		err := document.Check()
		require.Error(t, err, name)
		requireCode(t, ledger.CodeInvalid, err)
	}
}

func TestAnObjectionCountsUnlessThePolicyIgnoresIt(t *testing.T) {
	statement := ledger.ConsentStatement{GivenAt: ledger.TimeOf(noon), Jurisdiction: "US-TX", LinkedID: "pbx1-1772366400.10", Purpose: ledger.PurposeRecording, Status: ledger.ConsentDenied}
	recording := recordingRecord().Recording
	policy := consentPolicy(t)
	require.NoError(t, statement.Violates(recording, nil, policy))
	policy.OnePartyObjection = ledger.ObjectionIgnored
	requireCode(t, ledger.CodeState, statement.Violates(recording, nil, policy))
	statement.Jurisdiction = "US-CA"
	require.NoError(t, statement.Violates(recording, nil, policy))
	statement.Purpose = ledger.PurposeTraining
	requireCode(t, ledger.CodeState, statement.Violates(recording, nil, policy))

	// The same in a decision.
	granted := ledger.Consent{Statement: ledger.ConsentStatement{GivenAt: ledger.TimeOf(noon), Jurisdiction: "US-TX", N: 1, PartyRef: "a", Purpose: ledger.PurposeRecording, Status: ledger.ConsentGranted}}
	denied := granted
	denied.Statement.PartyRef, denied.Statement.Status = "b", ledger.ConsentDenied
	question := ledger.ConsentQuestion{At: ledger.TimeOf(noon), Purpose: ledger.PurposeRecording}
	require.True(t, question.Decide([]ledger.Consent{granted, denied}, policy, 0).Allowed)
	policy.OnePartyObjection = ledger.ObjectionForbids
	require.False(t, question.Decide([]ledger.Consent{granted, denied}, policy, 0).Allowed)
}

// A party more, a jurisdiction more, or an objection in place of a grant never
// makes lawful what was not.
func TestStricterIsNeverMoreAllowed(t *testing.T) {
	policy := consentPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		policy.OnePartyObjection = rapid.SampledFrom([]string{ledger.ObjectionForbids, ledger.ObjectionIgnored}).Draw(t, "objection")
		question := ledger.ConsentQuestion{At: ledger.TimeOf(noon), Purpose: ledger.PurposeRecording}
		var consents []ledger.Consent
		for i := range rapid.IntRange(0, 4).Draw(t, "parties") {
			consents = append(consents, ledger.Consent{Statement: ledger.ConsentStatement{
				GivenAt: ledger.TimeOf(noon), Jurisdiction: rapid.SampledFrom([]string{"", "PT", "US-TX", "US-NY", "US-CA"}).Draw(t, "jurisdiction"), N: 1,
				PartyRef: fmt.Sprint(i), Purpose: ledger.PurposeRecording, Status: rapid.SampledFrom(ledger.ConsentStatuses).Draw(t, "status"),
			}})
		}
		allowed := question.Decide(consents, policy, 0).Allowed
		stricter := question
		switch rapid.IntRange(0, 2).Draw(t, "change") {
		case 0:
			stricter.Parties = []string{"silent"}
		case 1:
			stricter.Jurisdictions = []string{"DE"}
		default:
			consents = slices.Clone(consents)
			for i := range consents {
				consents[i].Statement.Status = ledger.ConsentDenied
			}
		}
		if stricter.Decide(consents, policy, 0).Allowed && !allowed {
			t.Fatal("it became allowed")
		}
	})
}
