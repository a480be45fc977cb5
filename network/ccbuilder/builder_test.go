package ccbuilder_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hyperledger/fabric-admin-sdk/pkg/chaincode"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/network/ccbuilder"
)

func write(t *testing.T, folder string, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	return folder
}

func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	compressed, err := gzip.NewReader(bytes.NewReader(archive))
	require.NoError(t, err)
	files := map[string]string{}
	for reader := tar.NewReader(compressed); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		content, err := io.ReadAll(reader)
		require.NoError(t, err)
		files[header.Name] = string(content)
	}
}

var material = map[string]string{
	"cert.pem": "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n",
	"key.pem":  "-----BEGIN PRIVATE KEY-----\nBB\n-----END PRIVATE KEY-----\n",
	"ca.pem":   "-----BEGIN CERTIFICATE-----\nCC\n-----END CERTIFICATE-----\n",
}

func TestPackHoldsTheAddressAndNoKey(t *testing.T) {
	pack, err := ccbuilder.Pack("callseal_1.0", "127.0.0.1:21071")
	require.NoError(t, err)
	again, err := ccbuilder.Pack("callseal_1.0", "127.0.0.1:21071")
	require.NoError(t, err)
	require.Equal(t, pack, again, "equal input, equal package, equal id")
	other, err := ccbuilder.Pack("callseal_1.0", "127.0.0.1:21171")
	require.NoError(t, err)
	require.NotEqual(t, pack.ID, other.ID)

	id, err := chaincode.PackageID(bytes.NewReader(pack.Content))
	require.NoError(t, err)
	require.Equal(t, id, pack.ID, "the id is the one Fabric computes")

	files := unpack(t, pack.Content)
	require.JSONEq(t, `{"type":"callseal","label":"callseal_1.0"}`, files["metadata.json"])
	code := unpack(t, []byte(files["code.tar.gz"]))
	require.Equal(t, map[string]string{"connection.json": `{"address":"127.0.0.1:21071"}`}, code)
}

func TestDetect(t *testing.T) {
	require.NoError(t, ccbuilder.Detect(write(t, t.TempDir(), map[string]string{"metadata.json": `{"type":"callseal","label":"x"}`})))
	err := ccbuilder.Detect(write(t, t.TempDir(), map[string]string{"metadata.json": `{"type":"golang"}`}))
	require.ErrorIs(t, err, ccbuilder.ErrNotOurs)
	require.ErrorContains(t, ccbuilder.Detect(write(t, t.TempDir(), map[string]string{"metadata.json": `type`})), "not JSON")
	require.ErrorContains(t, ccbuilder.Detect(t.TempDir()), "metadata")
}

func TestBuildAndRelease(t *testing.T) {
	source := write(t, t.TempDir(), map[string]string{"connection.json": `{"address":"127.0.0.1:21071"}`})
	built, released := t.TempDir(), t.TempDir()
	t.Setenv(ccbuilder.TLSVariable, write(t, t.TempDir(), material))
	require.NoError(t, ccbuilder.Run("build", []string{source, t.TempDir(), built}))
	require.NoError(t, ccbuilder.Run("release", []string{built, released}))

	file := filepath.Join(released, "chaincode", "server", "connection.json")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds a key")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(content, &got))
	require.Equal(t, map[string]any{
		"address": "127.0.0.1:21071", "dial_timeout": "5s", "tls_required": true, "client_auth_required": true,
		"client_cert": material["cert.pem"], "client_key": material["key.pem"], "root_cert": material["ca.pem"],
	}, got)
}

func TestBuildRefusesBadAddresses(t *testing.T) {
	for content, want := range map[string]string{
		`{}`:                        "is not host:port",
		`{"address":"127.0.0.1"}`:   "is not host:port",
		`{"address":"127.0.0.1:"}`:  "is not host:port",
		`not JSON`:                  "is not JSON",
		`{"address":["127.0.0.1"]}`: "is not JSON",
	} {
		source := write(t, t.TempDir(), map[string]string{"connection.json": content})
		require.ErrorContains(t, ccbuilder.Build(source, t.TempDir()), want, content)
	}
	require.ErrorContains(t, ccbuilder.Build(t.TempDir(), t.TempDir()), "connection.json")
}

func TestReleaseNeedsThePeersCertificate(t *testing.T) {
	built := write(t, t.TempDir(), map[string]string{"connection.json": `{"address":"127.0.0.1:21071"}`})
	require.ErrorContains(t, ccbuilder.Release(built, t.TempDir(), ""), ccbuilder.TLSVariable+" is not set")
	require.ErrorContains(t, ccbuilder.Release(built, t.TempDir(), t.TempDir()), "cert.pem")
	broken := write(t, t.TempDir(), material)
	write(t, broken, map[string]string{"key.pem": "not a key"})
	err := ccbuilder.Release(built, t.TempDir(), broken)
	require.ErrorContains(t, err, "key.pem is not PEM")
	require.NotContains(t, err.Error(), "not a key", "no key material in errors")
}

func TestRunChecksItsArguments(t *testing.T) {
	require.ErrorContains(t, ccbuilder.Run("run", nil), `no step "run"`)
	require.ErrorContains(t, ccbuilder.Run("detect", []string{"x"}), "takes 2 folders and was given 1")
}
