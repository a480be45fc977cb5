package server

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// unhurried bounds what one call of a fuzzer may take: where the peer is away, some
// wait for it.
const unhurried = 300 * time.Millisecond

// unlimited lets a caller call as often as it can.
func unlimited(c *Config) {
	free := c.Limits.Total
	free.Write.Rate, free.Read.Rate, free.List.Rate, free.Stream.Rate = 1e6, 1e6, 1e6, 1e6
	free.Write.Burst, free.Read.Burst, free.List.Burst, free.Stream.Burst = 1e6, 1e6, 1e6, 1e6
	c.Limits.Client, c.Limits.Total = free, free
}

func describedAs(t testing.TB, method string) protoreflect.MethodDescriptor {
	t.Helper()
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(method[1:], "/", ".")))
	require.NoError(t, err)
	return found.(protoreflect.MethodDescriptor)
}

// FuzzEveryMethod sends any bytes as the request of any method to a running server,
// over mutual TLS, as a caller who may call it. None is ever answered INTERNAL, and
// the server is there afterwards.
func FuzzEveryMethod(f *testing.F) {
	h := newHouse(f, unlimited)
	f.Cleanup(func() { require.NotContains(f, h.log.String(), "panicked") })
	methods := slices.DeleteFunc(slices.Sorted(maps.Keys(allowed)), func(method string) bool { return !strings.HasPrefix(method, "/callseal.") })
	connections := map[string]*grpc.ClientConn{}
	for i, method := range methods {
		role := string(allowed[method].roles[0])
		if connections[role] == nil {
			connections[role] = h.dial(h.issue(h.issuer, role))
		}
		request := wellFormed(f, describedAs(f, method).Input())
		require.NoError(f, h.chain.validate(request), method)
		wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
		require.NoError(f, err)
		f.Add(uint16(i), wire)
		f.Add(uint16(i), wire[:len(wire)/2])
	}
	f.Fuzz(func(t *testing.T, which uint16, wire []byte) {
		method := methods[int(which)%len(methods)]
		ctx, cancel := context.WithTimeout(t.Context(), unhurried)
		defer cancel()
		stream, err := connections[string(allowed[method].roles[0])].NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, grpc.ForceCodec(rawCodec(wire)))
		require.NoError(t, err)
		_ = stream.SendMsg(nil) // what comes back says more
		_ = stream.CloseSend()
		for err == nil {
			if err = stream.RecvMsg(&emptypb.Empty{}); endless(describedAs(t, method)) {
				cancel() // it was answered, and would be for ever
			}
		}
		if err == io.EOF { //nolint:errorlint // gRPC returns it bare
			return
		}
		require.NotContains(t, []codes.Code{codes.Internal, codes.Unknown, codes.DataLoss}, status.Code(err), "%s %x: %v", method, wire, err)
		if status.Code(err) == codes.Unavailable {
			require.NotContains(t, err.Error(), "error reading from server", "%s %x: the connection broke", method, wire)
		}
	})
}

// wellFormed is a request that keeps every constraint, with a value in every field.
func wellFormed(t testing.TB, of protoreflect.MessageDescriptor) *dynamicpb.Message {
	t.Helper()
	message := dynamicpb.NewMessage(of)
	fill(t, message, 0)
	return message
}

func fill(t testing.TB, message protoreflect.Message, depth int) {
	t.Helper()
	switch message.Descriptor().FullName() {
	case (&timestamppb.Timestamp{}).ProtoReflect().Descriptor().FullName():
		message.Set(message.Descriptor().Fields().ByName("seconds"), protoreflect.ValueOfInt64(1_772_357_400))
		return
	case (&pb.SignedSegment{}).ProtoReflect().Descriptor().FullName():
		segment := gatewaytest.New(t, "AtlasMSP", "atlas-pbx-1").Segment(t, append([]gatewaytest.Entry{gatewaytest.Opening()}, gatewaytest.Calls(t, 2)...))
		wire, err := proto.Marshal(segment)
		require.NoError(t, err)
		require.NoError(t, proto.Unmarshal(wire, message.Interface()))
		return
	case "google.protobuf.FieldMask":
		return // which fields there are differs
	}
	for i := range message.Descriptor().Fields().Len() {
		field := message.Descriptor().Fields().Get(i)
		if only := field.ContainingOneof(); only != nil && message.WhichOneof(only) != nil || excluded(message, field) || depth > 4 {
			continue
		}
		rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
		if !field.IsList() {
			message.Set(field, plausible(t, message, field, rules, depth))
			continue
		}
		list := message.Mutable(field).List()
		if field.Message() != nil {
			fill(t, list.AppendMutable().Message(), depth+1)
			continue
		}
		list.Append(plausible(t, message, field, rules.GetRepeated().GetItems(), depth))
	}
}

// excluded says that another field stands already of those of which one may.
func excluded(message protoreflect.Message, field protoreflect.FieldDescriptor) bool {
	rules, _ := proto.GetExtension(message.Descriptor().Options(), validate.E_Message).(*validate.MessageRules)
	for _, one := range rules.GetOneof() {
		if !slices.Contains(one.GetFields(), string(field.Name())) {
			continue
		}
		for _, other := range one.GetFields() {
			if message.Has(message.Descriptor().Fields().ByName(protoreflect.Name(other))) {
				return true
			}
		}
	}
	return false
}

// names are values of fields by their names, where the constraints allow them.
var names = map[protoreflect.Name]string{
	"msp": "AtlasMSP", "pbx": "atlas-pbx-1", "linkedid": "1763712000.4", "uniqueid": "1763712000.4", "subject": "tel:+351210000001", "aor": "sip:600@pbx.atlas.example",
	"aors": "sip:600@pbx.atlas.example", "networks": "192.0.2.0/24", "kind": "call", "page_token": "7", "against": "BorealisMSP", "appellant": "BorealisMSP", "idempotency_key": "key",
}

// plausible is a value that keeps a field's constraints.
func plausible(t testing.TB, message protoreflect.Message, field protoreflect.FieldDescriptor, rules *validate.FieldRules, depth int) protoreflect.Value {
	t.Helper()
	switch field.Kind() {
	case protoreflect.MessageKind:
		below := message.NewField(field)
		fill(t, below.Message(), depth+1)
		return below
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text(field, rules.GetString()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("{}"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(field.Enum().Values().Get(field.Enum().Values().Len() - 1).Number())
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1)
	default:
		t.Fatalf("%s has a kind that no request had before: %s", field.FullName(), field.Kind())
		return protoreflect.Value{}
	}
}

func text(field protoreflect.FieldDescriptor, rules *validate.StringRules) string {
	if in := rules.GetIn(); len(in) > 0 {
		return in[0]
	}
	switch pattern := rules.GetPattern(); {
	case strings.Contains(pattern, "a-f]{32}"):
		return strings.Repeat("ab", 16)
	case strings.Contains(pattern, "64"):
		return strings.Repeat("cd", 32)
	case strings.Contains(pattern, "[A-Z]{2}"):
		return "PT"
	case names[field.Name()] != "":
		return names[field.Name()]
	default:
		return "x"
	}
}
