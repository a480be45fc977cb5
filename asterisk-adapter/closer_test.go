package adapter

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

// gatewayEdge stands where the gateway's gRPC begins. Each try of a segment is
// told, and answered by the test.
type gatewayEdge struct {
	pb.AnchorServiceClient
	answer func(header ledger.Segment, try int) error

	mu    sync.Mutex
	tries map[int64]int
	begun []int64 // first seqs, as they came first
	sizes map[int64]int
}

// Deliver is a stream whose segments are answered one by one as the test says: an
// INVALID_ARGUMENT by a refusal, any other error by a rejection that may pass.
func (g *gatewayEdge) Deliver(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[pb.DeliverRequest, pb.DeliverResponse], error) {
	return &edgeStream{edge: g, ctx: ctx, answers: make(chan *pb.DeliverResponse, 1000)}, nil
}

type edgeStream struct {
	grpc.BidiStreamingClient[pb.DeliverRequest, pb.DeliverResponse]
	edge    *gatewayEdge
	ctx     context.Context
	answers chan *pb.DeliverResponse
}

func (s *edgeStream) Send(request *pb.DeliverRequest) error {
	var header ledger.Segment
	if err := ledger.DecodeStrict(request.GetSegment().GetSegmentJson(), &header); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	g := s.edge
	g.mu.Lock()
	if g.tries == nil {
		g.tries, g.sizes = map[int64]int{}, map[int64]int{}
	}
	g.tries[header.FirstSeq]++
	try := g.tries[header.FirstSeq]
	if try == 1 {
		g.begun = append(g.begun, header.FirstSeq)
		g.sizes[header.FirstSeq] = len(request.GetSegment().GetRecordsJson())
	}
	answer := g.answer
	g.mu.Unlock()
	go s.reply(header, try, answer)
	return nil
}

func (s *edgeStream) reply(header ledger.Segment, try int, answer func(ledger.Segment, int) error) {
	said := func(state pb.DeliveryState) *pb.DeliverResponse {
		return &pb.DeliverResponse{Pbx: header.PBX, Epoch: header.Epoch, FirstSeq: header.FirstSeq, State: state}
	}
	if answer != nil {
		if err := answer(header, try); err != nil {
			given := status.Convert(err)
			refusal := said(pb.DeliveryState_DELIVERY_STATE_REJECTED)
			if given.Code() == codes.InvalidArgument {
				refusal.State = pb.DeliveryState_DELIVERY_STATE_REFUSED
			}
			refusal.Problem = &pb.Problem{Code: int32(given.Code()), Message: given.Message(), Retryable: given.Code() != codes.InvalidArgument}
			s.answers <- refusal
			return
		}
	}
	s.answers <- said(pb.DeliveryState_DELIVERY_STATE_ACCEPTED)
	receipt := &pb.SegmentReceipt{Epoch: header.Epoch, FirstSeq: header.FirstSeq, Outcome: pb.Outcome_OUTCOME_ANCHORED, Commit: &pb.Commit{TransactionId: "tx"}}
	for n := range header.Count {
		receipt.Records = append(receipt.Records, &pb.RecordReceipt{Seq: header.FirstSeq + n, Outcome: pb.Outcome_OUTCOME_ANCHORED})
	}
	for _, state := range []pb.DeliveryState{pb.DeliveryState_DELIVERY_STATE_COMMITTED, pb.DeliveryState_DELIVERY_STATE_SETTLED} {
		answered := said(state)
		answered.Receipt = receipt
		s.answers <- answered
	}
}

func (s *edgeStream) Recv() (*pb.DeliverResponse, error) {
	select {
	case answer := <-s.answers:
		return answer, nil
	case <-s.ctx.Done():
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
}

func (g *gatewayEdge) triesOf(firstSeq int64) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tries[firstSeq]
}

func (g *gatewayEdge) order() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]int64(nil), g.begun...)
}

// bench runs a closer against the edge.
type bench struct {
	*closer
	edge *gatewayEdge
	book *journal.Journal
	log  *logbook
	path string
	// stop ends the run; end closes the journal too.
	stop, end func() error
}

