package rest

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/openapi"
	"github.com/callseal/callseal/gateway/trail"
)

// Every service is registered, and every method has an address of its own in
// api/rest.yaml; those that take many messages are gRPC's alone.
func TestEveryMethodHasAnAddress(t *testing.T) {
	rules, err := os.ReadFile("../../api/rest.yaml")
	require.NoError(t, err)
	found := map[string]bool{}
	protoregistry.GlobalFiles.RangeFilesByPackage("callseal.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			found[string(service.FullName())] = true
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				if !method.IsStreamingClient() {
					require.Contains(t, string(rules), "selector: "+string(method.FullName())+"\n", "add its rule to api/rest.yaml")
				}
			}
		}
		return true
	})
	require.Greater(t, len(found), 15)
	for service := range found {
		require.Contains(t, services, service, "add it to rest.go")
	}
	require.Len(t, services, len(found))
	var doc struct {
		Paths map[string]json.RawMessage `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(openapi.JSON, &doc))
	for path := range doc.Paths {
		if strings.HasPrefix(path, "/callseal.v1.") {
			require.Contains(t, []string{"/callseal.v1.AnchorService/AnchorSegments", "/callseal.v1.AnchorService/Deliver"}, path, "the description is not of these rules: make generate")
		}
	}
}

// A stream outlasts the time in which a request must have arrived, and is JSON by
// lines.
func TestAStreamOutlastsTheReadTimeout(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.ReadTimeout = time.Second })
	answer, err := h.client("auditor").Get("https://" + h.rest + "/v1/changes?from_now=true")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	lines := bufio.NewScanner(answer.Body)
	for range 2 { // one every five seconds
		require.True(t, lines.Scan(), "%v", lines.Err())
		var line struct {
			Result struct {
				Heartbeat map[string]any `json:"heartbeat"`
			} `json:"result"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), "%s", lines.Text())
		require.Contains(t, line.Result.Heartbeat, "cursor")
	}
}

// Tokens are taken over REST and in gRPC's metadata alike, with the roles of their
// groups, and the audit trail names the person.
func TestTokens(t *testing.T) {
	h := newHouse(t)
	connection, err := grpc.NewClient(h.grpc, grpc.WithTransportCredentials(credentials.NewTLS(h.tls(""))))
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	const digest = "abababababababababababababababababababababababababababababababab"
	for name, c := range map[string]struct {
		token string
		http  int
		code  codes.Code
	}{
		"a compliance officer's": {token: h.token("keepers", "callseal", time.Hour), http: http.StatusBadRequest, code: codes.FailedPrecondition},
		"an auditor's":           {token: h.token("readers", "callseal", time.Hour), http: http.StatusForbidden, code: codes.PermissionDenied},
		"of no group":            {token: h.token("cooks", "callseal", time.Hour), http: http.StatusForbidden, code: codes.PermissionDenied},
		"expired":                {token: h.token("keepers", "callseal", -time.Hour), http: http.StatusUnauthorized, code: codes.Unauthenticated},
		"for somebody else":      {token: h.token("keepers", "payroll", time.Hour), http: http.StatusUnauthorized, code: codes.Unauthenticated},
		"nonsense":               {token: "a.b.c", http: http.StatusUnauthorized, code: codes.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			// What compliance alone may do; the gateway has nobody to sign for it, so that it comes no further.
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+h.rest+"/v1/pbxs/atlas-pbx-1/conversations/1.1/holds/release", strings.NewReader(`{"case_digest":"`+digest+`"}`))
			require.NoError(t, err)
			request.Header.Set("Authorization", "Bearer "+c.token)
			answer, err := h.client("").Do(request)
			require.NoError(t, err)
			text, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+c.token)
			_, err = pb.NewRecordingServiceClient(connection).ReleaseConversation(ctx, &pb.ReleaseConversationRequest{Pbx: "atlas-pbx-1", Linkedid: "1.1", CaseDigest: digest})
			require.Equal(t, c.code, status.Code(err), "%v", err)
			require.Equal(t, c.http, answer.StatusCode, "%s", text)
			require.NotContains(t, string(text), c.token)
		})
	}
	written, err := filepath.Glob(filepath.Join(h.folder, "audit", "*"))
	require.NoError(t, err)
	named := map[string]trail.Caller{}
	for _, file := range written {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			var entry trail.Entry
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Event == trail.Begun {
				named[entry.Method] = entry.Caller
			}
		}
	}
	who := named["/callseal.v1.RecordingService/ReleaseConversation"]
	require.Equal(t, "u-17", who.Subject, "%v", named)
	require.Equal(t, h.login.URL, who.Issuer)
	require.Equal(t, "compliance", who.Role)
	require.NotEmpty(t, who.Fingerprint)
}

