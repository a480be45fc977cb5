package contract_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

// council is the governance chaincode of a channel.
type council struct {
	*stub.World
	chaincode *contract.Chaincode
	t         testing.TB
}

// council is the channel's governance, to which calls go directly.
func (c *channel) council() *council {
	chaincode, err := contract.NewGovernance()
	require.NoError(c.t, err)
	return &council{World: c.governance, chaincode: chaincode, t: c.t}
}

// newCouncil is a governance chaincode in which nobody has voted.
func newCouncil(t testing.TB) *council { return newChannel(t).council() }

// founded is one whose consortium is founded.
func founded(t testing.TB) *council {
	c := newCouncil(t)
	c.found(2, atlas, borealis, corvus)
	return c
}

// found has all listed operators vote for their consortium.
func (c *council) found(votes int64, operators ...string) {
	c.t.Helper()
	state := c.propose(operators[0], consortium(votes, operators...))
	for _, msp := range operators[1:] {
		require.False(c.t, state.Enacted)
		state = c.vote(msp, state.Ballot)
	}
	require.True(c.t, state.Enacted)
}

// enact has a document that needs two votes put in force by Atlas and Borealis,
// after the consortium was founded where it was not.
func (c *channel) enact(policy ledger.Policy) {
	c.t.Helper()
	council := c.council()
	if council.Get(ledger.PolicyKey(ledger.PolicyConsortium)) == nil {
		council.found(2, atlas, borealis, corvus)
	}
	ballot := council.propose(atlas, policy).Ballot
	require.True(c.t, council.vote(borealis, ballot).Enacted)
}

// consortium is the document that founds or changes one.
func consortium(votes int64, operators ...string) ledger.Policy {
	return ledger.Policy{Consortium: &ledger.ConsortiumPolicy{Operators: operators, Votes: votes}, V: ledger.SchemaVersion}
}

// simulate runs a call and checks what must hold of each.
func (c *council) simulate(call stub.Call) (*peer.Response, *stub.Tx) {
	c.t.Helper()
	response, tx := c.Invoke(c.chaincode, call)
	require.False(c.t, tx.Scanned(), "governance reads points only")
	require.Nil(c.t, tx.Event())
	if response.GetStatus() >= shim.ERRORTHRESHOLD {
		requireCleanFailure(c.t, response, tx)
		return response, tx
	}
	for _, write := range tx.Writes() {
		require.NotEmpty(c.t, write.Value)
		objectType, _, err := ledger.SplitKey(write.Key)
		require.NoError(c.t, err)
		require.Contains(c.t, []string{ledger.TypePolicy, ledger.TypePolicyVersion, ledger.TypeBallot, ledger.TypeAgenda}, objectType)
	}
	return response, tx
}

// submit runs and commits a call that must succeed, and decodes its answer.
func (c *council) submit(call stub.Call) *ledger.BallotState {
	c.t.Helper()
	response, tx := c.simulate(call)
	require.EqualValues(c.t, shim.OK, response.GetStatus(), response.GetMessage())
	require.Equal(c.t, valid, c.Commit(tx)[0])
	var state ledger.BallotState
	require.NoError(c.t, ledger.DecodeStrict(response.GetPayload(), &state))
	return &state
}

func (c *council) ask(answer any, args ...string) {
	c.t.Helper()
	response, tx := c.simulate(as(corvus, ledger.RoleAuditor, args...))
	require.EqualValues(c.t, shim.OK, response.GetStatus(), response.GetMessage())
	require.Empty(c.t, tx.Writes())
	require.NoError(c.t, ledger.DecodeStrict(response.GetPayload(), answer))
}

func (c *council) refuse(code ledger.Code, call stub.Call) string {
	c.t.Helper()
	response, _ := c.simulate(call)
	require.GreaterOrEqual(c.t, int(response.GetStatus()), shim.ERRORTHRESHOLD, "it succeeded")
	coded, _ := ledger.ParseError(response.GetMessage())
	require.Equal(c.t, code, coded.Code, coded.Message)
	return coded.Message
}

func (c *council) propose(msp string, policy ledger.Policy) *ledger.BallotState {
	c.t.Helper()
	return c.submit(proposal(c.t, msp, policy))
}

func (c *council) vote(msp string, ballot ledger.Ballot) *ledger.BallotState {
	c.t.Helper()
	return c.submit(ballotCall(msp, "governance:Vote", ballot))
}

