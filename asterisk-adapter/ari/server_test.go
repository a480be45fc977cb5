package ari

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/CyCoreSystems/ari/v6"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what takes milliseconds.
const patience = 20 * time.Second

// server speaks as much of Asterisk's REST interface as an observer listens to.
type server struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	socket  *websocket.Conn
	lists   map[string]any
	refuses bool
	deaf    bool
	joined  int
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, lists: map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ari/events", func(out http.ResponseWriter, in *http.Request) {
		s.mu.Lock()
		refuses, deaf := s.refuses, s.deaf
		s.mu.Unlock()
		user, password, _ := in.BasicAuth()
		if refuses || user != "callseal" || password != "secret" || in.URL.Query().Get("subscribeAll") != "true" || in.URL.Query().Get("app") != "callseal" {
			out.WriteHeader(http.StatusUnauthorized)
			return
		}
		socket, err := websocket.Accept(out, in, nil)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.socket = socket
		s.joined++
		s.mu.Unlock()
		if deaf { // nobody reads, so nobody answers a ping
			<-in.Context().Done()
			return
		}
		<-socket.CloseRead(context.Background()).Done()
	})
	mux.HandleFunc("GET /ari/", func(out http.ResponseWriter, in *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		list, found := s.lists[in.URL.Path[len("/ari"):]]
		if !found {
			out.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(out).Encode(list)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() { s.cut(); s.Close() })
	return s
}

// set changes what is answered.
func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// cut ends the connection as a crash would.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.socket != nil {
		_ = s.socket.CloseNow()
	}
}

// connection is the socket, once there is one: the client may know of it sooner.
func (s *server) connection() *websocket.Conn {
	for {
		s.mu.Lock()
		socket := s.socket
		s.mu.Unlock()
		if socket != nil || s.t.Context().Err() != nil {
			return socket
		}
		time.Sleep(time.Millisecond)
	}
}

// send sends events as they stand.
func (s *server) send(events ...string) {
	socket := s.connection()
	for _, event := range events {
		if err := socket.Write(context.Background(), websocket.MessageText, []byte(event)); err != nil {
			s.t.Errorf("send: %v", err)
			return
		}
	}
}

func channelEvent(kind, id, state string) string {
	return fmt.Sprintf(`{"type":%q,"timestamp":"2026-11-21T07:00:01.123+0000","application":"callseal","cause":16,"cause_txt":"Normal Clearing",`+
		`"channel":{"id":%q,"name":"PJSIP/1001-%s","state":%q,"protocol_id":"c@p","creationtime":"2026-11-21T07:00:01.001+0000"}}`, kind, id, id, state)
}

func recordingEvent(kind, name, state string) string {
	return fmt.Sprintf(`{"type":%q,"timestamp":"2026-11-21T07:00:01.123+0000","recording":{"name":%q,"format":"wav","state":%q,"target_uri":"channel:1.1"}}`, kind, name, state)
}

// watched is an observer at work and what it told.
type watched struct {
	*Observer
	mu               sync.Mutex
	listings         []Listing
	lost             []error
	recorded, failed []Recording
	events           int
	hold             sync.Mutex // held to have the handler block
	ended            chan error
	connected        int
}

func watch(t *testing.T, s *server) *watched {
	t.Helper()
	keepAlive := patience // a busy machine answers late
	if s.deaf {
		keepAlive = 200 * time.Millisecond
	}
	w := &watched{Observer: New(Options{URL: s.URL + "/ari", User: "callseal", Password: "secret", KeepAlive: keepAlive}), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	note := func(change func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		change()
	}
	go func() {
		w.ended <- w.Run(ctx, Handler{
			Connected: func(attempt int, there Listing) {
				note(func() { w.connected = attempt; w.listings = append(w.listings, there) })
			},
			Lost:      func(err error) { note(func() { w.lost = append(w.lost, err) }) },
			Recording: func(r Recording) { note(func() { w.recorded = append(w.recorded, r) }) },
			Failed:    func(r Recording) { note(func() { w.failed = append(w.failed, r) }) },
			Event: func(ari.Event) {
				w.hold.Lock()
				defer w.hold.Unlock()
				note(func() { w.events++ })
			},
		})
	}()
	t.Cleanup(cancel)
	return w
}

func (w *watched) until(t *testing.T, so func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return so()
	}, patience, time.Millisecond)
}

// TestStorm sends thousands of events at once to an observer whose consumer does not
// get on: none is lost.
func TestStorm(t *testing.T) {
	s := newServer(t)
	w := watch(t, s)
	w.until(t, func() bool { return w.connected == 1 })
	const calls = 2500
	w.hold.Lock()
	for n := range calls {
		id := fmt.Sprintf("1795246515.%d", n)
		s.send(channelEvent("ChannelCreated", id, "Ring"), channelEvent("ChannelStateChange", id, "Up"), channelEvent("ChannelDestroyed", id, "Up"))
	}
	w.hold.Unlock()
	w.until(t, func() bool { return w.events == 3*calls })
	for n := range calls {
		times, ended := w.Observe(t.Context(), fmt.Sprintf("1795246515.%d", n), time.Now(), 0)
		require.True(t, ended)
		require.False(t, times.Created.IsZero() || times.Answered.IsZero())
		require.Equal(t, 16, times.Cause)
	}
}

