// Package rest is the gateway's REST face: the same services, by JSON over HTTP. It
// translates and does nothing else: who calls is found out as for gRPC, and every
// request goes through the gRPC server's own chain on a connection within the
// process. What a header says of who calls reaches nobody.
package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/openapi"
	"github.com/callseal/callseal/gateway/server"
)

// services are registered one by one: a test checks that none is forgotten.
var services = map[string]func(context.Context, *runtime.ServeMux, grpc.ClientConnInterface) error{
	"callseal.v1.AboutService":      client(pb.RegisterAboutServiceHandlerClient, pb.NewAboutServiceClient),
	"callseal.v1.AdapterService":    client(pb.RegisterAdapterServiceHandlerClient, pb.NewAdapterServiceClient),
	"callseal.v1.AnchorService":     client(pb.RegisterAnchorServiceHandlerClient, pb.NewAnchorServiceClient),
	"callseal.v1.CallService":       client(pb.RegisterCallServiceHandlerClient, pb.NewCallServiceClient),
	"callseal.v1.ConsentService":    client(pb.RegisterConsentServiceHandlerClient, pb.NewConsentServiceClient),
	"callseal.v1.DeviceService":     client(pb.RegisterDeviceServiceHandlerClient, pb.NewDeviceServiceClient),
	"callseal.v1.ErasureService":    client(pb.RegisterErasureServiceHandlerClient, pb.NewErasureServiceClient),
	"callseal.v1.GraceService":      client(pb.RegisterGraceServiceHandlerClient, pb.NewGraceServiceClient),
	"callseal.v1.LedgerService":     client(pb.RegisterLedgerServiceHandlerClient, pb.NewLedgerServiceClient),
	"callseal.v1.OutboxService":     client(pb.RegisterOutboxServiceHandlerClient, pb.NewOutboxServiceClient),
	"callseal.v1.PolicyService":     client(pb.RegisterPolicyServiceHandlerClient, pb.NewPolicyServiceClient),
	"callseal.v1.RecordingService":  client(pb.RegisterRecordingServiceHandlerClient, pb.NewRecordingServiceClient),
	"callseal.v1.ReputationService": client(pb.RegisterReputationServiceHandlerClient, pb.NewReputationServiceClient),
	"callseal.v1.SearchService":     client(pb.RegisterSearchServiceHandlerClient, pb.NewSearchServiceClient),
	"callseal.v1.StatusService":     client(pb.RegisterStatusServiceHandlerClient, pb.NewStatusServiceClient),
	"callseal.v1.ViewService":       client(pb.RegisterViewServiceHandlerClient, pb.NewViewServiceClient),
	"callseal.v1.WatchService":      client(pb.RegisterWatchServiceHandlerClient, pb.NewWatchServiceClient),
}

// client makes one shape of the generated functions.
func client[C any](register func(context.Context, *runtime.ServeMux, C) error, open func(grpc.ClientConnInterface) C) func(context.Context, *runtime.ServeMux, grpc.ClientConnInterface) error {
	return func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
		return register(ctx, mux, open(conn))
	}
}

// headers are those of a request that reach the services, as metadata, and those of
// an answer that reach the caller.
var (
	requestHeaders = map[string]string{
		"Idempotency-Key": "idempotency-key", "Traceparent": "traceparent", "Tracestate": "tracestate",
	}
	answerHeaders = map[string]string{
		"callseal-request-id": "Callseal-Request-Id", "idempotency-replayed": "Idempotency-Replayed",
	}
)

// Server serves REST.
type Server struct {
	config Config
	grpc   *server.Server
	http   *http.Server
	log    *slog.Logger
}

// New assembles REST upon the gRPC server.
func New(config Config, upon *server.Server, log *slog.Logger) (*Server, error) {
	handler, err := newHandler(config, upon)
	if err != nil {
		return nil, err
	}
	return &Server{config: config, grpc: upon, log: log, http: &http.Server{
		Handler: handler, TLSConfig: upon.TLS(), ReadTimeout: config.ReadTimeout, ReadHeaderTimeout: config.ReadTimeout, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

func newHandler(config Config, upon *server.Server) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{Marshaler: &runtime.JSONPb{
			// Members are named as they are on the ledger.
			MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true},
		}}),
		runtime.WithIncomingHeaderMatcher(func(name string) (string, bool) { to, passes := requestHeaders[name]; return to, passes }),
		runtime.WithOutgoingHeaderMatcher(func(name string) (string, bool) {
			to, passes := answerHeaders[strings.ToLower(name)]
			return to, passes
		}),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithErrorHandler(answerError), runtime.WithRoutingErrorHandler(answerRouting),
	)
	for name, register := range services {
		if err := register(context.Background(), mux, upon.Inner()); err != nil {
			return nil, fmt.Errorf("serve %s by REST: %w", name, err)
		}
	}
	refuse := func(w http.ResponseWriter, r *http.Request, err error) {
		_, marshaler := runtime.MarshalerForRequest(mux, r)
		answerError(r.Context(), mux, marshaler, w, r, err)
	}
	all := http.NewServeMux()
	all.Handle("GET /openapi.json", described("application/json", openapi.JSON))
	all.Handle("GET /openapi.yaml", described("application/yaml", openapi.YAML))
	all.Handle("/", upon.Authenticate(http.MaxBytesHandler(untimed(mux), int64(config.MaxBody)), refuse))
	return all, nil
}

// untimed lifts the deadline for reading once the request has arrived. net/http
// watches the connection meanwhile, and would end a call that outlasts the deadline,
// as streams do.
func untimed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lift := func() { _ = http.NewResponseController(w).SetReadDeadline(time.Time{}) }
		if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
			lift()
		} else {
			r.Body = &arriving{ReadCloser: r.Body, arrived: lift}
		}
		next.ServeHTTP(w, r)
	})
}

// arriving is a body that tells when it is all there.
type arriving struct {
	io.ReadCloser
	arrived func()
}

// Read reads.
func (b *arriving) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if errors.Is(err, io.EOF) {
		b.arrived()
	}
	return n, err
}

// described answers the description, to anyone: it says nothing of any call.
func described(kind string, text []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(text)
	})
}

// Serve serves until the context ends, then lets running requests end for at most
// the configured time.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.http.ServeTLS(s.grpc.Door(listener), "", "") }()
	select {
	case err := <-served:
		return fmt.Errorf("serve REST: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.StopTimeout)
	defer cancel()
	if err := s.http.Shutdown(stopping); err != nil {
		s.log.Warn("requests still running are cut off", "after", s.config.StopTimeout)
		if err := s.http.Close(); err != nil {
			return fmt.Errorf("stop REST: %w", err)
		}
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve REST: %w", err)
	}
	return nil
}
