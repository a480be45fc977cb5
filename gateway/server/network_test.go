package server_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const (
	atlas, borealis, corvus = "Atlas", "Borealis", "Corvus"
	admin, auditor          = "admin", "auditor"
	compliance              = "compliance"
)

// world is a network of three operators with their gateways, programs of their own.
type world struct {
	*networktest.Network
	adapters map[string]*gatewaytest.Adapter // by operator
	// told is what the operators' adapters anchored before all else.
	told map[string]*told
	// answered are the methods that a gateway answered without an error.
	answered answers
}

// told is a history that an adapter anchored.
type told struct {
	first, second, recording gatewaytest.Entry
	receipt                  *pb.SegmentReceipt
}

// TestEveryMethodOnARealNetwork calls every method of every service through real
// gateways of a real network, and looks at what stands on the ledger afterwards.
// Then it holds two databases, and a gateway that was killed, against that ledger.
func TestEveryMethodOnARealNetwork(t *testing.T) {
	w := &world{
		Network: networktest.Start(t, networktest.WithGateways()), adapters: map[string]*gatewaytest.Adapter{}, told: map[string]*told{},
		answered: answers{methods: map[string]bool{}},
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"histories", testHistories},
		{"disputes", testDisputes},
		{"corrections", testCorrections},
		{"terms and holds", testTerms},
		{"consents", testConsents},
		{"violations", testViolations},
		{"appeals", testAppeals},
		{"a segment that comes late", testLateSegments},
		{"devices", testDevices},
		{"policies", testPolicies},
		{"erasures", testErasures},
		{"the outbox", testOutbox},
		{"what is streamed", testStreams},
		{"lists", testLists},
		{"every method was answered", testEveryMethodAnswered},
		{"nothing is missed when a gateway is killed", testKilledGateway},
		{"two databases", testTwoDatabases},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, w) }) {
			return // what follows builds on it
		}
	}
}

// answers remembers which methods were answered.
type answers struct {
	mu      sync.Mutex
	methods map[string]bool
}

func (a *answers) add(method string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.methods[method] = true
}

// listened is a connection that notes which methods are answered.
type listened struct {
	*grpc.ClientConn
	to *answers
}

func (c listened) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	err := c.ClientConn.Invoke(ctx, method, args, reply, options...)
	if err == nil {
		c.to.add(method)
	}
	return err
}

func (c listened) NewStream(ctx context.Context, about *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := c.ClientConn.NewStream(ctx, about, method, options...)
	return listenedStream{ClientStream: stream, method: method, to: c.to}, err
}

type listenedStream struct {
	grpc.ClientStream
	method string
	to     *answers
}

func (s listenedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil {
		s.to.add(s.method)
	}
	return err
}

// testEveryMethodAnswered fails for a method that nothing above had answered.
func testEveryMethodAnswered(t *testing.T, w *world) {
	var missing []string
	protoregistry.GlobalFiles.RangeFilesByPackage("callseal.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				if method := "/" + string(service.FullName()) + "/" + string(service.Methods().Get(j).Name()); !w.answered.methods[method] {
					missing = append(missing, method)
				}
			}
		}
		return true
	})
	slices.Sort(missing)
	require.Empty(t, missing)
	require.Greater(t, len(w.answered.methods), 75)
}

func (w *world) member(t *testing.T, operator string) network.Member {
	t.Helper()
	member, err := w.Consortium().Member(operator)
	require.NoError(t, err)
	return member
}

func (w *world) pbx(t *testing.T, operator string) string {
	t.Helper()
	return w.member(t, operator).PBXs[0]
}

// as is an operator's gateway as one of its identities reaches it.
func (w *world) as(t *testing.T, operator, identity string) grpc.ClientConnInterface {
	t.Helper()
	files := w.Layout().Operator(operator).Identity(identity)
	return w.with(t, operator, files.CertFile(), files.KeyFile())
}

// with is an operator's gateway as whoever holds a key reaches it.
func (w *world) with(t *testing.T, operator, certFile, keyFile string) grpc.ClientConnInterface {
	t.Helper()
	connection, err := connect.Dial(connect.Config{
		Address: w.member(t, operator).Gateway.Address, CAFile: w.Layout().Operator(operator).TLSCAFile(), CertFile: certFile, KeyFile: keyFile,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return listened{ClientConn: connection, to: &w.answered}
}

// peer is the channel as an operator's identity sees it at its own peer, without any
// gateway.
func (w *world) peer(t *testing.T, operator, identity string) *fabric.Channel {
	t.Helper()
	org, member := w.Layout().Operator(operator), w.member(t, operator)
	files := org.Identity(identity)
	opened, err := fabric.Open(fabric.Config{
		MSP: member.MSP, Channel: w.Consortium().Channel, Chaincode: w.Consortium().Chaincode, Peers: []fabric.PeerConfig{{Address: member.Peer.Address, CAFile: org.TLSCAFile()}},
		TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// enrollee makes an adapter's certificate that nobody has enrolled, and answers its
// files.
func (w *world) enrollee(t *testing.T, operator, pbx string) (certFile, keyFile string) {
	t.Helper()
	org := w.Layout().Operator(operator)
	read := func(path string) []byte {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return content
	}
	issuer, err := msp.ParseIssuer(msp.Pair{CertPEM: read(org.EnrolmentCAFile()), KeyPEM: read(org.EnrolmentCAKeyFile())})
	require.NoError(t, err)
	pair, err := issuer.Issue(msp.Request{
		CommonName: pbx, Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: string(ledger.RoleAdapter), msp.AttributePBX: pbx},
	})
	require.NoError(t, err)
	folder := t.TempDir()
	certFile, keyFile = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pair.CertPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pair.KeyPEM, 0o600))
	return certFile, keyFile
}

// valid checks that a change stands, by a transaction that two operators endorsed.
func valid(t *testing.T, commit *pb.Commit) {
	t.Helper()
	require.Equal(t, "VALID", commit.GetValidationCode())
	require.GreaterOrEqual(t, len(commit.GetEndorsers()), 2)
}

// refused checks that a gateway said no, and what.
func refused(t *testing.T, err error, code codes.Code, says string) {
	t.Helper()
	require.Equal(t, code, status.Code(err), "%v", err)
	require.Contains(t, status.Convert(err).Message(), says)
	require.NotEmpty(t, connect.ProblemOf(err).Reason)
}

func leg(entry gatewaytest.Entry) *pb.LegId {
	id := entry.Record.Call.Leg
	return &pb.LegId{Linkedid: id.LinkedID, Uniqueid: id.UniqueID, Sequence: id.Sequence}
}

// digest is some SHA-256.
func digest(of string) string { return strings.Repeat(of, 32) }
