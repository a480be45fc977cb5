package adapter

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	// versionTimeout bounds the question for Asterisk's version: events wait.
	versionTimeout = 2 * time.Second
	// maxInfoBytes bounds the answer to it.
	maxInfoBytes = 1 << 20
)

// versionNumber is the part of a version that distributions do not add to. What
// they add may be longer than the ledger's label.
var versionNumber = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9./-]{0,60}`)

// instance is what ARI says of the Asterisk that runs: its version, such as
// "Asterisk 22.10.1", and when it was started.
type instance struct {
	version string
	started time.Time
}

// software is the Asterisk that runs, as far as it is known.
type software struct {
	mu    sync.Mutex
	value instance
}

func (s *software) get() instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

func (s *software) set(value instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = value
}

// forget forgets when Asterisk was started: the next that is heard of may be
// another.
func (s *software) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value.started = time.Time{}
}

// bootOf is the start of the Asterisk that numbered a leg, in ms since 1970; 0 where
// that is not certain.
func (i instance) bootOf(start time.Time) int64 {
	if i.started.IsZero() || start.Before(i.started) {
		return 0
	}
	return i.started.UnixMilli()
}

// startupTime is how ARI writes times.
const startupTime = "2006-01-02T15:04:05.000-0700"

// askRunning asks ARI which Asterisk it is and since when it runs.
func (a *Adapter) askRunning(ctx context.Context) (instance, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	password, err := secret(a.config.ARI.PasswordFile, a.config.ARI.Password)
	if err != nil {
		return instance{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(a.config.ARI.URL, "/")+"/asterisk/info?only=system,status", nil)
	if err != nil {
		return instance{}, fmt.Errorf("ask Asterisk's version: %w", err)
	}
	request.SetBasicAuth(a.config.ARI.User, password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return instance{}, fmt.Errorf("ask Asterisk's version: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxInfoBytes))
	if err != nil {
		return instance{}, fmt.Errorf("ask Asterisk's version: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return instance{}, fmt.Errorf("ask Asterisk's version: the answer is %s", response.Status)
	}
	var info struct {
		System struct {
			Version string `json:"version"`
		} `json:"system"`
		Status struct {
			StartupTime string `json:"startup_time"`
		} `json:"status"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return instance{}, fmt.Errorf("ask Asterisk's version: %w", err)
	}
	found := instance{version: softwareLabel(info.System.Version)}
	if started, err := time.Parse(startupTime, info.Status.StartupTime); err == nil {
		found.started = started
	}
	return found, nil
}

// softwareLabel makes a version the ledger's label; empty when it is none.
func softwareLabel(version string) string {
	number := versionNumber.FindString(version)
	if number == "" {
		return ""
	}
	return "Asterisk " + number
}
