package gateway_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	gatewayproto "github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/privacy"
)

// process sends a proposal straight to a peer's endorser, past every gateway.
func process(t *testing.T, config fabric.Config, function string, transient map[string][]byte, args ...string) (*peer.ProposalResponse, error) {
	t.Helper()
	read := func(path string) []byte {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return content
	}
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(read(config.Peers[0].CAFile)))
	own, err := tls.LoadX509KeyPair(config.TLSCertFile, config.TLSKeyFile)
	require.NoError(t, err)
	connection, err := grpc.NewClient(config.Peers[0].Address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12,
	})))
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	certificate, err := identity.CertificateFromPEM(read(config.CertFile))
	require.NoError(t, err)
	signer, err := identity.NewX509Identity(config.MSP, certificate)
	require.NoError(t, err)
	key, err := identity.PrivateKeyFromPEM(read(config.KeyFile))
	require.NoError(t, err)
	sign, err := identity.NewPrivateKeySign(key)
	require.NoError(t, err)
	opened, err := client.Connect(signer, client.WithSign(sign), client.WithHash(hash.SHA256), client.WithClientConnection(connection))
	require.NoError(t, err)
	defer func() { _ = opened.Close() }()
	proposal, err := opened.GetNetwork(config.Channel).GetContract(config.Chaincode).NewProposal(function, client.WithArguments(args...), client.WithTransient(transient))
	require.NoError(t, err)
	serialized, err := proposal.Bytes()
	require.NoError(t, err)
	proposed := &gatewayproto.ProposedTransaction{}
	require.NoError(t, proto.Unmarshal(serialized, proposed))
	signed := proposed.GetProposal()
	signed.Signature, err = sign(hash.SHA256(signed.GetProposalBytes()))
	require.NoError(t, err)
	return peer.NewEndorserClient(connection).ProcessProposal(within(t, patience), signed)
}

