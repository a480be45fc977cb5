package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// answerDeadline bounds the wait for the first answer to a segment: then the
	// stream is given up for dead.
	answerDeadline = 30 * time.Second
	// deniedWait is how long to wait when the gateway refuses the adapter itself:
	// someone has to enrol it or renew its certificate.
	deniedWait = 15 * time.Second
)

// uplink sends closed segments to the gateway, on one stream, until they are on the
// ledger. A segment stays in the adapter's journal until the gateway says that it
// is settled, and is sent again on another stream until then; the gateway answers
// with what it knows of it.
type uplink struct {
	anchor  pb.AnchorServiceClient
	journal *journal.Journal
	log     *slog.Logger
	// denied is how long to wait when the gateway refuses the adapter itself;
	// deniedWait when 0.
	denied time.Duration
	// reached is told when the gateway answers, or that it does not.
	reached func(error)
	metrics *metrics

	mu sync.Mutex
	// under are the segments that have no end yet, in the order in which they were
	// closed.
	under []*passage
	// pause is until when nothing is sent: the gateway said so.
	pause   time.Time
	session int
	wake    chan struct{}
}

// passage is a segment's way. It is guarded by the uplink's lock.
type passage struct {
	segment *journal.Segment
	// session is the stream it was sent on last, 0 when it is to be sent.
	session int
	// sent is when that was, and answered says that the gateway has answered since.
	sent     time.Time
	answered bool
	// notBefore is when it may be sent again.
	notBefore time.Time
	wait      *backoff.ExponentialBackOff
	reported  bool
	// taken is closed when the gateway has it, or it has ended; ended when nothing
	// is left to do.
	taken, ended       chan struct{}
	takenOnce, endOnce sync.Once
}

func newUplink(anchor pb.AnchorServiceClient, book *journal.Journal, metrics *metrics, log *slog.Logger) *uplink {
	return &uplink{anchor: anchor, journal: book, log: log, reached: func(error) {}, metrics: metrics, wake: make(chan struct{}, 1)}
}

// send puts a segment in line, behind those that were put there before.
func (u *uplink) send(segment *journal.Segment) *passage {
	one := &passage{segment: segment, taken: make(chan struct{}), ended: make(chan struct{}), wait: sendAgain()}
	u.mu.Lock()
	u.under = append(u.under, one)
	u.mu.Unlock()
	u.stir()
	return one
}

func sendAgain() *backoff.ExponentialBackOff {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 5*time.Second
	return wait
}

func (u *uplink) stir() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// run sends until the context ends.
func (u *uplink) run(ctx context.Context) {
	wait := sendAgain()
	for ctx.Err() == nil {
		if u.idle() {
			select {
			case <-ctx.Done():
			case <-u.wake:
			}
			continue
		}
		err := u.stream(ctx, func() {
			wait.Reset()
			u.reached(nil)
		})
		if ctx.Err() != nil {
			return
		}
		u.reached(err)
		pause := wait.NextBackOff()
		if code := status.Code(err); code == codes.PermissionDenied || code == codes.Unauthenticated {
			u.log.Error("the gateway refuses this adapter: the segment waits in the journal", "error", err)
			pause = cmp.Or(u.denied, deniedWait)
		} else if first := u.first(); first != nil {
			u.log.Warn("the segment is not on the ledger yet and is sent again", "epoch", first.Epoch, "first_seq", first.FirstSeq, "records", first.Count, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (u *uplink) idle() bool { return u.underway() == 0 }

// underway is how many segments have no end yet.
func (u *uplink) underway() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.under)
}

// first is the first segment that has no end yet.
func (u *uplink) first() *ledger.Segment {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.under) == 0 {
		return nil
	}
	return &u.under[0].segment.Header
}

// stream opens a stream and uses it until it breaks; heard is called with every
// answer.
func (u *uplink) stream(ctx context.Context, heard func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := u.anchor.Deliver(ctx)
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.session++
	session := u.session
	u.mu.Unlock()
	broken := make(chan error, 1)
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for {
			response, err := stream.Recv()
			if err != nil {
				broken <- err
				return
			}
			heard()
			u.hear(response)
		}
	})
	err = u.sendAll(ctx, stream, session, broken)
	cancel()
	receiving.Wait()
	return err
}

