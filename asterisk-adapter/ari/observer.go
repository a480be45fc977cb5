// Package ari observes Asterisk's REST interface: call times to the
// millisecond, hang-up causes, and bridge recordings. It never acts, so a
// read-only user is enough.
package ari

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/CyCoreSystems/ari/v6"
	"github.com/CyCoreSystems/ari/v6/client/native"
	"github.com/cenkalti/backoff/v5"
)

// ErrLogin says that Asterisk refused the user. Trying again is no use.
var ErrLogin = errors.New("Asterisk's REST interface refused the login")

// Options says where and as whom to observe.
type Options struct {
	// URL is the base of the REST interface, such as "http://127.0.0.1:8088/ari".
	URL      string
	User     string
	Password string
	// App is the Stasis application's name; two observers of one Asterisk need
	// two names. Empty means "callseal".
	App string
	// Forget is how long a channel is remembered after its end; 0 means 10 min.
	Forget time.Duration
}

// Handler is told what happens, by one goroutine, in order. Nil functions are
// left out. Events wait in memory while a function blocks.
type Handler struct {
	// Connected is called after each connection, attempt 1 being the first:
	// events before it are missing, so reconcile.
	Connected func(attempt int)
	// Lost is called when a connection ends, and for each attempt that fails.
	Lost func(error)
	// Recording is called when a bridge or channel recording's file is closed
	// and complete.
	Recording func(Recording)
}

// Recording is an ARI recording whose file is complete.
type Recording struct {
	// Name is the recording's name, a path without extension below Asterisk's
	// recording folder.
	Name string
	// Format is the file's extension, such as "wav".
	Format string
	// Target says what was recorded: "bridge:ID" or "channel:ID".
	Target string
	// Finished is Asterisk's time of the event.
	Finished time.Time
}

// File is the recording's path below Asterisk's recording folder
// (astspooldir/recording).
func (r Recording) File() string { return path.Clean("/" + r.Name + "." + r.Format)[1:] }

// Observer is one subscription to everything an Asterisk does.
type Observer struct {
	opts     Options
	channels *channels
	http     http.Client
	// connected is whether events come.
	connected atomic.Bool
}

// New returns an observer that Run will connect.
func New(opts Options) *Observer {
	opts.URL = strings.TrimRight(opts.URL, "/")
	if opts.App == "" {
		opts.App = "callseal"
	}
	if opts.Forget == 0 {
		opts.Forget = 10 * time.Minute
	}
	return &Observer{opts: opts, channels: newChannels(opts.Forget), http: http.Client{Timeout: 2 * time.Second}}
}

// Observe returns what is known of a channel, waiting for its end up to wait, or
// until the context ends, and not at all while there is no connection; false means
// that nothing is known, or not its end.
func (o *Observer) Observe(ctx context.Context, uniqueID string, wait time.Duration) (ChannelTimes, bool) {
	if !o.connected.Load() {
		wait = 0
	}
	return o.channels.observe(ctx, uniqueID, wait)
}

// Run connects, and again whenever the connection is lost, until the context
// ends or Asterisk refuses the login (ErrLogin).
func (o *Observer) Run(ctx context.Context, handler Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := newQueue()
	var workers sync.WaitGroup
	defer workers.Wait()
	defer q.close()
	workers.Go(func() { o.consume(ctx, q, handler) })

	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval = 20 * time.Millisecond
	retry.MaxInterval = 2 * time.Second
	// The client's first connection blocks and hides why: ask first.
	for {
		err := o.reachable(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrLogin) {
			return err
		}
		q.push(notice{lost: err})
		if !pause(ctx, retry.NextBackOff()) {
			return ctx.Err()
		}
	}

	broken := make(chan error, 1)
	events, err := o.connect(ctx, broken)
	if err != nil {
		return err
	}
	// The client drops what does not fit into its buffer of 100, without a
	// word: so nothing is done here but moving events on.
	workers.Go(func() {
		defer events.Cancel()
		for {
			select {
			case <-ctx.Done():
				return
			case event := <-events.Events():
				q.push(notice{event: event})
			}
		}
	})
	for attempt := 1; ; attempt++ {
		if err := o.subscribed(ctx, broken, retry); err != nil {
			return err
		}
		o.connected.Store(true)
		o.seedChannels(ctx)
		q.push(notice{connected: attempt})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-broken:
			o.connected.Store(false)
			retry.Reset()
			q.push(notice{lost: err})
		}
	}
}

// connect starts the client, which reconnects by itself. It is ended by the
// context and never by its Close, which races with its own goroutine.
func (o *Observer) connect(ctx context.Context, broken chan<- error) (ari.Subscription, error) {
	base, err := url.Parse(o.opts.URL)
	if err != nil {
		return nil, fmt.Errorf("ARI address: %w", err)
	}
	socket := *base
	socket.Scheme = "ws" + strings.TrimPrefix(base.Scheme, "http")
	socket.Path += "/events"
	client := native.New(&native.Options{
		Application:  o.opts.App,
		URL:          o.opts.URL,
		WebsocketURL: socket.String(),
		Username:     o.opts.User,
		Password:     o.opts.Password,
		SubscribeAll: true,
		Logger:       watchLog(broken),
	})
	if err := client.ConnectWithContext(ctx); err != nil {
		return nil, fmt.Errorf("connect to Asterisk's REST interface: %w", err)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return client.Bus().Subscribe(nil, ari.Events.All), nil
}

// subscribed returns when Asterisk says that the application listens: no event
// of the client does.
func (o *Observer) subscribed(ctx context.Context, broken <-chan error, retry *backoff.ExponentialBackOff) error {
	for {
		found, err := o.get(ctx, "/applications/"+url.PathEscape(o.opts.App), nil)
		if errors.Is(err, ErrLogin) {
			return err
		}
		if err == nil && found {
			select { // what broke before this is mended by it
			case <-broken: //nolint:errcheck // it is over
			default:
			}
			return nil
		}
		if !pause(ctx, min(retry.NextBackOff(), 200*time.Millisecond)) {
			return ctx.Err()
		}
	}
}

func (o *Observer) consume(ctx context.Context, q *queue, handler Handler) {
	recordings := make(seen)
	sweep := time.Now()
	for {
		n, ok := q.pop()
		if !ok {
			return
		}
		switch {
		case ctx.Err() != nil:
			return
		case n.connected > 0:
			if handler.Connected != nil {
				handler.Connected(n.connected)
			}
		case n.lost != nil:
			if handler.Lost != nil {
				handler.Lost(n.lost)
			}
		default:
			if r, ok := n.event.(*ari.RecordingFinished); ok {
				// Subscribed to all, the application gets some events twice.
				if handler.Recording != nil && r.Recording.State == "done" && recordings.first(r.Recording.Name, time.Time(r.Timestamp)) {
					handler.Recording(Recording{Name: r.Recording.Name, Format: r.Recording.Format, Target: r.Recording.TargetURI, Finished: time.Time(r.Timestamp).UTC()})
				}
			} else {
				o.channels.apply(n.event)
			}
		}
		if now := time.Now(); now.Sub(sweep) > time.Minute {
			sweep = now
			o.channels.sweep(now)
			recordings.forget(now.Add(-time.Minute))
		}
	}
}

// seen remembers for a minute which recordings were told of.
type seen map[string]time.Time

// twice is how far apart the two copies of one event can be.
const twice = 2 * time.Second

func (s seen) first(name string, at time.Time) bool {
	last, known := s[name]
	s[name] = at
	return !known || at.Sub(last) > twice
}

func (s seen) forget(before time.Time) {
	for name, at := range s {
		if at.Before(before) {
			delete(s, name)
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
