package adapter

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// ledgerEdge answers how histories end.
type ledgerEdge struct {
	pb.LedgerServiceClient
	answers []func() (*pb.GetChainResponse, error) // one a question, the last for ever
	asked   int
}

func (l *ledgerEdge) GetChain(_ context.Context, request *pb.GetChainRequest, _ ...grpc.CallOption) (*pb.GetChainResponse, error) {
	if request.GetMsp() != testMSP || request.GetPbx() != testPBX {
		return nil, status.Error(codes.InvalidArgument, "another PBX")
	}
	answer := l.answers[min(l.asked, len(l.answers)-1)]
	l.asked++
	return answer()
}

// TestOpening checks what a new journal says of the history before it.
func TestOpening(t *testing.T) {
	root, tomorrow := strings.Repeat("5a", 32), time.Now().Add(24*time.Hour).UnixMilli()
	chain := func(epoch int64, closing bool) func() (*pb.GetChainResponse, error) {
		return func() (*pb.GetChainResponse, error) {
			return &pb.GetChainResponse{Epoch: epoch, LastSeq: 9, LastRoot: root, Closing: closing}, nil
		}
	}
	fails := func(code codes.Code) func() (*pb.GetChainResponse, error) {
		return func() (*pb.GetChainResponse, error) { return nil, status.Error(code, "no") }
	}
	for name, test := range map[string]struct {
		answers []func() (*pb.GetChainResponse, error)
		want    ledger.Opening
	}{
		"nothing before":           {[]func() (*pb.GetChainResponse, error){fails(codes.NotFound)}, ledger.Opening{Why: ledger.OpeningFirst}},
		"a history that was cut":   {[]func() (*pb.GetChainResponse, error){chain(5, false)}, ledger.Opening{PrevEpoch: 5, PrevRoot: root, PrevSeq: 9, Why: ledger.OpeningLost}},
		"a history that is closed": {[]func() (*pb.GetChainResponse, error){chain(5, true)}, ledger.Opening{PrevEpoch: 5, PrevRoot: root, PrevSeq: 9, Why: ledger.OpeningPlanned}},
		"a history from tomorrow":  {[]func() (*pb.GetChainResponse, error){chain(tomorrow, false)}, ledger.Opening{PrevEpoch: tomorrow, PrevRoot: root, PrevSeq: 9, Why: ledger.OpeningLost}},
		"a gateway that is away":   {[]func() (*pb.GetChainResponse, error){fails(codes.Unavailable), fails(codes.NotFound)}, ledger.Opening{Why: ledger.OpeningFirst}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, edge := &logbook{}, &ledgerEdge{answers: test.answers}
			a := &Adapter{config: &Config{MSP: testMSP, PBX: testPBX}, journal: newEpoch(t, t.TempDir()+"/journal.db"), ledger: edge, log: log.logger()}
			opening, err := a.opening(t.Context())
			require.NoError(t, err)
			require.Equal(t, len(test.answers), edge.asked)
			require.WithinDuration(t, time.Now(), opening.At.Std(), time.Minute)
			opening.At = ledger.Time{}
			require.Equal(t, test.want, *opening)
			require.Greater(t, a.journal.Epoch(), opening.PrevEpoch)
		})
	}
	// Stopped while it asks.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &Adapter{config: &Config{MSP: testMSP, PBX: testPBX}, journal: newJournal(t), ledger: &ledgerEdge{answers: []func() (*pb.GetChainResponse, error){fails(codes.Unavailable)}}, log: (&logbook{}).logger()}
	_, err := a.opening(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// TestBeats checks that an adapter says it is there, and at the end that it goes.
func TestBeats(t *testing.T) {
	b := newBench(t, t.TempDir()+"/journal.db", &gatewayEdge{})
	a := &Adapter{config: &Config{beat: 20 * time.Millisecond}, journal: b.book, closer: b.closer, log: b.log.logger()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.beat(ctx) }()
	require.Eventually(t, func() bool { return len(b.edge.order()) >= 3 }, patience, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Eventually(t, func() bool { return b.closer.waiting() == 0 }, patience, time.Millisecond)
	b.untilEmpty(t)
	_ = b.stop() // a beat may have been between closer and journal
	before := b.edge.order()
	a.farewell(t.Context())
	after := b.edge.order()
	require.Greater(t, len(after), len(before))
	require.Equal(t, after[0]+int64(len(after))-1, after[len(after)-1], "each once, the farewell last")
	waiting, _, err := b.book.Outbox()
	require.NoError(t, err)
	require.Empty(t, waiting)

	// The farewell of an adapter whose gateway is away waits in the journal.
	edge := &gatewayEdge{answer: func(ledger.Segment, int) error { return status.Error(codes.Unavailable, "the gateway is down") }}
	away := newBench(t, t.TempDir()+"/journal.db", edge)
	_ = away.stop()
	a = &Adapter{config: &Config{}, journal: away.book, closer: away.closer, log: away.log.logger()}
	short, enough := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer enough()
	require.ErrorIs(t, a.beat(short), context.DeadlineExceeded)
	require.Zero(t, away.closer.waiting(), "none was asked for")
	a.farewell(t.Context())
	waiting, _, err = away.book.Outbox()
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	require.True(t, waiting[0].Header.Closing)
	require.Len(t, waiting[0].Records, 1)

	// One that never began has nothing to close.
	book := newEpoch(t, t.TempDir()+"/journal.db")
	a = &Adapter{config: &Config{}, journal: book, closer: newCloser(book, newSigner(t), nil, nil, away.log.logger()), log: away.log.logger()}
	a.farewell(t.Context())
	waiting, _, err = book.Outbox()
	require.NoError(t, err)
	require.Empty(t, waiting)
}

// TestBootOf checks that a leg is never given to another Asterisk's start.
func TestBootOf(t *testing.T) {
	started := time.Date(2026, 3, 1, 9, 0, 0, 500_000_000, time.UTC)
	asterisk := instance{started: started}
	require.Equal(t, started.UnixMilli(), asterisk.bootOf(started.Add(time.Second)))
	require.Zero(t, asterisk.bootOf(started.Truncate(time.Second)), "it may have begun before")
	require.Zero(t, instance{}.bootOf(started))
	var s software
	s.set(instance{version: "Asterisk 22", started: started})
	s.forget()
	require.Equal(t, instance{version: "Asterisk 22"}, s.get())
}
