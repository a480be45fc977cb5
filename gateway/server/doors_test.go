package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/trail"
	"github.com/callseal/callseal/network/msp"
)

const patience = time.Minute

// house is a gateway's server on a real port, with an operator's authority that
// issues what a test needs. Its peer is away.
type house struct {
	*Server
	t       testing.TB
	folder  string
	address string
	log     *logged
	issuer  *msp.Issuer
	roots   *x509.CertPool
}

type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newHouse(t testing.TB, changes ...func(*Config)) *house {
	t.Helper()
	h := &house{t: t, folder: t.TempDir(), log: &logged{}, roots: x509.NewCertPool()}
	var err error
	h.issuer, err = msp.NewIssuer("CA", "Atlas")
	require.NoError(t, err)
	require.True(t, h.roots.AppendCertsFromPEM(h.issuer.Pair().CertPEM))
	h.write("ca.pem", h.issuer.Pair().CertPEM)
	h.serverPair()
	config := DefaultConfig()
	config.CertFile, config.KeyFile, config.ClientCAFile = h.path("cert.pem"), h.path("key.pem"), h.path("ca.pem")
	config.RevocationDir, config.StopTimeout = h.path("crls"), time.Second
	for _, change := range changes {
		change(&config)
	}
	log := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	audit, err := trail.Open(trail.Config{Dir: h.path("audit"), FileSize: 64 << 20}, nil, log)
	require.NoError(t, err)
	h.Server = assemble(t, config, audit, log)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h.address = listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
		require.NoError(t, audit.Close())
	})
	return h
}

func (h *house) path(name string) string { return filepath.Join(h.folder, name) }

func (h *house) write(name string, content []byte) {
	h.t.Helper()
	path := h.path(name)
	require.NoError(h.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(h.t, os.WriteFile(path+".new", content, 0o600))
	require.NoError(h.t, os.Rename(path+".new", path))
}

// serverPair replaces the server's certificate and answers its serial number.
func (h *house) serverPair() string {
	h.t.Helper()
	pair, err := h.issuer.Issue(msp.Request{CommonName: "gateway", Hosts: []string{"127.0.0.1"}})
	require.NoError(h.t, err)
	h.write("cert.pem", pair.CertPEM)
	h.write("key.pem", pair.KeyPEM)
	certificate, err := msp.ParseCertificate(pair.CertPEM)
	require.NoError(h.t, err)
	return certificate.SerialNumber.String()
}

func (h *house) issue(by *msp.Issuer, role string, changes ...func(*msp.Request)) *tls.Certificate {
	h.t.Helper()
	request := msp.Request{CommonName: role + ".atlas", Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: role, msp.AttributePBX: "atlas-pbx-1"}}
	for _, change := range changes {
		change(&request)
	}
	made, err := by.Issue(request)
	require.NoError(h.t, err)
	pair, err := tls.X509KeyPair(made.CertPEM, made.KeyPEM)
	require.NoError(h.t, err)
	return &pair
}

func (h *house) tls(pair *tls.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: h.roots, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}
	if pair != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	return config
}

func (h *house) dial(pair *tls.Certificate, options ...grpc.DialOption) *grpc.ClientConn {
	h.t.Helper()
	connection, err := grpc.NewClient(h.address, append(options, grpc.WithTransportCredentials(credentials.NewTLS(h.tls(pair))))...)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func check(t testing.TB, connection grpc.ClientConnInterface, options ...grpc.CallOption) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := healthpb.NewHealthClient(connection).Check(ctx, &healthpb.HealthCheckRequest{}, options...)
	return err
}

func requireStatus(t *testing.T, err error, code codes.Code, says string) {
	t.Helper()
	require.Equal(t, code, status.Code(err), "%v", err)
	require.ErrorContains(t, err, says)
}

