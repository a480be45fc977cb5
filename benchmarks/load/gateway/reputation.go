package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/reputation"
	"github.com/callseal/callseal/soak"
)

// reporters are how many report evidence to the gateway at the same time, together how
// many items each report has; a gateway takes 64 calls of one caller at a time.
const reporters, together = 32, 100

// reputation has evidence counted on one subject, then on subjects that nobody has heard
// of, and finds all of it on the ledger, once.
func (m *measurement) reputation() {
	channel := m.lab.Channel(soak.Operator, "auditor")
	from := m.height(channel)
	// Another run on the same ledger has other subjects.
	first := rand.Int64N(9_000_000_000)
	var subjects atomic.Int64
	e := &evidence{measurement: m, reported: map[string]int64{}}
	e.report("hot", "evidence counted, all on one subject", func() string { return subject(first) })
	e.report("cold", "evidence counted, each on a subject nobody has heard of", func() string { return subject(first + subjects.Add(1)) })

	conflicts, err := e.find(channel, from, m.height(channel))
	if err != nil {
		m.tb.Fatal(err)
	}
	// Fabric's endorsers that differ leave nothing on the ledger: the gateway says, when
	// it ends, how often they did.
	counted, err := m.restarted()
	if err != nil {
		m.tb.Fatal(err)
	}
	onLedger, byGateway := m.named("conflicts/reputation", "transactions that were not valid because another came before them (MVCC)", "none", nil), m.named("mismatches/reputation", "proposals on which endorsers differed", "none", nil)
	onLedger.Values, byGateway.Values = []float64{float64(max(conflicts, counted.Conflicts))}, []float64{float64(counted.Mismatches)}
	onLedger.Notes = []string{"Counted in the blocks of both measurements, in which all evidence that was offered was found exactly once."}
	byGateway.Notes = []string{"The gateway's own count."}
	m.add(onLedger, byGateway)
}

// subject is a telephone number in clear.
func subject(n int64) string { return fmt.Sprintf("tel:+3519%010d", n) }

// evidence is what reporters had counted.
type evidence struct {
	*measurement
	mu sync.Mutex
	// reported counts the items by subject's pseudonym.
	reported map[string]int64
}

// report saturates the gateway with evidence and counts what it says is counted.
func (e *evidence) report(kind, title string, subject func() string) {
	e.tb.Helper()
	connection, err := connect.Dial(e.lab.Access("gateway"))
	if err != nil {
		e.tb.Fatalf("reach the gateway: %v", err)
	}
	defer func() { _ = connection.Close() }()
	gateway := pb.NewReputationServiceClient(connection)
	group, ctx := errgroup.WithContext(e.tb.Context())
	reporting, stop := context.WithCancel(ctx)
	defer stop()
	var done atomic.Int64
	for range reporters {
		group.Go(func() error {
			for reporting.Err() == nil {
				request := &pb.ReportRequest{Evidence: make([]*pb.Evidence, together)}
				for i := range request.GetEvidence() {
					request.Evidence[i] = &pb.Evidence{Subject: subject(), Kind: ledger.EvidenceLongCall, Count: 1}
				}
				// A report that has left is heard to its end.
				if err := e.offer(ctx, gateway, request); err != nil {
					return err
				}
				done.Add(together)
			}
			return nil
		})
	}
	e.pause(warmUp)
	throughput := e.named("throughput/reputation/"+kind, title, "/s", map[string]float64{"reporters": reporters, "together": together})
	throughput.Notes = []string{"The repetitions are stretches of one run."}
	for range e.plan.Repetitions {
		rate, failed := e.counted(ctx, &done)
		if err = failed; err != nil {
			break
		}
		throughput.Values = append(throughput.Values, rate)
	}
	stop()
	// Why a reporter failed says more than that nothing was counted any more.
	if failed := group.Wait(); failed != nil {
		err = failed
	}
	if err != nil {
		e.tb.Fatal(err)
	}
	e.add(throughput)
	e.tb.Logf("evidence, %s: measured", kind)
}

var errNothingCounted = errors.New("no evidence was counted for minutes: the machine is too busy")

// counted is by how much a count grows a second; where nothing comes to its end, over
// longer than planned.
func (e *evidence) counted(ctx context.Context, count *atomic.Int64) (float64, error) {
	before, from := count.Load(), time.Now()
	for ctx.Err() == nil {
		e.pause(e.plan.Evidence)
		if grown := count.Load() - before; grown > 0 {
			return float64(grown) / time.Since(from).Seconds(), nil
		}
		if time.Since(from) > patience {
			return 0, errNothingCounted
		}
	}
	return 0, fmt.Errorf("count evidence: %w", ctx.Err())
}

