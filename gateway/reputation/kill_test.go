package reputation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/networktest"
)

// keyedReport is evidence under a key, and what was answered.
type keyedReport struct {
	request  *pb.ReportRequest
	response *pb.ReportResponse
}

// testKilledWhileEvidenceIsReported kills the gateway's own program again and again
// while adapters report with keys, and again with the same key until they are
// answered. On the ledger everything counts once.
func testKilledWhileEvidenceIsReported(t *testing.T, w *world) {
	const kills, adapters, subjects = 20, 12, 5
	w.halt(t, "Atlas")
	program := filepath.Join(networktest.Build(t, "callseal-gateway"), "callseal-gateway")
	run := func() *gatewaytest.Process {
		return gatewaytest.Run(t, program, w.Layout().Operator("Atlas").GatewayConfig())
	}
	from, err := w.channel(t, "Atlas", "auditor").Height(within(t))
	require.NoError(t, err)
	process := run()
	var runs []*gatewaytest.Process
	var reporting sync.WaitGroup
	var answered atomic.Int64
	over := make(chan struct{})
	done := make([][]*keyedReport, adapters)
	failures := make(chan error, adapters)
	interrupted := make([]int, adapters)
	for i := range adapters {
		client := w.adapter(t, "Atlas")
		reporting.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				one := &keyedReport{request: &pb.ReportRequest{IdempotencyKey: fmt.Sprintf("adapter-%d-report-%d", i, n)}}
				for range 1 + rand.IntN(3) { // a subject may come more than once
					subject := fmt.Sprintf("tel:+35121000020%d", rand.IntN(subjects))
					if rand.IntN(3) == 0 {
						one.request.Evidence = append(one.request.Evidence, negative(subject, 1+rand.Int64N(3)))
					} else {
						one.request.Evidence = append(one.request.Evidence, positive(subject))
					}
				}
				again, err := one.send(within(t), client)
				interrupted[i] += again
				if err != nil {
					failures <- err
					return
				}
				done[i] = append(done[i], one)
				answered.Add(1)
			}
		})
	}
	for range kills {
		// Until it is under load, and then at any instant.
		before := answered.Load()
		require.Eventually(t, func() bool { return answered.Load() >= before+adapters || len(failures) > 0 }, patience, time.Millisecond)
		time.Sleep(rand.N(60 * time.Millisecond))
		process.Kill()
		process = run()
		runs = append(runs, process)
	}
	close(over)
	reporting.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}

	// Every key answers what it answered, also after one more kill.
	process.Kill()
	run()
	alpha, beta := map[string]int64{}, map[string]int64{}
	client, reports, again := w.adapter(t, "Atlas"), 0, 0
	for i := range done {
		again += interrupted[i]
		for _, one := range done[i] {
			reports++
			repeated := &keyedReport{request: one.request}
			_, err := repeated.send(within(t), client)
			require.NoError(t, err)
			require.True(t, proto.Equal(one.response, repeated.response), "%s answered %v, and then %v", one.request.GetIdempotencyKey(), one.response, repeated.response)
			for n, item := range one.request.GetEvidence() {
				subject := one.response.GetReceipts()[n].GetSubject()
				if item.GetKind() == ledger.EvidenceLongCall {
					alpha[subject] += item.GetCount()
				} else {
					beta[subject] += item.GetCount()
				}
			}
		}
	}
	resumed := 0
	for _, one := range runs {
		if log := one.Log(); strings.Contains(log, `"in_flight":`) && !strings.Contains(log, `"in_flight":0`) {
			resumed++
		}
	}
	t.Logf("%d reports, %d times interrupted by %d kills, %d of which met a transaction under way", reports, again, kills, resumed)
	require.Positive(t, resumed)
	require.Greater(t, again, kills, "the kills met reports")
	require.Len(t, alpha, subjects)

	// The ledger as an auditor reads it: each chain is whole, and its evidence is what
	// was reported.
	channel := w.channel(t, "Atlas", "auditor")
	to, err := channel.Height(within(t))
	require.NoError(t, err)
	last := map[string]*ledger.Opinion{}
	positives, negatives := map[string]int64{}, map[string]int64{}
	for number := from; number < to; number++ {
		block, err := channel.Block(within(t), number)
		require.NoError(t, err)
		writes, err := fabric.PublicWrites(block, w.Consortium().Chaincode)
		require.NoError(t, err)
		for _, write := range writes {
			opinion := &ledger.Opinion{}
			require.NoError(t, ledger.DecodeStrict(write.Value, opinion))
			if before := last[opinion.Subject]; before != nil {
				require.NoError(t, ledger.CheckChain(before, opinion))
			} else {
				require.EqualValues(t, 1, opinion.Seq)
			}
			last[opinion.Subject] = opinion
			for _, item := range opinion.Evidence {
				if item.Kind == ledger.EvidenceLongCall {
					positives[opinion.Subject] += item.Count
				} else {
					negatives[opinion.Subject] += item.Count
				}
			}
		}
	}
	require.Equal(t, alpha, positives)
	require.Equal(t, beta, negatives)
	for subject, opinion := range last {
		require.Equal(t, 1000*alpha[subject], opinion.Totals.Alpha)
		require.Equal(t, 1000*beta[subject], opinion.Totals.Beta)
	}
}

// send reports until it is answered, and says how often it was not.
func (r *keyedReport) send(ctx context.Context, client pb.ReputationServiceClient) (again int, err error) {
	for {
		trying, cancel := context.WithTimeout(ctx, 10*time.Second)
		r.response, err = client.Report(trying, r.request, grpc.WaitForReady(true))
		cancel()
		if err == nil || ctx.Err() != nil {
			return again, err
		}
		again++
		if !passing(err) {
			return again, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// passing says whether an error is one of a connection that broke, or says of itself
// that it passes.
func passing(err error) bool {
	given := status.Convert(err)
	for _, detail := range given.Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is {
			return info.GetMetadata()["retryable"] == "true"
		}
	}
	return given.Code() == codes.Unavailable || given.Code() == codes.DeadlineExceeded
}
