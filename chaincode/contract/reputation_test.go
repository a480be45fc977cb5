package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/chaincode/stub"
)

// extension is a subject: P2's extension 221 behind another PBX.
var (
	extension = "aor:" + hexOf(32)
	address   = "ip:" + hexOf(32)
)

// decreed is governance that answers what a test decrees, instead of votes.
type decreed map[string]ledger.PolicyVersion

func (decreed) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

func (d decreed) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	_, parameters := stub.GetFunctionAndParameters()
	current, found := d[parameters[0]]
	if !found {
		standard, err := ledger.DefaultPolicy(parameters[0])
		if err != nil {
			return shim.Error(err.Error())
		}
		current = *standard
	}
	text, err := ledger.Canonical(&current)
	if err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success(text)
}

// decree puts a document into force as its version.
func (c *channel) decree(version int64, policies ...ledger.Policy) {
	c.t.Helper()
	all := decreed{}
	for _, policy := range policies {
		policy.V = ledger.SchemaVersion
		require.NoError(c.t, policy.Check())
		all[policy.Name()] = ledger.PolicyVersion{Name: policy.Name(), Policy: policy, V: ledger.SchemaVersion, Version: version}
	}
	c.Deploy(ledger.GovernanceChaincode, all)
}

func standardReputation(t testing.TB) *ledger.ReputationPolicy {
	t.Helper()
	standard, err := ledger.DefaultPolicy(ledger.PolicyReputation)
	require.NoError(t, err)
	return standard.Policy.Reputation
}

// opine is the operator's first gateway's next opinion on a subject, an hour
// after noon, following the last where there is one.
func opine(t testing.TB, msp, subject string, last *ledger.Opinion, evidence ...ledger.EvidenceItem) *ledger.Opinion {
	t.Helper()
	o := &ledger.Opinion{At: ledger.TimeOf(noon.Add(time.Hour)), Epoch: 1, Evidence: evidence, MSP: msp, Seq: 1, Subject: subject, V: ledger.SchemaVersion, Writer: 1}
	if last != nil {
		totals := last.Totals
		o.Seq, o.Previous, o.PrevDigest = last.Seq+1, &totals, ledger.Digest([]byte(canonical(t, last)))
	}
	var err error
	o.Totals, err = o.Next(standardReputation(t))
	require.NoError(t, err)
	return o
}

// record is the call by which an operator's gateway writes opinions.
func record(t testing.TB, msp string, opinions ...*ledger.Opinion) stub.Call {
	t.Helper()
	return as(msp, ledger.RoleGateway, "reputation:Record", canonical(t, opinions))
}

func good(n int64) ledger.EvidenceItem {
	return ledger.EvidenceItem{Count: n, Kind: ledger.EvidenceLongCall}
}

func bad(n int64) ledger.EvidenceItem {
	return ledger.EvidenceItem{Attempts: n, Count: n, Kind: ledger.EvidenceAuthFailure}
}

// standing asks as an operator's auditor.
func (c *channel) standing(msp, subject string) ledger.Reputation {
	c.t.Helper()
	var merged ledger.Reputation
	c.ask(as(msp, ledger.RoleAuditor, "reputation:Get", "0", subject), &merged)
	return merged
}

// TestThePapersScenarios are P2's: unknown 5, after a long call 6, after one
// negative instead 4, and eight wrong passwords from an address that had 6.
func TestThePapersScenarios(t *testing.T) {
	c := newChannel(t)
	require.EqualValues(t, 5000, c.standing(atlas, extension).Score)
	require.Equal(t, reputation.StandingUnknown, c.standing(atlas, extension).Standing)
	c.do(record(t, atlas, opine(t, atlas, extension, nil, good(1))))
	require.EqualValues(t, 6000, c.standing(borealis, extension).Score)

	other := "tel:" + hexOf(32)
	c.do(record(t, atlas, opine(t, atlas, other, nil, bad(1))))
	require.EqualValues(t, 4000, c.standing(borealis, other).Score)

	first := opine(t, atlas, address, nil, ledger.EvidenceItem{Count: 1, Kind: ledger.EvidenceAuthSuccess})
	c.do(record(t, atlas, first))
	require.EqualValues(t, 6000, c.standing(borealis, address).Score)
	c.do(record(t, atlas, opine(t, atlas, address, first, bad(8))))
	merged := c.standing(borealis, address)
	require.EqualValues(t, 10_000*3/13, merged.Score)
	require.Equal(t, reputation.StandingProvisional, merged.Standing)
	require.Equal(t, ledger.TimeOf(noon.Add(2*time.Hour)), merged.Until)
	require.Equal(t, []string{atlas}, merged.Alone)

	// Another operator saw it too: now it is blocked, whoever is left out.
	c.do(record(t, borealis, opine(t, borealis, address, nil, bad(2))))
	merged = c.standing(corvus, address)
	require.Equal(t, reputation.StandingBlocked, merged.Standing)
	require.EqualValues(t, 10_000*3/15, merged.Score)
}

