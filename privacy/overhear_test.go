package privacy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network"
)

// receiver is an OpenTelemetry collector that writes what it gets to a file, as it
// came.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu   sync.Mutex
	file string
}

// Export implements opentelemetry.proto.collector.trace.v1.TraceService.
func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	wire, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	file, err := os.OpenFile(r.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(wire)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return &collector.ExportTraceServiceResponse{}, err
}

// observed is a file with what an operator's gateway told its surroundings. It lies
// where the walk looks.
func (c *consortium) observed(member network.Member, name string) string {
	folder := filepath.Join(c.Layout().Root(), "observed", member.ID())
	require.NoError(c.t, os.MkdirAll(folder, 0o700))
	return filepath.Join(folder, name)
}

// overhear has an operator's gateway log all it can, and send its traces to a
// collector of the test's.
func (c *consortium) overhear(member network.Member) {
	c.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(c.t, err)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, &receiver{file: c.observed(member, "traces")})
	go func() { _ = server.Serve(listener) }()
	c.t.Cleanup(server.Stop)
	c.Stop(member.ID() + "-gateway")
	config, err := os.OpenFile(c.Layout().Operator(member.Name).GatewayConfig(), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(c.t, err)
	_, err = fmt.Fprintf(config, "log:\n  level: debug\ntracing:\n  endpoint: %s\n  plaintext: true\n", listener.Addr())
	require.NoError(c.t, err)
	require.NoError(c.t, config.Close())
	c.StartNode(member.ID() + "-gateway")
}

// scrape keeps what an operator's monitoring reads.
func (c *consortium) scrape(member network.Member) {
	c.t.Helper()
	for _, page := range []string{"metrics", "readyz"} {
		answer, err := http.Get("http://" + member.Gateway.Metrics + "/" + page)
		require.NoError(c.t, err)
		text, err := io.ReadAll(answer.Body)
		require.NoError(c.t, err)
		require.NoError(c.t, answer.Body.Close())
		require.Equal(c.t, http.StatusOK, answer.StatusCode)
		require.NoError(c.t, os.WriteFile(c.observed(member, page), text, 0o600))
	}
}

// requireOverheard checks that there is something to look through.
func (c *consortium) requireOverheard(member network.Member) {
	c.t.Helper()
	for file, holds := range map[string][]string{
		c.observed(member, "traces"):                               {"callseal.v1.ReputationService/GetScore", "callseal.v1.DeviceService/FindDevices"},
		c.observed(member, "metrics"):                              {`grpc_server_handled_total{grpc_code="OK",grpc_method="GetScore"`},
		c.Layout().LogFile(member.ID() + "-gateway"):               {`"level":"DEBUG"`, `"method":"/callseal.v1.ReputationService/GetScore"`},
		c.Layout().Operator(member.Name).GatewayState() + "/audit": {"callseal.v1.CallService/GetCall", `"details":true`},
	} {
		text := ""
		require.NoError(c.t, filepath.WalkDir(file, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			text += string(content)
			return err
		}))
		for _, one := range holds {
			require.Contains(c.t, text, one, "in %s", file)
		}
	}
}

