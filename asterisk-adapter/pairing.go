package adapter

import (
	"context"
	"log/slog"
	"slices"
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

	// legless is how long a recording waits for its leg; then it goes without one.
	legless time.Duration
	// conversation answers the linkedid of a channel that has no leg.
	conversation func(uniqueID string) string

	mu         sync.Mutex
	underway   map[string]chan struct{}  // by path: recordings handed on, not in a segment yet
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
	// timer ends its wait for a leg, and linkedID is its conversation's if none comes:
	// what is known of a call in progress is forgotten once it was told that it was cut.
	timer    *time.Timer
	linkedID string
}

// defaultLegless is how long a recording waits for a leg where omissions are never
// anchored, and minLegless how long at least from when it was found: its CDR may be in
// what a source has not read yet.
const (
	defaultLegless = 10 * time.Minute
	minLegless     = 30 * time.Second
)

func newPairing(book *journal.Journal, closer *closer, wait time.Duration, log *slog.Logger) *pairing {
	p := &pairing{
		journal: book, closer: closer, wait: wait, log: log,
		legless: defaultLegless, conversation: func(uniqueID string) string { return uniqueID },
		underway: map[string]chan struct{}{}, legs: map[string]*waitingLeg{}, recordings: map[string][]*finished{}, closing: map[ledger.LegID]struct{}{},
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
	if !p.owns(leg) {
		p.emit(leg)
		if len(p.recordings[id]) > 0 {
			p.await(ctx, id)
		}
		return
	}
	if waiting := p.taken(id); len(waiting) > 0 {
		p.emit(leg, waiting...)
		return
	}
	if !leg.Call.RecordingDue || p.wait == 0 || p.legs[id] != nil {
		p.emit(leg)
		return
	}
	waiting := &waitingLeg{leg: leg}
	waiting.timer = time.AfterFunc(p.wait, func() { p.giveUp(ctx, id, waiting) })
	p.legs[id] = waiting
}

// siblingWait is how long a recording waits for an answered leg of its channel, where
// there is one that is not: all legs of a channel are written when it ends.
const siblingWait = time.Second

// owns says whether its channel's recording is a leg's: the first that was answered has
// it. They may come here in any order, but are in the journal in theirs.
func (p *pairing) owns(leg *journal.Leg) bool {
	if leg.Call.Disposition != ledger.Answered {
		return false
	}
	known, err := p.journal.ByUniqueID(leg.Call.Leg.UniqueID)
	if err != nil {
		p.log.Error("the journal cannot say which leg a recording belongs to", "error", err)
		return true
	}
	owner := recordedLeg(known)
	return owner == nil || owner.Call.Leg == leg.Call.Leg
}

// await has the recordings of a channel without an answered leg wait for one, and binds
// them to the first leg if none comes. The caller holds the lock.
func (p *pairing) await(ctx context.Context, uniqueID string) {
	time.AfterFunc(siblingWait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		known, err := p.journal.ByUniqueID(uniqueID)
		if err != nil || ctx.Err() != nil {
			return // stopping: they are found again at the next start
		}
		owner := recordedLeg(known)
		if owner == nil || owner.Call.Disposition == ledger.Answered {
			return // it takes them itself
		}
		for _, recording := range p.taken(uniqueID) {
			p.emitRecording(owner.Call.Leg, recording)
		}
	})
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

// setWait changes how long legs that come from now on wait, and how long recordings do,
// 0 being what is meant without an answer.
func (p *pairing) setWait(wait, legless time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait = wait
	if p.legless = legless; legless == 0 {
		p.legless = defaultLegless
	}
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
	for _, recording := range p.taken(leg.UniqueID) {
		p.begin(recording)
		p.old(ctx, leg, recording)
	}
}

// taken takes the recordings that wait for a channel's leg; the caller holds the lock.
func (p *pairing) taken(uniqueID string) []*finished {
	waiting := p.recordings[uniqueID]
	delete(p.recordings, uniqueID)
	for _, one := range waiting {
		one.timer.Stop()
	}
	return waiting
}

// begin notes that a recording is handed on; the caller holds the lock.
func (p *pairing) begin(recording *finished) {
	if p.underway[recording.file.Path] == nil {
		p.underway[recording.file.Path] = make(chan struct{})
	}
}

// ended notes that a recording is in a segment, or that nothing comes of it.
func (p *pairing) ended(recording *finished) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if underway := p.underway[recording.file.Path]; underway != nil {
		close(underway)
		delete(p.underway, recording.file.Path)
	}
}