func newBench(t *testing.T, path string, edge *gatewayEdge) *bench {
	t.Helper()
	log := &logbook{}
	book := openJournal(t, path)
	uplink := newUplink(edge, book, newMetrics(), log.logger())
	uplink.denied = time.Millisecond
	b := &bench{closer: newCloser(book, newSigner(t), uplink, firstOpening, log.logger()), edge: edge, book: book, log: log, path: path}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.run(ctx) }()
	b.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	b.end = sync.OnceValue(func() error { return errors.Join(b.stop(), book.Close()) })
	t.Cleanup(func() { _ = b.end() })
	return b
}

// addCalls hands n calls on, each by itself.
func (b *bench) addCalls(t *testing.T, prefix string, n int) {
	t.Helper()
	for i := range n {
		leg := newLeg(t, b.book, fmt.Sprintf("%s.%d", prefix, i), 0, unanswered)
		b.add(closing{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}})
	}
}

// untilEmpty waits until nothing waits in the journal.
func (b *bench) untilEmpty(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		// In the order in which a leg goes its way: it is never in neither.
		unsettled, legsErr := b.book.Unsettled()
		waiting, _, err := b.book.Outbox()
		return err == nil && legsErr == nil && len(waiting) == 0 && len(unsettled) == 0
	}, patience, 5*time.Millisecond, "%s", b.log)
}

// TestLoneRecordLeavesAtOnce checks that nothing waits for company.
func TestLoneRecordLeavesAtOnce(t *testing.T) {
	b := newBench(t, filepath.Join(t.TempDir(), "journal.db"), &gatewayEdge{})
	for n := range 3 {
		b.addCalls(t, fmt.Sprint(n), 1)
		b.untilEmpty(t)
		require.Equal(t, int64(n+2), b.edge.order()[n])
	}
	require.Len(t, b.log.lines("call anchored"), 3)
}

// TestBatching checks that what becomes ready while every slot is busy gathers
// into segments of at most 500, in order.
func TestBatching(t *testing.T) {
	release := make(chan struct{})
	edge := &gatewayEdge{answer: func(header ledger.Segment, _ int) error {
		if header.FirstSeq <= 1+maxInFlight {
			<-release
		}
		return nil
	}}
	b := newBench(t, filepath.Join(t.TempDir(), "journal.db"), edge)
	for n := range maxInFlight {
		b.addCalls(t, fmt.Sprint(n), 1)
		require.Eventually(t, func() bool { return len(edge.order()) == n+1 }, patience, time.Millisecond)
	}
	b.addCalls(t, "many", 299)
	// A pair that would be cut by the bound goes into the next segment whole.
	pair := newLeg(t, b.book, "pair.0", 0, nil)
	recording := newRecording(t, "pair.0")
	b.addCalls(t, "more", 200)
	b.add(closing{Entry: journal.Entry{Call: &pair.Call, Details: pair.Details}}, recordingEntry(pair.Call.Leg, recording))
	b.addCalls(t, "rest", 20)
	require.Len(t, edge.order(), maxInFlight, "all slots are busy")
	close(release)
	b.untilEmpty(t)
	order := edge.order()
	require.ElementsMatch(t, []int64{2, 3, 4, 5, 6, 505}, order)
	edge.mu.Lock()
	defer edge.mu.Unlock()
	require.Equal(t, 499, edge.sizes[6])
	require.Equal(t, 22, edge.sizes[505])
}

// TestSegmentBytes checks that a segment stays below what the gateway takes, and
// that a record which can never travel stays behind.
func TestSegmentBytes(t *testing.T) {
	log := &logbook{}
	book := newJournal(t)
	c := newCloser(book, newSigner(t), nil, firstOpening, log.logger())
	add := func(id string, size int) {
		leg := newLeg(t, book, id, 0, func(call *ledger.Call) { unanswered(call) })
		leg.Details.Call.UserField = strings.Repeat("x", size)
		c.add(closing{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}})
	}
	add("huge", ledger.MaxDetailsBytes)
	require.Len(t, log.lines("a record is not fit for the ledger"), 1)
	for n := range 200 {
		add(fmt.Sprint(n), ledger.MaxDetailsBytes-1000)
	}
	first, second := c.take(), c.take()
	require.Empty(t, c.take())
	require.Len(t, append(first, second...), 200)
	require.Greater(t, len(first), len(second))
	require.NotEmpty(t, second)
}

