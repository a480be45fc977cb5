package server

import (
	"context"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/idempotency"
)

const (
	// idempotencyKey is the metadata, or HTTP header, that names a request.
	idempotencyKey = "idempotency-key"
	// idempotencyReplayed tells that an answer was given before.
	idempotencyReplayed = "idempotency-replayed"
	// maxKeyBytes is as the field's constraint in the protos.
	maxKeyBytes = 200
)

// repetition answers a mutating request that bears a key as it was answered first.
type repetition struct{ keys *idempotency.Store }

func (r *repetition) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	message, is := request.(proto.Message)
	method := methodOf(info.FullMethod)
	if !is || method == nil || readsOnly(method) {
		return handler(ctx, request)
	}
	key, err := keyOf(ctx, message)
	if err != nil || key == "" {
		if err != nil {
			return nil, err
		}
		return handler(ctx, request)
	}
	if r.keys == nil {
		return nil, fault.New(fault.State, "this gateway keeps no idempotency keys: send the request without one")
	}
	content, err := contentOf(message)
	if err != nil {
		return nil, err
	}
	var response any
	var failed error
	ran := false
	answer, err := r.keys.Do(ctx, idempotency.Request{Caller: scope(callerFrom(ctx)), Key: key, Method: info.FullMethod, Content: content},
		func(ctx context.Context) (idempotency.Answer, bool) {
			ran = true
			response, failed = handler(ctx, request)
			return answerOf(response, failed)
		})
	switch {
	case err != nil:
		return nil, err
	case ran:
		return response, failed
	}
	_ = grpc.SetHeader(ctx, metadata.Pairs(idempotencyReplayed, "true"))
	return replay(answer, method)
}

// scope tells callers' keys apart.
func scope(who caller) string {
	if who.fingerprint != "" {
		return who.fingerprint
	}
	return string(who.role) + " " + who.name
}

// answerOf is what is kept of an answer, and whether it is final: an error that may
// pass is none.
func answerOf(response any, failed error) (idempotency.Answer, bool) {
	if failed != nil {
		said := grpcstatus.Convert(statusOf(failed))
		text, err := proto.Marshal(said.Proto())
		return idempotency.Answer{Content: text, Failed: true}, err == nil && finalCodes[said.Code()]
	}
	message, is := response.(proto.Message)
	if !is {
		return idempotency.Answer{}, false
	}
	text, err := proto.Marshal(message)
	return idempotency.Answer{Content: text}, err == nil
}

// finalCodes are those of errors that asking again does not change.
var finalCodes = map[codes.Code]bool{
	codes.InvalidArgument: true, codes.NotFound: true, codes.AlreadyExists: true, codes.PermissionDenied: true, codes.FailedPrecondition: true,
}

func replay(answer idempotency.Answer, method protoreflect.MethodDescriptor) (any, error) {
	if answer.Failed {
		said := &status.Status{}
		if err := proto.Unmarshal(answer.Content, said); err != nil {
			return nil, err
		}
		return nil, grpcstatus.ErrorProto(said)
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		return nil, err
	}
	response := kind.New().Interface()
	return response, proto.Unmarshal(answer.Content, response)
}

// keyOf is the request's key: its field's or the metadata's.
func keyOf(ctx context.Context, message proto.Message) (string, error) {
	var key string
	if carrier, has := message.(interface{ GetIdempotencyKey() string }); has {
		key = carrier.GetIdempotencyKey()
	}
	given := metadata.ValueFromIncomingContext(ctx, idempotencyKey)
	if len(given) == 0 || len(given) == 1 && given[0] == key {
		return key, nil
	}
	if key != "" || len(given) > 1 {
		return "", fault.New(fault.Invalid, "the request bears several idempotency keys: give one")
	}
	if len(given[0]) == 0 || len(given[0]) > maxKeyBytes || strings.ContainsFunc(given[0], func(r rune) bool { return r < '!' || r > '~' }) {
		return "", fault.New(fault.Invalid, "%s must be 1 to %d printable ASCII characters without spaces", idempotencyKey, maxKeyBytes)
	}
	return given[0], nil
}

// contentOf is what is asked for, whatever key it bears.
func contentOf(message proto.Message) ([]byte, error) {
	asked := message
	if field := message.ProtoReflect().Descriptor().Fields().ByName("idempotency_key"); field != nil && message.ProtoReflect().Has(field) {
		asked = proto.Clone(message)
		asked.ProtoReflect().Clear(field)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(asked)
}

// methodOf finds the description of a method, such as "/callseal.v1.X/Y"; nil for one
// that has none.
func methodOf(fullMethod string) protoreflect.MethodDescriptor {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(fullMethod, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil
	}
	method, _ := found.(protoreflect.MethodDescriptor)
	return method
}

// readsOnly says that a method is marked as having no side effects.
func readsOnly(method protoreflect.MethodDescriptor) bool {
	options, is := method.Options().(*descriptorpb.MethodOptions)
	return is && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}
