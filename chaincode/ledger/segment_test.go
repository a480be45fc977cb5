package ledger_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
)

// treeHash is RFC 9162 §2.1.1 word for word.
func treeHash(leaves [][]byte) []byte {
	switch n := len(leaves); n {
	case 0:
		sum := sha256.Sum256(nil)
		return sum[:]
	case 1:
		sum := sha256.Sum256(append([]byte{0}, leaves[0]...))
		return sum[:]
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		sum := sha256.Sum256(append(append([]byte{1}, treeHash(leaves[:k])...), treeHash(leaves[k:])...))
		return sum[:]
	}
}

func TestRootsOfKnownTrees(t *testing.T) {
	// The leaves and roots that certificate transparency implementations share.
	leaves := [][]byte{
		{}, {0x00}, {0x10}, {0x20, 0x21}, {0x30, 0x31}, {0x40, 0x41, 0x42, 0x43},
		{0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57},
		{0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f},
	}
	for n, want := range []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	} {
		root, err := ledger.Root(leaves[:n])
		require.NoError(t, err)
		require.Equal(t, want, root, "%d leaves", n)
	}
}

func TestRootIsTheTreeHashOfTheRFC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 8), 0, 70).Draw(t, "leaves")
		root, err := ledger.Root(leaves)
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString(treeHash(leaves)), root)
	})
}

func TestAWholeSegmentPasses(t *testing.T) {
	identity := adapter(t)
	for _, n := range []int{1, 2, 3, ledger.MaxRecords} {
		signed := signedSegment(t, identity, n)
		leaves, err := signed.Check()
		require.NoError(t, err)
		require.Len(t, leaves, n)
		for i := range leaves {
			var back ledger.Record
			require.NoError(t, ledger.DecodeStrict(leaves[i], &back))
			require.Equal(t, signed.Records[i], back)
		}
		require.NoError(t, signed.Segment.VerifySignature(identity.Certificate, signed.Signature))
	}
	later := signedSegment(t, identity, 2, laterSegment)
	_, err := later.Check()
	require.NoError(t, err)
}

// laterSegment makes a segment the one from record 11 on.
func laterSegment(signed *ledger.SignedSegment) {
	signed.Segment.FirstSeq, signed.Segment.PrevFirstSeq, signed.Segment.PrevRoot = 11, 6, hexOf(32)
	for i := range signed.Records {
		signed.Records[i].Segment, signed.Records[i].Seq = 11, int64(11+i)
	}
}

