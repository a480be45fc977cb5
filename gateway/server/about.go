package server

import (
	"context"
	"runtime"
	"runtime/debug"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

type aboutService struct {
	pb.UnimplementedAboutServiceServer
	reader
}

// GetVersions implements callseal.v1.AboutService.
func (s *aboutService) GetVersions(ctx context.Context, _ *pb.GetVersionsRequest) (*pb.GetVersionsResponse, error) {
	response := &pb.GetVersionsResponse{
		Calls: &pb.ChaincodeVersion{}, Governance: &pb.ChaincodeVersion{}, Gateway: "unknown", Go: runtime.Version(),
	}
	if built, known := debug.ReadBuildInfo(); known {
		response.Gateway = built.Main.Version
	}
	if err := s.answer(ctx, response.Calls, "about:Version"); err != nil {
		return nil, err
	}
	governing := reader{channel: s.channel.In(ledger.GovernanceChaincode)}
	return response, governing.answer(ctx, response.Governance, "about:Version")
}
