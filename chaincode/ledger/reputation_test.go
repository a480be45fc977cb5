package ledger_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/reputation"
)

var subject = "tel:" + hexOf(32)

// reputationPolicy is the built-in one, and in itself a good one.
func reputationPolicy(t require.TestingT) *ledger.ReputationPolicy {
	current, err := ledger.DefaultPolicy(ledger.PolicyReputation)
	require.NoError(t, err)
	require.NoError(t, current.Policy.Check())
	return current.Policy.Reputation
}

// opinion is a good first opinion: one positive event at noon.
func opinion(t require.TestingT) *ledger.Opinion {
	return follow(t, nil, ledger.EvidenceItem{Count: 1, Kind: ledger.EvidenceLongCall})
}

// follow is the opinion that follows another, or none, a minute later.
func follow(t require.TestingT, previous *ledger.Opinion, evidence ...ledger.EvidenceItem) *ledger.Opinion {
	o := &ledger.Opinion{
		At: ledger.TimeOf(noon), Epoch: 1, Evidence: evidence, MSP: "AtlasMSP", Seq: 1, Subject: subject, V: ledger.SchemaVersion, Writer: 1,
	}
	if previous != nil {
		text, err := ledger.Canonical(previous)
		require.NoError(t, err)
		totals := previous.Totals
		o.At, o.Seq, o.Previous, o.PrevDigest = ledger.TimeOf(previous.At.Std().Add(60e9)), previous.Seq+1, &totals, ledger.Digest(text)
	}
	var err error
	o.Totals, err = o.Next(reputationPolicy(t))
	require.NoError(t, err)
	return o
}

func TestAnOpinionIsStoredAsItIsWritten(t *testing.T) {
	o := opinion(t)
	require.NoError(t, o.Check(reputationPolicy(t), o.At))
	text, err := ledger.Canonical(o)
	require.NoError(t, err)
	require.Equal(t, `{"at":"2026-03-01T12:00:00.000Z","epoch":1,"evidence":[{"count":1,"kind":"long_call"}],"msp":"AtlasMSP","policy_version":0,"seq":1,"subject":"`+subject+
		`","totals":{"alpha":1000,"at":"2026-03-01T12:00:00.000Z","attempts":0,"beta":0,"failures":0,"newest_positive":"2026-03-01T12:00:00.000Z"},"v":3,"writer":1}`, string(text))
	var back ledger.Opinion
	require.NoError(t, ledger.DecodeStrict(text, &back))
	require.Equal(t, *o, back)
}

func TestOpinionsFollowOneAnother(t *testing.T) {
	first := opinion(t)
	second := follow(t, first, ledger.EvidenceItem{Attempts: 3, Count: 8, Kind: ledger.EvidenceAuthFailure})
	require.NoError(t, second.Check(reputationPolicy(t), second.At))
	require.EqualValues(t, 1000, second.Totals.Alpha)
	require.EqualValues(t, 8000, second.Totals.Beta)
	require.EqualValues(t, 8000, second.Totals.Failures)
	require.EqualValues(t, 3000, second.Totals.Attempts)
	require.NoError(t, ledger.CheckChain(first, second))
	for name, c := range map[string]struct {
		change func(previous, next *ledger.Opinion)
		says   string
	}{
		"another subject":   {func(_, next *ledger.Opinion) { next.Subject = "ip:" + hexOf(32) }, "different"},
		"another operator":  {func(_, next *ledger.Opinion) { next.MSP = "BorealisMSP" }, "different"},
		"another writer":    {func(_, next *ledger.Opinion) { next.Writer = 2 }, "different"},
		"another epoch":     {func(_, next *ledger.Opinion) { next.Epoch = 2 }, "different"},
		"a number left out": {func(_, next *ledger.Opinion) { next.Seq = 3 }, "opinion 3"},
		"begun anew":        {func(_, next *ledger.Opinion) { *next = *opinion(t) }, "opinion 1"},
		"other totals":      {func(_, next *ledger.Opinion) { next.Previous.Beta = 7000 }, "other totals"},
		"no totals":         {func(_, next *ledger.Opinion) { next.Previous = nil }, "other totals"},
		"another past":      {func(previous, _ *ledger.Opinion) { previous.Evidence[0].Count = 2 }, "another than the one"},
	} {
		previous, next := *first, *second
		previous.Evidence = []ledger.EvidenceItem{first.Evidence[0]}
		totals := *second.Previous
		next.Previous = &totals
		c.change(&previous, &next)
		err := ledger.CheckChain(&previous, &next)
		require.Error(t, err, name)
		require.Equal(t, ledger.CodeState, ledger.AsError(err).Code, name)
		require.ErrorContains(t, err, c.says, name)
	}
}

