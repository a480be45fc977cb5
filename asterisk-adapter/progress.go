package adapter

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"time"

	libari "github.com/CyCoreSystems/ari/v6"

	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

// progressEvery is how often answered calls are looked at.
const progressEvery = time.Second

// progress tells the ledger that a call was answered, before its CDR; and, where none
// comes, that it was cut or has none (P1 phase 2).
type progress struct {
	*Adapter
	wake chan struct{}

	mu    sync.Mutex
	under map[string]bool // handed to the closer, by uniqueid
	// fresh are channels that this connection told of: a list that was made a moment
	// earlier may lack them.
	fresh map[string]bool
	gone  map[string]departure
}

// departure is a channel that is no more.
type departure struct {
	noticed time.Time
	// ended is Asterisk's time of the end; zero where nobody saw it.
	ended time.Time
}

func newProgress(a *Adapter) *progress {
	return &progress{Adapter: a, wake: make(chan struct{}, 1), under: map[string]bool{}, fresh: map[string]bool{}, gone: map[string]departure{}}
}

// dialled says whether a channel was called by a dialplan: its caller's CDR tells of it,
// and it has none of its own.
func dialled(at *libari.DialplanCEP) bool {
	return at != nil && strings.HasPrefix(at.GetAppName(), "App") && at.GetAppName() != "AppDial2" && at.GetAppData() == "(Outgoing Line)"
}

// event takes one of ARI's events. What it tells is in the journal when this returns.
func (p *progress) event(event libari.Event) {
	switch e := event.(type) {
	case *libari.ChannelStateChange:
		p.up(&e.Channel, time.Time(e.Timestamp))
	case *libari.ChannelCreated:
		p.up(&e.Channel, time.Time(e.Timestamp))
	case *libari.ChannelDestroyed:
		p.mu.Lock()
		p.gone[e.Channel.ID] = departure{time.Now(), time.Time(e.Timestamp)}
		p.mu.Unlock()
	}
}

func (p *progress) up(channel *libari.ChannelData, at time.Time) {
	if channel.State != "Up" || dialled(channel.Dialplan) {
		return
	}
	p.mu.Lock()
	p.fresh[channel.ID] = true
	p.mu.Unlock()
	p.answered(channel.ID, channel.Name, channel.GetCaller().GetNumber(), channel.GetDialplan(), at)
}

// extension is an extension that is a number, and not a step of a dialplan's.
var extension = regexp.MustCompile(`^\+?[0-9*#]+$`)

func (p *progress) answered(id, name, caller string, place *libari.DialplanCEP, at time.Time) {
	asterisk := p.software.get()
	call := ledger.Progress{
		At: ledger.TimeOf(at), Boot: asterisk.bootOf(at), CallerRef: p.pseudonyms.of(caller), Direction: p.config.Contexts[place.GetContext()],
		State: ledger.ProgressAnswered, Technology: technology(name), UniqueID: id,
	}
	if extension.MatchString(place.GetExten()) {
		call.CalleeRef = p.pseudonyms.of(place.GetExten())
	}
	kept, err := p.journal.Answer(&journal.Ongoing{Progress: call, Channel: name})
	if err != nil {
		p.log.Error("an answered call cannot be kept: the ledger hears of it when its CDR comes", "error", err, "uniqueid", id)
		return
	}
	if kept {
		p.rouse()
	}
}

func (p *progress) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// connected takes the channels that are there at a connection: those that are up are
// answered, and those of ongoing calls that are not there are gone.
func (p *progress) connected(channels []ari.Channel) {
	there := map[string]bool{}
	for i := range channels {
		channel := &channels[i]
		there[channel.ID] = true
		if channel.State == "Up" && !dialled(&channel.Dialplan) {
			p.answered(channel.ID, channel.Name, channel.Caller.Number, &channel.Dialplan, time.Now())
		}
	}
	ongoing, err := p.journal.Ongoing()
	if err != nil {
		p.log.Error("the answered calls cannot be listed", "error", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range ongoing {
		id := one.Progress.UniqueID
		if _, known := p.gone[id]; !known && !there[id] && !p.fresh[id] {
			p.gone[id] = departure{noticed: time.Now()}
		}
	}
}

// lost notes that the connection is.
func (p *progress) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.fresh)
}

