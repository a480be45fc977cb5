package network

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// startPatience is how long one condition may take to come true. On an idle
// machine all come true within seconds.
const startPatience = 90 * time.Second

// impatient makes a connection to a node that is just starting be tried often.
var impatient = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 300 * time.Millisecond},
	MinConnectTimeout: 2 * time.Second,
}

// permanentError ends waiting: what failed will not come right by itself.
type permanentError struct{ error }

// Unwrap gives the reason.
func (e permanentError) Unwrap() error { return e.error }

func permanent(err error) error { return permanentError{err} }

// await asks again and again until check agrees, fails for good, or patience
// and context end; the last answer is in the error.
func await(ctx context.Context, what string, check func(context.Context) error) error {
	waiting, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	pause := 10 * time.Millisecond
	for {
		err := check(waiting)
		var final permanentError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &final):
			return fmt.Errorf("%s: %w", what, final.error)
		}
		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("%s: %w", what, ctx.Err())
			}
			return fmt.Errorf("%s did not succeed within %s: %w", what, startPatience, err)
		case <-time.After(pause):
		}
		pause = min(pause*3/2, 200*time.Millisecond)
	}
}
