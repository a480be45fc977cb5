package soak_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/soak"
)

// The harness itself is tried on a model of a gateway: a faithful one, whose
// streams break and whose answers are lost, must pass, and every way of cheating
// must be found out.

// model is a gateway and its ledger in memory.
type model struct {
	pb.UnimplementedAnchorServiceServer
	flaw    flaw
	breaks  float64 // how probable it is that a stream breaks at an answer
	rejects float64 // how probable it is that a segment is pushed back

	mu    sync.Mutex
	known map[string]*pb.DeliverResponse // SETTLED, by segment
	order []string
	chain *soak.Chain
	block uint64
	flaws int
	// toBreak and toReject are how often there was a chance to.
	toBreak, toReject int
}

// flaw is a way to cheat, done once.
type flaw string

const (
	faithful      flaw = ""
	forgets       flaw = "forgets what it accepted"
	forgetsOne    flaw = "anchors a segment without one of its records"
	forgetsSecret flaw = "settles without the details"
	doubles       flaw = "anchors a segment twice"
	doublesSecret flaw = "stores details twice"
	alters        flaw = "alters a record"
	replays       flaw = "anchors a record in two segments"
	lies          flaw = "names another transaction"
	liesOfBlock   flaw = "names another block"
	swaps         flaw = "anchors in another order than it accepted"
	invents       flaw = "anchors what nobody sent"
	conflicts     flaw = "leaves an incident"
	wavers        flaw = "names first one transaction, then another"
	takesBack     flaw = "rejects what it accepted"
	refuses       flaw = "refuses a good segment"
	pushes        flaw = "pushes back without saying for how long"
	splits        flaw = "puts a record into another transaction than its segment"
)

var flaws = []flaw{
	forgets, forgetsOne, forgetsSecret, doubles, doublesSecret, alters, replays, lies, liesOfBlock, swaps, invents, conflicts, wavers,
	takesBack, refuses, pushes, splits,
}

const owner = "AtlasMSP"

func newModel(cheats flaw) *model {
	return &model{flaw: cheats, known: map[string]*pb.DeliverResponse{}, chain: soak.NewChain(owner)}
}

// cheat says, once some segments went well, that now is the time.
func (m *model) cheat(which flaw) bool {
	if m.flaw != which || len(m.order) < 5 || m.flaws > 0 {
		return false
	}
	m.flaws++
	return true
}

// happens says whether what is so probable happens. The second chance is always taken:
// where segments gather on a slow machine there are few.
func happens(probable float64, chances *int) bool {
	if probable == 0 {
		return false
	}
	*chances++
	return *chances == 2 || rand.Float64() < probable
}

// Deliver implements callseal.v1.AnchorService.
func (m *model) Deliver(stream grpc.BidiStreamingServer[pb.DeliverRequest, pb.DeliverResponse]) error {
	var delayed *ledger.SignedSegment
	for {
		request, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // the client went
		}
		signed := decode(request.GetSegment())
		answer := &pb.DeliverResponse{Pbx: signed.Segment.PBX, Epoch: signed.Segment.Epoch, FirstSeq: signed.Segment.FirstSeq}
		m.mu.Lock()
		answers := m.take(signed, answer, &delayed)
		m.mu.Unlock()
		for _, one := range answers {
			m.mu.Lock()
			broken := happens(m.breaks, &m.toBreak)
			m.mu.Unlock()
			if broken {
				return status.Error(codes.Unavailable, "the stream breaks")
			}
			if err := stream.Send(one); err != nil {
				return err
			}
		}
	}
}

func decode(message *pb.SignedSegment) *ledger.SignedSegment {
	signed := &ledger.SignedSegment{Records: make([]ledger.Record, len(message.GetRecordsJson()))}
	if err := ledger.DecodeStrict(message.GetSegmentJson(), &signed.Segment); err != nil {
		panic(err)
	}
	for i, text := range message.GetRecordsJson() {
		if err := ledger.DecodeStrict(text, &signed.Records[i]); err != nil {
			panic(err)
		}
	}
	return signed
}

func in(answer *pb.DeliverResponse, state pb.DeliveryState, receipt *pb.SegmentReceipt, problem *pb.Problem) *pb.DeliverResponse {
	return &pb.DeliverResponse{Pbx: answer.GetPbx(), Epoch: answer.GetEpoch(), FirstSeq: answer.GetFirstSeq(), State: state, Receipt: receipt, Problem: problem}
}

