package network_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-admin-sdk/pkg/identity"
	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

// own makes the peers use this test program as external builder.
func own() networktest.Option {
	return func(o *network.Options) { o.Builder = []string{os.Args[0], "builder"} }
}

// twoPeersEach is the development consortium in which every operator has two peers.
func twoPeersEach() networktest.Option {
	consortium := network.Development()
	for i := range consortium.Operators {
		port := 21053 + 100*i
		consortium.Operators[i].MorePeers = []network.PeerAddresses{{
			Address: fmt.Sprintf("127.0.0.1:%d", port), Operations: fmt.Sprintf("127.0.0.1:%d", port+1),
		}}
	}
	return networktest.WithConsortium(consortium)
}

func states(t *testing.T, n *networktest.Network) map[string]network.NodeStatus {
	t.Helper()
	report, err := n.Status(t.Context())
	require.NoError(t, err)
	byName := map[string]network.NodeStatus{}
	for _, one := range report {
		byName[one.Node] = one
	}
	require.Len(t, byName, len(report))
	return byName
}

func requireAll(t *testing.T, n *networktest.Network, state string) map[string]network.NodeStatus {
	t.Helper()
	report := states(t, n)
	for _, one := range report {
		require.Equal(t, state, one.State, "%s: %s", one.Node, one.Problem)
	}
	return report
}

// requireGone checks that nothing of a network is left: no process that was
// started for its folder, no port that cannot be had.
func requireGone(t *testing.T, n *networktest.Network) {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, file := range environments {
		for _, of := range []string{file, filepath.Join(filepath.Dir(file), "cmdline")} {
			content, err := os.ReadFile(of)
			if err == nil && !strings.HasPrefix(file, fmt.Sprintf("/proc/%d/", os.Getpid())) {
				require.NotContains(t, string(content), n.Layout().Root(), "%s belongs to the network", of)
			}
		}
	}
	for _, address := range n.Consortium().Addresses() {
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}

func TestNetworkLife(t *testing.T) {
	for _, test := range []struct {
		consensus string
		nodes     int
		options   []networktest.Option
	}{
		{"bft", 14, []networktest.Option{own(), networktest.WithGateways()}},
		{"raft", 10, []networktest.Option{own(), networktest.WithRaft()}},
	} {
		t.Run(test.consensus, func(t *testing.T) {
			t.Parallel()
			n := networktest.Start(t, test.options...)
			first := requireAll(t, n, network.StateRunning)
			require.Len(t, first, test.nodes)
			for _, one := range first {
				require.Positive(t, one.PID)
				require.Positive(t, one.MemoryBytes)
			}
			height := first["atlas-peer"].Height
			require.Greater(t, height, uint64(4), "approvals, commit and enrolments are on the ledger")
			require.Equal(t, height, first["meridian-peer"].Height, "the regulator sees the same")
			for _, operator := range n.Consortium().Operators {
				if _, running := first[operator.ID()+"-gateway"]; running {
					requireTold(t, operator.Gateway.Address, clientTLS(t, n.Layout().Operator(operator.Name), "", ""))
				}
			}

			n.Up()
			again := requireAll(t, n, network.StateRunning)
			for name, one := range again {
				require.Equal(t, first[name].PID, one.PID, "up on a running network leaves %s be", name)
				require.Equal(t, first[name].Height, one.Height)
			}

			require.NoError(t, n.Down(t.Context()))
			requireAll(t, n, network.StateStopped)
			requireGone(t, n)
			require.NoError(t, n.Down(t.Context()), "down on a stopped network does nothing")

			n.Up()
			restarted := requireAll(t, n, network.StateRunning)
			require.Equal(t, height, restarted["atlas-peer"].Height, "the old ledger goes on")
			require.Equal(t, height, restarted["meridian-peer"].Height)
			require.Equal(t, peer.TxValidationCode_VALID, enrolNew(t, n, "atlas", "AtlasMSP", "BorealisMSP"), "and takes transactions")

			require.NoError(t, network.Clean(t.Context(), n.Layout().Root()))
			require.NoDirExists(t, n.Layout().Root())
			requireGone(t, n)
		})
	}
}

// contractOf connects an admin to its own peer.
func contractOf(t *testing.T, n *networktest.Network, member string) *client.Contract {
	t.Helper()
	return contractAs(t, n, member, "admin")
}

// contractAs connects one of a member's identities to its own peer.
func contractAs(t *testing.T, n *networktest.Network, member, name string) *client.Contract {
	t.Helper()
	return contractIn(t, n, member, name, n.Consortium().Chaincode)
}

// contractIn connects it to any chaincode there.
func contractIn(t *testing.T, n *networktest.Network, member, name, chaincode string) *client.Contract {
	t.Helper()
	return contractAt(t, n, seats(t, n, member)[0], name, chaincode)
}

// seats are a member as each of its peers sees it.
func seats(t *testing.T, n *networktest.Network, member string) []network.Member {
	t.Helper()
	m, err := n.Consortium().Member(member)
	require.NoError(t, err)
	return m.Peers()
}

// contractAt connects it to a chaincode at one of the member's peers.
func contractAt(t *testing.T, n *networktest.Network, m network.Member, name, chaincode string) *client.Contract {
	t.Helper()
	files := n.Layout().Operator(m.Name)
	who := files.Identity(name)
	cert, err := identity.ReadCertificate(who.CertFile())
	require.NoError(t, err)
	key, err := identity.ReadPrivateKey(who.KeyFile())
	require.NoError(t, err)
	signer, err := identity.NewPrivateKeySigningIdentity(m.MSP, cert, key)
	require.NoError(t, err)
	connection, err := grpc.NewClient(m.Peer.Address, grpc.WithTransportCredentials(credentials.NewTLS(clientTLS(t, files, who.TLSCertFile(), who.TLSKeyFile()))))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	gateway, err := client.Connect(signer, client.WithSign(signer.Sign), client.WithHash(hash.NONE), client.WithClientConnection(connection))
	require.NoError(t, err)
	t.Cleanup(func() { _ = gateway.Close() })
	return gateway.GetNetwork(n.Consortium().Channel).GetContract(chaincode)
}

func clientTLS(t *testing.T, files network.Organisation, certFile, keyFile string) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(files.TLSCAFile())
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	if certFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		require.NoError(t, err)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return config
}

