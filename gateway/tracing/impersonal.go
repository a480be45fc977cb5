package tracing

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// impersonal leaves out of spans what could tell of a person: addresses of those
// who called, and attributes of names that nobody foresaw.
type impersonal struct{ sdktrace.SpanExporter }

// foreseen begin the names of attributes that tell nothing of a person.
var foreseen = []string{"callseal.", "rpc.", "otel.", "error.type"}

// ExportSpans implements sdktrace.SpanExporter.
func (e impersonal) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	kept := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		kept[i] = scrubbed{span}
	}
	return e.SpanExporter.ExportSpans(ctx, kept)
}

// scrubbed is a span without them.
type scrubbed struct{ sdktrace.ReadOnlySpan }

// Attributes are those that were foreseen.
func (s scrubbed) Attributes() []attribute.KeyValue { return scrub(s.ReadOnlySpan.Attributes()) }

// Events are the span's, without the rest.
func (s scrubbed) Events() []sdktrace.Event {
	events := slices.Clone(s.ReadOnlySpan.Events())
	for i := range events {
		events[i].Attributes = scrub(events[i].Attributes)
	}
	return events
}

func scrub(attributes []attribute.KeyValue) []attribute.KeyValue {
	return slices.DeleteFunc(slices.Clone(attributes), func(one attribute.KeyValue) bool {
		return !slices.ContainsFunc(foreseen, func(begins string) bool { return strings.HasPrefix(string(one.Key), begins) })
	})
}
