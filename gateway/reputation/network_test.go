package reputation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	arithmetic "github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/reputation"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const (
	patience = 2 * time.Minute
	target   = "tel:+351210009999" // the subject of a thousand reports
	attacker = "ip:203.0.113.77"
	trunk    = "aor:221@pbx2.example.net"
)

// world is a network of three operators whose gateways run in this process.
type world struct {
	*networktest.Network
	gateways map[string]*running // by operator
}

// running is a gateway in this process.
type running struct {
	stop  context.CancelFunc
	ended chan error
	log   lockedBuffer
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) lines() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Split(bytes.Clone(b.text.Bytes()), []byte("\n"))
}

// TestOnARealNetwork runs everything that needs one on a single network.
func TestOnARealNetwork(t *testing.T) {
	w := &world{Network: networktest.Start(t), gateways: map[string]*running{}}
	for _, operator := range w.Consortium().Operators {
		w.start(t, operator.Name)
	}
	// Nothing ages during the test: its steps are hours long.
	standard, err := ledger.DefaultPolicy(ledger.PolicyReputation)
	require.NoError(t, err)
	step := standard.Policy.Reputation.HalfLifeMS / 256
	if left := step - time.Now().UnixMilli()%step; left < (5 * time.Minute).Milliseconds() {
		time.Sleep(time.Duration(left) * time.Millisecond)
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"the paper's scenarios", testThePapersScenarios},
		{"no operator alone", testNoOperatorAlone},
		{"what is refused", testRefusals},
		{"a thousand reports on one subject", testAThousandReports},
		{"a lone report", testALoneReport},
		{"a gateway starts again", testRestart},
		{"killed while evidence is reported", testKilledWhileEvidenceIsReported},
		{"nothing in clear", testNothingInClear},
	} {
		// Each goes on with the gateways as the one before left them.
		if !t.Run(part.name, func(t *testing.T) { part.run(t, w) }) {
			break
		}
	}
}

// start runs an operator's gateway and waits until it serves.
func (w *world) start(t *testing.T, operator string) {
	t.Helper()
	config, err := gateway.LoadConfig(w.Layout().Operator(operator).GatewayConfig())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	g := &running{stop: stop, ended: make(chan error, 1)}
	w.gateways[operator] = g
	go func() {
		g.ended <- gateway.Run(ctx, config, slog.New(slog.NewJSONHandler(&g.log, &slog.HandlerOptions{Level: slog.LevelInfo})))
	}()
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			for _, line := range g.log.lines() {
				t.Logf("%s: %s", operator, line)
			}
		}
	})
	_, err = w.as(t, operator, "auditor").GetScore(within(t), &pb.GetScoreRequest{Subject: target}, grpc.WaitForReady(true))
	require.NoError(t, err)
}

