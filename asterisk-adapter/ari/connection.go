package ari

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/exp/slog"
)

// logWatch turns the client's log into what it offers no other way: the news
// that the websocket is gone.
type logWatch struct{ broken chan<- error }

func watchLog(broken chan<- error) *slog.Logger { return slog.New(logWatch{broken}) }

// Enabled is part of slog.Handler.
func (logWatch) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

// WithAttrs is part of slog.Handler.
func (l logWatch) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup is part of slog.Handler.
func (l logWatch) WithGroup(string) slog.Handler { return l }

// Handle is part of slog.Handler.
func (l logWatch) Handle(_ context.Context, record slog.Record) error {
	switch record.Message {
	case "failed to decode websocket message to event":
		return nil // a type younger than the client: none that is needed here
	}
	err := errors.New("the connection to Asterisk's REST interface is lost: " + record.Message)
	select {
	case l.broken <- err:
	default: // one is enough
	}
	return nil
}

// reachable asks the REST interface for anything a read-only user may have.
func (o *Observer) reachable(ctx context.Context) error {
	_, err := o.get(ctx, "/asterisk/ping", nil)
	return err
}

// get asks for a path below the base; false means 404.
func (o *Observer) get(ctx context.Context, path string, into any) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.opts.URL+path, nil)
	if err != nil {
		return false, fmt.Errorf("ARI address: %w", err)
	}
	request.SetBasicAuth(o.opts.User, o.opts.Password)
	response, err := o.http.Do(request)
	if err != nil {
		return false, fmt.Errorf("Asterisk's REST interface: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	body := io.LimitReader(response.Body, 64<<20)
	switch response.StatusCode {
	case http.StatusOK:
		if into == nil {
			_, err = io.Copy(io.Discard, body)
		} else {
			err = json.NewDecoder(body).Decode(into)
		}
		return err == nil, err
	case http.StatusNotFound:
		return false, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return false, fmt.Errorf("%w: compare user %q and its password in ari.conf with the adapter's configuration", ErrLogin, o.opts.User)
	}
	return false, fmt.Errorf("Asterisk's REST interface answers %s to %s", response.Status, path)
}
