package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/audit"
	"github.com/callseal/callseal/gateway/fabric"
)

// askTimeout bounds one audit.
const askTimeout = 30 * time.Second

// prove shows the untouched files to be intact.
func (s *show) prove(ctx context.Context, where *scene) error {
	call := where.calls[0]
	s.title("Verify the recording and the CDR row of call %s", call.LinkedID)
	verdict, err := s.askGateway(ctx, where, call)
	if err != nil {
		return err
	}
	s.sayVerdict(verdict)
	if verdict.Outcome != audit.Intact {
		return fmt.Errorf("the untouched recording was found %s", verdict.Outcome)
	}
	s.tally["intact"]++
	return nil
}

// question is about the first call's files, whatever lies there now.
func (s *show) question(ctx context.Context, where *scene, call anchored) (audit.Question, error) {
	question := audit.Question{
		MSP: s.owner.MSP, PBX: s.owner.PBXs[0], LinkedID: call.LinkedID,
		Recording: where.wav(call), CDR: where.csv, Zone: time.UTC,
	}
	if where.disclosure != nil {
		question.Disclosures = where.disclosure
		return question, nil
	}
	// The owner discloses the details once; who has them needs no gateway again.
	connection, err := s.gateway("compliance")
	if err != nil {
		return question, err
	}
	defer func() { _ = connection.Close() }()
	// Details follow the record that was committed by a transaction of their own.
	response, err := backoff.Retry(ctx, func() (*pb.ListLegsResponse, error) {
		answer, err := pb.NewCallServiceClient(connection).ListLegs(ctx, &pb.ListLegsRequest{Msp: question.MSP, Pbx: question.PBX, Linkedid: call.LinkedID, IncludeDetails: true})
		if err != nil && status.Code(err) != codes.NotFound {
			return nil, backoff.Permanent(err)
		}
		return answer, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)))
	if err != nil {
		return question, fmt.Errorf("have the details disclosed: %w", err)
	}
	for _, leg := range response.GetCalls() {
		where.disclosure = append(where.disclosure, leg.GetDetailsJson())
	}
	question.Disclosures = where.disclosure
	return question, nil
}

// askGateway audits through the owner's gateway.
func (s *show) askGateway(ctx context.Context, where *scene, call anchored) (*audit.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	question, err := s.question(ctx, where, call)
	if err != nil {
		return nil, err
	}
	connection, err := s.gateway("auditor")
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	return audit.Ask(ctx, audit.ViaGateway(connection, "the gateway of "+s.owner.Name), question)
}

// askPeer audits through another operator's peer while the owner's gateway is
// stopped.
func (s *show) askPeer(ctx context.Context, where *scene, call anchored) (verdict *audit.Verdict, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	question, err := s.question(ctx, where, call)
	if err != nil {
		return nil, err
	}
	node := s.owner.ID() + "-gateway"
	if err := s.network.Stop(ctx, node); err != nil {
		return nil, fmt.Errorf("stop the gateway: %w", err)
	}
	defer func() { err = errors.Join(err, s.network.Start(ctx, node)) }()
	org := s.network.Layout().Operator(s.other.Name)
	identity := org.Identity("auditor")
	channel, err := fabric.Open(fabric.Config{
		MSP: s.other.MSP, Channel: s.network.Consortium().Channel, Chaincode: s.network.Consortium().Chaincode,
		Peers:       []fabric.PeerConfig{{Address: s.other.Peer.Address, CAFile: org.TLSCAFile()}},
		TLSCertFile: identity.TLSCertFile(), TLSKeyFile: identity.TLSKeyFile(),
		CertFile: identity.CertFile(), KeyFile: identity.KeyFile(),
	})
	if err != nil {
		return nil, fmt.Errorf("reach the peer of %s: %w", s.other.Name, err)
	}
	defer func() { _ = channel.Close() }()
	return audit.Ask(ctx, audit.ViaPeer(channel, "the peer of "+s.other.Name), question)
}

func (s *show) gateway(role string) (*grpc.ClientConn, error) {
	org := s.network.Layout().Operator(s.owner.Name)
	identity := org.Identity(role)
	return connect.Dial(connect.Config{
		Address: s.owner.Gateway.Address, CAFile: org.TLSCAFile(), CertFile: identity.CertFile(), KeyFile: identity.KeyFile(),
	})
}

// sayVerdict shows a verdict and what it rests on.
func (s *show) sayVerdict(verdict *audit.Verdict) {
	s.say("asked %s: %s", verdict.Asked, strings.ToUpper(string(verdict.Outcome)))
	for _, finding := range verdict.Findings {
		s.say("  %s %s: %s", finding.Subject, finding.Outcome, finding.Statement)
		for _, difference := range finding.Differences {
			s.say("    %s: found %s, endorsed %s", difference.Field, shorten(difference.Found), shorten(difference.Endorsed))
		}
		for _, note := range finding.Notes {
			s.say("    %s", note)
		}
		if endorsement := finding.Endorsement; endorsement != nil && finding.Outcome == audit.Intact {
			s.say("    endorsed by %s, block %d, transaction %s…", strings.Join(endorsement.Endorsers, " and "), endorsement.Block, endorsement.TransactionID[:16])
		}
	}
}

// shorten keeps digests readable.
func shorten(value string) string {
	switch {
	case value == "":
		return "nothing"
	case len(value) > 40:
		return value[:16] + "…"
	default:
		return value
	}
}
