package anchor

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/callseal/callseal/gateway/fault"
)

// maxLinks bounds the acceptances that a transaction's span links to.
const maxLinks = 64

// tracer makes the spans of the pipeline.
var tracer = otel.Tracer("github.com/callseal/callseal/gateway/anchor")

// remember is the trace context of a segment's acceptance, as it is kept with it:
// the commit, perhaps after a restart, links to it.
func remember(ctx context.Context) map[string]string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier
}

// span is one transaction's.
type span struct {
	trace.Span
	ctx context.Context //nolint:containedctx // of the span, no longer
}

// span begins a span that links to the acceptances of the segments; that of a lone
// segment continues its acceptance's trace.
func (p *Pipeline) span(ctx context.Context, name string, items []*item) *span {
	var links []trace.Link
	records := 0
	for _, one := range items {
		records += one.records
		if len(one.trace) == 0 || len(links) == maxLinks {
			continue
		}
		from := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier(one.trace))
		links = append(links, trace.LinkFromContext(from))
	}
	if len(items) == 1 && len(links) == 1 {
		ctx = trace.ContextWithRemoteSpanContext(ctx, links[0].SpanContext)
	}
	ctx, begun := tracer.Start(ctx, name, trace.WithLinks(links...), trace.WithAttributes(
		attribute.Int("callseal.segments", len(items)), attribute.Int("callseal.records", records),
	))
	return &span{Span: begun, ctx: ctx}
}

// committed notes where the transaction stands.
func (s *span) committed(transactionID string, block uint64) {
	s.SetAttributes(attribute.String("callseal.transaction", transactionID), attribute.Int64("callseal.block", int64(block))) //nolint:gosec // a height
}

// failed notes a fault's sentence, never its cause.
func (s *span) failed(err error) error {
	what := fault.Of(err)
	s.SetAttributes(attribute.String("callseal.kind", string(what.Kind)), attribute.String("callseal.stage", string(what.Stage)))
	s.SetStatus(codes.Error, what.Message)
	return err
}
