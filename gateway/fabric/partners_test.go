package fabric

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/callseal/callseal/gateway/fault"
)

func TestPartnersTakeTurns(t *testing.T) {
	var told []string
	p := newPartners("AtlasMSP", []string{"BorealisMSP", "CorvusMSP"}, func(msp string, left bool) {
		if left {
			told = append(told, msp)
		}
	})
	firsts := map[string]int{}
	for range 10 {
		asked, again := p.choose()
		require.Len(t, asked, 2)
		require.Empty(t, again)
		firsts[asked[0].msp]++
	}
	require.Equal(t, map[string]int{"BorealisMSP": 5, "CorvusMSP": 5}, firsts)

	p.all[0].charge(nil)
	p.all[0].charge(errSlow)
	p.all[0].charge(nil) // An answer on its way all the time changes nothing.
	for range 10 {
		asked, again := p.choose()
		require.Len(t, asked, 1)
		require.Empty(t, again)
		require.Equal(t, "CorvusMSP", asked[0].msp, "one that failed is left out")
	}
	p.all[1].charge(errSlow)
	asked, again := p.choose()
	require.Empty(t, asked, "then the peer chooses by the endorsement policy")
	require.Empty(t, again)
	require.Equal(t, []string{"BorealisMSP", "CorvusMSP"}, told)

	asked, again = newPartners("AtlasMSP", nil, nil).choose()
	require.Empty(t, asked)
	require.Empty(t, again)
}

func TestBlamed(t *testing.T) {
	borealis := func(code codes.Code, text string) *fault.Error {
		return classify(fault.StageEndorse, "", fromPeer(t, code, text))
	}
	own := classify(fault.StageEndorse, "", fromPeer(t, codes.Aborted, "failed", "chaincode response 500, could not launch chaincode"))
	require.Equal(t, fault.Unavailable, own.Kind)
	require.False(t, blamed(own, "AtlasMSP"), "the own peer said it")
	require.True(t, blamed(own, "BorealisMSP"), "another's said it")
	require.True(t, blamed(borealis(codes.DeadlineExceeded, "endorsement timeout expired"), "AtlasMSP"))
	require.True(t, blamed(borealis(codes.Unavailable, "failed to find any endorsing peers for org(s): BorealisMSP"), "AtlasMSP"))
	require.False(t, blamed(borealis(codes.Unavailable, "connection error: desc = \"transport: Error while dialing\""), "AtlasMSP"), "the own peer is away")
	require.False(t, blamed(borealis(codes.Aborted, "ProposalResponsePayloads do not match"), "AtlasMSP"), "they merely disagree")
	require.False(t, blamed(borealis(codes.Aborted, "chaincode response 500, NOT_FOUND|no such call"), "AtlasMSP"), "the contract refused")
}
