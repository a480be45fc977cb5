package adversary_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/adversary"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/msp"
)

// asAdmin commits a transaction of Corvus's admin, which honest peers endorse.
func (w *world) asAdmin(t *testing.T, args ...string) {
	t.Helper()
	proposal := w.proposeAs(t, w.admin, nil, args...)
	theirs := w.endorsed(t, atlas, proposal)
	envelope, err := proposal.Envelope(w.admin, theirs.GetPayload(), theirs.GetEndorsement(), w.own(t, theirs.GetPayload()))
	require.NoError(t, err)
	w.orderEnvelope(t, envelope)
	require.Equal(t, valid, w.judged(t, proposal.ID).String())
}

// testRevokedAdapter goes on with an adapter that Corvus's own admin withdrew, as
// whoever stole its key would.
func testRevokedAdapter(t *testing.T, w *world) {
	pair := w.issuePair(t, msp.Request{
		CommonName: "stolen." + corvusPBX, Unit: msp.UnitClient,
		Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: corvusPBX},
	})
	folder := t.TempDir()
	certFile, keyFile := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pair.CertPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pair.KeyPEM, 0o600))
	stolen := gatewaytest.Load(t, corvusMSP, corvusPBX, certFile, keyFile)
	anchor := func() *adversary.Proposal {
		return w.propose(t, anchoring(t, stolen.Segment(t, gatewaytest.Calls(t, 1))), "calls:Anchor", "")
	}
	t.Run("before it is enrolled", func(t *testing.T) {
		for _, name := range honest {
			w.refused(t, name, w.propose(t, anchoring(t, stolen.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))), "calls:Anchor", ""), ledger.CodeDenied)
		}
	})
	w.asAdmin(t, "adapters:Enrol", string(pair.CertPEM))
	good := anchor()
	theirs := w.endorsed(t, atlas, good)
	require.Equal(t, valid, w.submitted(t, good, theirs.GetPayload(), theirs.GetEndorsement(), w.own(t, theirs.GetPayload())), "while it is good")
	// Endorsed while it was good, and kept.
	kept := anchor()
	keptBy := w.endorsed(t, atlas, kept)

	w.asAdmin(t, "adapters:Revoke", stolen.Fingerprint)
	t.Run("refused afterwards", func(t *testing.T) {
		for _, name := range honest {
			w.refused(t, name, anchor(), ledger.CodeDenied)
		}
	})
	t.Run("what was endorsed before and kept is not valid", func(t *testing.T) {
		w.unharmed(t, func() {
			require.Equal(t, mvccConflict, w.submitted(t, kept, keptBy.GetPayload(), keptBy.GetEndorsement(), w.own(t, keptBy.GetPayload())))
		})
	})
	t.Run("it cannot be enrolled again", func(t *testing.T) {
		for _, name := range honest {
			w.refused(t, name, w.proposeAs(t, w.admin, nil, "adapters:Enrol", string(pair.CertPEM)), ledger.CodeExists)
		}
	})
}

// testRevokedGateway goes on with a gateway's identity that the channel's
// configuration has revoked.
func testRevokedGateway(t *testing.T, w *world) {
	adapter := w.adapter.Reborn(t)
	anchor := func() *adversary.Proposal {
		return w.propose(t, anchoring(t, adapter.Segment(t, gatewaytest.Calls(t, 1))), "calls:Anchor", "")
	}
	good := anchor()
	theirs := w.endorsed(t, atlas, good)
	require.Equal(t, valid, w.submitted(t, good, theirs.GetPayload(), theirs.GetEndorsement(), w.own(t, theirs.GetPayload())), "while it is good")
	kept := anchor()
	keptBy := w.endorsed(t, atlas, kept)
	envelope, err := kept.Envelope(w.gateway, keptBy.GetPayload(), keptBy.GetEndorsement(), w.own(t, keptBy.GetPayload()))
	require.NoError(t, err)

	_, err = w.Revoke(within(t), "corvus", "gateway")
	require.NoError(t, err)
	w.unharmed(t, func() {
		t.Run("no honest peer endorses", func(t *testing.T) {
			for _, name := range honest {
				_, err := adversary.Ask(within(t), w.peers[name], anchor())
				var refusal *adversary.RefusedError
				require.Error(t, err)
				require.NotErrorAs(t, err, &refusal, "%s's peer let it through to the contract", name)
			}
		})
		t.Run("no honest orderer takes what was endorsed before and kept", func(t *testing.T) {
			// An orderer that has not yet the block with the revocation takes it, and its
			// leader drops it.
			require.Eventually(t, func() bool {
				err := adversary.Broadcast(within(t), w.orderers, envelope)
				return err != nil && strings.Contains(err.Error(), common.Status_FORBIDDEN.String())
			}, patience, 100*time.Millisecond)
		})
		require.False(t, w.witnesses[atlas].Seen(kept.ID))
	})
	t.Run("the operator's other identities are good", func(t *testing.T) {
		w.asAdmin(t, "adapters:Enrol", string(w.issuePair(t, msp.Request{
			CommonName: "new." + corvusPBX, Unit: msp.UnitClient,
			Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: corvusPBX},
		}).CertPEM))
	})
}