// enrolNew submits a fresh write endorsed by the named organisations and
// returns what the peers decided about it.
func enrolNew(t *testing.T, n *networktest.Network, member string, endorsers ...string) peer.TxValidationCode {
	t.Helper()
	files := n.Layout().Operator(member)
	var ca msp.Pair
	var err error
	ca.CertPEM, err = os.ReadFile(files.EnrolmentCAFile())
	require.NoError(t, err)
	ca.KeyPEM, err = os.ReadFile(files.EnrolmentCAKeyFile())
	require.NoError(t, err)
	issuer, err := msp.ParseIssuer(ca)
	require.NoError(t, err)
	adapter, err := issuer.Issue(msp.Request{
		CommonName: "new-pbx." + member, Unit: msp.UnitClient,
		Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: "new-pbx"},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	proposal, err := contractOf(t, n, member).NewProposal("adapters:Enrol", client.WithArguments(string(adapter.CertPEM)), client.WithEndorsingOrganizations(endorsers...))
	require.NoError(t, err)
	transaction, err := proposal.EndorseWithContext(ctx)
	require.NoError(t, err)
	commit, err := transaction.SubmitWithContext(ctx)
	require.NoError(t, err)
	status, err := commit.StatusWithContext(ctx)
	require.NoError(t, err)
	return status.Code
}

func TestRunningNetwork(t *testing.T) {
	n := networktest.Start(t, own(), twoPeersEach())
	t.Run("two of three operators endorse", func(t *testing.T) {
		require.Equal(t, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE, enrolNew(t, n, "atlas", "AtlasMSP"))
		require.Equal(t, peer.TxValidationCode_VALID, enrolNew(t, n, "atlas", "AtlasMSP", "CorvusMSP"))
		require.Equal(t, peer.TxValidationCode_VALID, enrolNew(t, n, "borealis", "BorealisMSP", "CorvusMSP"))
	})
	t.Run("the regulator cannot write", func(t *testing.T) {
		proposal, err := contractOf(t, n, "meridian").NewProposal("adapters:Enrol", client.WithArguments("x"), client.WithEndorsingOrganizations("AtlasMSP", "BorealisMSP"))
		require.NoError(t, err)
		_, err = proposal.EndorseWithContext(t.Context())
		require.Error(t, err)
	})
	t.Run("mutual TLS is demanded", func(t *testing.T) { requireMutualTLS(t, n) })
	t.Run("only the peer reaches its chaincode service", func(t *testing.T) {
		member, err := n.Consortium().Member("atlas")
		require.NoError(t, err)
		files := n.Layout().Operator("atlas")
		admin, gateway := files.Identity("admin"), files.Identity("gateway")
		for _, pair := range [][2]string{
			{admin.TLSCertFile(), admin.TLSKeyFile()},
			{gateway.CertFile(), gateway.KeyFile()},
			{files.Server("peer").CertFile(), files.Server("peer").KeyFile()},
		} {
			requireRefused(t, member.Chaincode.Address, clientTLS(t, files, pair[0], pair[1]))
		}
	})
	t.Run("one operator down, the others go on", func(t *testing.T) {
		n.Kill("corvus-orderer")
		n.Kill("corvus-peer")
		n.Kill("corvus-chaincode")
		report := states(t, n)
		require.Equal(t, network.StateStopped, report["corvus-peer"].State)
		require.Equal(t, network.StateRunning, report["atlas-peer"].State)
		require.Equal(t, peer.TxValidationCode_VALID, enrolNew(t, n, "atlas", "AtlasMSP", "BorealisMSP"))
		n.StartNode("corvus-orderer")
		n.StartNode("corvus-chaincode")
		n.StartNode("corvus-peer")
		want := states(t, n)["atlas-peer"].Height
		require.Eventually(t, func() bool { return states(t, n)["corvus-peer"].Height == want }, 30*time.Second, 50*time.Millisecond, "it catches up")
	})
	t.Run("revoked identities are refused", func(t *testing.T) { requireRevocation(t, n) })
	t.Run("Fabric's own peer program works with env", func(t *testing.T) { requirePeerProgram(t, n) })
	t.Run("logs hold no colour and can be followed", func(t *testing.T) {
		var log bytes.Buffer
		require.NoError(t, n.Logs(t.Context(), "atlas-chaincode", false, &log))
		require.NotEmpty(t, log.String())
		require.NotContains(t, log.String(), "\x1b[")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		require.NoError(t, n.Logs(ctx, "ATLAS-PEER", true, io.Discard))
		require.ErrorContains(t, n.Logs(t.Context(), "atlas-pear", false, io.Discard), `no node is called "atlas-pear"`)
	})
	t.Run("the options must fit the network", func(t *testing.T) {
		state := n.Layout().Root()
		_, err := network.Open(network.Options{State: state, Consensus: network.Raft})
		require.ErrorContains(t, err, "orders by bft, not raft")
		_, err = network.Open(network.Options{State: state, PortOffset: 17})
		require.ErrorContains(t, err, "was made with port offset")
		same, err := network.Open(network.Options{State: state})
		require.NoError(t, err)
		require.Equal(t, n.Consortium(), same.Consortium(), "no option means the network as it was made")
	})
}

func requireMutualTLS(t *testing.T, n *networktest.Network) {
	t.Helper()
	stranger, err := msp.NewIssuer("stranger CA", "Stranger")
	require.NoError(t, err)
	pair, err := stranger.Issue(msp.Request{CommonName: "stranger"})
	require.NoError(t, err)
	folder := t.TempDir()
	certFile, keyFile := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pair.CertPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pair.KeyPEM, 0o600))
	for _, member := range n.Consortium().Members() {
		files := n.Layout().Operator(member.Name)
		addresses := []string{member.Orderer.Address, member.Orderer.Admin, member.Orderer.Operations}
		for _, seat := range member.Peers() {
			addresses = append(addresses, seat.Peer.Address, seat.Peer.Operations)
		}
		if member.Chaincode != nil {
			addresses = append(addresses, member.Chaincode.Address, member.Chaincode.Governance)
		}
		for _, address := range addresses {
			requireRefused(t, address, clientTLS(t, files, "", ""))
			requireRefused(t, address, clientTLS(t, files, certFile, keyFile))
		}
		// The same endpoint answers who shows a certificate.
		admin := files.Identity("admin")
		transport := &http.Transport{TLSClientConfig: clientTLS(t, files, admin.TLSCertFile(), admin.TLSKeyFile())}
		response, err := (&http.Client{Transport: transport}).Get("https://" + member.Peer.Operations + "/healthz")
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		transport.CloseIdleConnections()
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
}