// run tells the ledger until the context ends.
func (p *progress) run(ctx context.Context) error {
	ticker := time.NewTicker(min(progressEvery, max(p.config.cutAfter, time.Millisecond)))
	defer ticker.Stop()
	for {
		if err := p.look(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.wake:
		case <-ticker.C:
		}
	}
}

// look closes what is to be told of ongoing calls.
func (p *progress) look(ctx context.Context) error {
	ongoing, err := p.journal.Ongoing()
	if err != nil {
		return err
	}
	still := map[string]bool{}
	for _, one := range ongoing {
		id := one.Progress.UniqueID
		still[id] = true
		if p.begin(id) {
			p.tell(ctx, one)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, departed := range p.gone {
		if !still[id] && time.Since(departed.noticed) > p.config.cutAfter {
			delete(p.gone, id)
			delete(p.fresh, id)
		}
	}
	return nil
}

// begin says whether nothing is under way of a call.
func (p *progress) begin(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.under[id]
}

// tell closes a call's next word, where there is one.
func (p *progress) tell(ctx context.Context, one *journal.Ongoing) {
	call := one.Progress
	if one.Seq == 0 {
		call.LinkedID = p.linkedID(ctx, call.UniqueID)
		p.close(&call)
		return
	}
	p.mu.Lock()
	departed, gone := p.gone[call.UniqueID]
	p.mu.Unlock()
	if !gone || time.Since(departed.noticed) < p.config.cutAfter || !p.sourcesStand() {
		return
	}
	asterisk := p.software.get()
	switch {
	case !departed.ended.IsZero(): // seen to end in order
		call.State, call.At = ledger.ProgressEnded, ledger.TimeOf(departed.ended)
	case asterisk.started.IsZero():
		return // whether Asterisk is the same is not known
	case call.Boot != 0 && call.Boot != asterisk.started.UnixMilli() || call.Boot == 0 && asterisk.started.After(call.At.Std()):
		call.State, call.At = ledger.ProgressCut, ledger.TimeOf(asterisk.started)
	default:
		call.State, call.At = ledger.ProgressEnded, ledger.TimeOf(departed.noticed)
	}
	if call.State == ledger.ProgressCut {
		p.log.Error("a call was answered, and the Asterisk that carried it is gone without a CDR: the ledger hears that it was cut", "uniqueid", call.UniqueID)
	} else {
		p.log.Error("a call was answered and has ended, and no source has a CDR of it: was Asterisk told to write none?", "uniqueid", call.UniqueID)
	}
	p.close(&call)
}

// close hands a word to the closer.
func (p *progress) close(call *ledger.Progress) {
	p.mu.Lock()
	p.under[call.UniqueID] = true
	p.mu.Unlock()
	p.metrics.progress.WithLabelValues(call.State).Inc()
	p.closer.add(closing{Entry: journal.Entry{Progress: call}, done: func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.under, call.UniqueID)
	}})
}

// linkedID asks for a channel's; where it is gone already, its own id is taken, as
// Asterisk does for a channel that began a conversation.
func (p *progress) linkedID(ctx context.Context, channel string) string {
	linkedID, there, err := p.observer.Variable(ctx, channel, "CHANNEL(linkedid)")
	if err != nil || !there || linkedID == "" {
		return channel
	}
	return linkedID
}

// sourcesStand says whether every source of CDRs answers: one that does not may have a
// call's.
func (p *progress) sourcesStand() bool {
	all, _ := p.standings.all()
	for _, name := range []string{sourceCSV, sourceTable, sourceAMI, sourceARI} {
		if one, used := all[name]; used && !one.Connected {
			return false
		}
	}
	return true
}