func TestWhoGetsIn(t *testing.T) {
	h := newHouse(t)
	other, err := msp.NewIssuer("Borealis CA", "Borealis")
	require.NoError(t, err)
	impostor, err := msp.NewIssuer("CA", "Atlas") // the same name, another key
	require.NoError(t, err)
	at := func(from, to time.Duration) func(*msp.Request) {
		return func(r *msp.Request) { r.NotBefore, r.NotAfter = time.Now().Add(from), time.Now().Add(to) }
	}
	for name, c := range map[string]struct {
		pair *tls.Certificate
		code codes.Code
		says string
	}{
		"the operator's":     {h.issue(h.issuer, "auditor"), codes.OK, ""},
		"none":               {nil, codes.Unauthenticated, "bears no client certificate"},
		"another operator's": {h.issue(other, "auditor"), codes.Unauthenticated, `issued by "Borealis CA", which is not this operator's authority`},
		"an impostor's":      {h.issue(impostor, "auditor"), codes.Unauthenticated, "not this operator's authority"},
		"expired":            {h.issue(h.issuer, "auditor", at(-2*time.Hour, -time.Hour)), codes.Unauthenticated, "expired on"},
		"not valid yet":      {h.issue(h.issuer, "auditor", at(time.Hour, 2*time.Hour)), codes.Unauthenticated, "check this machine's clock"},
		"without a role":     {h.issue(h.issuer, "", func(r *msp.Request) { r.Attributes = nil }), codes.PermissionDenied, "has no role"},
		"an unheard role":    {h.issue(h.issuer, "king"), codes.PermissionDenied, `the role "king" may not call`},
	} {
		t.Run(name, func(t *testing.T) {
			connection := h.dial(c.pair)
			err := check(t, connection)
			if c.code == codes.OK {
				require.NoError(t, err)
				return
			}
			requireStatus(t, err, c.code, c.says)
			_, err = pb.NewCallServiceClient(connection).GetCall(t.Context(), &pb.GetCallRequest{})
			requireStatus(t, err, c.code, c.says)
			// A message that is large is not even read.
			_, err = pb.NewAnchorServiceClient(connection).AnchorSegment(t.Context(), &pb.AnchorSegmentRequest{Segment: &pb.SignedSegment{SegmentJson: make([]byte, 40<<20)}}, grpc.MaxCallSendMsgSize(math.MaxInt32))
			requireStatus(t, err, c.code, c.says)
		})
	}
	verdict, err := trail.Verify(h.path("audit"), "")
	require.NoError(t, err)
	require.True(t, verdict.Whole())
	require.Greater(t, verdict.Entries, int64(14), "every denial is in the audit trail")
}

func TestStrangersAreShownOut(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Limits.Connections.StrangerTimeout = 300 * time.Millisecond })
	secure, err := tls.Dial("tcp", h.address, h.tls(nil))
	require.NoError(t, err)
	require.NoError(t, secure.SetReadDeadline(time.Now().Add(patience)))
	_, err = io.Copy(io.Discard, secure)
	var timeout net.Error
	if err != nil {
		require.NotErrorAs(t, err, &timeout)
	}
	good := h.dial(h.issue(h.issuer, "auditor"))
	require.NoError(t, check(t, good))
	state := good.GetState()
	time.Sleep(time.Second)
	require.Equal(t, state, good.GetState(), "who is known stays")
}

