package server

import (
	"google.golang.org/grpc"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/view"
)

type viewService struct {
	pb.UnimplementedViewServiceServer
	admission *view.Admission
}

// WatchAdmission implements callseal.v1.ViewService.
func (s *viewService) WatchAdmission(request *pb.WatchAdmissionRequest, stream grpc.ServerStreamingServer[pb.WatchAdmissionResponse]) error {
	return s.admission.Watch(stream.Context(), request.GetCursor(), stream.Send)
}
