package adversary_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/adversary"
	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/audit"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// testForgeEvent shows what Fabric allows, and that nothing here believes it: a
// transaction that writes only to its sender's own private collection is VALID by
// the sender's endorsement alone, and carries any event and any answer.
func testForgeEvent(t *testing.T, w *world) {
	audio := []byte("a recording that was never made")
	call := gatewaytest.Call(t)
	recording := gatewaytest.Recording(t, call.Record.Call.Leg, audio)
	segment := w.atlas.Reborn(t).Segment(t, []gatewaytest.Entry{call, recording})
	imitated := signed(t, segment)
	leg := call.Record.Call.Leg
	header := imitated.Segment
	answer := gatewaytest.JSON(t, &ledger.AnchorResult{V: ledger.SchemaVersion, Segments: []ledger.SegmentOutcome{{
		Epoch: header.Epoch, FirstSeq: header.FirstSeq, Outcome: ledger.OutcomeAnchored,
	}}})

	var id string
	w.unharmed(t, func() {
		proposal := w.propose(t, plotted(t, adversary.Plot{
			Steps: []adversary.Step{{Act: adversary.PutPrivate, Collection: "_implicit_org_" + corvusMSP, Key: imitated.Records[0].Key(), Value: []byte("{}")}},
			Event: "anchored", EventPayload: string(answer), Answer: string(answer),
		}), "calls:Anchor", "")
		response := w.endorsed(t, corvus, proposal)
		require.Equal(t, answer, response.GetResponse().GetPayload())
		id = proposal.ID
		require.Equal(t, valid, w.submitted(t, proposal, response.GetPayload(), response.GetEndorsement()), "this is how Fabric is")
	})
	for _, name := range honest {
		require.Contains(t, w.witnesses[name].Events("anchored"), id, "whoever believes events is fooled")
		for i := range imitated.Records {
			require.Empty(t, w.witnesses[name].Writers(imitated.Records[i].Key()), "whoever believes public writes is not")
		}
		commit, err := w.channels[name].Commit(within(t), id)
		require.NoError(t, err)
		require.Equal(t, fabric.Commit{TransactionID: id, Block: commit.Block, Endorsers: []string{corvusMSP}, Validation: valid}, commit)
	}

	file := filepath.Join(t.TempDir(), "invented.wav")
	require.NoError(t, os.WriteFile(file, audio, 0o600))
	for _, name := range honest {
		connection, err := connect.Dial(w.access(t, name, "auditor"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = connection.Close() })
		t.Run(name+"'s gateway knows no such call", func(t *testing.T) {
			_, err := pb.NewCallServiceClient(connection).GetCall(within(t), &pb.GetCallRequest{
				Msp: atlasMSP, Pbx: atlasPBX, Leg: &pb.LegId{Linkedid: leg.LinkedID, Uniqueid: leg.UniqueID, Sequence: leg.Sequence},
			})
			require.Equal(t, codes.NotFound, status.Code(err), "%v", err)
			found, err := pb.NewRecordingServiceClient(connection).FindRecordings(within(t), &pb.FindRecordingsRequest{Sha256: imitated.Records[1].Recording.SHA256})
			require.NoError(t, err)
			require.Empty(t, found.GetRecordings())
		})
		for source, ledgerOf := range map[string]audit.Ledger{
			"gateway": audit.ViaGateway(connection, name), "peer": audit.ViaPeer(w.channels[name], name),
		} {
			t.Run("an audit by "+name+"'s "+source+" proves nothing", func(t *testing.T) {
				for _, question := range []audit.Question{
					{Recording: file}, {MSP: atlasMSP, PBX: atlasPBX, LinkedID: leg.LinkedID, Recording: file},
				} {
					verdict, err := audit.Ask(within(t), ledgerOf, question)
					require.NoError(t, err)
					require.Equal(t, audit.Undecided, verdict.Outcome, "%+v", verdict.Findings)
				}
			})
		}
	}
}
