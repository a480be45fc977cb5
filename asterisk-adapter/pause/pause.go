// Package pause knows when recordings were paused for payment cards: MixMonitorMute
// writes silence and raises an event, whoever asks for it. Events say when (event.go),
// the file says where in it (locate.go), and a pause that nobody ends is told of.
package pause

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"go.etcd.io/bbolt"
)

const (
	// lockTimeout bounds the wait for another adapter to let the book go.
	lockTimeout = 2 * time.Second
	// kept is how long a channel's pauses are remembered.
	kept = 7 * 24 * time.Hour
	// look is how often pauses are looked at that go on for too long.
	look = 250 * time.Millisecond
)

var bucketPauses = []byte("pauses") // by uniqueid

// Span is a time during which a channel's recordings were mute.
type Span struct {
	From time.Time `json:"from"`
	// To is not set while it goes on, or where its end was not seen.
	To time.Time `json:"to,omitzero"`
}

// Channel is a recorded channel that was paused.
type Channel struct {
	// Started is when its recording began; not set where that was not seen.
	Started time.Time `json:"started,omitzero"`
	// Read and Write say which directions are mute.
	Read  bool   `json:"read,omitzero"`
	Write bool   `json:"write,omitzero"`
	Spans []Span `json:"spans"`
	// Ended says that the channel has hung up or its recording was stopped.
	Ended bool      `json:"ended,omitzero"`
	At    time.Time `json:"at"`
}

func (c *Channel) open() *Span {
	if len(c.Spans) == 0 || !c.Spans[len(c.Spans)-1].To.IsZero() {
		return nil
	}
	return &c.Spans[len(c.Spans)-1]
}

// Keeper remembers pauses, in one file that one adapter holds at a time.
type Keeper struct {
	// Alarm is how long a pause may go on; 0 for as long as it likes.
	Alarm time.Duration
	// Began, Alarmed are told of each pause that begins, and that nobody has ended.
	Began, Alarmed func()
	Log            *slog.Logger

	db *bbolt.DB

	mu      sync.Mutex
	started map[string]time.Time // by uniqueid; not on disk
	going   map[string]*Channel  // those with an open span, by uniqueid
	alarmed map[string]bool
}

// Open opens the book of pauses or begins a new one.
func Open(path string, log *slog.Logger) (*Keeper, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return nil, fmt.Errorf("open the book of pauses %s: %w", path, err)
	}
	k := &Keeper{db: db, Log: log, Began: func() {}, Alarmed: func() {}, started: map[string]time.Time{}, going: map[string]*Channel{}, alarmed: map[string]bool{}}
	if err := k.begin(); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the book of pauses: %w", err), db.Close())
	}
	return k, nil
}

// begin reads the pauses that go on, and forgets old ones.
func (k *Keeper) begin() error {
	return k.db.Update(func(tx *bbolt.Tx) error {
		pauses, err := tx.CreateBucketIfNotExists(bucketPauses)
		if err != nil {
			return err
		}
		var old [][]byte
		err = pauses.ForEach(func(uniqueID, stored []byte) error {
			channel := &Channel{}
			if err := json.Unmarshal(stored, channel); err != nil {
				return err
			}
			switch {
			case time.Since(channel.At) > kept:
				old = append(old, uniqueID)
			case channel.open() != nil && !channel.Ended:
				k.going[string(uniqueID)] = channel
			}
			return nil
		})
		for _, uniqueID := range old {
			err = errors.Join(err, pauses.Delete(uniqueID))
		}
		return err
	})
}

// Close lets the file go.
func (k *Keeper) Close() error {
	if err := k.db.Close(); err != nil {
		return fmt.Errorf("close the book of pauses: %w", err)
	}
	return nil
}

// Take notes what an event says. It is on disk when this returns.
func (k *Keeper) Take(event *Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch event.Kind {
	case Started:
		k.started[event.UniqueID] = event.At
		return nil
	case Ended:
		return k.end(event.UniqueID, event.At)
	case Muted:
		return k.mute(event)
	default:
		return nil
	}
}