func TestAnOpinionIsWrittenBlindly(t *testing.T) {
	c := newChannel(t)
	first := opine(t, atlas, extension, nil, good(1))
	second := opine(t, atlas, extension, first, bad(2))
	// All endorsed before any is committed: nothing conflicts.
	var pending []*stub.Tx
	for _, call := range []stub.Call{
		record(t, atlas, first), record(t, borealis, opine(t, borealis, extension, nil, good(3))), record(t, atlas, second),
		record(t, corvus, opine(t, corvus, extension, nil, good(1))),
	} {
		response, tx := c.simulate(call)
		require.EqualValues(t, shim.OK, response.GetStatus(), response.GetMessage())
		require.Equal(t, `{"v":3,"written":1}`, string(response.GetPayload()))
		require.Empty(t, tx.Reads(), "a read would make endorsers differ and transactions conflict")
		pending = append(pending, tx)
	}
	for _, code := range c.Commit(pending...) {
		require.Equal(t, peer.TxValidationCode_VALID, code)
	}
	require.Equal(t, canonical(t, second), string(c.Get(ledger.OpinionKey(1, extension, atlas, 1))), "what stands there is what was written")
	require.EqualValues(t, 10_000*(2+1+3+1)/(4+3+3+1), c.standing(atlas, extension).Score)

	var held ledger.Opinions
	c.ask(as(corvus, ledger.RoleAuditor, "reputation:Opinions", "1", extension), &held)
	require.Len(t, held.Opinions, 3)
	require.Equal(t, *second, held.Opinions[0])
	var own ledger.Opinion
	c.ask(as(atlas, ledger.RoleGateway, "reputation:Opinion", "1", extension, atlas, "1"), &own)
	require.Equal(t, *second, own)
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleGateway, "reputation:Opinion", "1", extension, atlas, "2"))
	unheard := "tel:" + hexOf(32)
	var written ledger.Opinions
	c.ask(as(atlas, ledger.RoleGateway, "reputation:Written", "1", atlas, "1", `["`+unheard+`","`+extension+`"]`), &written)
	require.Equal(t, []ledger.Opinion{*second}, written.Opinions, "of the subject on which it holds one")
	for _, elsewhere := range [][]string{{"2", atlas, "1"}, {"1", borealis, "9"}, {"1", atlas, "2"}} {
		var none ledger.Opinions
		c.ask(as(atlas, ledger.RoleGateway, append(append([]string{"reputation:Written"}, elsewhere...), `["`+extension+`"]`)...), &none)
		require.Empty(t, none.Opinions)
	}
	many, err := ledger.Canonical(slices.Repeat([]string{extension}, ledger.MaxOpinions+1))
	require.NoError(t, err)
	c.refuse(ledger.CodeTooLarge, as(atlas, ledger.RoleGateway, "reputation:Written", "1", atlas, "1", string(many)))
	require.NoError(t, ledger.CheckChain(first, &own))
}

