package device

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Identity is what a device is known by, in clear.
type Identity struct {
	Details ledger.DeviceDetails
	// CredentialRef is the ledger.CredentialRef of its account; empty for none.
	CredentialRef string
	// ValidFrom and ValidUntil bound its validity; not set: from now, without end.
	ValidFrom, ValidUntil ledger.Time
}

// Credentials makes the pseudonyms under a consortium's key of an epoch, and the
// canonical details that say what they hide, under a salt that is made here.
func (i *Identity) Credentials(consortiumKey []byte, epoch int64) (ledger.DeviceCredentials, []byte, error) {
	credentials := ledger.DeviceCredentials{CredentialRef: i.CredentialRef, KeyEpoch: epoch, ValidFrom: i.ValidFrom, ValidUntil: i.ValidUntil}
	shown := i.Details
	shown.AORs, shown.Fingerprints = slices.Clone(i.Details.AORs), slices.Clone(i.Details.Fingerprints)
	if len(shown.AORs) == 0 {
		return credentials, nil, ledger.Errorf(ledger.CodeInvalid, "name an address of record of the device at least")
	}
	for n, aor := range shown.AORs {
		normal, err := ledger.NormalizeAOR(aor)
		if err != nil {
			return credentials, nil, err
		}
		ref, err := ledger.AORRef(consortiumKey, aor)
		if err != nil {
			return credentials, nil, err
		}
		shown.AORs[n], credentials.AORRefs = normal, append(credentials.AORRefs, ref)
	}
	for n, fingerprint := range shown.Fingerprints {
		ref, err := ledger.FingerprintRef(consortiumKey, fingerprint)
		if err != nil {
			return credentials, nil, err
		}
		shown.Fingerprints[n] = strings.ToLower(strings.ReplaceAll(fingerprint, ":", ""))
		credentials.FingerprintRefs = append(credentials.FingerprintRefs, ref)
	}
	credentials.AORRefs, credentials.FingerprintRefs = SortedOnce(credentials.AORRefs), SortedOnce(credentials.FingerprintRefs)
	shown.AORs, shown.Fingerprints, shown.Networks = SortedOnce(shown.AORs), SortedOnce(shown.Fingerprints), SortedOnce(shown.Networks)
	details := ledger.Details{Device: &shown, Salt: Random(32), V: ledger.SchemaVersion}
	if err := details.Check(); err != nil {
		return credentials, nil, err
	}
	text, err := ledger.Canonical(&details)
	if err != nil {
		return credentials, nil, err
	}
	credentials.DetailsDigest = ledger.Digest(text)
	return credentials, text, nil
}

// SortedOnce sorts values and names each once; nil where there are none.
func SortedOnce(values []string) []string {
	if len(values) == 0 {
		return nil
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// Random is n random bytes in hexadecimal: ids and salts.
func Random(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return hex.EncodeToString(raw)
}
