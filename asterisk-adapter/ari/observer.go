// Package ari observes Asterisk's REST interface: call times to the
// millisecond, hang-up causes, and bridge recordings. It never acts, so a
// read-only user is enough.
package ari

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/CyCoreSystems/ari/v6"
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
	// KeepAlive is how often to ask whether Asterisk is still there; no answer for as
	// long again is a lost connection. 0 means 5 s.
	KeepAlive time.Duration
	// Forget is how long a channel is remembered after its end; 0 means 10 min.
	Forget time.Duration

	// own has only what belongs to the application told of.
	own bool
}

// Handler is told what happens, by one goroutine, in order. Nil functions are
// left out. Events wait in memory while a function blocks.
type Handler struct {
	// Connected is called after each connection, attempt 1 being the first, with what
	// was there then: events before it are missing, so reconcile.
	Connected func(attempt int, there Listing)
	// Lost is called when a connection ends, and for each attempt that fails.
	Lost func(error)
	// Recording is called when a bridge or channel recording's file is closed
	// and complete.
	Recording func(Recording)
	// Failed is called when a recording came to nothing: it failed, or an application
	// discarded it.
	Failed func(Recording)
	// Bound is called for each file that is recorded into, when that begins or, where
	// that was missed, before its end is told.
	Bound func(Bound)
	// Event is called for each event, duplicates too, after the observer has taken
	// what it needs.
	Event func(ari.Event)
}

// Recording is an ARI recording.
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
	// State is Asterisk's word for what became of it: "done", "failed" or "canceled".
	State string
}

// File is the recording's path below Asterisk's recording folder
// (astspooldir/recording).
func (r Recording) File() string { return path.Clean("/" + r.Name + "." + r.Format)[1:] }

// Observer is one subscription to everything an Asterisk does.
type Observer struct {
	opts     Options
	channels *channels
	http     http.Client
	password atomic.Pointer[string]
	// since is when the connection that is up began, in ns since 1970; 0 while none is.
	since atomic.Int64
}

// New returns an observer that Run will connect.
func New(opts Options) *Observer {
	opts.URL = strings.TrimRight(opts.URL, "/")
	if opts.App == "" {
		opts.App = "callseal"
	}
	if opts.KeepAlive == 0 {
		opts.KeepAlive = 5 * time.Second
	}
	if opts.Forget == 0 {
		opts.Forget = 10 * time.Minute
	}
	o := &Observer{opts: opts, channels: newChannels(opts.Forget), http: http.Client{Timeout: 2 * time.Second}}
	o.SetPassword(opts.Password)
	return o
}

// SetPassword changes the password, from the next question and connection on.
func (o *Observer) SetPassword(password string) { o.password.Store(&password) }

// Observe returns what is known of a channel whose record says when it ended, waiting
// for its end up to wait, or until the context ends; false means that nothing is known,
// or not its end. It does not wait while there is no connection, nor for a channel that
// went away while there was none.
func (o *Observer) Observe(ctx context.Context, uniqueID string, ended time.Time, wait time.Duration) (ChannelTimes, bool) {
	since := o.since.Load()
	// Records have whole seconds.
	if since == 0 || ended.Before(time.Unix(0, since).Truncate(time.Second)) {
		wait = 0
	}
	return o.channels.observe(ctx, uniqueID, wait)
}

// CallID is the SIP Call-ID of a PJSIP channel by its name; empty where it is not known.
func (o *Observer) CallID(name string) string { return o.channels.callID(name) }

// Run connects, and again whenever the connection is lost, until the context
// ends or Asterisk refuses the login (ErrLogin).
func (o *Observer) Run(ctx context.Context, handler Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	q := newQueue()
	var consumer sync.WaitGroup
	// The consumer may be in the handler, which ends with the context.
	defer consumer.Wait()
	defer q.close()
	defer cancel()
	consumer.Go(func() { o.consume(ctx, q, handler) })

	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval = 20 * time.Millisecond
	retry.MaxInterval = 2 * time.Second
	for attempt := 1; ; {
		err := o.connection(ctx, q, attempt, func() {
			retry.Reset()
			attempt++
		})
		o.since.Store(0)
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
}

func (o *Observer) consume(ctx context.Context, q *queue, handler Handler) {
	recordings, targets := make(seen), newTargets(handler.Bound)
	sweep := time.Now()
	for {
		n, ok := q.pop()
		if !ok {
			return
		}
		switch {
		case ctx.Err() != nil:
			return
		case n.listing != nil:
			o.channels.reconcile(n.attempt, n.listing.Channels)
			targets.reconcile(n.listing.Bridges)
			if handler.Connected != nil {
				handler.Connected(n.attempt, *n.listing)
			}
		case n.lost != nil:
			if handler.Lost != nil {
				handler.Lost(n.lost)
			}
		default:
			o.channels.apply(n.attempt, n.event)
			targets.apply(n.event)
			// Subscribed to all, the application gets some events twice.
			if r, is := recordingOf(n.event); is && recordings.first(r.Name, r.Finished) {
				targets.finished(r)
				r.tell(handler)
			}
			if handler.Event != nil {
				handler.Event(n.event)
			}
		}
		if now := time.Now(); now.Sub(sweep) > time.Minute {
			sweep = now
			o.channels.sweep(now)
			recordings.forget(now.Add(-time.Minute))
		}
	}
}

// recordingOf is the recording whose end an event tells.
func recordingOf(event ari.Event) (Recording, bool) {
	var data ari.LiveRecordingData
	var at ari.DateTime
	switch e := event.(type) {
	case *ari.RecordingFinished:
		data, at = e.Recording, e.Timestamp
	case *ari.RecordingFailed:
		data, at = e.Recording, e.Timestamp
	default:
		return Recording{}, false
	}
	return Recording{Name: data.Name, Format: data.Format, Target: data.TargetURI, Finished: time.Time(at).UTC(), State: data.State}, true
}

func (r Recording) tell(handler Handler) {
	told := handler.Failed
	if r.State == stateDone {
		told = handler.Recording
	}
	if told != nil {
		told(r)
	}
}

// stateDone is that of a recording whose file is complete.
const stateDone = "done"

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
