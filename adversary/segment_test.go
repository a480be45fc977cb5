package adversary_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// reroot makes a segment whole again after a change, as far as a gateway can.
func reroot(t *testing.T, segment *ledger.SignedSegment) {
	t.Helper()
	leaves := make([][]byte, len(segment.Records))
	for i := range segment.Records {
		segment.Records[i].Seq = segment.Segment.FirstSeq + int64(i)
		leaves[i] = gatewaytest.JSON(t, &segment.Records[i])
	}
	root, err := ledger.Root(leaves)
	require.NoError(t, err)
	segment.Segment.Root, segment.Segment.Count = root, int64(len(leaves))
	if segment.Segment.V > 1 {
		segment.Segment.Boots = ledger.BootsOf(segment.Records)
	}
}

// longer makes a call a minute longer.
func longer(segment *ledger.SignedSegment) {
	call := *segment.Records[1].Call
	call.BillsecMS += 60_000
	segment.Records[1].Call = &call
}

// testAlterSegment has Corvus's gateway change what Corvus's adapter signed: the
// insider between the PBX and the ledger.
func testAlterSegment(t *testing.T, w *world) {
	adapter := w.adapter.Reborn(t)
	adapter.Segment(t, gatewaytest.Calls(t, 2)) // One before, so that there is a past to cut off.
	original := adapter.Segment(t, gatewaytest.Calls(t, 3))
	for name, test := range map[string]struct {
		change func(*testing.T, *ledger.SignedSegment)
		code   ledger.Code
	}{
		"a record":                            {func(_ *testing.T, s *ledger.SignedSegment) { longer(s) }, ledger.CodeUnauthentic},
		"a record, and the root":              {func(t *testing.T, s *ledger.SignedSegment) { longer(s); reroot(t, s) }, ledger.CodeUnauthentic},
		"the order":                           {func(_ *testing.T, s *ledger.SignedSegment) { swap(s) }, ledger.CodeInvalid},
		"the order, and numbers and the root": {func(t *testing.T, s *ledger.SignedSegment) { swap(s); reroot(t, s) }, ledger.CodeUnauthentic},
		"the count":                           {func(_ *testing.T, s *ledger.SignedSegment) { s.Segment.Count++ }, ledger.CodeInvalid},
		"a record dropped":                    {func(_ *testing.T, s *ledger.SignedSegment) { s.Records = s.Records[:2] }, ledger.CodeInvalid},
		"a record dropped, and the root":      {func(t *testing.T, s *ledger.SignedSegment) { s.Records = s.Records[:2]; reroot(t, s) }, ledger.CodeUnauthentic},
		"the first dropped, and the root": {func(t *testing.T, s *ledger.SignedSegment) {
			s.Records = s.Records[1:]
			reroot(t, s)
		}, ledger.CodeUnauthentic},
		"a record added, and the root": {func(t *testing.T, s *ledger.SignedSegment) {
			s.Records = append(s.Records, s.Records[0])
			call := *s.Records[0].Call
			call.Leg.Sequence++
			s.Records[3].Call = &call
			reroot(t, s)
		}, ledger.CodeUnauthentic},
		"the segment before it": {func(_ *testing.T, s *ledger.SignedSegment) { s.Segment.PrevRoot = s.Segment.Root }, ledger.CodeUnauthentic},
		"its past":              {func(t *testing.T, s *ledger.SignedSegment) { cutPast(t, s) }, ledger.CodeUnauthentic},
		"when it was closed": {func(_ *testing.T, s *ledger.SignedSegment) {
			s.Segment.ClosedAt = ledger.TimeOf(s.Segment.ClosedAt.Std().AddDate(0, 0, -1))
		}, ledger.CodeUnauthentic},
		"the signer, to itself": {func(t *testing.T, s *ledger.SignedSegment) { w.signAsGateway(t, s) }, ledger.CodeDenied},
		"the signature":         {func(_ *testing.T, s *ledger.SignedSegment) { s.Signature = s.Signature[:len(s.Signature)-1] }, ledger.CodeUnauthentic},
		"the PBX": {func(t *testing.T, s *ledger.SignedSegment) {
			movePBX(s, "corvus-pbx-2")
			reroot(t, s)
			w.signAsAdapter(t, s)
		}, ledger.CodeDenied},
		"the operator, to Atlas": {func(t *testing.T, s *ledger.SignedSegment) { moveMSP(s, atlasMSP); reroot(t, s); w.signAsAdapter(t, s) }, ledger.CodeDenied},
	} {
		t.Run(name, func(t *testing.T) {
			segment := signed(t, original)
			test.change(t, segment)
			require.NotEqual(t, signed(t, original), segment)
			proposal := w.propose(t, map[string][]byte{"segments": gatewaytest.JSON(t, []ledger.SignedSegment{*segment})}, "calls:Anchor", "")
			for _, name := range honest {
				w.refused(t, name, proposal, test.code)
			}
		})
	}
	t.Run("left as it was it is taken", func(t *testing.T) {
		proposal := w.propose(t, anchoring(t, original), "calls:Anchor", "")
		mine, theirs := w.endorsed(t, corvus, proposal), w.endorsed(t, borealis, proposal)
		require.Equal(t, valid, w.submitted(t, proposal, mine.GetPayload(), mine.GetEndorsement(), theirs.GetEndorsement()))
	})
}

func swap(s *ledger.SignedSegment) {
	s.Records = slices.Clone(s.Records)
	s.Records[0], s.Records[2] = s.Records[2], s.Records[0]
}

// cutPast makes a segment look like the first of its epoch.
func cutPast(t *testing.T, s *ledger.SignedSegment) {
	t.Helper()
	s.Segment.FirstSeq, s.Segment.PrevFirstSeq, s.Segment.PrevRoot = 1, 0, ""
	s.Segment.V = 1 // One of version 2 would have to begin with an opening.
	for i := range s.Records {
		s.Records[i].Segment = 1
	}
	reroot(t, s)
}

func movePBX(s *ledger.SignedSegment, pbx string) {
	s.Segment.PBX = pbx
	for i := range s.Records {
		s.Records[i].PBX = pbx
	}
}

func moveMSP(s *ledger.SignedSegment, msp string) {
	s.Segment.MSP = msp
	for i := range s.Records {
		s.Records[i].MSP = msp
	}
}

// signAsGateway signs with the gateway's own key, and says so.
func (w *world) signAsGateway(t *testing.T, s *ledger.SignedSegment) { w.signWith(t, s, "gateway") }

// signAsAdapter signs with Corvus's adapter's key, which a thief of it could.
func (w *world) signAsAdapter(t *testing.T, s *ledger.SignedSegment) { w.signWith(t, s, corvusPBX) }

func (w *world) signWith(t *testing.T, s *ledger.SignedSegment, identity string) {
	t.Helper()
	files := w.Layout().Operator(corvus).Identity(identity)
	pair, err := tls.LoadX509KeyPair(files.CertFile(), files.KeyFile())
	require.NoError(t, err)
	s.Segment.Signer = ledger.Fingerprint(pair.Leaf.Raw)
	s.Signature, err = s.Segment.Sign(pair.PrivateKey.(*ecdsa.PrivateKey))
	require.NoError(t, err)
}
