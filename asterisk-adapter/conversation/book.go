package conversation

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// maxEvents bounds what is kept of one channel.
	maxEvents = ledger.MaxJourney
	// maxChannels bounds the channels: beyond it those that ended are forgotten at once.
	maxChannels = 20_000
	// forgetAfter is how long after its end a channel is kept: its record, and those of
	// the channels it talked to, are taken by then. The others are kept as long as
	// Asterisk may run a call.
	forgetAfter = 10 * time.Minute
	forgetAll   = 48 * time.Hour
	// same is how far apart two sources may tell of one event.
	same = 2 * time.Second
	// maxJourneyBytes bounds a leg's journey: the details it is part of have a bound too.
	maxJourneyBytes = 16 << 10
	stepBytes       = 80 // beside its place
)

// Entry is an event with its number in the book, which is the order of events.
type Entry struct {
	Number uint64 `json:"number"`
	Event
}

// Book is what is known of channels. It is safe for concurrent use.
type Book struct {
	mu       sync.Mutex
	number   uint64
	channels map[string]*channel // by name
}

type channel struct {
	entries []*Entry
	end     *Entry
	ended   chan struct{}
	touched time.Time
}

// NewBook is a book with what was kept of an earlier one, in order. Its numbers go on
// after the highest.
func NewBook(kept []Entry, highest uint64) *Book {
	book := &Book{channels: map[string]*channel{}, number: highest}
	for i := range kept {
		book.enter(&kept[i], time.Now())
		book.number = max(book.number, kept[i].Number)
	}
	return book
}

// Take enters an event, and answers the entry and whether it is a fact that should be
// kept at once; nil where it says nothing new.
func (b *Book) Take(event Event, now time.Time) (entry *Entry, fact bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.says(&event) {
		return nil, false
	}
	b.number++
	entry = &Entry{Number: b.number, Event: event}
	b.enter(entry, now)
	return entry, event.matters()
}

// says whether an event is known, by the other source or as it stands.
func (b *Book) says(event *Event) bool {
	first := b.channels[event.Channels[0].Name]
	switch event.Kind {
	case KindExtension:
		// The channel is where it was.
		return first != nil && first.last(KindExtension) == event.Place
	case KindResume:
		// A phone that transfers tells of the end of a hold that never began.
		if first == nil || !first.held() {
			return true
		}
	case kindEnd:
		return first != nil && first.end != nil
	}
	if first == nil {
		return false
	}
	for _, known := range first.entries {
		if known.Kind != event.Kind || known.Place != event.Place {
			continue
		}
		if known.At.Equal(event.At) || known.Source != event.Source && known.At.Sub(event.At).Abs() < same {
			return true
		}
	}
	return false
}

func (c *channel) last(kind string) string {
	for _, entry := range slices.Backward(c.entries) {
		if entry.Kind == kind {
			return entry.Place
		}
	}
	return ""
}

func (c *channel) held() bool {
	for _, entry := range slices.Backward(c.entries) {
		if entry.Kind == KindHold || entry.Kind == KindResume {
			return entry.Kind == KindHold
		}
	}
	return false
}

// enter puts an entry under its channels; the caller holds the lock, or is alone.
func (b *Book) enter(entry *Entry, now time.Time) {
	for _, one := range entry.Channels {
		c := b.get(one.Name, now)
		if entry.Kind == kindEnd {
			if c.end == nil {
				c.end = entry
				close(c.ended)
			}
		} else if len(c.entries) < maxEvents {
			c.entries = append(c.entries, entry)
		}
	}
}

func (b *Book) get(name string, now time.Time) *channel {
	c := b.channels[name]
	if c == nil {
		if len(b.channels) >= maxChannels {
			b.forget(now, 0)
		}
		c = &channel{ended: make(chan struct{})}
		b.channels[name] = c
	}
	c.touched = now
	return c
}

// Sweep forgets channels that ended long ago, and answers below which number no entry is
// needed any more.
func (b *Book) Sweep(now time.Time) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(now, forgetAfter)
	oldest := b.number + 1
	for _, c := range b.channels {
		for _, entry := range c.entries {
			oldest = min(oldest, entry.Number)
		}
	}
	return oldest
}

func (b *Book) forget(now time.Time, after time.Duration) {
	for name, c := range b.channels {
		if c.end != nil && now.Sub(c.touched) >= after || now.Sub(c.touched) >= forgetAll {
			delete(b.channels, name)
		}
	}
}

// Await waits until a channel's end was told, or for so long, or until the context ends.
func (b *Book) Await(ctx context.Context, name string, wait time.Duration) bool {
	b.mu.Lock()
	ended := b.get(name, time.Now()).ended
	b.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	return false
}

// Leg is what the book has to say of a leg.
type Leg struct {
	// Features are those of the leg's channel, and of the other one while they talked,
	// sorted.
	Features []string
	Journey  []ledger.JourneyStep
	// Cause is the hang-up cause of the leg's channel, 0 where unknown.
	Cause int64
	// Facts are what the dialplan told of the leg's channel, Other of the other one.
	Facts, Other Facts
}

// Leg answers what is known of a leg by its CDR's channel and dstchannel. All legs of a
// channel share its whole way: a record is written when its channel has ended. Of the
// other channel counts what happened before that.
func (b *Book) Leg(name, other string) Leg {
	b.mu.Lock()
	defer b.mu.Unlock()
	var leg Leg
	var entries []*Entry
	end := b.number + 1
	if c := b.channels[name]; c != nil {
		entries = slices.Clone(c.entries)
		if c.end != nil {
			leg.Cause, end = c.end.Cause, c.end.Number
		}
	}
	if c := b.channels[other]; c != nil && other != name {
		for _, entry := range c.entries {
			if entry.Number < end && done[entry.Kind] {
				entries = append(entries, entry)
			}
			if entry.Facts != nil {
				leg.Other.add(entry.Facts)
			}
		}
	}
	slices.SortStableFunc(entries, func(x, y *Entry) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Number, y.Number))
	})
	room := maxJourneyBytes
	for _, entry := range slices.Compact(entries) {
		if entry.Facts != nil {
			leg.Facts.add(entry.Facts)
			continue
		}
		if feature := featureOf[entry.Kind]; feature != "" {
			leg.Features = append(leg.Features, feature)
		}
		room -= stepBytes + len(entry.Place)
		if room >= 0 && entry.At.UnixMilli() > 0 {
			leg.Journey = append(leg.Journey, ledger.JourneyStep{At: ledger.TimeOf(entry.At), Kind: entry.Kind, Place: entry.Place})
		}
	}
	slices.Sort(leg.Features)
	leg.Features = slices.Compact(leg.Features)
	return leg
}

// add takes what a later event told, and keeps what it did not tell.
func (f *Facts) add(later *Facts) {
	f.CallID = cmp.Or(later.CallID, f.CallID)
	f.Attestation = cmp.Or(later.Attestation, f.Attestation)
	f.Verdict = cmp.Or(later.Verdict, f.Verdict)
	f.Network.Local = cmp.Or(later.Network.Local, f.Network.Local)
	f.Network.Remote = cmp.Or(later.Network.Remote, f.Network.Remote)
	f.Network.Transport = cmp.Or(later.Network.Transport, f.Network.Transport)
}