func (c *council) current(name string) ledger.PolicyVersion {
	c.t.Helper()
	var current ledger.PolicyVersion
	c.ask(&current, "governance:Current", name)
	return current
}

func (c *council) pending() []ledger.BallotState {
	c.t.Helper()
	var pending []ledger.BallotState
	c.ask(&pending, "governance:Pending")
	return pending
}

func proposal(t testing.TB, msp string, policy ledger.Policy) stub.Call {
	t.Helper()
	return as(msp, ledger.RoleAdmin, "governance:Propose", canonical(t, &policy))
}

func ballotCall(msp, function string, ballot ledger.Ballot) stub.Call {
	return as(msp, ledger.RoleAdmin, function, ballot.Name, strconv.FormatInt(ballot.Version, 10), ballot.Digest)
}

const valid = peer.TxValidationCode_VALID

// document is a policy of one of the kinds, that is not the built-in default.
func document(t testing.TB) ledger.Policy {
	t.Helper()
	standard, err := ledger.DefaultPolicy(ledger.PolicyReconciliation)
	require.NoError(t, err)
	return standard.Policy
}

func TestAllOperatorsFoundTheConsortium(t *testing.T) {
	c := newCouncil(t)
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, "governance:Current", ledger.PolicyConsortium))
	require.Contains(t, c.refuse(ledger.CodeState, proposal(t, atlas, document(t))), "founded")

	policy := consortium(2, atlas, borealis, corvus)
	state := c.propose(atlas, policy)
	require.False(t, state.Enacted)
	require.EqualValues(t, 1, state.Ballot.Version)
	require.EqualValues(t, 3, state.Electorate.Needed, "all, whatever the document itself asks of later ones")
	digest, err := policy.Digest()
	require.NoError(t, err)
	require.Equal(t, digest, state.Ballot.Digest)
	require.Equal(t, ledger.Digest([]byte(`{"consortium":{"operators":["AtlasMSP","BorealisMSP","CorvusMSP"],"votes":2},"v":3}`)), digest, "anyone can compute it")

	state = c.vote(borealis, state.Ballot)
	require.False(t, state.Enacted, "two of three do not found it")
	require.Len(t, state.Votes, 2)
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, "governance:Current", ledger.PolicyConsortium))
	require.Len(t, c.pending(), 1)

	last := ballotCall(corvus, "governance:Vote", state.Ballot)
	last.TxID, last.Time = "the-last", noon.Add(2*time.Hour)
	state = c.submit(last)
	require.True(t, state.Enacted)
	require.Empty(t, c.pending())
	require.Equal(t, ledger.PolicyVersion{Name: ledger.PolicyConsortium, Policy: policy, V: ledger.SchemaVersion, Version: 1}, c.current(ledger.PolicyConsortium))

	var history []ledger.Enactment
	c.ask(&history, "governance:History", ledger.PolicyConsortium)
	require.Len(t, history, 1)
	first := history[0]
	require.Equal(t, policy, first.Policy)
	require.Equal(t, atlas, first.Proposer)
	require.Equal(t, "the-last", first.TxID)
	require.Equal(t, ledger.TimeOf(noon.Add(2*time.Hour)), first.EnactedAt)
	var voters []string
	for _, vote := range first.Votes {
		voters = append(voters, vote.MSP)
		require.NotEmpty(t, vote.TxID)
		require.False(t, vote.At.IsZero())
	}
	require.Equal(t, []string{atlas, borealis, corvus}, voters)
	var version ledger.Enactment
	c.ask(&version, "governance:Version", ledger.PolicyConsortium, "1")
	require.Equal(t, first, version)
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, "governance:Version", ledger.PolicyConsortium, "2"))
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, "governance:Version", ledger.PolicyConsortium, "0"))
}

func TestNoConsortiumIsFoundedOverItsOperatorsHeads(t *testing.T) {
	c := newCouncil(t)
	require.Contains(t, c.refuse(ledger.CodeDenied, proposal(t, corvus, consortium(2, atlas, borealis, "DriftMSP"))), "no vote")
	ballot := c.propose(atlas, consortium(2, atlas, borealis, "DriftMSP")).Ballot
	c.refuse(ledger.CodeDenied, ballotCall(corvus, "governance:Vote", ballot))
	require.False(t, c.vote(borealis, ballot).Enacted)
	for _, bad := range []ledger.Policy{
		consortium(2, atlas, borealis), consortium(1, atlas, borealis, corvus), consortium(4, atlas, borealis, corvus),
		consortium(2, borealis, atlas, corvus), consortium(2, atlas, atlas, borealis), consortium(2, atlas, borealis, "Corvus MSP"),
	} {
		c.refuse(ledger.CodeInvalid, proposal(t, corvus, bad))
	}
}

