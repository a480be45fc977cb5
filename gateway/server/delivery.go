package server

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

// Deliver implements callseal.v1.AnchorService.
func (s *anchorService) Deliver(stream grpc.BidiStreamingServer[pb.DeliverRequest, pb.DeliverResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	d := &delivery{
		service: s, window: make(chan struct{}, s.window), due: make(chan struct{}, 1), following: map[*delivered]*anchor.Following{},
	}
	defer d.end()
	received := make(chan error, 1)
	go func() { received <- d.receive(ctx, stream.Recv) }()
	err := d.send(ctx, stream.Send, received)
	if stream.Context().Err() != nil {
		return nil // the client is gone, and comes back
	}
	return err
}

// delivery is one stream: segments come in, their states go out in the order in
// which they are reached. The pipeline never waits for a client that does not read:
// what is to be told gathers here, and because no more than a window's segments may
// be without an answer, such a client is not read from either.
type delivery struct {
	service *anchorService
	// window holds a place for every segment without an answer.
	window chan struct{}
	// due says that there is something to send.
	due chan struct{}

	mu        sync.Mutex
	waiting   []told
	following map[*delivered]*anchor.Following
	closed    bool
}

// delivered is a segment of the stream.
type delivered struct{ answered, ended bool }

// told is a state that the client is to be told of.
type told struct {
	of     *delivered
	update anchor.Update
}

// receive takes segments until the client sends no more.
func (d *delivery) receive(ctx context.Context, next func() (*pb.DeliverRequest, error)) error {
	for {
		select {
		case d.window <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		request, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.take(ctx, request.GetSegment()); err != nil {
			return err
		}
	}
}

// take hands a segment on; one that cannot be is rejected, and the stream goes on.
func (d *delivery) take(ctx context.Context, segment *pb.SignedSegment) error {
	one := &delivered{}
	if !d.begin(one) {
		return context.Canceled
	}
	submission, err := d.service.submission(ctx, segment)
	if err != nil {
		what := *fault.Of(err)
		d.tell(one, anchor.Update{Name: nameOf(segment), State: anchor.Rejected, Problem: &what})
		return nil
	}
	following, err := d.service.pipeline.Accept(ctx, submission, func(update anchor.Update) { d.tell(one, update) })
	if err != nil {
		return err
	}
	d.mu.Lock()
	_, wanted := d.following[one]
	if wanted = wanted && !d.closed; wanted {
		d.following[one] = following
	}
	d.mu.Unlock()
	if !wanted {
		following.End()
	}
	return nil
}

// begin notes that a segment has no end yet, unless the stream has ended.
func (d *delivery) begin(one *delivered) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.following[one] = nil
	return true
}

// nameOf is a segment's name where it can be read, for a client to know which one
// was rejected.
func nameOf(segment *pb.SignedSegment) journal.Name {
	var header ledger.Segment
	if err := ledger.DecodeStrict(segment.GetSegmentJson(), &header); err != nil {
		return journal.Name{}
	}
	return journal.Name{PBX: header.PBX, Epoch: header.Epoch, FirstSeq: header.FirstSeq}
}

// tell keeps a state to be sent. It returns at once.
func (d *delivery) tell(one *delivered, update anchor.Update) {
	d.mu.Lock()
	if !d.closed {
		d.waiting = append(d.waiting, told{one, update})
	}
	if update.State.Final() {
		one.ended = true
		delete(d.following, one)
	}
	d.mu.Unlock()
	select {
	case d.due <- struct{}{}:
	default:
	}
}

// next are the states to send, and whether the end of the last segment is among
// them.
func (d *delivery) next() (states []told, all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	states, d.waiting = d.waiting, nil
	return states, len(d.following) == 0
}

// send sends states until the client sends no more segments and has been told the
// end of each, or the gateway stops.
func (d *delivery) send(ctx context.Context, send func(*pb.DeliverResponse) error, received <-chan error) error {
	complete, stopping := false, false
	for {
		states, all := d.next()
		for _, state := range states {
			if err := send(deliverMessage(&state.update)); err != nil {
				return err
			}
			if !state.of.answered {
				state.of.answered = true
				<-d.window
			}
		}
		if len(states) > 0 {
			continue
		}
		if stopping {
			return fault.New(fault.Unavailable, "the gateway is being stopped: open the stream again and send what has not ended")
		}
		if complete && all {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-received:
			if err != nil {
				return err
			}
			complete, received = true, nil
		case <-d.service.stopping:
			stopping = true
		case <-d.due:
		}
	}
}

// end lets the segments go on without the client.
func (d *delivery) end() {
	d.mu.Lock()
	d.closed = true
	d.waiting = nil
	left := d.following
	d.following = map[*delivered]*anchor.Following{}
	d.mu.Unlock()
	for _, following := range left {
		if following != nil {
			following.End()
		}
	}
}

var deliveryStates = map[anchor.State]pb.DeliveryState{
	anchor.Rejected:  pb.DeliveryState_DELIVERY_STATE_REJECTED,
	anchor.Accepted:  pb.DeliveryState_DELIVERY_STATE_ACCEPTED,
	anchor.Committed: pb.DeliveryState_DELIVERY_STATE_COMMITTED,
	anchor.Settled:   pb.DeliveryState_DELIVERY_STATE_SETTLED,
	anchor.Refused:   pb.DeliveryState_DELIVERY_STATE_REFUSED,
}

func deliverMessage(update *anchor.Update) *pb.DeliverResponse {
	message := &pb.DeliverResponse{
		Pbx: update.Name.PBX, Epoch: update.Name.Epoch, FirstSeq: update.Name.FirstSeq, State: deliveryStates[update.State],
	}
	if update.Receipt != nil {
		message.Receipt = receiptMessage(update.Receipt, update.Records)
	}
	if update.State == anchor.Rejected || update.State == anchor.Refused {
		message.Problem = problemMessage(update.Problem)
	}
	return message
}

// problemMessage is a fault as a status would tell it.
func problemMessage(what *fault.Error) *pb.Problem {
	message := &pb.Problem{
		Code: int32(codeOf(what.Kind)), Reason: string(what.Kind), Message: what.Message, Stage: string(what.Stage), //nolint:gosec // a small number
		TransactionId: what.TransactionID, Retryable: what.Retryable() || what.Mendable,
	}
	if what.RetryAfter > 0 {
		message.RetryAfter = durationpb.New(what.RetryAfter)
	}
	return message
}