// sendAll sends what is to be sent until the stream breaks.
func (u *uplink) sendAll(ctx context.Context, stream grpc.BidiStreamingClient[pb.DeliverRequest, pb.DeliverResponse], session int, broken <-chan error) error {
	for {
		next, wait := u.next(session)
		if next != nil {
			message, err := messageOf(next.segment)
			if err != nil {
				u.refuse(next, err.Error())
				continue
			}
			if err := stream.Send(&pb.DeliverRequest{Segment: message}); err != nil {
				// The reason is with the receiver.
				return <-broken
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case err := <-broken:
			timer.Stop()
			return err
		case <-u.wake:
			timer.Stop()
		case <-timer.C:
			if u.unheard(session) {
				return errors.New("the gateway does not answer")
			}
		}
	}
}

// next is the next segment to send on a stream, or how long there is none.
func (u *uplink) next(session int) (*passage, time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if wait := u.pause.Sub(now); wait > 0 {
		return nil, wait
	}
	longest := time.Second
	for _, one := range u.under {
		if one.session == session {
			continue
		}
		if wait := one.notBefore.Sub(now); wait > 0 {
			longest = min(longest, wait)
			continue
		}
		one.session, one.sent, one.answered = session, now, false
		return one, 0
	}
	return nil, longest
}

// unheard says whether the gateway has left a segment without any answer for long.
func (u *uplink) unheard(session int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, one := range u.under {
		if one.session == session && !one.answered && time.Since(one.sent) > answerDeadline {
			return true
		}
	}
	return false
}

// hear takes what the gateway says of a segment.
func (u *uplink) hear(response *pb.DeliverResponse) {
	one := u.find(response)
	if one == nil {
		u.log.Debug("the gateway tells of a segment that is not under way", "epoch", response.GetEpoch(), "first_seq", response.GetFirstSeq(), "state", response.GetState().String())
		return
	}
	switch response.GetState() {
	case pb.DeliveryState_DELIVERY_STATE_ACCEPTED:
		one.take()
	case pb.DeliveryState_DELIVERY_STATE_COMMITTED:
		u.committed(one, response.GetReceipt())
	case pb.DeliveryState_DELIVERY_STATE_SETTLED:
		u.committed(one, response.GetReceipt())
		if err := u.journal.Committed(one.segment.Header.FirstSeq); err != nil {
			// It stays in the outbox; sending it again is answered "already".
			u.log.Error("the journal could not note the commit", "error", err)
		}
		u.end(one)
	case pb.DeliveryState_DELIVERY_STATE_REJECTED, pb.DeliveryState_DELIVERY_STATE_REFUSED:
		u.pushedBack(one, response)
	default:
		u.log.Warn("the gateway speaks of a state that this adapter does not know", "state", response.GetState().String())
	}
}

func (u *uplink) find(response *pb.DeliverResponse) *passage {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, one := range u.under {
		if header := &one.segment.Header; header.Epoch == response.GetEpoch() && header.FirstSeq == response.GetFirstSeq() {
			one.answered = true
			return one
		}
	}
	return nil
}

// pushedBack sends a segment again later, or sets it aside where that cannot help.
func (u *uplink) pushedBack(one *passage, response *pb.DeliverResponse) {
	problem := response.GetProblem()
	code := codes.Code(problem.GetCode()) //nolint:gosec // a gRPC code
	log := u.log.With("epoch", one.segment.Header.Epoch, "first_seq", one.segment.Header.FirstSeq, "records", one.segment.Header.Count, "error", problem.GetMessage())
	if code == codes.InvalidArgument {
		u.refuse(one, problem.GetMessage())
		return
	}
	// A gateway that has room again in a while says so.
	wait := max(one.wait.NextBackOff(), problem.GetRetryAfter().AsDuration())
	if code == codes.PermissionDenied || code == codes.Unauthenticated {
		log.Error("the gateway refuses this adapter: the segment waits in the journal")
		wait = cmp.Or(u.denied, max(deniedWait, problem.GetRetryAfter().AsDuration()))
	} else {
		log.Warn("the segment is not on the ledger yet and is sent again", "wait", wait)
	}
	u.mu.Lock()
	one.session, one.notBefore = 0, time.Now().Add(wait)
	if response.GetState() == pb.DeliveryState_DELIVERY_STATE_REJECTED {
		u.pause = one.notBefore // nothing is to overtake it
	}
	u.mu.Unlock()
	u.stir()
}

// refuse sets a segment aside in the journal.
func (u *uplink) refuse(one *passage, reason string) {
	u.log.Error("the gateway refused the segment for good: it is set aside in the journal", "epoch", one.segment.Header.Epoch, "first_seq", one.segment.Header.FirstSeq, "error", reason)
	if err := u.journal.Refuse(one.segment.Header.FirstSeq, reason); err != nil {
		u.log.Error("the refused segment could not be set aside", "error", err)
	}
	u.metrics.refused.Inc()
	u.end(one)
}

// committed reports a segment that is on the ledger, once.
func (u *uplink) committed(one *passage, receipt *pb.SegmentReceipt) {
	one.take()
	if one.reported {
		return
	}
	if len(receipt.GetRecords()) != len(one.segment.Records) {
		u.log.Error("the gateway's receipt does not match the segment", "epoch", one.segment.Header.Epoch, "first_seq", one.segment.Header.FirstSeq)
		return
	}
	one.reported = true
	committed := time.Now()
	if receipt.GetCommittedAt() != nil {
		committed = receipt.GetCommittedAt().AsTime()
	}
	u.report(one.segment, receipt, committed)
}

func (p *passage) take() { p.takenOnce.Do(func() { close(p.taken) }) }

// end takes a segment out of those under way.
func (u *uplink) end(one *passage) {
	u.mu.Lock()
	for i, each := range u.under {
		if each == one {
			u.under = append(u.under[:i:i], u.under[i+1:]...)
			break
		}
	}
	u.mu.Unlock()
	one.take()
	one.endOnce.Do(func() { close(one.ended) })
}

// finish sends what waits, after run has ended, and answers the first segment that
// has no end when the context ends; nil when all have.
func (u *uplink) finish(ctx context.Context, waiting []*journal.Segment) *ledger.Segment {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u.mu.Lock()
	under := map[int64]*passage{}
	for _, one := range u.under {
		under[one.segment.Header.FirstSeq] = one
	}
	u.mu.Unlock()
	passages := make([]*passage, len(waiting))
	for i, segment := range waiting {
		if passages[i] = under[segment.Header.FirstSeq]; passages[i] == nil {
			passages[i] = u.send(segment)
		}
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { u.run(ctx) })
	defer cancel()
	for _, one := range passages {
		select {
		case <-one.ended:
		case <-ctx.Done():
			return &one.segment.Header
		}
	}
	return nil
}

// messageOf is a segment as it travels.
func messageOf(segment *journal.Segment) (*pb.SignedSegment, error) {
	header, err := ledger.Canonical(&segment.Header)
	if err != nil {
		return nil, err
	}
	message := &pb.SignedSegment{SegmentJson: header, Signature: segment.Signature}
	for i := range segment.Records {
		message.RecordsJson = append(message.RecordsJson, segment.Records[i])
		message.DetailsJson = append(message.DetailsJson, segment.DetailsOf(i))
	}
	return message, nil
}

// report logs one line a call: what an operator greps for.
func (u *uplink) report(segment *journal.Segment, receipt *pb.SegmentReceipt, committed time.Time) {
	calls := map[string]*line{}
	var order []string
	for i, canonical := range segment.Records {
		var record ledger.Record
		if err := ledger.DecodeStrict(canonical, &record); err != nil {
			u.log.Error("a record of the journal cannot be read", "error", err)
			continue
		}
		leg := record.Leg()
		if leg == (ledger.LegID{}) {
			u.log.Debug("the adapter's word about itself is on the ledger", "seq", record.Seq, "outcome", receipt.GetRecords()[i].GetOutcome())
			continue
		}
		key := fmt.Sprint(leg)
		if calls[key] == nil {
			calls[key] = &line{leg: leg, outcome: receipt.GetRecords()[i].GetOutcome()}
			order = append(order, key)
		}
		calls[key].add(&record, receipt.GetRecords()[i].GetOutcome())
	}
	for _, key := range order {
		calls[key].log(u.log, receipt.GetCommit(), committed)
		calls[key].count(u.metrics, committed)
	}
}
