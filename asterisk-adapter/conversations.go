package adapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/callseal/callseal/asterisk-adapter/conversation"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// keepEvery is how often mere steps are kept in the journal; facts are at once.
	keepEvery = time.Second
	// joinWait is how long a join waits at most for the legs of both its channels, so
	// that the link can name them; joinUnknown is how long for its linkedids, without
	// which it is none.
	joinWait    = 3 * time.Second
	joinUnknown = 10 * time.Minute
	// joinEvery is how often the joins that wait are looked at.
	joinEvery = 50 * time.Millisecond
)

// conversations takes what happens to calls while they live: into the journal, so that
// their legs can tell of it whatever crashes, and from joins of two conversations makes
// links.
type conversations struct {
	book    *conversation.Book
	journal *journal.Journal
	closer  *closer
	metrics *metrics
	log     *slog.Logger

	mu      sync.Mutex
	pending []journal.Happening // not in the journal yet
	joins   map[uint64]*waitingJoin
	given   map[string]struct{} // links handed to the closer, not in a segment yet
	wake    chan struct{}
	// hears is since when AMI tells of channels; zero while it does not, or may not.
	hears time.Time
}

type waitingJoin struct {
	conversation.Join
	since time.Time
	given bool
}

func newConversations(book *journal.Journal, closer *closer, metrics *metrics, log *slog.Logger) (*conversations, error) {
	c := &conversations{
		journal: book, closer: closer, metrics: metrics, log: log,
		joins: map[uint64]*waitingJoin{}, given: map[string]struct{}{}, wake: make(chan struct{}, 1),
	}
	var kept []conversation.Entry
	var highest uint64
	err := book.Happenings(func(number uint64, text []byte) error {
		entry := conversation.Entry{}
		highest = max(highest, number)
		if err := json.Unmarshal(text, &entry); err != nil {
			return fmt.Errorf("read what happened to a call: %w", err)
		}
		kept = append(kept, entry)
		return nil
	}, func(number uint64, text []byte) error {
		join := &waitingJoin{since: time.Now()}
		highest = max(highest, number)
		c.joins[number] = join
		if err := json.Unmarshal(text, &join.Join); err != nil {
			return fmt.Errorf("read a join: %w", err)
		}
		return nil
	})
	c.book = conversation.NewBook(kept, highest)
	return c, err
}

// take takes an event. It does not wait for the disk.
func (c *conversations) take(event *conversation.Event) {
	entry, fact := c.book.Take(*event, time.Now())
	if entry == nil {
		return
	}
	text, err := json.Marshal(entry)
	if err != nil {
		c.log.Error("what happened to a call cannot be kept", "error", err)
		return
	}
	happening := journal.Happening{Number: entry.Number, Text: text}
	join, joins := conversation.JoinOf(&entry.Event)
	if joins {
		if happening.Join, err = json.Marshal(&join); err != nil {
			c.log.Error("a join cannot be kept", "error", err)
			return
		}
	}
	c.mu.Lock()
	c.pending = append(c.pending, happening)
	c.mu.Unlock()
	if fact {
		c.metrics.happenings.WithLabelValues(entry.Kind, entry.Source).Inc()
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// heard notes whether AMI tells of channels.
func (c *conversations) heard(does bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !does:
		c.hears = time.Time{}
	case c.hears.IsZero():
		c.hears = time.Now()
	}
}

// awaits says whether AMI will tell the end of a channel that ended then.
func (c *conversations) awaits(ended time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Records have whole seconds.
	return !c.hears.IsZero() && !ended.Before(c.hears.Truncate(time.Second))
}

// run keeps what happens and makes links, until the context ends.
func (c *conversations) run(ctx context.Context) error {
	keep, join, sweep := time.NewTicker(keepEvery), time.NewTicker(joinEvery), time.NewTicker(time.Minute)
	defer keep.Stop()
	defer join.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), c.keep())
		case <-c.wake:
		case <-keep.C:
		case <-join.C:
			if err := c.link(time.Now()); err != nil {
				return err
			}
			continue
		case <-sweep.C:
			if err := c.journal.ForgetHappenings(c.book.Sweep(time.Now())); err != nil {
				return err
			}
		}
		if err := c.keep(); err != nil {
			return err
		}
	}
}

// keep writes what is pending into the journal. Joins are made links from there on.
func (c *conversations) keep() error {
	c.mu.Lock()
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	if err := c.journal.Happened(pending); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range pending {
		if pending[i].Join == nil {
			continue
		}
		waiting := &waitingJoin{since: time.Now()}
		if err := json.Unmarshal(pending[i].Join, &waiting.Join); err != nil {
			return fmt.Errorf("read a join: %w", err)
		}
		c.joins[pending[i].Number] = waiting
	}
	return nil
}

// link makes links of the joins whose legs have come, or have had their time.
func (c *conversations) link(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number, join := range c.joins {
		if join.given {
			continue
		}
		one, err := c.legsOf(join.One.UniqueID)
		if err != nil {
			return err
		}
		other, err := c.legsOf(join.Other.UniqueID)
		if err != nil {
			return err
		}
		waited := now.Sub(join.since)
		if (len(one) == 0 || len(other) == 0) && waited < joinWait {
			continue
		}
		link, is := join.Link(one, other)
		if !is && join.Unknown(one, other) && waited < joinUnknown {
			continue
		}
		if is {
			known, err := c.journal.Linked(&link)
			if err != nil {
				return err
			}
			_, under := c.given[nameOf(&link)]
			is = !known && !under
		}
		if !is {
			if err := c.journal.DropJoin(number); err != nil {
				return err
			}
			delete(c.joins, number)
			continue
		}
		join.given = true
		c.given[nameOf(&link)] = struct{}{}
		c.log.Info("two conversations were joined", "kind", link.Kind, "from", link.From, "to", link.To)
		c.closer.add(closing{Entry: journal.Entry{Link: &link, Join: number}, done: func() { c.linked(number, &link) }})
	}
	return nil
}

// linked notes that a link is in a segment: from now on the journal says so.
func (c *conversations) linked(number uint64, link *ledger.Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.joins, number)
	delete(c.given, nameOf(link))
}

func nameOf(link *ledger.Link) string { return link.Kind + " " + link.From + " " + link.To }

func (c *conversations) legsOf(uniqueID string) ([]ledger.LegID, error) {
	legs, err := c.journal.ByUniqueID(uniqueID)
	if err != nil {
		return nil, err
	}
	found := make([]ledger.LegID, 0, len(legs))
	for _, leg := range legs {
		found = append(found, leg.Call.Leg)
	}
	return found, nil
}
