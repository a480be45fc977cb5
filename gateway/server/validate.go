package server

import (
	"errors"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/gateway/fault"
)

// maxNamed bounds the fields that one refusal names.
const maxNamed = 20

// neverSent is how the rules say that an enumeration's 0 is no answer.
const neverSent = "must not be in list [0]"

// validation holds requests to the constraints that stand in the protos. What needs
// more than the message itself is the handlers' and the contracts' to check.
type validation struct{ rules protovalidate.Validator }

func newValidation() (*validation, error) {
	rules, err := protovalidate.New()
	if err != nil {
		return nil, err
	}
	return &validation{rules: rules}, nil
}

// check answers a fault that names every field that is not as it must be.
func (v *validation) check(request proto.Message) error {
	err := v.rules.Validate(request)
	var wrong *protovalidate.ValidationError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &wrong):
		return &fault.Error{Kind: fault.Internal, Stage: fault.StageRequest, Message: "the request's constraints cannot be checked", Err: err}
	}
	refused := fault.New(fault.Invalid, "")
	var sentences []string
	for _, violation := range wrong.Violations {
		if len(refused.Fields) == maxNamed {
			sentences = append(sentences, "and more")
			break
		}
		field := fault.Field{Path: protovalidate.FieldPathString(violation.Proto.GetField()), Description: violation.Proto.GetMessage()}
		if field.Description == neverSent {
			field.Description = "must be given"
		}
		refused.Fields = append(refused.Fields, field)
		sentences = append(sentences, strings.TrimSpace(field.Path+" "+strings.TrimPrefix(field.Description, "value ")))
	}
	refused.Message = "the request is not valid: " + strings.Join(sentences, "; ")
	return refused
}
