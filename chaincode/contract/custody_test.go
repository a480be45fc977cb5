package contract_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

// closed is when the fixture's recordings were closed, ended when its legs were
// over.
var (
	closed = noon.Add(31 * time.Second)
	ended  = noon.Add(30 * time.Second)
)

const day = 24 * time.Hour

// digit is a SHA-256 of one repeated digit.
func digit(d string) string { return strings.Repeat(d, 64) }

// on is the call, made at another time.
func on(at time.Time, call stub.Call) stub.Call {
	call.Time = at
	return call
}

// hold is the call by which Atlas's compliance places a case.
func hold(t testing.TB, linkedID string, request ledger.HoldRequest) stub.Call {
	return as(atlas, ledger.RoleCompliance, "recordings:Hold", atlas, "pbx1", linkedID, canonical(t, request))
}

func release(linkedID, caseDigest string, after int64) stub.Call {
	return as(atlas, ledger.RoleCompliance, "recordings:Release", atlas, "pbx1", linkedID, caseDigest, number(after))
}

func retain(id string, revision int64, until time.Time) stub.Call {
	return as(atlas, ledger.RoleCompliance, "recordings:Retain", atlas, "pbx1", id, number(revision), ledger.TimeOf(until).String())
}

// custody is what any member sees at a time.
func (c *channel) custody(at time.Time, args ...string) ledger.Custody {
	c.t.Helper()
	var custody ledger.Custody
	c.ask(on(at, as(corvus, ledger.RoleAuditor, args...)), &custody)
	return custody
}

func TestSeveralCasesHoldAConversation(t *testing.T) {
	c, first, _, id := populated(t)
	state := []string{"recordings:State", atlas, "pbx1", id, "1"}
	require.Nil(t, c.custody(noon, state...).Hold)

	c.do(hold(t, first, ledger.HoldRequest{CaseDigest: digit("b"), Reason: ledger.HoldDispute, Until: ledger.TimeOf(noon.Add(10 * day))}))
	message := c.refuse(ledger.CodeState, hold(t, first, ledger.HoldRequest{CaseDigest: digit("a"), Reason: ledger.HoldCourtOrder}))
	require.Contains(t, message, "at version 1, not 0")
	c.do(hold(t, first, ledger.HoldRequest{After: 1, CaseDigest: digit("a"), Reason: ledger.HoldCourtOrder}))

	standing := c.custody(noon.Add(2*time.Hour), state...).Hold
	require.NotNil(t, standing)
	require.Equal(t, []string{digit("a"), digit("b")}, []string{standing.Cases[0].CaseDigest, standing.Cases[1].CaseDigest})
	require.Equal(t, int64(2), standing.N)
	// A leg of the conversation is held too, and one of another is not.
	require.NotNil(t, c.custody(noon.Add(2*time.Hour), "calls:State", atlas, "pbx1", first, leg(first, 1).UniqueID, "1").Hold)
	require.Nil(t, c.custody(noon.Add(2*time.Hour), "calls:State", atlas, "pbx1", "pbx1-1772366400.100", leg("", 0).UniqueID, "0").Hold)
	// One lets go by itself, exactly then.
	require.Len(t, c.custody(noon.Add(10*day-time.Millisecond), state...).Hold.Cases, 2)
	require.Len(t, c.custody(noon.Add(10*day), state...).Hold.Cases, 1)

	c.refuse(ledger.CodeNotFound, release(first, digit("c"), 2))
	c.refuse(ledger.CodeState, release(first, digit("a"), 1))
	c.do(release(first, digit("a"), 2))
	require.Equal(t, digit("b"), c.custody(noon.Add(2*time.Hour), state...).Hold.Cases[0].CaseDigest, "the other case goes on holding")
	// A case is placed anew with another end.
	c.do(hold(t, first, ledger.HoldRequest{After: 3, CaseDigest: digit("b"), Reason: ledger.HoldRegulator}))
	c.do(release(first, digit("b"), 4))
	require.Nil(t, c.custody(noon.Add(2*time.Hour), state...).Hold)

	var history []ledger.Hold
	c.ask(as(borealis, ledger.RoleAuditor, "recordings:Holds", atlas, "pbx1", first), &history)
	require.Len(t, history, 5)
	for i, version := range history {
		require.Equal(t, int64(i+1), version.N)
		require.Equal(t, first, version.LinkedID)
		require.Equal(t, atlas, version.MSP)
	}
	changes := []string{}
	for _, version := range history {
		changes = append(changes, version.Change+" "+version.CaseDigest[:1])
	}
	require.Equal(t, []string{"placed b", "placed a", "released a", "placed b", "released b"}, changes)
	c.ask(as(borealis, ledger.RoleAuditor, "recordings:Holds", atlas, "pbx1", "never"), &history)
	require.Empty(t, history)

	// What is not there yet may be held, as a live call.
	c.do(hold(t, "pbx1-1772366400.999", ledger.HoldRequest{CaseDigest: digit("a"), Reason: ledger.HoldInvestigation}))
}

