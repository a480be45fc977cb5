// Package limit bounds what callers may do: how many calls of a class they may
// begin in a second and have under way, each caller and all together, and how many
// connections an address may hold. What it keeps on callers is bounded too.
package limit

import (
	"container/list"
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/callseal/callseal/gateway/fault"
)

// Class is a kind of method, by what a call of it costs.
type Class string

// The classes.
const (
	Write  Class = "write"
	Read   Class = "read"
	List   Class = "list"
	Stream Class = "stream"
)

// Classes are all of them.
var Classes = []Class{Write, Read, List, Stream}

// pause is how long whoever has too much under way is asked to wait.
const pause = 250 * time.Millisecond

// Limiter lets calls begin or says when to come again. It is safe for concurrent
// use.
type Limiter struct {
	config  Config
	metrics *Metrics

	mu      sync.Mutex
	total   budgets
	clients map[string]*list.Element // of *client
	recent  *list.List               // the last caller in front
}

// client is what is kept on one caller.
type client struct {
	name    string
	budgets budgets
	calls   int // under way or waiting
}

// budgets are the budgets of each class; one is made when first needed.
type budgets map[Class]*budget

// budget is what is left of a bound.
type budget struct {
	bound  Bound
	tokens *rate.Limiter
	// slots are handed out in the order in which they are asked for.
	slots *semaphore.Weighted
}

// New makes a limiter.
func New(config Config, metrics *Metrics) *Limiter {
	return &Limiter{config: config, metrics: metrics, total: budgets{}, clients: map[string]*list.Element{}, recent: list.New()}
}

// Set has other bounds hold for calls that begin from now on. Those under way, and
// those that wait for their turn, stay with what they began with.
func (l *Limiter) Set(config Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.config = config
	l.total.keep(&config.Total)
	for _, element := range l.clients {
		element.Value.(*client).budgets.keep(&config.Client)
	}
}

// keep drops the budgets whose bounds are others now.
func (b budgets) keep(bounds *Bounds) {
	for class, held := range b {
		if held.bound != bounds.of(class) {
			delete(b, class)
		}
	}
}

func (l *Limiter) patience() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.config.Patience
}

// Begin lets the caller begin a call of the class, or answers a fault that says
// when to try again. Who has too much under way waits its turn for a while, which
// costs little: nothing of the call but its headers has been read. The call's end
// must be told by calling done, once.
func (l *Limiter) Begin(ctx context.Context, caller string, class Class) (done func(), err error) {
	known, own, all, err := l.admit(time.Now(), caller, class)
	if err != nil {
		return nil, err
	}
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		known.calls--
	}
	waiting, cancel := context.WithTimeout(ctx, l.patience())
	defer cancel()
	if own.slots.Acquire(waiting, 1) != nil {
		leave()
		return nil, l.tired(ctx, class, "client_concurrent", "the caller has %d %s calls under way, which is as many as one may", own.bound.Concurrent, class)
	}
	if all.slots.Acquire(waiting, 1) != nil {
		own.slots.Release(1)
		leave()
		return nil, l.tired(ctx, class, "total_concurrent", "the gateway has %d %s calls under way, which is as many as it may", all.bound.Concurrent, class)
	}
	l.metrics.running(class, 1)
	return sync.OnceFunc(func() {
		all.slots.Release(1)
		own.slots.Release(1)
		leave()
		l.metrics.running(class, -1)
	}), nil
}

// admit takes the call from the rates' budgets.
func (l *Limiter) admit(now time.Time, caller string, class Class) (known *client, own, all *budget, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known = l.client(caller); known == nil {
		l.metrics.refused(class, "clients")
		return nil, nil, nil, busy(pause, "the gateway serves as many callers at once as it can remember")
	}
	own, all = known.budgets.of(class, &l.config.Client), l.total.of(class, &l.config.Total)
	// The caller's own budget first: one that has used it up takes nothing from the
	// others.
	first := own.tokens.ReserveN(now, 1)
	if wait := first.DelayFrom(now); wait > 0 {
		first.CancelAt(now)
		l.metrics.refused(class, "client_rate")
		return nil, nil, nil, busy(wait, "the caller makes more than %g %s calls a second", own.bound.Rate, class)
	}
	second := all.tokens.ReserveN(now, 1)
	if wait := second.DelayFrom(now); wait > 0 {
		second.CancelAt(now)
		first.CancelAt(now)
		l.metrics.refused(class, "total_rate")
		return nil, nil, nil, busy(wait, "all callers together make more than %g %s calls a second", all.bound.Rate, class)
	}
	known.calls++
	return known, own, all, nil
}

// tired is the refusal of who has waited in vain, or the end of who did not wait.
func (l *Limiter) tired(ctx context.Context, class Class, bound, format string, args ...any) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	l.metrics.refused(class, bound)
	return busy(pause, format, args...)
}

// client finds or makes what is kept on a caller; nil when nobody can be forgotten
// for it, because all have calls under way.
func (l *Limiter) client(name string) *client {
	if found, known := l.clients[name]; known {
		l.recent.MoveToFront(found)
		return found.Value.(*client)
	}
	for idle := l.recent.Back(); l.recent.Len() >= l.config.Clients; {
		if idle == nil {
			return nil
		}
		before := idle.Prev()
		if one := idle.Value.(*client); one.calls == 0 {
			l.recent.Remove(idle)
			delete(l.clients, one.name)
		}
		idle = before
	}
	made := &client{name: name, budgets: budgets{}}
	l.clients[name] = l.recent.PushFront(made)
	return made
}

func (b budgets) of(class Class, bounds *Bounds) *budget {
	if found, known := b[class]; known {
		return found
	}
	bound := bounds.of(class)
	made := &budget{bound: bound, tokens: rate.NewLimiter(rate.Limit(bound.Rate), bound.Burst), slots: semaphore.NewWeighted(int64(bound.Concurrent))}
	b[class] = made
	return made
}

// busy is the refusal, with a wait in whole milliseconds.
func busy(wait time.Duration, format string, args ...any) error {
	refusal := fault.New(fault.Busy, format+": wait as long as retry_delay says and try again", args...)
	refusal.RetryAfter = time.Duration(math.Ceil(float64(wait)/float64(time.Millisecond))) * time.Millisecond
	return refusal
}
