package server

import (
	"strings"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/fault"
)

// lacking are the services that answer nothing because a part is missing, by name,
// and what their callers are told.
type lacking map[string]string

// lacks says which services the parts do not suffice for. Search, Watch and
// reputation say so themselves: they can do some of their work.
func (p *Parts) lacks() lacking {
	missing := lacking{}
	if p.Pipeline == nil {
		missing[pb.AnchorService_ServiceDesc.ServiceName] = "this gateway takes no segments: it runs without a pipeline to the ledger"
	}
	if p.Journal == nil || p.Pipeline == nil {
		missing[pb.OutboxService_ServiceDesc.ServiceName] = "this gateway keeps no journal of segments, so it has no outbox"
	}
	if p.View == nil {
		missing[pb.ViewService_ServiceDesc.ServiceName] = "this gateway has no index to stream what decides on calls from"
	}
	if p.Eraser == nil {
		missing[pb.ErasureService_ServiceDesc.ServiceName] = "this gateway runs no erasures"
	}
	if p.Status == nil {
		missing[pb.StatusService_ServiceDesc.ServiceName] = "this gateway does not watch itself: ask its health service"
	}
	return missing
}

// check answers a fault where the method's service lacks what it stands on.
func (l lacking) check(method string) error {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if sentence, lacks := l[service]; lacks {
		return fault.New(fault.State, "%s", sentence)
	}
	return nil
}