func TestManyOpinionsShareATransaction(t *testing.T) {
	c := newChannel(t)
	opinions := make([]*ledger.Opinion, ledger.MaxOpinions)
	for i := range opinions {
		opinions[i] = opine(t, atlas, fmt.Sprintf("tel:%064x", i), nil, good(1))
	}
	call := as(atlas, ledger.RoleGateway, "reputation:Record", "")
	call.Transient = map[string][]byte{"writes": []byte(canonical(t, opinions))}
	c.do(call)
	require.Len(t, c.Keys(), ledger.MaxOpinions)
	c.refuse(ledger.CodeTooLarge, record(t, atlas, append(opinions, opine(t, atlas, extension, nil, good(1)))...))
}

func TestBadOpinionsAreRefused(t *testing.T) {
	for name, a := range map[string]struct {
		code   ledger.Code
		change func(*ledger.Opinion)
		says   string
	}{
		"another operator's":    {ledger.CodeDenied, func(o *ledger.Opinion) { o.MSP = borealis }, "may not act for"},
		"an unknown kind":       {ledger.CodeInvalid, func(o *ledger.Opinion) { o.Evidence[0].Kind = "rumour" }, "does not name"},
		"wrong arithmetic":      {ledger.CodeInvalid, func(o *ledger.Opinion) { o.Totals.Beta = 1 }, "wrong"},
		"negative events":       {ledger.CodeInvalid, func(o *ledger.Opinion) { o.Evidence[0].Count = -3 }, "-3"},
		"an instant to come":    {ledger.CodeInvalid, func(o *ledger.Opinion) { o.At = ledger.TimeOf(noon.Add(2 * time.Hour)) }, "instant"},
		"an instant past":       {ledger.CodeInvalid, func(o *ledger.Opinion) { o.At = ledger.TimeOf(noon) }, "instant"},
		"another epoch":         {ledger.CodeState, func(o *ledger.Opinion) { o.Epoch = 2 }, "epoch 1"},
		"another policy":        {ledger.CodeState, func(o *ledger.Opinion) { o.PolicyVersion = 3 }, "weigh it anew"},
		"carried into nowhere":  {ledger.CodeInvalid, func(o *ledger.Opinion) { o.Carried = &ledger.Totals{At: o.At} }, "reputation:Carry"},
		"an address in clear":   {ledger.CodeInvalid, func(o *ledger.Opinion) { o.Subject = "ip:198.51.100.7" }, "pseudonym"},
		"a writer out of range": {ledger.CodeInvalid, func(o *ledger.Opinion) { o.Writer = 17 }, "writer"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChannel(t)
			o := opine(t, atlas, extension, nil, good(1))
			a.change(o)
			says := c.refuse(a.code, record(t, atlas, opine(t, atlas, address, nil, good(1)), o))
			require.Contains(t, says, a.says)
			require.NotContains(t, says, "198.51.100.7")
			require.Empty(t, c.Keys(), "not even the good one")
		})
	}
	c := newChannel(t)
	o := opine(t, atlas, extension, nil, good(1))
	require.Contains(t, c.refuse(ledger.CodeInvalid, record(t, atlas, o, o)), "add the evidence up")
	text := canonical(t, []*ledger.Opinion{o})
	for name, argument := range map[string]string{
		"nothing": "", "no opinion": "[]", "not an array": "{}", "not JSON": "opinions", "two values": text + text,
		"a float":           strings.Replace(text, `"count":1`, `"count":1.0`, 1),
		"a fraction":        strings.Replace(text, `"alpha":1000`, `"alpha":1000.5`, 1),
		"an exponent":       strings.Replace(text, `"alpha":1000`, `"alpha":1e3`, 1),
		"beyond 2^53":       strings.Replace(text, `"count":1`, `"count":9007199254740993`, 1),
		"a null":            strings.Replace(text, `"count":1`, `"count":null`, 1),
		"an unknown member": strings.Replace(text, `"count":1`, `"count":1,"phone":"+351210000000"`, 1),
		"a member twice":    strings.Replace(text, `"count":1`, `"count":1,"count":1`, 1),
		"a zone":            strings.Replace(text, `.000Z`, `.000+01:00`, 1),
		"not UTF-8":         strings.Replace(text, "long_call", "\xff", 1),
		"NUL in the name":   strings.Replace(text, "AtlasMSP", `Atlas\u0000`, 1),
	} {
		says := c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleGateway, "reputation:Record", argument))
		require.NotContains(t, says, "+351210000000", name)
	}
	c.refuse(ledger.CodeTooLarge, as(atlas, ledger.RoleGateway, "reputation:Record", "["+strings.Repeat(" ", 10<<20)+"]"))
	for role := range operators()[atlas].roles {
		if role != ledger.RoleGateway {
			c.refuse(ledger.CodeDenied, as(atlas, role, "reputation:Record", text))
		}
	}
	nobody := record(t, atlas, o)
	nobody.Creator = nil
	c.refuse(ledger.CodeDenied, nobody)
	c.refuse(ledger.CodeDenied, record(t, borealis, o))
	require.Empty(t, c.Keys())
}