func TestOneOperatorAloneChangesNoPolicy(t *testing.T) {
	c := founded(t)
	before := c.current(ledger.PolicyReconciliation)
	require.Zero(t, before.Version)
	ballot := c.propose(atlas, document(t)).Ballot
	require.Equal(t, before, c.current(ledger.PolicyReconciliation))

	// Neither by voting again, nor by proposing it again, nor as somebody else.
	require.Contains(t, c.refuse(ledger.CodeExists, ballotCall(atlas, "governance:Vote", ballot)), "has voted")
	c.refuse(ledger.CodeExists, proposal(t, atlas, document(t)))
	second, err := operators()[atlas].authority.Issue(stub.Request{Name: "second admin", Attributes: map[string]string{ledger.AttributeRole: string(ledger.RoleAdmin)}})
	require.NoError(t, err)
	call := ballotCall(atlas, "governance:Vote", ballot)
	call.Creator = second.Creator()
	require.Contains(t, c.refuse(ledger.CodeExists, call), "has voted", "an operator has one vote, however many admins")
	require.Equal(t, before, c.current(ledger.PolicyReconciliation))

	require.True(t, c.vote(corvus, ballot).Enacted)
	require.EqualValues(t, 1, c.current(ledger.PolicyReconciliation).Version)
	require.Contains(t, c.refuse(ledger.CodeState, ballotCall(borealis, "governance:Vote", ballot)), "was decided")
	c.refuse(ledger.CodeExists, proposal(t, borealis, document(t)))
}

func TestOnlyAdminsOfTheConsortiumVote(t *testing.T) {
	c := founded(t)
	ballot := c.propose(atlas, document(t)).Ballot
	stranger, err := stub.NewAuthority("DriftMSP")
	require.NoError(t, err)
	admin, err := stranger.Issue(stub.Request{Attributes: map[string]string{ledger.AttributeRole: string(ledger.RoleAdmin)}})
	require.NoError(t, err)
	plain, err := operators()[borealis].authority.Issue(stub.Request{})
	require.NoError(t, err)
	creators := map[string][]byte{"a stranger": admin.Creator(), "no role": plain.Creator(), "nobody": nil}
	for role, identity := range operators()[borealis].roles {
		if role != ledger.RoleAdmin {
			creators[string(role)] = identity.Creator()
		}
	}
	for name, creator := range creators {
		t.Run(name, func(t *testing.T) {
			for _, call := range []stub.Call{
				ballotCall(borealis, "governance:Vote", ballot), ballotCall(borealis, "governance:Withdraw", ballot),
				proposal(t, borealis, consortium(3, atlas, borealis, corvus)),
			} {
				call.Creator = creator
				response, tx := c.Invoke(c.chaincode, call)
				requireCleanFailure(t, response, tx)
				coded, _ := ledger.ParseError(response.GetMessage())
				if name == "a stranger" && call.Args[0] == "governance:Withdraw" {
					require.Equal(t, ledger.CodeState, coded.Code, "it has not voted")
				} else {
					require.Equal(t, ledger.CodeDenied, coded.Code, coded.Message)
				}
			}
		})
	}
	require.Len(t, c.pending()[0].Votes, 1)
}

func TestAVoteCanBeWithdrawn(t *testing.T) {
	c := founded(t)
	ballot := c.propose(atlas, document(t)).Ballot
	c.refuse(ledger.CodeState, ballotCall(borealis, "governance:Withdraw", ballot))
	state := c.submit(ballotCall(atlas, "governance:Withdraw", ballot))
	require.Empty(t, state.Votes)
	require.Empty(t, c.pending(), "a ballot without votes is off the agenda")
	c.refuse(ledger.CodeNotFound, ballotCall(atlas, "governance:Withdraw", ballot))
	c.refuse(ledger.CodeNotFound, ballotCall(borealis, "governance:Vote", ballot))
	require.Zero(t, c.current(ledger.PolicyReconciliation).Version)

	// Proposed anew by another, it needs both votes again.
	again := c.propose(borealis, document(t))
	require.Equal(t, borealis, again.Ballot.Proposer)
	require.Equal(t, ballot.Digest, again.Ballot.Digest)
	require.True(t, c.vote(atlas, again.Ballot).Enacted)
	require.Contains(t, c.refuse(ledger.CodeState, ballotCall(atlas, "governance:Withdraw", ballot)), "was decided")
}

