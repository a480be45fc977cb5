package chaincode_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/network/networktest"
)

// BenchmarkReputation has reporters at the three operators' gateways report evidence
// on one subject, each its next report as soon as the last one is on the ledger.
func BenchmarkReputation(b *testing.B) {
	n := networktest.Start(b, networktest.WithGateways())
	atlas := channel(b, n, "Atlas")
	var gateways []grpc.ClientConnInterface
	for _, operator := range []string{"Atlas", "Borealis", "Corvus"} {
		gateways = append(gateways, dial(b, n, operator, "gateway"))
	}
	for round, reporters := range []int{1, 100} {
		subject := fmt.Sprintf("tel:+35121000000%d", round)
		b.Run(fmt.Sprintf("reporters=%d", reporters), func(b *testing.B) {
			before := height(b, atlas)
			var due, took atomic.Int64
			due.Store(int64(b.N * reporters))
			group, ctx := errgroup.WithContext(b.Context())
			began := time.Now()
			for i := range reporters {
				group.Go(func() error {
					for due.Add(-1) >= 0 {
						sent := time.Now()
						if err := report(ctx, gateways[i%len(gateways)], subject); err != nil {
							return err
						}
						took.Add(int64(time.Since(sent)))
					}
					return nil
				})
			}
			require.NoError(b, group.Wait())
			reports := float64(b.N * reporters)
			b.ReportMetric(reports/time.Since(began).Seconds(), "reports/s")
			b.ReportMetric(float64(took.Load())/reports/1e6, "ms/report")
			time.Sleep(200 * time.Millisecond)
			share := sizes{}
			for number := before; number < height(b, atlas); number++ {
				share.add(b, block(b, atlas, number))
			}
			b.ReportMetric(float64(share.total)/reports, "B/report")
		})
	}
}

func report(ctx context.Context, gateway grpc.ClientConnInterface, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := pb.NewReputationServiceClient(gateway).Report(ctx, &pb.ReportRequest{Evidence: []*pb.Evidence{{Subject: subject, Kind: "long_call", Count: 1}}})
	return err
}
