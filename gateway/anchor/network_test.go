package anchor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/journal"
	"github.com/callseal/callseal/gateway/seal"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const patience = 2 * time.Minute

// TestOnARealNetwork tries a segment's way to a real ledger: first in pipelines of
// this process, then through the gateway's own program, which is killed.
func TestOnARealNetwork(t *testing.T) {
	w := &world{Network: networktest.Start(t, networktest.WithGateways())}
	w.admin = w.channel(t, "admin")
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"many PBXs at once, each in order", testOrder},
		{"bad segments among good ones", testPoison},
		{"what somebody mends", testMended},
		{"a fork", testFork},
		{"an envelope that nobody orders", testOutdated},
		{"the network is away", testAway},
		{"a client dies and sends again", testDyingClient},
		{"what an admin mends by callseal", testMendedByAnAdmin},
		{"the gateway is killed", testKilled},
		{"the gateway is told to stop", testStopped},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, w) })
	}
}

type world struct {
	*networktest.Network
	admin *fabric.Channel
	pbxs  int
}

func (w *world) atlas(t *testing.T) network.Member {
	t.Helper()
	for _, member := range w.Consortium().Members() {
		if member.Name == "Atlas" {
			return member
		}
	}
	t.Fatal("no operator Atlas")
	return network.Member{}
}

// channel is the channel as one of Atlas's identities sees it through its peer.
func (w *world) channel(t *testing.T, identity string) *fabric.Channel {
	t.Helper()
	org := w.Layout().Operator("Atlas")
	files := org.Identity(identity)
	opened, err := fabric.Open(fabric.Config{
		MSP: "AtlasMSP", Channel: w.Consortium().Channel, Chaincode: w.Consortium().Chaincode,
		Peers:       []fabric.PeerConfig{{Address: w.atlas(t).Peer.Address, CAFile: org.TLSCAFile()}},
		TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

func within(t *testing.T, bound time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	t.Cleanup(cancel)
	return ctx
}

// pbx is an adapter of a PBX that nobody has heard of, with its certificate.
type pbx struct {
	*gatewaytest.Adapter
	access connect.Config
	pem    []byte
}

// stranger is a PBX whose adapter is not enrolled.
func (w *world) stranger(t *testing.T) *pbx {
	t.Helper()
	w.pbxs++
	name := fmt.Sprintf("pbx-%d", w.pbxs)
	org := w.Layout().Operator("Atlas")
	read := func(path string) []byte {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return content
	}
	issuer, err := msp.ParseIssuer(msp.Pair{CertPEM: read(org.EnrolmentCAFile()), KeyPEM: read(org.EnrolmentCAKeyFile())})
	require.NoError(t, err)
	pair, err := issuer.Issue(msp.Request{
		CommonName: name + ".atlas", Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: name},
	})
	require.NoError(t, err)
	folder := t.TempDir()
	made := &pbx{pem: pair.CertPEM, access: connect.Config{
		Address: w.atlas(t).Gateway.Address, CAFile: org.TLSCAFile(), CertFile: filepath.Join(folder, "cert.pem"), KeyFile: filepath.Join(folder, "key.pem"),
	}}
	require.NoError(t, os.WriteFile(made.access.CertFile, pair.CertPEM, 0o600))
	require.NoError(t, os.WriteFile(made.access.KeyFile, pair.KeyPEM, 0o600))
	made.Adapter = gatewaytest.Load(t, "AtlasMSP", name, made.access.CertFile, made.access.KeyFile)
	return made
}

func (w *world) enrol(t *testing.T, one *pbx) {
	t.Helper()
	_, err := w.admin.Transact(within(t, patience), fabric.Proposal{Function: "adapters:Enrol", Args: []string{string(one.pem)}})
	require.NoError(t, err)
}

func (w *world) enrolled(t *testing.T) *pbx {
	t.Helper()
	one := w.stranger(t)
	w.enrol(t, one)
	return one
}

// rig is a pipeline in this process.
type rig struct {
	*anchor.Pipeline
	book *journal.Journal
	stop func()
}

func (w *world) rig(t *testing.T, folder string, change func(*anchor.Config)) *rig {
	t.Helper()
	config := anchor.DefaultConfig()
	if change != nil {
		change(&config)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	book, err := journal.Open(filepath.Join(folder, "journal"), journal.Config{}, log)
	require.NoError(t, err)
	keyring, err := seal.Open(filepath.Join(folder, "keyring.db"))
	require.NoError(t, err)
	made, err := anchor.New(anchor.Parts{Channel: w.channel(t, "gateway"), Journal: book, Keyring: keyring, Log: log}, config)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- made.Run(ctx) }()
	r := &rig{Pipeline: made, book: book, stop: sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, book.Close())
		require.NoError(t, keyring.Close())
	})}
	t.Cleanup(r.stop)
	return r
}

