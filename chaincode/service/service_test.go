package service_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/chaincode/service"
)

// authority issues TLS certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{certificate: certificate, key: key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// issue makes a certificate for localhost, valid until the given time.
func (a *authority) issue(t *testing.T, until time.Time, usage x509.ExtKeyUsage) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, private.Public(), a.key)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// setup is a good configuration on disk; servers and clients have authorities of
// their own, as in the network.
func setup(t *testing.T) (config service.Config, servers, clients *authority) {
	t.Helper()
	servers, clients = newAuthority(t), newAuthority(t)
	folder := t.TempDir()
	certificate, key := servers.issue(t, time.Now().Add(time.Hour), x509.ExtKeyUsageServerAuth)
	for name, content := range map[string][]byte{"cert.pem": certificate, "key.pem": key, "ca.pem": clients.pem()} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), content, 0o600))
	}
	var free [2]string
	for i := range free {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = listener.Close() }()
		free[i] = listener.Addr().String()
	}
	return service.Config{
		Address: free[0], PackageID: "callseal:1", GovernanceAddress: free[1], GovernancePackageID: "governance:1", PeerMSP: "AtlasMSP",
		CertFile: filepath.Join(folder, "cert.pem"), KeyFile: filepath.Join(folder, "key.pem"), ClientCAFile: filepath.Join(folder, "ca.pem"),
	}, servers, clients
}

// serve runs the service until the test ends, and checks that it then stops.
func serve(t *testing.T, config service.Config) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- service.Serve(ctx, config) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(10 * time.Second):
			t.Error("the service does not stop")
		}
		for _, address := range []string{config.Address, config.GovernanceAddress} {
			_, err := net.DialTimeout("tcp", address, time.Second)
			require.Error(t, err, "the port is closed")
		}
	})
	for _, address := range []string{config.Address, config.GovernanceAddress} {
		require.Eventually(t, func() bool {
			connection, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				_ = connection.Close()
			}
			return err == nil
		}, 10*time.Second, 10*time.Millisecond)
	}
}

// connect dials with the given client certificates.
func connect(t *testing.T, address string, servers *authority, certificates ...tls.Certificate) *grpc.ClientConn {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(servers.certificate)
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: pool, Certificates: certificates, MinVersion: tls.VersionTLS12,
	})))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func keyPair(t *testing.T, certificate, key []byte) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(certificate, key)
	require.NoError(t, err)
	return pair
}

func TestAPeerConnectsAndRegistersBothChaincodes(t *testing.T) {
	config, servers, clients := setup(t)
	serve(t, config)
	certificate, key := clients.issue(t, time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth)
	for address, packageID := range map[string]string{config.Address: "callseal:1", config.GovernanceAddress: "governance:1"} {
		connection := connect(t, address, servers, keyPair(t, certificate, key))

		answer, err := healthpb.NewHealthClient(connection).Check(t.Context(), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		require.Equal(t, healthpb.HealthCheckResponse_SERVING, answer.GetStatus())

		stream, err := peer.NewChaincodeClient(connection).Connect(t.Context())
		require.NoError(t, err)
		message, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, peer.ChaincodeMessage_REGISTER, message.GetType())
		require.True(t, bytes.Contains(message.GetPayload(), []byte(packageID)), "it names its package")
	}
}

