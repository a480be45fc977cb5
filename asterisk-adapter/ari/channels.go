package ari

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/CyCoreSystems/ari/v6"
)

// ChannelTimes is what was seen of one channel. Times are Asterisk's own
// clock, UTC, to the millisecond; zero means not seen.
type ChannelTimes struct {
	UniqueID string
	// Name is the channel's name, such as "PJSIP/1001-00000000".
	Name string
	// Technology is the part of the name before the slash.
	Technology string
	// ProtocolID is the SIP Call-ID of a PJSIP channel.
	ProtocolID string
	Created    time.Time
	// Answered is when the channel came Up.
	Answered time.Time
	// HungUp is when the far end, or Asterisk, asked for the end.
	HungUp time.Time
	// Destroyed is when the channel was gone.
	Destroyed time.Time
	// Cause is the hang-up cause (ITU-T Q.850), 0 while it lives.
	Cause int
	// CauseText is Asterisk's word for it, such as "Normal Clearing".
	CauseText string
}

// maxChannels bounds the memory: beyond it, channels that ended are forgotten
// at once. It is some 300 bytes each.
const maxChannels = 50_000

type channels struct {
	forget time.Duration

	mu    sync.Mutex
	known map[string]*channel
}

type channel struct {
	ChannelTimes
	touched time.Time
	// attempt is the last connection that told of it; 0 for none.
	attempt int
	// gone says that it went away while there was no connection.
	gone  bool
	ended chan struct{} // closed once it is destroyed or gone
}

func newChannels(forget time.Duration) *channels {
	return &channels{forget: forget, known: make(map[string]*channel)}
}

func (c *channels) observe(ctx context.Context, id string, wait time.Duration) (ChannelTimes, bool) {
	c.mu.Lock()
	ch := c.get(id)
	times, ended := ch.ChannelTimes, ch.ended
	c.mu.Unlock()
	if times.Destroyed.IsZero() && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ended:
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return ch.ChannelTimes, !ch.Destroyed.IsZero()
}

// get returns the entry, making it if need be; the caller holds the lock.
func (c *channels) get(id string) *channel {
	ch, ok := c.known[id]
	if !ok {
		if len(c.known) >= maxChannels {
			c.dropEnded(time.Now())
		}
		ch = &channel{ended: make(chan struct{})}
		ch.UniqueID = id
		c.known[id] = ch
	}
	ch.touched = time.Now()
	return ch
}

func (c *channels) apply(attempt int, event ari.Event) {
	switch e := event.(type) {
	case *ari.ChannelCreated:
		c.update(attempt, e.Channel, func(ch *channel) { setOnce(&ch.Created, e.Timestamp) })
	case *ari.ChannelStateChange:
		c.update(attempt, e.Channel, func(ch *channel) {
			if e.Channel.State == "Up" {
				setOnce(&ch.Answered, e.Timestamp)
			}
		})
	case *ari.ChannelHangupRequest:
		c.update(attempt, e.Channel, func(ch *channel) { setOnce(&ch.HungUp, e.Timestamp) })
	case *ari.ChannelDestroyed:
		c.update(attempt, e.Channel, func(ch *channel) {
			if !ch.Destroyed.IsZero() {
				return
			}
			setOnce(&ch.Destroyed, e.Timestamp)
			ch.Cause, ch.CauseText = e.Cause, e.CauseTxt
			if !ch.gone {
				close(ch.ended)
			}
		})
	}
}

func (c *channels) update(attempt int, data ari.ChannelData, set func(*channel)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.get(data.ID)
	ch.attempt = attempt
	ch.Name, ch.ProtocolID = data.Name, data.ProtocolId
	ch.Technology, _, _ = strings.Cut(data.Name, "/")
	set(ch)
}

func setOnce(to *time.Time, at ari.DateTime) {
	if to.IsZero() {
		*to = time.Time(at).UTC()
	}
}

// callID is the SIP Call-ID of a channel by its name; empty where it is not known.
func (c *channels) callID(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *channel
	// A name comes again after Asterisk was started anew: the latest is meant.
	for _, ch := range c.known {
		if ch.Name == name && (found == nil || ch.touched.After(found.touched)) {
			found = ch
		}
	}
	if found == nil {
		return ""
	}
	return found.ProtocolID
}

// sweep forgets channels that ended long ago, and those whose end was missed.
func (c *channels) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropEnded(now.Add(-c.forget))
	for id, ch := range c.known {
		if ch.Name == "" && ch.touched.Before(now.Add(-c.forget)) || ch.touched.Before(now.Add(-48*time.Hour)) {
			delete(c.known, id)
		}
	}
}

func (c *channels) dropEnded(before time.Time) {
	for id, ch := range c.known {
		if (ch.gone || !ch.Destroyed.IsZero()) && ch.touched.Before(before) {
			delete(c.known, id)
		}
	}
}
