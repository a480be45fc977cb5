package device

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	libari "github.com/CyCoreSystems/ari/v6"

	"github.com/callseal/callseal/asterisk-adapter/ari"
)

const (
	// lookEvery is how often the ledger's word is looked at.
	lookEvery = time.Second
	// timeEvery is how often verdicts are asked for though nothing changed: validity
	// ends.
	timeEvery = 15 * time.Second
	// maxPending bounds the calls that wait for the ledger's word.
	maxPending = 10_000
	// forgetCalls is after how long a call that was judged may be judged anew.
	forgetCalls = 48 * time.Hour
)

// PBX says what Asterisk knows of its endpoints, such as [ari.Observer].
type PBX interface {
	Endpoints(ctx context.Context) ([]ari.Endpoint, error)
	AORs(ctx context.Context, endpoint string) ([]string, error)
	Contacts(ctx context.Context, aor string) ([]string, error)
}

// Handler is told what was found, by one goroutine.
type Handler struct {
	// Reported is a verdict that is new. Its error ends Run: it was not told.
	Reported func(Report) error
	// Called is a call by a stranger.
	Called func(uniqueID string, stranger Report)
	// Changed is called with all devices when anything about them changed.
	Changed func([]Device)
}

// Watch keeps a book up to date: it asks the PBX anew whenever a contact changes, and for
// everything after each connection. Events are hints, what the PBX answers is what counts.
type Watch struct {
	*Book
	pbx     PBX
	log     *slog.Logger
	handler Handler

	failing bool // the PBX did not answer

	mu        sync.Mutex
	wake      chan struct{}
	all       bool                // everything is to be asked
	aors      map[string]struct{} // PJSIP's names that are to be asked
	endpoints map[string][]string // AORs by technology/resource; nil before it was asked
	pending   map[string]string   // calls without a verdict: technology/resource by uniqueid
	judged    map[string]time.Time
}

// pjsip is the technology whose endpoints have addresses of record.
const pjsip = "PJSIP"

// NewWatch makes a watch that Run runs.
func NewWatch(book *Book, pbx PBX, handler Handler, log *slog.Logger) *Watch {
	return &Watch{
		Book: book, pbx: pbx, handler: handler, log: log, wake: make(chan struct{}, 1),
		aors: map[string]struct{}{}, pending: map[string]string{}, judged: map[string]time.Time{},
	}
}

// Connected says that events come from now on: what was before is asked.
func (w *Watch) Connected() {
	w.mu.Lock()
	w.all = true
	w.mu.Unlock()
	w.rouse()
}

// Event takes one of Asterisk's events.
func (w *Watch) Event(event libari.Event) {
	switch e := event.(type) {
	case *libari.ContactStatusChange:
		w.mu.Lock()
		w.aors[e.ContactInfo.Aor] = struct{}{}
		w.mu.Unlock()
	case *libari.PeerStatusChange:
		if e.Endpoint.Technology == pjsip {
			return // its contacts tell
		}
		w.mu.Lock()
		w.all = true
		w.mu.Unlock()
	case *libari.ChannelCreated:
		// A channel that Asterisk dials is Down at first.
		if e.Channel.State != "Down" {
			w.Call(e.Channel.ID, e.Channel.Name)
		}
		return
	default:
		return
	}
	w.rouse()
}

// Call takes a call by a channel's uniqueid and name, such as PJSIP/600-0000001f; once.
func (w *Watch) Call(uniqueID, channel string) {
	dash := strings.LastIndexByte(channel, '-')
	if dash < 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.judged[uniqueID]; known || len(w.pending) >= maxPending {
		return
	}
	w.pending[uniqueID] = channel[:dash]
	w.rouse()
}

func (w *Watch) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run works until the context ends or the handler fails.
func (w *Watch) Run(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var asked time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		case <-ticker.C:
		}
		w.ask(ctx)
		now := time.Now()
		if w.Stale() || now.Sub(asked) >= timeEvery {
			reports, err := w.Judge(now)
			if err == nil {
				asked = now
			}
			for _, report := range reports {
				if err := w.handler.Reported(report); err != nil {
					return err
				}
				w.Told(report)
			}
		}
		w.judgeCalls(now)
		if w.Changed() {
			w.handler.Changed(w.List())
		}
	}
}

// ask asks the PBX what is to be asked. What it does not answer is asked again.
func (w *Watch) ask(ctx context.Context) {
	w.mu.Lock()
	all, aors := w.all, w.aors
	w.all, w.aors = false, map[string]struct{}{}
	w.mu.Unlock()
	var err error
	if all {
		err = w.askAll(ctx)
	} else {
		err = w.askSome(ctx, aors)
	}
	if err == nil {
		w.failing = w.failing && !all
		return
	}
	w.mu.Lock()
	w.all = true
	w.mu.Unlock()
	if !w.failing && ctx.Err() == nil {
		w.log.Warn("Asterisk does not tell its devices: it is asked until it does", "error", err)
	}
	w.failing = true
}

func (w *Watch) askSome(ctx context.Context, aors map[string]struct{}) error {
	for aor := range aors {
		contacts, err := w.pbx.Contacts(ctx, aor)
		if err != nil {
			return err
		}
		w.Set(aor, contacts, time.Now())
	}
	return nil
}

func (w *Watch) askAll(ctx context.Context) error {
	found, err := w.pbx.Endpoints(ctx)
	if err != nil {
		return err
	}
	endpoints, contacts := map[string][]string{}, map[string][]string{}
	for _, one := range found {
		key := one.Technology + "/" + one.Resource
		if one.Technology != pjsip {
			endpoints[key] = []string{one.Resource}
			if one.State == "online" {
				contacts[one.Resource] = []string{key}
			}
			continue
		}
		aors, err := w.pbx.AORs(ctx, one.Resource)
		if err != nil {
			return err
		}
		for _, aor := range aors {
			if contacts[aor], err = w.pbx.Contacts(ctx, aor); err != nil {
				return err
			}
		}
		if len(aors) == 0 { // a trunk that only calls, known by its network
			aors = []string{one.Resource}
		}
		endpoints[key] = aors
	}
	w.mu.Lock()
	w.endpoints = endpoints
	w.mu.Unlock()
	w.Replace(contacts, time.Now())
	return nil
}

// judgeCalls judges the calls that wait.
func (w *Watch) judgeCalls(now time.Time) {
	w.mu.Lock()
	if w.endpoints == nil {
		w.mu.Unlock()
		return
	}
	pending, endpoints := maps.Clone(w.pending), w.endpoints
	w.mu.Unlock()
	for uniqueID, key := range pending {
		aors, known := endpoints[key]
		verdict := Report{}
		if known { // a Local channel, for one, is no endpoint's
			var err error
			if verdict, err = w.Verdict(aors, now); err != nil {
				return // the ledger's word will come
			}
		}
		w.mu.Lock()
		delete(w.pending, uniqueID)
		w.judged[uniqueID] = now
		w.mu.Unlock()
		if Stranger(verdict.Verdict) {
			w.handler.Called(uniqueID, verdict)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.judged, func(_ string, at time.Time) bool { return now.Sub(at) > forgetCalls })
}