func TestTwentyCasesAreTheMost(t *testing.T) {
	c, first, _, _ := populated(t)
	for i := range 20 {
		until := ledger.Time{}
		if i == 0 {
			until = ledger.TimeOf(noon.Add(2 * time.Hour))
		}
		c.do(hold(t, first, ledger.HoldRequest{After: int64(i), CaseDigest: fmt.Sprintf("%064x", i), Reason: ledger.HoldDispute, Until: until}))
	}
	one := hold(t, first, ledger.HoldRequest{After: 20, CaseDigest: digit("f"), Reason: ledger.HoldDispute})
	c.refuse(ledger.CodeTooLarge, one)
	c.do(on(noon.Add(2*time.Hour), one))
	require.Len(t, c.custody(noon.Add(3*time.Hour), "calls:State", atlas, "pbx1", first, leg(first, 0).UniqueID, "0").Hold.Cases, 20)
}

func TestRetention(t *testing.T) {
	c, _, _, id := populated(t)
	state := []string{"recordings:State", atlas, "pbx1", id, "1"}
	until := func() time.Time { return c.custody(noon, state...).RetentionUntil.Std() }
	require.Equal(t, closed.Add(180*day), until(), "the default")

	c.do(retain(id, 1, closed.Add(400*day)))
	require.Equal(t, closed.Add(400*day), until())
	c.do(retain(id, 1, closed.Add(30*day)))
	require.Equal(t, closed.Add(30*day), until())
	message := c.refuse(ledger.CodeState, retain(id, 1, closed.Add(30*day-time.Millisecond)))
	require.Contains(t, message, "until "+ledger.TimeOf(closed.Add(30*day)).String()+" at least")
	c.refuse(ledger.CodeState, retain(id, 1, closed.Add(3652*day+time.Millisecond)))
	c.do(retain(id, 1, closed.Add(3652*day)))
	require.Equal(t, closed.Add(3652*day), until())

	// The same again writes nothing.
	response, tx := c.simulate(retain(id, 1, closed.Add(3652*day)))
	require.EqualValues(t, shim.OK, response.GetStatus())
	require.Empty(t, tx.Writes())

	var history []ledger.Retention
	c.ask(as(corvus, ledger.RoleAuditor, "recordings:Retentions", atlas, "pbx1", id, "1"), &history)
	require.Len(t, history, 3)
	require.Equal(t, int64(3), history[2].N)
	require.Equal(t, closed.Add(400*day), history[0].Until.Std())
	require.Equal(t, closed.Add(180*day), c.custody(noon, "recordings:State", atlas, "pbx1", id, "2").RetentionUntil.Std(), "a revision has its own term")

	require.Equal(t, ended.Add(365*day), c.custody(noon, "calls:State", atlas, "pbx1", "pbx1-1772366400.10", leg("", 0).UniqueID, "0").RetentionUntil.Std())
	c.refuse(ledger.CodeNotFound, retain(hexOf(16), 1, closed.Add(50*day)))
}

func TestARecordingSaysItsOwnTermWithinThePolicysBounds(t *testing.T) {
	for name, one := range map[string]struct{ asked, kept time.Duration }{
		"as asked": {90 * day, 90 * day}, "too short": {time.Hour, 30 * day}, "too long": {9999 * day, 3652 * day},
	} {
		t.Run(name, func(t *testing.T) {
			c := enrolled(t)
			record := recordingRecord(leg("pbx1-1", 0), hexOf(16), 1, hexOf(32))
			record.Recording.RetentionUntil = ledger.TimeOf(closed.Add(one.asked))
			record.V = 2
			record.Recording.Pauses = []ledger.Pause{{FromMS: 1000, Reason: ledger.PauseCard, ToMS: 2000}}
			c.anchored(segment(t, atlas, 1, []ledger.Record{record}))
			custody := c.custody(noon, "recordings:State", atlas, "pbx1", hexOf(16), "1")
			require.Equal(t, closed.Add(one.kept), custody.RetentionUntil.Std())
			require.Equal(t, record.Recording.Pauses, custody.Pauses)
			require.Equal(t, ledger.StateAnchored, custody.State)
		})
	}
}

func TestOnlyTheOwnersComplianceDecidesCustody(t *testing.T) {
	c, first, _, id := populated(t)
	placed := ledger.HoldRequest{CaseDigest: digit("a"), Reason: ledger.HoldDispute}
	c.do(hold(t, first, placed))
	for msp, member := range operators() {
		for role := range member.roles {
			if msp == atlas && role == ledger.RoleCompliance {
				continue
			}
			for _, call := range []stub.Call{
				hold(t, first, ledger.HoldRequest{After: 1, CaseDigest: digit("b"), Reason: ledger.HoldDispute}),
				release(first, digit("a"), 1), retain(id, 1, closed.Add(50*day)),
			} {
				call.Creator, call.PeerMSP = member.roles[role].Creator(), msp
				c.refuse(ledger.CodeDenied, call)
			}
		}
	}
}

