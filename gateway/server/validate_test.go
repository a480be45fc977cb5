package server

import (
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/fault"
)

// unconstrained are the fields of requests whose every value is allowed, and why.
var unconstrained = map[protoreflect.FullName]string{}

// Every field of every request, and of what requests hold, has a constraint, but for
// booleans, of which every value is one.
func TestEveryRequestFieldIsConstrained(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	requests := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("callseal.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				requests++
				requireConstrained(t, methods.Get(j).Input(), seen)
			}
		}
		return true
	})
	require.Greater(t, requests, 60)
}

func requireConstrained(t *testing.T, message protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
	t.Helper()
	if seen[message.FullName()] || !strings.HasPrefix(string(message.FullName()), "callseal.") {
		return
	}
	seen[message.FullName()] = true
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if field.Message() != nil {
			requireConstrained(t, field.Message(), seen)
		}
		if field.Kind() == protoreflect.BoolKind || unconstrained[field.FullName()] != "" {
			continue
		}
		own := field.Message() != nil && strings.HasPrefix(string(field.Message().FullName()), "callseal.") && !field.IsList()
		if own {
			continue // its own fields are constrained
		}
		rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
		require.True(t, rules != nil && proto.Size(rules) > 0, "%s has no constraint: give it one, or say in this test why every value is allowed", field.FullName())
	}
}

func TestValidation(t *testing.T) {
	rules, err := newValidation()
	require.NoError(t, err)
	leg := &pb.LegId{Linkedid: "1.1", Uniqueid: "1.2"}
	for name, c := range map[string]struct {
		request proto.Message
		field   string // empty: it is good
	}{
		"a leg":                  {&pb.GetCallRequest{Pbx: "pbx1", Leg: leg}, ""},
		"no PBX":                 {&pb.GetCallRequest{Leg: leg}, "pbx"},
		"no leg":                 {&pb.GetCallRequest{Pbx: "pbx1"}, "leg"},
		"a space in a name":      {&pb.GetCallRequest{Pbx: "pbx 1", Leg: leg}, "pbx"},
		"a control character":    {&pb.GetCallRequest{Pbx: "pbx\x00", Leg: leg}, "pbx"},
		"a name of 150 bytes":    {&pb.GetCallRequest{Pbx: strings.Repeat("é", 75), Leg: leg}, ""},
		"a name of 152 bytes":    {&pb.GetCallRequest{Pbx: strings.Repeat("é", 76), Leg: leg}, "pbx"},
		"within the leg":         {&pb.GetCallRequest{Pbx: "pbx1", Leg: &pb.LegId{Linkedid: "1.1", Uniqueid: "1.2", Sequence: -1}}, "leg.sequence"},
		"a digest":               {&pb.FindRecordingsRequest{Sha256: strings.Repeat("a", 64)}, ""},
		"a digest in capitals":   {&pb.FindRecordingsRequest{Sha256: strings.Repeat("A", 64)}, "sha256"},
		"a page too large":       {&pb.ListCallsRequest{Pbx: "pbx1", PageSize: 1001}, "page_size"},
		"no device named":        {&pb.FindDevicesRequest{}, ""},
		"an unknown reason":      {&pb.SuspendDeviceRequest{Id: strings.Repeat("a", 32), Reason: "boredom"}, "reason"},
		"an unknown erasure":     {&pb.EraseRequest{Record: &pb.RecordName{Pbx: "p", Record: &pb.RecordName_Leg{Leg: leg}}, Reason: 99}, "reason"},
		"a time before 1970":     {&pb.CheckDeviceRequest{Aor: "sip:600@pbx", At: &timestamppb.Timestamp{Seconds: -1}}, "at"},
		"a key with a line":      {&pb.RevokeAdapterRequest{Fingerprint: strings.Repeat("a", 64), IdempotencyKey: "a\nb"}, "idempotency_key"},
		"an item of many":        {&pb.GetConsentStandingRequest{Pbx: "p", Linkedid: "1", Purpose: "recording", Parties: []string{strings.Repeat("a", 32), "b"}}, "parties[1]"},
		"two of one":             {&pb.CheckDeviceRequest{Aor: "sip:600@pbx", AorRef: strings.Repeat("a", 64)}, ""},
		"a policy's member":      {&pb.ProposePolicyRequest{Policy: &pb.Policy{Reconciliation: &pb.ReconciliationPolicy{StartMs: -5}}}, "policy.reconciliation.start_ms"},
		"a segment of no record": {&pb.AnchorSegmentRequest{Segment: &pb.SignedSegment{SegmentJson: []byte("{}"), Signature: []byte("s")}}, "segment.records_json"},
	} {
		t.Run(name, func(t *testing.T) {
			err := rules.check(c.request)
			oneOf := name == "no device named" || name == "two of one"
			if c.field == "" && !oneOf {
				require.NoError(t, err)
				return
			}
			what := fault.Of(err)
			require.Equal(t, fault.Invalid, what.Kind, "%v", err)
			require.True(t, strings.HasPrefix(what.Message, "the request is not valid: "), what.Message)
			require.NotContains(t, what.Message, "\n")
			if oneOf {
				return
			}
			require.NotEmpty(t, what.Fields)
			require.Equal(t, c.field, what.Fields[0].Path)
			require.NotEmpty(t, what.Fields[0].Description)
		})
	}
}
