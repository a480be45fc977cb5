package server

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/callseal/callseal/privacy"
)

// plant puts a text into every member of a message that takes one.
func plant(message protoreflect.Message, text string, depth int) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		value := protoreflect.ValueOfString(text)
		if field.Kind() == protoreflect.BytesKind {
			value = protoreflect.ValueOfBytes([]byte(text))
		}
		switch {
		case field.IsMap() || field.Message() == nil && field.Kind() != protoreflect.StringKind && field.Kind() != protoreflect.BytesKind:
		case field.Message() != nil && depth > 4:
		case field.Message() != nil && field.IsList():
			plant(message.Mutable(field).List().AppendMutable().Message(), text, depth+1)
		case field.Message() != nil:
			plant(message.Mutable(field).Message(), text, depth+1)
		case field.IsList():
			message.Mutable(field).List().Append(value)
		default:
			message.Set(field, value)
		}
	}
}

// TestNothingPersonalIsWrittenDown plants a number, a name, an address and an
// account in every member of every request, and finds none in the log at its most
// talkative and in the audit trail, in any form.
func TestNothingPersonalIsWrittenDown(t *testing.T) {
	h := newHouse(t)
	planted := map[string]string{
		"number": "+351912345678", "name": "Zacharias Testperson", "address": "198.51.100.77", "address of six groups": "2001:db8:77::c0de",
		"account": "sip:zacharias@pbx.example", "party": "tel:+442079460123",
	}
	for method, rule := range allowed {
		if !strings.HasPrefix(method, "/callseal.") {
			continue
		}
		connection := h.dial(h.issue(h.issuer, string(rule.roles[0])))
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(method[1:], "/", ".")))
		require.NoError(t, err)
		described := found.(protoreflect.MethodDescriptor)
		for _, text := range planted {
			request := dynamicpb.NewMessage(described.Input())
			plant(request, text, 0)
			send(t, connection, described, request)
		}
	}
	const control = "the calls' own mark"
	needles := append(privacy.Text(planted), privacy.Needle{Name: control, Value: []byte("/callseal.v1.CallService/GetCall")})
	h.write("log", []byte(h.log.String()))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	report, err := privacy.Walk(ctx, []string{h.folder}, needles)
	require.NoError(t, err)
	require.Empty(t, report.Unread)
	require.NotEmpty(t, report.Of(control), "the search does search")
	require.Len(t, report.Findings, len(report.Of(control)), "%v", fmt.Sprint(report.Findings))
}

func send(t *testing.T, connection *grpc.ClientConn, method protoreflect.MethodDescriptor, request proto.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceFor(method))
	defer cancel()
	name := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, name)
	require.NoError(t, err)
	_ = stream.SendMsg(request)
	_ = stream.CloseSend()
	for err == nil {
		err = stream.RecvMsg(&emptypb.Empty{})
	}
}

// Every form in which an error may quote what a caller sent is blacked out.
func TestRedact(t *testing.T) {
	for _, text := range []string{
		`no such device "alice"`, `tel:+351912345678`, `from 198.51.100.77:5060`, `sip:alice@pbx.example`, `at 2001:db8::c0de`, `a quote "of \"alice\" here"`,
	} {
		for _, secret := range []string{"alice", "351912345678", "198.51.100.77", "c0de"} {
			require.NotContains(t, redact(text), secret, text)
		}
	}
	require.Equal(t, "the peer cannot be reached", redact("the peer cannot be reached"))
}