func TestTwoBallotsAtOnce(t *testing.T) {
	c := founded(t)
	one := c.propose(atlas, consortium(3, atlas, borealis, corvus)).Ballot
	other := c.propose(borealis, consortium(3, atlas, borealis, corvus, "DriftMSP")).Ballot
	require.Equal(t, one.Version, other.Version)
	require.Len(t, c.pending(), 2)
	// An operator has one vote for a version.
	require.Contains(t, c.refuse(ledger.CodeState, ballotCall(atlas, "governance:Vote", other)), one.Digest)
	require.Contains(t, c.refuse(ledger.CodeState, proposal(t, atlas, consortium(2, atlas, borealis, "DriftMSP"))), "withdraw")
	require.True(t, c.vote(corvus, one).Enacted)
	require.Empty(t, c.pending(), "the other was for a version that is decided")
	c.refuse(ledger.CodeState, ballotCall(corvus, "governance:Vote", other))
	c.refuse(ledger.CodeState, ballotCall(borealis, "governance:Withdraw", other))
	// Its content can be proposed for the next.
	next := c.propose(borealis, other.Policy).Ballot
	require.EqualValues(t, 3, next.Version)
}

func TestOfTwoVotesAtOnceNoneIsLost(t *testing.T) {
	c := newCouncil(t)
	ballot := c.propose(atlas, consortium(2, atlas, borealis, corvus)).Ballot
	_, first := c.simulate(ballotCall(borealis, "governance:Vote", ballot))
	_, second := c.simulate(ballotCall(corvus, "governance:Vote", ballot))
	require.Equal(t, []peer.TxValidationCode{valid, peer.TxValidationCode_MVCC_READ_CONFLICT}, c.Commit(first, second))
	require.True(t, c.vote(corvus, ballot).Enacted, "made again, it counts")
}

func TestAConsortiumGrows(t *testing.T) {
	c := founded(t)
	drift, err := stub.NewAuthority("DriftMSP")
	require.NoError(t, err)
	admin, err := drift.Issue(stub.Request{Attributes: map[string]string{ledger.AttributeRole: string(ledger.RoleAdmin)}})
	require.NoError(t, err)
	byDrift := func(call stub.Call) stub.Call {
		call.Creator = admin.Creator()
		return call
	}
	grown := consortium(3, atlas, borealis, corvus, "DriftMSP")
	// The one that joins may propose it.
	state := c.submit(byDrift(proposal(t, atlas, grown)))
	require.Equal(t, ledger.Electorate{Joining: []string{"DriftMSP"}, Needed: 2, Operators: []string{atlas, borealis, corvus}}, state.Electorate)
	require.False(t, c.vote(atlas, state.Ballot).Enacted, "the newcomer's vote is none of the two")
	require.True(t, c.vote(borealis, state.Ballot).Enacted)
	require.Equal(t, grown, c.current(ledger.PolicyConsortium).Policy)

	// From now on it takes three of four, and the newcomer has a vote.
	ballot := c.propose(atlas, document(t)).Ballot
	require.False(t, c.vote(borealis, ballot).Enacted)
	require.True(t, c.submit(byDrift(ballotCall(atlas, "governance:Vote", ballot))).Enacted)

	t.Run("not against the newcomer's will", func(t *testing.T) {
		c := founded(t)
		ballot := c.propose(atlas, grown).Ballot
		require.False(t, c.vote(borealis, ballot).Enacted)
		require.False(t, c.vote(corvus, ballot).Enacted, "all members, but not the newcomer")
		require.True(t, c.submit(byDrift(ballotCall(atlas, "governance:Vote", ballot))).Enacted)
	})
	t.Run("who left has no vote, and its votes do not count", func(t *testing.T) {
		ballot := c.submit(byDrift(proposal(t, atlas, consortium(4, atlas, borealis, corvus, "DriftMSP")))).Ballot
		other := c.propose(corvus, ledger.Policy{Retention: retention(t), V: ledger.SchemaVersion}).Ballot
		c.submit(byDrift(ballotCall(atlas, "governance:Vote", other)))
		c.submit(byDrift(ballotCall(atlas, "governance:Withdraw", ballot)))
		gone := c.propose(atlas, consortium(2, atlas, borealis, corvus)).Ballot
		c.vote(borealis, gone)
		require.True(t, c.vote(corvus, gone).Enacted, "three of four put one out")
		c.refuse(ledger.CodeDenied, byDrift(ballotCall(atlas, "governance:Vote", other)))
		require.True(t, c.vote(atlas, other).Enacted)
		var history []ledger.Enactment
		c.ask(&history, "governance:History", ledger.PolicyConsortium)
		require.Len(t, history, 3)
		for i, version := range history {
			require.EqualValues(t, i+1, version.Version)
		}
	})
}

