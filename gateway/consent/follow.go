package consent

import (
	"context"
	"encoding/hex"
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
	// Chain tells channels apart; empty before their first block is known.
	Chain(ctx context.Context) ([]byte, error)
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
	chain := w.awaitChain(ctx, feed)
	if ctx.Err() != nil {
		return nil
	}
	at, err := readPlace(file, chain)
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
		more := false
		if err == nil && ctx.Err() == nil {
			more, at = next != at, next // an answer may be short and not be the last
			w.mu.Lock()
			w.read = at
			w.mu.Unlock()
		}
		if more {
			moved = ready
		}
		select {
		case <-ctx.Done():
		case <-moved:
		case <-ticker.C:
		}
		if done := w.place(); kept.Before(done) && (ctx.Err() != nil || !more) {
			if err := writePlace(file, chain, done); err != nil {
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

// awaitChain is what the chain is known by, as soon as the index knows it.
func (w *Watch) awaitChain(ctx context.Context, feed Feed) string {
	for {
		moved := feed.Advanced()
		chain, err := feed.Chain(ctx)
		if err == nil && len(chain) > 0 {
			return hex.EncodeToString(chain)
		}
		if err != nil && ctx.Err() == nil {
			w.log.Warn("recordings are compared with consents later: the index cannot be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return ""
		case <-moved:
		case <-time.After(saveEvery):
		}
	}
}

// place is what the file holds: the chain's first block's hash, in hexadecimal, and
// the cursor.
type place struct {
	Chain  string
	Cursor index.Cursor
}

// readPlace is the place that was kept; the beginning where there is none of this
// chain, as on a network that was made anew.
func readPlace(file, chain string) (index.Cursor, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return index.Cursor{}, nil
	}
	if err != nil {
		return index.Cursor{}, fmt.Errorf("read how far recordings were compared with consents: %w", err)
	}
	var kept place
	if err := json.Unmarshal(text, &kept); err != nil {
		return index.Cursor{}, fmt.Errorf("%s is damaged: remove it, and all recordings are compared with consents once more: %w", file, err)
	}
	if kept.Chain != chain {
		return index.Cursor{}, nil
	}
	return kept.Cursor, nil
}

func writePlace(file, chain string, at index.Cursor) error {
	text, err := json.Marshal(place{chain, at})
	if err == nil {
		err = renameio.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep how far recordings were compared with consents: %w", err)
	}
	return nil
}
