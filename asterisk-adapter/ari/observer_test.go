package ari

import (
	"testing"
	"time"

	"github.com/CyCoreSystems/ari/v6"
	"github.com/stretchr/testify/require"
)

func at(second int) ari.DateTime {
	return ari.DateTime(time.Date(2026, 11, 21, 7, 0, second, 123e6, time.FixedZone("", 3600)))
}

func data(timestamp ari.DateTime) ari.EventData { return ari.EventData{Timestamp: timestamp} }

func TestChannelTimes(t *testing.T) {
	c := newChannels(time.Minute)
	_, known := c.observe(t.Context(), "1.1", 0)
	require.False(t, known)
	channel := ari.ChannelData{ID: "1.1", Name: "PJSIP/1001-1", State: "Ring", ProtocolId: "call@phone"}
	c.apply(1, &ari.ChannelCreated{EventData: data(at(1)), Channel: channel})
	channel.State = "Up"
	c.apply(1, &ari.ChannelStateChange{EventData: data(at(2)), Channel: channel})
	c.apply(1, &ari.ChannelStateChange{EventData: data(at(3)), Channel: channel}) // a duplicate
	waited := make(chan ChannelTimes)
	go func() {
		times, _ := c.observe(t.Context(), "1.1", time.Minute)
		waited <- times
	}()
	c.apply(1, &ari.ChannelHangupRequest{EventData: data(at(4)), Channel: channel})
	c.apply(1, &ari.ChannelDestroyed{EventData: data(at(5)), Channel: channel, Cause: 16, CauseTxt: "Normal Clearing"})
	c.apply(1, &ari.ChannelDestroyed{EventData: data(at(6)), Channel: channel, Cause: 0})
	utc := func(second int) time.Time { return time.Time(at(second)).UTC() }
	require.Equal(t, ChannelTimes{
		UniqueID: "1.1", Name: "PJSIP/1001-1", Technology: "PJSIP", ProtocolID: "call@phone",
		Created: utc(1), Answered: utc(2), HungUp: utc(4), Destroyed: utc(5), Cause: 16, CauseText: "Normal Clearing",
	}, <-waited)
	c.sweep(time.Now())
	require.NotEmpty(t, c.known)
	c.sweep(time.Now().Add(2 * time.Minute))
	require.Empty(t, c.known)
}

func TestQueueIsInOrderAndEnds(t *testing.T) {
	q := newQueue()
	const n = 100_000
	go func() {
		for i := range n {
			q.push(notice{attempt: i})
		}
	}()
	for i := range n {
		got, ok := q.pop()
		require.True(t, ok)
		if got.attempt != i {
			t.Fatalf("%d came instead of %d", got.attempt, i)
		}
	}
	require.Nil(t, q.items)
	go q.close()
	_, ok := q.pop()
	require.False(t, ok)
}

func TestRecordings(t *testing.T) {
	s := make(seen)
	now := time.Now()
	require.True(t, s.first("a", now))
	require.False(t, s.first("a", now.Add(time.Millisecond)), "the copy that subscribing to all brings")
	require.True(t, s.first("a", now.Add(time.Minute)), "recorded again")
	s.forget(now.Add(time.Hour))
	require.Empty(t, s)
	require.Equal(t, "2026/a.wav", Recording{Name: "2026/a", Format: "wav"}.File())
	require.Equal(t, "etc/passwd.wav", Recording{Name: "../../etc/passwd", Format: "wav"}.File())
}
