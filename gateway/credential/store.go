// Package credential holds what decides who gets in by certificate: the server's
// own certificate, the operator's authorities and their revocation lists. Files are
// followed while the gateway runs. One that cannot be used leaves what was in force
// in force, and says so.
package credential

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long files must rest before they are read: a certificate and
	// its key are rarely replaced in one step.
	settle = 200 * time.Millisecond
	// patience is how long a file may be unusable before anybody is told, for the
	// same reason.
	patience = 3 * time.Second
	// holdCheck is how often connections are looked at whose certificate may have
	// expired meanwhile.
	holdCheck = time.Second
)

// Store holds the material in force and follows its files. It is safe for
// concurrent use.
type Store struct {
	config  Config
	log     *slog.Logger
	metrics *Metrics

	mu       sync.Mutex
	material *material
	problems map[string]problem // by part
	holds    map[*hold]struct{}
}

// problem is a part whose files cannot be used.
type problem struct {
	err   error
	since time.Time
	told  bool
}

// hold is something that stands on a certificate: a connection, a call.
type hold struct {
	shown []*x509.Certificate
	cut   func()
}

// Open reads the files. At the start all must be usable.
func Open(config Config, metrics *Metrics, log *slog.Logger) (*Store, error) {
	s := &Store{config: config, log: log, metrics: metrics, problems: map[string]problem{}, holds: map[*hold]struct{}{}}
	own, err := loadOwn(config.CertFile, config.KeyFile)
	if err != nil {
		return nil, err
	}
	authorities, err := loadAuthorities(config.ClientCAFile)
	if err != nil {
		return nil, err
	}
	lists, err := loadLists(config.RevocationDir, authorities, nil)
	if err != nil {
		return nil, err
	}
	s.material = material{own: own}.with(authorities, lists)
	s.metrics.inForce(s.material)
	return s, nil
}

// TLS is the server's configuration. Any certificate may be shown, or none: who
// shows one has proved to hold its key, and [Store.Judge] says whether it lets
// them in, so that they are told why not in words.
func (s *Store) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert,
		// A resumed session would not show its certificate anew.
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.inForce().own, nil },
	}
}

// Judge answers a fault in words unless the certificate that was shown is one of
// the operator's, valid now and not revoked.
func (s *Store) Judge(shown []*x509.Certificate) error { return s.inForce().judge(shown, time.Now()) }

// Hold has cut called, once, when the certificate ceases to be good, until it is
// released.
func (s *Store) Hold(shown []*x509.Certificate, cut func()) (release func()) {
	one := &hold{shown: shown, cut: cut}
	s.mu.Lock()
	s.holds[one] = struct{}{}
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		delete(s.holds, one)
		s.mu.Unlock()
	}
}

// Problem is what keeps newer files from being in force, nil when nothing does.
func (s *Store) Problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []error
	for _, part := range slices.Sorted(maps.Keys(s.problems)) {
		if one := s.problems[part]; one.told {
			problems = append(problems, one.err)
		}
	}
	now := time.Now()
	for _, name := range s.material.stale(now) {
		problems = append(problems, fmt.Errorf("the revocation list of %q is out of date: have the authority issue the next", name))
	}
	if until := s.material.own.Leaf.NotAfter; now.After(until) {
		problems = append(problems, fmt.Errorf("the server's certificate expired on %s", until.UTC().Format(time.RFC3339)))
	}
	return errors.Join(problems...)
}

func (s *Store) inForce() *material {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.material
}

