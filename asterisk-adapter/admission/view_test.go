package admission

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/reputation"
)

const (
	number = "tel:+351912345678"
	aor    = "sip:600@pbx.atlas.example"
)

var (
	key = []byte(strings.Repeat("k", reputation.KeyBytes))
	now = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
)

func entry(t testing.TB, key string, value any) *pb.AdmissionEntry {
	t.Helper()
	if value == nil {
		return &pb.AdmissionEntry{Key: key}
	}
	text, err := ledger.Canonical(value)
	require.NoError(t, err)
	return &pb.AdmissionEntry{Key: key, Value: text}
}

func subject(t testing.TB, address string, key []byte) string {
	t.Helper()
	parsed, err := reputation.ParseAddress(address, nil)
	require.NoError(t, err)
	pseudonym, err := parsed.Subject(key)
	require.NoError(t, err)
	return pseudonym
}

// opinion is one writer's, of that many negative events.
func opinion(t testing.TB, msp string, writer, failures int64) *pb.AdmissionEntry {
	t.Helper()
	pseudonym := subject(t, number, key)
	return entry(t, ledger.OpinionKey(1, pseudonym, msp, writer), &ledger.Opinion{
		At: ledger.TimeOf(now), Epoch: 1, MSP: msp, PolicyVersion: 0, Seq: 1, Subject: pseudonym, V: ledger.SchemaVersion, Writer: writer,
		Totals: ledger.Totals{At: ledger.TimeOf(now), Beta: failures * reputation.One, Failures: failures * reputation.One, Attempts: failures * reputation.One, NewestNegative: ledger.TimeOf(now)},
	})
}

// started is a view with keys, and complete.
func started(t testing.TB, entries ...*pb.AdmissionEntry) *View {
	t.Helper()
	view := New()
	view.start(&pb.AdmissionStart{Restart: true, Msp: "AtlasMSP", Keys: []*pb.PseudonymKey{{Commitment: "ab", Key: key}}})
	view.apply(entries)
	view.mark(&pb.AdmissionMark{Cursor: "c", Height: 7})
	return view
}

func (v *View) mustScore(t *testing.T) ledger.Reputation {
	t.Helper()
	merged, err := v.Reputation(number, now)
	require.NoError(t, err)
	return merged
}

func TestViewSaysThatItIsNotReady(t *testing.T) {
	view := New()
	_, err := view.Reputation(number, now)
	require.ErrorIs(t, err, ErrNotReady)
	_, err = view.Device(aor, now)
	require.ErrorIs(t, err, ErrNotReady)
	view.start(&pb.AdmissionStart{Restart: true, Msp: "AtlasMSP"})
	view.mark(&pb.AdmissionMark{})
	_, err = view.Reputation(number, now)
	require.ErrorIs(t, err, ErrNotReady, "no pseudonym is made without a key")
	_, err = view.CallRef("1@192.0.2.1")
	require.ErrorIs(t, err, ErrNotReady)
	_, err = view.AORRef(aor)
	require.ErrorIs(t, err, ErrNotReady)
	require.True(t, view.Freshness().Complete)
}

func TestViewSaysHowOldItIs(t *testing.T) {
	view := New()
	fresh := view.Freshness()
	require.ErrorIs(t, fresh.Problem(now), ErrNotReady)
	fresh = started(t).Freshness()
	require.NoError(t, fresh.Problem(fresh.Heard.Add(silence)))
	require.ErrorIs(t, fresh.Problem(fresh.Heard.Add(silence+time.Second)), ErrSilent)
}

func TestViewMakesPseudonyms(t *testing.T) {
	view := started(t)
	ref, err := view.CallRef("1@192.0.2.1")
	require.NoError(t, err)
	require.Equal(t, ledger.CallRef(key, "1@192.0.2.1"), ref)
	ref, err = view.AORRef("<SIP:600@PBX.atlas.example:5061>")
	require.NoError(t, err)
	wanted, err := ledger.AORRef(key, aor)
	require.NoError(t, err)
	require.Equal(t, wanted, ref)
}

func TestViewRefusesWhatIsNoAddress(t *testing.T) {
	view := started(t)
	_, err := view.Reputation("tel:112", now)
	require.ErrorIs(t, err, reputation.ErrEmergency, "emergency calls are never judged")
	_, err = view.Reputation("912345678", now)
	require.ErrorIs(t, err, reputation.ErrAddress)
	_, err = view.Device("600", now)
	require.Error(t, err)
}