// recording takes a recording that is closed and digested. Where an earlier content of
// its file is handed on and not in a segment yet, it is not taken: busy is closed once
// the journal knows that one.
func (p *pairing) recording(ctx context.Context, recording *finished) (busy <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if underway := p.underway[recording.file.Path]; underway != nil {
		return underway, nil
	}
	return nil, p.pair(ctx, recording)
}

func (p *pairing) pair(ctx context.Context, recording *finished) error {
	if again := recording.file.Leg; again.UniqueID == recording.uniqueID && again != (ledger.LegID{}) {
		// Appended to, it is of the leg that it was of.
		p.emitRecording(again, recording)
		return nil
	}
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
			if leg.Call.Disposition != ledger.Answered && time.Since(leg.Call.End.Std()) < time.Minute {
				p.keep(ctx, recording)
				p.await(ctx, id.UniqueID)
				return nil
			}
			p.emitRecording(id, recording)
			return nil
		}
		if leg.Elsewhere {
			p.begin(recording)
			p.old(ctx, id, recording)
			return nil
		}
	}
	p.keep(ctx, recording)
	return nil
}

// keep lets a recording wait for its leg. A file that was written to again while
// it waited is one recording, the later.
func (p *pairing) keep(ctx context.Context, recording *finished) {
	since := time.Since(time.Unix(0, recording.file.Modified))
	wait := max(p.legless-since, min(p.legless, minLegless))
	recording.linkedID = p.conversation(recording.uniqueID)
	recording.timer = time.AfterFunc(wait, func() { p.goWithout(ctx, recording) })
	waiting := p.recordings[recording.uniqueID]
	for i := range waiting {
		if waiting[i].file.Path == recording.file.Path {
			waiting[i].timer.Stop()
			waiting[i] = recording
			return
		}
	}
	p.recordings[recording.uniqueID] = append(waiting, recording)
}

// goWithout sends a recording whose leg did not come: a crash of Asterisk leaves a
// recording and no CDR. None is made up: the record names the channel, and says so.
func (p *pairing) goWithout(ctx context.Context, recording *finished) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(p.recordings[recording.uniqueID], recording)
	if at < 0 || ctx.Err() != nil {
		return
	}
	p.recordings[recording.uniqueID] = slices.Delete(p.recordings[recording.uniqueID], at, at+1)
	if len(p.recordings[recording.uniqueID]) == 0 {
		delete(p.recordings, recording.uniqueID)
	}
	p.log.Error("no CDR has come of a channel that was recorded: its recording is anchored without", "uniqueid", recording.uniqueID, "recording", recording.recording.ID)
	recording.recording.NoCDR = true
	p.emitRecording(ledger.LegID{LinkedID: recording.linkedID, UniqueID: recording.uniqueID}, recording)
}

// emit hands a leg and its recordings on; the caller holds the lock.
func (p *pairing) emit(leg *journal.Leg, recordings ...*finished) {
	id := leg.Call.Leg
	p.closing[id] = struct{}{}
	entries := []closing{{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}, done: func() { p.closed(id) }}}
	for _, recording := range recordings {
		p.begin(recording)
		entries = append(entries, p.entry(id, recording))
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
	for _, recording := range p.taken(id.UniqueID) {
		recording.recording.Imported = true
		p.begin(recording)
		entries = append(entries, p.entry(id, recording))
	}
	p.closer.add(entries...)
}

// closed notes that a leg is in a segment: from now on the journal says so.
func (p *pairing) closed(leg ledger.LegID) {
	p.mu.Lock()
	delete(p.closing, leg)
	p.mu.Unlock()
	p.after(leg)
}

// emitRecording hands a recording on; the caller holds the lock.
func (p *pairing) emitRecording(leg ledger.LegID, recording *finished) {
	p.begin(recording)
	p.closer.add(p.entry(leg, recording))
}

// send hands a recording on whose leg the ledger has from an earlier epoch.
func (p *pairing) send(leg ledger.LegID, recording *finished) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.emitRecording(leg, recording)
}

// entry is a recording on its way into a segment.
func (p *pairing) entry(leg ledger.LegID, recording *finished) closing {
	entry := recordingEntry(leg, recording)
	entry.done = func() {
		p.ended(recording)
		recording.done()
	}
	entry.unfit = func() { p.ended(recording) }
	return entry
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