func testDetails(t *testing.T, w *world) {
	call := gatewaytest.Call(t)
	recording := gatewaytest.Recording(t, call.Record.Call.Leg, []byte("audio "+gatewaytest.Random(t, 8)))
	w.anchor(t, call, recording)
	ask := &pb.GetCallRequest{Msp: "AtlasMSP", Pbx: atlasPBX, Leg: legMessage(call.Record.Call.Leg), IncludeDetails: true}

	t.Run("the owner's compliance sees them", func(t *testing.T) {
		connection := w.as(t, "Atlas", "compliance")
		answer, err := pb.NewCallServiceClient(connection).GetCall(within(t, patience), ask)
		require.NoError(t, err)
		require.Equal(t, string(gatewaytest.JSON(t, &call.Details)), string(answer.GetCall().GetDetailsJson()))
		require.Equal(t, answer.GetCall().GetDetailsDigest(), ledger.Digest(answer.GetCall().GetDetailsJson()))
		got, err := pb.NewRecordingServiceClient(connection).GetRecording(within(t, patience), &pb.GetRecordingRequest{Pbx: atlasPBX, Id: recording.Record.Recording.ID, IncludeDetails: true})
		require.NoError(t, err)
		require.Equal(t, got.GetRecording().GetDetailsDigest(), ledger.Digest(got.GetRecording().GetDetailsJson()))
		require.Contains(t, string(got.GetRecording().GetDetailsJson()), gatewaytest.Caller)
	})
	t.Run("in whatever order the adapter wrote them", func(t *testing.T) {
		other := gatewaytest.Call(t)
		segment := w.adapter.Segment(t, []gatewaytest.Entry{other})
		text := segment.DetailsJson[0]
		segment.DetailsJson[0] = append([]byte(`{ "v" : 3, `), bytes.Replace(text[1:], []byte(`,"v":3`), nil, 1)...)
		_, err := w.send(t, segment)
		require.NoError(t, err)
		answer, err := pb.NewCallServiceClient(w.as(t, "Atlas", "compliance")).GetCall(within(t, patience),
			&pb.GetCallRequest{Pbx: atlasPBX, Leg: legMessage(other.Record.Call.Leg), IncludeDetails: true})
		require.NoError(t, err)
		require.Equal(t, string(text), string(answer.GetCall().GetDetailsJson()))
	})
	for _, who := range []struct{ operator, identity, says string }{
		{"Atlas", "auditor", "may not see details"},
		{"Atlas", "admin", "may not see details"},
		{"Atlas", "gateway", "may not see details"},
		{"Atlas", atlasPBX, "may not see details"},
		{"Borealis", "compliance", "that operator's alone"},
		{"Borealis", "admin", "that operator's alone"},
	} {
		t.Run(who.operator+"'s "+who.identity+" is refused by its gateway", func(t *testing.T) {
			calls := pb.NewCallServiceClient(w.as(t, who.operator, who.identity))
			_, err := calls.GetCall(within(t, patience), ask)
			refused(t, err, codes.PermissionDenied, who.says)
			_, err = calls.ListLegs(within(t, patience), &pb.ListLegsRequest{Msp: "AtlasMSP", Pbx: atlasPBX, Linkedid: ask.GetLeg().GetLinkedid(), IncludeDetails: true})
			refused(t, err, codes.PermissionDenied, who.says)
		})
	}

	// Past the gateways: another operator's identities ask peers themselves.
	leg := call.Record.Call.Leg
	getCall := []string{"AtlasMSP", atlasPBX, leg.LinkedID, leg.UniqueID, fmt.Sprint(leg.Sequence)}
	getRecording := []string{"AtlasMSP", atlasPBX, recording.Record.Recording.ID, "1"}
	put := map[string][]byte{"details": gatewaytest.JSON(t, []ledger.SealedRecord{{Key: ledger.CallKey("AtlasMSP", atlasPBX, leg), Sealed: ledger.Sealed{
		Algorithm: ledger.SealAlgorithm, Ciphertext: bytes.Repeat([]byte{1}, 16), Nonce: bytes.Repeat([]byte{1}, 12), V: ledger.SchemaVersion,
	}}})}
	sealed, err := process(t, w.channel(t, "Atlas", "compliance", "Atlas"), "details:GetCall", nil, getCall...)
	require.NoError(t, err)
	require.Equal(t, int32(200), sealed.GetResponse().GetStatus(), "the owner gets what the others are denied")
	require.NotContains(t, string(sealed.GetResponse().GetPayload()), gatewaytest.Caller, "and that is sealed")
	for _, role := range []string{"admin", "gateway", "compliance", "auditor"} {
		for _, at := range []string{"Borealis", "Atlas", "Corvus", "Meridian"} {
			t.Run("Borealis's "+role+" is refused by the peer of "+at, func(t *testing.T) {
				config := w.channel(t, "Borealis", role, at)
				for function, args := range map[string][]string{
					"details:GetCall": getCall, "details:getcall": getCall, "details:GetRecording": getRecording,
				} {
					response, err := process(t, config, function, nil, args...)
					requireDenied(t, response, err, at)
				}
				response, err := process(t, config, "details:Put", put)
				requireDenied(t, response, err, at)
			})
		}
	}
	for _, role := range []string{"auditor", "admin", atlasPBX} {
		t.Run("Atlas's "+role+" is refused by its own peer", func(t *testing.T) {
			response, err := process(t, w.channel(t, "Atlas", role, "Atlas"), "details:GetCall", nil, getCall...)
			requireDenied(t, response, err, "Atlas")
		})
	}
	t.Run("an operator that claims the owner's MSP is refused", func(t *testing.T) {
		config := w.channel(t, "Borealis", "compliance", "Atlas")
		config.MSP = "AtlasMSP"
		response, err := process(t, config, "details:GetCall", nil, getCall...)
		require.True(t, err != nil || response.GetResponse().GetStatus() >= 400)
		requireNoSecret(t, response, err)
	})
	t.Run("the other operator cannot store details for the owner", func(t *testing.T) {
		for _, endorser := range []string{"BorealisMSP", "AtlasMSP"} {
			_, err := openChannel(t, w.channel(t, "Borealis", "gateway", "Borealis")).Endorse(within(t, patience), fabric.Proposal{
				Function: "details:Put", Transient: put, EndorsedBy: []string{endorser},
			})
			require.Error(t, err)
			require.Equal(t, fault.Denied, fault.Of(err).Kind, "%v", err)
		}
	})
}

// requireDenied checks that a peer answered a refusal and nothing of the details.
// The regulator's peer runs no chaincode and cannot answer at all.
func requireDenied(t *testing.T, response *peer.ProposalResponse, err error, at string) {
	t.Helper()
	requireNoSecret(t, response, err)
	if at == "Meridian" {
		require.True(t, err != nil || response.GetResponse().GetStatus() >= 400)
		return
	}
	require.NoError(t, err)
	require.Equal(t, int32(500), response.GetResponse().GetStatus())
	require.Regexp(t, "^(PERMISSION_DENIED|INVALID_ARGUMENT.there is no such function)", response.GetResponse().GetMessage())
}