func TestCertificatesAndListsAreReplacedWhileRunning(t *testing.T) {
	h := newHouse(t)
	serial := func() string {
		secure, err := tls.Dial("tcp", h.address, h.tls(nil))
		if err != nil {
			return err.Error()
		}
		defer func() { _ = secure.Close() }()
		return secure.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	next := h.serverPair()
	require.Eventually(t, func() bool { return serial() == next }, patience, 50*time.Millisecond)
	h.write("cert.pem", []byte("no certificate"))
	require.Eventually(t, func() bool { return h.Problem() != nil }, patience, 50*time.Millisecond)
	require.ErrorContains(t, h.Problem(), "server's certificate")
	require.Equal(t, next, serial(), "what was in force stays in force")
	require.Contains(t, h.log.String(), "files cannot be used")
	after := h.serverPair()
	require.Eventually(t, func() bool { return serial() == after && h.Problem() == nil }, patience, 50*time.Millisecond)

	victim, bystander := h.issue(h.issuer, "compliance"), h.issue(h.issuer, "auditor")
	connection, other := h.dial(victim), h.dial(bystander)
	require.NoError(t, check(t, other))
	watch, err := healthpb.NewHealthClient(connection).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	list, err := h.issuer.Revoke(nil, victim.Leaf)
	require.NoError(t, err)
	h.write("crls/enrolment-ca.pem", list)
	_, err = watch.Recv() // nothing else ends it
	require.Error(t, err, "a stream of who was revoked is cut")
	requireStatus(t, check(t, connection, grpc.WaitForReady(true)), codes.Unauthenticated, "was revoked on")
	require.NoError(t, check(t, other))

	// A list that is broken, someone else's, older or gone changes nothing.
	stranger, err := msp.NewIssuer("CA", "Atlas")
	require.NoError(t, err)
	foreign, err := stranger.Revoke(nil, h.issue(stranger, "auditor").Leaf)
	require.NoError(t, err)
	for _, content := range [][]byte{[]byte("nothing"), foreign, list[:len(list)/2]} {
		h.write("crls/enrolment-ca.pem", content)
		require.Eventually(t, func() bool { return h.Problem() != nil }, patience, 50*time.Millisecond)
		requireStatus(t, check(t, h.dial(victim)), codes.Unauthenticated, "was revoked on")
		h.write("crls/enrolment-ca.pem", list)
		require.Eventually(t, func() bool { return h.Problem() == nil }, patience, 50*time.Millisecond)
	}
	require.NoError(t, os.Remove(h.path("crls/enrolment-ca.pem")))
	require.Eventually(t, func() bool { return h.Problem() != nil }, patience, 50*time.Millisecond)
	require.ErrorContains(t, h.Problem(), "has gone from")
	requireStatus(t, check(t, h.dial(victim)), codes.Unauthenticated, "was revoked on")
	require.NoError(t, check(t, other))
}

func TestOverREST(t *testing.T) {
	h := newHouse(t)
	front := &http.Server{ReadHeaderTimeout: time.Minute, Handler: h.Authenticate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := metadata.NewOutgoingContext(r.Context(), metadata.Pairs(innerHeader, r.Header.Get("Grpc-Metadata-Callseal-Ticket"), "authorization", r.Header.Get("Authorization")))
		_, err := pb.NewErasureServiceClient(h.Inner()).GetErasure(ctx, &pb.GetErasureRequest{})
		_, _ = io.WriteString(w, status.Code(err).String()+" "+status.Convert(err).Message())
	}), func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, status.Convert(err).Message(), http.StatusUnauthorized)
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = front.Serve(tls.NewListener(h.Door(listener), h.TLS())) }()
	t.Cleanup(func() { _ = front.Close() })
	ask := func(pair *tls.Certificate, headers ...string) (int, string) {
		config := h.tls(pair)
		config.NextProtos = nil
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		defer client.CloseIdleConnections()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+listener.Addr().String(), nil)
		require.NoError(t, err)
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		answer, err := client.Do(request)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(text)
	}
	code, text := ask(h.issue(h.issuer, "compliance"))
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, "InvalidArgument", "the caller is known and permitted, the request is not valid")
	_, text = ask(h.issue(h.issuer, "adapter"))
	require.Contains(t, text, `PermissionDenied the role "adapter" may not call`)
	for name, headers := range map[string][]string{
		"nothing":              nil,
		"a ticket of its own":  {"Grpc-Metadata-Callseal-Ticket", "AAAA", "X-Forwarded-Client-Cert", "Subject=\"CN=compliance.atlas\""},
		"identity by headers":  {"X-Role", "compliance", "Callseal-Ticket", "x", "X-SSL-Client-Verify", "SUCCESS"},
		"a token nobody wants": {"Authorization", "Bearer x.y.z"},
		"not a bearer":         {"Authorization", "Basic eDp5"},
	} {
		code, _ := ask(nil, headers...)
		require.Equal(t, http.StatusUnauthorized, code, name)
	}
	_, text = ask(h.issue(h.issuer, "adapter"), "Grpc-Metadata-Callseal-Ticket", "AAAA", "X-Role", "compliance")
	require.Contains(t, text, "PermissionDenied", "headers change nobody's identity")
	require.Empty(t, tickets(h), "no ticket outlives its call")
	outside := metadata.AppendToOutgoingContext(t.Context(), innerHeader, "x")
	_, err = healthpb.NewHealthClient(h.dial(nil)).Check(outside, &healthpb.HealthCheckRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
}

