package soak

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// reopenAfter is how long a client waits before it opens another stream.
	reopenAfter = 100 * time.Millisecond
	// retryDefault is how long it waits where the gateway does not say.
	retryDefault = 200 * time.Millisecond
	// callDeadline bounds one unary call, as the adapter's own does.
	callDeadline = 30 * time.Second
)

// Client is one adapter: it closes what is due into segments, sends them, and
// resumes after every disconnect with what it has not heard the end of.
type Client struct {
	// PBX is the adapter's.
	PBX    string
	pbx    *pbx
	access connect.Config
	how    Manner

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever there may be something to do
	due     []time.Time   // records that are not yet in a segment
	open    []*Story      // segments not ended, in order
	known   map[int64]*Story
	all     []*Story
	heard   int64
	pause   time.Time // until when the gateway asked not to send
	session int64
	tally   Tally
}

// Manner is how clients behave.
type Manner struct {
	// Kind is what they send.
	Kind Kind
	// Window is how many segments travel before records gather in the next one; 0
	// for every record in a segment of its own, whatever travels.
	Window int
	// Most bounds the records that gather in a segment; 0 for as many as it takes.
	Most int
	// Unary sends by AnchorSegment instead of Deliver. Window bounds it too.
	Unary bool
	// Dies is how probable it is that the client dies after a segment was sent for the
	// first time, within 30 ms, without reading any more; it begins again with what it has not
	// heard the end of.
	Dies float64
}

// Tally counts what clients went through.
type Tally struct {
	// Streams is how many were opened, Deaths how many the client ended without
	// reading.
	Streams, Deaths int64
	// Rejected counts, by reason, what the gateway did not take for now; Untyped
	// those without the reason or the time to wait that push-back must bear.
	Rejected map[string]int64
	Untyped  []string
}

func newClient(p *pbx, access connect.Config, how Manner) *Client {
	return &Client{
		PBX: p.adapter.PBX, pbx: p, access: access, how: how, changed: make(chan struct{}), known: map[int64]*Story{},
		tally: Tally{Rejected: map[string]int64{}},
	}
}

// Offer has a record that was due at a moment sent.
func (c *Client) Offer(born time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = append(c.due, born)
	c.wake()
}

// wake lets whoever waits look again; the lock is held.
func (c *Client) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Backlog is how many records are due and in no segment, and how many segments have
// not ended.
func (c *Client) Backlog() (due, open int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.due), len(c.open)
}

// drop forgets what is due and was never sent.
func (c *Client) drop() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.due)
	c.due = nil
	return n
}

// run sends and listens until the context ends.
func (c *Client) run(ctx context.Context) {
	var connection *grpc.ClientConn
	defer func() {
		if connection != nil {
			_ = connection.Close()
		}
	}()
	for ctx.Err() == nil {
		if connection == nil {
			var err error
			if connection, err = connect.Dial(c.access); err != nil {
				c.pbx.tb.Errorf("%s: %v", c.PBX, err)
				return
			}
		}
		if c.how.Unary {
			c.call(ctx, connection)
			return
		}
		if c.deliver(ctx, connection) {
			// A process that ends takes its connection with it.
			_ = connection.Close()
			connection = nil
			continue
		}
		sleep(ctx, reopenAfter)
	}
}

// deliver uses one stream until it breaks, and says whether the client died.
func (c *Client) deliver(ctx context.Context, connection grpc.ClientConnInterface) (died bool) {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	stream, err := pb.NewAnchorServiceClient(connection).Deliver(ctx, grpc.WaitForReady(true))
	if err != nil {
		return false
	}
	c.mu.Lock()
	c.session++
	c.tally.Streams++
	session := c.session
	c.mu.Unlock()
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		defer hangUp()
		for {
			response, err := stream.Recv()
			// What arrives after the client's death is not read.
			if err != nil || ctx.Err() != nil {
				return
			}
			c.hear(response, session)
		}
	}()
	died = c.send(ctx, stream, session)
	hangUp()
	<-listening
	return died
}