func TestABrokenSegmentIsRefused(t *testing.T) {
	identity := adapter(t)
	for name, c := range map[string]struct {
		code   ledger.Code
		change func(*ledger.SignedSegment) // before it is signed
		tamper func(*ledger.SignedSegment) // after
	}{
		"an altered record":           {ledger.CodeUnauthentic, nil, func(s *ledger.SignedSegment) { s.Records[1].Call.DurationMS++ }},
		"records changed places":      {ledger.CodeInvalid, nil, func(s *ledger.SignedSegment) { s.Records[0], s.Records[1] = s.Records[1], s.Records[0] }},
		"a record exchanged":          {ledger.CodeUnauthentic, nil, func(s *ledger.SignedSegment) { s.Records[1].Call.Leg.Sequence = 99 }},
		"a record cut off":            {ledger.CodeInvalid, nil, func(s *ledger.SignedSegment) { s.Records = s.Records[:2] }},
		"a record cut off, recounted": {ledger.CodeUnauthentic, nil, func(s *ledger.SignedSegment) { s.Records, s.Segment.Count = s.Records[:2], 2 }},
		"another root":                {ledger.CodeUnauthentic, nil, func(s *ledger.SignedSegment) { s.Segment.Root = hexOf(32) }},
		"no root":                     {ledger.CodeInvalid, nil, func(s *ledger.SignedSegment) { s.Segment.Root = "" }},
		"an upper-case root":          {ledger.CodeInvalid, nil, func(s *ledger.SignedSegment) { s.Segment.Root = strings.ToUpper(s.Segment.Root) }},

		"a gap":                        {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Records[2].Seq = 4 }, nil},
		"a repetition":                 {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Records[2].Seq = 2 }, nil},
		"another PBX's record":         {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Records[1].PBX = "pbx2" }, nil},
		"another operator's record":    {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Records[1].MSP = "BorealisMSP" }, nil},
		"a record of another epoch":    {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Records[1].Epoch++ }, nil},
		"a record of another segment":  {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Records[1].Segment = 2 }, nil},
		"a bad record":                 {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Records[1].Call.DurationMS = -1 }, nil},
		"an empty record":              {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Records[1].Call = nil }, nil},
		"a segment of another version": {ledger.CodeNewer, func(s *ledger.SignedSegment) { s.Segment.V = 4 }, nil},
		"no MSP":                       {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.MSP = "" }, nil},
		"no PBX":                       {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.PBX = "" }, nil},
		"epoch 0":                      {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.Epoch = 0 }, nil},
		"first_seq 0":                  {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.FirstSeq = 0 }, nil},
		"a negative first_seq":         {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.FirstSeq = -1 }, nil},
		"a first_seq at the end":       {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.FirstSeq = ledger.MaxInteger }, nil},
		"not closed": {ledger.CodeInvalid, func(s *ledger.SignedSegment) {
			s.Segment.ClosedAt = ledger.TimeOf(noon)
			s.Segment.ClosedAt = ledger.Time{}
		}, nil},
		"a first segment with a past": {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.PrevRoot = hexOf(32) }, nil},
		"a later one without":         {ledger.CodeInvalid, func(s *ledger.SignedSegment) { laterSegment(s); s.Segment.PrevRoot = "" }, nil},
		"a later one after itself":    {ledger.CodeInvalid, func(s *ledger.SignedSegment) { laterSegment(s); s.Segment.PrevFirstSeq = 11 }, nil},
		"a later one after none":      {ledger.CodeInvalid, func(s *ledger.SignedSegment) { laterSegment(s); s.Segment.PrevFirstSeq = 0 }, nil},
		"a later one after too many": {ledger.CodeInvalid, func(s *ledger.SignedSegment) {
			laterSegment(s)
			s.Segment.FirstSeq, s.Segment.PrevFirstSeq = 512, 11
		}, nil},
		"a first segment after one":     {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.PrevFirstSeq = 1 }, nil},
		"a later one with half a past":  {ledger.CodeInvalid, func(s *ledger.SignedSegment) { laterSegment(s); s.Segment.PrevRoot = hexOf(31) }, nil},
		"no signer":                     {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.Signer = "" }, nil},
		"no records":                    {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Records, s.Segment.Count = nil, 0 }, nil},
		"a negative count":              {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.Count = -1 }, nil},
		"a count that is not the count": {ledger.CodeInvalid, func(s *ledger.SignedSegment) { s.Segment.Count = 4 }, nil},
		"a count beyond the bound":      {ledger.CodeTooLarge, func(s *ledger.SignedSegment) { s.Segment.Count = 501 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			signed := signedSegment(t, identity, 3)
			if c.change != nil {
				c.change(signed)
				if !signed.Segment.ClosedAt.IsZero() {
					sign(t, identity, signed)
				}
			}
			if c.tamper != nil {
				c.tamper(signed)
			}
			_, err := signed.Check()
			requireCode(t, c.code, err)
		})
	}
	t.Run("501 records", func(t *testing.T) {
		_, err := signedSegment(t, identity, ledger.MaxRecords+1).Check()
		requireCode(t, ledger.CodeTooLarge, err)
	})
	t.Run("a record that is too large", func(t *testing.T) {
		// The bounds of its members are reached first.
		signed := signedSegment(t, identity, 1, func(s *ledger.SignedSegment) { s.Records[0].Call.Software = strings.Repeat("s", ledger.MaxRecordBytes) })
		_, err := signed.Check()
		requireCode(t, ledger.CodeInvalid, err)
		require.Contains(t, err.Error(), "record 1: software")
	})
}