func tickets(h *house) (left []any) {
	h.inner.tickets.Range(func(key, _ any) bool { left = append(left, key); return true })
	return left
}

func TestTheAuditTrailIsFull(t *testing.T) {
	h := newHouse(t)
	full, err := trail.Open(trail.Config{Dir: h.path("full"), FileSize: 64 << 20, Reserve: 1 << 61}, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	h.chain.trail = full
	connection := h.dial(h.issue(h.issuer, "compliance"))
	_, err = pb.NewErasureServiceClient(connection).Erase(t.Context(), goodErase())
	requireStatus(t, err, codes.Unavailable, "cannot write its audit trail")
	_, err = pb.NewCallServiceClient(connection).ListLegs(t.Context(), &pb.ListLegsRequest{Pbx: "atlas-pbx-1", Linkedid: "1700000000.1", IncludeDetails: true})
	requireStatus(t, err, codes.Unavailable, "cannot write its audit trail")
	require.NoError(t, check(t, connection), "what needs no privilege goes on")
}

func goodErase() *pb.EraseRequest {
	return &pb.EraseRequest{
		Record: &pb.RecordName{Pbx: "atlas-pbx-1", Record: &pb.RecordName_Leg{Leg: &pb.LegId{Linkedid: "1700000000.1", Uniqueid: "1700000000.1"}}},
		Reason: pb.ErasureReason_ERASURE_REASON_COURT_ORDER, EvidenceDigest: strings.Repeat("ab", 32),
	}
}

// hostile are values for a field, of its kind.
func hostile(field protoreflect.FieldDescriptor) []protoreflect.Value {
	switch field.Kind() {
	case protoreflect.StringKind:
		return []protoreflect.Value{
			protoreflect.ValueOfString(strings.Repeat("x", 1<<20)), protoreflect.ValueOfString("\x00"), protoreflect.ValueOfString("a\x00b"),
			protoreflect.ValueOfString("../../etc/passwd"), protoreflect.ValueOfString("'; DROP TABLE calls; --"), protoreflect.ValueOfString("\u202e\u0000\uffff"),
			protoreflect.ValueOfString(" "), protoreflect.ValueOfString("%s%n%d"), protoreflect.ValueOfString(string(rune(0x10ffff))),
		}
	case protoreflect.BytesKind:
		return []protoreflect.Value{protoreflect.ValueOfBytes([]byte{0xff, 0xfe, 0}), protoreflect.ValueOfBytes(bytes.Repeat([]byte("["), 1<<20)), protoreflect.ValueOfBytes([]byte("null"))}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return []protoreflect.Value{protoreflect.ValueOfInt32(math.MinInt32), protoreflect.ValueOfInt32(math.MaxInt32), protoreflect.ValueOfInt32(-1)}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return []protoreflect.Value{protoreflect.ValueOfInt64(math.MinInt64), protoreflect.ValueOfInt64(math.MaxInt64), protoreflect.ValueOfInt64(-1)}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return []protoreflect.Value{protoreflect.ValueOfUint32(math.MaxUint32)}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return []protoreflect.Value{protoreflect.ValueOfUint64(math.MaxUint64)}
	case protoreflect.EnumKind:
		return []protoreflect.Value{protoreflect.ValueOfEnum(-1), protoreflect.ValueOfEnum(math.MaxInt32)}
	case protoreflect.BoolKind:
		return []protoreflect.Value{protoreflect.ValueOfBool(true)}
	default:
		return nil
	}
}

// spoiled calls with the message each time one field of it is hostile, at any depth.
func spoiled(message protoreflect.Message, depth int, with func(what string)) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		name := string(field.Name())
		switch {
		case field.IsMap():
		case field.Message() != nil && depth < 5:
			var inside protoreflect.Message
			if field.IsList() {
				inside = message.Mutable(field).List().AppendMutable().Message()
			} else {
				inside = message.Mutable(field).Message()
			}
			with(name + " empty")
			spoiled(inside, depth+1, func(what string) { with(name + "." + what) })
			message.Clear(field)
		case field.Message() == nil:
			for n, value := range hostile(field) {
				if field.IsList() {
					list := message.Mutable(field).List()
					list.Append(value)
					with(fmt.Sprintf("%s[0] = hostile %d", name, n))
					for range 3000 {
						list.Append(value)
						if field.Kind() == protoreflect.StringKind || field.Kind() == protoreflect.BytesKind {
							break
						}
					}
					with(fmt.Sprintf("%s[…] = hostile %d", name, n))
				} else {
					message.Set(field, value)
					with(fmt.Sprintf("%s = hostile %d", name, n))
				}
				message.Clear(field)
			}
		}
	}
}