func (m *model) take(signed *ledger.SignedSegment, answer *pb.DeliverResponse, delayed **ledger.SignedSegment) []*pb.DeliverResponse {
	key := signed.Segment.Key()
	if known := m.known[key]; known != nil {
		return []*pb.DeliverResponse{in(answer, pb.DeliveryState_DELIVERY_STATE_ACCEPTED, nil, nil), known}
	}
	full := &pb.Problem{Code: int32(codes.ResourceExhausted), Reason: "RESOURCE_EXHAUSTED", Message: "later", Retryable: true, RetryAfter: durationpb.New(5 * time.Millisecond)}
	if m.cheat(pushes) {
		full.RetryAfter = nil
		return []*pb.DeliverResponse{in(answer, pb.DeliveryState_DELIVERY_STATE_REJECTED, nil, full)}
	}
	if happens(m.rejects, &m.toReject) {
		return []*pb.DeliverResponse{in(answer, pb.DeliveryState_DELIVERY_STATE_REJECTED, nil, full)}
	}
	if m.cheat(refuses) {
		return []*pb.DeliverResponse{in(answer, pb.DeliveryState_DELIVERY_STATE_REFUSED, nil, &pb.Problem{Message: "no"})}
	}
	accepted := in(answer, pb.DeliveryState_DELIVERY_STATE_ACCEPTED, nil, nil)
	if m.cheat(takesBack) {
		return []*pb.DeliverResponse{accepted, in(answer, pb.DeliveryState_DELIVERY_STATE_REJECTED, nil, full)}
	}
	if *delayed == nil && m.cheat(swaps) {
		*delayed = signed
		return []*pb.DeliverResponse{accepted}
	}
	answers := append([]*pb.DeliverResponse{accepted}, m.anchor(signed, answer)...)
	if late := *delayed; late != nil {
		*delayed = nil
		of := &pb.DeliverResponse{Pbx: late.Segment.PBX, Epoch: late.Segment.Epoch, FirstSeq: late.Segment.FirstSeq}
		answers = append(answers, m.anchor(late, of)...)
	}
	return answers
}

// anchor writes a segment to the chain and answers what is said of it.
func (m *model) anchor(signed *ledger.SignedSegment, answer *pb.DeliverResponse) []*pb.DeliverResponse {
	m.block++
	key := signed.Segment.Key()
	transaction := fmt.Sprintf("tx%d", m.block)
	told := &pb.Commit{TransactionId: transaction, Block: m.block, ValidationCode: "VALID"}
	receipt := &pb.SegmentReceipt{Commit: told, Outcome: pb.Outcome_OUTCOME_ANCHORED}
	anchored := &ledger.AnchoredSegment{Segment: signed.Segment}
	if !m.cheat(forgets) {
		m.put(key, []byte("segment"), transaction)
		m.chain.Segments[key] = anchored
	}
	if m.cheat(replays) {
		anchored.Absent = append(anchored.Absent, ledger.AbsentLeaf{Outcome: ledger.OutcomeAlready, Seq: signed.Segment.FirstSeq})
	}
	for i := range signed.Records {
		record := &signed.Records[i]
		receipt.Records = append(receipt.Records, &pb.RecordReceipt{Seq: record.Seq, Outcome: pb.Outcome_OUTCOME_ANCHORED})
		if m.cheat(forgetsOne) {
			continue
		}
		if m.cheat(alters) {
			record.Call.BillsecMS--
		}
		text, err := ledger.Canonical(record)
		if err != nil {
			panic(err)
		}
		in := transaction
		if m.cheat(splits) {
			in = "another"
		}
		m.put(record.Key(), text, in)
		if record.DetailsDigest() != "" && !m.cheat(forgetsSecret) {
			m.chain.Details[sha256.Sum256([]byte(record.Key()))]++
		}
		if record.DetailsDigest() != "" && m.cheat(doublesSecret) {
			m.chain.Details[sha256.Sum256([]byte(record.Key()))]++
		}
	}
	m.around(signed, told, transaction)
	m.order = append(m.order, key)
	settled := in(answer, pb.DeliveryState_DELIVERY_STATE_SETTLED, receipt, nil)
	m.known[key] = settled
	committed := in(answer, pb.DeliveryState_DELIVERY_STATE_COMMITTED, receipt, nil)
	if m.cheat(wavers) {
		committed.Receipt = &pb.SegmentReceipt{Records: receipt.GetRecords(), Commit: &pb.Commit{TransactionId: "earlier", Block: m.block, ValidationCode: "VALID"}}
	}
	return []*pb.DeliverResponse{committed, settled}
}

// around are the flaws that concern more than the segment.
func (m *model) around(signed *ledger.SignedSegment, told *pb.Commit, transaction string) {
	key := signed.Segment.Key()
	if m.cheat(doubles) {
		m.put(key, []byte("segment"), transaction+"again")
	}
	if m.cheat(invents) {
		other := signed.Segment
		other.FirstSeq += 1_000_000
		m.put(other.Key(), []byte("segment"), transaction)
		m.chain.Segments[other.Key()] = &ledger.AnchoredSegment{Segment: other}
	}
	if m.cheat(conflicts) {
		m.chain.Incidents = append(m.chain.Incidents, ledger.IncidentKey(owner, signed.Segment.PBX, "digest"))
	}
	if m.cheat(lies) {
		told.TransactionId = "another"
	}
	if m.cheat(liesOfBlock) {
		told.Block++
	}
}

