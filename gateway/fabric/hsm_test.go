//go:build cgo

package fabric_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/setting"
	"github.com/callseal/callseal/network/msp"
)

const tokenPIN = "1234"

// softHSM makes a token of SoftHSM (Debian's package softhsm2) with a key pair that
// was generated in it, and answers how to reach it and its public key.
func softHSM(t *testing.T) (fabric.PKCS11Config, *ecdsa.PublicKey) {
	t.Helper()
	var module string
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			module = path
		}
	}
	require.NotEmpty(t, module, "SoftHSM is needed: apt-get install softhsm2")
	folder := t.TempDir()
	settings := filepath.Join(folder, "softhsm2.conf")
	require.NoError(t, os.WriteFile(settings, []byte("directories.tokendir = "+folder+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600))
	t.Setenv("SOFTHSM2_CONF", settings)
	output, err := exec.CommandContext(t.Context(), "softhsm2-util", "--init-token", "--free", "--label", "atlas", "--so-pin", "0000", "--pin", tokenPIN).CombinedOutput()
	require.NoError(t, err, "%s", output)
	inside, err := crypto11.Configure(&crypto11.Config{Path: module, TokenLabel: "atlas", Pin: tokenPIN})
	require.NoError(t, err)
	key, err := inside.GenerateECDSAKeyPairWithLabel([]byte{1}, []byte("gateway"), elliptic.P256())
	require.NoError(t, err)
	public, is := key.Public().(*ecdsa.PublicKey)
	require.True(t, is)
	require.NoError(t, inside.Close())
	return fabric.PKCS11Config{ModuleFile: module, TokenLabel: "atlas", PIN: tokenPIN, KeyLabel: "gateway", Sessions: 4}, public
}

// testHardwareKey anchors real segments with a key that is in a token: many at
// once, and after the token has lost its sessions.
func testHardwareKey(t *testing.T, w *world) {
	config := w.config(t, "gateway")
	token, public := softHSM(t)
	org := w.Layout().Operator("Atlas")
	authority := msp.Pair{}
	for file, into := range map[string]*[]byte{org.EnrolmentCAFile(): &authority.CertPEM, org.EnrolmentCAKeyFile(): &authority.KeyPEM} {
		var err error
		*into, err = os.ReadFile(file)
		require.NoError(t, err)
	}
	issuer, err := msp.ParseIssuer(authority)
	require.NoError(t, err)
	certificate, err := issuer.Certify(msp.Request{
		CommonName: "gateway-hsm.atlas", Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: "gateway"},
	}, public)
	require.NoError(t, err)
	config.CertFile, config.KeyFile, config.PKCS11 = filepath.Join(t.TempDir(), "cert.pem"), "", token
	require.NoError(t, os.WriteFile(config.CertFile, certificate, 0o600))
	// A token that somebody of this process has entered takes any PIN.
	wrong := config
	wrong.PKCS11.PIN = "4321"
	_, err = fabric.Open(wrong)
	require.ErrorContains(t, err, "log in to the token")
	require.NotContains(t, err.Error(), "4321")
	channel, done := open(t, config)
	defer done()

	files := org.Identity("atlas-pbx-1")
	adapter := gatewaytest.Load(t, "AtlasMSP", "atlas-pbx-1", files.CertFile(), files.KeyFile())
	anchor := func() {
		var signed *ledger.SignedSegment
		message := adapter.Segment(t, append([]gatewaytest.Entry{gatewaytest.Opening()}, gatewaytest.Calls(t, 3)...), func(s *ledger.SignedSegment) { signed = s })
		signed.Signature = message.GetSignature()
		outcome, err := channel.Transact(within(t), fabric.Proposal{
			Function: "calls:Anchor", Args: []string{""},
			Transient: map[string][]byte{"segments": gatewaytest.JSON(t, []ledger.SignedSegment{*signed})},
		})
		require.NoError(t, err)
		require.Equal(t, "VALID", outcome.Validation)
	}
	anchor()

	// More at once than there are sessions; half of all signatures are high before
	// they are made low, and a high one is refused.
	var together sync.WaitGroup
	for range 16 {
		together.Go(func() {
			for range 8 {
				_, err := channel.Evaluate(within(t), "calls:Chain", "AtlasMSP", "atlas-pbx-1")
				noError(t, err)
			}
		})
	}
	together.Wait()

	library := pkcs11.New(token.ModuleFile)
	require.NotNil(t, library)
	slots, err := library.GetSlotList(true)
	require.NoError(t, err)
	for range 3 {
		for _, slot := range slots {
			require.NoError(t, library.CloseAllSessions(slot))
		}
		adapter = adapter.Reborn(t)
		_, err := channel.Evaluate(within(t), "calls:Chain", "AtlasMSP", "atlas-pbx-1")
		require.NoError(t, err, "it logs in again")
	}

	for name, spoil := range map[string]func(*fabric.Config){
		"no such token":         func(c *fabric.Config) { c.PKCS11.TokenLabel = "borealis" },
		"no such key":           func(c *fabric.Config) { c.PKCS11.KeyLabel = "other" },
		"no module":             func(c *fabric.Config) { c.PKCS11.ModuleFile = filepath.Join(t.TempDir(), "none.so") },
		"another's certificate": func(c *fabric.Config) { c.CertFile = w.config(t, "gateway").CertFile },
	} {
		bad := config
		spoil(&bad)
		_, err := fabric.Open(bad)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), tokenPIN, name)
	}
	_, err = channel.Evaluate(within(t), "calls:Chain", "AtlasMSP", "atlas-pbx-1")
	require.NoError(t, err, "others' failures do not disturb")
	pinFile := filepath.Join(t.TempDir(), "pin")
	require.NoError(t, os.WriteFile(pinFile, []byte(tokenPIN+"\n"), 0o600))
	config.PKCS11.PIN, config.PKCS11.PINFile = setting.Secret(""), pinFile
	config.PKCS11.KeyLabel, config.PKCS11.KeyID = "", "01"
	other, done := open(t, config)
	defer done()
	_, err = other.Height(within(t))
	require.NoError(t, err)
}