// endless says whether a good call of the method ends when its caller leaves.
func endless(method protoreflect.MethodDescriptor) bool {
	return method.IsStreamingServer() && !method.IsStreamingClient()
}

// patienceFor is how long a call of the method is waited for.
func patienceFor(method protoreflect.MethodDescriptor) time.Duration {
	if endless(method) {
		return 200 * time.Millisecond
	}
	return patience
}

// TestEveryFieldOfEveryRequest sends every method every kind of bad value in every
// field, as a caller who may call it, and garbage instead of a message.
func TestEveryFieldOfEveryRequest(t *testing.T) {
	h := newHouse(t, unlimited)
	connections := map[string]*grpc.ClientConn{}
	calls := 0
	for method, rule := range allowed {
		if !strings.HasPrefix(method, "/callseal.") {
			continue
		}
		role := string(rule.roles[0])
		if connections[role] == nil {
			connections[role] = h.dial(h.issue(h.issuer, role))
		}
		connection := connections[role]
		described := describedAs(t, method)
		request := dynamicpb.NewMessage(described.Input())
		send := func(what string, message proto.Message, options ...grpc.CallOption) {
			calls++
			ctx, cancel := context.WithTimeout(context.Background(), patienceFor(described))
			defer cancel()
			stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, options...)
			require.NoError(t, err)
			if message != nil {
				_ = stream.SendMsg(message) // what comes back says more
			}
			_ = stream.CloseSend()
			for err = nil; err == nil; {
				err = stream.RecvMsg(&emptypb.Empty{})
			}
			if err == io.EOF { //nolint:errorlint // gRPC returns it bare
				return
			}
			code := status.Code(err)
			if code == codes.DeadlineExceeded && endless(described) {
				return // it is served, and would be for ever
			}
			require.NotContains(t, []codes.Code{codes.Internal, codes.Unknown, codes.DeadlineExceeded, codes.DataLoss}, code, "%s %s: %v", method, what, err)
			if code == codes.Unavailable {
				require.NotContains(t, err.Error(), "error reading from server", "%s %s: the connection broke", method, what)
			}
		}
		send("nothing set", request)
		send("no message", nil)
		send("garbage", request, grpc.ForceCodec(rawCodec("\xff\xff\xff\xff\xff")))
		send("text that is not UTF-8", request, grpc.ForceCodec(rawCodec("\x0a\x03\xff\xfe\xfd")))
		send("a length beyond the end", request, grpc.ForceCodec(rawCodec("\x0a\xff\xff\xff\x7fx")))
		send("nesting", request, grpc.ForceCodec(rawCodec(strings.Repeat("\x0a\x7f", 20_000))))
		spoiled(request, 0, func(what string) { send(what, request) })
	}
	t.Logf("%d calls of %d methods", calls, len(allowed))
	require.Greater(t, calls, 1000)
	require.NotContains(t, h.log.String(), "panicked")
	require.NoError(t, check(t, h.dial(h.issue(h.issuer, "auditor"))))
}

// rawCodec sends what it is instead of a message.
type rawCodec string

func (c rawCodec) Marshal(any) ([]byte, error)     { return []byte(c), nil }
func (c rawCodec) Unmarshal(_ []byte, _ any) error { return nil }
func (c rawCodec) Name() string                    { return "proto" }

