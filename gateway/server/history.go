package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/mirror"
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
	if err := checkMask(request.GetFields(), &pb.Conversation{}); err != nil {
		return nil, err
	}
	found, err := s.channel.Evaluate(ctx, "calls:Conversation", msp, request.GetPbx(), request.GetLinkedid())
	if err != nil {
		return nil, err
	}
	conversation, err := conversationMessage(found)
	if err != nil {
		return nil, err
	}
	masked(request.GetFields(), conversation)
	return &pb.GetConversationResponse{Conversation: conversation}, nil
}

// conversationMessage makes a message of a ledger.Conversation. Its records stay as
// they were signed.
func conversationMessage(canonical []byte) (*pb.Conversation, error) {
	var found struct {
		Corrections jsontext.Value   `json:"corrections"`
		Cut         bool             `json:"cut"`
		Legs        []jsontext.Value `json:"legs"`
		LinkedIDs   []string         `json:"linkedids"`
		Links       []jsontext.Value `json:"links"`
		MSP         string           `json:"msp"`
		Omissions   []jsontext.Value `json:"omissions"`
		PBX         string           `json:"pbx"`
		Recordings  []jsontext.Value `json:"recordings"`
	}
	if err := json.Unmarshal(canonical, &found); err != nil {
		return nil, fmt.Errorf("read the conversation: %w", err)
	}
	message := &pb.Conversation{Msp: found.MSP, Pbx: found.PBX, Linkedids: found.LinkedIDs, Cut: found.Cut}
	var problems [5]error
	message.Legs, problems[0] = recordMessages(found.Legs, callMessage)
	message.Links, problems[1] = recordMessages(found.Links, linkMessage)
	message.Recordings, problems[2] = recordMessages(found.Recordings, recordingMessage)
	message.Omissions, problems[3] = recordMessages(found.Omissions, omissionMessage)
	message.Corrections, problems[4] = mirror.Each[pb.AnchoredCorrection](found.Corrections)
	return message, errors.Join(problems[:]...)
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
	response := &pb.ListGapsResponse{Gaps: &pb.Gaps{}}
	return response, s.answer(ctx, response.Gaps, "calls:Gaps", msp, request.GetPbx(), number(request.GetEpoch()), number(request.GetFrom()), number(int64(limit)))
}