// Run follows the files until the context ends.
func (s *Store) Run(ctx context.Context) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		s.log.Warn("files of certificates are not watched but looked at in intervals", "interval", s.config.Poll, "error", err)
		watcher = &fsnotify.Watcher{} // its channels are nil: they never speak
	} else {
		defer func() { _ = watcher.Close() }()
	}
	watched := map[string]bool{}
	watch := func() {
		for _, folder := range s.folders() {
			// The folder of lists may come later, and a folder may be replaced.
			if watched[folder] || watcher.Events == nil {
				continue
			}
			watched[folder] = watcher.Add(folder) == nil
		}
	}
	watch()
	poll, check := time.NewTicker(s.config.Poll), time.NewTicker(holdCheck)
	defer poll.Stop()
	defer check.Stop()
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-watcher.Events:
			if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
				delete(watched, event.Name)
			}
			due = time.After(settle)
		case err := <-watcher.Errors:
			s.log.Warn("watching the files of certificates", "error", err)
			due = time.After(settle)
		case <-poll.C:
			due = time.After(0)
		case <-check.C:
			s.cutExpired()
			if s.troubled() {
				due = time.After(0)
			}
		case <-due:
			due = nil
			watch()
			s.Reload()
		}
	}
}

// folders are those in which something may change.
func (s *Store) folders() []string {
	folders := []string{filepath.Dir(s.config.CertFile), filepath.Dir(s.config.KeyFile), filepath.Dir(s.config.ClientCAFile)}
	if s.config.RevocationDir != "" {
		folders = append(folders, filepath.Dir(s.config.RevocationDir), s.config.RevocationDir)
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// troubled says whether some file could not be used, so that it is tried again
// soon.
func (s *Store) troubled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.problems) > 0
}

// Reload reads the files, puts in force what can be used and cuts off who no
// longer gets in. [Store.Run] calls it when a file has changed.
func (s *Store) Reload() {
	before := s.inForce()
	after := *before
	own, err := loadOwn(s.config.CertFile, s.config.KeyFile)
	if s.usable("server certificate", err) {
		after.own = own
	}
	authorities, err := loadAuthorities(s.config.ClientCAFile)
	if !s.usable("callers' authorities", err) {
		authorities = before.authorities
	}
	lists, err := loadLists(s.config.RevocationDir, authorities, before.lists)
	if !s.usable("revocation lists", err) {
		lists = before.lists
	}
	next := after.with(authorities, lists)
	if next.same(before) {
		return
	}
	s.mu.Lock()
	s.material = next
	s.mu.Unlock()
	s.metrics.inForce(next)
	s.report(before, next)
	s.cut(func(one *hold) bool { return next.judge(one.shown, time.Now()) != nil })
}

// report logs what changed.
func (s *Store) report(before, after *material) {
	if !before.own.Leaf.Equal(after.own.Leaf) {
		s.log.Info("another server certificate is in force", "serial", after.own.Leaf.SerialNumber.Text(16), "until", after.own.Leaf.NotAfter)
	}
	if !slices.EqualFunc(before.authorities, after.authorities, (*x509.Certificate).Equal) {
		s.log.Info("other authorities of callers are in force", "count", len(after.authorities))
	}
	if len(before.withdrawn) != len(after.withdrawn) {
		s.log.Info("another revocation list is in force", "revoked", len(after.withdrawn))
	}
}

// usable notes whether a part's files can be used.
func (s *Store) usable(part string, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, known := s.problems[part]
	if err == nil {
		if one.told {
			s.log.Info("files can be used again", "part", part)
		}
		delete(s.problems, part)
		s.metrics.unusable(part, false)
		return true
	}
	if !known {
		one.since = time.Now()
	}
	if one.err = err; !one.told && time.Since(one.since) >= patience {
		one.told = true
		s.log.Error("files cannot be used, what was in force stays in force", "part", part, "error", err)
		s.metrics.unusable(part, true)
	}
	s.problems[part] = one
	return false
}

// cutExpired ends what stands on certificates whose time is over.
func (s *Store) cutExpired() {
	now := time.Now()
	s.cut(func(one *hold) bool { return now.After(one.shown[0].NotAfter) })
}

// cut ends what stands on certificates that are good no longer.
func (s *Store) cut(bad func(*hold) bool) {
	var cuts []func()
	s.mu.Lock()
	for one := range s.holds {
		if bad(one) {
			delete(s.holds, one)
			cuts = append(cuts, one.cut)
		}
	}
	s.mu.Unlock()
	for _, cut := range cuts {
		cut()
	}
	if len(cuts) > 0 {
		s.metrics.cut(len(cuts))
		s.log.Warn("cut off whose certificate is good no longer", "count", len(cuts))
	}
}