// TestHostileConnections opens, from another address, connections that never speak,
// stop half way, flood and leave, and sees that others are served meanwhile and
// everything is given back afterwards.
func TestHostileConnections(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		c.Limits.Connections.HandshakeTimeout, c.Limits.Connections.StrangerTimeout = 2*time.Second, 2*time.Second
	})
	good := h.dial(h.issue(h.issuer, "auditor"))
	require.NoError(t, check(t, good))
	open := func() int { entries, _ := os.ReadDir("/proc/self/fd"); return len(entries) }
	time.Sleep(200 * time.Millisecond)
	routines, files := runtime.NumGoroutine(), open()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, Timeout: patience}
	var held []net.Conn
	plain := func() net.Conn {
		made, err := dialer.Dial("tcp", h.address)
		require.NoError(t, err)
		held = append(held, made)
		return made
	}
	for i := range 1000 {
		made := plain()
		if i%3 == 1 {
			_, _ = made.Write([]byte{0x16, 3, 1, 2, 0, 1}) // the beginning of a ClientHello
		}
		if i%50 == 0 {
			require.NoError(t, check(t, good), "others are served")
		}
	}
	for _, one := range held[:600] {
		_ = one.Close()
	}
	secure := func(pair *tls.Certificate) *tls.Conn {
		made := tls.Client(plain(), func() *tls.Config { c := h.tls(pair); c.ServerName = "127.0.0.1"; return c }())
		require.NoError(t, made.SetDeadline(time.Now().Add(patience)))
		if made.Handshake() != nil {
			return nil // turned away at the door
		}
		return made
	}
	floods := map[string]func(*http2.Framer) error{
		"pings":    func(f *http2.Framer) error { return f.WritePing(false, [8]byte{}) },
		"settings": func(f *http2.Framer) error { return f.WriteSettings() },
		"resets": func() func(*http2.Framer) error {
			stream := uint32(1)
			return func(f *http2.Framer) error {
				stream += 2
				if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x83, 0x87, 0x84}, EndHeaders: true}); err != nil {
					return err
				}
				return f.WriteRSTStream(stream, http2.ErrCodeCancel)
			}
		}(),
		"nothing": func(*http2.Framer) error { return io.EOF },
	}
	for name, flood := range floods {
		for _, pair := range []*tls.Certificate{nil, h.issue(h.issuer, "auditor")} {
			made := secure(pair)
			if made == nil {
				continue
			}
			_, err := io.WriteString(made, http2.ClientPreface)
			require.NoError(t, err)
			framer := http2.NewFramer(made, made)
			require.NoError(t, framer.WriteSettings())
			require.NoError(t, made.SetWriteDeadline(time.Now().Add(5*time.Second)))
			for range 20_000 {
				if flood(framer) != nil {
					break
				}
			}
			require.NoError(t, check(t, good), "others are served during %s", name)
		}
	}
	for range 20 { // streams that are opened and left
		ctx, cancel := context.WithCancel(t.Context())
		watch, err := healthpb.NewHealthClient(good).Watch(ctx, &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		_, err = watch.Recv()
		require.NoError(t, err)
		cancel()
	}
	for _, one := range held {
		_ = one.Close()
	}
	require.Eventually(t, func() bool {
		runtime.GC()
		return runtime.NumGoroutine() <= routines+5 && open() <= files+5
	}, patience, 100*time.Millisecond, "%d goroutines and %d files before", routines, files)
	require.NoError(t, check(t, good))
}

func TestTooManyCalls(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Limits.Client.Read.Rate, c.Limits.Client.Read.Burst = 1, 5 })
	greedy, modest := h.dial(h.issue(h.issuer, "auditor")), h.dial(h.issue(h.issuer, "compliance"))
	var last error
	for range 50 {
		if err := check(t, greedy); err != nil {
			last = err
		}
	}
	requireStatus(t, last, codes.ResourceExhausted, "read calls a second")
	require.Contains(t, fmt.Sprint(status.Convert(last).Details()), "retry_delay")
	require.NoError(t, check(t, modest))
}
