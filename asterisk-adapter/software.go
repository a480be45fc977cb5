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

// software is the PBX's version, learned while running.
type software struct {
	mu    sync.Mutex
	value string
}

func (s *software) get() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

func (s *software) set(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = value
}

// askVersion asks ARI which Asterisk it is, such as "Asterisk 22.10.1".
func (a *Adapter) askVersion(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(a.config.ARI.URL, "/")+"/asterisk/info?only=system", nil)
	if err != nil {
		return "", fmt.Errorf("ask Asterisk's version: %w", err)
	}
	request.SetBasicAuth(a.config.ARI.User, a.ariPassword)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask Asterisk's version: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxInfoBytes))
	if err != nil {
		return "", fmt.Errorf("ask Asterisk's version: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask Asterisk's version: the answer is %s", response.Status)
	}
	var info struct {
		System struct {
			Version string `json:"version"`
		} `json:"system"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return "", fmt.Errorf("ask Asterisk's version: %w", err)
	}
	return softwareLabel(info.System.Version), nil
}

// softwareLabel makes a version the ledger's label; empty when it is none.
func softwareLabel(version string) string {
	number := versionNumber.FindString(version)
	if number == "" {
		return ""
	}
	return "Asterisk " + number
}