// send sends until the stream or the client ends.
func (c *Client) send(ctx context.Context, stream pb.AnchorService_DeliverClient, session int64) (died bool) {
	for {
		message, fresh := c.following(ctx, session)
		if message == nil {
			return false
		}
		if stream.Send(&pb.DeliverRequest{Segment: message}) != nil {
			return false
		}
		// Not while it repeats what it sent before: who dies at that hears nothing ever.
		if fresh && rand.Float64() < c.how.Dies {
			time.Sleep(rand.N(30 * time.Millisecond))
			c.mu.Lock()
			c.tally.Deaths++
			c.mu.Unlock()
			return true
		}
	}
}

// following is the next segment's message, nil when the session is over, and
// whether it is sent for the first time.
func (c *Client) following(ctx context.Context, session int64) (message *pb.SignedSegment, fresh bool) {
	story, message := c.next(ctx, session)
	if message == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return message, story.Sends == 1
}

// next waits for the next segment to send in a session; nil when it is over.
func (c *Client) next(ctx context.Context, session int64) (*Story, *pb.SignedSegment) {
	for {
		c.mu.Lock()
		story, wait := c.pick(session), time.Until(c.pause)
		changed := c.changed
		if story != nil && wait <= 0 {
			story.session = session
			story.Sends++
			story.LastSent = time.Now()
			if story.FirstSent.IsZero() {
				story.FirstSent = story.LastSent
			}
			message := story.message
			c.mu.Unlock()
			return story, message
		}
		c.mu.Unlock()
		var resume <-chan time.Time
		if story != nil {
			resume = time.After(wait)
			changed = nil
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-changed:
		case <-resume:
		}
	}
}

// pick is the first open segment that was not sent in this session or was
// rejected, else a new one of what is due; the lock is held.
func (c *Client) pick(session int64) *Story {
	for len(c.open) > 0 && c.open[0].ended() {
		c.open = c.open[1:]
	}
	travelling := 0
	for _, story := range c.open {
		if story.ended() {
			continue
		}
		if story.session != session {
			return story
		}
		travelling++
	}
	if len(c.due) == 0 || c.how.Window > 0 && travelling >= c.how.Window {
		return nil
	}
	size := 1
	if c.how.Window > 0 {
		most := ledger.MaxRecords - 1 // the first segment has an opening too
		if c.how.Most > 0 {
			most = min(most, c.how.Most)
		}
		size = min(len(c.due), most)
	}
	story := c.pbx.close(c.due[:size])
	c.due = c.due[size:]
	c.open = append(c.open, story)
	c.all = append(c.all, story)
	c.known[story.FirstSeq] = story
	return story
}

// hear notes what a stream said.
func (c *Client) hear(response *pb.DeliverResponse, session int64) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wake()
	story := c.known[response.GetFirstSeq()]
	if story == nil || response.GetPbx() != c.PBX || response.GetEpoch() != story.Epoch {
		c.tally.Untyped = append(c.tally.Untyped, "an answer for a segment that "+c.PBX+" never sent: "+response.String())
		return
	}
	switch response.GetState() {
	case pb.DeliveryState_DELIVERY_STATE_REJECTED:
		if story.session == session {
			story.session = 0
		}
		c.rejected(story, response.GetProblem(), now)
	case pb.DeliveryState_DELIVERY_STATE_ACCEPTED:
		c.accepted(story, now)
	case pb.DeliveryState_DELIVERY_STATE_COMMITTED:
		c.committed(story, response.GetReceipt(), now)
	case pb.DeliveryState_DELIVERY_STATE_SETTLED:
		c.settled(story, response.GetReceipt(), now)
	case pb.DeliveryState_DELIVERY_STATE_REFUSED:
		story.Refused = response.GetProblem()
		story.breaks("it was refused: %v", response.GetProblem())
	default:
		story.breaks("its state is %s", response.GetState())
	}
}

