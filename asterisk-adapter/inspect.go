package adapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health is what GET /healthz answers.
type health struct {
	// Serving says that everything answers.
	Serving bool                `json:"serving"`
	On      map[string]Standing `json:"on"`
}

// inspect serves /metrics and /healthz until the context ends.
func (a *Adapter) inspect(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.config.Metrics.Listen)
	if err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET /healthz", func(out http.ResponseWriter, _ *http.Request) {
		var now health
		now.On, now.Serving = a.standings.all()
		out.Header().Set("Content-Type", "application/json")
		if !now.Serving {
			out.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.MarshalWrite(out, now, json.Deterministic(true)) // whoever asked is gone
	})
	if a.devices != nil {
		mux.HandleFunc("GET /devices", a.showDevices)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	a.log.Info("metrics ready", "listen", listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return ctx.Err()
}