func retention(t testing.TB) *ledger.RetentionPolicy {
	t.Helper()
	standard, err := ledger.DefaultPolicy(ledger.PolicyRetention)
	require.NoError(t, err)
	return standard.Policy.Retention
}

func TestEveryDocumentButTheConsortiumHasADefault(t *testing.T) {
	c := newCouncil(t)
	for _, name := range ledger.PolicyNames() {
		if name == ledger.PolicyConsortium {
			continue
		}
		current := c.current(name)
		require.Equal(t, name, current.Policy.Name())
		require.Zero(t, current.Version)
		require.NoError(t, current.Policy.Check())
		var version ledger.Enactment
		c.ask(&version, "governance:Version", name, "0")
		require.Equal(t, current.Policy, version.Policy)
		require.Empty(t, version.Votes)
		var history []ledger.Enactment
		c.ask(&history, "governance:History", name)
		require.Empty(t, history)
	}
}

func TestBadGovernanceInput(t *testing.T) {
	c := founded(t)
	good := canonical(t, &ledger.Policy{Reconciliation: document(t).Reconciliation, V: ledger.SchemaVersion})
	ballot := c.propose(atlas, document(t)).Ballot
	for _, test := range []struct {
		code ledger.Code
		args []string
	}{
		{ledger.CodeInvalid, []string{"governance:Propose", ""}},
		{ledger.CodeInvalid, []string{"governance:Propose", "{}"}},
		{ledger.CodeInvalid, []string{"governance:Propose", `{"v":2}`}},
		{ledger.CodeInvalid, []string{"governance:Propose", strings.Replace(good, `"v":3`, `"v":1`, 1)}},
		{ledger.CodeInvalid, []string{"governance:Propose", strings.Replace(good, `"v":3`, `"v":4`, 1)}},
		{ledger.CodeInvalid, []string{"governance:Propose", strings.Replace(good, `"v":3`, `"v":2.5`, 1)}},
		{ledger.CodeInvalid, []string{"governance:Propose", `{"consortium":{"operators":[],"votes":1},"v":2}`}},
		{ledger.CodeInvalid, []string{"governance:Propose", `{"consortium":{"operators":["A","B","C"],"votes":2},"reconciliation":{},"v":2}`}},
		{ledger.CodeInvalid, []string{"governance:Propose", `{"consortium":{"operators":["A","B","C"],"votes":2,"votes":3},"v":2}`}},
		{ledger.CodeInvalid, []string{"governance:Propose", `{"unknown":{},"v":2}`}},
		{ledger.CodeInvalid, []string{"governance:Propose", "\xff"}},
		{ledger.CodeTooLarge, []string{"governance:Propose", strings.Repeat(" ", 10<<20)}},
		{ledger.CodeInvalid, []string{"governance:Vote", "nothing", "1", ballot.Digest}},
		{ledger.CodeInvalid, []string{"governance:Vote", ballot.Name, "0", ballot.Digest}},
		{ledger.CodeInvalid, []string{"governance:Vote", ballot.Name, "-1", ballot.Digest}},
		{ledger.CodeInvalid, []string{"governance:Vote", ballot.Name, "1.0", ballot.Digest}},
		{ledger.CodeInvalid, []string{"governance:Vote", ballot.Name, "9007199254740992", ballot.Digest}},
		{ledger.CodeInvalid, []string{"governance:Vote", ballot.Name, "1", strings.ToUpper(ballot.Digest)}},
		{ledger.CodeInvalid, []string{"governance:Vote", ballot.Name, "1", ""}},
		{ledger.CodeNotFound, []string{"governance:Vote", ballot.Name, "2", ballot.Digest}},
		{ledger.CodeNotFound, []string{"governance:Vote", ballot.Name, "1", hexOf(32)}},
		{ledger.CodeNotFound, []string{"governance:Vote", ledger.PolicyRetention, "1", ballot.Digest}},
		{ledger.CodeNotFound, []string{"governance:Withdraw", ballot.Name, "1", hexOf(32)}},
		{ledger.CodeInvalid, []string{"governance:Withdraw", "a\x00b", "1", ballot.Digest}},
		{ledger.CodeInvalid, []string{"governance:Current", "\U0010ffff"}},
		{ledger.CodeInvalid, []string{"governance:Current", ""}},
		{ledger.CodeInvalid, []string{"governance:Version", ballot.Name, "-1"}},
		{ledger.CodeInvalid, []string{"governance:Version", "x", "1"}},
		{ledger.CodeInvalid, []string{"governance:History", "x"}},
		{ledger.CodeInvalid, []string{"governance:Pending", "x"}},
		{ledger.CodeInvalid, []string{"calls:Anchor", "[]"}},
	} {
		c.refuse(test.code, as(borealis, ledger.RoleAdmin, test.args...))
	}
}