func TestViewMergesWhatIsHeldOnASubject(t *testing.T) {
	view := started(t)
	require.EqualValues(t, 5000, view.mustScore(t).Score)
	require.Equal(t, reputation.StandingUnknown, view.mustScore(t).Standing)

	one := started(t, opinion(t, "BorealisMSP", 1, 10)).mustScore(t)
	require.Less(t, one.Score, int64(5000))
	// Two who agree, in whatever order they come, and replaced by later ones.
	entries := []*pb.AdmissionEntry{opinion(t, "CorvusMSP", 1, 10), opinion(t, "AtlasMSP", 2, 3), opinion(t, "BorealisMSP", 1, 10), opinion(t, "AtlasMSP", 1, 3)}
	merged := started(t, entries...).mustScore(t)
	for range entries {
		entries = append(entries[1:], entries[0])
		require.Equal(t, merged, started(t, append([]*pb.AdmissionEntry{opinion(t, "AtlasMSP", 1, 500)}, entries...)...).mustScore(t))
	}
	require.True(t, merged.Standing.Blocks())
	require.EqualValues(t, 4, merged.Holders)

	pseudonym := subject(t, number, key)
	view = started(t, entries...)
	view.apply([]*pb.AdmissionEntry{entry(t, ledger.AllowanceKey(1, pseudonym, "BorealisMSP"), &ledger.Allowance{At: ledger.TimeOf(now), MSP: "BorealisMSP", Subject: pseudonym, V: ledger.SchemaVersion})})
	require.True(t, view.mustScore(t).Standing.Blocks(), "another operator's allowlist is its own")
	view.apply([]*pb.AdmissionEntry{entry(t, ledger.AllowanceKey(1, pseudonym, "AtlasMSP"), &ledger.Allowance{At: ledger.TimeOf(now), MSP: "AtlasMSP", Subject: pseudonym, V: ledger.SchemaVersion})})
	require.Equal(t, reputation.StandingAllowed, view.mustScore(t).Standing)
	require.Equal(t, []string{"AtlasMSP", "BorealisMSP"}, view.mustScore(t).AllowedBy)

	for _, msp := range []string{"AtlasMSP", "BorealisMSP", "CorvusMSP"} {
		for writer := range int64(3) {
			view.apply([]*pb.AdmissionEntry{entry(t, ledger.OpinionKey(1, pseudonym, msp, writer), nil)})
		}
		view.apply([]*pb.AdmissionEntry{entry(t, ledger.AllowanceKey(1, pseudonym, msp), nil)})
	}
	require.Equal(t, reputation.StandingUnknown, view.mustScore(t).Standing)
	require.Zero(t, view.Freshness().Subjects, "what nothing is held on takes no memory")
	require.Zero(t, view.Freshness().Unreadable)
}

func TestViewFollowsTheKeyInForce(t *testing.T) {
	commitment, err := reputation.Commitment(key)
	require.NoError(t, err)
	policy := func(commitment string) *pb.AdmissionEntry {
		return entry(t, ledger.PolicyKey(ledger.PolicyPseudonyms), &ledger.PolicyVersion{
			Name: ledger.PolicyPseudonyms, V: ledger.SchemaVersion, Version: 1,
			Policy: ledger.Policy{V: ledger.SchemaVersion, Pseudonyms: &ledger.PseudonymPolicy{Commitment: commitment, Epoch: 1}},
		})
	}
	view := started(t, opinion(t, "BorealisMSP", 1, 10), policy(commitment))
	_, err = view.Reputation(number, now)
	require.ErrorIs(t, err, ErrNotReady, "the operators voted for a key that the gateway does not have")
	view.start(&pb.AdmissionStart{Msp: "AtlasMSP", Keys: []*pb.PseudonymKey{{Commitment: commitment, Key: key}, {Commitment: "cd", Key: []byte("another that is not in force yet.")}}})
	require.EqualValues(t, 1, view.mustScore(t).Holders, "going on forgets nothing")
}