func TestOnlyThePolicyInForceWeighs(t *testing.T) {
	c := newChannel(t)
	policy := standardReputation(t)
	policy.Kinds = []ledger.EvidenceKind{{Kind: ledger.EvidenceLongCall, Sign: ledger.SignPositive, Weight: 500}}
	policy.EqualWeights, policy.Operators = false, []ledger.OperatorWeight{{MSP: atlas, Weight: 1000}}
	c.decree(4, ledger.Policy{Reputation: policy})
	o := opine(t, atlas, extension, nil, good(1))
	c.refuse(ledger.CodeState, record(t, atlas, o))
	o.PolicyVersion = 4
	require.Contains(t, c.refuse(ledger.CodeInvalid, record(t, atlas, o)), "alpha 500")
	var err error
	o.Totals, err = o.Next(policy)
	require.NoError(t, err)
	c.do(record(t, atlas, o))
	merged := c.standing(borealis, extension)
	require.EqualValues(t, 10_000*2500/4500, merged.Score)
	require.EqualValues(t, 4, merged.PolicyVersion)

	// A new operator writes, and moves nothing until it is voted a weight.
	o = opine(t, borealis, extension, nil, good(1))
	o.Evidence[0].Count, o.PolicyVersion = 1_000_000, 4
	o.Totals, err = o.Next(policy)
	require.NoError(t, err)
	c.do(record(t, borealis, o))
	require.Equal(t, merged.Score, c.standing(borealis, extension).Score)
	require.EqualValues(t, 2, c.standing(borealis, extension).Holders)
}

func TestExemptSubjectsAreNeverScored(t *testing.T) {
	c := newChannel(t)
	exempt := "tel:" + hexOf(32)
	c.decree(1, ledger.Policy{Pseudonyms: &ledger.PseudonymPolicy{Commitment: hexOf(32), Epoch: 1, Exempt: []string{exempt}}})
	require.Contains(t, c.refuse(ledger.CodeState, record(t, atlas, opine(t, atlas, exempt, nil, bad(9)))), "exempt")
	require.Equal(t, reputation.StandingAllowed, c.standing(atlas, exempt).Standing)
	c.do(record(t, atlas, opine(t, atlas, extension, nil, bad(9))))
}