func TestASignatureHoldsForItsSegmentAndKeyAlone(t *testing.T) {
	identity, other := adapter(t), adapter(t)
	signed := signedSegment(t, identity, 3)
	for name, change := range map[string]func(*ledger.Segment){
		"closed_at":      func(s *ledger.Segment) { s.ClosedAt = ledger.TimeOf(noon) },
		"count":          func(s *ledger.Segment) { s.Count++ },
		"epoch":          func(s *ledger.Segment) { s.Epoch++ },
		"first_seq":      func(s *ledger.Segment) { s.FirstSeq++ },
		"msp":            func(s *ledger.Segment) { s.MSP = "BorealisMSP" },
		"pbx":            func(s *ledger.Segment) { s.PBX = "pbx2" },
		"prev_first_seq": func(s *ledger.Segment) { s.PrevFirstSeq++ },
		"prev_root":      func(s *ledger.Segment) { s.PrevRoot = hexOf(32) },
		"root":           func(s *ledger.Segment) { s.Root = hexOf(32) },
		"signer":         func(s *ledger.Segment) { s.Signer = hexOf(32) },
		"v":              func(s *ledger.Segment) { s.V++ },
	} {
		altered := signed.Segment
		change(&altered)
		requireCode(t, ledger.CodeUnauthentic, altered.VerifySignature(identity.Certificate, signed.Signature))
		require.NoError(t, signed.Segment.VerifySignature(identity.Certificate, signed.Signature), name)
	}
	requireCode(t, ledger.CodeUnauthentic, signed.Segment.VerifySignature(other.Certificate, signed.Signature))
	for name, signature := range map[string][]byte{
		"none": nil, "nonsense": []byte("signature"), "cut": signed.Signature[:len(signed.Signature)-1], "longer": append(signed.Signature[:len(signed.Signature):len(signed.Signature)], 0),
	} {
		require.Error(t, signed.Segment.VerifySignature(identity.Certificate, signature), name)
	}

	// A signature over the same canonical JSON for another purpose does not count.
	canonical, err := ledger.Canonical(&signed.Segment)
	require.NoError(t, err)
	digest := sha256.Sum256(canonical)
	bare, err := ecdsa.SignASN1(nil, identity.Key.(*ecdsa.PrivateKey), digest[:])
	require.NoError(t, err)
	requireCode(t, ledger.CodeUnauthentic, signed.Segment.VerifySignature(identity.Certificate, bare))

	message, err := signed.Segment.SignedBytes()
	require.NoError(t, err)
	require.Equal(t, "callseal segment v1\x00"+string(canonical), string(message))
	_, err = (&ledger.Segment{}).Sign(identity.Key.(*ecdsa.PrivateKey))
	require.Error(t, err, "a segment without a time cannot be signed")
	require.Error(t, (&ledger.Segment{}).VerifySignature(identity.Certificate, signed.Signature))
}

func BenchmarkCheck(b *testing.B) {
	identity := adapter(b)
	for _, n := range []int{1, 500} {
		signed := signedSegment(b, identity, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signed.Check(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// leavesOf are the canonical records of a busy PBX's segment.
func leavesOf(b *testing.B, n int) [][]byte {
	b.Helper()
	leaves, err := busySegment(b, adapter(b), n).Check()
	require.NoError(b, err)
	return leaves
}

func BenchmarkLeafHash(b *testing.B) {
	leaf := leavesOf(b, 1)[0]
	b.SetBytes(int64(len(leaf)))
	b.ReportAllocs()
	for b.Loop() {
		ledger.LeafHash(leaf)
	}
}

// BenchmarkRoot hashes the tree over a segment's records.
func BenchmarkRoot(b *testing.B) {
	for _, n := range []int{1, 50, 500} {
		leaves := leavesOf(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(slices.Concat(leaves...))))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ledger.Root(leaves); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSignature signs a segment as its adapter does and verifies that as every
// endorsing peer does.
func BenchmarkSignature(b *testing.B) {
	identity := adapter(b)
	signed := busySegment(b, identity, 50)
	b.Run("sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := signed.Segment.Sign(identity.Key.(*ecdsa.PrivateKey)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := signed.Segment.VerifySignature(identity.Certificate, signed.Signature); err != nil {
				b.Fatal(err)
			}
		}
	})
}
