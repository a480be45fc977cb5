package server

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/callseal/callseal/gateway/fault"
)

// inbound is where a message from a client is decoded to. What cannot be decoded
// is kept as an error: left to gRPC it would be answered INTERNAL, as if the
// gateway had failed.
type inbound struct {
	message any
	err     error
}

// codec is gRPC's for protocol buffers, and decodes inbounds.
type codec struct{ encoding.CodecV2 }

func newCodec() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal decodes a message.
func (c codec) Unmarshal(data mem.BufferSlice, into any) error {
	if in, is := into.(*inbound); is {
		in.err = c.CodecV2.Unmarshal(data, in.message)
		return nil
	}
	return c.CodecV2.Unmarshal(data, into)
}

func undecodable(err error) error {
	return &fault.Error{Kind: fault.Invalid, Stage: fault.StageRequest, Message: "the request is not a message of this method: text must be UTF-8, and the client's contract the gateway's", Err: err}
}
