package consent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/consent"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
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

// recorded is a segment with the recordings of calls, and legs besides.
func recorded(linkedIDs ...string) *ledger.SignedSegment {
	signed := &ledger.SignedSegment{}
	for _, linkedID := range linkedIDs {
		leg := ledger.LegID{LinkedID: linkedID, UniqueID: linkedID}
		signed.Records = append(signed.Records,
			ledger.Record{MSP: "AtlasMSP", PBX: "pbx1", Call: &ledger.Call{Leg: leg}},
			ledger.Record{MSP: "AtlasMSP", PBX: "pbx1", Recording: &ledger.Recording{Leg: leg}},
			ledger.Record{MSP: "AtlasMSP", PBX: "pbx1", Recording: &ledger.Recording{Leg: leg}})
	}
	return signed
}

// first is when a conversation is looked at first.
const first = 200 * time.Millisecond

// soon waits until the first look is done.
func soon() {
	time.Sleep(first)
	synctest.Wait()
}

// watched runs a test with a watch of a ledger in a bubble of its own time.
func watched(t *testing.T, test func(*paper, *consent.Watch, *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		on, log := newPaper(), &bytes.Buffer{}
		watch := consent.New(on, slog.New(slog.NewTextHandler(log, nil)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { watch.Run(ctx); close(done) }()
		test(on, watch, log)
		stop()
		<-done
	})
}

func TestViolationsAreReported(t *testing.T) {
	watched(t, func(on *paper, watch *consent.Watch, log *bytes.Buffer) {
		on.due["call-1"] = []ledger.ViolationReport{report(1), report(2)}
		watch.Anchored(recorded("call-1", "call-2"))
		watch.Anchored(recorded("call-1"))
		watch.Anchored(&ledger.SignedSegment{Records: []ledger.Record{{Call: &ledger.Call{Leg: ledger.LegID{LinkedID: "unrecorded"}}}}})
		soon()
		require.Equal(t, []string{report(1).PartyRef, report(2).PartyRef}, on.reported)
		require.Contains(t, log.String(), "call-1")
		require.NotContains(t, log.String(), report(1).PartyRef)

		// A statement that came onto the ledger after the recording.
		on.mu.Lock()
		on.due["call-2"] = []ledger.ViolationReport{report(3)}
		on.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, report(3).PartyRef, on.reported[2])
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Equal(t, map[string][]time.Duration{"call-1": {first, first + time.Minute}, "call-2": {first, first + time.Minute}}, on.asked, "each twice and no more")
	})
}

func TestFaultsAreOutlived(t *testing.T) {
	watched(t, func(on *paper, watch *consent.Watch, log *bytes.Buffer) {
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
		watch.Anchored(recorded("call-1"))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, []string{report(1).PartyRef, report(2).PartyRef}, on.reported)
		require.Equal(t, []time.Duration{first, first + time.Second, first + 3*time.Second, first + 7*time.Second, first + 15*time.Second, first + 75*time.Second}, on.asked["call-1"])
		require.Contains(t, log.String(), "the peer does not answer")
		require.NotContains(t, log.String(), "level=ERROR")
	})
}

func TestItGivesUpAndSaysSo(t *testing.T) {
	watched(t, func(on *paper, watch *consent.Watch, log *bytes.Buffer) {
		on.fail = func(string, int) error { return errors.New("no") }
		watch.Anchored(recorded("call-1"))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Len(t, on.asked["call-1"], 10)
		require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"))
		require.Contains(t, log.String(), "callseal consent report")

		// It is not forgotten for ever.
		on.mu.Lock()
		on.fail = nil
		on.mu.Unlock()
		watch.Anchored(recorded("call-1"))
		soon()
		require.Len(t, on.asked["call-1"], 11)
	})
}

func TestItNeverGrowsNorBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on, log := newPaper(), &bytes.Buffer{}
		watch := consent.New(on, slog.New(slog.NewTextHandler(log, nil)))
		for i := range 10_000 { // nobody looks
			watch.Anchored(recorded(fmt.Sprint(i)))
		}
		require.Equal(t, 1, strings.Count(log.String(), "too many"))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { watch.Run(ctx); close(done) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, on.asked, 4096)
		require.Contains(t, log.String(), "dropped=11808")
		watch.Anchored(recorded("later"))
		soon()
		require.Len(t, on.asked["later"], 1)
		stop()
		<-done
	})
}
