package server

import (
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/callseal/callseal/gateway/fault"
)

// early registers unary methods as streams of one message each way, which on the
// wire they are. gRPC reads a unary call's whole message before any interceptor
// runs, so a stranger could have the gateway hold as many messages of the largest
// size as a connection has streams. A stream's handler reads when it is let to.
type early struct {
	*grpc.Server
	unary map[string]bool // full names of methods
	// answering are the methods that answer one message with many.
	answering map[string]bool
	// around is called around each unary method's handler.
	around grpc.UnaryServerInterceptor
}

// RegisterService registers a service.
func (e early) RegisterService(service *grpc.ServiceDesc, implementation any) {
	described := *service
	described.Streams = append([]grpc.StreamDesc{}, service.Streams...)
	for i := range described.Streams {
		if method := &described.Streams[i]; !method.ClientStreams {
			// ClientStreams, so that it is we who say what a call without a message is.
			e.answering["/"+service.ServiceName+"/"+method.StreamName] = true
			method.Handler, method.ClientStreams = one(method.Handler), true
		}
	}
	for _, method := range service.Methods {
		e.unary["/"+service.ServiceName+"/"+method.MethodName] = true
		described.Streams = append(described.Streams, grpc.StreamDesc{StreamName: method.MethodName, Handler: unary(method.Handler, e.around), ClientStreams: true})
	}
	described.Methods = nil
	e.Server.RegisterService(&described, implementation)
}

// GetServiceInfo tells of methods as what they are.
func (e early) GetServiceInfo() map[string]grpc.ServiceInfo {
	services := e.Server.GetServiceInfo()
	for service, info := range services {
		for i := range info.Methods {
			if method := &info.Methods[i]; e.unary["/"+service+"/"+method.Name] || e.answering["/"+service+"/"+method.Name] {
				method.IsClientStream = false
			}
		}
	}
	return services
}

// one hands a handler the one message that its method takes.
func one(handle grpc.StreamHandler) grpc.StreamHandler {
	return func(server any, stream grpc.ServerStream) error { return handle(server, oneRequest{stream}) }
}

// oneRequest is a stream on which one message comes in.
type oneRequest struct{ grpc.ServerStream }

// RecvMsg receives it.
func (s oneRequest) RecvMsg(message any) error { return receiveOne(s.ServerStream, message) }

// unary handles one message and answers one.
func unary(handle grpc.MethodHandler, around grpc.UnaryServerInterceptor) grpc.StreamHandler {
	return func(server any, stream grpc.ServerStream) error {
		ctx, cancel := withDefaultDeadline(stream.Context())
		defer cancel()
		response, err := handle(server, ctx, func(request any) error { return receiveOne(stream, request) }, around)
		if err != nil {
			return err
		}
		return stream.SendMsg(response)
	}
}

func receiveOne(stream grpc.ServerStream, request any) error {
	err := stream.RecvMsg(request)
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "the call carries no request")
	}
	return err
}