func TestWhatIsNoOpinion(t *testing.T) {
	at := ledger.TimeOf(noon)
	for name, c := range map[string]struct {
		change func(*ledger.Opinion)
		says   string
	}{
		"an old version":            {func(o *ledger.Opinion) { o.V = 1 }, "v 2"},
		"no subject":                {func(o *ledger.Opinion) { o.Subject = "" }, "subject"},
		"a number in clear":         {func(o *ledger.Opinion) { o.Subject = "tel:+351210000000" }, "never the address"},
		"another type":              {func(o *ledger.Opinion) { o.Subject = "mail:" + hexOf(32) }, "tel, ip or aor"},
		"upper case":                {func(o *ledger.Opinion) { o.Subject = strings.ToUpper(o.Subject) }, "subject"},
		"no operator":               {func(o *ledger.Opinion) { o.MSP = "" }, "msp"},
		"writer nought":             {func(o *ledger.Opinion) { o.Writer = 0 }, "writer"},
		"writer seventeen":          {func(o *ledger.Opinion) { o.Writer = 17 }, "writer"},
		"epoch nought":              {func(o *ledger.Opinion) { o.Epoch = 0 }, "epoch"},
		"a negative epoch":          {func(o *ledger.Opinion) { o.Epoch = -1 }, "epoch"},
		"number nought":             {func(o *ledger.Opinion) { o.Seq = 0 }, "seq"},
		"a second without a first":  {func(o *ledger.Opinion) { o.Seq = 2 }, "previous"},
		"a first with a past":       {func(o *ledger.Opinion) { o.Previous = &ledger.Totals{At: at} }, "previous"},
		"a first with a digest":     {func(o *ledger.Opinion) { o.PrevDigest = hexOf(32) }, "previous"},
		"a second with no digest":   {func(o *ledger.Opinion) { o.Seq, o.Previous, o.PrevDigest = 2, &ledger.Totals{At: at}, "" }, "digest"},
		"a second with a bad one":   {func(o *ledger.Opinion) { o.Seq, o.Previous, o.PrevDigest = 2, &ledger.Totals{At: at}, "xx" }, "prev_digest"},
		"a second carried over":     {func(o *ledger.Opinion) { *o = *follow(t, o, o.Evidence...); o.Carried = &ledger.Totals{At: at} }, "carried"},
		"no instant":                {func(o *ledger.Opinion) { o.At = ledger.Time{} }, "instant"},
		"an instant to come":        {func(o *ledger.Opinion) { o.At = ledger.TimeOf(noon.Add(1e6)) }, "instant"},
		"an instant long past":      {func(o *ledger.Opinion) { o.At = ledger.TimeOf(noon.Add(-601e9)) }, "instant"},
		"totals without an instant": {func(o *ledger.Opinion) { o.Totals.At = ledger.Time{} }, "instants of totals"},
		"totals to come":            {func(o *ledger.Opinion) { o.Totals.NewestPositive = ledger.TimeOf(noon.Add(601e9)) }, "instants of totals"},
		"previous totals to come": {func(o *ledger.Opinion) {
			o.Seq, o.PrevDigest, o.Previous = 2, hexOf(32), &ledger.Totals{At: ledger.TimeOf(noon.Add(601e9))}
		}, "instants of previous"},
		"negative totals":        {func(o *ledger.Opinion) { o.Totals.Beta = -1 }, "beta of totals"},
		"boundless carried ones": {func(o *ledger.Opinion) { o.Carried = &ledger.Totals{Alpha: reputation.MaxEvidence + 1, At: at} }, "alpha of carried"},
		"no evidence":            {func(o *ledger.Opinion) { o.Evidence = nil }, "without evidence"},
		"an unknown kind":        {func(o *ledger.Opinion) { o.Evidence[0].Kind = "rumour" }, "does not name"},
		"no events":              {func(o *ledger.Opinion) { o.Evidence[0].Count = 0 }, "counts 0"},
		"negative events":        {func(o *ledger.Opinion) { o.Evidence[0].Count = -1 }, "counts -1"},
		"too many events":        {func(o *ledger.Opinion) { o.Evidence[0].Count = 1_000_001 }, "1000001"},
		"attempts of a success":  {func(o *ledger.Opinion) { o.Evidence[0].Attempts = 1 }, "positive"},
		"failures without attempts": {func(o *ledger.Opinion) {
			o.Evidence = []ledger.EvidenceItem{{Count: 1, Kind: ledger.EvidenceAuthFailure}}
		}, "attempts"},
		"more attempts than failures": {func(o *ledger.Opinion) {
			o.Evidence = []ledger.EvidenceItem{{Attempts: 2, Count: 1, Kind: ledger.EvidenceAuthFailure}}
		}, "attempts"},
		"one kind twice":   {func(o *ledger.Opinion) { o.Evidence = append(o.Evidence, o.Evidence[0]) }, "sorted"},
		"wrong arithmetic": {func(o *ledger.Opinion) { o.Totals.Alpha++ }, "alpha 1000"},
		"wrong instant":    {func(o *ledger.Opinion) { o.Totals.At = ledger.TimeOf(noon.Add(-1e9)) }, "are right"},
	} {
		t.Run(name, func(t *testing.T) {
			o := opinion(t)
			c.change(o)
			err := o.Check(reputationPolicy(t), at)
			require.Error(t, err)
			require.Equal(t, ledger.CodeInvalid, ledger.AsError(err).Code)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestACarriedOpinionAges(t *testing.T) {
	policy := reputationPolicy(t)
	o := opinion(t)
	halfLife := ledger.TimeOf(noon.Add(-30 * 24 * 3600e9))
	o.Evidence, o.Carried = nil, &ledger.Totals{Alpha: 4000, At: halfLife, Beta: 2000, Failures: 2000, Attempts: 1000, NewestNegative: halfLife}
	var err error
	o.Totals, err = o.Next(policy)
	require.NoError(t, err)
	require.Equal(t, ledger.Totals{Alpha: 2000, At: o.At, Attempts: 500, Beta: 1000, Failures: 1000, NewestNegative: halfLife}, o.Totals)
	require.NoError(t, o.Check(policy, o.At))
}

// TestAClockThatStepsBack counts on without ageing anything twice.
func TestAClockThatStepsBack(t *testing.T) {
	policy := reputationPolicy(t)
	first := opinion(t)
	second := follow(t, first, first.Evidence...)
	second.At = ledger.TimeOf(noon.Add(-5e9))
	var err error
	second.Totals, err = second.Next(policy)
	require.NoError(t, err)
	require.Equal(t, first.Totals.At, second.Totals.At)
	require.EqualValues(t, 2000, second.Totals.Alpha)
	require.NoError(t, second.Check(policy, second.At))
}

func TestMergeOfWhatIsHeld(t *testing.T) {
	policy := reputationPolicy(t)
	bad := follow(t, nil, ledger.EvidenceItem{Attempts: 8, Count: 8, Kind: ledger.EvidenceAuthFailure})
	good := opinion(t)
	good.MSP = "BorealisMSP"
	at := ledger.TimeOf(noon)
	ask := ledger.Question{At: at, Asker: "CorvusMSP", Epoch: 1, Subject: subject, Version: 7}
	want := ledger.Reputation{Alone: []string{"AtlasMSP"}, At: at, Epoch: 1, Holders: 2, PolicyVersion: 7, Score: 5000, Standing: reputation.StandingContested, Subject: subject, V: ledger.SchemaVersion}
	held := &ledger.Opinions{Opinions: []ledger.Opinion{*bad, *good}}
	require.Equal(t, want, policy.Merge(ask, held))

	// A pardon holds until its end, and of its operator alone.
	held.Pardons = []ledger.Pardon{{MSP: "AtlasMSP", Until: ledger.TimeOf(noon.Add(1e6))}}
	require.Equal(t, reputation.StandingGood, policy.Merge(ask, held).Standing)
	held.Pardons[0].Until = at
	require.Equal(t, want, policy.Merge(ask, held))
	held.Pardons[0] = ledger.Pardon{MSP: "BorealisMSP", Until: ledger.TimeOf(noon.Add(1e6))}
	require.Equal(t, want, policy.Merge(ask, held))
	held.Pardons = nil

	// An operator's allowlist is its own.
	held.Allowances = []ledger.Allowance{{MSP: "CorvusMSP"}, {MSP: "DoradoMSP", WithdrawnAt: at}}
	want.AllowedBy, want.Standing = []string{"CorvusMSP"}, reputation.StandingAllowed
	require.Equal(t, want, policy.Merge(ask, held))
	ask.Asker, want.Standing = "AtlasMSP", reputation.StandingContested
	require.Equal(t, want, policy.Merge(ask, held))
	// The consortium's is everyone's, and so are exempt subjects.
	policy.Allowed = []string{subject}
	require.Equal(t, reputation.StandingAllowed, policy.Merge(ask, held).Standing)
	policy.Allowed, ask.Exempt = nil, true
	require.Equal(t, reputation.StandingAllowed, policy.Merge(ask, held).Standing)

	// An address that one operator reports is blocked for an hour.
	held = &ledger.Opinions{Opinions: []ledger.Opinion{*bad}}
	ask.Exempt, ask.Subject = false, "ip:"+hexOf(32)
	merged := policy.Merge(ask, held)
	require.Equal(t, reputation.StandingProvisional, merged.Standing)
	require.Equal(t, ledger.TimeOf(noon.Add(3600e9)), merged.Until)
	policy.EqualWeights, policy.Operators = false, []ledger.OperatorWeight{{MSP: "BorealisMSP", Weight: 1000}}
	require.Equal(t, reputation.StandingUnknown, policy.Merge(ask, held).Standing, "an operator without weight reports in vain")
}

func TestReputationPoliciesAreChecked(t *testing.T) {
	for name, change := range map[string]func(*ledger.ReputationPolicy){
		"a negative ban":        func(p *ledger.ReputationPolicy) { p.BanFailures = -1 },
		"an impossible ban":     func(p *ledger.ReputationPolicy) { p.BanAttempts = 1_000_001 },
		"no half-life":          func(p *ledger.ReputationPolicy) { p.HalfLifeMS = 0 },
		"a score beyond":        func(p *ledger.ReputationPolicy) { p.Threshold = 10_001 },
		"a ban for ever":        func(p *ledger.ReputationPolicy) { p.ProvisionalMS = 1 << 40 },
		"negative freshness":    func(p *ledger.ReputationPolicy) { p.FreshMS = -1 },
		"no kinds":              func(p *ledger.ReputationPolicy) { p.Kinds = nil },
		"a kind without a name": func(p *ledger.ReputationPolicy) { p.Kinds[0].Kind = "" },
		"a kind twice":          func(p *ledger.ReputationPolicy) { p.Kinds[1] = p.Kinds[0] },
		"a sign of neither":     func(p *ledger.ReputationPolicy) { p.Kinds[0].Sign = "neutral" },
		"a weightless kind":     func(p *ledger.ReputationPolicy) { p.Kinds[0].Weight = 0 },
		"a crushing kind":       func(p *ledger.ReputationPolicy) { p.Kinds[0].Weight = 100_001 },
		"no weights":            func(p *ledger.ReputationPolicy) { p.EqualWeights = false },
		"equal and other":       func(p *ledger.ReputationPolicy) { p.Operators = []ledger.OperatorWeight{{MSP: "A", Weight: 1}} },
		"too heavy an operator": func(p *ledger.ReputationPolicy) {
			p.EqualWeights, p.Operators = false, []ledger.OperatorWeight{{MSP: "A", Weight: 1001}}
		},
		"a nameless operator": func(p *ledger.ReputationPolicy) {
			p.EqualWeights, p.Operators = false, []ledger.OperatorWeight{{Weight: 1}}
		},
		"an operator twice": func(p *ledger.ReputationPolicy) {
			p.EqualWeights, p.Operators = false, []ledger.OperatorWeight{{MSP: "A"}, {MSP: "A"}}
		},
		"an address allowed":     func(p *ledger.ReputationPolicy) { p.Allowed = []string{"ip:198.51.100.7"} },
		"unsorted allowed":       func(p *ledger.ReputationPolicy) { p.Allowed = []string{subject, subject} },
		"a number in letters":    func(p *ledger.ReputationPolicy) { p.EmergencyNumbers = []string{"NHS"} },
		"numbers out of order":   func(p *ledger.ReputationPolicy) { p.EmergencyNumbers = []string{"911", "112"} },
		"too many numbers":       func(p *ledger.ReputationPolicy) { p.EmergencyNumbers = make([]string, 201) },
		"more subjects than fit": func(p *ledger.ReputationPolicy) { p.Allowed = make([]string, 1001) },
	} {
		policy := reputationPolicy(t)
		change(policy)
		err := (&ledger.Policy{Reputation: policy, V: ledger.SchemaVersion}).Check()
		require.Error(t, err, name)
		require.Equal(t, ledger.CodeInvalid, ledger.AsError(err).Code, name)
	}
	for name, bad := range map[string]ledger.PseudonymPolicy{
		"epoch nought":          {},
		"a negative epoch":      {Epoch: -1},
		"no commitment":         {Epoch: 2},
		"exempt under no key":   {Epoch: 1, Exempt: []string{subject}},
		"a bad commitment":      {Commitment: "x", Epoch: 1},
		"an exempt number":      {Commitment: hexOf(32), Epoch: 1, Exempt: []string{"tel:112"}},
		"an exempt one twice":   {Commitment: hexOf(32), Epoch: 1, Exempt: []string{subject, subject}},
		"exempt without an end": {Commitment: hexOf(32), Epoch: 1, Exempt: make([]string, 1001)},
	} {
		require.Error(t, (&ledger.Policy{Pseudonyms: &bad, V: ledger.SchemaVersion}).Check(), name)
	}
	current, err := ledger.DefaultPolicy(ledger.PolicyPseudonyms)
	require.NoError(t, err)
	require.NoError(t, current.Policy.Check())
	require.NoError(t, (&ledger.Policy{Pseudonyms: &ledger.PseudonymPolicy{Commitment: hexOf(32), Epoch: 2, Exempt: []string{subject}}, V: ledger.SchemaVersion}).Check())
}

func TestScoresAreWrittenInPoints(t *testing.T) {
	for score, want := range map[int64]string{0: "0.000", 7: "0.007", 4000: "4.000", 5000: "5.000", 6666: "6.666", 9999: "9.999", 10_000: "10.000"} {
		require.Equal(t, want, ledger.ScoreText(score))
	}
}

// TestAChainOfOpinionsChecks writes any history and checks every step of it.
func TestAChainOfOpinionsChecks(t *testing.T) {
	policy := reputationPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		var last *ledger.Opinion
		for range rapid.IntRange(1, 12).Draw(t, "opinions") {
			count := rapid.Int64Range(1, 1000).Draw(t, "count")
			item := ledger.EvidenceItem{Count: count, Kind: ledger.EvidenceLongCall}
			if rapid.Bool().Draw(t, "negative") {
				item = ledger.EvidenceItem{Attempts: rapid.Int64Range(1, count).Draw(t, "attempts"), Count: count, Kind: ledger.EvidenceShortCall}
			}
			next := follow(t, last, item)
			require.NoError(t, next.Check(policy, next.At))
			if last != nil {
				require.NoError(t, ledger.CheckChain(last, next))
			}
			last = next
		}
	})
}

// BenchmarkOpinion is what one more event of a known subject takes, without the ledger:
// the writer's arithmetic, and what each endorsing peer checks of it.
func BenchmarkOpinion(b *testing.B) {
	policy, first := reputationPolicy(b), opinion(b)
	second := follow(b, first, ledger.EvidenceItem{Attempts: 3, Count: 8, Kind: ledger.EvidenceAuthFailure}, ledger.EvidenceItem{Count: 2, Kind: ledger.EvidenceLongCall})
	for name, work := range map[string]func() error{
		"next":  func() error { _, err := second.Next(policy); return err },
		"check": func() error { return second.Check(policy, second.At) },
		"chain": func() error { return ledger.CheckChain(first, second) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := work(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
