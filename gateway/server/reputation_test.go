package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	arithmetic "github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/gateway/fault"
)

func TestAGatewayWithoutAConsortiumKey(t *testing.T) {
	s := &reputationService{}
	_, reporting := s.Report(t.Context(), &pb.ReportRequest{})
	_, asking := s.GetScore(t.Context(), &pb.GetScoreRequest{})
	_, listing := s.ListOpinions(t.Context(), &pb.ListOpinionsRequest{})
	for _, err := range []error{reporting, asking, listing} {
		require.Equal(t, fault.State, fault.Of(err).Kind)
		require.ErrorContains(t, err, "consortium_key_file")
	}
}

func TestEveryStandingHasItsMessage(t *testing.T) {
	seen := map[pb.Standing]bool{}
	for _, standing := range []arithmetic.Standing{
		arithmetic.StandingUnknown, arithmetic.StandingGood, arithmetic.StandingLow, arithmetic.StandingBlocked, arithmetic.StandingContested,
		arithmetic.StandingReported, arithmetic.StandingProvisional, arithmetic.StandingAllowed,
	} {
		message := reputationMessage(&ledger.Reputation{Standing: standing}, nil)
		require.NotEqual(t, pb.Standing_STANDING_UNSPECIFIED, message.GetStanding(), standing)
		seen[message.GetStanding()] = true
		require.Equal(t, standing == arithmetic.StandingBlocked || standing == arithmetic.StandingProvisional, message.GetBlocks())
	}
	require.Len(t, seen, len(pb.Standing_name)-1)
}

func TestReputationMessages(t *testing.T) {
	at := ledger.TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	until := ledger.TimeOf(at.Std().Add(time.Hour))
	message := reputationMessage(&ledger.Reputation{
		AllowedBy: []string{"BorealisMSP"}, Alone: []string{"AtlasMSP"}, At: at, Epoch: 3, Holders: 2, PolicyVersion: 7, Score: 2307,
		Standing: arithmetic.StandingProvisional, Subject: "ip:ab", Until: until,
	}, []byte("{}"))
	require.Equal(t, "ip:ab", message.GetSubject())
	require.EqualValues(t, 3, message.GetEpoch())
	require.EqualValues(t, 2307, message.GetScore())
	require.Equal(t, []string{"AtlasMSP"}, message.GetAlone())
	require.Equal(t, []string{"BorealisMSP"}, message.GetAllowedBy())
	require.Equal(t, at.Std(), message.GetAt().AsTime())
	require.Equal(t, until.Std(), message.GetUntil().AsTime())
	require.EqualValues(t, 2, message.GetHolders())
	require.EqualValues(t, 7, message.GetPolicyVersion())
	require.Equal(t, "{}", string(message.GetReputationJson()))

	listed := opinionsMessage(&ledger.Opinions{
		Opinions: []ledger.Opinion{
			{MSP: "AtlasMSP", Writer: 2, Seq: 9, Totals: ledger.Totals{Alpha: 1000, Beta: 8000, Failures: 8000, Attempts: 3000, At: at, NewestNegative: at}},
			{MSP: "BorealisMSP", Writer: 1, Seq: 1, Totals: ledger.Totals{Alpha: 1000, At: at, NewestPositive: at}},
		},
		Pardons: []ledger.Pardon{{MSP: "AtlasMSP", Until: until}, {MSP: "BorealisMSP", Until: at}},
	}, []byte("[]"), at)
	require.Len(t, listed.GetOpinions(), 2)
	first, second := listed.GetOpinions()[0], listed.GetOpinions()[1]
	require.EqualValues(t, 2307, first.GetScore())
	require.EqualValues(t, 9, first.GetSeq())
	require.EqualValues(t, 2, first.GetWriter())
	require.EqualValues(t, 8000, first.GetFailures())
	require.EqualValues(t, 3000, first.GetAttempts())
	require.Nil(t, first.GetNewestPositive())
	require.Equal(t, at.Std(), first.GetNewestNegative().AsTime())
	require.True(t, first.GetPardoned())
	require.False(t, second.GetPardoned(), "a pardon ends")
	require.EqualValues(t, 6000, second.GetScore())
}