func requireNoSecret(t *testing.T, response *peer.ProposalResponse, err error) {
	t.Helper()
	text := fmt.Sprint(response, err)
	require.NotContains(t, text, "ciphertext")
	require.NotContains(t, text, gatewaytest.Caller[1:])
	require.Empty(t, response.GetResponse().GetPayload())
}

func testBadInput(t *testing.T, w *world) {
	before := w.height(t)
	send := func(segment *pb.SignedSegment) error {
		_, err := w.send(t, segment)
		return err
	}
	other := gatewaytest.New(t, "AtlasMSP", atlasPBX)
	for name, c := range map[string]struct {
		segment *pb.SignedSegment
		code    codes.Code
		says    string
	}{
		"signed with another key": {func() *pb.SignedSegment {
			thief := w.adapter.Reborn(t)
			thief.Key = other.Key
			return thief.Segment(t, gatewaytest.Calls(t, 1))
		}(), codes.InvalidArgument, "is not that of the enrolled adapter"},
		"signature missing": {func() *pb.SignedSegment {
			segment := w.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))
			segment.Signature = nil
			return segment
		}(), codes.InvalidArgument, "segment.signature must be at least 1 bytes"},
		"record altered": {func() *pb.SignedSegment {
			segment := w.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 2))
			segment.RecordsJson[1] = bytes.Replace(segment.RecordsJson[1], []byte("ANSWERED"), []byte("BUSY"), 1)
			return segment
		}(), codes.InvalidArgument, "a record was altered"},
		"header altered": {func() *pb.SignedSegment {
			segment := w.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))
			segment.SegmentJson = bytes.Replace(segment.SegmentJson, []byte("2026-03-01T09:31"), []byte("2026-03-01T09:32"), 1)
			return segment
		}(), codes.InvalidArgument, "was altered on its way"},
		"adapter not enrolled": {other.Segment(t, gatewaytest.Calls(t, 1)), codes.PermissionDenied, "is enrolled by AtlasMSP: an admin enrols it"},
		"unknown MSP":          {gatewaytest.New(t, "NobodyMSP", atlasPBX).Segment(t, gatewaytest.Calls(t, 1)), codes.PermissionDenied, "belongs to NobodyMSP"},
		"another operator's":   {gatewaytest.New(t, "BorealisMSP", "borealis-pbx-1").Segment(t, gatewaytest.Calls(t, 1)), codes.PermissionDenied, "belongs to BorealisMSP"},
		"another PBX's":        {gatewaytest.New(t, "AtlasMSP", "atlas-pbx-2").Segment(t, gatewaytest.Calls(t, 1)), codes.PermissionDenied, "may not touch PBX"},
		"nothing":              {nil, codes.InvalidArgument, "segment is required"},
		"a record of 2 MB": {&pb.SignedSegment{RecordsJson: [][]byte{bytes.Repeat([]byte{'x'}, 2<<20)}, DetailsJson: [][]byte{nil}, SegmentJson: other.Segment(t, gatewaytest.Calls(t, 1)).GetSegmentJson()},
			codes.InvalidArgument, "segment.records_json[0] must be at most"},
	} {
		t.Run(name, func(t *testing.T) {
			info := refused(t, send(c.segment), c.code, c.says)
			require.Equal(t, "false", info.GetMetadata()["retryable"])
		})
	}
	t.Run("a stream ends at the first that is refused", func(t *testing.T) {
		stream, err := pb.NewAnchorServiceClient(w.as(t, "Atlas", atlasPBX)).AnchorSegments(within(t, patience))
		require.NoError(t, err)
		require.NoError(t, stream.Send(&pb.AnchorSegmentsRequest{}))
		_, err = stream.CloseAndRecv()
		refused(t, err, codes.InvalidArgument, "segment is required")
	})
	require.Equal(t, before, w.height(t), "nothing is written")
}

