package ledger_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
)

func TestAddressesOfRecordHaveOneForm(t *testing.T) {
	for aor, want := range map[string]string{
		"600@pbx.example":                             "600@pbx.example",
		"sip:600@PBX.example":                         "600@pbx.example",
		"SIPS:600@pbx.example.":                       "600@pbx.example",
		"sip:600@pbx.example:5061;transport=tls":      "600@pbx.example",
		"sip:600:secret@pbx.example":                  "600@pbx.example",
		`"Beatriz Almeida" <sip:600@pbx.example>;q=1`: "600@pbx.example",
		"sip:Ana@pbx.example?subject=x":               "Ana@pbx.example",
		"sip:+351912345678@pbx.example;user=phone":    "+351912345678@pbx.example",
		"sip:600@[2001:DB8::1]:5060":                  "600@2001:db8::1",
		"600@192.0.2.7":                               "600@192.0.2.7",
	} {
		got, err := ledger.NormalizeAOR(aor)
		require.NoError(t, err, aor)
		require.Equal(t, want, got, aor)
		again, err := ledger.NormalizeAOR(got)
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
	for _, bad := range []string{
		"", "600", "@", "600@", "@pbx.example", "sip:", "sip:600", "<sip:600@pbx.example", "a b@pbx.example", "600@pbx example", "600@pbx\x00", "\xff@pbx.example",
		"600@pbx.example/x", strings.Repeat("6", 300) + "@pbx.example", "6@0@pbx.example", "tel:+351912345678",
	} {
		_, err := ledger.NormalizeAOR(bad)
		requireCode(t, ledger.CodeInvalid, err)
		require.NotContains(t, err.Error(), "912345678")
		_, err = ledger.AORRef([]byte("key"), bad)
		requireCode(t, ledger.CodeInvalid, err)
	}
}

func TestNormalizingTwiceChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		aor := rapid.StringMatching(`(sips?:)?[a-zA-Z0-9+._-]{1,12}(:[a-z]{1,4})?@[A-Za-z0-9.:\[\]-]{1,20}(;[a-z=]{0,9})?`).Draw(t, "aor")
		once, err := ledger.NormalizeAOR(aor)
		if err != nil {
			return
		}
		twice, err := ledger.NormalizeAOR(once)
		if err != nil || once != twice {
			t.Fatalf("%q, then %q (%v)", once, twice, err)
		}
	})
}

// What is pseudonymous must not be linked by being the same text of another kind.
func TestDevicePseudonymsAreApart(t *testing.T) {
	key := []byte("a consortium's key")
	aor, err := ledger.AORRef(key, "sip:600@pbx.example")
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("callseal device aor v1\x00600@pbx.example"))
	require.Equal(t, hex.EncodeToString(mac.Sum(nil)), aor)

	plain := hmac.New(sha256.New, key)
	plain.Write([]byte("600@pbx.example"))
	require.NotEqual(t, hex.EncodeToString(plain.Sum(nil)), aor, "reputation's pseudonyms are made under the same key")

	colons := strings.TrimSuffix(strings.Repeat("5A:", 32), ":")
	fingerprint, err := ledger.FingerprintRef(key, colons)
	require.NoError(t, err)
	same, err := ledger.FingerprintRef(key, hexOf(32))
	require.NoError(t, err)
	require.Equal(t, fingerprint, same)
	refs := []string{aor, fingerprint, ledger.CredentialRef(key, "600", "pbx.example", "secret"), ledger.CredentialRef(key, "600", "pbx.examples", "ecret"), ledger.CredentialRef([]byte("other"), "600", "pbx.example", "secret")}
	slices.Sort(refs)
	require.Len(t, slices.Compact(refs), 5)
	for _, ref := range refs {
		require.NoError(t, ledger.CheckDeviceRef("ref", ref))
	}
	for _, bad := range []string{"", "5a", hexOf(31), hexOf(32) + "x", strings.Repeat("5g", 32)} {
		_, err := ledger.FingerprintRef(key, bad)
		requireCode(t, ledger.CodeInvalid, err)
	}
}

