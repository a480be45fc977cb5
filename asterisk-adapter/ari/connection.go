package ari

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/CyCoreSystems/ari/v6"
	"github.com/coder/websocket"
)

// maxEvent is the longest event, in bytes. A channel with many variables makes the
// longest ones.
const maxEvent = 4 << 20

// connection lives one connection through, and returns why it ended. Events go into the
// queue as they are read: the ARI client of the library that the types are of drops what
// does not fit into its buffer of 100, without a word.
func (o *Observer) connection(ctx context.Context, q *queue, attempt int, connected func()) error {
	// What ends this ends its helpers.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	socket, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer socket.CloseNow() //nolint:errcheck // both ends know how far they were
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel(nil)
	// From here on events come; what was there before is listed meanwhile.
	var heard atomic.Int64
	helpers.Go(func() {
		began := time.Now()
		there, err := o.list(ctx)
		if err != nil {
			cancel(err)
			return
		}
		o.since.Store(began.UnixNano())
		connected()
		q.push(notice{attempt: attempt, listing: there})
		o.ping(ctx, socket, &heard, cancel)
	})
	for {
		_, text, err := socket.Read(ctx)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return fmt.Errorf("the connection to Asterisk's REST interface is lost: %w", err)
		}
		heard.Add(1)
		// A type that the library does not know is none that is needed here.
		if event, err := ari.DecodeEvent(text); err == nil {
			q.push(notice{attempt: attempt, event: event})
		}
	}
}

// dial opens the stream of events. Asterisk has subscribed the application to everything
// when it answers.
func (o *Observer) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*o.opts.KeepAlive)
	defer cancel()
	address, err := url.Parse(o.opts.URL + "/events")
	if err != nil {
		return nil, fmt.Errorf("ARI address: %w", err)
	}
	address.Scheme = "ws" + strings.TrimPrefix(address.Scheme, "http")
	address.RawQuery = url.Values{"app": {o.opts.App}, "subscribeAll": {strconv.FormatBool(!o.opts.own)}}.Encode()
	request := &http.Request{Header: http.Header{}}
	request.SetBasicAuth(o.opts.User, *o.password.Load())
	socket, response, err := websocket.Dial(ctx, address.String(), &websocket.DialOptions{HTTPHeader: request.Header}) //nolint:bodyclose // the library closes it
	if err != nil {
		if response != nil && (response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden) {
			return nil, o.refused()
		}
		return nil, fmt.Errorf("connect to Asterisk's REST interface: %w", err)
	}
	socket.SetReadLimit(maxEvent)
	return socket, nil
}

func (o *Observer) refused() error {
	return fmt.Errorf("%w: compare user %q and its password in ari.conf with the adapter's configuration", ErrLogin, o.opts.User)
}

// ping asks whether Asterisk is still there until the context ends: a network that is
// gone says nothing. An answer may stand behind events that are still being read.
func (o *Observer) ping(ctx context.Context, socket *websocket.Conn, heard *atomic.Int64, lost context.CancelCauseFunc) {
	for pause(ctx, o.opts.KeepAlive) {
		before := heard.Load()
		asking, cancel := context.WithTimeout(ctx, o.opts.KeepAlive)
		err := socket.Ping(asking)
		cancel()
		if err != nil && heard.Load() == before {
			lost(errSilent)
			return
		}
	}
}

var errSilent = errors.New("Asterisk does not answer")

// get asks for a path below the base; false means 404.
func (o *Observer) get(ctx context.Context, path string, into any) (bool, error) {
	return o.request(ctx, http.MethodGet, path, into)
}

// request asks for, or does, something below the base; false means 404.
func (o *Observer) request(ctx context.Context, method, path string, into any) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, method, o.opts.URL+path, nil)
	if err != nil {
		return false, fmt.Errorf("ARI address: %w", err)
	}
	request.SetBasicAuth(o.opts.User, *o.password.Load())
	response, err := o.http.Do(request)
	if err != nil {
		return false, fmt.Errorf("Asterisk's REST interface: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	body := io.LimitReader(response.Body, 64<<20)
	switch response.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		if into == nil {
			_, err = io.Copy(io.Discard, body)
		} else {
			err = json.NewDecoder(body).Decode(into)
		}
		return err == nil, err
	case http.StatusNotFound:
		return false, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return false, o.refused()
	}
	return false, fmt.Errorf("Asterisk's REST interface answers %s", response.Status)
}
