package anchor_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/networktest"
)

// sender is an adapter that takes the gateway at its word: it never sends again what
// was accepted.
type sender struct {
	t   *testing.T
	pbx *pbx

	mu    sync.Mutex
	all   []*pb.SignedSegment
	first map[int64]int // which has a first number
	taken map[int]bool  // those that were accepted
}

// segment is the one at a place, made if there is none, nil if it was accepted.
func (s *sender) segment(at int) *pb.SignedSegment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at == len(s.all) {
		made := s.pbx.Segment(s.t, gatewaytest.Calls(s.t, 2))
		var header ledger.Segment
		require.NoError(s.t, ledger.DecodeStrict(made.GetSegmentJson(), &header))
		s.first[header.FirstSeq] = at
		s.all = append(s.all, made)
	}
	if s.taken[at] {
		return nil
	}
	return s.all[at]
}

func (s *sender) hear(response *pb.DeliverResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch response.GetState() {
	case accepted, committed, settled:
		s.taken[s.first[response.GetFirstSeq()]] = true
		return nil
	case pb.DeliveryState_DELIVERY_STATE_REJECTED:
		if response.GetProblem().GetRetryable() {
			return nil
		}
	default:
	}
	return errors.New(response.String())
}

// accepted are the segments that were, in order, and the others.
func (s *sender) accepted() (taken, others []*pb.SignedSegment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, segment := range s.all {
		if s.taken[at] {
			taken = append(taken, segment)
		} else {
			others = append(others, segment)
		}
	}
	return taken, others
}

// run sends on one stream until that ends, and answers with what.
func (s *sender) run(w *world) error {
	ctx, cancel := context.WithCancel(within(s.t, patience))
	defer cancel()
	stream := w.stream(s.t, ctx, s.pbx)
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		for at := 0; ctx.Err() == nil; at++ {
			segment := s.segment(at)
			if segment == nil {
				continue
			}
			if stream.Send(&pb.DeliverRequest{Segment: segment}) != nil {
				return
			}
			time.Sleep(3 * time.Millisecond)
		}
	})
	for {
		response, err := stream.Recv()
		if err == nil {
			err = s.hear(response)
		}
		if err != nil {
			cancel()
			return err
		}
	}
}

// load is senders under way.
type load struct {
	senders []*sender
	ended   chan error
	unary   chan error
}

// begin has all send, and one more call wait for the end of a segment, and returns
// once each was told of some that were accepted.
func (w *world) begin(t *testing.T, senders []*sender, caller *pbx) *load {
	t.Helper()
	l := &load{senders: senders, ended: make(chan error, len(senders)), unary: make(chan error, 1)}
	before := make([]int, len(senders))
	for i, one := range senders {
		taken, _ := one.accepted()
		before[i] = len(taken)
		go func() { l.ended <- one.run(w) }()
	}
	connection, err := connect.Dial(caller.access)
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	segment := caller.Segment(t, gatewaytest.Calls(t, 1))
	go func() {
		_, err := pb.NewAnchorServiceClient(connection).AnchorSegment(within(t, patience), &pb.AnchorSegmentRequest{Segment: segment}, grpc.WaitForReady(true))
		l.unary <- err
	}()
	require.Eventually(t, func() bool {
		for i, one := range senders {
			if taken, _ := one.accepted(); len(taken) < before[i]+15 {
				return len(l.ended) > 0
			}
		}
		return true
	}, patience, time.Millisecond)
	require.Empty(t, l.ended)
	return l
}

// over checks what everybody was told when the gateway was stopped in order.
func (l *load) over(t *testing.T) {
	t.Helper()
	for range l.senders {
		err := <-l.ended
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		require.ErrorContains(t, err, "the gateway is being stopped")
	}
}

