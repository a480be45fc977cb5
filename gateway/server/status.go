package server

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

// errorDomain names us in google.rpc.ErrorInfo.
const errorDomain = "callseal"

// statusCodes maps the domain's kinds to gRPC, here and nowhere else.
var statusCodes = map[fault.Kind]codes.Code{
	fault.Invalid:         codes.InvalidArgument,
	fault.TooLarge:        codes.InvalidArgument,
	fault.NotFound:        codes.NotFound,
	fault.Exists:          codes.AlreadyExists,
	fault.Unauthenticated: codes.Unauthenticated,
	fault.Denied:          codes.PermissionDenied,
	fault.Busy:            codes.ResourceExhausted,
	fault.Unavailable:     codes.Unavailable,
	fault.Unknown:         codes.Unavailable,
	fault.Contended:       codes.Aborted,
	fault.State:           codes.FailedPrecondition,
	fault.Internal:        codes.Internal,
}

// statusOf turns an error into the gRPC status its caller sees: the fault's
// sentence, an ErrorInfo (reason, stage, transaction_id, retryable) and, where
// known, a RetryInfo and a BadRequest. Causes stay in the log. Package connect makes
// a value of it again.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	if ended := endedByCaller(err); ended != nil {
		return ended
	}
	// A fault's cause may be a gRPC status too: the peer's, which is for the log.
	if given, isStatus := status.FromError(err); isStatus && !ours(err) {
		return given.Err()
	}
	what := fault.Of(err)
	code := codeOf(what.Kind)
	retryable := "false"
	if what.Retryable() {
		retryable = "true"
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{
		Reason: string(what.Kind), Domain: errorDomain,
		Metadata: map[string]string{"stage": string(what.Stage), "transaction_id": what.TransactionID, "retryable": retryable},
	}}
	if what.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(what.RetryAfter)})
	}
	if len(what.Fields) > 0 {
		wrong := &errdetails.BadRequest{}
		for _, field := range what.Fields {
			wrong.FieldViolations = append(wrong.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: field.Path, Description: field.Description})
		}
		details = append(details, wrong)
	}
	detailed, failed := status.New(code, what.Message).WithDetails(details...)
	if failed != nil {
		return status.Error(code, what.Message)
	}
	return detailed.Err()
}

// codeOf is the gRPC code of a kind.
func codeOf(kind fault.Kind) codes.Code {
	code, known := statusCodes[kind]
	if !known {
		return codes.Internal
	}
	return code
}

// ours says whether the error is a fault or a contract's, whatever its cause.
func ours(err error) bool {
	var what *fault.Error
	var coded *ledger.Error
	return errors.As(err, &what) || errors.As(err, &coded)
}

// endedByCaller is the status of a call that ended because its caller went away or
// its time was over, nil for any other. A fault that has such a cause and says more
// stays what it is.
func endedByCaller(err error) error {
	if err == nil || ours(err) && fault.Of(err).Kind != fault.Internal {
		return nil
	}
	given, isStatus := status.FromError(err)
	switch {
	case errors.Is(err, context.Canceled), isStatus && given.Code() == codes.Canceled:
		return status.Error(codes.Canceled, "the caller went away")
	case errors.Is(err, context.DeadlineExceeded), isStatus && given.Code() == codes.DeadlineExceeded:
		return status.Error(codes.DeadlineExceeded, "the call's time was over")
	}
	return nil
}