// story is what was told of one segment.
type story struct {
	mu      sync.Mutex
	updates []anchor.Update
	changed chan struct{}
}

func (s *story) tell(update anchor.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates = append(s.updates, update)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *story) states() []anchor.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	var states []anchor.State
	for _, update := range s.updates {
		states = append(states, update.State)
	}
	return states
}

// until waits for a state and answers it; another end fails the test.
func (s *story) until(t *testing.T, wanted anchor.State) anchor.Update {
	t.Helper()
	ctx := within(t, patience)
	for {
		s.mu.Lock()
		for _, update := range s.updates {
			if update.State == wanted {
				s.mu.Unlock()
				return update
			}
			if update.State.Final() {
				s.mu.Unlock()
				t.Fatalf("the segment ended in state %d and not %d: %v", update.State, wanted, update.Problem)
			}
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the segment did not reach state %d: %v", wanted, s.states())
		}
	}
}

// deliver sends a segment into the pipeline, once that runs.
func (r *rig) deliver(t *testing.T, segment *pb.SignedSegment) *story {
	t.Helper()
	return r.deliverUnless(t, segment, fault.Unavailable)
}

// deliverUnless sends a segment until it is not turned away for the given reason.
func (r *rig) deliverUnless(t *testing.T, segment *pb.SignedSegment, reason fault.Kind) *story {
	t.Helper()
	submission, err := submit(segment)
	require.NoError(t, err)
	ctx := within(t, patience)
	for {
		told := &story{changed: make(chan struct{})}
		_, err = r.Accept(ctx, submission, told.tell)
		require.NoError(t, err)
		if !told.rejected(reason) {
			return told
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *story) rejected(reason fault.Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.updates) > 0 && s.updates[0].State == anchor.Rejected && s.updates[0].Problem.Kind == reason
}

// standing is where a segment came to stand, by block and position.
type standing struct {
	block    uint64
	position int
	writes   int
}

// standings reads every block and answers where the segments of a PBX stand, in
// order of their first numbers, and how often each record's key was written.
func (w *world) standings(t *testing.T) (segments map[string]standing, records map[string]int) {
	t.Helper()
	auditor := w.channel(t, "auditor")
	height, err := auditor.Height(within(t, patience))
	require.NoError(t, err)
	segments, records = map[string]standing{}, map[string]int{}
	for number := range height {
		block, err := auditor.Block(within(t, patience), number)
		require.NoError(t, err)
		writes, err := fabric.PublicWrites(block, w.Consortium().Chaincode)
		require.NoError(t, err)
		for _, write := range writes {
			objectType, _, err := ledger.SplitKey(write.Key)
			require.NoError(t, err)
			switch objectType {
			case ledger.TypeSegment:
				segments[write.Key] = standing{write.Block, write.Position, segments[write.Key].writes + 1}
			case ledger.TypeCall:
				records[write.Key]++
			}
		}
	}
	return segments, records
}

// requireInOrder checks that segments stand once each, in the order given.
func (w *world) requireInOrder(t *testing.T, sent ...*pb.SignedSegment) {
	t.Helper()
	segments, records := w.standings(t)
	var last standing
	for _, segment := range sent {
		var header ledger.Segment
		require.NoError(t, ledger.DecodeStrict(segment.GetSegmentJson(), &header))
		here, stands := segments[header.Key()]
		require.True(t, stands, "segment %d of %s is not on the ledger", header.FirstSeq, header.PBX)
		require.Equal(t, 1, here.writes, "segment %d of %s was written more than once", header.FirstSeq, header.PBX)
		require.True(t, here.block > last.block || here.block == last.block && here.position >= last.position,
			"segment %d of %s stands at %d/%d, the one before it at %d/%d", header.FirstSeq, header.PBX, here.block, here.position, last.block, last.position)
		last = here
		for _, text := range segment.GetRecordsJson() {
			var record ledger.Record
			require.NoError(t, ledger.DecodeStrict(text, &record))
			require.Equal(t, 1, records[record.Key()], "a record of %s was not written once", header.PBX)
		}
	}
}

// requireDetails checks that the details of a segment's calls are in the
// collection.
func (w *world) requireDetails(t *testing.T, segment *pb.SignedSegment) {
	t.Helper()
	owner := w.channel(t, "gateway")
	for _, text := range segment.GetRecordsJson() {
		var record ledger.Record
		require.NoError(t, ledger.DecodeStrict(text, &record))
		leg := record.Call.Leg
		_, err := owner.Evaluate(within(t, patience), "details:GetCall", "AtlasMSP", record.PBX, leg.LinkedID, leg.UniqueID, fmt.Sprint(leg.Sequence))
		require.NoError(t, err)
	}
}

func testOrder(t *testing.T, w *world) {
	r := w.rig(t, t.TempDir(), nil)
	const pbxs, each = 5, 30
	adapters := make([]*pbx, pbxs)
	sent, told := make([][]*pb.SignedSegment, pbxs), make([][]*story, pbxs)
	for i := range adapters {
		adapters[i] = w.enrolled(t)
	}
	for n := range each { // all at once, and the first floods
		for i, adapter := range adapters {
			size := 1
			if i == 0 {
				size = 40
			}
			segment := adapter.Segment(t, gatewaytest.Calls(t, size+n%3))
			sent[i] = append(sent[i], segment)
			told[i] = append(told[i], r.deliver(t, segment))
		}
	}
	for i := range adapters {
		for _, one := range told[i] {
			receipt := one.until(t, anchor.Settled).Receipt
			require.Equal(t, ledger.OutcomeAnchored, receipt.Outcome)
			require.Len(t, receipt.Commit.Endorsers, 2)
			require.Equal(t, []anchor.State{anchor.Accepted, anchor.Committed, anchor.Settled}, one.states())
		}
		w.requireInOrder(t, sent[i]...)
		w.requireDetails(t, sent[i][each-1])
	}
	stats, err := r.book.Stats()
	require.NoError(t, err)
	require.Zero(t, stats.Depth())
}

func testPoison(t *testing.T, w *world) {
	r := w.rig(t, t.TempDir(), func(c *anchor.Config) { c.InFlight = 1 })
	first, second := w.enrolled(t), w.enrolled(t)
	var good []*pb.SignedSegment
	var others []*pb.SignedSegment
	var fine []*story
	var bad *story
	for n := range 12 {
		segment := first.Segment(t, gatewaytest.Calls(t, 1))
		if n == 5 {
			// Signed by a key that is not the certificate's.
			forger := gatewaytest.New(t, "AtlasMSP", first.PBX)
			var header ledger.Segment
			require.NoError(t, ledger.DecodeStrict(segment.GetSegmentJson(), &header))
			forged, err := header.Sign(forger.Key)
			require.NoError(t, err)
			segment.Signature = forged
			bad = r.deliver(t, segment)
		} else {
			good = append(good, segment)
			fine = append(fine, r.deliver(t, segment))
		}
		other := second.Segment(t, gatewaytest.Calls(t, 2))
		others = append(others, other)
		fine = append(fine, r.deliver(t, other))
	}
	refused := bad.until(t, anchor.Refused)
	require.Equal(t, fault.Invalid, refused.Problem.Kind)
	require.False(t, refused.Problem.Mendable)
	require.Contains(t, refused.Problem.Message, "signature")
	for _, one := range fine {
		one.until(t, anchor.Settled)
	}
	w.requireInOrder(t, good...)
	w.requireInOrder(t, others...)
	aside, err := r.book.Refused(0, 10)
	require.NoError(t, err)
	require.Len(t, aside, 1)
	require.Equal(t, first.PBX, aside[0].Name.PBX)
	require.Equal(t, fault.Invalid, aside[0].Problem.Kind)
	// A replay meets the same judgement.
	require.NoError(t, r.Replay(within(t, patience), aside[0].Number))
	require.Eventually(t, func() bool {
		again, err := r.book.Refused(0, 10)
		return err == nil && len(again) == 1 && again[0].Attempts > aside[0].Attempts
	}, patience, 20*time.Millisecond)
}

func testMended(t *testing.T, w *world) {
	r := w.rig(t, t.TempDir(), nil)
	one := w.stranger(t)
	segments := []*pb.SignedSegment{one.Segment(t, gatewaytest.Calls(t, 1)), one.Segment(t, gatewaytest.Calls(t, 1))}
	for _, segment := range segments {
		refused := r.deliver(t, segment).until(t, anchor.Refused)
		require.Equal(t, fault.Denied, refused.Problem.Kind)
		require.True(t, refused.Problem.Mendable)
		require.Positive(t, refused.Problem.RetryAfter)
	}
	w.enrol(t, one)
	// Sent again by its client, or replayed by an admin.
	r.deliver(t, segments[0]).until(t, anchor.Settled)
	aside, err := r.book.Refused(0, 10)
	require.NoError(t, err)
	require.Len(t, aside, 1)
	require.NoError(t, r.Replay(within(t, patience), aside[0].Number))
	r.deliver(t, segments[1]).until(t, anchor.Settled)
	w.requireInOrder(t, segments...)
}

func testFork(t *testing.T, w *world) {
	r := w.rig(t, t.TempDir(), nil)
	one := w.enrolled(t)
	twin := one.Twin()
	mine, other := one.Segment(t, gatewaytest.Calls(t, 1)), twin.Segment(t, gatewaytest.Calls(t, 1))
	r.deliver(t, mine).until(t, anchor.Settled)
	forked := r.deliver(t, other)
	require.Equal(t, ledger.OutcomeConflict, forked.until(t, anchor.Settled).Receipt.Outcome)
	require.NotContains(t, forked.states(), anchor.Accepted, "the name is another's: nothing of it is kept")
	w.requireInOrder(t, mine)
	again := r.deliver(t, mine)
	receipt := again.until(t, anchor.Settled).Receipt
	require.Equal(t, ledger.OutcomeAlready, receipt.Outcome)
	require.True(t, receipt.CommittedAt.IsZero())
}

// testOutdated finds a transaction under way whose signature the orderers refuse, as
// they do once the signer's certificate has expired.
func testOutdated(t *testing.T, w *world) {
	folder := t.TempDir()
	r := w.rig(t, folder, nil)
	one := w.stranger(t)
	segment := one.Segment(t, gatewaytest.Calls(t, 2))
	r.deliver(t, segment).until(t, anchor.Refused)
	r.stop()
	w.enrol(t, one)

	ctx := within(t, patience)
	book, err := journal.Open(filepath.Join(folder, "journal"), journal.Config{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	require.NoError(t, err)
	refused, err := book.Refused(0, 1)
	require.NoError(t, err)
	require.Len(t, refused, 1)
	number := refused[0].Number
	require.NoError(t, book.Replay(ctx, number))
	text, err := book.Payload(number)
	require.NoError(t, err)
	var stored struct{ Segment jsontext.Value }
	require.NoError(t, json.Unmarshal(text, &stored, json.MatchCaseInsensitiveNames(true)))
	endorsed, err := w.channel(t, "gateway").Endorse(ctx, fabric.Proposal{
		Function: "calls:Anchor", Args: []string{""}, Transient: map[string][]byte{"segments": []byte("[" + string(stored.Segment) + "]")},
	})
	require.NoError(t, err)
	spoiled := &common.Envelope{}
	require.NoError(t, proto.Unmarshal(endorsed.Envelope(), spoiled))
	spoiled.Signature[len(spoiled.Signature)-1] ^= 1
	envelope, err := proto.Marshal(spoiled)
	require.NoError(t, err)
	require.NoError(t, book.Begin(ctx, journal.Transaction{ID: endorsed.ID(), Stage: journal.Public, Numbers: []int64{number}, Envelope: envelope}))
	require.NoError(t, book.Close())

	r = w.rig(t, folder, nil)
	next := one.Segment(t, gatewaytest.Calls(t, 1))
	behind := r.deliver(t, next)
	receipt := r.deliver(t, segment).until(t, anchor.Settled).Receipt
	require.NotEqual(t, endorsed.ID(), receipt.Commit.TransactionID, "it was made anew")
	behind.until(t, anchor.Settled)
	w.requireInOrder(t, segment, next)
}

func testAway(t *testing.T, w *world) {
	const bound = 15
	folder := t.TempDir()
	r := w.rig(t, folder, func(c *anchor.Config) { c.MaxPerPBX = bound; c.HoldBytes = 2000 })
	flooding, quiet := w.enrolled(t), w.enrolled(t)
	r.deliver(t, flooding.Segment(t, gatewaytest.Calls(t, 1))).until(t, anchor.Settled)
	w.Kill("borealis-peer")
	w.Kill("corvus-peer")
	var accepted []*pb.SignedSegment
	var told []*story
	for range bound {
		segment := flooding.Segment(t, gatewaytest.Calls(t, 2))
		one := r.deliver(t, segment)
		one.until(t, anchor.Accepted)
		accepted, told = append(accepted, segment), append(told, one)
	}
	beyond := flooding.Segment(t, gatewaytest.Calls(t, 2))
	pushed := r.deliver(t, beyond).until(t, anchor.Rejected)
	require.Equal(t, fault.Busy, pushed.Problem.Kind)
	require.Positive(t, pushed.Problem.RetryAfter)
	// What was accepted is never rejected, and another PBX has its own bound.
	repeated := r.deliver(t, accepted[3])
	repeated.until(t, anchor.Accepted)
	other := quiet.Segment(t, gatewaytest.Calls(t, 1))
	one := r.deliver(t, other)
	one.until(t, anchor.Accepted)
	// A gateway that is started again meanwhile knows them all.
	r.stop()
	r = w.rig(t, folder, func(c *anchor.Config) { c.MaxPerPBX = bound })
	one = r.deliver(t, other)
	one.until(t, anchor.Accepted)
	for i := range accepted {
		told[i] = r.deliver(t, accepted[i])
	}
	w.StartNode("borealis-peer")
	w.StartNode("corvus-peer")
	for _, each := range append(told, one) {
		each.until(t, anchor.Settled)
	}
	r.deliverUnless(t, beyond, fault.Busy).until(t, anchor.Settled)
	w.requireInOrder(t, append(accepted, beyond)...)
	w.requireInOrder(t, other)
}

// stream opens a Deliver stream to the gateway's own program.
func (w *world) stream(t *testing.T, ctx context.Context, one *pbx) grpc.BidiStreamingClient[pb.DeliverRequest, pb.DeliverResponse] { //nolint:revive // testing first
	t.Helper()
	opened, err := one.open(t, ctx)
	require.NoError(t, err)
	return opened
}

// open begins a stream to the gateway's program.
func (p *pbx) open(t *testing.T, ctx context.Context) (grpc.BidiStreamingClient[pb.DeliverRequest, pb.DeliverResponse], error) { //nolint:revive // testing first
	t.Helper()
	connection, err := connect.Dial(p.access)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	opened, err := pb.NewAnchorServiceClient(connection).Deliver(ctx, grpc.WaitForReady(true))
	if err != nil {
		return nil, fmt.Errorf("open the stream: %w", err)
	}
	return opened, nil
}

func testDyingClient(t *testing.T, w *world) {
	one := w.enrolled(t)
	segment := one.Segment(t, gatewaytest.Calls(t, 3))
	for range 3 { // sends, and is gone before it reads
		ctx, die := context.WithCancel(within(t, patience))
		stream := w.stream(t, ctx, one)
		require.NoError(t, stream.Send(&pb.DeliverRequest{Segment: segment}))
		time.Sleep(5 * time.Millisecond)
		die()
	}
	stream := w.stream(t, within(t, patience), one)
	require.NoError(t, stream.Send(&pb.DeliverRequest{Segment: segment}))
	// What is wrong with one is told of that one, and the stream goes on.
	altered := one.Segment(t, gatewaytest.Calls(t, 1))
	altered.RecordsJson[0] = append(altered.RecordsJson[0], ' ', '1')
	require.NoError(t, stream.Send(&pb.DeliverRequest{Segment: altered}))
	require.NoError(t, stream.CloseSend())
	var states []pb.DeliveryState
	rejected := 0
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break // everything was answered
		}
		require.NoError(t, err)
		if response.GetState() == pb.DeliveryState_DELIVERY_STATE_REJECTED {
			rejected++
			require.Equal(t, int32(codes.InvalidArgument), response.GetProblem().GetCode())
			require.False(t, response.GetProblem().GetRetryable())
			continue
		}
		states = append(states, response.GetState())
	}
	require.Equal(t, 1, rejected)
	require.Equal(t, []pb.DeliveryState{
		pb.DeliveryState_DELIVERY_STATE_ACCEPTED, pb.DeliveryState_DELIVERY_STATE_COMMITTED, pb.DeliveryState_DELIVERY_STATE_SETTLED,
	}, states)
	w.requireInOrder(t, segment)
}

// fleet sends the segments of one PBX to the gateway's program, in order, on one
// stream after another, until each is settled.
func (w *world) fleet(t *testing.T, one *pbx, segments []*pb.SignedSegment, settled *sync.Map) error {
	t.Helper()
	first := map[int64]int{}
	for i, segment := range segments {
		var header ledger.Segment
		if err := ledger.DecodeStrict(segment.GetSegmentJson(), &header); err != nil {
			return err
		}
		first[header.FirstSeq] = i
	}
	ended := make([]bool, len(segments))
	for ctx := within(t, patience); ; {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", one.PBX, ctx.Err())
		}
		left := 0
		for i := range ended {
			if !ended[i] {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		trying, cancel := context.WithCancel(ctx)
		stream, err := one.open(t, trying)
		if err != nil {
			cancel()
			return err
		}
		go func() {
			for i := range segments {
				if !ended[i] && stream.Send(&pb.DeliverRequest{Segment: segments[i]}) != nil {
					return
				}
				time.Sleep(4 * time.Millisecond)
			}
		}()
		heard := map[int]bool{}
		for left > 0 {
			response, err := stream.Recv()
			if err != nil {
				break
			}
			i := first[response.GetFirstSeq()]
			switch response.GetState() {
			case pb.DeliveryState_DELIVERY_STATE_SETTLED:
				heard[i] = true
				settled.Store(fmt.Sprint(one.PBX, response.GetFirstSeq()), true)
				left--
			case pb.DeliveryState_DELIVERY_STATE_REFUSED, pb.DeliveryState_DELIVERY_STATE_REJECTED:
				if !response.GetProblem().GetRetryable() || response.GetState() == pb.DeliveryState_DELIVERY_STATE_REFUSED {
					cancel()
					return fmt.Errorf("%s: %s", one.PBX, response.GetProblem())
				}
				left = 0
			default:
			}
		}
		cancel()
		time.Sleep(20 * time.Millisecond) // the sender ends
		for i := range heard {
			ended[i] = true
		}
	}
}

func testKilled(t *testing.T, w *world) {
	const pbxs, each, kills = 3, 60, 4
	var settled sync.Map
	sent := make([][]*pb.SignedSegment, pbxs)
	failures := make(chan error, pbxs)
	for i := range pbxs {
		one := w.enrolled(t)
		for range each {
			sent[i] = append(sent[i], one.Segment(t, gatewaytest.Calls(t, 2)))
		}
		go func() { failures <- w.fleet(t, one, sent[i], &settled) }()
	}
	for n := range kills {
		time.Sleep(time.Duration(80+70*n) * time.Millisecond)
		w.Kill("atlas-gateway")
		w.StartNode("atlas-gateway")
	}
	for range pbxs {
		require.NoError(t, <-failures)
	}
	for i := range sent {
		w.requireInOrder(t, sent[i]...)
		w.requireDetails(t, sent[i][each-1])
	}
}