// requireRefused connects and checks that the server ends the connection for
// want of a certificate. Under TLS 1.3 a client learns that with its first read.
func requireRefused(t *testing.T, address string, config *tls.Config) {
	t.Helper()
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	connection, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, config)
	if err == nil {
		defer func() { _ = connection.Close() }()
		require.NoError(t, connection.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = io.ReadAll(connection)
	}
	require.Error(t, err, "%s let us in", address)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "%s let us in", address)
	require.Regexp(t, "certificate", err.Error(), address)
}

// requireTold calls a gateway, which tells in words for want of what it lets nobody
// in, and lets nobody in.
func requireTold(t *testing.T, address string, config *tls.Config) {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = healthpb.NewHealthClient(connection).Check(ctx, &healthpb.HealthCheckRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err), "%s: %v", address, err)
	require.Contains(t, err.Error(), "certificate", address)
}

func requirePeerProgram(t *testing.T, n *networktest.Network) {
	t.Helper()
	program := filepath.Join(os.Getenv("FABRIC_BIN"), "peer")
	if os.Getenv("FABRIC_BIN") == "" {
		var err error
		if program, err = exec.LookPath("peer"); err != nil {
			cached, err := filepath.Glob(cacheFolder(t) + "/callseal/fabric/v3.1.1-*/peer")
			require.NoError(t, err)
			require.NotEmpty(t, cached)
			program = cached[0]
		}
	}
	variables, err := n.Env("atlas")
	require.NoError(t, err)
	script := ""
	for _, variable := range variables {
		script += variable.Export() + "\n"
	}
	output, err := exec.Command("/bin/sh", "-c", script+"'"+program+"' channel getinfo -c calls").CombinedOutput()
	require.NoError(t, err, string(output))
	require.Contains(t, string(output), `"height":`)
	_, err = n.Env("zephyr")
	require.ErrorContains(t, err, "the members are atlas, borealis, corvus, meridian")
}

func cacheFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.UserCacheDir()
	require.NoError(t, err)
	return folder
}

func TestTakenPort(t *testing.T) {
	n := networktest.Prepare(t, own())
	member, err := n.Consortium().Member("borealis")
	require.NoError(t, err)
	listener, err := net.Listen("tcp", member.Orderer.Admin)
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	err = n.Network.Up(t.Context(), nil)
	var taken *network.PortTakenError
	require.ErrorAs(t, err, &taken)
	_, port, err := net.SplitHostPort(member.Orderer.Admin)
	require.NoError(t, err)
	require.EqualError(t, taken, fmt.Sprintf("port %s is taken, and it belongs to Borealis's orderer admin endpoint: stop the program that listens on %s, or move the network with --port-offset", port, member.Orderer.Admin))
	require.NoDirExists(t, n.Layout().Root(), "nothing was written")
}

func TestHalfMadeState(t *testing.T) {
	t.Run("making it failed", func(t *testing.T) {
		// A Fabric that says the right version and then cannot make the channel.
		broken := t.TempDir()
		for _, program := range []string{"peer", "orderer", "configtxgen"} {
			script := "#!/bin/sh\ncase $1 in version|-version) echo ' Version: v3.1.1';; *) echo no space left >&2; exit 1;; esac\n"
			require.NoError(t, os.WriteFile(filepath.Join(broken, program), []byte(script), 0o700))
		}
		n := networktest.Prepare(t, own(), func(o *network.Options) { o.FabricBin = broken })
		require.ErrorContains(t, n.Network.Up(t.Context(), nil), "no space left")
		requireHalfMade(t, n, "an earlier start was interrupted while making it")
	})
	t.Run("file missing", func(t *testing.T) {
		n := networktest.Start(t, own())
		require.NoError(t, n.Down(t.Context()))
		require.NoError(t, os.Remove(n.Layout().Operator("corvus").TLSCAFile()))
		requireHalfMade(t, n, "organisations/corvus/tls-ca/cert.pem is missing")
	})
	t.Run("marker unreadable", func(t *testing.T) {
		state := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(state, "network.json"), []byte("{"), 0o600))
		_, err := network.Open(network.Options{State: state})
		require.ErrorContains(t, err, "network.json is not readable")
	})
	t.Run("of another version", func(t *testing.T) {
		state := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(state, "network.json"), []byte(`{"format":99}`), 0o600))
		_, err := network.Open(network.Options{State: state})
		require.ErrorContains(t, err, "made by another version of callseal (format 99")
		require.NoError(t, network.Clean(t.Context(), state), "which the sentence advises")
		require.NoDirExists(t, state)
	})
	t.Run("somebody's own folder", func(t *testing.T) {
		state := t.TempDir()
		precious := filepath.Join(state, "thesis.tex")
		require.NoError(t, os.WriteFile(precious, nil, 0o600))
		_, err := network.Open(network.Options{State: state})
		require.ErrorContains(t, err, "holds other files and no network")
		require.Error(t, network.Clean(t.Context(), state))
		require.FileExists(t, precious)
	})
}

