package driver

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/msp"
)

// laidOut is a state folder with what a network file names, of the development
// consortium.
func laidOut(t *testing.T) (*network.Consortium, network.Layout) {
	t.Helper()
	consortium, layout := network.Development(), network.LayoutAt(t.TempDir())
	write := func(file string, content []byte) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, content, 0o600))
	}
	for _, operator := range consortium.Operators {
		org := layout.Operator(operator.Name)
		authority, err := msp.NewIssuer(operator.ID()+" enrolment CA", operator.Name)
		require.NoError(t, err)
		write(org.EnrolmentCAFile(), authority.Pair().CertPEM)
		write(org.EnrolmentCAKeyFile(), authority.Pair().KeyPEM)
		write(org.TLSCAFile(), nil)
		for _, role := range []string{"gateway", "admin"} {
			identity := org.Identity(role)
			for _, file := range []string{identity.CertFile(), identity.KeyFile(), identity.TLSCertFile(), identity.TLSKeyFile()} {
				write(file, nil)
			}
		}
	}
	return consortium, layout
}

func TestTheNetworkFileIsMadeOfTheConsortium(t *testing.T) {
	consortium, layout := laidOut(t)
	folder := t.TempDir()
	adapters, err := Adapters(consortium, layout, 4, "7", filepath.Join(folder, "adapters"))
	require.NoError(t, err)
	file, err := NewNetwork(consortium, layout, adapters)
	require.NoError(t, err)
	require.NoError(t, file.Write(folder))
	text, err := os.ReadFile(filepath.Join(folder, networkFile))
	require.NoError(t, err)
	var read map[string]any
	require.NoError(t, yaml.Unmarshal(text, &read))
	require.Equal(t, "2.0.0", read["version"])
	require.Equal(t, map[string]any{"blockchain": "./connector.js"}, read["caliper"])
	require.Equal(t, []any{map[string]any{"channelName": "calls", "contracts": []any{
		map[string]any{"id": "callseal"}, map[string]any{"id": "callseal-governance"},
	}}}, read["channels"])

	require.Len(t, file.Organizations, 3, "the regulator endorses nothing")
	var pbxs []string
	for i, one := range file.Organizations {
		operator := consortium.Operators[i]
		gateway := layout.Operator(operator.Name).Identity("gateway")
		require.Equal(t, operator.MSP, one.MSPID)
		require.Equal(t, operator.Peer.Address, one.Peers[0].Endpoint)
		require.Equal(t, Pair{File{gateway.TLSCertFile()}, File{gateway.TLSKeyFile()}}, one.TLSClient)
		require.Equal(t, gateway.CertFile(), one.Identities.Certificates[0].ClientSignedCert.Path)
		require.True(t, one.Identities.Certificates[1].Admin)
		for _, adapter := range one.Adapters {
			pbxs = append(pbxs, adapter.PBX)
			content, err := os.ReadFile(adapter.Certificate.Path)
			require.NoError(t, err)
			block, _ := pem.Decode(content)
			certificate, err := x509.ParseCertificate(block.Bytes)
			require.NoError(t, err)
			require.Equal(t, adapter.PBX+"."+operator.ID(), certificate.Subject.CommonName)
		}
	}
	require.Equal(t, []string{"caliper-7-pbx-1", "caliper-7-pbx-4", "caliper-7-pbx-2", "caliper-7-pbx-3"}, pbxs)
}

func TestMissingFilesOfTheNetworkAreNamed(t *testing.T) {
	consortium, layout := laidOut(t)
	atlas := layout.Operator("Atlas")
	require.NoError(t, os.Remove(atlas.Identity("gateway").TLSCertFile()))
	_, err := NewNetwork(consortium, layout, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "the peers of Atlas let nobody in without its files, and the TLS client certificate of its gateway is not to be had")

	require.NoError(t, os.Remove(atlas.EnrolmentCAKeyFile()))
	_, err = Adapters(consortium, layout, 1, "7", t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "issue an adapter of Atlas, which signs what Caliper anchors: the key of its enrolment authority")
}

func TestNetworksThatAreNone(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	_, err := Running(t.Context(), none)
	require.EqualError(t, err, "there is no network in "+none+": make and start one with `callseal network up --state "+none+"`")
	other := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(other, "file"), nil, 0o600))
	_, err = Running(t.Context(), other)
	require.ErrorContains(t, err, "holds other files and no network")
	old := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(old, "network.json"), []byte(`{"format":1}`), 0o600))
	_, err = Running(t.Context(), old)
	require.ErrorContains(t, err, "was made by another version of callseal")
}