func testCallers(t *testing.T, w *world) {
	anchors := func(connection *grpc.ClientConn) error {
		_, err := sendAs(t, connection, w.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 1)))
		return err
	}
	for _, role := range []string{"auditor", "compliance", "admin", "gateway"} {
		refused(t, anchors(w.as(t, "Atlas", role)), codes.PermissionDenied, "may not call /callseal.v1.AnchorService/AnchorSegment")
	}
	adapterOf := func(pbx string) msp.Request {
		return msp.Request{CommonName: pbx, Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: pbx}}
	}
	t.Run("adapter of another PBX", func(t *testing.T) {
		connection := dial(t, w.issue(t, "Atlas", adapterOf("atlas-pbx-9")))
		refused(t, anchors(connection), codes.PermissionDenied, `"atlas-pbx-9" may not touch PBX "atlas-pbx-1"`)
		_, err := pb.NewCallServiceClient(connection).ListCalls(within(t, patience), &pb.ListCallsRequest{Pbx: atlasPBX})
		refused(t, err, codes.PermissionDenied, "may not touch PBX")
	})
	t.Run("no role", func(t *testing.T) {
		connection := dial(t, w.issue(t, "Atlas", msp.Request{CommonName: "nobody", Unit: msp.UnitClient}))
		refused(t, anchors(connection), codes.PermissionDenied, "has no role")
	})
	t.Run("unheard role", func(t *testing.T) {
		connection := dial(t, w.issue(t, "Atlas", msp.Request{CommonName: "king", Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: "king"}}))
		refused(t, anchors(connection), codes.PermissionDenied, `the role "king" may not call`)
	})
	expired := adapterOf(atlasPBX)
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	t.Run("expired certificate", func(t *testing.T) {
		config := w.issue(t, "Atlas", expired)
		_, err := connect.Dial(config)
		require.ErrorContains(t, err, "expired on")
		require.ErrorContains(t, err, "have your operator renew it")
		requireStranger(t, w, config.CertFile, config.KeyFile, "expired on")
	})
	t.Run("another operator's certificate", func(t *testing.T) {
		files := w.Layout().Operator("Borealis").Identity("borealis-pbx-1")
		requireStranger(t, w, files.CertFile(), files.KeyFile(), `issued by "borealis enrolment CA", which is not this operator's authority`)
	})
	t.Run("no certificate", func(t *testing.T) { requireStranger(t, w, "", "", "bears no client certificate") })
	t.Run("certificate of the TLS authority", func(t *testing.T) {
		files := w.Layout().Operator("Atlas").Identity(atlasPBX)
		requireStranger(t, w, files.TLSCertFile(), files.TLSKeyFile(), "not this operator's authority")
	})
	t.Run("the denials are in the log", func(t *testing.T) {
		require.Contains(t, string(w.log.Bytes()), "call denied")
	})
}

// requireStranger checks that the gateway lets nobody in with that pair, to no
// service, and says why.
func requireStranger(t *testing.T, w *world, certFile, keyFile, says string) {
	t.Helper()
	authority, err := os.ReadFile(w.Layout().Operator("Atlas").TLSCAFile())
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(authority))
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	if certFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		require.NoError(t, err)
		// Show it even where the server says it wants others.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	connection, err := grpc.NewClient(w.member(t, "Atlas").Gateway.Address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	_, err = pb.NewCallServiceClient(connection).ListCalls(within(t, patience), &pb.ListCallsRequest{Pbx: atlasPBX})
	refused(t, err, codes.Unauthenticated, says)
	_, err = healthpb.NewHealthClient(connection).Check(within(t, patience), &healthpb.HealthCheckRequest{})
	refused(t, err, codes.Unauthenticated, says)
	stream, err := reflectionpb.NewServerReflectionClient(connection).ServerReflectionInfo(within(t, patience))
	require.NoError(t, err)
	_, err = stream.Recv()
	refused(t, err, codes.Unauthenticated, says)
}

func testNothingInClear(t *testing.T, w *world) {
	call := gatewaytest.Call(t)
	w.anchorsAgain(t, call)
	secrets := []string{
		gatewaytest.Caller[1:], gatewaytest.Callee[1:], call.Details.Salt,
	}
	for _, secret := range secrets {
		require.NotContains(t, string(w.log.Bytes()), secret)
	}
	const control = "the linkedid, which is public"
	needles := []privacy.Needle{{Name: control, Value: []byte(call.Record.Call.Leg.LinkedID)}}
	for i, secret := range secrets {
		needles = append(needles, privacy.Needle{Name: fmt.Sprintf("secret %d", i), Value: []byte(secret)})
	}
	report, err := privacy.Walk(within(t, 5*patience), []string{w.Layout().Root()}, needles)
	require.NoError(t, err)
	public := report.Of(control)
	require.GreaterOrEqual(t, len(public), 3, "what is public is found, so the search does search")
	require.Len(t, report.Findings, len(public), "%v", report.Findings)
	require.Contains(t, string(w.log.Bytes()), "call served", "the log was written at its most talkative")
}
