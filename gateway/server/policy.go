package server

import (
	"context"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/mirror"
)

type policyService struct {
	pb.UnimplementedPolicyServiceServer
	writer
}

// governance is the channel of the governance chaincode.
func (s *policyService) governance() *fabric.Channel { return s.channel.In(ledger.GovernanceChaincode) }

// vote has a transaction of the governance chaincode signed for the caller.
func (s *policyService) vote(ctx context.Context, function string, args ...string) (*pb.BallotState, *pb.Commit, error) {
	signer, err := s.signer(ctx)
	if err != nil {
		return nil, nil, err
	}
	ballot := &pb.BallotState{}
	commit, err := transactOn(ctx, signer.In(ledger.GovernanceChaincode), ballot, fabric.Proposal{Function: function, Args: args})
	return ballot, commit, err
}

// ProposePolicy implements callseal.v1.PolicyService.
func (s *policyService) ProposePolicy(ctx context.Context, request *pb.ProposePolicyRequest) (*pb.ProposePolicyResponse, error) {
	policy := &ledger.Policy{}
	if err := mirror.Value(request.GetPolicy(), policy); err != nil {
		return nil, err
	}
	if policy.V == 0 {
		policy.V = ledger.SchemaVersion
	}
	text, err := canonical(policy)
	if err != nil {
		return nil, err
	}
	ballot, commit, err := s.vote(ctx, "governance:Propose", text)
	return &pb.ProposePolicyResponse{Ballot: ballot, Commit: commit}, err
}

// VotePolicy implements callseal.v1.PolicyService.
func (s *policyService) VotePolicy(ctx context.Context, request *pb.VotePolicyRequest) (*pb.VotePolicyResponse, error) {
	ballot, commit, err := s.vote(ctx, "governance:Vote", request.GetName(), number(request.GetVersion()), request.GetDigest())
	return &pb.VotePolicyResponse{Ballot: ballot, Commit: commit}, err
}

// WithdrawVote implements callseal.v1.PolicyService.
func (s *policyService) WithdrawVote(ctx context.Context, request *pb.WithdrawVoteRequest) (*pb.WithdrawVoteResponse, error) {
	ballot, commit, err := s.vote(ctx, "governance:Withdraw", request.GetName(), number(request.GetVersion()), request.GetDigest())
	return &pb.WithdrawVoteResponse{Ballot: ballot, Commit: commit}, err
}

// GetPolicy implements callseal.v1.PolicyService.
func (s *policyService) GetPolicy(ctx context.Context, request *pb.GetPolicyRequest) (*pb.GetPolicyResponse, error) {
	response := &pb.GetPolicyResponse{Policy: &pb.PolicyVersion{}}
	found, err := s.governance().Evaluate(ctx, "governance:Current", request.GetName())
	if err != nil {
		return nil, err
	}
	return response, mirror.Fill(found, response.Policy)
}

// GetPolicyVersion implements callseal.v1.PolicyService.
func (s *policyService) GetPolicyVersion(ctx context.Context, request *pb.GetPolicyVersionRequest) (*pb.GetPolicyVersionResponse, error) {
	response := &pb.GetPolicyVersionResponse{Enactment: &pb.Enactment{}}
	found, err := s.governance().Evaluate(ctx, "governance:Version", request.GetName(), number(request.GetVersion()))
	if err != nil {
		return nil, err
	}
	return response, mirror.Fill(found, response.Enactment)
}

// ListPolicyVersions implements callseal.v1.PolicyService.
func (s *policyService) ListPolicyVersions(ctx context.Context, request *pb.ListPolicyVersionsRequest) (*pb.ListPolicyVersionsResponse, error) {
	if err := checkMask(request.GetFields(), &pb.Enactment{}); err != nil {
		return nil, err
	}
	versions, err := answerEach[pb.Enactment](ctx, s.governance(), "governance:History", request.GetName())
	maskedRows(request.GetFields(), versions)
	return &pb.ListPolicyVersionsResponse{Enactments: versions}, err
}

// ListBallots implements callseal.v1.PolicyService.
func (s *policyService) ListBallots(ctx context.Context, _ *pb.ListBallotsRequest) (*pb.ListBallotsResponse, error) {
	ballots, err := answerEach[pb.BallotState](ctx, s.governance(), "governance:Pending")
	return &pb.ListBallotsResponse{Ballots: ballots}, err
}
