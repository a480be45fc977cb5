// Package tracing sends spans to a collector by OTLP: of calls, and of what the
// other parts make of them through OpenTelemetry's global tracer, up to the commit.
// It is off unless there is a collector.
package tracing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/stats"
)

// Who is traced.
type Who struct {
	// MSP and Operator name the gateway's operator, Version the program's.
	MSP, Operator, Version string
}

// Provider makes spans and sends them.
type Provider struct{ provider *sdktrace.TracerProvider }

// Start has spans made and sent from now on. A collector that is away loses spans
// and holds nothing up.
func Start(ctx context.Context, config Config, who Who, log *slog.Logger) (*Provider, error) {
	options, err := config.options()
	if err != nil {
		return nil, err
	}
	exporter, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare the way to the collector: %w", err)
	}
	// What the environment says of the resource is added, and wins.
	described, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", "callseal-gateway"), attribute.String("service.version", who.Version),
			attribute.String("service.namespace", who.Operator), attribute.String("callseal.msp", who.MSP),
		), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("describe the gateway to the collector: %w", err), exporter.Shutdown(ctx))
	}
	made := []sdktrace.TracerProviderOption{sdktrace.WithBatcher(impersonal{exporter}), sdktrace.WithResource(described)}
	if config.Ratio != 1 || os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		made = append(made, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(config.Ratio))))
	}
	provider := sdktrace.NewTracerProvider(made...)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("spans are lost", "error", err) }))
	otel.SetTextMapPropagator(Propagator)
	otel.SetTracerProvider(provider)
	return &Provider{provider: provider}, nil
}

// Propagator carries a trace's context between programs: W3C's traceparent, and no
// baggage, which could hold anything.
var Propagator propagation.TextMapPropagator = propagation.TraceContext{}

// Handler makes a span of every call that is served, those for health aside.
func (p *Provider) Handler() stats.Handler {
	return otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(p.provider), otelgrpc.WithPropagators(Propagator), otelgrpc.WithFilter(worthTracing))
}

func worthTracing(call *stats.RPCTagInfo) bool {
	const health, reflection = "/grpc.health.v1.", "/grpc.reflection."
	return len(call.FullMethodName) < len(health) || call.FullMethodName[:len(health)] != health && call.FullMethodName[:len(reflection)] != reflection
}

// Stop sends what is left, within the context.
func (p *Provider) Stop(ctx context.Context) error {
	if err := p.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

// options turn the configuration into the exporter's; what it leaves out the
// exporter takes from OpenTelemetry's variables.
func (c *Config) options() ([]otlptracegrpc.Option, error) {
	var options []otlptracegrpc.Option
	if c.Endpoint != "" {
		options = append(options, otlptracegrpc.WithEndpoint(c.Endpoint))
	}
	if c.Plaintext {
		return append(options, otlptracegrpc.WithInsecure()), nil
	}
	if c.CAFile == "" && c.CertFile == "" {
		return options, nil
	}
	transport := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		authority, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the collector's CA: %w", err)
		}
		transport.RootCAs = x509.NewCertPool()
		if !transport.RootCAs.AppendCertsFromPEM(authority) {
			return nil, fmt.Errorf("%s holds no PEM certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		own, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load the certificate for the collector: %w", err)
		}
		transport.Certificates = []tls.Certificate{own}
	}
	return append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(transport))), nil
}

// ServerOption instruments a gRPC server; nothing for a nil provider.
func (p *Provider) ServerOption() []grpc.ServerOption {
	if p == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(p.Handler())}
}