func (m *model) put(key string, value []byte, transaction string) {
	place := int64(len(m.chain.Writes) + 1)
	m.chain.Writes[key] = append(m.chain.Writes[key], soak.Standing{Block: m.block, TransactionID: transaction, Place: place, Content: sha256.Sum256(value)})
}

// serve runs the model behind mutual TLS and answers how adapters reach it.
func (m *model) serve(t *testing.T, adapters int) (identities []connect.Config, pbxs []string) {
	t.Helper()
	folder := t.TempDir()
	authority, err := msp.NewIssuer("CA", "Atlas")
	require.NoError(t, err)
	file := func(name string, content []byte) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	pair, err := authority.Issue(msp.Request{CommonName: "gateway", Hosts: []string{"127.0.0.1"}})
	require.NoError(t, err)
	own, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(authority.Pair().CertPEM))
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS13,
	})))
	pb.RegisterAnchorServiceServer(server, m)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	ca := file("ca.pem", authority.Pair().CertPEM)
	for i := range adapters {
		pbx := fmt.Sprintf("pbx-%d", i+1)
		pair, err := authority.Issue(msp.Request{CommonName: pbx})
		require.NoError(t, err)
		identities = append(identities, connect.Config{
			Address: listener.Addr().String(), CAFile: ca, CertFile: file(pbx+".cert.pem", pair.CertPEM), KeyFile: file(pbx+".key.pem", pair.KeyPEM),
		})
		pbxs = append(pbxs, pbx)
	}
	return identities, pbxs
}

// try runs a fleet against the model and judges.
func (m *model) try(t *testing.T, how soak.Manner, records int) (*soak.Verdict, *soak.Fleet) {
	t.Helper()
	identities, pbxs := m.serve(t, 3)
	fleet := soak.Launch(t, owner, identities, pbxs, how)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fleet.Load(ctx, 1000, time.Duration(records)*time.Millisecond)
	require.NoError(t, fleet.Drain(ctx))
	fleet.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	return soak.Judge(fleet.Stories(), m.chain), fleet
}

func TestAFaithfulGatewayPasses(t *testing.T) {
	for name, how := range map[string]soak.Manner{
		"a record a segment": {}, "gathering": {Window: 2}, "dying": {Dies: 0.05}, "without details": {Kind: soak.Omissions},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(faithful)
			m.breaks, m.rejects = 0.02, 0.05
			v, fleet := m.try(t, how, 300)
			require.True(t, v.Clean(), "%v", v.Faults)
			tally := fleet.Tally()
			require.Equal(t, 303, v.Sent, "and an opening each")
			require.Equal(t, []int{v.Sent, v.Sent, v.Sent, v.Sent}, []int{v.Accepted, v.Committed, v.Settled, v.Standing})
			require.Positive(t, v.Resent, "streams did break")
			require.Positive(t, tally.Rejected["RESOURCE_EXHAUSTED"])
			require.Empty(t, tally.Untyped)
			if how.Dies > 0 {
				require.Positive(t, tally.Deaths)
			}
		})
	}
}

func TestEveryFlawIsFound(t *testing.T) {
	for _, one := range flaws {
		t.Run(string(one), func(t *testing.T) {
			m := newModel(one)
			how := soak.Manner{}
			identities, pbxs := m.serve(t, 1)
			fleet := soak.Launch(t, owner, identities, pbxs, how)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			fleet.Load(ctx, 1000, 50*time.Millisecond)
			require.NoError(t, fleet.Drain(ctx))
			fleet.Stop()
			m.mu.Lock()
			defer m.mu.Unlock()
			require.Equal(t, 1, m.flaws, "it did cheat")
			v := soak.Judge(fleet.Stories(), m.chain)
			if one == pushes {
				require.NotEmpty(t, fleet.Tally().Untyped)
				return
			}
			require.False(t, v.Clean())
			require.NotEmpty(t, v.Faults)
			switch one {
			case forgets, forgetsOne, forgetsSecret, alters:
				require.Positive(t, v.Lost, "%v", v.Faults)
			case doubles, doublesSecret, replays:
				require.Positive(t, v.Doubled, "%v", v.Faults)
			case swaps:
				require.Positive(t, v.Disordered, "%v", v.Faults)
			case conflicts:
				require.Positive(t, v.Incidents, "%v", v.Faults)
			default:
				require.Positive(t, v.Untrue, "%v", v.Faults)
			}
		})
	}
}