// TestUplink checks what becomes of a segment for each answer of the gateway.
func TestUplink(t *testing.T) {
	for _, test := range []struct {
		name    string
		answer  func(header ledger.Segment, try int) error
		tries   int
		refused string
		logged  string
	}{
		{
			"unavailable is tried again",
			func(_ ledger.Segment, try int) error {
				if try < 4 {
					return status.Error(codes.Unavailable, "the peer is gone")
				}
				return nil
			}, 4, "", "the segment is not on the ledger yet and is sent again",
		},
		{
			"denied waits for someone to act",
			func(_ ledger.Segment, try int) error {
				if try < 6 {
					return status.Error([]codes.Code{codes.PermissionDenied, codes.Unauthenticated}[try%2], "enrol the adapter")
				}
				return nil
			}, 6, "", "the gateway refuses this adapter: the segment waits in the journal",
		},
		{
			"invalid is set aside",
			func(ledger.Segment, int) error {
				return status.Error(codes.InvalidArgument, "the segment is wrong")
			}, 1, "the segment is wrong", "the gateway refused the segment for good: it is set aside in the journal",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			edge := &gatewayEdge{answer: test.answer}
			b := newBench(t, filepath.Join(t.TempDir(), "journal.db"), edge)
			b.addCalls(t, "1", 1)
			b.untilEmpty(t)
			require.Equal(t, test.tries, edge.triesOf(2))
			require.NotEmpty(t, b.log.lines(test.logged), b.log)
			_, refused, err := b.book.Outbox()
			require.NoError(t, err)
			if test.refused == "" {
				require.Empty(t, refused)
				b.log.until(t, "call anchored", 1)
				return
			}
			require.Len(t, refused, 1)
			require.Contains(t, refused[0].Refused, test.refused)
			require.Empty(t, b.log.lines("call anchored"))
			// The next one is not held up, and the next start says what lies there.
			b.edge.mu.Lock()
			b.edge.answer = nil
			b.edge.mu.Unlock()
			b.addCalls(t, "2", 1)
			b.untilEmpty(t)
			require.ErrorIs(t, b.end(), context.Canceled)
			again := newBench(t, b.path, &gatewayEdge{})
			aside := again.log.until(t, "segments that the gateway refused are set aside", 1)
			require.InDelta(t, 1, aside[0]["count"], 0)
			require.Zero(t, again.edge.triesOf(2))
		})
	}
}

// TestEndOfRun checks that a segment on its way survives the end of the run and
// goes first in the next, and that a conflict is called by its name.
func TestEndOfRun(t *testing.T) {
	edge := &gatewayEdge{answer: func(ledger.Segment, int) error { return status.Error(codes.Unavailable, "the gateway is down") }}
	b := newBench(t, filepath.Join(t.TempDir(), "journal.db"), edge)
	for n := range maxInFlight {
		b.addCalls(t, fmt.Sprint(n), 1)
		require.Eventually(t, func() bool { return len(edge.order()) == n+1 }, patience, time.Millisecond)
	}
	b.addCalls(t, "late", 2)
	require.ErrorIs(t, b.end(), context.Canceled)
	require.Empty(t, b.log.lines("the gateway refused"))

	again := newBench(t, b.path, &gatewayEdge{})
	require.Eventually(t, func() bool {
		waiting, _, err := again.book.Outbox()
		return err == nil && len(waiting) == 0
	}, patience, time.Millisecond)
	unsettled, err := again.book.Unsettled()
	require.NoError(t, err)
	for _, leg := range unsettled {
		again.add(closing{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}})
	}
	again.untilEmpty(t)
	require.Len(t, again.log.lines("call anchored"), 6)
}

