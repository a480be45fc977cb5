package mirror_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/mirror"
)

// Every message that mirrors a value of the ledger has the value's members, by name
// and kind, and so have the messages within it.
func TestMessagesMirrorTheLedger(t *testing.T) {
	for message, value := range map[proto.Message]any{
		&pb.Device{}: ledger.Device{}, &pb.DeviceVerdict{}: ledger.DeviceVerdict{}, &pb.DeviceDetails{}: ledger.DeviceDetails{},
		&pb.Custody{}: ledger.Custody{}, &pb.Hold{}: ledger.Hold{}, &pb.Retention{}: ledger.Retention{}, &pb.ErasureStatement{}: ledger.Erasure{},
		&pb.Consent{}: ledger.Consent{}, &pb.ConsentDecision{}: ledger.ConsentDecision{}, &pb.Violation{}: ledger.Violation{}, &pb.ViolationReport{}: ledger.ViolationReport{},
		&pb.AnchoredCorrection{}: ledger.AnchoredCorrection{}, &pb.Changes{}: ledger.Changes{}, &pb.Dispute{}: ledger.Dispute{}, &pb.Reconciliation{}: ledger.Reconciliation{}, &pb.Gaps{}: ledger.Gaps{},
		&pb.PolicyVersion{}: ledger.PolicyVersion{}, &pb.Policy{}: ledger.Policy{}, &pb.Enactment{}: ledger.Enactment{}, &pb.BallotState{}: ledger.BallotState{},
		&pb.Enrolment{}: ledger.Enrolment{}, &pb.ChaincodeVersion{}: ledger.About{},
		&pb.Appeal{}: ledger.Appeal{}, &pb.Pardon{}: ledger.Pardon{}, &pb.Allowance{}: ledger.Allowance{},
	} {
		t.Run(string(message.ProtoReflect().Descriptor().Name()), func(t *testing.T) {
			requireMirrors(t, message.ProtoReflect().Descriptor(), reflect.TypeOf(value))
		})
	}
}

func requireMirrors(t *testing.T, message protoreflect.MessageDescriptor, value reflect.Type) {
	t.Helper()
	var members []string
	for i := range value.NumField() {
		name, _, _ := strings.Cut(value.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		members = append(members, name)
		field := message.Fields().ByName(protoreflect.Name(name))
		if field == nil {
			continue
		}
		kind := value.Field(i).Type
		if kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice && kind.Elem().Kind() != reflect.Uint8 {
			require.Equal(t, kind.Kind() == reflect.Slice, field.IsList(), "%s.%s", message.Name(), name)
			kind = kind.Elem()
		}
		switch {
		case kind == reflect.TypeFor[ledger.Time]():
			require.Equal(t, protoreflect.FullName("google.protobuf.Timestamp"), field.Message().FullName(), "%s.%s", message.Name(), name)
		case kind.Kind() == reflect.Struct:
			requireMirrors(t, field.Message(), kind)
		default:
			require.Contains(t, map[reflect.Kind][]protoreflect.Kind{
				reflect.String: {protoreflect.StringKind}, reflect.Bool: {protoreflect.BoolKind}, reflect.Int64: {protoreflect.Int64Kind},
				reflect.Int: {protoreflect.Int32Kind}, reflect.Slice: {protoreflect.BytesKind},
			}[kind.Kind()], field.Kind(), "%s.%s", message.Name(), name)
		}
	}
	var fields []string
	for i := range message.Fields().Len() {
		fields = append(fields, string(message.Fields().Get(i).Name()))
	}
	require.ElementsMatch(t, members, fields, "%s and ledger.%s", message.Name(), value.Name())
}

// A policy document goes to the ledger and comes back as it was, every one of them.
func TestPoliciesSurviveTheMirror(t *testing.T) {
	for _, name := range ledger.PolicyNames() {
		t.Run(name, func(t *testing.T) {
			document := ledger.Policy{V: ledger.SchemaVersion, Consortium: &ledger.ConsortiumPolicy{Operators: []string{"AtlasMSP", "BorealisMSP"}, Votes: 2}}
			if name != ledger.PolicyConsortium {
				built, err := ledger.DefaultPolicy(name)
				require.NoError(t, err)
				document = built.Policy
			}
			text, err := ledger.Canonical(&document)
			require.NoError(t, err)
			message := &pb.Policy{}
			require.NoError(t, mirror.Fill(text, message))
			var again ledger.Policy
			require.NoError(t, mirror.Value(message, &again))
			written, err := ledger.Canonical(&again)
			require.NoError(t, err)
			require.JSONEq(t, string(text), string(written))
			require.Equal(t, text, written)
		})
	}
}

// What a newer contract adds is not passed over in silence.
func TestMirrorRefusesWhatItDoesNotKnow(t *testing.T) {
	require.ErrorContains(t, mirror.Fill([]byte(`{"novelty":1}`), &pb.Device{}), "cannot be read by this version")
	_, err := mirror.Each[pb.Device]([]byte(`{}`))
	require.Error(t, err)
}
