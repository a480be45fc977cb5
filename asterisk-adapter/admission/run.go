package admission

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	pb "github.com/callseal/callseal/api/callseal/v1"
)

// silence is how long a stream may say nothing before it is taken for dead: the
// gateway sends a mark every five seconds.
const silence = 20 * time.Second

// Run follows the gateway until the context ends. When the stream breaks it goes
// on from the last mark; meanwhile the view answers from what it has, and
// [View.Freshness] says how old that is.
func (v *View) Run(ctx context.Context, gateway pb.ViewServiceClient, log *slog.Logger) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		began := v.Freshness().Heard
		err := v.follow(ctx, gateway)
		if ctx.Err() != nil {
			return struct{}{}, backoff.Permanent(ctx.Err())
		}
		if v.Freshness().Heard.After(began) {
			wait.Reset()
		}
		log.Warn("the view of scores and devices is not kept up to date: it connects again", "error", err)
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
}

// follow runs one stream.
func (v *View) follow(ctx context.Context, gateway pb.ViewServiceClient) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(ErrSilent) })
	defer watchdog.Stop()
	v.mu.RLock()
	cursor := v.cursor
	v.mu.RUnlock()
	stream, err := gateway.WatchAdmission(ctx, &pb.WatchAdmissionRequest{Cursor: cursor})
	if err != nil {
		return fmt.Errorf("watch scores and devices: %w", err)
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			if cause := context.Cause(ctx); errors.Is(cause, ErrSilent) {
				err = cause
			}
			return fmt.Errorf("watch scores and devices: %w", err)
		}
		watchdog.Reset(silence)
		switch event := message.GetEvent().(type) {
		case *pb.WatchAdmissionResponse_Start:
			v.start(event.Start)
		case *pb.WatchAdmissionResponse_Entries:
			v.apply(event.Entries.GetEntries())
		case *pb.WatchAdmissionResponse_Mark:
			v.mark(event.Mark)
		}
	}
}

// ErrSilent says that the gateway has not said for a while how the ledger stands: the
// view may be old.
var ErrSilent = errors.New("the gateway says nothing of scores and devices")
