package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
)

// The addresses on the adapter's control socket.
const (
	pathLegs       = "/import/legs"
	pathDryLegs    = "/import/legs/dry"
	pathFiles      = "/import/files"
	pathRecordings = "/import/recordings"
)

// maxRequest bounds a batch in bytes: 500 records with the longest fields.
const maxRequest = 32 << 20

// Handle serves an adapter.
func Handle(adapter Adapter) http.Handler {
	mux := http.NewServeMux()
	handle(mux, pathLegs, func(ctx context.Context, rows []cdr.Row) ([]Result, error) { return adapter.Legs(ctx, rows, false) })
	handle(mux, pathDryLegs, func(ctx context.Context, rows []cdr.Row) ([]Result, error) { return adapter.Legs(ctx, rows, true) })
	handle(mux, pathFiles, adapter.Files)
	handle(mux, pathRecordings, adapter.Recordings)
	return mux
}

func handle[T any](mux *http.ServeMux, path string, take func(context.Context, []T) ([]Result, error)) {
	mux.HandleFunc("POST "+path, func(out http.ResponseWriter, request *http.Request) {
		var batch []T
		if err := json.UnmarshalRead(http.MaxBytesReader(out, request.Body, maxRequest), &batch, json.RejectUnknownMembers(true)); err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		if len(batch) > MaxBatch {
			http.Error(out, fmt.Sprintf("a batch has at most %d, not %d", MaxBatch, len(batch)), http.StatusBadRequest)
			return
		}
		results, err := take(request.Context(), batch)
		if err != nil {
			http.Error(out, err.Error(), http.StatusServiceUnavailable)
			return
		}
		out.Header().Set("Content-Type", "application/json")
		_ = json.MarshalWrite(out, results) // whoever asked is gone
	})
}

// Client is an adapter that runs, reached by its control socket.
type Client struct{ http *http.Client }

// NewClient makes a client that dials by the given function.
func NewClient(dial func(context.Context) (net.Conn, error)) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}}}
}

// Legs implements [Adapter].
func (c *Client) Legs(ctx context.Context, rows []cdr.Row, dry bool) ([]Result, error) {
	sent := make([]*cdr.Row, len(rows)) // a row is written by its address
	for i := range rows {
		sent[i] = &rows[i]
	}
	if dry {
		return post(ctx, c, pathDryLegs, sent)
	}
	return post(ctx, c, pathLegs, sent)
}

// Files implements [Adapter].
func (c *Client) Files(ctx context.Context, files []File) ([]Result, error) {
	return post(ctx, c, pathFiles, files)
}

// Recordings implements [Adapter].
func (c *Client) Recordings(ctx context.Context, recordings []Recording) ([]Result, error) {
	return post(ctx, c, pathRecordings, recordings)
}

func post[T any](ctx context.Context, c *Client, path string, batch []T) ([]Result, error) {
	text, err := json.Marshal(batch)
	if err != nil {
		return nil, fmt.Errorf("write a batch: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://adapter"+path, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("ask the adapter: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the adapter: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		return nil, errors.New(string(bytes.TrimSpace(said)))
	}
	var results []Result
	if err := json.UnmarshalRead(response.Body, &results); err != nil {
		return nil, fmt.Errorf("read the adapter's answer: %w", err)
	}
	if len(results) != len(batch) {
		return nil, fmt.Errorf("the adapter answered for %d of %d", len(results), len(batch))
	}
	return results, nil
}
