package consent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/consent"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/index"
)

// paper is a ledger of reports: due ones by linkedid, reported ones in order.
type paper struct {
	mu       sync.Mutex
	due      map[string][]ledger.ViolationReport
	reported []string
	asked    map[string][]time.Duration // since the beginning, by linkedid
	began    time.Time
	fail     func(function string, nth int) error
	calls    map[string]int
}

func newPaper() *paper {
	return &paper{due: map[string][]ledger.ViolationReport{}, asked: map[string][]time.Duration{}, calls: map[string]int{}, began: time.Now()}
}

func (p *paper) call(function string) error {
	p.calls[function]++
	if p.fail == nil {
		return nil
	}
	return p.fail(function, p.calls[function])
}

func (p *paper) Evaluate(_ context.Context, function string, args ...string) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[args[2]] = append(p.asked[args[2]], time.Since(p.began))
	if err := p.call(function); err != nil {
		return nil, err
	}
	due := p.due[args[2]]
	if due == nil {
		due = []ledger.ViolationReport{}
	}
	return ledger.Canonical(due)
}

func (p *paper) Transact(_ context.Context, what fabric.Proposal) (fabric.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.call(what.Function); err != nil {
		return fabric.Outcome{}, err
	}
	var report ledger.ViolationReport
	if err := ledger.DecodeStrict([]byte(what.Args[0]), &report); err != nil {
		return fabric.Outcome{}, err
	}
	p.reported = append(p.reported, report.PartyRef)
	for linkedID, due := range p.due {
		for i := range due {
			if due[i] == report {
				p.due[linkedID] = append(due[:i:i], due[i+1:]...)
				break
			}
		}
	}
	return fabric.Outcome{}, nil
}

func report(party int) ledger.ViolationReport {
	return ledger.ViolationReport{MSP: "AtlasMSP", N: 1, PartyRef: fmt.Sprintf("%032x", party), PBX: "pbx1", Recording: ledger.RecordingID{ID: strings.Repeat("5a", 16), Revision: 1}}
}

// feed is an index that grows.
type feed struct {
	mu      sync.Mutex
	chain   string
	changes []index.Change
	moved   chan struct{}
}

func newFeed() *feed { return &feed{chain: "one", moved: make(chan struct{})} }

func (f *feed) Chain(context.Context) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []byte(f.chain), nil
}

func (f *feed) Advanced() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moved
}

func (f *feed) Changes(_ context.Context, after index.Cursor, limit int, filter index.Filter) ([]index.Change, index.Cursor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []index.Change
	end := index.EndOf(uint64(len(f.changes)) + 1)
	for _, change := range f.changes {
		if after.Before(change.Cursor) && change.MSP == filter.MSP && len(found) < limit {
			found = append(found, change)
		}
	}
	if len(found) == limit {
		end = found[limit-1].Cursor
	}
	return found, end, nil
}

// add appends changes, a block each.
func (f *feed) add(t *testing.T, kind index.Kind, msp string, value any) {
	t.Helper()
	text, err := ledger.Canonical(value)
	require.NoError(t, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, index.Change{Cursor: index.Cursor{Block: uint64(len(f.changes)) + 1}, Kind: kind, MSP: msp, PBX: "pbx1", Value: text})
	close(f.moved)
	f.moved = make(chan struct{})
}

// record puts recordings of calls onto the ledger.
func (f *feed) record(t *testing.T, linkedIDs ...string) {
	t.Helper()
	for _, linkedID := range linkedIDs {
		f.add(t, index.KindRecording, "AtlasMSP", &ledger.Record{MSP: "AtlasMSP", PBX: "pbx1", Recording: &ledger.Recording{ClosedAt: ledger.TimeOf(time.Unix(1, 0)), Leg: ledger.LegID{LinkedID: linkedID, UniqueID: linkedID}}})
	}
}

// object puts a party's objection onto the ledger.
func (f *feed) object(t *testing.T, linkedID string) {
	t.Helper()
	f.add(t, index.KindConsent, "AtlasMSP", &ledger.Consent{At: ledger.TimeOf(time.Unix(1, 0)), MSP: "AtlasMSP", Statement: ledger.ConsentStatement{GivenAt: ledger.TimeOf(time.Unix(1, 0)), LinkedID: linkedID, PBX: "pbx1", Status: ledger.ConsentDenied}})
}

// first is when a conversation is looked at first.
const first = 200 * time.Millisecond

// soon waits until the first look is done.
func soon() {
	time.Sleep(first)
	synctest.Wait()
}

// watching runs a watch of a ledger and a feed until it is stopped.
func watching(t *testing.T, on *paper, from *feed, file string, log *bytes.Buffer) (stop func()) {
	t.Helper()
	watch := consent.New(on, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { watch.Run(ctx) })
	running.Go(func() { assert.NoError(t, watch.Follow(ctx, from, "AtlasMSP", file)) })
	return func() { cancel(); running.Wait() }
}

// watched runs a test with a watch in a bubble of its own time.
func watched(t *testing.T, test func(*testing.T, *paper, *feed, *bytes.Buffer)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "consents.json")
	synctest.Test(t, func(t *testing.T) {
		on, from, log := newPaper(), newFeed(), &bytes.Buffer{}
		stop := watching(t, on, from, file, log)
		test(t, on, from, log)
		stop()
	})
}