// halt stops an operator's gateway and answers what it says it did.
func (w *world) halt(t *testing.T, operator string) reputation.Counters {
	t.Helper()
	g := w.gateways[operator]
	g.stop()
	select {
	case err := <-g.ended:
		require.NoError(t, err)
	case <-time.After(patience):
		t.Fatalf("the gateway of %s does not stop", operator)
	}
	for _, line := range slices.Backward(g.log.lines()) {
		var said struct {
			Message string `json:"msg"`
			reputation.Counters
		}
		if json.Unmarshal(line, &said) == nil && said.Message == "evidence counted" {
			return said.Counters
		}
	}
	t.Fatalf("the gateway of %s does not say what it counted", operator)
	return reputation.Counters{}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (w *world) member(t *testing.T, name string) network.Member {
	t.Helper()
	for _, member := range w.Consortium().Operators {
		if member.Name == name {
			return member
		}
	}
	t.Fatalf("no operator %s", name)
	return network.Member{}
}

// as is an operator's gateway as one of its identities reaches it.
func (w *world) as(t *testing.T, operator, identity string) pb.ReputationServiceClient {
	t.Helper()
	org := w.Layout().Operator(operator)
	connection, err := connect.Dial(connect.Config{
		Address: w.member(t, operator).Gateway.Address, CAFile: org.TLSCAFile(),
		CertFile: org.Identity(identity).CertFile(), KeyFile: org.Identity(identity).KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return pb.NewReputationServiceClient(connection)
}

// adapter is an operator's gateway as its adapter reaches it.
func (w *world) adapter(t *testing.T, operator string) pb.ReputationServiceClient {
	t.Helper()
	return w.as(t, operator, w.member(t, operator).PBXs[0])
}

// channel is the channel as an identity of an operator sees it.
func (w *world) channel(t *testing.T, operator, identity string) *fabric.Channel {
	t.Helper()
	org, member := w.Layout().Operator(operator), w.member(t, operator)
	files := org.Identity(identity)
	opened, err := fabric.Open(fabric.Config{
		MSP: member.MSP, Channel: w.Consortium().Channel, Chaincode: w.Consortium().Chaincode, Peers: []fabric.PeerConfig{{Address: member.Peer.Address, CAFile: org.TLSCAFile()}},
		TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

func positive(subject string) *pb.Evidence {
	return &pb.Evidence{Subject: subject, Kind: ledger.EvidenceLongCall, Count: 1}
}

func negative(subject string, n int64) *pb.Evidence {
	return &pb.Evidence{Subject: subject, Kind: ledger.EvidenceAuthFailure, Count: n, Attempts: n}
}

// report has an operator's adapter report, which must succeed.
func (w *world) report(t *testing.T, operator string, evidence ...*pb.Evidence) []*pb.EvidenceReceipt {
	t.Helper()
	response, err := w.adapter(t, operator).Report(within(t), &pb.ReportRequest{Evidence: evidence})
	require.NoError(t, err)
	require.Len(t, response.GetReceipts(), len(evidence))
	return response.GetReceipts()
}

// score asks an operator's gateway until its peer has caught up with the block.
func (w *world) score(t *testing.T, operator, subject string, after ...*pb.EvidenceReceipt) *pb.Reputation {
	t.Helper()
	channel := w.channel(t, operator, "auditor")
	for _, receipt := range after {
		require.Eventually(t, func() bool {
			height, err := channel.Height(within(t))
			return err == nil && height > receipt.GetCommit().GetBlock()
		}, patience, 10*time.Millisecond)
	}
	response, err := w.as(t, operator, "auditor").GetScore(within(t), &pb.GetScoreRequest{Subject: subject})
	require.NoError(t, err)
	return response.GetReputation()
}

// testThePapersScenarios are P2's: 5, then 6 or 4; an address with 6 that guesses
// eight passwords; an extension behind another PBX.
func testThePapersScenarios(t *testing.T, w *world) {
	require.EqualValues(t, 5000, w.score(t, "Atlas", trunk).GetScore())
	require.Equal(t, pb.Standing_STANDING_UNKNOWN, w.score(t, "Atlas", trunk).GetStanding())
	receipts := w.report(t, "Atlas", positive(trunk))
	require.EqualValues(t, 6000, receipts[0].GetOwnScore())
	require.Equal(t, "VALID", receipts[0].GetCommit().GetValidationCode())
	require.EqualValues(t, 6000, w.score(t, "Borealis", trunk, receipts...).GetScore(), "seen by another operator")
	receipts = w.report(t, "Atlas", negative("tel:+351210000001", 1))
	merged := w.score(t, "Corvus", "tel:+351210000001", receipts...)
	require.EqualValues(t, 4000, merged.GetScore())
	require.Equal(t, pb.Standing_STANDING_REPORTED, merged.GetStanding())
	require.False(t, merged.GetBlocks())

	first := w.report(t, "Atlas", &pb.Evidence{Subject: attacker, Kind: ledger.EvidenceAuthSuccess, Count: 1})
	require.EqualValues(t, 6000, w.score(t, "Atlas", attacker, first...).GetScore())
	for i := int64(1); i <= 8; i++ {
		receipts = w.report(t, "Atlas", negative(attacker, 1))
		require.Equal(t, 10_000*3_000/(4_000+1_000+1_000*i), receipts[0].GetOwnScore())
		require.Equal(t, i+1, receipts[0].GetSeq())
	}
	merged = w.score(t, "Borealis", attacker, receipts...)
	require.EqualValues(t, 2307, merged.GetScore())
	require.Equal(t, pb.Standing_STANDING_PROVISIONALLY_BLOCKED, merged.GetStanding())
	require.True(t, merged.GetBlocks())
	require.InDelta(t, time.Hour.Seconds(), time.Until(merged.GetUntil().AsTime()).Seconds(), 120)
	require.Equal(t, []string{"AtlasMSP"}, merged.GetAlone())

	listed, err := w.as(t, "Corvus", "auditor").ListOpinions(within(t), &pb.ListOpinionsRequest{Subject: attacker})
	require.NoError(t, err)
	require.Len(t, listed.GetOpinions(), 1)
	require.EqualValues(t, 8000, listed.GetOpinions()[0].GetBeta())
	require.EqualValues(t, 8000, listed.GetOpinions()[0].GetAttempts())
	// By its pseudonym it is the same.
	require.EqualValues(t, 2307, w.score(t, "Corvus", receipts[0].GetSubject()).GetScore())
}

// testNoOperatorAlone bad-mouths a number that another operator knows well.
func testNoOperatorAlone(t *testing.T, w *world) {
	const victim = "tel:+351210000002"
	good := w.report(t, "Borealis", positive(victim))
	bad := w.report(t, "Corvus", negative(victim, 1000), &pb.Evidence{Subject: victim, Kind: ledger.EvidenceShortCall, Count: 1000, Attempts: 1000})
	merged := w.score(t, "Atlas", victim, append(good, bad...)...)
	require.EqualValues(t, 5000, merged.GetScore())
	require.Equal(t, pb.Standing_STANDING_CONTESTED, merged.GetStanding())
	require.Equal(t, []string{"CorvusMSP"}, merged.GetAlone())
	require.False(t, merged.GetBlocks())
	bad = w.report(t, "Atlas", negative(victim, 3))
	merged = w.score(t, "Atlas", victim, bad...)
	require.Equal(t, pb.Standing_STANDING_BLOCKED, merged.GetStanding(), "two operators say so")
	require.Empty(t, merged.GetAlone())

	// The operator's compliance pardons, and signs for it itself.
	pseudonym := bad[0].GetSubject()
	pardon, err := w.channel(t, "Atlas", "compliance").Transact(within(t), fabric.Proposal{Function: "reputation:Pardon", Args: []string{"1", pseudonym, "3600000", ledger.ReasonFalsePositive}})
	require.NoError(t, err)
	merged = w.score(t, "Atlas", victim, &pb.EvidenceReceipt{Commit: &pb.Commit{Block: pardon.Block}})
	require.Equal(t, pb.Standing_STANDING_CONTESTED, merged.GetStanding())
}

// testRefusals reports what is none of a gateway's business.
func testRefusals(t *testing.T, w *world) {
	height := func() uint64 {
		height, err := w.channel(t, "Atlas", "auditor").Height(within(t))
		require.NoError(t, err)
		return height
	}
	before := height()
	for name, c := range map[string]struct {
		identity string
		evidence *pb.Evidence
		code     codes.Code
	}{
		"an auditor":           {"auditor", positive(target), codes.PermissionDenied},
		"compliance":           {"compliance", positive(target), codes.PermissionDenied},
		"an emergency number":  {"gateway", negative("tel:112", 9), codes.FailedPrecondition},
		"a private address":    {"gateway", negative("ip:10.0.0.1", 9), codes.FailedPrecondition},
		"carrier-grade NAT":    {"gateway", negative("ip:100.64.0.1", 9), codes.FailedPrecondition},
		"no address":           {"gateway", positive("221"), codes.InvalidArgument},
		"a kind nobody knows":  {"gateway", &pb.Evidence{Subject: target, Kind: "rumour", Count: 1}, codes.InvalidArgument},
		"negative events":      {"gateway", &pb.Evidence{Subject: target, Kind: ledger.EvidenceLongCall, Count: -1}, codes.InvalidArgument},
		"more than is counted": {"gateway", &pb.Evidence{Subject: target, Kind: ledger.EvidenceLongCall, Count: 1001}, codes.InvalidArgument},
	} {
		_, err := w.as(t, "Atlas", c.identity).Report(within(t), &pb.ReportRequest{Evidence: []*pb.Evidence{c.evidence}})
		require.Equal(t, c.code, status.Code(err), "%s: %v", name, err)
	}
	require.Equal(t, before, height())
	response, err := w.as(t, "Atlas", "auditor").GetScore(within(t), &pb.GetScoreRequest{Subject: "tel:112"})
	require.NoError(t, err)
	require.Equal(t, pb.Standing_STANDING_ALLOWED, response.GetReputation().GetStanding())

	// An operator cannot write another's opinion, not even its gateway.
	theft := &ledger.Opinion{
		At: ledger.TimeOf(time.Now()), Epoch: 1, Evidence: []ledger.EvidenceItem{{Count: 1, Kind: ledger.EvidenceLongCall}}, MSP: "BorealisMSP",
		Seq: 1, Subject: "tel:" + string(bytes.Repeat([]byte("ab"), 32)), V: ledger.SchemaVersion, Writer: 1,
	}
	standard, err := ledger.DefaultPolicy(ledger.PolicyReputation)
	require.NoError(t, err)
	theft.Totals, err = theft.Next(standard.Policy.Reputation)
	require.NoError(t, err)
	wire, err := ledger.Canonical([]*ledger.Opinion{theft})
	require.NoError(t, err)
	_, err = w.channel(t, "Atlas", "gateway").Transact(within(t), fabric.Proposal{Function: "reputation:Record", Args: []string{string(wire)}})
	require.ErrorContains(t, err, "AtlasMSP may not act for BorealisMSP")
}

// testAThousandReports has the adapters of three operators report on one subject
// at the same time: first all at once, so that evidence gathers, then each in a
// row, so that transactions on the subject overlap.
func testAThousandReports(t *testing.T, w *world) {
	const atOnce, inARow = 334, 30
	channel := w.channel(t, "Atlas", "auditor")
	from, err := channel.Height(within(t))
	require.NoError(t, err)
	var reports sync.WaitGroup
	var mu sync.Mutex
	var last *pb.EvidenceReceipt // of the highest block
	report := func(client pb.ReputationServiceClient, evidence *pb.Evidence) {
		response, err := client.Report(within(t), &pb.ReportRequest{Evidence: []*pb.Evidence{evidence}})
		for status.Code(err) == codes.ResourceExhausted { // nothing of it is counted
			time.Sleep(20 * time.Millisecond)
			response, err = client.Report(within(t), &pb.ReportRequest{Evidence: []*pb.Evidence{evidence}})
		}
		if err != nil {
			t.Errorf("report: %v", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if receipt := response.GetReceipts()[0]; last == nil || receipt.GetCommit().GetBlock() > last.GetCommit().GetBlock() {
			last = receipt
		}
	}
	began := time.Now()
	for _, operator := range w.Consortium().Operators {
		clients := []pb.ReputationServiceClient{w.adapter(t, operator.Name), w.adapter(t, operator.Name)}
		for i := range atOnce {
			evidence := positive(target)
			if i%4 == 3 { // 83 of 334
				evidence = negative(target, 2)
			}
			reports.Go(func() { report(clients[i%2], evidence) })
		}
	}
	reports.Wait()
	t.Logf("%d concurrent reports on one subject: %s", 3*atOnce, time.Since(began).Round(time.Millisecond))
	took := make(chan time.Duration, 3*inARow)
	for _, operator := range w.Consortium().Operators {
		client := w.adapter(t, operator.Name)
		reports.Go(func() {
			for range inARow {
				began := time.Now()
				report(client, positive(target))
				took <- time.Since(began)
			}
		})
	}
	reports.Wait()
	close(took)
	t.Logf("%d reports in three rows: %s", 3*inARow, quantiles(slices.Collect(each(took))))
	require.False(t, t.Failed())

	// By hand: each operator holds 251 + 30 positive and 83·2 negative events.
	const alpha, beta = 3 * (251 + 30), 3 * 83 * 2
	merged := w.score(t, "Atlas", target, last)
	to, err := channel.Height(within(t))
	require.NoError(t, err)
	require.EqualValues(t, 10_000*(2+alpha)/(4+alpha+beta), merged.GetScore())
	require.EqualValues(t, 3, merged.GetHolders())
	require.Equal(t, pb.Standing_STANDING_GOOD, merged.GetStanding())

	chains, transactions := w.follow(t, from, to)
	t.Logf("%d transactions in %d blocks", transactions, to-from)
	for key, opinions := range chains {
		last := opinions[len(opinions)-1]
		require.EqualValues(t, 281_000, last.Totals.Alpha, key)
		require.EqualValues(t, 166_000, last.Totals.Beta, key)
		require.EqualValues(t, len(opinions), last.Seq, "every one is there")
		require.GreaterOrEqual(t, len(opinions), 2+inARow-1)
	}
	require.Len(t, chains, 3)
}

// follow reads blocks as an auditor would: every transaction must be VALID, and
// every opinion on the target must follow the one before.
func (w *world) follow(t *testing.T, from, to uint64) (chains map[string][]*ledger.Opinion, transactions int) {
	t.Helper()
	blocks := w.channel(t, "Atlas", "auditor").In("qscc")
	chains = map[string][]*ledger.Opinion{}
	for n := from; n < to; n++ {
		raw, err := blocks.Evaluate(within(t), "GetBlockByNumber", w.Consortium().Channel, number(n))
		require.NoError(t, err)
		block := &common.Block{}
		require.NoError(t, proto.Unmarshal(raw, block))
		for _, code := range block.GetMetadata().GetMetadata()[common.BlockMetadataIndex_TRANSACTIONS_FILTER] {
			require.Equal(t, peer.TxValidationCode_VALID, peer.TxValidationCode(code), "no conflict and no mismatch in block %d", n)
			transactions++
		}
		writes, err := fabric.PublicWrites(block, w.Consortium().Chaincode)
		require.NoError(t, err)
		for _, write := range writes {
			opinion := &ledger.Opinion{}
			require.NoError(t, ledger.DecodeStrict(write.Value, opinion))
			if before := chains[write.Key]; len(before) > 0 {
				require.NoError(t, ledger.CheckChain(before[len(before)-1], opinion))
			} else {
				require.EqualValues(t, 1, opinion.Seq)
			}
			chains[write.Key] = append(chains[write.Key], opinion)
		}
	}
	return chains, transactions
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// testALoneReport measures one report after another.
func testALoneReport(t *testing.T, w *world) {
	client := w.adapter(t, "Borealis")
	var took []time.Duration
	for range 50 {
		began := time.Now()
		_, err := client.Report(within(t), &pb.ReportRequest{Evidence: []*pb.Evidence{positive("tel:+351210000003")}})
		require.NoError(t, err)
		took = append(took, time.Since(began))
	}
	t.Logf("a lone report: %s", quantiles(took))
}

// quantiles says how long things took.
func quantiles(took []time.Duration) string {
	slices.Sort(took)
	at := func(percent int) time.Duration { return took[len(took)*percent/100].Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s", at(50), at(90), at(99))
}

// each is what a closed channel holds.
func each[T any](values <-chan T) func(yield func(T) bool) {
	return func(yield func(T) bool) {
		for value := range values {
			if !yield(value) {
				return
			}
		}
	}
}

// testRestart stops the gateways, which say that nothing ever conflicted, and goes
// on with one.
func testRestart(t *testing.T, w *world) {
	for _, operator := range w.Consortium().Operators {
		did := w.halt(t, operator.Name)
		t.Logf("%s: %+v", operator.Name, did)
		require.Zero(t, did.Conflicts)
		require.Zero(t, did.Mismatches)
		// Retries are logged only: a busy machine's peer may answer too late.
		require.GreaterOrEqual(t, did.Reports, int64(364))
		require.Less(t, did.Transactions, did.Reports, "reports share transactions")
	}
	w.start(t, "Atlas")
	receipts := w.report(t, "Atlas", negative(attacker, 1))
	require.EqualValues(t, 10, receipts[0].GetSeq(), "it goes on where it stopped")
	require.EqualValues(t, 10_000*3/14, receipts[0].GetOwnScore())
}

// testNothingInClear looks for the subjects in the ledger's and the nodes' files.
func testNothingInClear(t *testing.T, w *world) {
	for _, address := range []string{target, attacker, trunk} {
		parsed, err := arithmetic.ParseAddress(address, nil)
		require.NoError(t, err)
		_, plain, _ := strings.Cut(parsed.Text(), ":")
		needle := []byte(plain)
		searched := 0
		require.NoError(t, filepath.WalkDir(w.Layout().Root(), func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return nil //nolint:nilerr // a running node's files come and go
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return nil //nolint:nilerr // as above
			}
			searched++
			require.False(t, bytes.Contains(content, needle), "%s holds a subject in clear", path)
			return nil
		}))
		require.Greater(t, searched, 50)
		for operator, g := range w.gateways {
			for _, line := range g.log.lines() {
				require.False(t, bytes.Contains(line, needle), "the log of %s holds a subject in clear", operator)
			}
		}
	}
}
