package adversary_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/adversary"
	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// window is what core.yaml allows a transaction's time to differ by.
const window = 30 * time.Second

// proposeAt proposes to anchor a segment of Corvus's at a time of its choice.
func (w *world) proposeAt(t *testing.T, segment *pb.SignedSegment, at time.Time) *adversary.Proposal {
	t.Helper()
	proposal, err := adversary.Propose(w.gateway, adversary.Invocation{
		Channel: w.Consortium().Channel, Chaincode: w.Consortium().Chaincode,
		Args: []string{"calls:Anchor", ""}, Transient: anchoring(t, segment), Time: at,
	})
	require.NoError(t, err)
	return proposal
}

func testShiftTime(t *testing.T, w *world) {
	for name, shift := range map[string]time.Duration{
		"a little into the past": -window - 3*time.Second, "a little into the future": window + 15*time.Second, // it comes nearer while it waits
		"years into the past": -20_000 * time.Hour, "years into the future": 20_000 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			segment := w.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))
			proposal := w.proposeAt(t, segment, time.Now().Add(shift))
			for _, name := range honest {
				_, err := adversary.Ask(within(t), w.peers[name], proposal)
				require.ErrorContains(t, err, "timestamp", "%s's peer takes it", name)
			}
			// Its own peer would have to sign without being asked, and is alone in it.
			truly := w.proposeAt(t, segment, time.Now())
			theirs := w.endorsed(t, atlas, truly)
			w.unharmed(t, func() {
				response, err := proposal.Rebind(theirs.GetPayload())
				require.NoError(t, err)
				require.Equal(t, notEndorsed, w.submitted(t, proposal, response, theirs.GetEndorsement(), w.own(t, response)))
			})
		})
	}
	t.Run("after the endorsers have seen the true time", func(t *testing.T) {
		segment := w.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))
		proposal := w.proposeAt(t, segment, time.Now())
		theirs := w.endorsed(t, atlas, proposal)
		redated, err := proposal.Redate(time.Now().Add(-time.Hour))
		require.NoError(t, err)
		w.unharmed(t, func() {
			require.Equal(t, "INVALID_ENDORSER_TRANSACTION", w.submitted(t, redated, theirs.GetPayload(), theirs.GetEndorsement(), w.own(t, theirs.GetPayload())))
		})
	})
	for name, shift := range map[string]time.Duration{"early": -window + 10*time.Second, "late": window - 5*time.Second} {
		t.Run("within the window it may be "+name+", and by no more", func(t *testing.T) {
			segment := w.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))
			header := decode[ledger.Segment](t, segment.GetSegmentJson())
			at := time.Now().Add(shift)
			proposal := w.proposeAt(t, segment, at)
			mine, theirs := w.endorsed(t, corvus, proposal), w.endorsed(t, atlas, proposal)
			require.Equal(t, valid, w.submitted(t, proposal, mine.GetPayload(), mine.GetEndorsement(), theirs.GetEndorsement()))
			stored, err := w.channels[borealis].Evaluate(within(t), "calls:Segment", corvusMSP, corvusPBX, fmt.Sprint(header.Epoch), fmt.Sprint(header.FirstSeq))
			require.NoError(t, err)
			anchored := decode[ledger.AnchoredSegment](t, stored)
			require.Equal(t, ledger.TimeOf(at), anchored.AnchoredAt, "the transaction's time is what stands there")
			require.Less(t, time.Since(anchored.AnchoredAt.Std()).Abs(), window+patience)
		})
	}
}
