package rest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const patience = 2 * time.Minute

// client asks Atlas's gateway by REST as one of its people, and holds every answer
// to the description that the gateway serves.
type client struct {
	t      *testing.T
	base   string
	http   *http.Client
	router routers.Router
}

type world struct {
	*networktest.Network
	atlas network.Member
	roots *x509.CertPool
	doc   *openapi3.T
}

func (w *world) as(t *testing.T, role string) *client {
	t.Helper()
	files := w.Layout().Operator("Atlas").Identity(role)
	pair, err := tls.LoadX509KeyPair(files.CertFile(), files.KeyFile())
	require.NoError(t, err)
	return w.with(t, pair)
}

func (w *world) with(t *testing.T, pairs ...tls.Certificate) *client {
	t.Helper()
	router, err := legacy.NewRouter(w.doc)
	require.NoError(t, err)
	return &client{t: t, base: "https://" + w.atlas.Gateway.REST, router: router, http: &http.Client{
		Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots, Certificates: pairs, MinVersion: tls.VersionTLS13}},
	}}
}

// call asks, checks the answer against the description and decodes it.
func (c *client) call(method, path, body string, headers ...string) (int, http.Header, map[string]any) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	require.NoError(c.t, err)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.http.Do(request)
	require.NoError(c.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	asked, err := http.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	require.NoError(c.t, err)
	if route, parameters, err := c.router.FindRoute(asked); err == nil {
		input := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: parameters, Route: route},
			Status:                 response.StatusCode, Header: response.Header, Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}
		input.SetBodyBytes(text)
		require.NoError(c.t, openapi3filter.ValidateResponse(ctx, input), "%s %s: %s", method, path, text)
	} else {
		require.GreaterOrEqual(c.t, response.StatusCode, 400, "%s %s is not described: %v", method, path, err)
	}
	var decoded map[string]any
	require.NoError(c.t, json.Unmarshal(text, &decoded), "%s", text)
	return response.StatusCode, response.Header, decoded
}

func (c *client) ok(method, path, body string, headers ...string) map[string]any {
	c.t.Helper()
	code, _, answer := c.call(method, path, body, headers...)
	require.Equal(c.t, http.StatusOK, code, "%s %s: %v", method, path, answer)
	return answer
}

// reason is that of an error, whose form is the same wherever it was made.
func reason(t *testing.T, answer map[string]any) string {
	t.Helper()
	require.NotEmpty(t, answer["message"])
	details, is := answer["details"].([]any)
	require.True(t, is && len(details) > 0, "%v", answer)
	info, is := details[0].(map[string]any)
	require.True(t, is)
	require.Equal(t, "type.googleapis.com/google.rpc.ErrorInfo", info["@type"])
	return info["reason"].(string)
}

func TestOnARealNetwork(t *testing.T) {
	w := &world{Network: networktest.Start(t, networktest.WithGateways())}
	w.atlas = w.Consortium().Operators[0]
	authority, err := os.ReadFile(w.Layout().Operator("Atlas").TLSCAFile())
	require.NoError(t, err)
	w.roots = x509.NewCertPool()
	require.True(t, w.roots.AppendCertsFromPEM(authority))
	// Served to anyone, and valid.
	served, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS13}}}).Get("https://" + w.atlas.Gateway.REST + "/openapi.json")
	require.NoError(t, err)
	text, err := io.ReadAll(served.Body)
	require.NoError(t, err)
	require.NoError(t, served.Body.Close())
	w.doc, err = openapi3.NewLoader().LoadFromData(text)
	require.NoError(t, err)
	require.NoError(t, w.doc.Validate(context.Background()))

	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"devices", testDevices}, {"consents and holds", testConsents}, {"policies and versions", testPolicies},
		{"idempotency", testIdempotency}, {"who calls", testWhoCalls}, {"what is wrong", testWrong}, {"changes", testChanges}, {"foreign clients", testForeignClients}, {"the README as typed", testReadme},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, w) })
	}
}