// inquire asks an operator's gateway, over gRPC and REST, for all that it knows of a
// person, by the person's number, address and account.
func (c *consortium) inquire(member network.Member, who person, call, recording gatewaytest.Entry) {
	c.t.Helper()
	ctx, pbx, leg := c.within(), member.PBXs[0], call.Record.Call.Leg
	tel, address, aor := "tel:+"+who.number, "ip:"+who.address, "sip:"+who.account+"@desk.example"
	compliance, auditor, admin := c.gateway(member.Name, "compliance"), c.gateway(member.Name, "auditor"), c.gateway(member.Name, "admin")
	one, err := pb.NewCallServiceClient(compliance).GetCall(ctx, &pb.GetCallRequest{Pbx: pbx, Leg: &pb.LegId{Linkedid: leg.LinkedID, Uniqueid: leg.UniqueID}, IncludeDetails: true})
	require.NoError(c.t, err)
	require.Contains(c.t, string(one.GetCall().GetDetailsJson()), who.name)
	file, err := pb.NewRecordingServiceClient(compliance).GetRecording(ctx, &pb.GetRecordingRequest{Pbx: pbx, Id: recording.Record.Recording.ID, IncludeDetails: true})
	require.NoError(c.t, err)
	require.Contains(c.t, string(file.GetRecording().GetDetailsJson()), who.file)

	devices := pb.NewDeviceServiceClient(admin)
	made, err := devices.RegisterDevice(ctx, &pb.RegisterDeviceRequest{
		Kind: "phone", IdempotencyKey: leg.UniqueID, Identity: &pb.DeviceIdentity{Aors: []string{aor}, Networks: []string{who.address + "/32"}, Label: who.name},
	})
	require.NoError(c.t, err)
	found, err := devices.FindDevices(ctx, &pb.FindDevicesRequest{Aor: aor})
	require.NoError(c.t, err)
	require.Len(c.t, found.GetDevices(), 1)
	shown, err := devices.GetDevice(ctx, &pb.GetDeviceRequest{Id: made.GetDevice().GetId(), IncludeDetails: true})
	require.NoError(c.t, err)
	require.Equal(c.t, who.name, shown.GetDetails().GetLabel())
	checked, err := devices.CheckDevice(ctx, &pb.CheckDeviceRequest{Aor: aor})
	require.NoError(c.t, err)
	require.Equal(c.t, "registered", checked.GetVerdict().GetVerdict())

	scores, grace, search := pb.NewReputationServiceClient(auditor), pb.NewGraceServiceClient(compliance), pb.NewSearchServiceClient(auditor)
	_, err = pb.NewReputationServiceClient(c.gateway(member.Name, pbx)).Report(ctx, &pb.ReportRequest{
		IdempotencyKey: leg.UniqueID, Evidence: []*pb.Evidence{{Subject: tel, Kind: "auth_failure", Count: 1, Attempts: 1}, {Subject: "aor:" + aor[4:], Kind: "auth_failure", Count: 1, Attempts: 1}},
	})
	require.NoError(c.t, err)
	for _, subject := range []string{tel, address} {
		_, err := scores.GetScore(ctx, &pb.GetScoreRequest{Subject: subject})
		require.NoError(c.t, err)
		_, err = scores.ListOpinions(ctx, &pb.ListOpinionsRequest{Subject: subject})
		require.NoError(c.t, err)
		_, err = grace.AllowSubject(ctx, &pb.AllowSubjectRequest{Subject: subject, Reason: "partner", IdempotencyKey: "allow-" + subject[:3] + leg.UniqueID})
		require.NoError(c.t, err)
		_, err = grace.AppealSubject(ctx, &pb.AppealSubjectRequest{Subject: subject, Against: "BorealisMSP", Reason: "false_positive", EvidenceDigest: strings.Repeat("cd", 32)})
		require.NoError(c.t, err)
		_, err = grace.ListAppeals(ctx, &pb.ListAppealsRequest{Against: "BorealisMSP", Subject: subject})
		require.NoError(c.t, err)
		_, err = search.SearchEntries(ctx, &pb.SearchEntriesRequest{Kind: "opinion", Subject: subject})
		require.NoError(c.t, err)
		_, err = search.SearchCalls(ctx, &pb.SearchCallsRequest{PartyRef: subject})
		require.NoError(c.t, err)
	}
	_, err = search.SearchCalls(ctx, &pb.SearchCallsRequest{PartyRef: call.Record.Call.CallerRef})
	require.NoError(c.t, err)

	quoted := func(text string) string {
		written, err := json.Marshal(text)
		require.NoError(c.t, err)
		return string(written)
	}
	for _, request := range [][]string{
		{"compliance", "GET", "/v1/pbxs/" + pbx + "/calls/" + leg.LinkedID + "/" + leg.UniqueID + "/0?include_details=true", "", who.name},
		{"compliance", "GET", "/v1/pbxs/" + pbx + "/recordings/" + recording.Record.Recording.ID + "?include_details=true", "", ""},
		{"admin", "GET", "/v1/devices/" + made.GetDevice().GetId() + "?include_details=true", "", who.name},
		{"auditor", "POST", "/v1/devices/search", `{"aor":` + quoted(aor) + `}`, "phone"},
		{"auditor", "POST", "/v1/devices/check", `{"aor":` + quoted(aor) + `}`, "registered"},
		{"auditor", "POST", "/v1/subjects/score", `{"subject":` + quoted(tel) + `}`, "score"},
		{"auditor", "POST", "/v1/subjects/opinions", `{"subject":` + quoted(address) + `}`, "opinions"},
		{"compliance", "POST", "/v1/subjects/allowance/end", `{"subject":` + quoted(tel) + `}`, "VALID"},
		{"auditor", "POST", "/v1/appeals/search", `{"against":"BorealisMSP","subject":` + quoted(tel) + `}`, "false_positive"},
		{"auditor", "POST", "/v1/search/calls", `{"party_ref":` + quoted(tel) + `}`, "calls"},
	} {
		answer := c.rest(member, request[0], request[1], request[2], request[3])
		require.Contains(c.t, answer, request[4], "%s %s", request[1], request[2])
	}
}

// rest asks an operator's gateway over REST as one of its identities.
func (c *consortium) rest(member network.Member, identity, method, path, body string) string {
	c.t.Helper()
	org := c.Layout().Operator(member.Name)
	pair, err := tls.LoadX509KeyPair(org.Identity(identity).CertFile(), org.Identity(identity).KeyFile())
	require.NoError(c.t, err)
	authority, err := os.ReadFile(org.TLSCAFile())
	require.NoError(c.t, err)
	roots := x509.NewCertPool()
	require.True(c.t, roots.AppendCertsFromPEM(authority))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(c.within(), method, "https://"+member.Gateway.REST+path, strings.NewReader(body))
	require.NoError(c.t, err)
	answer, err := (&http.Client{Transport: transport}).Do(request)
	require.NoError(c.t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, answer.StatusCode, "%s %s: %s", method, path, text)
	if strings.Contains(path, "include_details") { // the details are JSON in base64 there
		var found struct {
			Call, Recording struct {
				DetailsJSON []byte `json:"details_json"`
			}
		}
		if json.Unmarshal(text, &found) == nil {
			text = append(text, append(found.Call.DetailsJSON, found.Recording.DetailsJSON...)...)
		}
	}
	return string(text)
}
