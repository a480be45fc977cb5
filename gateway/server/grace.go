package server

import (
	"context"

	"google.golang.org/protobuf/proto"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/reputation"
)

type graceService struct {
	pb.UnimplementedGraceServiceServer
	writer
	tally *reputation.Tally // nil without a consortium key
}

// on has a function signed that is called on a subject: its arguments begin with
// epoch and pseudonym.
func (s *graceService) on(ctx context.Context, into proto.Message, function, address string, more ...string) (*pb.Commit, error) {
	if _, err := s.signer(ctx); err != nil {
		return nil, err
	}
	subject, err := s.subject(ctx, address)
	if err != nil {
		return nil, err
	}
	return s.write(ctx, into, function, append([]string{number(subject.Epoch), subject.Pseudonym}, more...)...)
}

func (s *graceService) subject(ctx context.Context, address string) (reputation.Subject, error) {
	if s.tally == nil {
		return reputation.Subject{}, errNoKey()
	}
	return s.tally.Subject(ctx, address)
}

// AllowSubject implements callseal.v1.GraceService.
func (s *graceService) AllowSubject(ctx context.Context, request *pb.AllowSubjectRequest) (*pb.AllowSubjectResponse, error) {
	response := &pb.AllowSubjectResponse{Allowance: &pb.Allowance{}}
	var err error
	response.Commit, err = s.on(ctx, response.Allowance, "reputation:Allow", request.GetSubject(), request.GetReason())
	return response, err
}

// DisallowSubject implements callseal.v1.GraceService.
func (s *graceService) DisallowSubject(ctx context.Context, request *pb.DisallowSubjectRequest) (*pb.DisallowSubjectResponse, error) {
	response := &pb.DisallowSubjectResponse{Allowance: &pb.Allowance{}}
	var err error
	response.Commit, err = s.on(ctx, response.Allowance, "reputation:Disallow", request.GetSubject())
	return response, err
}

// PardonSubject implements callseal.v1.GraceService.
func (s *graceService) PardonSubject(ctx context.Context, request *pb.PardonSubjectRequest) (*pb.PardonSubjectResponse, error) {
	response := &pb.PardonSubjectResponse{Pardon: &pb.Pardon{}}
	var err error
	response.Commit, err = s.on(ctx, response.Pardon, "reputation:Pardon", request.GetSubject(), number(request.GetDurationMs()), request.GetReason())
	return response, err
}

// AppealSubject implements callseal.v1.GraceService.
func (s *graceService) AppealSubject(ctx context.Context, request *pb.AppealSubjectRequest) (*pb.AppealSubjectResponse, error) {
	response := &pb.AppealSubjectResponse{Appeal: &pb.Appeal{}}
	var err error
	response.Commit, err = s.on(ctx, response.Appeal, "reputation:Appeal", request.GetSubject(), request.GetAgainst(), request.GetReason(), request.GetEvidenceDigest())
	return response, err
}

// DecideAppeal implements callseal.v1.GraceService.
func (s *graceService) DecideAppeal(ctx context.Context, request *pb.DecideAppealRequest) (*pb.DecideAppealResponse, error) {
	response := &pb.DecideAppealResponse{Appeal: &pb.Appeal{}}
	var err error
	response.Commit, err = s.on(ctx, response.Appeal, "reputation:Decide", request.GetSubject(), request.GetAppellant(), request.GetDecision(), number(request.GetDurationMs()))
	return response, err
}

// ListAppeals implements callseal.v1.GraceService.
func (s *graceService) ListAppeals(ctx context.Context, request *pb.ListAppealsRequest) (*pb.ListAppealsResponse, error) {
	epoch, pseudonym := request.GetEpoch(), request.GetSubject()
	if pseudonym != "" && ledger.CheckSubject(pseudonym) != nil || pseudonym != "" && epoch == 0 {
		subject, err := s.subject(ctx, pseudonym)
		if err != nil {
			return nil, err
		}
		epoch, pseudonym = subject.Epoch, subject.Pseudonym
	}
	appeals, err := answerEach[pb.Appeal](ctx, s.channel, "reputation:Appeals", s.mspOr(request.GetAgainst()), number(epoch), pseudonym)
	return &pb.ListAppealsResponse{Appeals: appeals}, err
}
