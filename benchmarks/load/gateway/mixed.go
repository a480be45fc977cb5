package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/soak"
)

const (
	// mixedWrites and mixedReads are how many records, and reads of each kind, are due a
	// second beside each other.
	mixedWrites, mixedReads = 100, 20
	// atOnce bounds the reads of one kind that are under way: a gateway lets one caller
	// have 16 lists at a time.
	atOnce = 12
	// pageOf is how many calls a list has.
	pageOf = 50
	// again is when what was pushed back is asked again.
	again = 20 * time.Millisecond
)

// place is where a call stands.
type place struct {
	pbx string
	leg ledger.LegID
}

func (p place) id() *pb.LegId {
	return &pb.LegId{Linkedid: p.leg.LinkedID, Uniqueid: p.leg.UniqueID, Sequence: p.leg.Sequence}
}

// reader asks the operator's gateway as an auditor does.
type reader struct {
	msp    string
	calls  pb.CallServiceClient
	search pb.SearchServiceClient
}

func newReader(tb testing.TB, lab *soak.Lab) *reader {
	tb.Helper()
	connection, err := connect.Dial(lab.Access("auditor"))
	if err != nil {
		tb.Fatalf("reach the gateway: %v", err)
	}
	tb.Cleanup(func() { _ = connection.Close() })
	return &reader{msp: lab.Member(soak.Operator).MSP, calls: pb.NewCallServiceClient(connection), search: pb.NewSearchServiceClient(connection)}
}

var errOther = errors.New("the gateway answers with another call than the one it was asked for")

// kinds are the ways to read, each from a call on.
func (r *reader) kinds() []readKind {
	return []readKind{
		{"point", "a call by its leg, from the peer", r.point},
		{"conversation", "a conversation, by the peer", r.conversation},
		{"list", fmt.Sprintf("the %d newest calls, from the index", pageOf), r.list},
	}
}

type readKind struct {
	name, title string
	read        func(context.Context, place) error
}

func (r *reader) point(ctx context.Context, at place) error {
	found, err := r.calls.GetCall(ctx, &pb.GetCallRequest{Pbx: at.pbx, Leg: at.id()}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("read a call: %w", err)
	}
	if found.GetCall().GetLeg().GetUniqueid() != at.leg.UniqueID {
		return errOther
	}
	return nil
}

func (r *reader) conversation(ctx context.Context, at place) error {
	found, err := r.calls.GetConversation(ctx, &pb.GetConversationRequest{Pbx: at.pbx, Linkedid: at.leg.LinkedID}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("read a conversation: %w", err)
	}
	if len(found.GetConversation().GetLegs()) != 1 || found.GetConversation().GetLegs()[0].GetLeg().GetUniqueid() != at.leg.UniqueID {
		return errOther
	}
	return nil
}

func (r *reader) list(ctx context.Context, _ place) error {
	found, err := r.search.SearchCalls(ctx, &pb.SearchCallsRequest{Msp: r.msp, Page: &pb.PageRequest{PageSize: pageOf}}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("list calls: %w", err)
	}
	if len(found.GetCalls()) == 0 {
		return errOther
	}
	return nil
}

// reads makes reads of one kind at random moments, so many a second, and answers their
// latencies, from when each was due.
func reads(ctx context.Context, random *rand.Rand, rate float64, lasts time.Duration, of []place, read func(context.Context, place) error) (*result.Recorder, error) {
	recorder := result.NewRecorder()
	var mu sync.Mutex
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	due, ends := time.Now(), time.Now().Add(lasts)
	for within.Err() == nil {
		due = due.Add(time.Duration(float64(time.Second) / rate * random.ExpFloat64()))
		if due.After(ends) {
			break
		}
		at, moment := of[random.IntN(len(of))], due
		select {
		case <-within.Done():
		case <-time.After(time.Until(moment)):
		}
		group.Go(func() error {
			if err := insist(within, func(ctx context.Context) error { return read(ctx, at) }); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			recorder.Record(time.Since(moment))
			return nil
		})
	}
	return recorder, group.Wait()
}

// insist asks until the gateway neither pushes back nor says that its peers are too late:
// of neither is anything done.
func insist(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(ctx)
		if code := status.Code(err); code != codes.ResourceExhausted && code != codes.Unavailable || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// mixed has records written and read at the same time.
func (m *measurement) mixed() {
	fleet := m.lab.Fleet(saturating, soak.Manner{Window: 4})
	defer fleet.Stop()
	fleet.Random = m.random
	fleet.Load(m.tb.Context(), mixedWrites, warmUp)
	m.drain(fleet)
	asking := newReader(m.tb, m.lab)
	m.indexed(asking)
	parameters := map[string]float64{"writes": mixedWrites, "reads": mixedReads}
	committed := m.named("mixed/commit", "a record among reads, due to COMMITTED", "ms", parameters)
	kinds := asking.kinds()
	read := make([]result.Measurement, len(kinds))
	for i, kind := range kinds {
		read[i] = m.named("mixed/read/"+kind.name, kind.title+", among writes", "ms", parameters)
	}
	load := stretches{fleet: fleet}
	for n := range m.plan.Repetitions {
		known := settledCalls(fleet)
		group, ctx := errgroup.WithContext(m.tb.Context())
		recorders := make([]*result.Recorder, len(kinds))
		for i, kind := range kinds {
			random := rand.New(rand.NewPCG(m.plan.Seed, uint64(1+n*len(kinds)+i)))
			group.Go(func() (err error) {
				recorders[i], err = reads(ctx, random, mixedReads, m.plan.Mixed, known, kind.read)
				return err
			})
		}
		load.one(m.tb.Context(), mixedWrites, m.plan.Mixed)
		if err := group.Wait(); err != nil {
			m.tb.Fatal(err)
		}
		m.drain(fleet)
		for i, recorder := range recorders {
			if recorder.Count() == 0 {
				m.tb.Fatalf("no read of a %s was due within %s: measure for longer", kinds[i].name, m.plan.Mixed)
			}
			read[i].Latencies = append(read[i].Latencies, recorder.Distribution())
		}
	}
	committed.Latencies = load.latencies()
	m.add(committed)
	m.add(read...)
	m.tb.Logf("reads among writes: measured")
}

// settledCalls are those of a fleet that are on the ledger.
func settledCalls(fleet *soak.Fleet) (known []place) {
	fleet.Each(func(s *soak.Story) {
		if s.Settled.IsZero() {
			return
		}
		for i := range s.Records {
			if s.Records[i].Details != "" { // an opening is no call
				known = append(known, place{s.PBX, s.Records[i].Leg})
			}
		}
	})
	return known
}

// indexed waits until the gateway's index has all that its peer has now.
func (m *measurement) indexed(asking *reader) {
	m.tb.Helper()
	ctx, cancel := context.WithTimeout(m.tb.Context(), patience)
	defer cancel()
	height, err := m.lab.Channel(soak.Operator, "auditor").Height(ctx)
	if err != nil {
		m.tb.Fatalf("ask the peer how many blocks it has: %v", err)
	}
	for {
		found, err := asking.search.GetIndex(ctx, &pb.GetIndexRequest{}, grpc.WaitForReady(true))
		switch {
		case err != nil:
			m.tb.Fatalf("ask how far the index is: %v", err)
		case found.GetTrouble() != "":
			m.tb.Fatalf("the gateway's index does not follow: %s", found.GetTrouble())
		case found.GetHeight() >= height:
			return
		}
		m.pause(again)
	}
}
