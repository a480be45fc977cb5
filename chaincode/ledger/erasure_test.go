package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

func TestErasureKey(t *testing.T) {
	leg := ledger.LegID{LinkedID: "1.0", Sequence: 7, UniqueID: "1.1"}
	key, err := ledger.ErasureKey(ledger.CallKey("AtlasMSP", "pbx1", leg))
	require.NoError(t, err)
	require.Equal(t, "\x00erasure\x00AtlasMSP\x00cdr\x00pbx1\x001.0\x001.1\x000000000000000007\x00", key)
	key, err = ledger.ErasureKey(ledger.RecordingKey("AtlasMSP", "pbx1", "ab", 2))
	require.NoError(t, err)
	require.Equal(t, "\x00erasure\x00AtlasMSP\x00rec\x00pbx1\x00ab\x000000000000000002\x00", key)
	for _, other := range []string{"", "+351912345678", ledger.SegmentKey("AtlasMSP", "pbx1", 1, 1), "\x00cdr", "cdr\x00"} {
		_, err := ledger.ErasureKey(other)
		require.Equal(t, ledger.CodeInvalid, ledger.AsError(err).Code)
		require.NotContains(t, err.Error(), "912345678")
	}
}

// The commitment is SHA-256 over a label and the key, so that other programs can
// compute it.
func TestKeyCommitment(t *testing.T) {
	key := make([]byte, 32)
	want := sha256.Sum256([]byte("callseal record key v1\x00" + string(key)))
	require.Equal(t, hex.EncodeToString(want[:]), ledger.KeyCommitment(key))
	bare := sha256.Sum256(key)
	require.NotEqual(t, hex.EncodeToString(bare[:]), ledger.KeyCommitment(key))
}

func TestSealedKeyCommitment(t *testing.T) {
	sealed := ledger.Sealed{Algorithm: ledger.SealAlgorithm, Ciphertext: make([]byte, 16), Nonce: make([]byte, 12), V: 2}
	require.NoError(t, sealed.Check(), "what was sealed before commitments is read")
	sealed.KeyCommitment = ledger.KeyCommitment(make([]byte, 32))
	require.NoError(t, sealed.Check())
	sealed.V = 1
	require.ErrorContains(t, sealed.Check(), "version 2")
	sealed.V, sealed.KeyCommitment = 2, "key"
	require.ErrorContains(t, sealed.Check(), "key_commitment must be 32 bytes")
}

func TestRetentionPolicy(t *testing.T) {
	standard, err := ledger.DefaultPolicy(ledger.PolicyRetention)
	require.NoError(t, err)
	require.NoError(t, standard.Policy.Check())
	for name, change := range map[string]func(*ledger.RetentionPolicy){
		"negative":                  func(p *ledger.RetentionPolicy) { p.Calls.MinimumMS = -1 },
		"default below the minimum": func(p *ledger.RetentionPolicy) { p.Recordings.DefaultMS = p.Recordings.MinimumMS - 1 },
		"default above the maximum": func(p *ledger.RetentionPolicy) { p.Recordings.MaximumMS = p.Recordings.DefaultMS - 1 },
		"over a hundred years":      func(p *ledger.RetentionPolicy) { p.Calls.MaximumMS = 1 << 52 },
		"an expired term is early":  func(p *ledger.RetentionPolicy) { p.EarlyReasons = []string{ledger.EraseRetentionExpired} },
		"twice": func(p *ledger.RetentionPolicy) {
			p.EarlyReasons = []string{ledger.EraseCourtOrder, ledger.EraseCourtOrder}
		},
		"unsorted": func(p *ledger.RetentionPolicy) {
			p.EarlyReasons = []string{ledger.EraseSubjectRequest, ledger.EraseCourtOrder}
		},
	} {
		t.Run(name, func(t *testing.T) {
			changed := *standard.Policy.Retention
			change(&changed)
			policy := ledger.Policy{Retention: &changed, V: ledger.SchemaVersion}
			require.Equal(t, ledger.CodeInvalid, ledger.AsError(policy.Check()).Code)
		})
	}
	var at ledger.Time
	require.NoError(t, at.UnmarshalText([]byte("9999-12-31T00:00:00.000Z")))
	require.Equal(t, "9999-12-31T23:59:59.999Z", standard.Policy.Retention.Calls.Until(at, ledger.Time{}).String(), "no time is beyond what can be written")
}
