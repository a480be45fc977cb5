package adapter

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

// pairing brings a leg and its recording together, so that both go into one
// segment. Either may come first; a leg whose recording is late goes alone, and
// the recording follows when it comes.
type pairing struct {
	journal *journal.Journal
	closer  *closer
	wait    time.Duration
	log     *slog.Logger

	mu         sync.Mutex
	legs       map[string]*waitingLeg // by uniqueid
	recordings map[string][]*finished // by uniqueid: recordings without a leg yet
}

// waitingLeg is a leg whose recording is due and not there.
type waitingLeg struct {
	leg   *journal.Leg
	timer *time.Timer
}

// finished is a recording that is closed and digested.
type finished struct {
	uniqueID  string
	recording ledger.Recording // without its leg
	details   ledger.Details
	file      journal.File
	done      func() // called once it is in the journal
}

func newPairing(book *journal.Journal, closer *closer, wait time.Duration, log *slog.Logger) *pairing {
	return &pairing{journal: book, closer: closer, wait: wait, log: log, legs: map[string]*waitingLeg{}, recordings: map[string][]*finished{}}
}

// leg takes a leg that was received and is not closed yet.
func (p *pairing) leg(ctx context.Context, leg *journal.Leg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := leg.Call.Leg.UniqueID
	if waiting := p.recordings[id]; len(waiting) > 0 {
		delete(p.recordings, id)
		p.emit(leg, waiting...)
		return
	}
	if !leg.Call.RecordingDue || p.wait == 0 {
		p.emit(leg)
		return
	}
	if earlier := p.legs[id]; earlier != nil {
		// One channel, two due legs: the first keeps the recording.
		p.emit(leg)
		return
	}
	waiting := &waitingLeg{leg: leg}
	waiting.timer = time.AfterFunc(p.wait, func() { p.giveUp(ctx, id, waiting) })
	p.legs[id] = waiting
}

// giveUp sends a leg alone whose recording did not come in time.
func (p *pairing) giveUp(ctx context.Context, id string, waiting *waitingLeg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.legs[id] != waiting || ctx.Err() != nil {
		return
	}
	delete(p.legs, id)
	p.log.Warn("the recording due has not come: the leg goes without, the recording will follow", "uniqueid", id, "waited", p.wait)
	p.emit(waiting.leg)
}

// recording takes a recording that is closed and digested.
func (p *pairing) recording(recording *finished) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if waiting := p.legs[recording.uniqueID]; waiting != nil {
		waiting.timer.Stop()
		delete(p.legs, recording.uniqueID)
		p.emit(waiting.leg, recording)
		return nil
	}
	known, err := p.journal.ByUniqueID(recording.uniqueID)
	if err != nil {
		return err
	}
	if leg := recordedLeg(known); leg != nil && leg.Settled() {
		p.emitRecording(leg.Call.Leg, recording)
		return nil
	}
	p.recordings[recording.uniqueID] = append(p.recordings[recording.uniqueID], recording)
	return nil
}

// orphans are the recordings that no leg has claimed.
func (p *pairing) orphans() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.recordings)
}

// emit hands a leg and its recordings on; the caller holds the lock.
func (p *pairing) emit(leg *journal.Leg, recordings ...*finished) {
	entries := []closing{{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}}}
	for _, recording := range recordings {
		entries = append(entries, recordingEntry(leg.Call.Leg, recording))
	}
	p.closer.add(entries...)
}

func (p *pairing) emitRecording(leg ledger.LegID, recording *finished) {
	p.closer.add(recordingEntry(leg, recording))
}

func recordingEntry(leg ledger.LegID, recording *finished) closing {
	entry := recording.recording
	entry.Leg = leg
	return closing{
		Entry: journal.Entry{Recording: &entry, Details: recording.details, File: recording.file},
		done:  recording.done,
	}
}

// recordedLeg is the leg a channel's recording belongs to: the first that was
// answered, else the first.
func recordedLeg(legs []*journal.Leg) *journal.Leg {
	for _, leg := range legs {
		if leg.Call.Disposition == ledger.Answered {
			return leg
		}
	}
	if len(legs) > 0 {
		return legs[0]
	}
	return nil
}
