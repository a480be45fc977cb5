package adapter

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"google.golang.org/grpc/connectivity"
)

// What the adapter stands on, beside the sources.
const (
	sourceARI        = "ari"
	sourceMixer      = "control"
	sourceConsent    = "consent"
	sourceRecordings = "recordings"
	peerGateway      = "gateway"
	standingDisk     = "disk"
	standingView     = "view"
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

// stands notes that a source or the gateway answers, or why it does not.
func (a *Adapter) stands(name string, err error) {
	if err != nil {
		a.standings.down(name, err)
		return
	}
	a.standings.up(name)
}

// watchGateway notes whether the gateway can be reached, until the context ends.
func (a *Adapter) watchGateway(ctx context.Context) error {
	for {
		state := a.connection.GetState()
		switch state {
		case connectivity.Ready:
			a.stands(peerGateway, nil)
		case connectivity.Idle:
			a.connection.Connect()
		case connectivity.TransientFailure:
			a.stands(peerGateway, errUnreached)
		default:
		}
		if !a.connection.WaitForStateChange(ctx, state) {
			return ctx.Err()
		}
	}
}

var errUnreached = errors.New("the gateway cannot be reached")