func testDevices(t *testing.T, w *world) {
	admin, auditor := w.as(t, "admin"), w.as(t, "auditor")
	made := admin.ok("POST", "/v1/devices", `{"kind":"phone","identity":{"aors":["sip:600@pbx.atlas.example"],"networks":["192.0.2.0/24"],"label":"Reception"}}`)
	device := made["device"].(map[string]any)
	id := device["id"].(string)
	require.Equal(t, "admin", device["by"])
	require.Equal(t, "VALID", made["commit"].(map[string]any)["validation_code"])
	read := auditor.ok("GET", "/v1/devices/"+id, "")
	require.Equal(t, device, read["device"])
	require.Nil(t, read["details"])
	require.Equal(t, "Reception", admin.ok("GET", "/v1/devices/"+id+"?include_details=true", "")["details"].(map[string]any)["label"])
	code, _, denied := auditor.call("GET", "/v1/devices/"+id+"?include_details=true", "")
	require.Equal(t, http.StatusForbidden, code)
	require.Equal(t, "PERMISSION_DENIED", reason(t, denied))
	require.Len(t, auditor.ok("POST", "/v1/devices/search", `{"aor":"sip:600@pbx.atlas.example"}`)["devices"], 1)
	require.Equal(t, "registered", auditor.ok("POST", "/v1/devices/check", `{"msp":"AtlasMSP","aor":"sip:600@pbx.atlas.example"}`)["verdict"].(map[string]any)["verdict"])
	listed := auditor.ok("GET", "/v1/devices?page_size=10&fields=id,status", "")["devices"].([]any)
	require.Len(t, listed, 1)
	require.Equal(t, "active", listed[0].(map[string]any)["status"])
	require.Empty(t, listed[0].(map[string]any)["kind"])
	admin.ok("POST", "/v1/devices/"+id+"/suspension", `{"reason":"suspicion"}`)
	code, _, refused := admin.call("POST", "/v1/devices/"+id+"/suspension", `{"reason":"suspicion"}`)
	require.Equal(t, http.StatusBadRequest, code)
	require.Equal(t, "FAILED_PRECONDITION", reason(t, refused))
	admin.ok("POST", "/v1/devices/"+id+"/reinstatement", `{"reason":"cleared"}`)
	rotated := admin.ok("POST", "/v1/devices/"+id+"/rotation", `{"reason":"scheduled","identity":{"aors":["sip:601@pbx.atlas.example"]}}`)["device"].(map[string]any)
	require.EqualValues(t, "4", rotated["n"])
	erased := admin.ok("POST", "/v1/devices/"+id+"/versions/1/erasure", `{"reason":"subject_request"}`)
	require.NotEmpty(t, erased["purged_by"])
	admin.ok("POST", "/v1/devices/"+id+"/revocation", `{"reason":"decommissioned"}`)
	require.Len(t, auditor.ok("GET", "/v1/devices/"+id+"/versions", "")["devices"], 5)
	require.Equal(t, "suspended", auditor.ok("GET", "/v1/devices/"+id+"/versions/2", "")["device"].(map[string]any)["status"])
}

