package adapter

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/chaincode/ledger"
)

// omissions gives recordings up that were due and never came, and remembers why.
type omissions struct {
	journal *journal.Journal
	closer  *closer
	after   time.Duration // since the leg was closed; 0 for never
	metrics *metrics
	// changed says that after was changed.
	changed chan struct{}
	// forbidden says that a channel was not to be recorded.
	forbidden func(uniqueID string) bool
	// folder is where recordings come to lie.
	folder string

	mu      sync.Mutex
	reasons map[string]string         // why a channel's file is none, by uniqueid
	given   map[ledger.LegID]struct{} // handed to the closer, not in a segment yet
}

func newOmissions(book *journal.Journal, closer *closer, after time.Duration, metrics *metrics) *omissions {
	return &omissions{forbidden: func(string) bool { return false }, journal: book, closer: closer, after: after, metrics: metrics, changed: make(chan struct{}, 1), reasons: map[string]string{}, given: map[ledger.LegID]struct{}{}}
}

// failed notes why a channel's file, which is or was to be in the folder, is no
// recording.
func (o *omissions) failed(uniqueID string, err error, folder string) {
	reason := ledger.OmissionUnreadable
	switch {
	case errors.Is(err, recording.ErrNoAudio), errors.Is(err, recording.ErrEmpty):
		reason = ledger.OmissionEmpty
	case errors.Is(err, recording.ErrUnfinished):
		reason = ledger.OmissionCrashed
	case errors.Is(err, recording.ErrMissing):
		reason = ledger.OmissionMissing
	}
	if reason != ledger.OmissionCrashed && full(folder) {
		reason = ledger.OmissionNoSpace
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reasons[uniqueID] = reason
}

// setAfter changes how long a recording is waited for.
func (o *omissions) setAfter(after time.Duration) {
	o.mu.Lock()
	o.after = after
	o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default: // it will look
	}
}

func (o *omissions) waits() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.after
}

// pace is how often to look for what is overdue.
func pace(after time.Duration) time.Duration {
	if after == 0 {
		return time.Hour // a change of it is told
	}
	return max(after/10, time.Millisecond)
}

// nearlyFull is what Asterisk's first write of a recording does not fit into: it holds
// 32 KiB of audio back.
const nearlyFull = 64 << 10

// full says whether a folder's disk has no room for a recording.
func full(folder string) bool {
	var disk unix.Statfs_t
	return unix.Statfs(folder, &disk) == nil && disk.Bavail*uint64(disk.Bsize) < nearlyFull //nolint:gosec // never negative
}

// run looks for recordings that are overdue, until the context ends.
func (o *omissions) run(ctx context.Context) error {
	for {
		after := o.waits()
		if after > 0 {
			if err := o.giveUp(time.Now()); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.changed:
		case <-time.After(pace(after)):
		}
	}
}

// giveUp has what is overdue closed as omissions. A recording that comes after all
// is anchored all the same.
func (o *omissions) giveUp(now time.Time) error {
	overdue, err := o.journal.Overdue(now.Add(-o.waits()))
	if err != nil {
		return err
	}
	for _, leg := range overdue {
		if omission := o.omission(leg, now); omission != nil {
			o.metrics.omissions.Inc()
			o.closer.log.Error("a recording was due and has not come: its omission is anchored", "uniqueid", leg.UniqueID, "reason", omission.Reason)
			o.closer.add(closing{Entry: journal.Entry{Omission: omission}, done: func() { o.done(leg) }})
		}
	}
	return nil
}

// omission makes a leg's, nil where it is under way.
func (o *omissions) omission(leg ledger.LegID, now time.Time) *ledger.Omission {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, under := o.given[leg]; under {
		return nil
	}
	o.given[leg] = struct{}{}
	reason, known := o.reasons[leg.UniqueID]
	if !known {
		reason = ledger.OmissionMissing
		switch {
		case o.forbidden(leg.UniqueID):
			reason = ledger.OmissionForbidden
		case o.folder != "" && full(o.folder):
			reason = ledger.OmissionNoSpace
		}
	}
	return &ledger.Omission{At: ledger.TimeOf(now), Leg: leg, Reason: reason}
}

// done notes that a leg's omission is in a segment: from now on the journal says so.
func (o *omissions) done(leg ledger.LegID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.given, leg)
	delete(o.reasons, leg.UniqueID)
}