func TestARotationCarriesWhatIsHeld(t *testing.T) {
	c := newChannel(t)
	before := opine(t, atlas, address, nil, bad(4), good(2))
	c.do(record(t, atlas, before))
	carried := &ledger.Opinion{
		At: before.At, Carried: &before.Totals, Epoch: 2, MSP: atlas, Seq: 1, Subject: "ip:" + strings.Repeat("00", 32), Totals: before.Totals, V: ledger.SchemaVersion, Writer: 1,
	}
	carry := as(atlas, ledger.RoleGateway, "reputation:Carry", canonical(t, []*ledger.Opinion{carried}))
	require.Contains(t, c.refuse(ledger.CodeState, carry), "epoch 1", "not before the rotation")
	first := *carried
	first.Epoch = 1
	require.Contains(t, c.refuse(ledger.CodeState, as(atlas, ledger.RoleGateway, "reputation:Carry", canonical(t, []*ledger.Opinion{&first}))), "none before")

	c.decree(2, ledger.Policy{Pseudonyms: &ledger.PseudonymPolicy{Commitment: hexOf(32), Epoch: 2}})
	require.Equal(t, reputation.StandingUnknown, c.standing(atlas, carried.Subject).Standing)
	response, tx := c.simulate(carry)
	require.EqualValues(t, shim.OK, response.GetStatus(), response.GetMessage())
	require.Empty(t, tx.Reads())
	c.Commit(tx)
	merged := c.standing(borealis, carried.Subject)
	require.EqualValues(t, 10_000*4/10, merged.Score)
	require.EqualValues(t, 2, merged.Epoch)
	// The old epoch is closed for writing, and stays readable.
	c.refuse(ledger.CodeState, record(t, atlas, opine(t, atlas, address, before, bad(1))))
	var old ledger.Reputation
	c.ask(as(corvus, ledger.RoleAuditor, "reputation:Get", "1", address), &old)
	require.Equal(t, merged.Score, old.Score)
	// What is carried has totals to carry, and only its bearer may.
	carried.Carried, carried.Evidence = nil, []ledger.EvidenceItem{good(1)}
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleGateway, "reputation:Carry", canonical(t, []*ledger.Opinion{carried})))
	c.refuse(ledger.CodeDenied, as(borealis, ledger.RoleGateway, carry.Args...))
	c.refuse(ledger.CodeDenied, as(atlas, ledger.RoleAdmin, carry.Args...))
}

func TestPeopleMayPardonAndAllow(t *testing.T) {
	c := newChannel(t)
	c.do(record(t, atlas, opine(t, atlas, extension, nil, bad(8))))
	c.do(record(t, borealis, opine(t, borealis, extension, nil, bad(1))))
	require.Equal(t, reputation.StandingBlocked, c.standing(corvus, extension).Standing)

	var allowance ledger.Allowance
	require.NoError(t, ledger.DecodeStrict(c.do(as(corvus, ledger.RoleCompliance, "reputation:Allow", "1", extension, ledger.ReasonPartner)), &allowance))
	require.Equal(t, corvus, allowance.MSP)
	require.Equal(t, reputation.StandingAllowed, c.standing(corvus, extension).Standing)
	require.Equal(t, reputation.StandingBlocked, c.standing(atlas, extension).Standing, "it is its own")
	require.Equal(t, []string{corvus}, c.standing(atlas, extension).AllowedBy)
	ended := c.do(as(corvus, ledger.RoleAdmin, "reputation:Disallow", "1", extension))
	require.Equal(t, string(ended), string(c.do(as(corvus, ledger.RoleAdmin, "reputation:Disallow", "1", extension))))
	require.Equal(t, reputation.StandingBlocked, c.standing(corvus, extension).Standing)
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAdmin, "reputation:Disallow", "1", extension))

	hour := fmt.Sprint(time.Hour.Milliseconds())
	var pardon ledger.Pardon
	require.NoError(t, ledger.DecodeStrict(c.do(as(atlas, ledger.RoleCompliance, "reputation:Pardon", "1", extension, hour, ledger.ReasonRemedied)), &pardon))
	require.Equal(t, ledger.TimeOf(noon.Add(2*time.Hour)), pardon.Until)
	merged := c.standing(corvus, extension)
	require.Equal(t, reputation.StandingReported, merged.Standing)
	require.Equal(t, []string{borealis}, merged.Alone, "what the other holds stands")
	later := as(corvus, ledger.RoleAuditor, "reputation:Get", "1", extension)
	later.Time = noon.Add(2 * time.Hour)
	c.ask(later, &merged)
	require.Equal(t, reputation.StandingBlocked, merged.Standing, "a pardon ends")
	c.do(as(atlas, ledger.RoleCompliance, "reputation:Pardon", "1", extension, "0", ledger.ReasonRemedied))
	require.Equal(t, reputation.StandingBlocked, c.standing(corvus, extension).Standing, "and can be ended")
	var held ledger.Opinions
	c.ask(as(corvus, ledger.RoleAuditor, "reputation:Opinions", "1", extension), &held)
	require.Len(t, held.Opinions, 2)
	require.Len(t, held.Pardons, 1)
	require.Len(t, held.Allowances, 1)

	for name, args := range map[string][]string{
		"reputation:Allow":    {"1", extension, ledger.ReasonPartner},
		"reputation:Disallow": {"1", extension},
		"reputation:Pardon":   {"1", extension, hour, ledger.ReasonRemedied},
		"reputation:Appeal":   {"1", extension, borealis, ledger.ReasonSpoofed, hexOf(32)},
		"reputation:Decide":   {"1", extension, borealis, ledger.AppealUpheld, "0"},
	} {
		for _, role := range []ledger.Role{ledger.RoleGateway, ledger.RoleAdapter, ledger.RoleAuditor} {
			c.refuse(ledger.CodeDenied, as(atlas, role, append([]string{name}, args...)...))
		}
		for i, wrong := range map[int]string{0: "2", 1: "tel:+351210000000"} {
			args := slices.Clone(args)
			args[i] = wrong
			code := ledger.CodeInvalid
			if i == 0 {
				code = ledger.CodeState
			}
			says := c.refuse(code, as(atlas, ledger.RoleCompliance, append([]string{name}, args...)...))
			require.NotContains(t, says, "+351210000000")
		}
	}
	for _, args := range [][]string{
		{"reputation:Allow", "1", extension, "because"}, {"reputation:Pardon", "1", extension, hour, "because"},
		{"reputation:Pardon", "1", extension, "-1", ledger.ReasonRemedied}, {"reputation:Pardon", "1", extension, "99999999999999", ledger.ReasonRemedied},
		{"reputation:Pardon", "1", extension, "1.5", ledger.ReasonRemedied}, {"reputation:Get", "-1", extension}, {"reputation:Get", "1", "x"},
		{"reputation:Opinions", "1", "tel:112"}, {"reputation:Opinion", "1", extension, "\x00", "1"}, {"reputation:Opinion", "1", extension, atlas, "-1"},
		{"reputation:Written", "1", atlas, "1", "[]"}, {"reputation:Written", "1", atlas, "1", `["x"]`}, {"reputation:Written", "1", atlas, "-1", `["` + extension + `"]`}, {"reputation:Written", "1", atlas, "1", extension},
	} {
		c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleCompliance, args...))
	}
}