func TestOthersDoNotConnect(t *testing.T) {
	config, servers, clients := setup(t)
	serve(t, config)
	stranger := newAuthority(t)
	pair := func(a *authority, until time.Time, usage x509.ExtKeyUsage) []tls.Certificate {
		certificate, key := a.issue(t, until, usage)
		return []tls.Certificate{keyPair(t, certificate, key)}
	}
	later := time.Now().Add(time.Hour)
	for name, certificates := range map[string][]tls.Certificate{
		"no certificate":              nil,
		"a stranger's":                pair(stranger, later, x509.ExtKeyUsageClientAuth),
		"one of the service's own CA": pair(servers, later, x509.ExtKeyUsageClientAuth),
		"an expired":                  pair(clients, time.Now().Add(-time.Hour), x509.ExtKeyUsageClientAuth),
		"a server's":                  pair(clients, later, x509.ExtKeyUsageServerAuth),
	} {
		t.Run(name, func(t *testing.T) {
			connection := connect(t, config.Address, servers, certificates...)
			_, err := healthpb.NewHealthClient(connection).Check(t.Context(), &healthpb.HealthCheckRequest{})
			require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
			stream, err := peer.NewChaincodeClient(connection).Connect(t.Context())
			if err == nil {
				_, err = stream.Recv()
			}
			require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		})
	}
	t.Run("plain text", func(t *testing.T) {
		connection, err := grpc.NewClient(config.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		defer func() { _ = connection.Close() }()
		_, err = healthpb.NewHealthClient(connection).Check(t.Context(), &healthpb.HealthCheckRequest{})
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
	})
	t.Run("old TLS", func(t *testing.T) {
		pool := x509.NewCertPool()
		pool.AddCert(servers.certificate)
		_, err := tls.Dial("tcp", config.Address, &tls.Config{
			RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, // to see it refused
		})
		require.Error(t, err)
	})
}

func TestTheConfigurationComesFromTheEnvironment(t *testing.T) {
	variables := []string{
		"CHAINCODE_SERVER_ADDRESS", "CORE_CHAINCODE_ID_NAME", "CALLSEAL_GOVERNANCE_ADDRESS", "CALLSEAL_GOVERNANCE_ID",
		"CORE_PEER_LOCALMSPID", "CALLSEAL_TLS_CERT", "CALLSEAL_TLS_KEY", "CALLSEAL_TLS_CLIENT_CA",
	}
	for _, variable := range variables {
		t.Setenv(variable, "")
	}
	err := service.Run(service.FromEnvironment())
	for _, variable := range variables {
		require.ErrorContains(t, err, variable+" is not set", "all are named at once")
	}
	for i, variable := range variables {
		t.Setenv(variable, variable)
		err := service.Serve(t.Context(), service.FromEnvironment())
		require.NotContains(t, err.Error(), variable+" is not set")
		for _, left := range variables[i+1:] {
			require.ErrorContains(t, err, left+" is not set")
		}
	}
	require.Equal(t, service.Config{
		Address: "CHAINCODE_SERVER_ADDRESS", PackageID: "CORE_CHAINCODE_ID_NAME",
		GovernanceAddress: "CALLSEAL_GOVERNANCE_ADDRESS", GovernancePackageID: "CALLSEAL_GOVERNANCE_ID", PeerMSP: "CORE_PEER_LOCALMSPID",
		CertFile: "CALLSEAL_TLS_CERT", KeyFile: "CALLSEAL_TLS_KEY", ClientCAFile: "CALLSEAL_TLS_CLIENT_CA",
	}, service.FromEnvironment())
}

func TestABrokenConfigurationIsOneSentence(t *testing.T) {
	good, _, _ := setup(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	nonsense := filepath.Join(t.TempDir(), "nonsense.pem")
	require.NoError(t, os.WriteFile(nonsense, []byte("nonsense"), 0o600))
	for _, c := range []struct {
		want   string
		change func(*service.Config)
	}{
		{"CORE_PEER_LOCALMSPID", func(c *service.Config) { c.PeerMSP = "Atlas MSP" }},
		{"listen for the peer", func(c *service.Config) { c.Address = taken.Addr().String() }},
		{"listen for the peer", func(c *service.Config) { c.GovernanceAddress = taken.Addr().String() }},
		{"load the service's TLS certificate", func(c *service.Config) { c.CertFile = "nowhere" }},
		{"load the service's TLS certificate", func(c *service.Config) { c.KeyFile = nonsense }},
		{"read the peers' CA", func(c *service.Config) { c.ClientCAFile = "nowhere" }},
		{"nonsense.pem holds no PEM certificate", func(c *service.Config) { c.ClientCAFile = nonsense }},
	} {
		config := good
		c.change(&config)
		require.ErrorContains(t, service.Serve(t.Context(), config), c.want)
	}
}
