package server

import (
	"context"

	pb "github.com/callseal/callseal/api/callseal/v1"
)

type adapterService struct {
	pb.UnimplementedAdapterServiceServer
	writer
}

// EnrolAdapter implements callseal.v1.AdapterService.
func (s *adapterService) EnrolAdapter(ctx context.Context, request *pb.EnrolAdapterRequest) (*pb.EnrolAdapterResponse, error) {
	response := &pb.EnrolAdapterResponse{Enrolment: &pb.Enrolment{}}
	var err error
	response.Commit, err = s.write(ctx, response.Enrolment, "adapters:Enrol", request.GetCertificatePem())
	return response, err
}

// RevokeAdapter implements callseal.v1.AdapterService.
func (s *adapterService) RevokeAdapter(ctx context.Context, request *pb.RevokeAdapterRequest) (*pb.RevokeAdapterResponse, error) {
	response := &pb.RevokeAdapterResponse{Enrolment: &pb.Enrolment{}}
	var err error
	response.Commit, err = s.write(ctx, response.Enrolment, "adapters:Revoke", request.GetFingerprint())
	return response, err
}

// GetAdapter implements callseal.v1.AdapterService.
func (s *adapterService) GetAdapter(ctx context.Context, request *pb.GetAdapterRequest) (*pb.GetAdapterResponse, error) {
	response := &pb.GetAdapterResponse{Enrolment: &pb.Enrolment{}}
	return response, s.answer(ctx, response.Enrolment, "adapters:Get", s.mspOr(request.GetMsp()), request.GetFingerprint())
}

// ListAdapters implements callseal.v1.AdapterService.
func (s *adapterService) ListAdapters(ctx context.Context, request *pb.ListAdaptersRequest) (*pb.ListAdaptersResponse, error) {
	if err := checkMask(request.GetFields(), &pb.Enrolment{}); err != nil {
		return nil, err
	}
	enrolments, err := answerEach[pb.Enrolment](ctx, s.channel, "adapters:List", s.mspOr(request.GetMsp()))
	maskedRows(request.GetFields(), enrolments)
	return &pb.ListAdaptersResponse{Enrolments: enrolments}, err
}