// offer reports until the gateway does not push back, and keeps what it says is counted.
func (e *evidence) offer(ctx context.Context, gateway pb.ReputationServiceClient, request *pb.ReportRequest) error {
	var response *pb.ReportResponse
	if err := insist(ctx, func(ctx context.Context) (err error) {
		response, err = gateway.Report(ctx, request, grpc.WaitForReady(true))
		return err
	}); err != nil {
		return fmt.Errorf("report evidence: %w", err)
	}
	if n := len(response.GetReceipts()); n != together {
		return fmt.Errorf("report evidence: %d items have %d receipts: %w", together, n, errEvidence)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, receipt := range response.GetReceipts() {
		e.reported[receipt.GetSubject()]++
	}
	return nil
}

var errEvidence = errors.New("evidence was not counted exactly once")

// find reads the blocks [from, to): every item that was reported must be in them once.
// It answers how many transactions others came before.
func (e *evidence) find(channel *fabric.Channel, from, to uint64) (conflicts int64, err error) {
	found := map[string]int64{}
	for number := from; number < to; number++ {
		block, err := channel.Block(e.tb.Context(), number)
		if err != nil {
			return 0, fmt.Errorf("read block %d: %w", number, err)
		}
		conflicts += conflictsIn(block)
		writes, err := fabric.PublicWrites(block, e.lab.Consortium().Chaincode)
		if err != nil {
			return 0, fmt.Errorf("read block %d: %w", number, err)
		}
		for _, write := range writes {
			if kind, _, err := ledger.SplitKey(write.Key); err != nil || kind != ledger.TypeOpinion {
				continue
			}
			opinion := &ledger.Opinion{}
			if err := ledger.DecodeStrict(write.Value, opinion); err != nil {
				return 0, fmt.Errorf("read an opinion of block %d: %w", number, err)
			}
			for _, item := range opinion.Evidence {
				found[opinion.Subject] += item.Count
			}
		}
	}
	for subject, reported := range e.reported {
		if found[subject] != reported {
			return 0, fmt.Errorf("%d items were reported on a subject and the ledger has %d: %w", reported, found[subject], errEvidence)
		}
	}
	return conflicts, nil
}

// conflictsIn counts the transactions of a block that read what another changed.
func conflictsIn(block *common.Block) (n int64) {
	for _, code := range block.GetMetadata().GetMetadata()[common.BlockMetadataIndex_TRANSACTIONS_FILTER] {
		if code := peer.TxValidationCode(code); code == peer.TxValidationCode_MVCC_READ_CONFLICT || code == peer.TxValidationCode_PHANTOM_READ_CONFLICT {
			n++
		}
	}
	return n
}

func (m *measurement) height(channel *fabric.Channel) uint64 {
	m.tb.Helper()
	ctx, cancel := context.WithTimeout(m.tb.Context(), patience)
	defer cancel()
	height, err := channel.Height(ctx)
	if err != nil {
		m.tb.Fatalf("ask the peer how many blocks it has: %v", err)
	}
	return height
}

var errSilent = errors.New("the gateway did not say what it counted")

// restarted stops the gateway, reads in its log what it says it counted since it began,
// and starts it again.
func (m *measurement) restarted() (reputation.Counters, error) {
	m.lab.Stop(soak.Gateway)
	text, err := os.ReadFile(m.lab.Layout().LogFile(soak.Gateway))
	m.lab.StartNode(soak.Gateway)
	if err != nil {
		return reputation.Counters{}, fmt.Errorf("read the gateway's log: %w", err)
	}
	var said struct {
		Message    string `json:"msg"`
		Conflicts  *int64 `json:"conflicts"`
		Mismatches *int64 `json:"mismatches"`
	}
	for line := range strings.Lines(string(text)) {
		one := said
		if json.Unmarshal([]byte(line), &one) == nil && one.Message == "evidence counted" {
			said = one
		}
	}
	if said.Conflicts == nil || said.Mismatches == nil {
		return reputation.Counters{}, errSilent
	}
	return reputation.Counters{Conflicts: *said.Conflicts, Mismatches: *said.Mismatches}, nil
}