// TestBrokenJournalEndsTheRun checks that a journal that cannot be written ends
// the run, though a segment is still under way.
func TestBrokenJournalEndsTheRun(t *testing.T) {
	edge := &gatewayEdge{answer: func(ledger.Segment, int) error { return status.Error(codes.Unavailable, "the gateway is down") }}
	log := &logbook{}
	book := newJournal(t)
	c := newCloser(book, newSigner(t), newUplink(edge, book, newMetrics(), log.logger()), firstOpening, log.logger())
	ended := make(chan error, 1)
	go func() { ended <- c.run(t.Context()) }()
	leg := newLeg(t, book, "1.0", 0, unanswered)
	c.add(closing{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}})
	require.Eventually(t, func() bool { return edge.triesOf(2) > 1 }, patience, time.Millisecond)
	require.NoError(t, book.Close())
	c.add(closing{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}})
	select {
	case err := <-ended:
		require.ErrorContains(t, err, "close a segment")
	case <-time.After(patience):
		t.Fatal("the run goes on without its journal")
	}
}

func TestConflictIsReported(t *testing.T) {
	log := &logbook{}
	book := newJournal(t)
	c := newCloser(book, newSigner(t), nil, firstOpening, log.logger())
	leg := newLeg(t, book, "1.0", 0, nil)
	c.add(closing{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}}, recordingEntry(leg.Call.Leg, newRecording(t, "1.0")))
	segment, err := c.closeReady()
	require.NoError(t, err)
	u := newUplink(nil, book, newMetrics(), log.logger())
	for outcome, message := range map[pb.Outcome]string{
		pb.Outcome_OUTCOME_ANCHORED: "call anchored", pb.Outcome_OUTCOME_ALREADY_ANCHORED: "call was anchored already", pb.Outcome_OUTCOME_CONFLICT: "call refused",
	} {
		u.report(segment, &pb.SegmentReceipt{
			Records: []*pb.RecordReceipt{{Outcome: pb.Outcome_OUTCOME_ANCHORED}, {Outcome: outcome}},
			Commit:  &pb.Commit{TransactionId: "tx", Block: 7, Endorsers: []string{"AtlasMSP"}},
		}, time.Now())
		lines := log.lines(message)
		require.Len(t, lines, 1)
		require.Equal(t, "tx", lines[0]["transaction"])
		require.Len(t, lines[0]["recordings"], 1)
	}
	require.NotContains(t, log.String(), "1001", "nothing personal is logged")
}

// TestAnEpochBeginsWithItsOpening checks that nothing is closed before the ledger
// has said how the epoch before ended, and that everything is after.
func TestAnEpochBeginsWithItsOpening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	book, log, edge := newEpoch(t, path), &logbook{}, &gatewayEdge{}
	told := make(chan *ledger.Opening)
	opening := func(ctx context.Context) (*ledger.Opening, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case found := <-told:
			return found, nil
		}
	}
	c := newCloser(book, newSigner(t), newUplink(edge, book, newMetrics(), log.logger()), opening, log.logger())
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- c.run(ctx) }()
	leg := newLeg(t, book, "1.0", 0, unanswered)
	c.add(closing{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}})
	time.Sleep(20 * time.Millisecond)
	require.Empty(t, edge.order())
	told <- &ledger.Opening{At: ledger.TimeOf(time.Unix(1795246500, 0)), PrevEpoch: 5, PrevRoot: strings.Repeat("5a", 32), PrevSeq: 9, Why: ledger.OpeningLost}
	require.Eventually(t, func() bool { return len(edge.order()) == 2 }, patience, time.Millisecond)
	require.ElementsMatch(t, []int64{1, 2}, edge.order())
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Len(t, log.lines("a new epoch begins"), 1)

	// The next run has it already, and one that is stopped while it waits ends.
	again := newCloser(book, newSigner(t), nil, nil, log.logger())
	require.NoError(t, again.begin(t.Context()))
	other := newCloser(newEpoch(t, filepath.Join(t.TempDir(), "journal.db")), newSigner(t), nil, opening, log.logger())
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, other.run(stopped), context.Canceled)
}