func requireHalfMade(t *testing.T, n *networktest.Network, reason string) {
	t.Helper()
	want := fmt.Sprintf("the state folder %s is half-made, %s: remove it with `callseal network clean` and start again", n.Layout().Root(), reason)
	err := n.Network.Up(t.Context(), nil)
	var half *network.HalfMadeError
	require.ErrorAs(t, err, &half)
	require.EqualError(t, err, want)
	require.NoError(t, network.Clean(t.Context(), n.Layout().Root()))
	require.NoDirExists(t, n.Layout().Root())
}

func TestMissingProgram(t *testing.T) {
	empty := t.TempDir()
	n := networktest.Prepare(t, own(), networktest.WithBin(empty))
	err := n.Network.Up(t.Context(), nil)
	require.EqualError(t, err, "the program callseal-chaincode is missing: it should be in "+empty+"; `make build` makes it")
	require.NoDirExists(t, n.Layout().Root())
}

func TestWrongFabricIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	old := t.TempDir()
	for _, program := range []string{"peer", "orderer", "configtxgen"} {
		require.NoError(t, os.WriteFile(filepath.Join(old, program), []byte("#!/bin/sh\necho ' Version: v2.5.12'\n"), 0o700))
	}
	n := networktest.Prepare(t, own(), func(o *network.Options) { o.FabricBin = old })
	require.ErrorContains(t, n.Network.Up(t.Context(), nil), "is Fabric v2.5.12, and Callseal needs v3.1.x")
	require.NoDirExists(t, n.Layout().Root())
}

// TestNodeThatEnds checks that a node which cannot run is reported with its own
// words instead of being waited for.
func TestNodeThatEnds(t *testing.T) {
	n := networktest.Start(t, own())
	n.Stop("atlas-peer")
	core := filepath.Join(n.Layout().Root(), "organisations", "atlas", "peer", "core.yaml")
	require.NoError(t, os.WriteFile(core, []byte("peer: { localMspId: AtlasMSP }\n"), 0o600))
	begun := time.Now()
	err := n.Start(t.Context(), "atlas-peer")
	require.ErrorContains(t, err, "start atlas-peer: it ended by itself, and its last words were")
	require.Less(t, time.Since(begun), 20*time.Second)
}