func testConsents(t *testing.T, w *world) {
	compliance, auditor := w.as(t, "compliance"), w.as(t, "auditor")
	const call = "/v1/pbxs/atlas-pbx-1/conversations/1763712000.4"
	party, digest := strings.Repeat("ab", 16), strings.Repeat("cd", 32)
	body := `{"party_ref":"` + party + `","purpose":"recording","status":"granted","method":"dtmf","jurisdiction":"PT","evidence_digest":"` + digest + `"}`
	stated := compliance.ok("POST", call+"/consents", body)["consent"].(map[string]any)
	require.Equal(t, "compliance", stated["by"])
	require.Len(t, auditor.ok("GET", call+"/consents", "")["consents"], 1)
	require.Equal(t, stated, auditor.ok("GET", call+"/consents/"+party+"/recording/1", "")["consent"])
	require.Equal(t, true, auditor.ok("GET", call+"/standing?purpose=recording&parties="+party, "")["decision"].(map[string]any)["allowed"])
	compliance.ok("POST", call+"/consents", strings.Replace(body, "granted", "revoked", 1))
	require.Equal(t, false, auditor.ok("GET", call+"/standing?purpose=recording&parties="+party, "")["decision"].(map[string]any)["allowed"])
	require.Empty(t, auditor.ok("GET", "/v1/pbxs/atlas-pbx-1/violations", "")["violations"])
	require.Empty(t, auditor.ok("GET", call+"/due-violations", "")["reports"])

	held := compliance.ok("POST", call+"/holds", `{"case_digest":"`+digest+`","reason":"court_order"}`)["hold"].(map[string]any)
	require.Len(t, held["cases"], 1)
	compliance.ok("POST", call+"/holds/release", `{"case_digest":"`+digest+`"}`)
	require.Len(t, auditor.ok("GET", call+"/holds", "")["holds"], 2)
	code, _, denied := auditor.call("POST", call+"/holds", `{"case_digest":"`+digest+`","reason":"court_order"}`)
	require.Equal(t, http.StatusForbidden, code)
	require.Equal(t, "PERMISSION_DENIED", reason(t, denied))

	compliance.ok("POST", "/v1/subjects/allowance", `{"subject":"tel:+351210000001","reason":"partner"}`)
	compliance.ok("POST", "/v1/subjects/allowance/end", `{"subject":"tel:+351210000001"}`)
	compliance.ok("POST", "/v1/subjects/pardon", `{"subject":"tel:+351210000001","duration_ms":"3600000","reason":"remedied"}`)
	compliance.ok("POST", "/v1/subjects/appeals", `{"subject":"tel:+351210000001","against":"BorealisMSP","reason":"false_positive","evidence_digest":"`+digest+`"}`)
	require.Len(t, auditor.ok("POST", "/v1/appeals/search", `{"against":"BorealisMSP"}`)["appeals"], 1)
	require.Empty(t, auditor.ok("GET", "/v1/disputes", "")["disputes"])
	require.Empty(t, auditor.ok("GET", call+"/omissions", "")["omissions"])
	code, _, missing := auditor.call("GET", "/v1/pbxs/atlas-pbx-1/calls/1.1/1.1/0/state", "")
	require.Equal(t, http.StatusNotFound, code)
	require.Equal(t, "NOT_FOUND", reason(t, missing))
}

func testPolicies(t *testing.T, w *world) {
	admin, auditor := w.as(t, "admin"), w.as(t, "auditor")
	versions := auditor.ok("GET", "/v1/versions", "")
	require.NotEmpty(t, versions["calls"].(map[string]any)["chaincode"])
	inForce := auditor.ok("GET", "/v1/policies/reconciliation", "")["policy"].(map[string]any)
	require.Equal(t, "0", inForce["version"])
	proposed := admin.ok("POST", "/v1/ballots", `{"policy":{"reconciliation":{"duration_ms":"3000","late_ms":"86400000","start_ms":"4000"}}}`)["ballot"].(map[string]any)
	ballot := proposed["ballot"].(map[string]any)
	require.Equal(t, "AtlasMSP", ballot["proposer"])
	require.Len(t, auditor.ok("GET", "/v1/ballots", "")["ballots"], 1)
	code, _, again := admin.call("POST", "/v1/policies/reconciliation/versions/1/votes", `{"digest":"`+ballot["digest"].(string)+`"}`)
	require.Equal(t, http.StatusConflict, code)
	require.Equal(t, "ALREADY_EXISTS", reason(t, again))
	admin.ok("POST", "/v1/policies/reconciliation/versions/1/votes/withdrawal", `{"digest":"`+ballot["digest"].(string)+`"}`)
	require.NotEmpty(t, auditor.ok("GET", "/v1/policies/consortium/versions", "")["enactments"])
	require.NotEmpty(t, auditor.ok("GET", "/v1/policies/consortium/versions/1", "")["enactment"])
	require.NotEmpty(t, auditor.ok("GET", "/v1/adapters", "")["enrolments"])
}

// testChanges reads what is on the ledger from its beginning, by lines, and pages
// through the index and the outbox.
func testChanges(t *testing.T, w *world) {
	auditor := w.as(t, "auditor")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, auditor.base+"/v1/changes?kinds=device&msp=AtlasMSP", http.NoBody)
	require.NoError(t, err)
	answer, err := auditor.http.Do(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	var line struct {
		Result struct {
			Change map[string]any `json:"change"`
		} `json:"result"`
	}
	for decoder := json.NewDecoder(answer.Body); line.Result.Change == nil; {
		require.NoError(t, decoder.Decode(&line))
	}
	require.Equal(t, "device", line.Result.Change["kind"])
	require.Equal(t, "AtlasMSP", line.Result.Change["msp"])
	require.NotEqual(t, "0", auditor.ok("GET", "/v1/index", "")["height"])
	require.Empty(t, auditor.ok("POST", "/v1/search/calls", `{"page":{"page_size":5}}`)["calls"])
	require.NotEmpty(t, auditor.ok("POST", "/v1/search/entries", `{"kind":"device","msp":"AtlasMSP"}`)["entries"])
	require.Empty(t, auditor.ok("GET", "/v1/outbox?page_size=5", "")["entries"])
	code, _, missing := auditor.call("GET", "/v1/outbox/1", "")
	require.Equal(t, http.StatusNotFound, code)
	require.Equal(t, "NOT_FOUND", reason(t, missing))
}