func TestViewForgetsEarlierEpochs(t *testing.T) {
	view := started(t, opinion(t, "BorealisMSP", 1, 10))
	require.Equal(t, 1, view.Freshness().Subjects)
	next := entry(t, ledger.PolicyKey(ledger.PolicyPseudonyms), &ledger.PolicyVersion{
		Name: ledger.PolicyPseudonyms, V: ledger.SchemaVersion, Version: 1,
		Policy: ledger.Policy{V: ledger.SchemaVersion, Pseudonyms: &ledger.PseudonymPolicy{Commitment: strings.Repeat("ab", 32), Epoch: 2}},
	})
	view.apply([]*pb.AdmissionEntry{next, opinion(t, "CorvusMSP", 1, 10)})
	require.Zero(t, view.Freshness().Subjects)
	require.Zero(t, view.Freshness().Unreadable)
}

func TestViewJudgesDevices(t *testing.T) {
	ref, err := ledger.AORRef(key, aor)
	require.NoError(t, err)
	device := &ledger.Device{
		At: ledger.TimeOf(now), RegisteredAt: ledger.TimeOf(now), Change: ledger.DeviceRegistered, Credentials: ledger.DeviceCredentials{AORRefs: []string{ref}, ValidFrom: ledger.TimeOf(now.Add(-time.Hour))},
		ID: strings.Repeat("0a", 16), Kind: ledger.DevicePhone, MSP: "AtlasMSP", N: 1, Status: ledger.DeviceActive, V: ledger.SchemaVersion,
	}
	place := ledger.DeviceKey(device.MSP, device.ID)
	view := started(t)
	verdict := func() string {
		judged, err := view.Device(aor, now)
		require.NoError(t, err)
		return judged.Verdict
	}
	require.Equal(t, ledger.VerdictUnregistered, verdict())
	judged := view.Judged()
	view.apply([]*pb.AdmissionEntry{opinion(t, "BorealisMSP", 1, 1)})
	view.mark(&pb.AdmissionMark{Cursor: "d", Height: 8})
	require.Equal(t, judged, view.Judged(), "a score is nothing to a device")
	view.apply([]*pb.AdmissionEntry{entry(t, place, device)})
	require.NotEqual(t, judged, view.Judged())
	require.Equal(t, ledger.VerdictRegistered, verdict())
	suspended := *device
	suspended.Status, suspended.N = ledger.DeviceSuspended, 2
	view.apply([]*pb.AdmissionEntry{entry(t, place, &suspended)})
	require.Equal(t, ledger.VerdictSuspended, verdict())
	moved := *device
	moved.Credentials.AORRefs = []string{strings.Repeat("ab", 32)}
	view.apply([]*pb.AdmissionEntry{entry(t, place, &moved)})
	require.Equal(t, ledger.VerdictUnregistered, verdict(), "an address that a device had lets nobody pass")
	view.apply([]*pb.AdmissionEntry{entry(t, place, nil)})
	require.Zero(t, view.Freshness().Devices)
	require.Empty(t, view.byAOR)
}

func TestViewStartsAnew(t *testing.T) {
	view := started(t, opinion(t, "BorealisMSP", 1, 10))
	view.start(&pb.AdmissionStart{Restart: true, Msp: "AtlasMSP", Keys: []*pb.PseudonymKey{{Commitment: "ab", Key: key}}})
	_, err := view.Reputation(number, now)
	require.ErrorIs(t, err, ErrNotReady, "half a copy decides nothing")
	require.Zero(t, view.Freshness().Subjects)
}

// Whatever comes, the view stays whole: what can be read counts, the rest is
// counted.
func FuzzEntries(f *testing.F) {
	f.Add(ledger.OpinionKey(1, strings.Repeat("a", 64), "AtlasMSP", 1), []byte(`{"v":2}`))
	f.Add(ledger.DeviceKey("AtlasMSP", strings.Repeat("0", 32)), []byte(`{"credentials":{"aor_refs":["a","a"]}}`))
	f.Add(ledger.PolicyKey(ledger.PolicyPseudonyms), []byte(`{"policy":{"v":2}}`))
	f.Add("\x00rep\x00", []byte{})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		view := started(t, opinion(t, "BorealisMSP", 1, 10))
		view.apply([]*pb.AdmissionEntry{{Key: key, Value: value}, {Key: key, Value: value}, {Key: key}})
		_, _ = view.Reputation(number, now)
		_, _ = view.Device(aor, now)
		require.LessOrEqual(t, view.Freshness().Unreadable, 3)
	})
}
