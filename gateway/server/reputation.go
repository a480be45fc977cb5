package server

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	arithmetic "github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/idempotency"
	"github.com/callseal/callseal/gateway/reputation"
)

type reputationService struct {
	pb.UnimplementedReputationServiceServer
	tally *reputation.Tally // nil without a consortium key
}

// counting is the tally, or a fault where there is none.
func (s *reputationService) counting() (*reputation.Tally, error) {
	if s.tally == nil {
		return nil, fault.New(fault.State, "this gateway has no consortium key, which pseudonyms are made with: set reputation.consortium_key_file in its configuration")
	}
	return s.tally, nil
}

func errNoKey() error {
	return fault.New(fault.State, "this gateway has no consortium key, which pseudonyms are made with: set reputation.consortium_key_file in its configuration")
}

// Report implements callseal.v1.ReputationService.
func (s *reputationService) Report(ctx context.Context, request *pb.ReportRequest) (*pb.ReportResponse, error) {
	tally, err := s.counting()
	if err != nil {
		return nil, err
	}
	evidence := make([]reputation.Evidence, len(request.GetEvidence()))
	for i, item := range request.GetEvidence() {
		evidence[i] = reputation.Evidence{Address: item.GetSubject(), Kind: item.GetKind(), Count: item.GetCount(), Attempts: item.GetAttempts()}
	}
	receipts, err := report(ctx, tally, evidence)
	if errors.Is(err, reputation.ErrUncertain) {
		return nil, status.Error(codes.DeadlineExceeded, reputation.ErrUncertain.Error())
	}
	if err != nil {
		return nil, err
	}
	response := &pb.ReportResponse{}
	for i := range receipts {
		receipt := &receipts[i]
		response.Receipts = append(response.Receipts, &pb.EvidenceReceipt{
			Subject: receipt.Subject, Epoch: receipt.Epoch, Seq: receipt.Seq, OwnScore: receipt.Score, Commit: commitMessage(receipt.Commit),
		})
	}
	return response, nil
}

// report counts evidence: once for each key, where the request bears one.
func report(ctx context.Context, tally *reputation.Tally, evidence []reputation.Evidence) ([]reputation.Receipt, error) {
	name, content, keyed := idempotency.KeyOf(ctx)
	if !keyed {
		return tally.Report(ctx, evidence)
	}
	return tally.ReportOnce(ctx, reputation.Key{Name: [32]byte(name), Digest: [32]byte(content)}, evidence)
}

// GetScore implements callseal.v1.ReputationService. Emergency numbers are allowed
// without asking the ledger, so that no fault of it can stop a call to one.
func (s *reputationService) GetScore(ctx context.Context, request *pb.GetScoreRequest) (*pb.GetScoreResponse, error) {
	tally, err := s.counting()
	if err != nil {
		return nil, err
	}
	subject, err := tally.Subject(ctx, request.GetSubject())
	if errors.Is(err, arithmetic.ErrEmergency) {
		return &pb.GetScoreResponse{Reputation: &pb.Reputation{Score: arithmetic.Unknown, Standing: pb.Standing_STANDING_ALLOWED, At: timestamppb.Now()}}, nil
	}
	if err != nil {
		return nil, err
	}
	merged, text, err := tally.Get(ctx, subject)
	if err != nil {
		return nil, err
	}
	return &pb.GetScoreResponse{Reputation: reputationMessage(merged, text)}, nil
}

// ListOpinions implements callseal.v1.ReputationService.
func (s *reputationService) ListOpinions(ctx context.Context, request *pb.ListOpinionsRequest) (*pb.ListOpinionsResponse, error) {
	tally, err := s.counting()
	if err != nil {
		return nil, err
	}
	subject, err := tally.Subject(ctx, request.GetSubject())
	if err != nil {
		return nil, err
	}
	held, text, err := tally.Opinions(ctx, subject)
	if err != nil {
		return nil, err
	}
	return opinionsMessage(held, text, ledger.TimeOf(time.Now())), nil
}

// standings are the messages' words for the arithmetic's.
var standings = map[arithmetic.Standing]pb.Standing{
	arithmetic.StandingUnknown: pb.Standing_STANDING_UNKNOWN, arithmetic.StandingGood: pb.Standing_STANDING_GOOD,
	arithmetic.StandingLow: pb.Standing_STANDING_LOW, arithmetic.StandingBlocked: pb.Standing_STANDING_BLOCKED,
	arithmetic.StandingContested: pb.Standing_STANDING_CONTESTED, arithmetic.StandingReported: pb.Standing_STANDING_REPORTED,
	arithmetic.StandingProvisional: pb.Standing_STANDING_PROVISIONALLY_BLOCKED, arithmetic.StandingAllowed: pb.Standing_STANDING_ALLOWED,
}

func reputationMessage(merged *ledger.Reputation, canonical []byte) *pb.Reputation {
	return &pb.Reputation{
		Subject: merged.Subject, Epoch: merged.Epoch, Score: merged.Score, Standing: standings[merged.Standing], Blocks: merged.Standing.Blocks(),
		Alone: merged.Alone, AllowedBy: merged.AllowedBy, At: timestamp(merged.At), Until: timestamp(merged.Until), Holders: merged.Holders,
		PolicyVersion: merged.PolicyVersion, ReputationJson: canonical,
	}
}

func opinionsMessage(held *ledger.Opinions, canonical []byte, now ledger.Time) *pb.ListOpinionsResponse {
	response := &pb.ListOpinionsResponse{OpinionsJson: canonical}
	for i := range held.Opinions {
		opinion := &held.Opinions[i]
		totals := &opinion.Totals
		response.Opinions = append(response.Opinions, &pb.Opinion{
			Msp: opinion.MSP, Writer: opinion.Writer, Seq: opinion.Seq, Alpha: totals.Alpha, Beta: totals.Beta, Failures: totals.Failures,
			Attempts: totals.Attempts, Score: totals.Of().Score(), At: timestamp(totals.At),
			NewestPositive: timestamp(totals.NewestPositive), NewestNegative: timestamp(totals.NewestNegative),
			Pardoned: slices.ContainsFunc(held.Pardons, func(pardon ledger.Pardon) bool { return pardon.MSP == opinion.MSP && now.Before(pardon.Until) }),
		})
	}
	return response
}