func testIdempotency(t *testing.T, w *world) {
	admin := w.as(t, "admin")
	const body = `{"kind":"dect","identity":{"aors":["sip:700@pbx.atlas.example"]}}`
	first := admin.ok("POST", "/v1/devices", body, "Idempotency-Key", "one")
	code, header, again := admin.call("POST", "/v1/devices", body, "Idempotency-Key", "one")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "true", header.Get("Idempotency-Replayed"))
	require.Equal(t, first, again)
	code, _, other := admin.call("POST", "/v1/devices", strings.Replace(body, "dect", "phone", 1), "Idempotency-Key", "one")
	require.Equal(t, http.StatusConflict, code)
	require.Equal(t, "ALREADY_EXISTS", reason(t, other))
	// Two at once run once, and a gateway that was killed remembers.
	answers := make(chan map[string]any, 2)
	for range 2 {
		go func() { answers <- admin.ok("POST", "/v1/devices", body, "Idempotency-Key", "two") }()
	}
	two := <-answers
	require.Equal(t, two, <-answers)
	require.NotEqual(t, first["device"], two["device"])
	w.Kill("atlas-gateway")
	w.StartNode("atlas-gateway")
	require.Equal(t, first, w.as(t, "admin").ok("POST", "/v1/devices", body, "Idempotency-Key", "one"))
	// The same by gRPC, for the same caller: the key is a field there.
	org := w.Layout().Operator("Atlas")
	connection, err := connect.Dial(connect.Config{
		Address: w.atlas.Gateway.Address, CAFile: org.TLSCAFile(), CertFile: org.Identity("admin").CertFile(), KeyFile: org.Identity("admin").KeyFile(),
	})
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	same, err := pb.NewDeviceServiceClient(connection).RegisterDevice(ctx, &pb.RegisterDeviceRequest{
		Kind: "dect", Identity: &pb.DeviceIdentity{Aors: []string{"sip:700@pbx.atlas.example"}}, IdempotencyKey: "one",
	})
	require.NoError(t, err)
	require.Equal(t, first["device"].(map[string]any)["id"], same.GetDevice().GetId())
	_, err = pb.NewDeviceServiceClient(connection).RegisterDevice(ctx, &pb.RegisterDeviceRequest{Kind: "teapot"})
	problem := connect.ProblemOf(err)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Equal(t, "INVALID_ARGUMENT", problem.Reason)
	require.False(t, problem.Retryable)
	require.Contains(t, problem.Fields, "kind")
}

func testWhoCalls(t *testing.T, w *world) {
	nobody, auditor := w.with(t), w.as(t, "auditor")
	code, _, answer := nobody.call("GET", "/v1/versions", "")
	require.Equal(t, http.StatusUnauthorized, code)
	require.Equal(t, "UNAUTHENTICATED", reason(t, answer))
	stranger := w.Layout().Operator("Borealis").Identity("admin")
	pair, err := tls.LoadX509KeyPair(stranger.CertFile(), stranger.KeyFile())
	require.NoError(t, err)
	code, _, answer = w.with(t, pair).call("GET", "/v1/versions", "")
	require.Equal(t, http.StatusUnauthorized, code)
	require.Equal(t, "UNAUTHENTICATED", reason(t, answer))
	// No header makes an auditor an admin.
	for _, header := range []string{"Grpc-Metadata-Callseal-Ticket", "Callseal-Ticket", "Grpc-Metadata-Role", "X-Client-Certificate", "Grpc-Metadata-Authorization"} {
		code, _, answer = auditor.call("POST", "/v1/ballots", `{"policy":{"v":1}}`, header, "admin")
		require.Equal(t, http.StatusForbidden, code, header)
		require.Equal(t, "PERMISSION_DENIED", reason(t, answer))
	}
}

