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
	// old is given a recording whose leg the ledger has from an earlier epoch.
	// It must not block.
	old func(ctx context.Context, leg ledger.LegID, recording *finished)
	// after is told of a leg that is in a segment now.
	after func(ledger.LegID)

	mu         sync.Mutex
	legs       map[string]*waitingLeg    // by uniqueid
	recordings map[string][]*finished    // by uniqueid: recordings without a leg yet
	closing    map[ledger.LegID]struct{} // handed to the closer, not in a segment yet
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
	p := &pairing{
		journal: book, closer: closer, wait: wait, log: log,
		legs: map[string]*waitingLeg{}, recordings: map[string][]*finished{}, closing: map[ledger.LegID]struct{}{},
	}
	p.after = func(ledger.LegID) {}
	p.old = func(_ context.Context, leg ledger.LegID, recording *finished) { p.emitRecording(leg, recording) }
	return p
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

// setWait changes how long legs that come from now on wait.
func (p *pairing) setWait(wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait = wait
}

// waiting counts the legs that wait for a recording, and recordings for a leg.
func (p *pairing) waiting() (legs, recordings int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, some := range p.recordings {
		recordings += len(some)
	}
	return len(p.legs), recordings
}

// elsewhere takes a leg that the ledger has from an earlier epoch: it needs no
// closing, but recordings may wait for it.
func (p *pairing) elsewhere(ctx context.Context, leg ledger.LegID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, recording := range p.recordings[leg.UniqueID] {
		p.old(ctx, leg, recording)
	}
	delete(p.recordings, leg.UniqueID)
}

// recording takes a recording that is closed and digested.
func (p *pairing) recording(ctx context.Context, recording *finished) error {
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
	if leg := recordedLeg(known); leg != nil {
		id := leg.Call.Leg
		if _, closing := p.closing[id]; closing || leg.Seq > 0 {
			p.emitRecording(id, recording)
			return nil
		}
		if leg.Elsewhere {
			p.old(ctx, id, recording)
			return nil
		}
	}
	p.keep(recording)
	return nil
}

// keep lets a recording wait for its leg. A file that was written to again while
// it waited is one recording, the later.
func (p *pairing) keep(recording *finished) {
	waiting := p.recordings[recording.uniqueID]
	for i := range waiting {
		if waiting[i].file.Path == recording.file.Path {
			waiting[i] = recording
			return
		}
	}
	p.recordings[recording.uniqueID] = append(waiting, recording)
}

// emit hands a leg and its recordings on; the caller holds the lock.
func (p *pairing) emit(leg *journal.Leg, recordings ...*finished) {
	id := leg.Call.Leg
	p.closing[id] = struct{}{}
	entries := []closing{{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}, done: func() { p.closed(id) }}}
	for _, recording := range recordings {
		entries = append(entries, recordingEntry(id, recording))
	}
	p.closer.add(entries...)
}

// imported takes a leg from before, with the recordings that wait for it; done is called
// once it is in a segment.
func (p *pairing) imported(leg *journal.Leg, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := leg.Call.Leg
	p.closing[id] = struct{}{}
	entries := []closing{{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}, done: func() { p.closed(id); done() }}}
	for _, recording := range p.recordings[id.UniqueID] {
		recording.recording.Imported = true
		entries = append(entries, recordingEntry(id, recording))
	}
	delete(p.recordings, id.UniqueID)
	p.closer.add(entries...)
}

// closed notes that a leg is in a segment: from now on the journal says so.
func (p *pairing) closed(leg ledger.LegID) {
	p.mu.Lock()
	delete(p.closing, leg)
	p.mu.Unlock()
	p.after(leg)
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