func (c *Client) accepted(story *Story, now time.Time) {
	if !story.Accepted.IsZero() {
		return
	}
	c.heard++
	story.Accepted, story.Taken, story.Heard = now, story.LastSent, c.heard
}

func (c *Client) committed(story *Story, receipt *pb.SegmentReceipt, now time.Time) {
	c.accepted(story, now)
	if receipt == nil {
		story.breaks("COMMITTED came without a receipt")
	}
	story.commit(receipt)
	if story.Committed.IsZero() {
		story.Committed = now
	}
}

func (c *Client) settled(story *Story, receipt *pb.SegmentReceipt, now time.Time) {
	c.committed(story, receipt, now)
	if story.Settled.IsZero() {
		story.Settled = now
		story.message = nil
	}
}

// rejected notes push-back and until when not to send; it must say why and how
// long, and must not come for what was accepted.
func (c *Client) rejected(story *Story, problem *pb.Problem, now time.Time) {
	story.Rejections++
	c.tally.Rejected[problem.GetReason()]++
	wait := problem.GetRetryAfter().AsDuration()
	if codes.Code(problem.GetCode()) == codes.ResourceExhausted && (wait <= 0 || !problem.GetRetryable() || problem.GetMessage() == "") { //nolint:gosec // a gRPC code
		c.tally.Untyped = append(c.tally.Untyped, problem.String())
	}
	if !problem.GetRetryable() {
		story.Refused = problem
		story.breaks("it was rejected for good: %v", problem)
		return
	}
	if !story.Accepted.IsZero() {
		story.breaks("it was accepted and then rejected: %v", problem)
	}
	if wait <= 0 {
		wait = retryDefault
	}
	if until := now.Add(wait); until.After(c.pause) {
		c.pause = until
	}
}

// call sends by unary calls, as many at once as the window allows.
func (c *Client) call(ctx context.Context, connection grpc.ClientConnInterface) {
	c.mu.Lock()
	c.session++
	session := c.session
	c.mu.Unlock()
	anchor := pb.NewAnchorServiceClient(connection)
	var calling sync.WaitGroup
	defer calling.Wait()
	for {
		story, message := c.next(ctx, session)
		if story == nil {
			return
		}
		calling.Go(func() { c.callOne(ctx, anchor, story, message) })
	}
}

func (c *Client) callOne(ctx context.Context, anchor pb.AnchorServiceClient, story *Story, message *pb.SignedSegment) {
	bounded, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	response, err := anchor.AnchorSegment(bounded, &pb.AnchorSegmentRequest{Segment: message}, grpc.WaitForReady(true))
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wake()
	if err == nil {
		c.settled(story, response.GetReceipt(), time.Now())
		story.Heard = 0 // calls that run side by side have no order
		return
	}
	story.session = 0
	if ctx.Err() == nil {
		c.rejected(story, problemOf(err), time.Now())
	}
}

// problemOf is a call's error in the words of a stream.
func problemOf(err error) *pb.Problem {
	given := status.Convert(err)
	problem := &pb.Problem{Code: int32(given.Code()), Message: given.Message(), Reason: given.Code().String()} //nolint:gosec // a gRPC code
	// Without the gateway's own word the connection broke.
	problem.Retryable = given.Code() == codes.Unavailable || given.Code() == codes.DeadlineExceeded || given.Code() == codes.Canceled
	for _, detail := range given.Details() {
		switch one := detail.(type) {
		case *errdetails.ErrorInfo:
			problem.Reason, problem.Retryable = one.GetReason(), one.GetMetadata()["retryable"] == "true"
		case *errdetails.RetryInfo:
			problem.RetryAfter = durationpb.New(one.GetRetryDelay().AsDuration())
		}
	}
	return problem
}

// sleep waits, or less when the context ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
