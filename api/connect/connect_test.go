package connect_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/network/msp"
)

func TestDial(t *testing.T) {
	issuer, err := msp.NewIssuer("CA", "Atlas")
	require.NoError(t, err)
	folder := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	pair := func(name string, from, to time.Duration) (string, string) {
		made, err := issuer.Issue(msp.Request{CommonName: name, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to)})
		require.NoError(t, err)
		return file(name+"-cert.pem", made.CertPEM), file(name+"-key.pem", made.KeyPEM)
	}
	authority := file("ca.pem", issuer.Pair().CertPEM)
	good, goodKey := pair("good", -time.Hour, time.Hour)
	expired, expiredKey := pair("expired", -2*time.Hour, -time.Hour)
	early, earlyKey := pair("early", time.Hour, 2*time.Hour)
	for name, c := range map[string]struct {
		config connect.Config
		says   string
	}{
		"good":               {connect.Config{CAFile: authority, CertFile: good, KeyFile: goodKey}, ""},
		"expired":            {connect.Config{CAFile: authority, CertFile: expired, KeyFile: expiredKey}, "have your operator renew it"},
		"not valid yet":      {connect.Config{CAFile: authority, CertFile: early, KeyFile: earlyKey}, "check this machine's clock"},
		"another's key":      {connect.Config{CAFile: authority, CertFile: good, KeyFile: earlyKey}, "load the certificate for the gateway"},
		"no certificate":     {connect.Config{CAFile: authority}, "load the certificate for the gateway"},
		"no authority":       {connect.Config{CAFile: filepath.Join(folder, "none"), CertFile: good, KeyFile: goodKey}, "read the gateway's CA"},
		"authority not PEM":  {connect.Config{CAFile: file("text", []byte("text")), CertFile: good, KeyFile: goodKey}, "holds no PEM certificate"},
		"authority is a key": {connect.Config{CAFile: goodKey, CertFile: good, KeyFile: goodKey}, "holds no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Address = "127.0.0.1:1"
			connection, err := connect.Dial(c.config)
			if c.says == "" {
				require.NoError(t, err)
				require.NoError(t, connection.Close())
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}