func TestThePolicyOnDevices(t *testing.T) {
	standard, err := ledger.DefaultPolicy(ledger.PolicyDevices)
	require.NoError(t, err)
	require.NoError(t, standard.Policy.Check())
	require.Equal(t, ledger.ConsequenceFlag, standard.Policy.Devices.Consequence(ledger.VerdictUnregistered))
	strict := ledger.DevicePolicy{Expired: "flag", Revoked: "reject", Suspended: "flag", Unregistered: "reject"}
	policy := ledger.Policy{Devices: &strict, V: ledger.SchemaVersion}
	require.NoError(t, policy.Check())
	for verdict, want := range map[string]string{
		ledger.VerdictRegistered: "allow", ledger.VerdictExpired: "flag", ledger.VerdictRevoked: "reject", ledger.VerdictSuspended: "flag", ledger.VerdictUnregistered: "reject",
	} {
		require.Equal(t, want, strict.Consequence(verdict))
		require.Equal(t, want, ledger.Judge([]ledger.DeviceStanding{{Verdict: verdict}}, ledger.TimeOf(noon), &strict, 3).Consequence)
	}
	for _, field := range []*string{&strict.Expired, &strict.Revoked, &strict.Suspended, &strict.Unregistered} {
		for _, bad := range []string{"", "allow", "Reject"} {
			before := *field
			*field = bad
			requireCode(t, ledger.CodeInvalid, policy.Check())
			*field = before
		}
	}
}

func TestEveryChangeOfADeviceHasReasons(t *testing.T) {
	for _, change := range []string{ledger.DeviceSuspended, ledger.DeviceReinstated, ledger.DeviceRevoked, ledger.DeviceRotated} {
		reasons := ledger.DeviceReasons(change)
		require.NotEmpty(t, reasons)
		require.True(t, slices.IsSorted(reasons), change)
	}
	require.Empty(t, ledger.DeviceReasons(ledger.DeviceRegistered))
	require.True(t, slices.IsSorted(ledger.DeviceKinds))
}

func TestTheDetailsOfADevice(t *testing.T) {
	good := func() *ledger.Details {
		return &ledger.Details{Device: &ledger.DeviceDetails{
			Account: "600", AORs: []string{"600@pbx.example"}, Fingerprints: []string{hexOf(32)}, Label: "Reception, left", Networks: []string{"192.0.2.0/24", "2001:db8::/64"},
		}, Salt: hexOf(32), V: ledger.SchemaVersion}
	}
	require.NoError(t, good().Check())
	text, err := ledger.Canonical(good())
	require.NoError(t, err)
	var back ledger.Details
	require.NoError(t, ledger.DecodeStrict(text, &back))
	require.Equal(t, good(), &back)
	for name, spoil := range map[string]func(*ledger.Details){
		"version 1":            func(d *ledger.Details) { d.V = 1 },
		"a recording as well":  func(d *ledger.Details) { d.Recording = &ledger.RecordingDetails{File: "a.wav"} },
		"nothing":              func(d *ledger.Details) { d.Device = nil },
		"no address":           func(d *ledger.Details) { d.Device.AORs = nil },
		"an address with sip:": func(d *ledger.Details) { d.Device.AORs[0] = "sip:600@pbx.example" },
		"an address twice":     func(d *ledger.Details) { d.Device.AORs = append(d.Device.AORs, d.Device.AORs[0]) },
		"a host's bits":        func(d *ledger.Details) { d.Device.Networks[0] = "192.0.2.1/24" },
		"a bare address":       func(d *ledger.Details) { d.Device.Networks[0] = "192.0.2.1" },
		"no network":           func(d *ledger.Details) { d.Device.Networks = []string{} },
		"a short fingerprint":  func(d *ledger.Details) { d.Device.Fingerprints[0] = "aa" },
		"a long label":         func(d *ledger.Details) { d.Device.Label = strings.Repeat("x", 101) },
		"a label of two lines": func(d *ledger.Details) { d.Device.Label = "a\nb" },
		"too many networks":    func(d *ledger.Details) { d.Device.Networks = make([]string, 21) },
	} {
		details := good()
		spoil(details)
		err := details.Check()
		require.Error(t, err, name)
		requireCode(t, ledger.CodeInvalid, err)
	}
}