func TestMalformedCustody(t *testing.T) {
	c, first, _, id := populated(t)
	good := canonical(t, ledger.HoldRequest{CaseDigest: digit("a"), Reason: ledger.HoldDispute, Until: ledger.TimeOf(noon.Add(day))})
	for name, text := range map[string]string{
		"nothing": "", "null": "null", "not JSON": "hold", "an array": "[]", "not UTF-8": "\xff",
		"an unknown member":    strings.Replace(good, `"after"`, `"name":"+351912345678","after"`, 1),
		"an unknown reason":    strings.Replace(good, ledger.HoldDispute, "because Beatriz said so", 1),
		"no reason":            strings.Replace(good, ledger.HoldDispute, "", 1),
		"a case that is named": strings.Replace(good, digit("a"), "case 17", 1),
		"a negative version":   strings.Replace(good, `"after":0`, `"after":-1`, 1),
		"a float":              strings.Replace(good, `"after":0`, `"after":0.5`, 1),
		"too large a version":  strings.Replace(good, `"after":0`, `"after":9007199254740993`, 1),
		"an end that passed":   strings.Replace(good, "2026-03-02", "2026-03-01", 1),
		"no time":              strings.Replace(good, "2026-03-02T", "tomorrow", 1),
	} {
		message := c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleCompliance, "recordings:Hold", atlas, "pbx1", first, text))
		require.NotContains(t, message, "912345678", name)
		require.NotContains(t, message, "Beatriz", name)
	}
	for _, call := range []stub.Call{
		release(first, "case 17", 0), release(first, digit("A"), 0), release(first, digit("a"), -1),
		as(atlas, ledger.RoleCompliance, "recordings:Release", atlas, "pbx1", "a b", digit("a"), "0"),
		as(atlas, ledger.RoleCompliance, "recordings:Hold", atlas, "", first, good),
		as(atlas, ledger.RoleCompliance, "recordings:Hold", atlas, "pbx1", "\x00", good),
		as(atlas, ledger.RoleCompliance, "recordings:Retain", atlas, "pbx1", id, "1", "tomorrow"),
		as(atlas, ledger.RoleCompliance, "recordings:Retain", atlas, "pbx1", id, "1", ""),
		as(atlas, ledger.RoleCompliance, "recordings:Retain", atlas, "pbx1", id, "1", "2026-09-01T00:00:00Z"),
		retain(id, 0, closed), retain("+351912345678", 1, closed), retain(id, -1, closed),
		as(atlas, ledger.RoleAuditor, "recordings:State", atlas, "pbx1", "x", "1"),
		as(atlas, ledger.RoleAuditor, "recordings:Holds", atlas, "pbx1", "\U0010ffff"),
		as(atlas, ledger.RoleAuditor, "recordings:Retentions", atlas, "pbx1", id, "0"),
		as(atlas, ledger.RoleAuditor, "calls:State", atlas, "pbx1", first, "", "0"),
	} {
		require.NotContains(t, c.refuse(ledger.CodeInvalid, call), "912345678", call.Args)
	}
	for _, call := range []stub.Call{
		as(atlas, ledger.RoleAuditor, "recordings:State", atlas, "pbx1", hexOf(16), "1"),
		as(atlas, ledger.RoleAuditor, "calls:State", atlas, "pbx1", "nobody", "x", "0"),
	} {
		c.refuse(ledger.CodeNotFound, call)
	}
}

// TestTwoHoldsAtOnce has two people act on the same version in one block.
func TestTwoHoldsAtOnce(t *testing.T) {
	c, first, _, _ := populated(t)
	_, one := c.simulate(hold(t, first, ledger.HoldRequest{CaseDigest: digit("a"), Reason: ledger.HoldDispute}))
	_, two := c.simulate(hold(t, first, ledger.HoldRequest{CaseDigest: digit("b"), Reason: ledger.HoldDispute}))
	require.Equal(t, []peer.TxValidationCode{peer.TxValidationCode_VALID, peer.TxValidationCode_MVCC_READ_CONFLICT}, c.Commit(one, two))
}

func FuzzHold(f *testing.F) {
	f.Add("pbx1-1772366400.10", canonical(f, ledger.HoldRequest{CaseDigest: digit("a"), Reason: ledger.HoldDispute, Until: ledger.TimeOf(noon.Add(day))}), digit("a"), int64(0))
	f.Add("x", "{}", "", int64(-1))
	c := withEverything(f)
	f.Fuzz(func(t *testing.T, linkedID, request, digest string, after int64) {
		fuzzed(t, c, ledger.RoleCompliance, nil, "recordings:Hold", atlas, "pbx1", linkedID, request)
		fuzzed(t, c, ledger.RoleCompliance, nil, "recordings:Release", atlas, "pbx1", linkedID, digest, number(after))
	})
}

func FuzzRetain(f *testing.F) {
	f.Add(strings.Repeat("ab", 16), int64(1), ledger.TimeOf(closed.Add(50*day)).String())
	f.Add("", int64(0), "9999-12-31T23:59:59.999Z")
	c := withEverything(f)
	f.Fuzz(func(t *testing.T, id string, revision int64, until string) {
		fuzzed(t, c, ledger.RoleCompliance, nil, "recordings:Retain", atlas, "pbx1", id, number(revision), until)
	})
}
