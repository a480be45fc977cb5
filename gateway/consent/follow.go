package consent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/renameio/v2"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/index"
)

// Feed is the part of an index that tells of changes.
type Feed interface {
	Changes(ctx context.Context, after index.Cursor, limit int, filter index.Filter) ([]index.Change, index.Cursor, error)
	Advanced() <-chan struct{}
}

const (
	// page is how many changes are read at once.
	page = 200
	// saveEvery is how often the place is kept: what was done since is looked at once
	// more after a crash, which changes nothing.
	saveEvery = time.Second
)

// Follow has every conversation looked at that a recording or a statement of the
// operator's comes onto the ledger for, in the order of the chain, until the context
// ends. File holds the place up to which all is done: a gateway that was killed goes
// on there and misses none. Run must run beside it.
func (w *Watch) Follow(ctx context.Context, feed Feed, msp, file string) error {
	at, err := readPlace(file)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.read = at
	w.mu.Unlock()
	kept := at
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		moved := feed.Advanced()
		changes, next, err := feed.Changes(ctx, at, page, index.Filter{Kinds: []index.Kind{index.KindRecording, index.KindConsent}, MSP: msp})
		if err != nil && ctx.Err() == nil {
			w.log.Warn("recordings are compared with consents later: the index cannot be read", "error", err)
		}
		for i := range changes {
			if !w.takeChange(ctx, &changes[i]) {
				break // the context ended
			}
		}
		if err == nil && ctx.Err() == nil {
			at = next
			w.mu.Lock()
			w.read = at
			w.mu.Unlock()
		}
		if len(changes) == page {
			moved = ready
		}
		select {
		case <-ctx.Done():
		case <-moved:
		case <-ticker.C:
		}
		if done := w.place(); kept.Before(done) && (ctx.Err() != nil || len(changes) < page) {
			if err := writePlace(file, done); err != nil {
				return err
			}
			kept = done
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// ready is a channel that is closed.
var ready = func() <-chan struct{} {
	closed := make(chan struct{})
	close(closed)
	return closed
}()

// takeChange has the change's conversation looked at, and waits while too many wait.
func (w *Watch) takeChange(ctx context.Context, change *index.Change) bool {
	of, found := conversationOf(change)
	if !found {
		return true
	}
	for !w.take(of, change.Cursor) {
		select {
		case <-ctx.Done():
			return false
		case <-w.settled:
		}
	}
	return true
}

// conversationOf is the conversation that a change is about.
func conversationOf(change *index.Change) (conversation, bool) {
	if change.Deleted || change.Unreadable != "" {
		return conversation{}, false
	}
	of := conversation{msp: change.MSP, pbx: change.PBX}
	if change.Kind == index.KindConsent {
		var consent ledger.Consent
		if ledger.DecodeStrict(change.Value, &consent) != nil || !consent.Statement.Objects() {
			return of, false
		}
		of.linkedID = consent.Statement.LinkedID
		return of, true
	}
	var record ledger.Record
	if ledger.DecodeStrict(change.Value, &record) != nil || record.Recording == nil {
		return of, false
	}
	of.linkedID = record.Recording.Leg.LinkedID
	return of, true
}

// readPlace is the place that was kept; the beginning where there is none.
func readPlace(file string) (index.Cursor, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return index.Cursor{}, nil
	}
	if err != nil {
		return index.Cursor{}, fmt.Errorf("read how far recordings were compared with consents: %w", err)
	}
	var at index.Cursor
	if err := json.Unmarshal(text, &at); err != nil {
		return index.Cursor{}, fmt.Errorf("%s is damaged: remove it, and all recordings are compared with consents once more: %w", file, err)
	}
	return at, nil
}

func writePlace(file string, at index.Cursor) error {
	text, err := json.Marshal(at)
	if err == nil {
		err = renameio.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep how far recordings were compared with consents: %w", err)
	}
	return nil
}
