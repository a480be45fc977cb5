package server

import (
	"context"
	"time"

	pb "github.com/callseal/callseal/api/callseal/v1"
)

// openSince is how far back open calls are looked for where nothing is said.
const openSince = 7 * 24 * time.Hour

// ListProgress implements callseal.v1.CallService.
func (s *callService) ListProgress(ctx context.Context, request *pb.ListProgressRequest) (*pb.ListProgressResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	stored, err := s.list(ctx, "calls:Progress", s.mspOr(request.GetMsp()), request.GetPbx(), request.GetLinkedid())
	if err != nil {
		return nil, err
	}
	progress, err := recordMessages(stored, progressMessage)
	return &pb.ListProgressResponse{Progress: progress}, err
}

// ListOpenCalls implements callseal.v1.SearchService.
func (s *searchService) ListOpenCalls(ctx context.Context, request *pb.ListOpenCallsRequest) (*pb.ListOpenCallsResponse, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	msp, pbx := request.GetMsp(), request.GetPbx()
	if err := confine(ctx, s.msp, &msp, &pbx); err != nil {
		return nil, err
	}
	if msp == "" {
		msp = s.msp
	}
	since := time.Now().Add(-openSince)
	if request.GetSince() != nil {
		since = request.GetSince().AsTime()
	}
	height := s.index.Height()
	open, err := s.index.OpenCalls(ctx, msp, pbx, since)
	if err != nil {
		return nil, err
	}
	response := &pb.ListOpenCallsResponse{AsOfHeight: height}
	for _, one := range open {
		response.Calls = append(response.Calls, &pb.OpenCall{Linkedid: one.LinkedID, Uniqueid: one.UniqueID, Answered: millis(one.AnsweredMS)})
	}
	return response, nil
}