func TestAppeals(t *testing.T) {
	c := newChannel(t)
	c.do(record(t, atlas, opine(t, atlas, extension, nil, bad(8))))
	appeal := func() stub.Call {
		return as(borealis, ledger.RoleCompliance, "reputation:Appeal", "1", extension, atlas, ledger.ReasonSpoofed, hexOf(32))
	}
	var stated ledger.Appeal
	require.NoError(t, ledger.DecodeStrict(c.do(appeal()), &stated))
	require.Equal(t, ledger.AppealOpen, stated.State)
	require.Equal(t, borealis, stated.MSP)
	c.refuse(ledger.CodeExists, appeal())

	decide := func(msp, appellant, decision, duration string) stub.Call {
		return as(msp, ledger.RoleCompliance, "reputation:Decide", "1", extension, appellant, decision, duration)
	}
	c.refuse(ledger.CodeNotFound, decide(borealis, borealis, ledger.AppealUpheld, "0"))
	c.refuse(ledger.CodeNotFound, decide(atlas, corvus, ledger.AppealUpheld, "0"))
	for _, wrong := range [][2]string{{ledger.AppealUpheld, "1"}, {ledger.AppealPardoned, "0"}, {ledger.AppealPardoned, "-1"}, {ledger.AppealOpen, "0"}, {"", "0"}} {
		c.refuse(ledger.CodeInvalid, decide(atlas, borealis, wrong[0], wrong[1]))
	}
	require.NoError(t, ledger.DecodeStrict(c.do(decide(atlas, borealis, ledger.AppealUpheld, "0")), &stated))
	require.Equal(t, ledger.AppealUpheld, stated.State)
	require.Equal(t, reputation.StandingReported, c.standing(corvus, extension).Standing)
	c.refuse(ledger.CodeState, decide(atlas, borealis, ledger.AppealPardoned, "1000"))

	c.do(appeal())
	c.do(decide(atlas, borealis, ledger.AppealPardoned, "1000"))
	require.Equal(t, reputation.StandingUnknown, c.standing(corvus, extension).Standing, "all there was is pardoned")

	for _, args := range [][]string{{atlas, "0", ""}, {atlas, "1", ""}, {atlas, "1", extension}} {
		var appeals []ledger.Appeal
		c.ask(as(corvus, ledger.RoleAuditor, append([]string{"reputation:Appeals"}, args...)...), &appeals)
		require.Len(t, appeals, 1)
		require.Equal(t, ledger.AppealPardoned, appeals[0].State)
	}
	for _, args := range [][]string{{borealis, "0", ""}, {atlas, "2", ""}, {atlas, "1", address}} {
		var appeals []ledger.Appeal
		c.ask(as(corvus, ledger.RoleAuditor, append([]string{"reputation:Appeals"}, args...)...), &appeals)
		require.Empty(t, appeals)
	}
	c.refuse(ledger.CodeInvalid, as(corvus, ledger.RoleAuditor, "reputation:Appeals", atlas, "0", extension))
	c.refuse(ledger.CodeInvalid, as(corvus, ledger.RoleAuditor, "reputation:Appeals", "", "0", ""))
	for _, args := range [][]string{{atlas, "because", hexOf(32)}, {"", ledger.ReasonSpoofed, hexOf(32)}, {atlas, ledger.ReasonSpoofed, "see attachment"}} {
		c.refuse(ledger.CodeInvalid, as(borealis, ledger.RoleCompliance, append([]string{"reputation:Appeal", "1", extension}, args...)...))
	}
}