func TestViolationsAreReported(t *testing.T) {
	watched(t, func(t *testing.T, on *paper, from *feed, log *bytes.Buffer) {
		on.due["call-1"] = []ledger.ViolationReport{report(1), report(2)}
		from.record(t, "call-1", "call-2", "call-1")
		from.add(t, index.KindRecording, "BorealisMSP", &ledger.Record{MSP: "BorealisMSP", PBX: "pbx1", Recording: &ledger.Recording{ClosedAt: ledger.TimeOf(time.Unix(1, 0)), Leg: ledger.LegID{LinkedID: "theirs"}}})
		soon()
		require.Equal(t, []string{report(1).PartyRef, report(2).PartyRef}, on.reported)
		require.Contains(t, log.String(), "call-1")
		require.NotContains(t, log.String(), report(1).PartyRef)

		// A statement that comes onto the ledger after the recording.
		on.mu.Lock()
		on.due["call-2"] = []ledger.ViolationReport{report(3)}
		on.mu.Unlock()
		from.object(t, "call-2")
		soon()
		require.Equal(t, report(3).PartyRef, on.reported[2])
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Len(t, on.asked["call-1"], 1, "what is done is not looked at again")
		require.Len(t, on.asked["call-2"], 2)
		require.NotContains(t, on.asked, "theirs")
	})
}

func TestFaultsAreOutlived(t *testing.T) {
	watched(t, func(t *testing.T, on *paper, from *feed, log *bytes.Buffer) {
		on.due["call-1"] = []ledger.ViolationReport{report(1), report(2)}
		// The peer is away, then an endorser lags behind at the second report.
		on.fail = func(function string, nth int) error {
			switch {
			case function == "consents:Violating" && nth <= 3:
				return fault.New(fault.Unavailable, "the peer does not answer")
			case function == "consents:Report" && nth == 2:
				return fault.New(fault.NotFound, "there is no such recording")
			}
			return nil
		}
		from.record(t, "call-1")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, []string{report(1).PartyRef, report(2).PartyRef}, on.reported)
		require.Equal(t, []time.Duration{first, first + time.Second, first + 3*time.Second, first + 7*time.Second, first + 15*time.Second}, on.asked["call-1"])
		require.Contains(t, log.String(), "the peer does not answer")
		require.NotContains(t, log.String(), "level=ERROR")
	})
}

func TestItGivesUpAndSaysSo(t *testing.T) {
	watched(t, func(t *testing.T, on *paper, from *feed, log *bytes.Buffer) {
		on.fail = func(string, int) error { return errors.New("no") }
		from.record(t, "call-1")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Len(t, on.asked["call-1"], 10)
		require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"))
		require.Contains(t, log.String(), "callseal consent report")
	})
}

func TestItNeverGrowsNorMisses(t *testing.T) {
	watched(t, func(t *testing.T, on *paper, from *feed, _ *bytes.Buffer) {
		const calls = 10_000
		for i := range calls { // more than may wait
			from.record(t, fmt.Sprint(i))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, on.asked, calls, "each is looked at")
	})
}

func TestAKilledGatewayMissesNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "consents.json")
	synctest.Test(t, func(t *testing.T) {
		on, from := newPaper(), newFeed()
		from.record(t, "done")
		stop := watching(t, on, from, file, &bytes.Buffer{})
		time.Sleep(5 * time.Second)
		stop()
		require.Len(t, on.asked["done"], 1)

		// It ends while the peer is away.
		on.fail = func(string, int) error { return fault.New(fault.Unavailable, "the peer does not answer") }
		stop = watching(t, on, from, file, &bytes.Buffer{})
		from.record(t, "under way")
		soon()
		stop()
		require.Len(t, on.asked["under way"], 1)
		from.record(t, "meanwhile")

		on.fail = nil
		on.due["under way"], on.due["meanwhile"] = []ledger.ViolationReport{report(1)}, []ledger.ViolationReport{report(2)}
		stop = watching(t, on, from, file, &bytes.Buffer{})
		time.Sleep(5 * time.Second)
		stop()
		require.ElementsMatch(t, []string{report(1).PartyRef, report(2).PartyRef}, on.reported)
		require.Len(t, on.asked["done"], 1, "what is done is not looked at again")
	})
}

func TestANewNetworkBeginsAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "consents.json")
	synctest.Test(t, func(t *testing.T) {
		on, before := newPaper(), newFeed()
		for n := range 20 {
			before.record(t, fmt.Sprint("before ", n))
		}
		stop := watching(t, on, before, file, &bytes.Buffer{})
		time.Sleep(5 * time.Second)
		stop()
		require.Contains(t, on.asked, "before 19")

		// The other network's index knows no block at first.
		after := newFeed()
		after.chain = ""
		after.record(t, "of the first blocks")
		stop = watching(t, on, after, file, &bytes.Buffer{})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.NotContains(t, on.asked, "of the first blocks")
		after.mu.Lock()
		after.chain = "two"
		after.mu.Unlock()
		time.Sleep(5 * time.Second)
		stop()
		require.Len(t, on.asked["of the first blocks"], 1)

		stop = watching(t, on, after, file, &bytes.Buffer{})
		time.Sleep(5 * time.Second)
		stop()
		require.Len(t, on.asked["of the first blocks"], 1, "the place is kept for the new one")
	})
}
