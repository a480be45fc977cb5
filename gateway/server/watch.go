package server

import (
	"slices"
	"time"

	"google.golang.org/grpc"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/index"
)

const (
	// heartbeat is the longest silence of a stream.
	heartbeat = 5 * time.Second
	// watchPage is how many changes are in memory for one stream.
	watchPage = 200
)

type watchService struct {
	pb.UnimplementedWatchServiceServer
	msp      string
	index    *index.Index
	stopping <-chan struct{}
}

func cursorMessage(at index.Cursor) *pb.ChangeCursor {
	return &pb.ChangeCursor{Block: at.Block, Position: int32(at.Position)} //nolint:gosec // below 2^24
}

// Watch implements callseal.v1.WatchService. What is sent comes out of the index page
// by page, when the stream takes it: a slow reader costs one page of memory.
func (s *watchService) Watch(request *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
	if s.index == nil {
		return fault.New(fault.State, "this gateway has no index to watch")
	}
	ctx := stream.Context()
	filter := index.Filter{MSP: request.GetMsp(), PBX: request.GetPbx()}
	if filter.PBX != "" && filter.MSP == "" {
		filter.MSP = s.msp
	}
	if err := confine(ctx, s.msp, &filter.MSP, &filter.PBX); err != nil {
		return err
	}
	for _, kind := range request.GetKinds() {
		if !slices.Contains(index.Kinds(), index.Kind(kind)) {
			return fault.New(fault.Invalid, "there is no such kind of change: there are %v", index.Kinds())
		}
		if one := index.Kind(kind); !slices.Contains(filter.Kinds, one) {
			filter.Kinds = append(filter.Kinds, one)
		}
	}
	after := index.Cursor{Block: request.GetAfter().GetBlock(), Position: int(request.GetAfter().GetPosition())}
	if request.GetFromNow() {
		after = index.EndOf(s.index.Height())
	}
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	ready := make(chan struct{})
	close(ready)
	for {
		moved := s.index.Advanced()
		changes, next, err := s.index.Changes(ctx, after, watchPage, filter)
		if err != nil {
			return err
		}
		for i := range changes {
			if err := stream.Send(&pb.WatchResponse{Event: &pb.WatchResponse_Change{Change: changeMessage(&changes[i])}}); err != nil {
				return err
			}
		}
		// An answer may be short and not be the last: as long as the place moves there may
		// be more. A filter may leave all out for long, so signs of life are sent meanwhile.
		var more <-chan struct{}
		if next != after {
			more = ready
		}
		after = next
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.stopping:
			return fault.New(fault.Unavailable, "the gateway stops: go on from the last cursor at the next one")
		case <-ticker.C:
			if err := stream.Send(&pb.WatchResponse{Event: &pb.WatchResponse_Heartbeat{Heartbeat: &pb.Heartbeat{Cursor: cursorMessage(after), Height: s.index.Height()}}}); err != nil {
				return err
			}
		case <-more:
		case <-moved:
		}
	}
}

func changeMessage(change *index.Change) *pb.Change {
	return &pb.Change{
		Cursor: cursorMessage(change.Cursor), Kind: string(change.Kind), Msp: change.MSP, Pbx: change.PBX, TransactionId: change.TransactionID,
		Key: []byte(change.Key), ValueJson: change.Value, Deleted: change.Deleted, Unreadable: change.Unreadable,
	}
}