// idle is a stream on which one segment came, which is on the ledger, and then nothing.
func (w *world) idle(t *testing.T, of *pbx) grpc.ClientStreamingClient[pb.AnchorSegmentsRequest, pb.AnchorSegmentsResponse] {
	t.Helper()
	connection, err := connect.Dial(of.access)
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	stream, err := pb.NewAnchorServiceClient(connection).AnchorSegments(within(t, patience))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&pb.AnchorSegmentsRequest{Segment: of.Segment(t, gatewaytest.Calls(t, 1))}))
	require.Eventually(t, func() bool {
		_, err := pb.NewLedgerServiceClient(connection).GetChain(within(t, patience), &pb.GetChainRequest{Msp: of.MSP, Pbx: of.PBX})
		return err == nil
	}, patience, 20*time.Millisecond)
	return stream
}

// testStopped tells the gateway's own program to stop while it is under load: while
// all is well, while no partner endorses, and with a second signal. What was accepted
// is never sent again, and lands.
func testStopped(t *testing.T, w *world) {
	w.Stop("atlas-gateway")
	program := filepath.Join(networktest.Build(t, "callseal-gateway"), "callseal-gateway")
	run := func(flags ...string) *gatewaytest.Process {
		return gatewaytest.Run(t, program, w.Layout().Operator("Atlas").GatewayConfig(), flags...)
	}
	senders := make([]*sender, 4)
	for i := range senders {
		senders[i] = &sender{t: t, pbx: w.enrolled(t), first: map[int64]int{}, taken: map[int]bool{}}
	}
	caller := w.enrolled(t)

	gateway := run("--server.stop_timeout", "5m")
	under := w.begin(t, senders, caller)
	idle := w.idle(t, w.enrolled(t))
	gateway.Signal(unix.SIGTERM)
	require.Equal(t, 0, gateway.Exit(patience))
	under.over(t)
	require.NoError(t, <-under.unary, "a call that was under way came to its end")
	response, err := idle.CloseAndRecv()
	require.NoError(t, err, "nobody waits for a stream on which nothing comes")
	require.Len(t, response.GetReceipts(), 1)

	w.Kill("borealis-peer")
	w.Kill("corvus-peer")
	gateway = run("--server.stop_timeout", "1s", "--anchor.drain_for", "1s")
	under = w.begin(t, senders, caller)
	gateway.Signal(unix.SIGTERM)
	require.Equal(t, 0, gateway.Exit(patience), "nothing can be committed, and it ends in order all the same")
	under.over(t)
	require.Equal(t, codes.Unavailable, status.Code(<-under.unary))

	gateway = run("--server.stop_timeout", "5m")
	under = w.begin(t, senders, caller)
	gateway.Signal(unix.SIGTERM)
	under.over(t)
	select {
	case <-gateway.Ended():
		t.Fatal("the gateway did not wait for the call that is under way")
	case err := <-under.unary:
		t.Fatalf("the call that is under way ended: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	gateway.Signal(unix.SIGTERM)
	require.Equal(t, -1, gateway.Exit(patience), "the second signal ended it")
	require.Equal(t, codes.Unavailable, status.Code(<-under.unary))

	w.StartNode("borealis-peer")
	w.StartNode("corvus-peer")
	run()
	outbox := pb.NewOutboxServiceClient(w.dial(t, "admin"))
	for _, one := range senders {
		for _, state := range []pb.EntryState{pb.EntryState_ENTRY_STATE_QUEUED, pb.EntryState_ENTRY_STATE_COMMITTED} {
			require.Eventually(t, func() bool {
				left, err := outbox.ListEntries(within(t, patience), &pb.ListEntriesRequest{Pbx: one.pbx.PBX, State: state}, grpc.WaitForReady(true))
				return err == nil && len(left.GetEntries()) == 0
			}, patience, 20*time.Millisecond)
		}
		taken, others := one.accepted()
		require.GreaterOrEqual(t, len(taken), 45)
		w.requireInOrder(t, taken...)
		w.requireDetails(t, taken[len(taken)-1])
		// What nobody accepted is sent again, and follows.
		for _, segment := range others {
			states, _ := w.sent(t, one.pbx, segment)
			require.Equal(t, settled, states[len(states)-1])
		}
		w.requireInOrder(t, one.all...)
	}
}
