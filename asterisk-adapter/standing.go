package adapter

import (
	"maps"
	"sync"
	"time"
)

// What the adapter stands on, beside the sources.
const (
	sourceARI        = "ari"
	sourceRecordings = "recordings"
	peerGateway      = "gateway"
)

// Standing is what is known of one of the things that the adapter stands on: a source
// or the gateway.
type Standing struct {
	// Connected says that it answers.
	Connected bool `json:"connected"`
	// Since is when that began.
	Since time.Time `json:"since"`
	// Problem is why it does not.
	Problem string `json:"problem,omitempty"`
}

// standings are all of them, by name.
type standings struct {
	gauge func(name string, connected bool)

	mu sync.Mutex
	of map[string]Standing
}

func newStandings(gauge func(string, bool)) *standings {
	return &standings{gauge: gauge, of: map[string]Standing{}}
}

// expect names one that has not answered yet.
func (s *standings) expect(name string) { s.set(name, Standing{Problem: "it has not answered yet"}) }

// up notes that it answers.
func (s *standings) up(name string) { s.set(name, Standing{Connected: true}) }

// down notes that it does not, and why.
func (s *standings) down(name string, why error) { s.set(name, Standing{Problem: why.Error()}) }

func (s *standings) set(name string, now Standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now.Since = time.Now()
	if before, known := s.of[name]; known && before.Connected == now.Connected {
		now.Since = before.Since
	}
	s.of[name] = now
	s.gauge(name, now.Connected)
}

// all are as they stand, and whether every one answers.
func (s *standings) all() (all map[string]Standing, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	whole = true
	for _, one := range s.of {
		whole = whole && one.Connected
	}
	return maps.Clone(s.of), whole
}
