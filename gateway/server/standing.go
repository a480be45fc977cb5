package server

import (
	"context"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/fault"
)

// statusService tells how the gateway is; who assembled it knows.
type statusService struct {
	pb.UnimplementedStatusServiceServer
	ask func(context.Context) (*pb.GetStatusResponse, error)
}

// GetStatus implements callseal.v1.StatusService.
func (s *statusService) GetStatus(ctx context.Context, _ *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	if s.ask == nil {
		return nil, fault.New(fault.Unavailable, "this gateway is not assembled yet: ask again")
	}
	return s.ask(ctx)
}