// TestGap has a channel end, and another go on, while the connection is down: nobody
// waits for the end that nobody saw, and what is there is told.
func TestGap(t *testing.T) {
	s := newServer(t)
	w := watch(t, s)
	w.until(t, func() bool { return w.connected == 1 })
	s.send(channelEvent("ChannelCreated", "1.1", "Up"), channelEvent("ChannelCreated", "1.2", "Up"), channelEvent("ChannelStateChange", "1.1", "Up"))
	w.until(t, func() bool { return w.events == 3 })
	waiting := make(chan bool)
	go func() {
		_, ended := w.Observe(t.Context(), "1.1", time.Now(), time.Hour)
		waiting <- ended
	}()
	s.set(func() {
		s.lists["/channels"] = []Channel{{ID: "1.2", Name: "PJSIP/1002-2", State: "Up"}, {ID: "1.3", Name: "PJSIP/1003-3", State: "Up"}}
		s.lists["/bridges"] = []Bridge{{ID: "b", Type: "mixing", Channels: []string{"1.2", "1.3"}}}
		s.lists["/recordings/stored"] = []map[string]string{{"name": "2026/1.1", "format": "wav"}}
		s.lists["/recordings/live/1.2"] = map[string]string{"name": "1.2"}
	})
	s.cut()
	w.until(t, func() bool { return w.connected == 2 })
	require.False(t, <-waiting, "it went away unseen")
	require.NotEmpty(t, w.lost)
	there := w.listings[1]
	require.Len(t, there.Channels, 2)
	require.Equal(t, []string{"1.2", "1.3"}, there.Bridges[0].Channels)
	require.Equal(t, []Recording{{Name: "2026/1.1", Format: "wav", State: "done"}}, there.Stored)
	live, err := w.Live(t.Context(), "1.2")
	require.NoError(t, err)
	require.True(t, live)
	live, err = w.Live(t.Context(), "2026/1.1")
	require.NoError(t, err)
	require.False(t, live)

	times, ended := w.Observe(t.Context(), "1.1", time.Now(), time.Hour)
	require.False(t, ended)
	require.False(t, times.Answered.IsZero(), "what was seen of it stays known")
	_, ended = w.Observe(t.Context(), "1.9", time.Now().Add(-time.Minute), time.Hour)
	require.False(t, ended, "a call that began and ended in the gap is not waited for")
	// The others are told of again.
	go func() {
		_, ended := w.Observe(t.Context(), "1.2", time.Now(), time.Hour)
		waiting <- ended
	}()
	s.send(channelEvent("ChannelDestroyed", "1.2", "Up"), channelEvent("ChannelDestroyed", "1.1", "Up"))
	require.True(t, <-waiting)
	w.until(t, func() bool { return w.events == 5 })
	_, ended = w.Observe(t.Context(), "1.1", time.Now(), 0)
	require.True(t, ended, "a word that comes after all is taken")
}

// TestRecordingsThatCome tells which recordings are complete and which came to nothing,
// once each.
func TestRecordingsThatCome(t *testing.T) {
	s := newServer(t)
	w := watch(t, s)
	w.until(t, func() bool { return w.connected == 1 })
	s.send(`not JSON`, `{"type":"NewerThanTheLibrary"}`, `{}`, `[]`, `{"type":"ChannelCreated","timestamp":"yesterday"}`)
	s.send(recordingEvent("RecordingStarted", "a", "recording"), recordingEvent("RecordingFinished", "a", "done"), recordingEvent("RecordingFinished", "a", "done"),
		recordingEvent("RecordingFinished", "b", "canceled"), recordingEvent("RecordingFailed", "c", "failed"))
	w.until(t, func() bool { return w.events == 5 })
	require.Len(t, w.recorded, 1)
	require.Equal(t, "a.wav", w.recorded[0].File())
	require.Len(t, w.failed, 2)
	require.Equal(t, []string{"canceled", "failed"}, []string{w.failed[0].State, w.failed[1].State})
	require.Equal(t, 1, s.joined, "what cannot be read costs no connection")
}

// TestSilence loses a connection that answers nothing any more.
func TestSilence(t *testing.T) {
	s := newServer(t)
	s.deaf = true
	w := watch(t, s)
	w.until(t, func() bool { return len(w.lost) > 0 })
	require.ErrorContains(t, w.lost[0], "does not answer")
	s.set(func() { s.deaf = false })
	w.until(t, func() bool { return w.connected > 1 })
}

func TestRefusedLogin(t *testing.T) {
	s := newServer(t)
	s.refuses = true
	w := watch(t, s)
	require.ErrorIs(t, <-w.ended, ErrLogin)
}
