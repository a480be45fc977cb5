package server

import (
	"context"
	"fmt"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// defaultWalk is how many segments one page of ListGaps walks when none is asked
// for.
const defaultWalk = 500

// GetConversation implements callseal.v1.CallService.
func (s *callService) GetConversation(ctx context.Context, request *pb.GetConversationRequest) (*pb.GetConversationResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), false); err != nil {
		return nil, err
	}
	found, err := s.channel.Evaluate(ctx, "calls:Conversation", msp, request.GetPbx(), request.GetLinkedid())
	if err != nil {
		return nil, err
	}
	return &pb.GetConversationResponse{ConversationJson: found}, nil
}

// GetChain implements callseal.v1.LedgerService.
func (s *ledgerService) GetChain(ctx context.Context, request *pb.GetChainRequest) (*pb.GetChainResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), false); err != nil {
		return nil, err
	}
	found, err := s.channel.Evaluate(ctx, "calls:Chain", msp, request.GetPbx())
	if err != nil {
		return nil, err
	}
	var chain ledger.Chain
	if err := ledger.DecodeStrict(found, &chain); err != nil {
		return nil, fmt.Errorf("read the end of the history: %w", err)
	}
	return &pb.GetChainResponse{Epoch: chain.Epoch, LastSeq: chain.LastSeq, LastRoot: chain.LastRoot, Closing: chain.Closing}, nil
}

// ListGaps implements callseal.v1.LedgerService.
func (s *ledgerService) ListGaps(ctx context.Context, request *pb.ListGapsRequest) (*pb.ListGapsResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), false); err != nil {
		return nil, err
	}
	limit := request.GetLimit()
	if limit == 0 {
		limit = defaultWalk
	}
	found, err := s.channel.Evaluate(ctx, "calls:Gaps", msp, request.GetPbx(), fmt.Sprint(request.GetEpoch()), fmt.Sprint(request.GetFrom()), fmt.Sprint(limit))
	if err != nil {
		return nil, err
	}
	return &pb.ListGapsResponse{GapsJson: found}, nil
}