func TestAPolicyMayComeAsTransientData(t *testing.T) {
	c := founded(t)
	policy := document(t)
	call := as(atlas, ledger.RoleAdmin, "governance:Propose", "")
	call.Transient = map[string][]byte{"policy": []byte(canonical(t, &policy))}
	require.Equal(t, policy, c.submit(call).Ballot.Policy)
}

func TestBothChaincodesSayTheirVersion(t *testing.T) {
	c := newChannel(t)
	var about ledger.About
	c.ask(as(atlas, ledger.RoleAuditor, "about:Version"), &about)
	require.Equal(t, ledger.About{Chaincode: contract.Version, Governance: ledger.GovernanceChaincode, Schema: ledger.SchemaVersion, V: ledger.SchemaVersion}, about)
	var governance ledger.About
	c.council().ask(&governance, "about:Version")
	require.Equal(t, ledger.About{Chaincode: contract.Version, Schema: ledger.SchemaVersion, V: ledger.SchemaVersion}, governance)
}

// TestAValueOfANewerVersion checks that this chaincode, after a roll-back, says what
// the matter is instead of misreading what a newer one wrote.
func TestAValueOfANewerVersion(t *testing.T) {
	c := founded(t)
	tx := c.Begin(stub.Call{})
	require.NoError(t, tx.PutState(ledger.PolicyKey(ledger.PolicyReconciliation), []byte(`{"amended":true,"name":"reconciliation","policy":{"reconciliation":{},"v":4},"v":4,"version":7}`)))
	require.Equal(t, valid, c.Commit(tx)[0])
	require.Contains(t, c.refuse(ledger.CodeNewer, proposal(t, atlas, document(t))), "upgrade it")
	require.Contains(t, c.refuse(ledger.CodeNewer, as(atlas, ledger.RoleAuditor, "governance:Pending")), "upgrade it")
}

// FuzzPropose looks for a document that breaks the contract, and for one that does
// not come back as it was proposed.
func FuzzPropose(f *testing.F) {
	for _, name := range ledger.PolicyNames() {
		if standard, err := ledger.DefaultPolicy(name); err == nil {
			f.Add(canonical(f, &standard.Policy), false)
		}
	}
	f.Add(`{"consortium":{"operators":["AtlasMSP","BorealisMSP","CorvusMSP"],"votes":3},"v":2}`, true)
	f.Add(`{"consortium":{"operators":["AtlasMSP","BorealisMSP","CorvusMSP"],"votes":1e0},"v":2}`, true)
	f.Add(`{"v":2}`, false)
	c := founded(f)
	f.Fuzz(func(t *testing.T, policy string, hidden bool) {
		call := as(atlas, ledger.RoleAdmin, "governance:Propose", policy)
		if hidden {
			call.Args[1], call.Transient = "", map[string][]byte{"policy": []byte(policy)}
		}
		response, tx := c.Invoke(c.chaincode, call)
		if response.GetStatus() >= shim.ERRORTHRESHOLD {
			requireCleanFailure(t, response, tx)
			coded, _ := ledger.ParseError(response.GetMessage())
			require.NotEqual(t, ledger.CodeInternal, coded.Code, coded.Message)
			return
		}
		var state ledger.BallotState
		require.NoError(t, ledger.DecodeStrict(response.GetPayload(), &state))
		require.NoError(t, state.Ballot.Policy.Check())
		require.False(t, state.Enacted, "one vote decides nothing")
		digest, err := state.Ballot.Policy.Digest()
		require.NoError(t, err)
		require.Equal(t, digest, state.Ballot.Digest)
		for _, write := range tx.Writes() {
			objectType, _, err := ledger.SplitKey(write.Key)
			require.NoError(t, err)
			require.Contains(t, []string{ledger.TypeBallot, ledger.TypeAgenda}, objectType)
		}
	})
}