func testWrong(t *testing.T, w *world) {
	auditor := w.as(t, "auditor")
	for name, c := range map[string]struct {
		method, path, body string
		code               int
		reason             string
	}{
		"no such address": {"GET", "/v1/nothing", "", http.StatusNotFound, "NOT_FOUND"},
		"no such method":  {"DELETE", "/v1/versions", "", http.StatusMethodNotAllowed, "INVALID_ARGUMENT"},
		"no JSON":         {"POST", "/v1/devices/check", "{", http.StatusBadRequest, "INVALID_ARGUMENT"},
		"unknown member":  {"POST", "/v1/devices/check", `{"aor":"sip:1@b","colour":"red"}`, http.StatusBadRequest, "INVALID_ARGUMENT"},
		"constraint":      {"GET", "/v1/devices/xyz", "", http.StatusBadRequest, "INVALID_ARGUMENT"},
		"unknown query":   {"GET", "/v1/devices?page_size=many", "", http.StatusBadRequest, "INVALID_ARGUMENT"},
		"a mask of none":  {"GET", "/v1/devices?fields=colour", "", http.StatusBadRequest, "INVALID_ARGUMENT"},
	} {
		t.Run(name, func(t *testing.T) {
			auditor.t = t
			code, _, answer := auditor.call(c.method, c.path, c.body)
			require.Equal(t, c.code, code, "%v", answer)
			require.Equal(t, c.reason, reason(t, answer))
		})
	}
}

func testForeignClients(t *testing.T, w *world) {
	org := w.Layout().Operator("Atlas")
	person := org.Identity("auditor")
	grpcurl := filepath.Join(t.TempDir(), "grpcurl")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", grpcurl, "github.com/fullstorydev/grpcurl/cmd/grpcurl")
	build.Dir = "../../tools/client"
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	run := func(program string, args ...string) string {
		command := exec.CommandContext(t.Context(), program, args...)
		var said bytes.Buffer
		command.Stderr = &said
		out, err := command.Output()
		require.NoError(t, err, "%s %v: %s", program, args, said.String())
		return string(out)
	}
	flags := []string{"-cacert", org.TLSCAFile(), "-cert", person.CertFile(), "-key", person.KeyFile()}
	ask := func(args ...string) string { return run(grpcurl, append(append([]string{}, flags...), args...)...) }
	require.Contains(t, ask(w.atlas.Gateway.Address, "list"), "callseal.v1.DeviceService")
	require.Contains(t, ask(w.atlas.Gateway.Address, "describe", "callseal.v1.DeviceService.CheckDevice"), "CheckDeviceRequest")
	require.Contains(t, ask("-d", `{"name":"retention"}`, w.atlas.Gateway.Address, "callseal.v1.PolicyService/GetPolicy"), "retention")
	require.Contains(t, ask(w.atlas.Gateway.Address, "grpc.health.v1.Health/Check"), "SERVING")
	curl := run("curl", "--silent", "--show-error", "--fail", "--cacert", org.TLSCAFile(), "--cert", person.CertFile(), "--key", person.KeyFile(),
		"https://"+w.atlas.Gateway.REST+"/v1/policies/retention")
	require.Contains(t, curl, `"name":"retention"`)
}

// What the README says under "Connect your own client" works as typed, from the
// source tree's folder, once the network is up.
func testReadme(t *testing.T, w *world) {
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Connect your own client\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	script := "set -eu\n"
	for i, part := range strings.Split(section, "```") {
		if i%2 == 1 {
			script += strings.TrimPrefix(part, "sh\n")
		}
	}
	require.Contains(t, script, "grpcurl")
	require.Contains(t, script, "curl --fail")
	// A tree of its own: bin/ is where the network's programs are.
	tree := t.TempDir()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(filepath.Join(root, "tools"), filepath.Join(tree, "tools")))
	require.NoError(t, os.Mkdir(filepath.Join(tree, "bin"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(networktest.Build(t, "callseal"), "callseal"), filepath.Join(tree, "bin", "callseal")))
	// The parent of a symbolic link is its target's.
	script = strings.ReplaceAll(script, "../../bin/grpcurl", filepath.Join(tree, "bin", "grpcurl"))
	command := exec.CommandContext(t.Context(), "sh", "-c", script)
	command.Dir = tree
	command.Env = append(os.Environ(), "CALLSEAL_STATE="+w.Layout().Root())
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "callseal.v1.DeviceService")
	require.Contains(t, string(out), `"kind":"phone"`)
}