func FuzzRecord(f *testing.F) {
	first := opine(f, atlas, extension, nil, good(1))
	text := canonical(f, []*ledger.Opinion{opine(f, atlas, address, nil, bad(8)), opine(f, atlas, extension, first, bad(2), good(1))})
	f.Add(text, false)
	f.Add(text, true)
	f.Add(strings.Replace(text, atlas, borealis, 1), false)
	f.Add(strings.Replace(text, `"count":8`, `"count":-8`, 1), false)
	f.Add(strings.Replace(text, `"alpha":1000`, `"alpha":1e3`, 1), false)
	f.Add(strings.Replace(text, `"evidence"`, `"carried":{"alpha":0},"evidence"`, 1), false)
	f.Add("[]", false)
	c := newChannel(f)
	f.Fuzz(func(t *testing.T, writes string, hidden bool) {
		if hidden {
			fuzzed(t, c, ledger.RoleGateway, map[string][]byte{"writes": []byte(writes)}, "reputation:Record", "")
		} else {
			fuzzed(t, c, ledger.RoleGateway, nil, "reputation:Record", writes)
			fuzzed(t, c, ledger.RoleGateway, nil, "reputation:Carry", writes)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newChannel(b)
			opinions := make([]*ledger.Opinion, n)
			for i := range opinions {
				opinions[i] = opine(b, atlas, fmt.Sprintf("tel:%064x", i), nil, bad(8), good(1))
			}
			call := as(atlas, ledger.RoleGateway, "reputation:Record", "")
			call.Transient = map[string][]byte{"writes": []byte(canonical(b, opinions))}
			b.SetBytes(int64(len(call.Transient["writes"])))
			b.ReportAllocs()
			for b.Loop() {
				response, tx := c.Invoke(operators()[atlas].chaincode, call)
				if response.GetStatus() != shim.OK || len(tx.Writes()) != n {
					b.Fatal(response.GetMessage())
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "opinions/s")
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, writers := range []int{1, 3, 48} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			c := newChannel(b)
			for i := range writers {
				msp := []string{atlas, borealis, corvus}[i%3]
				o := opine(b, msp, extension, nil, bad(8), good(1))
				o.Writer = int64(i/3 + 1)
				c.do(record(b, msp, o))
			}
			call := as(atlas, ledger.RoleAuditor, "reputation:Get", "1", extension)
			b.ReportAllocs()
			for b.Loop() {
				if response, _ := c.Invoke(operators()[atlas].chaincode, call); response.GetStatus() != shim.OK {
					b.Fatal(response.GetMessage())
				}
			}
		})
	}
}
