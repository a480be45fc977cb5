package adapter

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/network/msp"
)

// TestIdentityRefusals checks that an adapter does not start with a certificate
// that the ledger would refuse.
func TestIdentityRefusals(t *testing.T) {
	t.Parallel()
	issuer, err := msp.NewIssuer("ca.atlas", "Atlas")
	require.NoError(t, err)
	for _, test := range []struct {
		name    string
		request msp.Request
		change  func(t *testing.T, config *Config)
		says    string
	}{
		{"expired", msp.Request{
			NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
			Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: testPBX},
		}, nil, "renew and enrol it"},
		{"not valid yet", msp.Request{
			NotBefore: time.Now().Add(24 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
			Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: testPBX},
		}, nil, "the adapter's certificate is valid from"},
		{"wrong role", msp.Request{Attributes: map[string]string{msp.AttributeRole: "gateway", msp.AttributePBX: testPBX}}, nil, `callseal.role is "gateway", an adapter's is "adapter": issue it with that attribute`},
		{"no role", msp.Request{}, nil, `callseal.role is ""`},
		{"no PBX", msp.Request{Attributes: map[string]string{msp.AttributeRole: "adapter"}}, nil, "callseal.pbx is missing"},
		{"other PBX", msp.Request{Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: "pbx2"}}, nil, `is for PBX "pbx2", the configuration says "pbx1": they must be the same`},
		{"other key", msp.Request{Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: testPBX}}, func(t *testing.T, config *Config) {
			t.Helper()
			other, err := issuer.Issue(msp.Request{CommonName: "other", Unit: msp.UnitClient})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(config.Identity.KeyFile, other.KeyPEM, 0o600))
		}, "load the adapter's identity"},
		{"no file", msp.Request{}, func(t *testing.T, config *Config) {
			t.Helper()
			require.NoError(t, os.Remove(config.Identity.CertFile))
		}, "load the adapter's identity"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			config := &Config{
				MSP: testMSP, PBX: testPBX, StateDir: filepath.Join(folder, "state"),
				Identity: IdentityConfig{CertFile: filepath.Join(folder, "cert.pem"), KeyFile: filepath.Join(folder, "key.pem")},
			}
			test.request.CommonName, test.request.Unit = "adapter", msp.UnitClient
			pair, err := issuer.Issue(test.request)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(config.Identity.CertFile, pair.CertPEM, 0o600))
			require.NoError(t, os.WriteFile(config.Identity.KeyFile, pair.KeyPEM, 0o600))
			if test.change != nil {
				test.change(t, config)
			}
			require.ErrorContains(t, Run(t.Context(), config, (&logbook{}).logger()), test.says)
			require.NoDirExists(t, config.StateDir, "nothing half-made")
		})
	}
}
