package ledger_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
)

func TestEveryPolicyHasANameAndADefaultThatIsWellFormed(t *testing.T) {
	names := ledger.PolicyNames()
	require.True(t, slices.IsSorted(names))
	for _, name := range names {
		require.NoError(t, ledger.CheckPolicyName(name))
		standard, err := ledger.DefaultPolicy(name)
		if name == ledger.PolicyConsortium {
			require.Equal(t, ledger.CodeNotFound, ledger.AsError(err).Code)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, name, standard.Policy.Name())
		require.NoError(t, standard.Policy.Check())
		canonical, err := ledger.Canonical(standard)
		require.NoError(t, err)
		require.LessOrEqual(t, len(canonical), ledger.MaxPolicyBytes)
		var back ledger.PolicyVersion
		require.NoError(t, ledger.DecodeStrict(canonical, &back))
		require.Equal(t, *standard, back)
	}
	require.Error(t, ledger.CheckPolicyName("nothing"))
	none := ledger.Policy{V: ledger.SchemaVersion}
	require.Empty(t, none.Name())
	require.ErrorContains(t, none.Check(), "holds 0")
}

// TestADocumentIsDecidedByMembersAndNewcomers draws consortiums and votes, and
// compares with the rule as it is said.
func TestADocumentIsDecidedByMembersAndNewcomers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		everyone := []string{"AMSP", "BMSP", "CMSP", "DMSP", "EMSP", "FMSP"}
		some := func(label string) []string {
			size := rapid.IntRange(3, len(everyone)).Draw(t, label)
			chosen := slices.Clone(rapid.Permutation(everyone).Draw(t, label+" who"))[:size]
			slices.Sort(chosen)
			return chosen
		}
		members := some("members")
		inForce := &ledger.ConsortiumPolicy{Operators: members, Votes: int64(rapid.IntRange(len(members)/2+1, len(members)).Draw(t, "votes"))}
		proposed := some("proposed")
		document := &ledger.Policy{Consortium: &ledger.ConsortiumPolicy{Operators: proposed, Votes: int64(len(proposed))}, V: ledger.SchemaVersion}
		require.NoError(t, document.Check())
		if rapid.Bool().Draw(t, "not founded") {
			inForce = nil
		}
		electorate, err := ledger.ElectorateOf(inForce, document)
		require.NoError(t, err)

		agenda := &ledger.Agenda{}
		for _, msp := range rapid.Permutation(everyone).Draw(t, "order")[:rapid.IntRange(0, len(everyone)).Draw(t, "voters")] {
			agenda.Cast("d", ledger.Vote{MSP: msp})
			require.Equal(t, "d", agenda.VoteOf(msp))
		}
		voted := func(msp string) bool { return agenda.VoteOf(msp) != "" }
		var want bool
		if inForce == nil {
			want = !slices.ContainsFunc(proposed, func(msp string) bool { return !voted(msp) })
		} else {
			count := int64(0)
			for _, msp := range members {
				if voted(msp) {
					count++
				}
			}
			want = count >= inForce.Votes
			for _, msp := range proposed {
				want = want && (slices.Contains(members, msp) || voted(msp))
			}
		}
		var votes []ledger.Vote
		if tally := agenda.Tally("d"); tally != nil {
			votes = tally.Votes
		}
		require.Equal(t, want, electorate.Decides(votes))
		for _, vote := range slices.Clone(votes) {
			agenda.Withdraw(vote.MSP)
		}
		require.Empty(t, agenda.Ballots, "a ballot without votes is off the agenda")
	})
}

func TestNothingElseIsVotedOnBeforeTheConsortiumIsFounded(t *testing.T) {
	standard, err := ledger.DefaultPolicy(ledger.PolicyRetention)
	require.NoError(t, err)
	_, err = ledger.ElectorateOf(nil, &standard.Policy)
	require.Equal(t, ledger.CodeState, ledger.AsError(err).Code)
}