func (k *Keeper) mute(event *Event) error {
	channel, err := k.read(event.UniqueID)
	if err != nil {
		return err
	}
	if channel == nil {
		channel = &Channel{Started: k.started[event.UniqueID]}
	}
	channel.At, channel.Ended = event.At, false
	if event.Read {
		channel.Read = event.On
	}
	if event.Write {
		channel.Write = event.On
	}
	silent, open := channel.Read && channel.Write, channel.open()
	switch {
	case silent && open == nil:
		channel.Spans = append(channel.Spans, Span{From: event.At})
		k.Log.Info("a recording is paused", "uniqueid", event.UniqueID)
		k.Began()
	case !silent && open != nil:
		open.To = later(open.From, event.At)
		k.Log.Info("a recording goes on after a pause", "uniqueid", event.UniqueID)
	case !silent && channel.Read != channel.Write:
		k.Log.Warn("one direction of a recording is mute, the other is not: a card's number would be in it", "uniqueid", event.UniqueID)
	}
	if channel.open() != nil {
		k.going[event.UniqueID] = channel
	} else {
		delete(k.going, event.UniqueID)
	}
	delete(k.alarmed, event.UniqueID)
	return k.write(event.UniqueID, channel)
}

// later is at, but not before from: the clock may have been set.
func later(from, at time.Time) time.Time {
	if at.Before(from) {
		return from
	}
	return at
}

// end ends what goes on of a channel: the pause ends with its recording.
func (k *Keeper) end(uniqueID string, at time.Time) error {
	delete(k.started, uniqueID)
	delete(k.alarmed, uniqueID)
	channel := k.going[uniqueID]
	if channel == nil {
		return nil
	}
	delete(k.going, uniqueID)
	if open := channel.open(); open != nil {
		open.To = later(open.From, at)
	}
	channel.Ended, channel.Read, channel.Write, channel.At = true, false, false, at
	return k.write(uniqueID, channel)
}

// Live ends the pauses of channels that are not among those that are up: they hung up
// while nobody listened. Where they ended is in their files.
func (k *Keeper) Live(uniqueIDs map[string]bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var failed error
	for uniqueID, channel := range k.going {
		if uniqueIDs[uniqueID] {
			continue
		}
		channel.Ended, channel.At = true, time.Now()
		delete(k.going, uniqueID)
		failed = errors.Join(failed, k.write(uniqueID, channel))
	}
	return failed
}

// Of are a channel's pauses; nil where there were none.
func (k *Keeper) Of(uniqueID string) (*Channel, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.read(uniqueID)
}

// Going counts the pauses that go on.
func (k *Keeper) Going() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.going)
}

// Run tells of pauses that nobody ends, until the context ends.
func (k *Keeper) Run(ctx context.Context) error {
	if k.Alarm == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			k.alarm(now)
		}
	}
}

func (k *Keeper) alarm(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for uniqueID, channel := range k.going {
		if open := channel.open(); open != nil && now.Sub(open.From) > k.Alarm && !k.alarmed[uniqueID] {
			k.alarmed[uniqueID] = true
			k.Log.Error("a recording was paused and nobody lets it go on: the rest of the call is not recorded", "uniqueid", uniqueID, "since", open.From.UTC())
			k.Alarmed()
		}
	}
}

func (k *Keeper) read(uniqueID string) (channel *Channel, err error) {
	err = k.db.View(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(bucketPauses).Get([]byte(uniqueID))
		if stored == nil {
			return nil
		}
		channel = &Channel{}
		return json.Unmarshal(stored, channel)
	})
	if err != nil {
		return nil, fmt.Errorf("read the book of pauses: %w", err)
	}
	return channel, nil
}

func (k *Keeper) write(uniqueID string, channel *Channel) error {
	text, err := json.Marshal(channel)
	if err == nil {
		err = k.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketPauses).Put([]byte(uniqueID), text) })
	}
	if err != nil {
		return fmt.Errorf("write the book of pauses: %w", err)
	}
	return nil
}