// What is sent badly is answered as such, holds nobody up, and everything is given
// back afterwards.
func TestBadRequests(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.ReadTimeout, c.MaxBody = time.Second, 64<<10 })
	good := h.client("auditor")
	fine := func() {
		t.Helper()
		answer, err := good.Get("https://" + h.rest + "/v1/index")
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
	open := func() int { entries, _ := os.ReadDir("/proc/self/fd"); return len(entries) }
	fine()
	time.Sleep(200 * time.Millisecond)
	routines, files := runtime.NumGoroutine(), open()
	shown := h.tls("auditor")
	shown.NextProtos = []string{"http/1.1"}
	dial := func() *tls.Conn {
		made, err := tls.Dial("tcp", h.rest, shown)
		require.NoError(t, err)
		require.NoError(t, made.SetDeadline(time.Now().Add(time.Minute)))
		return made
	}
	// Those who never finish are shown out by the server.
	for name, beginning := range map[string]string{
		"silence": "", "a header by the byte": "GET /v1/index HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"a body that never comes": "POST /v1/devices/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
	} {
		slow := dial()
		_, err := io.WriteString(slow, beginning)
		require.NoError(t, err)
		fine()
		_, err = io.Copy(io.Discard, slow)
		require.NoError(t, err, "%s: the server closes", name)
		require.NoError(t, slow.Close())
	}
	deep := strings.Repeat(`{"policy":`, 20_000)
	for name, c := range map[string]struct {
		request string
		codes   []int
	}{
		"huge headers":        {"GET /v1/index HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("x", 60<<10) + "\r\n\r\n", []int{431}},
		"a huge body":         {post("/v1/devices/check", `{"aor":"`+strings.Repeat("x", 128<<10)+`"}`), []int{400, 413}},
		"no JSON":             {post("/v1/devices/check", `{"aor":`), []int{400}},
		"nesting":             {post("/v1/ballots", deep), []int{400, 413}},
		"wrong types":         {post("/v1/devices/check", `{"aor":[1,{"a":null}]}`), []int{400}},
		"no UTF-8":            {post("/v1/devices/check", "{\"aor\":\"\xff\xfe\"}"), []int{400}},
		"dots":                {get("/v1/../../etc/passwd"), []int{301, 307, 308, 404}},
		"encoded dots":        {get("/v1/devices/%2e%2e%2f%2e%2e%2fetc"), []int{301, 307, 308, 400, 404}},
		"a NUL":               {get("/v1/devices/%00"), []int{400}},
		"double slashes":      {get("//v1//index"), []int{301, 307, 308, 404}},
		"a wrong method":      {"PATCH /v1/index HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{405}},
		"TRACE":               {"TRACE /v1/index HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{405}},
		"another's override":  {"POST /v1/index HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n\r\n", []int{405}},
		"an identity claimed": {"GET /v1/outbox HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-Client-Cert: Subject=\"CN=admin.atlas\"\r\nGrpc-Metadata-Callseal-Ticket: x\r\nX-Role: admin\r\n\r\n", []int{400}},
		"two lengths":         {"POST /v1/devices/check HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}{}{}", []int{400}},
		"no HTTP":             {"\x00\x01\x02\x03\r\n\r\n", []int{400}},
	} {
		t.Run(name, func(t *testing.T) {
			one := dial()
			defer func() { _ = one.Close() }()
			go func() { _, _ = io.WriteString(one, c.request) }()
			answer, err := http.ReadResponse(bufio.NewReader(one), nil)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			require.Contains(t, c.codes, answer.StatusCode)
			fine()
		})
	}
	good.CloseIdleConnections()
	require.Eventually(t, func() bool {
		runtime.GC()
		return runtime.NumGoroutine() <= routines+5 && open() <= files+5
	}, time.Minute, 100*time.Millisecond, "%d goroutines and %d files before", routines, files)
	fine()
}

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

func get(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
}
