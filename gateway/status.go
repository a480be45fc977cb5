package gateway

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/health"
	"github.com/callseal/callseal/gateway/metrics"
)

// status is how the gateway is, for StatusService.
func (g *Gateway) status(ctx context.Context) (*pb.GetStatusResponse, error) {
	report := g.health.Report()
	version, revision, goVersion := metrics.Version()
	chaincode, _ := g.chaincodeVersion.Load().(string)
	answer := &pb.GetStatusResponse{
		Operator: g.config.Operator, Msp: g.config.MSP, Version: version, Revision: revision, GoVersion: goVersion,
		StartedAt: timestamppb.New(g.startedAt), ChaincodeVersion: chaincode,
		Accepting: report.Serving, Reason: report.Reason,
		Dependencies: healthMessages(report.Dependencies), Services: healthMessages(report.Services),
		Ledger: &pb.Heights{}, Queue: &pb.Queue{},
	}
	for _, peer := range g.channel.Peers() {
		answer.Peers = append(answer.Peers, &pb.PeerStatus{Address: peer.Address, Reachable: peer.Healthy, Height: peer.Height})
	}
	asking, cancel := context.WithTimeout(ctx, g.config.Health.Timeout)
	defer cancel()
	if height, err := g.channel.Height(asking); err == nil {
		answer.Ledger.Peer = height
	}
	answer.Ledger.Index = g.index.Height()
	if answer.Ledger.Peer > answer.Ledger.Index {
		answer.Ledger.Lag = answer.Ledger.Peer - answer.Ledger.Index
	}
	if stats, err := g.journal.Stats(); err == nil {
		answer.Queue = &pb.Queue{
			Queued: int64(stats.Queued), Committed: int64(stats.Committed), Refused: int64(stats.Refused), InFlight: int64(stats.InFlight),
			Bytes: stats.Bytes, DiskBytes: stats.DiskBytes,
		}
		if !stats.OldestAcceptedAt.IsZero() {
			answer.Queue.OldestAcceptedAt = timestamppb.New(stats.OldestAcceptedAt)
		}
	}
	// Those that cannot be read are told of by the dependency "identity".
	expiries, _ := health.Expiries(g.certificates())
	for _, one := range expiries {
		answer.Certificates = append(answer.Certificates, &pb.CertificateStatus{Name: one.Name, Subject: one.Subject, NotAfter: timestamppb.New(one.NotAfter)})
	}
	return answer, nil
}

func healthMessages(states []health.State) []*pb.Health {
	messages := make([]*pb.Health, len(states))
	for i, state := range states {
		messages[i] = &pb.Health{Name: state.Name, Serving: state.Serving, Reason: state.Reason, Since: timestamppb.New(state.Since)}
	}
	return messages
}
